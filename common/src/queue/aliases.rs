//! One person, one conversation: WhatsApp calls a person by phone, by another id (`@lid`), or by both,
//! and changes its mind. The bucket `aliases` knows which belong together, and by which the person's
//! lane is named. That never changes for as long as both are remembered.
//!
//! ```text
//! <instance>.lid.<id>      {lane, lid, phone?}     everybody who was ever called by an @lid
//! <instance>.phone.<nr>    {lane, lid, phone}      the same, by phone, once both are known
//! ```
//!
//! It is asked before a message is queued, and what is new is written before: two processes that hear
//! of a person at the same time agree. It lies beside the queue, not in the database, which may be
//! away. What is known is held in memory for a while, so that it is asked once for a person who writes.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::stream::LastRawMessageErrorKind;
use moka::future::Cache;
use serde::{Deserialize, Serialize};

use super::{
    LaneAddress, Layout, Nats, Subjects,
    bucket::{Bucket, BucketError},
    streams::ALIASES,
};

/// The version that this build writes.
const VERSION: u8 = 1;
/// So many people are held in memory, for so long. A lane that has answered within that time has a
/// checkpoint still, so that whoever links two ids sees it.
const HELD: u64 = 200_000;
const HELD_FOR: Duration = Duration::from_mins(10);

/// How the channel calls a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonIds {
    /// What stands before `@lid`.
    pub lid: Option<String>,
    /// The phone's digits.
    pub phone: Option<String>,
}

/// What is known of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    v: u8,
    /// The address of the person's conversation.
    pub lane: String,
    /// What stands before `@lid`.
    pub lid: String,
    /// The phone's digits, once they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

impl Alias {
    /// Whether it says of these ids what is to be known.
    fn is_of(&self, ids: &PersonIds) -> bool {
        ids.phone.is_none() || ids.phone == self.phone
    }
}

/// An instance, and what a conversation of it is called in the queue.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// The instance's name.
    pub instance: &'a str,
    /// Its row id.
    pub id: i64,
    /// The prefix of its sessions.
    pub prefix: Option<&'a str>,
}

/// The people of every instance. A clone is the same.
#[derive(Clone, Debug)]
pub struct Aliases {
    bucket: Bucket,
    nats: Nats,
    layout: Layout,
    held: Cache<String, Option<Arc<Alias>>>,
}

impl Aliases {
    /// Over this connection.
    #[must_use]
    pub fn new(nats: Nats, layout: Layout) -> Self {
        let held = Cache::builder().max_capacity(HELD).time_to_live(HELD_FOR).build();
        Self { bucket: Bucket::new(nats.js.clone(), ALIASES), nats, layout, held }
    }

    /// What is known of whom the channel calls so, and now also by these ids together; none of who is
    /// known by phone alone, or by nothing.
    ///
    /// # Errors
    /// When the broker does not answer; asking again is harmless.
    pub async fn of(&self, naming: Naming<'_>, ids: &PersonIds) -> Result<Option<Arc<Alias>>, BucketError> {
        let key = match ids {
            PersonIds { lid: Some(lid), .. } => lid_key(naming.id, lid),
            PersonIds { lid: None, phone: Some(phone) } => phone_key(naming.id, phone),
            PersonIds { lid: None, phone: None } => return Ok(None),
        };
        let held = self.held.get(&key).await;
        if let Some(known) = held.filter(|known| known.as_ref().is_none_or(|known| known.is_of(ids))) {
            return Ok(known);
        }
        // Without a connection the question would wait for its timeout, and the sender with it.
        if !self.nats.connected() {
            return Err(self.bucket.failed("the connection to NATS is down"));
        }
        let known = match (&ids.lid, &ids.phone) {
            (Some(lid), Some(phone)) => Some(self.link(naming, lid, phone).await?),
            (Some(lid), None) => Some(self.by_lid(naming.id, lid).await?),
            (None, _) => self.bucket.read(&key).await?.0,
        };
        let known = known.map(Arc::new);
        // Of whom only the one id is known, another process may hear the other at any time.
        if known.as_ref().is_none_or(|known| known.phone.is_some()) {
            self.held.insert(key, known.clone()).await;
        }
        Ok(known)
    }

    /// What is known of whom this phone belongs to, at this moment.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn of_phone(&self, instance: i64, phone: &str) -> Result<Option<Alias>, BucketError> {
        Ok(self.bucket.read(&phone_key(instance, phone)).await?.0)
    }

    /// Who is called so for the first time has a conversation by that name.
    async fn by_lid(&self, instance: i64, lid: &str) -> Result<Alias, BucketError> {
        let key = lid_key(instance, lid);
        let new = Alias { v: VERSION, lane: lid.to_owned(), lid: lid.to_owned(), phone: None };
        loop {
            let (known, place) = self.bucket.read(&key).await?;
            if let Some(known) = known {
                return Ok(known);
            }
            if self.bucket.write(&key, &new, place).await?.is_some() {
                return Ok(new);
            }
        }
    }

    /// Both are one person from here on, whose conversation is the one that there was. An id that was
    /// another phone's is this one's now: two phones never share a conversation.
    async fn link(&self, naming: Naming<'_>, lid: &str, phone: &str) -> Result<Alias, BucketError> {
        let (by_lid, by_phone) = (lid_key(naming.id, lid), phone_key(naming.id, phone));
        loop {
            let (of_lid, lid_place) = self.bucket.read::<Alias>(&by_lid).await?;
            let (of_phone, phone_place) = self.bucket.read::<Alias>(&by_phone).await?;
            // One that belongs to another phone says nothing of this one.
            let of_lid = of_lid.filter(|known| known.phone.as_deref().is_none_or(|known| known == phone));
            let lane = match (&of_phone, &of_lid) {
                (Some(of_phone), _) => of_phone.lane.clone(),
                (None, Some(of_lid)) if of_lid.phone.is_some() => of_lid.lane.clone(),
                (None, Some(of_lid)) if !self.is_used(naming, phone).await? => of_lid.lane.clone(),
                (None, _) => phone.to_owned(),
            };
            let alias = Alias { v: VERSION, lane, lid: lid.to_owned(), phone: Some(phone.to_owned()) };
            // First what others may know already: who comes too late reads what they have written.
            let is_kept = of_lid.as_ref() == Some(&alias);
            if !is_kept && self.bucket.write(&by_lid, &alias, lid_place).await?.is_none() {
                continue;
            }
            if of_phone.is_none() && self.bucket.write(&by_phone, &alias, phone_place).await?.is_none() {
                continue;
            }
            self.held.insert(by_phone, Some(Arc::new(alias.clone()))).await;
            return Ok(alias);
        }
    }

    /// Whether there is a conversation by this address already: one that remembers something, or in
    /// which a message waits.
    async fn is_used(&self, naming: Naming<'_>, address: &str) -> Result<bool, BucketError> {
        let session = crate::conversation::whatsapp_session_name(naming.prefix, naming.instance, address);
        let lane = LaneAddress::of(naming.instance, naming.id, &session, self.layout.partitions);
        let places = [
            (self.layout.turns(lane.partition), Subjects::turn(&lane)),
            (self.layout.inbound(lane.partition), Subjects::inbound(&lane)),
        ];
        for (stream, subject) in places {
            let js = &self.nats.js;
            let stream = js.get_stream_no_info(stream).await.map_err(|error| self.bucket.failed(error))?;
            match stream.get_last_raw_message_by_subject(&subject).await {
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {}
                Err(error) => return Err(self.bucket.failed(error)),
            }
        }
        Ok(false)
    }

    /// Forgets a person by phone, with whatever else they are called.
    ///
    /// # Errors
    /// When the broker does not confirm; forgetting again is harmless.
    pub async fn forget(&self, instance: i64, phone: &str) -> Result<(), BucketError> {
        let by_phone = phone_key(instance, phone);
        if let (Some(Alias { lid, .. }), _) = self.bucket.read(&by_phone).await? {
            let by_lid = lid_key(instance, &lid);
            self.bucket.remove(&by_lid).await?;
            self.held.invalidate(&by_lid).await;
        }
        self.bucket.remove(&by_phone).await?;
        self.held.invalidate(&by_phone).await;
        Ok(())
    }
}

/// All keys of an instance.
pub(super) fn keys_of(instance: i64) -> String {
    format!("{instance}.>")
}

fn lid_key(instance: i64, lid: &str) -> String {
    format!("{instance}.lid.{}", super::token(lid))
}

fn phone_key(instance: i64, phone: &str) -> String {
    format!("{instance}.phone.{}", super::token(phone))
}
