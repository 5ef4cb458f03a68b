//! The load: every conversation posts its messages one after the other, as Evolution does.
//!
//! What is refused with a 5xx or not answered is posted again, the same bytes, at the other door;
//! some that were accepted are posted once more, since Evolution repeats what it saw no answer to.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::future::join_all;
use omnihub_fakes::customers;
use reqwest::Client;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    facts::{Accepted, Conversation},
    play,
    schedule::Dice,
};

/// Evolution waits 30 s; a frozen door must not take that long from a short run.
const ANSWER: Duration = Duration::from_secs(4);

/// The wait before a post is repeated.
const AGAIN: Duration = Duration::from_millis(250);

/// How long a message is posted again before it counts as never accepted.
const PATIENCE: Duration = Duration::from_secs(120);

/// One in so many accepted messages is posted once more.
const REPEATED: u64 = 20;

/// What is posted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) seed: u64,
    pub(super) messages: usize,
    pub(super) conversations: usize,
    /// The messages are spread over so long.
    pub(super) length: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Posted {
    pub(super) accepted: Vec<Accepted>,
    pub(super) never_accepted: usize,
    pub(super) refused: Vec<String>,
    /// Posts that were not accepted at once.
    pub(super) again: usize,
}

struct Poster<'a> {
    client: Client,
    doors: &'a [String],
    load: Load,
    began: Instant,
    again: AtomicUsize,
}

/// Posts the whole load.
pub(super) async fn post(doors: &[String], load: Load, began: Instant) -> anyhow::Result<Posted> {
    let client = Client::builder().no_proxy().timeout(ANSWER).build()?;
    let poster = Poster { client, doors, load, began, again: AtomicUsize::new(0) };
    let conversations = join_all((0..load.conversations).map(|conversation| poster.conversation(conversation))).await;
    let mut posted = Posted::default();
    for one in conversations {
        posted.accepted.extend(one.accepted);
        posted.never_accepted += one.never_accepted;
        posted.refused.extend(one.refused);
    }
    posted.again = poster.again.into_inner();
    Ok(posted)
}

impl Poster<'_> {
    async fn conversation(&self, conversation: Conversation) -> Posted {
        let Load { seed, messages, conversations, length } = self.load;
        let count = messages / conversations + usize::from(conversation < messages % conversations);
        let mut dice = Dice(seed.rotate_left(17) ^ conversation as u64);
        let window = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let mut due: Vec<u64> = (0..count).map(|_| dice.between(0, window)).collect();
        due.sort_unstable();
        let mut posted = Posted::default();
        for (nth, due) in due.into_iter().enumerate() {
            sleep_until(self.began + Duration::from_millis(due)).await;
            let id = customers::message_id(seed & 0xFFFF_FFFF, (conversation as u64) << 24 | nth as u64);
            let (instance, phone) = (play::instance(conversation), play::phone(conversation));
            let text = play::text(conversation, nth);
            let body = customers::webhook(&instance, &phone, &id, &text, now_seconds());
            let first_door = dice.between(0, 2);
            match self.message(&instance, &body, first_door).await {
                Ok(trace) => {
                    let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
                    let bubbles = play::bubbles(conversation, nth);
                    posted.accepted.push(Accepted { conversation, nth, bubbles, at, trace });
                }
                Err(why) => {
                    // What follows would be in order without it: the conversation ends here.
                    posted.never_accepted += count - nth;
                    posted.refused.push(format!("message {nth} of {conversation}: {why}"));
                    return posted;
                }
            }
            if dice.between(0, REPEATED) == 0 {
                // Its answer is of no interest: an accepted message must not appear twice.
                let _ = self.once(&instance, &body, first_door + 1).await;
            }
        }
        posted
    }

    /// Posts one until it is accepted, and answers its trace.
    async fn message(&self, instance: &str, body: &Value, first_door: u64) -> Result<String, String> {
        let began = Instant::now();
        let mut door = first_door;
        loop {
            let failed = match self.once(instance, body, door).await {
                Ok((200, answer)) => {
                    let trace = answer["trace_id"].as_str().map(str::to_owned);
                    return trace.ok_or_else(|| "accepted without a trace id".to_owned());
                }
                Ok((status, _)) if status < 500 => return Err(format!("refused for good with {status}")),
                Ok((status, _)) => status.to_string(),
                Err(error) => format!("{error:#}"),
            };
            self.again.fetch_add(1, Ordering::Relaxed);
            if began.elapsed() > PATIENCE {
                return Err(format!("not accepted within {PATIENCE:?}, last: {failed}"));
            }
            sleep(AGAIN).await;
            door += 1;
        }
    }

    async fn once(&self, instance: &str, body: &Value, door: u64) -> anyhow::Result<(u16, Value)> {
        let nth = usize::try_from(door).unwrap_or_default() % self.doors.len();
        let url = format!("{}/webhook/evolution/{instance}", self.doors[nth]);
        let answer = self.client.post(url).json(body).send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.unwrap_or_default()))
    }
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
