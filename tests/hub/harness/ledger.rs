//! The ledger: every message that was accepted, and whether each was answered once and in order.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use omnihub_fakes::customers;
use serde_json::Value;

use super::Deployment;

/// How long a post is tried again while the hub says 503 or is away.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(60);
/// How long after its acceptance the last message may still wait for its answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// Recorded webhooks that carry a text: plain, addressed by `@lid`, after an advertisement, from
/// the Cloud API, and from Evolution's own channel.
const RECORDED: [&str; 5] = [
    include_str!("../../../common/src/channel/whatsapp/fixtures/05-text-conversation.json"),
    include_str!("../../../common/src/channel/whatsapp/fixtures/06-text-lid-addressed.json"),
    include_str!("../../../common/src/channel/whatsapp/fixtures/08-text-link-preview-ad-referral.json"),
    include_str!("../../../common/src/channel/whatsapp/fixtures/73-cloud-api-text.json"),
    include_str!("../../../common/src/channel/whatsapp/fixtures/81-evolution-channel-text.json"),
];

/// Conversations, and the texts that the hub has accepted in each.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accepted: BTreeMap<usize, Vec<String>>,
}

impl Ledger {
    /// The webhook of a conversation's nth message: a recorded one, the forms by turns, with the
    /// person, the id, the text and the time of this message.
    pub(crate) fn webhook(conversation: usize, nth: usize) -> Value {
        let mut body: Value = serde_json::from_str(RECORDED[(conversation + nth) % RECORDED.len()]).unwrap();
        let (phone, data) = (phone(conversation), &mut body["data"]);
        let person = format!("{phone}@s.whatsapp.net");
        if data["key"]["addressingMode"] == "lid" {
            data["key"]["remoteJid"] = format!("99{conversation}@lid").into();
            data["key"]["remoteJidAlt"] = person.into();
        } else {
            data["key"]["remoteJid"] = person.into();
            data["key"]["remoteJidAlt"] = format!("99{conversation}@lid").into();
        }
        data["key"]["id"] = customers::message_id(conversation as u64, nth as u64).into();
        data["message"]["conversation"] = text(conversation, nth).into();
        data["messageTimestamp"] = sent_at().into();
        // The agent would be told of the advertisement above the text.
        if let Some(context) = data["contextInfo"].as_object_mut() {
            context.remove("externalAdReply");
        }
        body
    }

    /// Every conversation posts its next `messages` webhooks, one at a time; so many conversations
    /// post at once. What is not accepted is posted again, as Evolution does.
    pub(crate) async fn post(
        &mut self,
        deployment: &Deployment,
        conversations: std::ops::Range<usize>,
        messages: usize,
        at_once: usize,
    ) {
        let accepted = &self.accepted;
        let posts = conversations.map(|conversation| async move {
            let first = accepted.get(&conversation).map_or(0, Vec::len);
            for nth in first..first + messages {
                deployment.post_until_accepted(&Self::webhook(conversation, nth), ACCEPTED_WITHIN).await;
            }
            (conversation, (first..first + messages).map(|nth| text(conversation, nth)).collect::<Vec<_>>())
        });
        let posted: Vec<_> = stream::iter(posts).buffer_unordered(at_once).collect().await;
        for (conversation, texts) in posted {
            self.accepted.entry(conversation).or_default().extend(texts);
        }
    }

    /// How many messages were accepted.
    pub(crate) fn len(&self) -> usize {
        self.accepted.values().map(Vec::len).sum()
    }

    /// Waits for the answers of an echoing agent, and checks them: none lost, none twice, each
    /// conversation in order. `spare` answers may be repeated, right behind their first.
    ///
    /// # Panics
    /// When the ledger does not balance; the message names the conversation.
    pub(crate) async fn assert_answered(&self, deployment: &Deployment, spare: usize) {
        let waited = deployment.evolution.wait_for_sent(self.len(), ANSWERED_WITHIN).await;
        self.assert_order(deployment);
        waited.unwrap();
        // Answered is not yet done: what is sent twice is sent before the outcome is written.
        let answered = async || deployment.traces("status=completed&outcome=answered").await == self.len();
        super::until("every trace is completed", ANSWERED_WITHIN, answered).await;
        assert_eq!(deployment.traces("").await, self.len(), "a trace more than messages");
        self.assert_order(deployment);
        let repeated = deployment.evolution.sent().len() - self.len();
        assert!(repeated <= spare, "{repeated} answers were sent twice");
        deployment.assert_no_violations();
    }

    /// What was sent so far is a prefix of what was accepted, in each conversation.
    fn assert_order(&self, deployment: &Deployment) {
        let mut answers = BTreeMap::<String, Vec<String>>::new();
        for sent in deployment.evolution.sent() {
            answers.entry(sent.number).or_default().push(sent.text);
        }
        for (conversation, texts) in &self.accepted {
            let mut got = answers.remove(&phone(*conversation)).unwrap_or_default();
            got.dedup();
            let wanted: Vec<_> = texts.iter().map(|text| format!("echo: {text}")).collect();
            assert_eq!(got, wanted[..got.len().min(wanted.len())], "conversation {conversation}");
        }
        assert_eq!(answers, BTreeMap::new(), "answers to people who wrote nothing");
    }
}

/// The phone of a conversation's customer.
pub(crate) fn phone(conversation: usize) -> String {
    format!("5511{:09}", 900_000_000 + conversation)
}

fn text(conversation: usize, nth: usize) -> String {
    format!("message {nth} of {conversation}")
}

/// The provider's time of every message, in seconds since 1970: the same webhook is the same
/// whenever it is made.
fn sent_at() -> u64 {
    static START: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);
    START.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
