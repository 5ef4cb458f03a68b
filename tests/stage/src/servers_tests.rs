//! The servers tried on themselves: a stage that lies makes every test lie.

use std::process::Command;
use std::time::Duration;

use sea_orm::ConnectionTrait as _;

use crate::{
    Database, FsyncMode, Nats, NatsCluster, Postgres, Process, connect_postgres, is_alive, nats_greets,
    nats_server_version, until,
};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn nats_comes_back_on_the_same_port_and_store() {
    let mut nats = Nats::start(FsyncMode::Always).await.unwrap();
    let (url, port) = (nats.url(), nats.port());
    let marker = nats.store().join("marker");
    std::fs::write(&marker, "kept").unwrap();
    assert!(nats_greets(port).await);
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("snapshot");
    nats.snapshot(&snapshot).unwrap();
    nats.kill9();
    assert!(!nats_greets(port).await);
    assert!(marker.exists());
    std::fs::write(&marker, "newer").unwrap();
    nats.put_back(&snapshot).unwrap();
    nats.start_again().await.unwrap();
    assert_eq!(std::fs::read_to_string(&marker).unwrap(), "kept");
    assert_eq!(nats.url(), url);
    drop(nats);
    assert!(!nats_greets(port).await);
}

#[tokio::test]
async fn a_cluster_of_three_loses_one_and_all_and_comes_together_again() {
    let mut cluster = NatsCluster::start(FsyncMode::Default).await.unwrap();
    assert_eq!(cluster.url().split(',').count(), 3);
    cluster.server(4).kill9();
    assert!(!nats_greets(cluster.servers()[1].port()).await);
    assert!(nats_greets(cluster.servers()[0].port()).await);
    cluster.start_again().await.unwrap();
    cluster.kill9();
    cluster.start_again().await.unwrap();
    assert!(cluster.named("n3").is_some() && cluster.named("n4").is_none());
}

#[test]
fn nats_versions_are_compared_as_numbers() {
    assert_eq!(nats_server_version("nats-server: v2.15.1\n"), Some([2, 15, 1]));
    assert_eq!(nats_server_version("nats-server: v2.16.0-RC.1"), Some([2, 16, 0]));
    assert_eq!(nats_server_version("nats-server: 2.9.10"), Some([2, 9, 10]));
    assert_eq!(nats_server_version("something else"), None);
}

#[tokio::test]
async fn a_database_survives_the_halt_of_its_cluster() {
    let postgres = Postgres::start().await.unwrap();
    let database = Database::create(postgres.url()).await.unwrap();
    let connection = connect_postgres(&database.url()).await.unwrap();
    connection.execute_unprepared("CREATE TABLE t AS SELECT 7 AS n").await.unwrap();
    postgres.halt().await.unwrap();
    assert!(connect_postgres(&database.url()).await.is_err());
    postgres.start_again().await.unwrap();
    let connection = connect_postgres(&database.url_by(postgres.port().unwrap())).await.unwrap();
    let affected = connection.execute_unprepared("DELETE FROM t").await.unwrap().rows_affected();
    assert_eq!(affected, 1);
}

#[tokio::test]
async fn a_frozen_process_can_be_killed_and_a_dropped_one_is_gone() {
    let process = Process::spawn(Command::new("sleep").arg("600")).unwrap();
    let pid = process.id();
    process.freeze();
    until("it stands", SOON, async || state(pid).starts_with('T')).await.unwrap();
    process.thaw();
    until("it goes on", SOON, async || state(pid).starts_with('S')).await.unwrap();
    process.freeze();
    drop(process);
    assert!(!is_alive(pid));
}

fn state(pid: u32) -> String {
    let listed = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).trim().to_owned()
}

/// Runs only as the child of the test below, which names the file for the pids.
#[tokio::test]
async fn child_of_the_guardian_test() {
    let Ok(file) = std::env::var("OMNIHUB_STAGE_PIDS") else { return };
    let ended = Process::spawn(&mut Command::new("true")).unwrap();
    let first = Process::spawn(Command::new("sleep").arg("600")).unwrap();
    let second = Process::spawn(Command::new("sh").args(["-c", "sleep 600 & wait"])).unwrap();
    drop(ended);
    std::fs::write(file, format!("{} {}", first.id(), second.id())).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_guardian_kills_the_children_of_a_killed_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "servers_tests::child_of_the_guardian_test"]).env("OMNIHUB_STAGE_PIDS", &file);
    let mut middle = Process::spawn(&mut command).unwrap();
    let pids = || std::fs::read_to_string(&file).unwrap_or_default();
    until("the children run", SOON, async || pids().contains(' ')).await.unwrap();
    let pids: Vec<u32> = pids().split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    middle.kill();
    until("the guardian has killed them", SOON, async || !pids.iter().any(|pid| is_alive(*pid))).await.unwrap();
}
