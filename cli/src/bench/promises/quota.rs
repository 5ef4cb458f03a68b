//! An instance whose messages pile up has a quota: over it its webhooks get 503 and `Retry-After`,
//! while those of the others are accepted and answered.

use std::time::Duration;

use omnihub_stage::until;
use serde_json::json;

use super::{
    Terms,
    load::{Message, Posted},
    outside::answer_to,
    row::{About, Row},
    site::{Shape, Site},
    statistics::{percentile, time},
};

const FIGURE: &str = "quota";
const GREEDY: &str = "greedy";
const OTHERS: usize = 4;

/// Conversations of each instance.
const CUSTOMERS: usize = 100;

/// How long the answers may take.
const ANSWERED: Duration = Duration::from_secs(120);

/// The measurement. Every second message is the greedy instance's, whose agent does not answer.
pub(super) async fn measure(terms: Terms) -> anyhow::Result<Vec<Row>> {
    let site = Site::start(&Shape { workers: 1, brokers: terms.brokers, lease: None }).await?;
    let (quota, count, rate) = terms.size((1_000, 6_000, 200.0), (100, 1_000, 100.0));
    site.make_instance(GREEDY, "gate", &json!({ "max_backlog": quota })).await?;
    for nth in 0..OTHERS {
        site.make_instance(&other(nth), "0", &json!({})).await?;
    }
    site.outside.open_gate(false);
    let poster = site.poster()?;
    let posted = poster.steadily(count, rate, message).await?;
    let (greedy, others): (Vec<Posted>, Vec<Posted>) = posted.into_iter().partition(|posted| is_greedy(posted.nth));
    let refused: Vec<&Posted> = greedy.iter().filter(|posted| posted.answer.status != 200).collect();
    let accepted = greedy.len() - refused.len();
    let kind = refused.iter().filter(|posted| posted.answer.status == 503 && posted.answer.retry_after).count();
    let others_accepted = others.iter().filter(|posted| posted.answer.status == 200).count();

    let answered = |posted: &Posted| site.outside.bubble_at(&answer_to(&message(posted.nth).text));
    // One that is not answered shows in the row.
    let _ = until("the others are answered", ANSWERED, async || others.iter().all(|one| answered(one).is_some())).await;
    let took: Vec<Duration> =
        others.iter().filter_map(|one| Some(answered(one)?.saturating_duration_since(one.due.into_std()))).collect();
    site.outside.open_gate(true);
    let all = accepted + others_accepted;
    let _ = until("all that was accepted is answered", ANSWERED, async || site.outside.bubbles() >= all).await;
    let bubbles = site.outside.bubbles();
    let again = poster.until_accepted(&Message::new(GREEDY, 0, "again".to_owned())).await;
    Ok(vec![
        Row::note(
            FIGURE,
            About::Deeds,
            format!("refused, of {} over a quota of {quota}", greedy.len()),
            refused.len().to_string(),
        )
        .goal("> 0", !refused.is_empty()),
        Row::count(FIGURE, "of them with 503 and Retry-After", kind, refused.len()),
        Row::note(FIGURE, About::Time, "accepted of it before (counts are told once a second)", accepted.to_string())
            .goal(format!(">= {quota}"), accepted >= quota),
        Row::count(FIGURE, "accepted of the others meanwhile", others_accepted, others.len()),
        Row::note(FIGURE, About::Time, "their p99 from webhook to reply", time(percentile(&took, 0.99))),
        Row::count(FIGURE, "answered of all that was accepted, its agent being back", bubbles, all),
        Row::count(FIGURE, "accepted again of it when its backlog is gone", usize::from(again.is_ok()), 1),
    ])
}

fn is_greedy(nth: usize) -> bool {
    nth.is_multiple_of(2)
}

fn other(nth: usize) -> String {
    format!("modest{}", nth % OTHERS)
}

fn message(nth: usize) -> Message {
    let instance = if is_greedy(nth) { GREEDY.to_owned() } else { other(nth / 2) };
    Message::new(&instance, nth / 2 % CUSTOMERS, format!("q{nth}"))
}
