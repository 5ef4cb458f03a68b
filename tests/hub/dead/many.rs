//! More letters than one page, one batch and one call hold.

use std::collections::BTreeSet;

use async_nats::jetstream::Context;
use futures_util::future::try_join_all;
use omnihub_common::queue::{DeadLetter, Envelope, LaneAddress, MessageId, Subjects, partition_of, token};
use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::{LETTERS, dies, ids, jetstream_of, list, redrive_many, refusing, total};
use crate::harness::{DEADLINE, Database, Site, until};

/// Two full batches of the reader and a bit, in so many conversations.
const MANY: u32 = 1_200;
const CONVERSATIONS: u32 = 40;
/// So many of the copies are redriven, the others dropped but for one.
const REDRIVEN: u32 = 100;

/// Copies a letter into letters of other messages, every second one of the same conversation.
async fn multiply(js: &Context, letter: &DeadLetter) {
    let envelope = letter.envelope.as_ref().unwrap();
    for chunk in (0..MANY).collect::<Vec<_>>().chunks(100) {
        let publishing = chunk.iter().map(|nth| {
            let session_name = match nth % 2 {
                0 => envelope.session_name.clone(),
                _ => format!("acme_1415555{:04}", nth % CONVERSATIONS),
            };
            let copy = Envelope {
                id: MessageId::redriven(envelope.id, 1_000_000 + nth),
                trace_id: Uuid::new_v8(u128::from(*nth).to_be_bytes()),
                session_name: session_name.clone(),
                ..envelope.clone()
            };
            let lane = LaneAddress {
                partition: partition_of(copy.instance_id, &session_name, 32),
                instance: format!("acme-{}", copy.instance_id),
                conversation: token(&session_name),
            };
            let subject = Subjects::dead(&lane.instance, &lane.conversation, &copy.trace_id.to_string());
            let payload = serde_json::to_vec(&DeadLetter { envelope: Some(copy), ..letter.clone() }).unwrap();
            async { js.publish(subject, payload.into()).await?.await }
        });
        try_join_all(publishing).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_letters_are_paged_redriven_and_dropped() {
    let site = Site::parts(Database::Sqlite, refusing()).await;
    let first = dies(&site, "14155551999", "again and again").await;
    let js = jetstream_of(&site).await;
    let stored = js.get_stream("DEAD").await.unwrap().get_last_raw_message_by_subject("dead.>").await.unwrap();
    multiply(&js, &serde_json::from_slice(&stored.payload).unwrap()).await;
    assert_eq!(total(&site).await, u64::from(MANY) + 1);
    let told = site.get(&format!("/api/v1/traces/{first}/explanation")).await;
    assert!(told.to_string().contains("The dead letter is kept, after "), "among many of its conversation: {told}");

    // Every letter is on one page and no more.
    let (mut seen, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = list(&site, &format!("?limit=500{cursor}")).await;
        assert_eq!(page["total"], MANY + 1);
        for id in ids(&page) {
            assert!(seen.insert(id.to_owned()), "{id} twice");
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen.len(), MANY as usize + 1);
    assert!(seen.contains(&first));

    // Work goes on where a cursor says, and not beyond its end.
    let (from, upto) = (stored.sequence + u64::from(REDRIVEN), stored.sequence + u64::from(MANY));
    let part = format!("{LETTERS}?all=true&cursor={from}-{}", upto - 1);
    let dropped = site.api(Method::DELETE, &part, None).await.body;
    assert_eq!((&dropped["dropped"], &dropped["next_cursor"]), (&json!(MANY - REDRIVEN - 1), &json!(null)));

    site.agent.set_behaviour(Behaviour::Fixed("well".into()));
    let left = u64::from(REDRIVEN) + 2;
    let mut done = 0;
    let mut body = json!({"all": true});
    loop {
        let answer = redrive_many(&site, body.clone()).await;
        done += answer["redriven"].as_u64().unwrap();
        let Some(cursor) = answer["next_cursor"].as_str() else { break };
        body["cursor"] = cursor.into();
    }
    assert_eq!((done, total(&site).await), (left, 0));
    let sent = usize::try_from(left).unwrap();
    until("each is answered", DEADLINE, async || site.evolution.sent().len() >= sent).await;
    assert_eq!(site.evolution.sent().len(), sent);
}
