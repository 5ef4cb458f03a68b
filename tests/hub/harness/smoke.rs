//! The harness tested on itself: a harness that lies makes every test lie.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use sea_orm::ConnectionTrait;

use omnihub_stage::{command_line, connect_postgres, free_port, nats_greets};

use super::{Hub, Nats, Postgres, until};

const DEADLINE: Duration = Duration::from_secs(20);

/// A program that stands in for the hub: it writes a line and stays until a signal comes.
fn stand_in(script: &str, env: &HashMap<String, String>) -> Hub {
    Hub::spawn_program(Path::new("/bin/sh"), &["-c", script], env)
}

#[tokio::test]
async fn each_database_is_fresh_and_goes_with_its_value() {
    let (one, other) = (Postgres::database().await, Postgres::database().await);
    assert_ne!(one.url(), other.url());
    let connection = connect_postgres(&one.url()).await.unwrap();
    connection.execute_unprepared("CREATE TABLE t (id INT)").await.unwrap();
    let name = one.url().rsplit('/').next().unwrap().to_owned();
    drop(one);
    let admin = connect_postgres(Postgres::shared().await).await.unwrap();
    let row = admin.query_one_raw(sea_orm::Statement::from_string(
        sea_orm::DbBackend::Postgres,
        format!("SELECT 1 FROM pg_database WHERE datname = '{name}'"),
    ));
    assert!(row.await.unwrap().is_none());
    let connection = connect_postgres(&other.url()).await.unwrap();
    assert!(connection.execute_unprepared("SELECT * FROM t").await.is_err());
}

#[tokio::test]
async fn waiting_gives_up_and_says_for_what() {
    let mut asked = 0;
    until("asked three times", DEADLINE, async || {
        asked += 1;
        asked == 3
    })
    .await;
    let hangs = until("pigs fly", Duration::from_millis(50), std::future::pending::<bool>);
    let panic = tokio::spawn(hangs).await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "not within 50ms: pigs fly");
}

#[tokio::test]
async fn a_hub_is_ready_when_its_port_says_so() {
    let port = free_port().unwrap();
    let env = HashMap::from([("API_PORT".to_owned(), port.to_string()), ("PLANTED".to_owned(), "value".to_owned())]);
    let mut hub = stand_in("echo out $PLANTED $CARGO_MANIFEST_DIR; echo err >&2; exec sleep 600", &env);
    assert_eq!(hub.url(), format!("http://127.0.0.1:{port}"));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let router = Router::new().route("/readyz", get(async || StatusCode::OK));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    hub.wait_ready().await;
    until("both outputs are in the log", DEADLINE, async || hub.log() == "out value\nerr\n").await;
    assert!(hub.is_running());
    hub.terminate().await;
    assert!(!hub.is_running());
    server.abort();
}

#[tokio::test]
async fn a_hub_that_ends_before_it_is_ready_shows_its_log() {
    let mut hub = stand_in("echo the reason; exit 3", &HashMap::new());
    let panic = tokio::spawn(async move { hub.wait_ready().await }).await.unwrap_err().into_panic();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("ended before it was ready") && message.ends_with("the reason"), "{message}");
}

#[tokio::test]
async fn a_killed_hub_starts_again_in_its_folder() {
    let mut hub = stand_in("echo $NTH >> data.txt; pwd; exec sleep 600", &HashMap::new());
    until("it has started", DEADLINE, async || hub.log().lines().count() == 1).await;
    let first = hub.id();
    hub.kill9();
    assert!(!hub.is_running());
    hub.set_env("NTH", "second");
    hub.start_again();
    assert_ne!(hub.id(), first);
    until("it has started again", DEADLINE, async || hub.log().lines().count() == 2).await;
    assert_eq!(std::fs::read_to_string(hub.folder().join("data.txt")).unwrap(), "\nsecond\n");
}

#[tokio::test]
async fn a_dropped_hub_takes_its_nats_server_along_and_nothing_else() {
    let nats = Nats::start().await;
    let port = nats.port();
    let pid = nats.id();
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    for (child, lives) in [(stranger.id(), true), (pid, false)] {
        let hub = stand_in("exec sleep 600", &HashMap::new());
        std::fs::create_dir_all(hub.folder().join("data/nats")).unwrap();
        std::fs::write(hub.folder().join("data/nats/nats.pid"), child.to_string()).unwrap();
        drop(hub);
        let stays = if lives { !command_line(child).is_empty() } else { nats_greets(port).await };
        assert_eq!(stays, lives);
    }
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn the_real_program_is_there() {
    assert!(Path::new(env!("CARGO_BIN_EXE_omnihub")).is_file());
    let mut hub = Hub::spawn(&["--version"], &HashMap::new());
    hub.kill9();
}
