//! A change of an instance reaches every process.

use omnihub_fakes::{Behaviour, FakeAgent};
use reqwest::StatusCode;
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{DEADLINE, Database, Site, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_reaches_a_worker_apart_and_wakes_what_waits_for_it() {
    let mut site = Site::parts(Database::Postgres, Behaviour::Echo).await;
    let second = FakeAgent::start(Behaviour::Fixed("the second agent".into())).await.unwrap();
    let id = site.say("14155558100", "hello").await;
    site.ended(&id).await;
    // Told before the answer to whoever changed it: the very next message is asked elsewhere.
    for round in 0..5 {
        for (agent, reply) in [(&second, "the second agent".to_owned()), (&site.agent, format!("echo: {round}"))] {
            let fields = json!({"agent_api_url": agent.url(), "agent_api_key": agent.key()});
            site.change_instance("acme", fields).await;
            let id = site.say("14155558100", &round.to_string()).await;
            assert_eq!(site.ended(&id).await["agent_response"], reply);
        }
    }

    // The agent is away: the lane waits, and goes on as soon as there is another one.
    site.agent.set_behaviour(Behaviour::Status(StatusCode::UNAUTHORIZED, json!({"detail": "no"})));
    let id = site.say("14155558100", "who is there?").await;
    let held = |trace: &serde_json::Value| trace["warnings"].to_string().contains("held: ");
    site.trace_when(&id, "says that it is held", held).await;
    // Told while the broker is away, it is not lost.
    site.nats.as_mut().unwrap().stop();
    site.change_instance("acme", json!({"agent_api_url": second.url(), "agent_api_key": second.key()})).await;
    site.nats.as_mut().unwrap().start_again().await;
    assert_eq!(site.ended(&id).await["agent_response"], "the second agent");
    site.assert_no_violations();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_made_in_the_database_by_hand_is_seen_too() {
    let store = crate::harness::Store::new(Database::Postgres).await;
    let settings = [("DATABASE_URL", &*store.url()), ("OMNIHUB_INSTANCE_POLL", "3")];
    let site = Site::up_with(Database::Sqlite, Behaviour::Echo, &settings).await;
    let id = site.say("14155558200", "hello").await;
    site.ended(&id).await;
    let database = sea_orm::Database::connect(store.url()).await.unwrap();
    let by_hand = "UPDATE instance_configs SET is_active = false, updated_at = now()";
    database.execute_unprepared(by_hand).await.unwrap();
    until("the instance is inactive", DEADLINE, async || {
        let id = site.say("14155558200", "are you there?").await;
        site.ended(&id).await["outcome"] == "ignored"
    })
    .await;
    database.close().await.unwrap();
}
