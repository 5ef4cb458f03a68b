//! The load: webhooks as Evolution posts them, one by one, at a steady rate, or as fast as they
//! are accepted.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{StreamExt as _, stream};
use omnihub_fakes::customers;
use reqwest::{Client, header::RETRY_AFTER};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// Evolution waits so long for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// The wait before a post is repeated.
const AGAIN: Duration = Duration::from_millis(250);

/// How long a message is posted again.
const PATIENCE: Duration = Duration::from_secs(120);

/// A message of a customer.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// To which instance.
    pub(super) instance: String,
    /// The customer's number among all.
    pub(super) customer: usize,
    /// What is written.
    pub(super) text: String,
}

impl Message {
    /// A message.
    pub(super) fn new(instance: &str, customer: usize, text: String) -> Self {
        Self { instance: instance.to_owned(), customer, text }
    }
}

/// The number of the first customer's phone.
const FIRST: usize = 1_000_000;

/// The phone of a customer.
pub(super) fn phone(customer: usize) -> String {
    format!("1415{:07}", FIRST + customer)
}

/// The customer whose phone ends the name of a conversation.
pub(super) fn customer_of(conversation: &str) -> Option<usize> {
    let digits = conversation.get(conversation.len().checked_sub(phone(0).len())?..)?;
    digits.strip_prefix("1415")?.parse::<usize>().ok()?.checked_sub(FIRST)
}

/// What a webhook was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status; 0 when there was no answer.
    pub(super) status: u16,
    /// Whether `Retry-After` was there.
    pub(super) retry_after: bool,
}

/// One message of a steady load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posted {
    /// Its place.
    pub(super) nth: usize,
    /// When it should have been posted.
    pub(super) due: Instant,
    /// How much later the generator itself was.
    pub(super) late: Duration,
    /// The answer.
    pub(super) answer: Answer,
}

/// Posts webhooks to one ingress.
#[derive(Clone, Debug)]
pub(super) struct Poster {
    client: Client,
    door: String,
    run: u64,
    ids: Arc<AtomicU64>,
}

impl Poster {
    /// A poster to this address.
    pub(super) fn to(door: &str) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().timeout(ANSWER).build()?;
        let run = RandomState::new().hash_one(0) >> 4;
        Ok(Self { client, door: door.to_owned(), run, ids: Arc::default() })
    }

    fn next_id(&self) -> String {
        customers::message_id(self.run, self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Posts it once.
    pub(super) async fn once(&self, message: &Message) -> Answer {
        self.post(message, &self.next_id()).await
    }

    async fn post(&self, message: &Message, id: &str) -> Answer {
        let Message { instance, customer, text } = message;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let body = customers::webhook(instance, &phone(*customer), id, text, now);
        let url = format!("{}/webhook/evolution/{instance}", self.door);
        match self.client.post(url).json(&body).send().await {
            Ok(answer) => {
                let (status, headers) = (answer.status().as_u16(), answer.headers());
                let retry_after = headers.contains_key(RETRY_AFTER);
                // Read to its end, so that the connection is used again.
                let _ = answer.bytes().await;
                Answer { status, retry_after }
            }
            Err(_) => Answer { status: 0, retry_after: false },
        }
    }

    /// Posts it again and again, the same webhook, until it is accepted.
    pub(super) async fn until_accepted(&self, message: &Message) -> anyhow::Result<()> {
        let (id, began) = (self.next_id(), Instant::now());
        loop {
            let answer = self.post(message, &id).await;
            match answer.status {
                200 => return Ok(()),
                0 | 500.. => {}
                status => anyhow::bail!("a message was refused for good with {status}"),
            }
            anyhow::ensure!(began.elapsed() < PATIENCE, "not accepted within {PATIENCE:?}, last: {answer:?}");
            sleep(AGAIN).await;
        }
    }

    /// Posts all of them, so many at once, each until it is accepted.
    pub(super) async fn all(&self, messages: impl Iterator<Item = Message>, at_once: usize) -> anyhow::Result<()> {
        let mut posts = stream::iter(messages)
            .map(|message| async move { self.until_accepted(&message).await })
            .buffer_unordered(at_once);
        while let Some(posted) = posts.next().await {
            posted?;
        }
        Ok(())
    }

    /// Posts `count` messages at a steady rate, each once, whatever the answers to the others are.
    pub(super) async fn steadily(
        &self,
        count: usize,
        rate: f64,
        message: impl Fn(usize) -> Message,
    ) -> anyhow::Result<Vec<Posted>> {
        let (began, mut posts) = (Instant::now(), JoinSet::new());
        for nth in 0..count {
            let due = began + Duration::from_secs_f64(nth as f64 / rate);
            sleep_until(due).await;
            let (poster, message) = (self.clone(), message(nth));
            posts.spawn(async move {
                let late = due.elapsed();
                Posted { nth, due, late, answer: poster.once(&message).await }
            });
        }
        let mut posted = Vec::with_capacity(count);
        while let Some(one) = posts.join_next().await {
            posted.push(one?);
        }
        Ok(posted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_is_known_by_the_phone() {
        assert_eq!(customer_of(&format!("shop_{}", phone(1_415))), Some(1_415));
        assert_eq!(customer_of("shop_551199"), None);
    }
}
