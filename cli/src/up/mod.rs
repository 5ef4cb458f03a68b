//! `omnihub up`: the whole hub in one process.
//!
//! The journey of a start: the data folder is opened and locked, the port bound, the keys made;
//! then nats-server starts while the database opens and migrates; then the streams and the
//! default instance; then ingress and worker serve on one port. A stop goes the same way back,
//! nats-server last.
//!
//! What is absent: nothing here serves, asks or sends. It puts together what runs apart in a
//! scaled deployment, on the same code.

mod banner;
mod lock;
mod nats_child;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

use anyhow::Context as _;
use omnihub_common::{
    config::{DataFolder, DatabaseSettings, HttpSettings, NatsSettings},
    database,
    health::Health,
    key::{AdminKey, Created},
    process::{Ground, Program, WaitingRoom, listen},
    queue::Layout,
    secret::{CreateMissing, Keyring, Secret},
};
use sea_orm::DatabaseConnection;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::migrate;
pub(crate) use banner::Banner;
use lock::FolderLock;
pub(crate) use nats_child::running_broker;
pub use nats_child::{NatsChild, NatsChildError};

/// Runs the hub until it is told to stop.
///
/// # Errors
/// When it cannot start (each cause with its remedy), or when a part of it fails for good.
pub async fn run(program: Program) -> anyhow::Result<()> {
    run_and_tell(program, |banner| banner.print()).await
}

/// The same, for another program that stands around the hub: `tell` hears where the hub is as
/// soon as it is about to serve.
pub(crate) async fn run_and_tell(program: Program, tell: impl FnOnce(Banner<PathBuf>)) -> anyhow::Result<()> {
    let started = Instant::now();
    let settings = Arc::clone(&program.settings);
    let data = DataFolder::open(&*settings)?;
    let _lock = FolderLock::take(&data)?;
    let listener = listen(&HttpSettings::ingress(&*settings)?, "Set API_PORT to another one.").await?;
    if settings.get("NATS_URL").is_some() {
        tracing::warn!("NATS_URL is set and not used: `omnihub up` runs a NATS server of its own");
    }
    let new_admin_key = make_keys(&program, &data)?;

    let database = DatabaseSettings::load(&*settings, &data)?;
    let waiting = WaitingRoom::open(&program, &listener)?;
    let (child, opened) = tokio::join!(NatsChild::start(&data, &*settings), open_database(&program, &database));
    let child = child?;
    drop(waiting);
    let ended = match opened {
        Err(error) => Err(error),
        Ok(None) => Ok(()),
        Ok(Some(connection)) => {
            let nats = NatsSettings { url: child.url() };
            let ground = Ground {
                settings,
                data,
                database: connection,
                nats,
                metrics: program.metrics.clone(),
                health: Health::new(program.stop.token()),
            };
            ground.health.expect("worker");
            let banner = Banner {
                url: url_for_people(&program, listener.local_addr()?),
                new_admin_key,
                admin_key_file: ground.data.join("admin.key"),
                data: ground.data.0.clone(),
                database: database.place(),
                started,
            };
            prepare_and_serve(&program, ground, listener, || tell(banner)).await
        }
    };
    child.stop().await;
    ended
}

async fn prepare_and_serve(
    program: &Program,
    ground: Ground,
    listener: TcpListener,
    tell: impl FnOnce(),
) -> anyhow::Result<()> {
    // Our own server writes everything through and has no replicas, whatever the settings say.
    let wanted = Layout { lease_ttl: Layout::load(&*ground.settings)?.lease_ttl, ..Layout::fsync_always() };
    migrate::prepare_streams(&ground.nats, &wanted).await?;
    migrate::seed(&ground).await?;
    tell();
    serve(ground, listener, &program.stop.token()).await
}

/// Runs both roles; when one ends, whatever the reason, the other is told to stop.
async fn serve(ground: Ground, listener: TcpListener, stop: &CancellationToken) -> anyhow::Result<()> {
    let ingress = tokio::spawn(ending(stop, omnihub_ingress::role::run(listener, ground.clone(), stop.clone())));
    let worker = tokio::spawn(ending(stop, omnihub_worker::role::run(None, ground, stop.clone())));
    let (ingress, worker) = tokio::join!(ingress, worker);
    ingress.context("the ingress panicked")?.context("the ingress failed")?;
    worker.context("the worker panicked")?.context("the worker failed")
}

/// The role, which on its end (a panic too, by the guard's drop) asks everybody to stop.
fn ending<R>(stop: &CancellationToken, role: R) -> impl Future<Output = R::Output> + use<R>
where
    R: Future,
{
    let guard = stop.clone().drop_guard();
    async move {
        let _guard = guard;
        role.await
    }
}

/// A database that is away is waited for as long as it takes; `None` when told to stop meanwhile.
async fn open_database(program: &Program, settings: &DatabaseSettings) -> anyhow::Result<Option<DatabaseConnection>> {
    let opened = async {
        loop {
            match database::connect(settings).await {
                Err(error) if error.is_away() => {
                    tracing::warn!(error.message = %error, "not ready: still waiting for the database");
                }
                opened => break opened,
            }
        }
    };
    let connection = tokio::select! {
        () = program.stop.requested() => return Ok(None),
        opened = opened => opened?,
    };
    migrate::apply(&connection).await?;
    Ok(Some(connection))
}

/// Makes the encryption key and the admin key when there are none; the admin key is returned
/// when it is new, to be shown this once.
fn make_keys(program: &Program, data: &DataFolder) -> anyhow::Result<Option<Secret>> {
    Keyring::load(&*program.settings, data, CreateMissing::Yes)?;
    Ok(match AdminKey::load(&*program.settings, data)?.1 {
        Created::Now(key) => Some(key),
        Created::Before => None,
    })
}

/// The URL that a person on this machine can open: the public one when it is set.
fn url_for_people(program: &Program, address: SocketAddr) -> String {
    match program.settings.get("OMNIHUB_PUBLIC_URL") {
        Some(url) => url.trim().trim_end_matches('/').to_owned(),
        None => banner::local_url(address),
    }
}
