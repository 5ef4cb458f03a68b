//! Dead letters: messages that could not be answered, kept for 30 days with what is needed to try
//! again.
//!
//! - [`DeadLetter`]: the record, and [`Summary`], the part of it that lists show. The summary is
//!   also a header of the stored letter, so that a list need not read the letters themselves.
//! - [`LetterId`]: how people and programs name a letter.
//! - [`DeadFilter`]: which letters are meant.
//! - [`DeadLetters`]: the stream: keeps, lists, shows and removes letters.
//! - [`Redriver`]: puts messages back into their lanes.
//!
//! What this is not for: it decides nothing about instances. Whether one is still there is asked
//! by whoever redrives.

mod filter;
mod keep;
mod letter;
mod objects;
mod read;
mod redrive;
mod remove;

use async_nats::jetstream::stream::Stream;

use super::{Media, MediaError, connect::Nats, streams::DEAD};

pub use filter::{DeadFilter, Stretch};
pub use letter::{DeadLetter, LetterId, Summary};
pub use read::{Found, KeptLetter, Matching, Page};
pub use redrive::{RedriveError, Redriver, Skip};

/// The header of a stored letter that holds its summary: JSON in base64.
const SUMMARY_HEADER: &str = "Omnihub-Letter";

/// The dead letters could not be reached, or did not confirm.
#[derive(Debug, thiserror::Error)]
#[error("the dead letters cannot be reached")]
pub struct DeadLetterError(#[source] Box<dyn std::error::Error + Send + Sync>);

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DeadLetterError {
    DeadLetterError(error.into())
}

/// The dead letters of all instances.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    nats: Nats,
    /// Where objects of living messages are.
    media: Media,
    /// Where they are kept as long as the letters.
    copies: Media,
}

impl DeadLetters {
    /// The dead letters behind a connection.
    ///
    /// # Errors
    /// When NATS does not answer or the stores were not made yet.
    pub async fn open(nats: Nats) -> Result<Self, MediaError> {
        let (media, copies) = (Media::open(&nats.js).await?, Media::open_dead(&nats.js).await?);
        Ok(Self { nats, media, copies })
    }

    /// The stream. Without a connection every request would wait for its timeout.
    async fn stream(&self) -> Result<Stream<()>, DeadLetterError> {
        match self.nats.connected() {
            true => self.nats.js.get_stream_no_info(DEAD).await.map_err(failed),
            false => Err(failed("the connection to NATS is down")),
        }
    }
}
