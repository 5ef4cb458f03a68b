//! How the accounts of instances are connected, as it was told last: the bucket `accounts`.
//!
//! It lies beside the queue, not in the database, so that it is kept while the database is away; a
//! record that is lost is told again by the next webhook. Keys are row ids of instances, `lid-` and one, and `watch`:
//! when somebody last watched over all accounts, which is how the hub knows that it was away.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Nats,
    bucket::{Bucket, BucketError},
    streams::ACCOUNTS,
};
use crate::channel::{ConnectionNews, ConnectionState};

/// The version that this build writes.
const VERSION: u8 = 1;
/// The key of the watch.
const WATCH: &str = "watch";
/// A news that is older by its server's clock counts all the same when the one before is older than
/// this: that clock may have been set.
const CLOCKS_AGREE_FOR: i64 = 60 * 60 * 1000;

/// How an account is connected, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    v: u8,
    /// How it is.
    pub state: ConnectionState,
    /// The channel's number for why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<i64>,
    /// Our own id there, as it was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_id: Option<String>,
    /// Since when it is so, in milliseconds since 1970.
    pub since: i64,
    /// When that was heard last.
    pub heard_at: i64,
    /// When the channel's server says that it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<String>,
    /// Since when nothing comes of it, though by its own habit something should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<i64>,
}

impl AccountRecord {
    /// The record after some news; none when the news is older than what is known.
    #[must_use]
    pub fn after(known: Option<&Self>, news: &ConnectionNews, now: i64) -> Option<Self> {
        let is_older = |known: &Self| {
            let both = known.told_at.as_deref().zip(news.told_at.as_deref());
            both.is_some_and(|(before, told)| told < before) && now - known.heard_at < CLOCKS_AGREE_FOR
        };
        if known.is_some_and(is_older) {
            return None;
        }
        let same = known.filter(|known| known.state == news.state);
        Some(Self {
            v: VERSION,
            state: news.state,
            reason: news.reason,
            own_id: news.own_id.clone().or_else(|| known.and_then(|known| known.own_id.clone())),
            since: same.map_or(now, |known| known.since),
            heard_at: now,
            told_at: news.told_at.clone(),
            silent_since: same.and_then(|known| known.silent_since),
        })
    }

    /// The same with or without a mark of silence.
    #[must_use]
    pub fn silent_or_not(&self, since: Option<i64>) -> Self {
        Self { silent_since: since, ..self.clone() }
    }

    /// Of an account that is open and silent, and of which nothing else was told.
    #[must_use]
    pub fn silent(since: i64, now: i64) -> Self {
        Self {
            v: VERSION,
            state: ConnectionState::Open,
            reason: None,
            own_id: None,
            since,
            heard_at: now,
            told_at: None,
            silent_since: Some(since),
        }
    }

    /// Whether it says the same, but for when that was heard.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let what = |record: &Self| (record.state, record.reason, record.own_id.clone(), record.silent_since);
        what(self) == what(other)
    }
}

/// When somebody watched over all accounts last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    v: u8,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// From when on messages may be missing, until somebody has looked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed_since: Option<i64>,
}

impl Watched {
    /// The watch that begins now; none while another one's is fresh. After a silence of two rounds
    /// nobody was there, and what came meanwhile is owed.
    #[must_use]
    pub fn next(before: Option<Self>, now: i64, every: Duration) -> Option<Self> {
        let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
        let Some(before) = before else { return Some(Self { v: VERSION, at: now, owed_since: None }) };
        // Half a round: who looked a moment ago need not look again, however the clocks differ.
        if (0..every / 2).contains(&(now - before.at)) {
            return None;
        }
        let was_away = now - before.at > every.saturating_mul(2);
        let owed_since = before.owed_since.or(was_away.then_some(before.at));
        Some(Self { v: VERSION, at: now, owed_since })
    }

    /// The same a moment later.
    #[must_use]
    pub fn still(self, now: i64) -> Self {
        Self { at: now, ..self }
    }

    /// The same at another time, with nothing owed any more.
    #[must_use]
    pub fn settled(now: i64) -> Self {
        Self { v: VERSION, at: now, owed_since: None }
    }
}

/// The records of all accounts.
#[derive(Clone, Debug)]
pub struct Accounts {
    pub(super) bucket: Bucket,
}

impl Accounts {
    /// Over this connection.
    #[must_use]
    pub fn new(nats: Nats) -> Self {
        Self { bucket: Bucket::new(nats.js, ACCOUNTS) }
    }

    /// What is known of an account.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn get(&self, instance: i64) -> Result<Option<AccountRecord>, BucketError> {
        Ok(self.bucket.read(&instance.to_string()).await?.0)
    }

    /// Changes a record: `change` makes the new one out of what is there, or none to leave it. `true`
    /// when it was written.
    ///
    /// # Errors
    /// When the broker does not answer, or others write without end.
    pub async fn change(
        &self,
        instance: i64,
        change: impl Fn(Option<&AccountRecord>) -> Option<AccountRecord>,
    ) -> Result<bool, BucketError> {
        let key = instance.to_string();
        loop {
            let (known, sequence) = self.bucket.read(&key).await?;
            let Some(record) = change(known.as_ref()) else { return Ok(false) };
            if self.bucket.write(&key, &record, sequence).await?.is_some() {
                return Ok(true);
            }
        }
    }

    /// Takes the watch over all accounts, if it is due. What comes back is to be told to
    /// [`Self::go_on`].
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn take_watch(&self, now: i64, every: Duration) -> Result<Option<(Watched, u64)>, BucketError> {
        let (known, sequence) = self.bucket.read(WATCH).await?;
        let Some(next) = Watched::next(known, now, every) else { return Ok(None) };
        let written = self.bucket.write(WATCH, &next, sequence).await?;
        Ok(written.map(|sequence| (next, sequence)))
    }

    /// Notes how the watch stands; none when somebody else has it meanwhile.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn go_on(&self, watched: Watched, sequence: u64) -> Result<Option<u64>, BucketError> {
        self.bucket.write(WATCH, &watched, sequence).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(state: ConnectionState, told_at: &str) -> ConnectionNews {
        ConnectionNews { state, reason: None, own_id: None, told_at: Some(told_at.to_owned()) }
    }

    #[test]
    fn a_state_begins_once_and_older_news_change_nothing() {
        use ConnectionState::{Closed, Connecting, Open};
        let after = |known: &AccountRecord, news: &ConnectionNews, now| AccountRecord::after(Some(known), news, now);
        let first = ConnectionNews { own_id: Some("1@s".into()), ..news(Connecting, "2026-11-22T10:00:00Z") };
        let first = AccountRecord::after(None, &first, 1_000).unwrap();
        let again = after(&first, &news(Connecting, "2026-11-22T10:00:01Z"), 2_000).unwrap();
        assert_eq!((again.since, again.heard_at), (1_000, 2_000));
        assert!(again.says_the_same(&first));
        let open = after(&again, &news(Open, "2026-11-22T10:00:05Z"), 5_000).unwrap();
        assert_eq!((open.since, open.own_id.as_deref()), (5_000, Some("1@s")));
        assert_eq!(after(&open, &news(Closed, "2026-11-22T10:00:04Z"), 6_000), None, "it was told late");
        let day = 24 * 60 * 60 * 1000;
        assert!(after(&open, &news(Closed, "2026-11-22T09:30:00Z"), day).is_some(), "their clock was set back");
    }

    #[test]
    fn a_silence_ends_with_the_state() {
        let silent = AccountRecord::after(None, &news(ConnectionState::Open, "1"), 1).unwrap();
        let silent = AccountRecord { silent_since: Some(5), ..silent };
        let still = AccountRecord::after(Some(&silent), &news(ConnectionState::Open, "2"), 6).unwrap();
        assert_eq!(still.silent_since, Some(5));
        let closed = AccountRecord::after(Some(&silent), &news(ConnectionState::Closed, "3"), 7).unwrap();
        assert_eq!(closed.silent_since, None);
    }

    #[test]
    fn a_watch_owes_what_came_while_nobody_watched() {
        let every = Duration::from_millis(100);
        let first = Watched::next(None, 1_000, every).unwrap();
        assert_eq!(first.owed_since, None, "a new hub has missed nothing");
        assert_eq!(Watched::next(Some(first), 1_040, every), None, "somebody has just looked");
        assert_eq!(Watched::next(Some(first), 1_110, every).unwrap().owed_since, None);
        let back = Watched::next(Some(first), 9_000, every).unwrap();
        assert_eq!(back.owed_since, Some(1_000));
        let again = Watched::next(Some(back), 9_100, every).unwrap();
        assert_eq!(again.owed_since, Some(1_000), "it is owed until it was looked for");
        assert_eq!(Watched::settled(9_200).owed_since, None);
        assert!(Watched::next(Some(back), 500, every).is_some(), "a clock that was ahead stops nobody");
    }
}
