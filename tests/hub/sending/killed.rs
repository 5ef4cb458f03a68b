//! A worker that dies with a send in flight.

use std::time::Duration;

use futures_util::StreamExt;
use omnihub_common::queue::{Checkpoint, Phase};
use omnihub_fakes::Behaviour;

use super::{message_id, send_with, sent_to, text, trace_id};
use crate::harness::{ADMIN_KEY, DEADLINE, Database, INSTANCE, Site, on_both_databases, until};

on_both_databases!(a_send_in_flight_goes_on_in_the_next_worker);

const PHONE: &str = "14155557401";

/// Whether the one checkpoint says that a send has begun.
async fn is_in_flight(site: &Site) -> bool {
    let nats = async_nats::connect(site.nats.as_ref().unwrap().url()).await.unwrap();
    let stream = async_nats::jetstream::new(nats).get_stream("TURNS").await.unwrap();
    let mut subjects = stream.info_with_subjects("turn.>").await.unwrap();
    let Some(Ok((subject, _))) = subjects.next().await else { return false };
    let Ok(message) = stream.get_last_raw_message_by_subject(&subject).await else { return false };
    let open = Checkpoint::read(&message.payload).ok().and_then(|checkpoint| checkpoint.open);
    matches!(open.map(|open| open.phase), Some(Phase::Sending(answer)) if answer.in_doubt)
}

async fn a_send_in_flight_goes_on_in_the_next_worker(database: Database) {
    let mut site = Site::parts(database, Behaviour::Echo).await;
    // It lands after all that is looked at here.
    site.evolution.delay(Duration::from_secs(600));
    let path = format!("{}/api/v1/instance/{INSTANCE}/send-text?wait=60", site.hub.url());
    let call = reqwest::Client::new().post(path).header("x-api-key", ADMIN_KEY).header("idempotency-key", "k");
    let call = tokio::spawn(call.json(&text(PHONE, "do not lose me")).send());
    until("the send is in flight", DEADLINE, async || is_in_flight(&site).await).await;
    let worker = site.worker.as_mut().unwrap();
    worker.kill9();
    site.evolution.delay(Duration::ZERO);
    worker.start_again();
    worker.wait_ready().await;

    // Who waits hears of it from the next worker.
    let answer = call.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let answer: serde_json::Value = answer.json().await.unwrap();
    let again = send_with(&site, "text", &text(PHONE, "do not lose me"), Some("k")).await;
    assert_eq!((&answer["message_id"], &answer["trace_id"]), (&message_id(&again).into(), &trace_id(&again).into()));
    let trace = site.ended(&trace_id(&again)).await;
    assert_eq!(trace["outcome"], "answered");
    // Evolution goes on when its caller is gone: the one in flight may have gone out twice.
    let sent = sent_to(&site, PHONE).len();
    assert!((1..=2).contains(&sent), "{sent} went out");
    assert!(trace["warnings"].to_string().contains("may have been sent twice"), "{trace}");
    site.assert_no_violations();
}
