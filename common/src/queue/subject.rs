//! Subjects: the one place that builds and reads them.
//!
//! `in.<partition>.<instance>.<conversation>`: the partition is a hash of instance and
//! conversation, the instance token is its name and its immutable row id, and every token is
//! escaped, so that no person's id can widen a filter.

use std::fmt::Write as _;

use uuid::Uuid;

/// Longest conversation token as written; longer ones are replaced by their hash.
const LONGEST_TOKEN: usize = 120;

/// Escapes a word for use as one subject token.
///
/// `A-Za-z0-9_-` stay, each other byte becomes `%XX`. A token that would be too long becomes `h`
/// and a hash: subjects are identities here, nobody needs to read a conversation back from one.
#[must_use]
pub fn token(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for byte in word.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    if out.is_empty() {
        return "%".to_owned();
    }
    if out.len() > LONGEST_TOKEN {
        return format!("h{}", &blake3::hash(word.as_bytes()).to_hex()[..32]);
    }
    out
}

/// An instance's token: `<name>-<row id>`. A name given twice has two row ids, so that the second
/// tenant sees nothing of the first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceToken(String);

impl InstanceToken {
    /// The token of an instance.
    #[must_use]
    pub fn new(name: &str, id: i64) -> Self {
        Self(format!("{}-{id}", token(name)))
    }

    /// The token as it stands in subjects.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The row id in a token, if it is one.
    #[must_use]
    pub fn row_id(token: &str) -> Option<i64> {
        token.rsplit_once('-')?.1.parse().ok()
    }

    /// The instance's name in a token: a name has no letter that is escaped.
    #[must_use]
    pub fn name(token: &str) -> &str {
        token.rsplit_once('-').map_or(token, |(name, _)| name)
    }
}

/// The partition of a conversation, out of `partitions`.
#[must_use]
pub fn partition_of(instance_id: i64, conversation: &str, partitions: u16) -> u16 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&instance_id.to_be_bytes());
    hasher.update(conversation.as_bytes());
    let mut first = [0_u8; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    // The remainder is below `partitions`, a u16.
    u16::try_from(u64::from_be_bytes(first) % u64::from(partitions.max(1))).unwrap_or_default()
}

/// Where one conversation's messages and checkpoint live.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneAddress {
    /// The partition.
    pub partition: u16,
    /// The instance's token.
    pub instance: String,
    /// The conversation's token.
    pub conversation: String,
}

impl LaneAddress {
    /// Where a conversation lives that is known by its name; `partitions` is how many there are.
    #[must_use]
    pub fn of(instance: &str, instance_id: i64, session_name: &str, partitions: u16) -> Self {
        Self {
            partition: partition_of(instance_id, session_name, partitions),
            instance: InstanceToken::new(instance, instance_id).as_str().to_owned(),
            conversation: token(session_name),
        }
    }

    /// Reads an inbound subject, `in.<p>.<instance>.<conversation>`.
    #[must_use]
    pub fn read(subject: &str) -> Option<Self> {
        let mut tokens = subject.split('.');
        let (head, partition) = (tokens.next()?, tokens.next()?.parse().ok()?);
        let (instance, conversation) = (tokens.next()?.to_owned(), tokens.next()?.to_owned());
        (head == "in" && tokens.next().is_none()).then_some(Self { partition, instance, conversation })
    }
}

/// Builds every subject and filter.
#[derive(Clone, Copy, Debug)]
pub struct Subjects;

impl Subjects {
    /// Where a message of a conversation waits.
    #[must_use]
    pub fn inbound(lane: &LaneAddress) -> String {
        format!("in.{}.{}.{}", lane.partition, lane.instance, lane.conversation)
    }

    /// Every message of a partition.
    #[must_use]
    pub fn inbound_partition(partition: u16) -> String {
        format!("in.{partition}.>")
    }

    /// Every message of an instance.
    #[must_use]
    pub fn inbound_instance(instance: &InstanceToken) -> String {
        format!("in.*.{}.*", instance.as_str())
    }

    /// A conversation's checkpoint.
    #[must_use]
    pub fn turn(lane: &LaneAddress) -> String {
        format!("turn.{}.{}.{}", lane.partition, lane.instance, lane.conversation)
    }

    /// Every checkpoint of a partition.
    #[must_use]
    pub fn turn_partition(partition: u16) -> String {
        format!("turn.{partition}.>")
    }

    /// Every checkpoint of an instance.
    #[must_use]
    pub fn turn_instance(instance: &InstanceToken) -> String {
        format!("turn.*.{}.*", instance.as_str())
    }

    /// A partition's ownership record.
    #[must_use]
    pub fn own(partition: u16) -> String {
        format!("own.{partition}")
    }

    /// Every partition's ownership record.
    #[must_use]
    pub fn own_any() -> String {
        "own.*".to_owned()
    }

    /// Every worker's readiness, as it is written to the bucket.
    #[must_use]
    pub fn ready_any() -> String {
        format!("$KV.{}.{}", super::streams::MEMBERS, Self::ready(">"))
    }

    /// An instance's outcomes.
    #[must_use]
    pub fn trace(instance: &InstanceToken) -> String {
        format!("trace.{}", instance.as_str())
    }

    /// An instance's steps.
    #[must_use]
    pub fn step(instance: &InstanceToken) -> String {
        format!("step.{}", instance.as_str())
    }

    /// The outcomes of all instances.
    #[must_use]
    pub fn every_trace() -> &'static str {
        "trace.*"
    }

    /// The steps of all instances.
    #[must_use]
    pub fn every_step() -> &'static str {
        "step.*"
    }

    /// A dead letter; `letter` is its id.
    #[must_use]
    pub fn dead(instance: &str, conversation: &str, letter: &str) -> String {
        format!("dead.{instance}.{conversation}.{letter}")
    }

    /// The dead letter of this id, wherever it is.
    #[must_use]
    pub fn dead_anywhere(letter: &str) -> String {
        format!("dead.*.*.{letter}")
    }

    /// Every dead letter.
    #[must_use]
    pub fn every_dead() -> String {
        "dead.>".to_owned()
    }

    /// The instance and the id of a dead letter's subject.
    #[must_use]
    pub fn read_dead(subject: &str) -> Option<(&str, &str)> {
        let mut tokens = subject.split('.');
        let (head, instance, _, letter) = (tokens.next()?, tokens.next()?, tokens.next()?, tokens.next()?);
        (head == "dead" && tokens.next().is_none()).then_some((instance, letter))
    }

    /// Every dead letter of an instance.
    #[must_use]
    pub fn dead_instance(instance: &InstanceToken) -> String {
        format!("dead.{}.>", instance.as_str())
    }

    /// Where a worker tells how much waits in it.
    #[must_use]
    pub fn backlog(worker: &str) -> String {
        format!("backlog.{worker}")
    }

    /// Where the owner of a partition is asked what its conversations are doing. Core NATS: no
    /// stream takes it, and where nobody owns the partition nobody listens.
    #[must_use]
    pub fn look(partition: u16) -> String {
        format!("omnihub.where.{partition}")
    }

    /// Where the end of a send is told. Core NATS: no stream takes it.
    #[must_use]
    pub fn outcome(trace: Uuid) -> String {
        format!("omnihub.outcome.{}", trace.simple())
    }

    /// That a worker is alive.
    #[must_use]
    pub fn alive(worker: &str) -> String {
        format!("l.{worker}")
    }

    /// That a worker is ready to own partitions.
    #[must_use]
    pub fn ready(worker: &str) -> String {
        format!("r.{worker}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_keeps_plain_words_and_escapes_the_rest() {
        assert_eq!(token("acme_5511987654321"), "acme_5511987654321");
        assert_eq!(token("a.b*c> d@g.us"), "a%2Eb%2Ac%3E%20d%40g%2Eus");
        assert_eq!(token(""), "%");
        assert!(token(&"x".repeat(500)).len() <= LONGEST_TOKEN);
    }

    #[test]
    fn an_instance_token_tells_two_lives_of_a_name_apart() {
        assert_ne!(InstanceToken::new("acme", 1), InstanceToken::new("acme", 2));
        assert_ne!(InstanceToken::new("a-1", 1), InstanceToken::new("a", 11));
        let token = InstanceToken::new("a-1", 42);
        assert_eq!((InstanceToken::name(token.as_str()), InstanceToken::row_id(token.as_str())), ("a-1", Some(42)));
    }

    proptest! {
        #[test]
        fn every_subject_has_one_token_per_part(name in "[A-Za-z0-9_-]{1,64}", id in 1_i64.., word in any::<String>()) {
            let instance = InstanceToken::new(&name, id).as_str().to_owned();
            let lane = LaneAddress { partition: partition_of(id, &word, 32), instance, conversation: token(&word) };
            prop_assert!(lane.partition < 32);
            let subject = Subjects::inbound(&lane);
            prop_assert!(subject.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(LaneAddress::read(&subject), Some(lane));
        }
    }
}
