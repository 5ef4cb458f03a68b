//! Reading letters.
//!
//! A list goes through the headers of the whole stream, so that it knows how many letters match,
//! and holds no more than one page in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use async_nats::jetstream::{
    Message,
    consumer::{AckPolicy, DeliverPolicy, pull},
    message::StreamMessage,
    stream::LastRawMessageErrorKind,
};
use futures_util::StreamExt;

use super::{DeadFilter, DeadLetter, DeadLetterError, DeadLetters, LetterId, SUMMARY_HEADER, Stretch, Summary, failed};
use crate::queue::{Subjects, streams::DEAD};

/// Going through all letters may take so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// The server forgets a reader that has asked for nothing for so long.
const READER_LIVES: Duration = Duration::from_secs(30);
/// Headers that are asked for at once.
const BATCH: usize = 500;

/// A letter as a list knows it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// The token of its instance.
    pub instance_token: String,
    /// Its place in the stream: a message that dies again has a later one.
    pub sequence: u64,
    /// What is shown of it.
    pub summary: Summary,
}

/// The letters that match in a stretch.
#[derive(Clone, Debug)]
pub struct Matching {
    /// Their places, the oldest first.
    pub places: Vec<u64>,
    /// How many of each instance, by its token.
    pub instances: BTreeMap<String, u64>,
    /// The stretch as it is now, with an end.
    pub stretch: Stretch,
}

/// One page of a list, the newest letter first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The letters.
    pub letters: Vec<Found>,
    /// How many match in all, before and behind this page too.
    pub matched: u64,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<u64>,
}

/// A letter with all that is kept of it.
#[derive(Clone, Debug)]
pub struct KeptLetter {
    /// Its id.
    pub id: String,
    /// The token of its instance.
    pub instance_token: String,
    /// Where it is kept.
    pub subject: String,
    /// Its place in the stream.
    pub sequence: u64,
    /// The record; `None` when this build cannot read it.
    pub letter: Option<DeadLetter>,
}

impl KeptLetter {
    fn of(message: &StreamMessage) -> Option<Self> {
        let (instance, id) = Subjects::read_dead(&message.subject)?;
        Some(Self {
            id: id.to_owned(),
            instance_token: instance.to_owned(),
            subject: message.subject.to_string(),
            sequence: message.sequence,
            letter: serde_json::from_slice(&message.payload).ok(),
        })
    }

    /// What is shown of it.
    #[must_use]
    pub fn summary(&self) -> Summary {
        match &self.letter {
            Some(letter) => letter.summary(),
            None => Summary { reason: "unknown_record".to_owned(), ..Summary::default() },
        }
    }
}

impl DeadLetters {
    /// A page of the letters that match, the newest first: at most `limit` of those that are older
    /// than `before`.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn list(&self, filter: &DeadFilter, before: Option<u64>, limit: usize) -> Result<Page, DeadLetterError> {
        let (mut newest, mut page, mut more) = (VecDeque::with_capacity(limit), Page::default(), false);
        self.scan(Stretch::ALL, |found| {
            if !filter.matches(&found.instance_token, &found.summary) {
                return;
            }
            page.matched += 1;
            if before.is_none_or(|before| found.sequence < before) {
                newest.push_back(found);
                if newest.len() > limit {
                    newest.pop_front();
                    more = true;
                }
            }
        })
        .await?;
        page.letters = newest.into_iter().rev().collect();
        page.next = page.letters.last().filter(|_| more).map(|found| found.sequence);
        Ok(page)
    }

    /// How many letters match.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn count(&self, filter: &DeadFilter) -> Result<u64, DeadLetterError> {
        Ok(self.list(filter, Some(0), 0).await?.matched)
    }

    /// The letters that match in a stretch.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn matching(&self, filter: &DeadFilter, stretch: Stretch) -> Result<Matching, DeadLetterError> {
        let (mut places, mut instances, mut last) = (Vec::new(), BTreeMap::new(), stretch.after);
        self.scan(stretch, |found| {
            last = last.max(found.sequence);
            if filter.matches(&found.instance_token, &found.summary) {
                places.push(found.sequence);
                *instances.entry(found.instance_token).or_default() += 1;
            }
        })
        .await?;
        Ok(Matching { places, instances, stretch: Stretch { upto: stretch.upto.min(last), ..stretch } })
    }

    /// One letter.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn show(&self, id: &LetterId) -> Result<Option<KeptLetter>, DeadLetterError> {
        self.read(&Subjects::dead_anywhere(id.as_str())).await
    }

    /// The letter at a place; `None` when it is gone.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn at(&self, sequence: u64) -> Result<Option<KeptLetter>, DeadLetterError> {
        present(self.stream().await?.get_raw_message(sequence).await)
            .map(|found| found.as_ref().and_then(KeptLetter::of))
    }

    /// The newest letter of a subject, as the leader has it.
    pub(super) async fn read(&self, subject: &str) -> Result<Option<KeptLetter>, DeadLetterError> {
        let found = self.stream().await?.get_last_raw_message_by_subject(subject).await;
        present(found).map(|found| found.as_ref().and_then(KeptLetter::of))
    }

    /// Goes through the letters of a stretch, the oldest first.
    async fn scan(&self, stretch: Stretch, each: impl FnMut(Found)) -> Result<(), DeadLetterError> {
        let stream = self.stream().await?;
        let consumer = stream.create_consumer(reader(stretch)).await.map_err(failed)?;
        let name = consumer.cached_info().name.clone();
        let scanned = tokio::time::timeout(PATIENCE, self.read_all(&consumer, stretch, each)).await;
        // It goes by itself when this is not confirmed.
        let _ = stream.delete_consumer(&name).await;
        scanned.map_err(failed)?
    }

    async fn read_all(
        &self,
        consumer: &async_nats::jetstream::consumer::PullConsumer,
        stretch: Stretch,
        mut each: impl FnMut(Found),
    ) -> Result<(), DeadLetterError> {
        let (mut pending, mut expected) = (consumer.cached_info().num_pending, 1);
        while pending > 0 {
            let mut batch = consumer.fetch().max_messages(BATCH).messages().await.map_err(failed)?;
            let before = expected;
            while let Some(message) = batch.next().await {
                let message = message.map_err(DeadLetterError)?;
                let info = message.info().map_err(DeadLetterError)?;
                if info.consumer_sequence != expected {
                    return Err(failed("a part of the list was lost on its way"));
                }
                (expected, pending) = (expected + 1, info.pending);
                let sequence = info.stream_sequence;
                if sequence > stretch.upto {
                    return Ok(());
                }
                if let Some(found) = self.found(&message, sequence).await? {
                    each(found);
                }
            }
            // What was counted as waiting has been removed meanwhile.
            if expected == before {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A letter by its header; those of earlier builds have none and are read as a whole.
    async fn found(&self, message: &Message, sequence: u64) -> Result<Option<Found>, DeadLetterError> {
        let Some((instance, id)) = Subjects::read_dead(&message.subject) else { return Ok(None) };
        let header = message.headers.as_ref().and_then(|headers| headers.get(SUMMARY_HEADER));
        let summary = match header.and_then(|header| Summary::of_header(header.as_str())) {
            Some(summary) => summary,
            None => match self.at(sequence).await? {
                Some(kept) => kept.summary(),
                None => return Ok(None),
            },
        };
        Ok(Some(Found { id: id.to_owned(), instance_token: instance.to_owned(), sequence, summary }))
    }
}

/// A consumer that only this scan has, of headers alone.
fn reader(stretch: Stretch) -> pull::Config {
    let deliver_policy = match stretch.after {
        0 => DeliverPolicy::All,
        after => DeliverPolicy::ByStartSequence { start_sequence: after.saturating_add(1) },
    };
    pull::Config {
        description: Some(format!("A reader of {DEAD}")),
        deliver_policy,
        ack_policy: AckPolicy::None,
        headers_only: true,
        inactive_threshold: READER_LIVES,
        num_replicas: 1,
        memory_storage: true,
        ..pull::Config::default()
    }
}

/// What is not there is no error.
fn present<M>(found: Result<M, async_nats::jetstream::stream::RawMessageError>) -> Result<Option<M>, DeadLetterError> {
    match found {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}
