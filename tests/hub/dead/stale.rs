//! A letter that was kept by a turn that was cut before its end was recorded.

use async_nats::jetstream::Context;
use omnihub_fakes::Behaviour;

use super::{jetstream_of, refusing, total};
use crate::harness::{DEADLINE, Site, on_both_databases, until};

on_both_databases!(an_answered_message_leaves_no_letter_of_an_earlier_beginning);

/// Outcomes of more bytes than this are not taken.
async fn limit_outcomes(js: &Context, bytes: i64) -> i64 {
    let mut config = js.get_stream("TRACES").await.unwrap().cached_info().config.clone();
    let before = std::mem::replace(&mut config.max_bytes, bytes);
    js.update_stream(config).await.unwrap();
    before
}

async fn an_answered_message_leaves_no_letter_of_an_earlier_beginning(database: crate::harness::Database) {
    let mut site = Site::parts(database, refusing()).await;
    let js = jetstream_of(&site).await;
    // Between the letter and the end stands the outcome, which nobody takes.
    let before = limit_outcomes(&js, 16).await;
    let trace = site.say("14155554101", "hello").await;
    until("its letter is kept", DEADLINE, async || total(&site).await == 1).await;

    site.worker.as_mut().unwrap().kill9();
    limit_outcomes(&js, before).await;
    site.agent.set_behaviour(Behaviour::Echo);
    site.worker.as_mut().unwrap().start_again();
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
    until("its letter is gone", DEADLINE, async || total(&site).await == 0).await;
    assert_eq!(site.replies_to("14155554101"), ["echo: hello"]);
}
