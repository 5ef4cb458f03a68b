//! Who we are to a message in a group: our phone, and where the group hides numbers our other id.
//!
//! The phone comes with every webhook. The hidden id (`@lid`) is told by none: it is learnt from
//! messages that show it and kept in the bucket `accounts`. Those are what our own account writes in
//! such a group from the phone, an answer that quotes a bubble of ours, and a mention of one hidden
//! person whose text names our number instead. The first is sure; the others are believed while
//! nothing is known.
//!
//! What this is not for: chats with one person, where nobody needs to be meant.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use omnihub_common::{
    channel::InboundMessage,
    queue::{Accounts, BucketError, InstanceToken, MessageId, OwnLid},
};

use super::{Turn, admit};

/// What is known of an account is asked for again after so long.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// The broker is waited for so long; a mention that is not understood is no reason to hold a turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who we are to a message.
#[derive(Clone, Debug, Default)]
pub(super) struct Own<'a> {
    /// Our phone, as the channel writes it.
    pub(super) id: Option<&'a str>,
    /// Our hidden id, where it is known and matters.
    pub(super) lid: Option<String>,
    /// Whether the message quotes a bubble of ours.
    pub(super) is_quoted: bool,
}

impl<'a> Own<'a> {
    /// By our phone alone.
    pub(super) fn of(id: Option<&'a str>) -> Self {
        Self { id, ..Self::default() }
    }
}

/// The hidden ids of accounts, as far as this worker has heard of them.
#[derive(Debug)]
pub(crate) struct OwnLids {
    accounts: Accounts,
    known: Mutex<HashMap<i64, (Option<OwnLid>, Instant)>>,
}

impl OwnLids {
    pub(crate) fn new(accounts: Accounts) -> Self {
        Self { accounts, known: Mutex::default() }
    }

    /// The hidden id of the account with this phone.
    async fn of(&self, instance: i64, phone: &str) -> Option<String> {
        let known = self.recall(instance).await?;
        (admit::bare(&known.phone) == admit::bare(phone)).then_some(known.lid)
    }

    async fn recall(&self, instance: i64) -> Option<OwnLid> {
        let fresh = |(lid, at): &(Option<OwnLid>, Instant)| (at.elapsed() < KNOWN_FOR).then(|| lid.clone());
        if let Some(known) = self.lock().get(&instance).and_then(fresh) {
            return known;
        }
        let found = timely(self.accounts.own_lid(instance)).await?;
        self.lock().insert(instance, (found.clone(), Instant::now()));
        found
    }

    /// A message has shown it.
    async fn learn(&self, instance: i64, shown: OwnLid, sure: bool) {
        let known = self.recall(instance).await;
        let same_phone = known.as_ref().is_some_and(|known| admit::bare(&known.phone) == admit::bare(&shown.phone));
        if known.as_ref() == Some(&shown) || (same_phone && !sure) {
            return;
        }
        if timely(self.accounts.keep_own_lid(instance, &shown)).await.is_some() {
            self.lock().insert(instance, (Some(shown), Instant::now()));
            tracing::info!(instance.id = instance, "the account's own hidden id was learnt from a group");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, (Option<OwnLid>, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the broker answers in time.
async fn timely<T>(asked: impl Future<Output = Result<T, BucketError>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answered)) => Some(answered),
        Ok(Err(error)) => {
            tracing::debug!(error.message = %error, "the account's own hidden id is not known");
            None
        }
        Err(_) => None,
    }
}

impl Turn {
    /// Who we are to a message of this conversation, which may show it itself.
    pub(super) async fn own_to<'a>(&self, message: &InboundMessage, own_id: Option<&'a str>) -> Own<'a> {
        let mut own = Own::of(own_id);
        self.learn_from(message, own_id).await;
        let instance = InstanceToken::row_id(&self.lane.instance).filter(|_| message.is_group);
        let (Some(instance), Some(phone)) = (instance, own_id) else { return own };
        own.is_quoted = self.quotes_us(instance, message);
        if names_somebody_hidden(message) {
            own.lid = self.kit.own_lids.of(instance, phone).await;
        }
        own
    }

    /// Learns our hidden id where a message shows it.
    pub(super) async fn learn_from(&self, message: &InboundMessage, own_id: Option<&str>) {
        let instance = InstanceToken::row_id(&self.lane.instance).filter(|_| message.is_group);
        let (Some(instance), Some(phone)) = (instance, own_id) else { return };
        if let Some((lid, sure)) = shown(message, self.quotes_us(instance, message)) {
            self.kit.own_lids.learn(instance, OwnLid::new(phone, lid), sure).await;
        }
    }

    fn quotes_us(&self, instance: i64, message: &InboundMessage) -> bool {
        let quoted = message.quoted.as_ref().filter(|quoted| !quoted.provider_id.is_empty());
        let id = quoted.map(|quoted| MessageId::of_own(instance, &self.lane.conversation, &quoted.provider_id));
        id.is_some_and(|id| self.checkpoint.ours.contains(&id.short()))
    }
}

fn is_hidden(id: &str) -> bool {
    id.ends_with("@lid")
}

fn names_somebody_hidden(message: &InboundMessage) -> bool {
    let quoted = message.quoted.as_ref().and_then(|quoted| quoted.author.as_deref());
    message.mentions.iter().map(String::as_str).chain(quoted).any(is_hidden)
}

/// The hidden id of ours that a message in a group shows, and whether that is sure.
fn shown(message: &InboundMessage, quotes_us: bool) -> Option<(&str, bool)> {
    let hidden = |id: &&str| is_hidden(id);
    if message.from_me {
        let ids = [Some(message.sender.id.as_str()), message.sender.alt_id.as_deref()];
        return ids.into_iter().flatten().find(hidden).map(|lid| (lid, true));
    }
    // What a mention shows beside our number is whatever its writer wants.
    let author = message.quoted.as_ref().and_then(|quoted| quoted.author.as_deref());
    author.filter(hidden).filter(|_| quotes_us).map(|lid| (lid, false))
}

#[cfg(test)]
mod tests {
    use omnihub_common::channel::whatsapp::inbound::read_message;
    use serde_json::{Value, json};

    use super::*;

    const PHONE: &str = "5511999990000@s.whatsapp.net";
    const LID: &str = "112233445566778@lid";

    fn said(text: &str, context: Value) -> InboundMessage {
        read_message(&json!({
            "key": {"remoteJid": "120363042000000001@g.us", "id": "A", "participant": "99887766554433@lid"},
            "message": {"conversation": text}, "contextInfo": context,
        }))
    }

    #[test]
    fn what_the_phone_writes_in_a_group_surely_shows_it() {
        let mut own = json!({
            "key": {"remoteJid": "120363042000000001@g.us", "id": "A", "fromMe": true, "participant": LID},
            "message": {"conversation": "hi"},
        });
        assert_eq!(shown(&read_message(&own), false), Some((LID, true)));
        own["key"]["participant"] = PHONE.into();
        assert_eq!(shown(&read_message(&own), false), None);
        own["key"]["participantAlt"] = LID.into();
        assert_eq!(shown(&read_message(&own), false), Some((LID, true)));
    }

    #[test]
    fn a_quote_of_ours_shows_it_too_and_a_mention_does_not() {
        let reply = said("yes", json!({"stanzaId": "Q", "participant": LID, "quotedMessage": {"conversation": "?"}}));
        assert_eq!((shown(&reply, true), shown(&reply, false)), (Some((LID, false)), None));
        let mention = |text, ids: &[&str]| said(text, json!({"mentionedJid": ids}));
        assert_eq!(shown(&mention("@5511999990000 look", &[LID]), false), None, "anybody may write that");
        assert!(names_somebody_hidden(&reply) && !names_somebody_hidden(&mention("hi", &[PHONE])));
    }
}
