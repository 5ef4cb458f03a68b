//! Sightings: what the conversations are doing, asked of the owners of their partitions, and where
//! nobody owns one, of the streams.
//!
//! A question goes over core NATS to a subject that only the owner listens to. Where nobody owns
//! the partition the server itself says at once that nobody listens. An owner that was frozen in
//! the middle costs the whole patience and is then passed over.

use std::{collections::BTreeMap, time::Duration};

use async_nats::{
    Request, RequestErrorKind,
    jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind, Stream},
};
use futures_util::{TryStreamExt, future::join_all};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Checkpoint, DeadLetter, LaneAddress, Layout, MessageId, Nats, OpenTurn, Phase, Subjects, dead::LetterId,
    streams::DEAD,
};
use crate::conversation::whereabouts::{Look, Seen, Sight, Sought, Standing, WHEREABOUTS_VERSION};

/// An owner answers from memory; one that does not within this time counts as away.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many messages of a conversation are looked through in the stream.
const LOOKED_THROUGH: usize = 50;

/// The broker could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("NATS does not answer")]
pub struct SightingError(#[source] Box<dyn std::error::Error + Send + Sync>);

type Asked<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What an owner said of one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The worker has something to do for it.
    Busy(String, Sight),
    /// The worker owns it and has nothing to do for it.
    Quiet(String),
    /// Nobody owns it.
    Nobody,
}

/// A message in the stream, as far as its place matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Place {
    id: MessageId,
    trace_id: Uuid,
}

/// Asks where conversations stand.
#[derive(Clone, Debug)]
pub struct Sightings {
    nats: Nats,
    layout: Layout,
}

impl Sightings {
    /// Asks over this connection.
    #[must_use]
    pub fn new(nats: Nats, layout: Layout) -> Self {
        Self { nats, layout }
    }

    /// Where a conversation lives.
    #[must_use]
    pub fn lane(&self, instance: &str, instance_id: i64, session_name: &str) -> LaneAddress {
        LaneAddress::of(instance, instance_id, session_name, self.layout.partitions)
    }

    /// Asks the owners, all at once, one question per partition; the answers are in the order of
    /// the question.
    ///
    /// # Errors
    /// When there is no connection to NATS.
    pub async fn ask_owners(&self, lanes: &[(LaneAddress, Option<Uuid>)]) -> Result<Vec<Told>, SightingError> {
        if !self.nats.connected() {
            return Err(SightingError("the connection is down".into()));
        }
        let mut partitions: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (index, (lane, _)) in lanes.iter().enumerate() {
            partitions.entry(lane.partition).or_default().push(index);
        }
        let asked = partitions.into_iter().map(|(partition, indexes)| async move {
            let sought = indexes.iter().map(|index| sought(&lanes[*index])).collect();
            (self.ask_owner(partition, sought).await, indexes)
        });
        let mut told = vec![Told::Nobody; lanes.len()];
        for (seen, indexes) in join_all(asked).await {
            let Some(Seen { worker, lanes, .. }) = seen else { continue };
            for (index, sight) in indexes.into_iter().zip(lanes) {
                told[index] = sight.map_or(Told::Quiet(worker.clone()), |sight| Told::Busy(worker.clone(), sight));
            }
        }
        Ok(told)
    }

    async fn ask_owner(&self, partition: u16, lanes: Vec<Sought>) -> Option<Seen> {
        let payload = serde_json::to_vec(&Look { v: WHEREABOUTS_VERSION, lanes }).ok()?;
        let request = Request::new().payload(payload.into()).timeout(Some(PATIENCE));
        match self.nats.js.client().send_request(Subjects::look(partition), request).await {
            // An owner of another version is passed over, as one that is away.
            Ok(answer) => {
                serde_json::from_slice::<Seen>(&answer.payload).ok().filter(|seen| seen.v == WHEREABOUTS_VERSION)
            }
            Err(error) => {
                if error.kind() != RequestErrorKind::NoResponders {
                    tracing::debug!(error.message = %error, partition.number = partition, "an owner did not answer");
                }
                None
            }
        }
    }

    /// What the streams say of a conversation that nobody owns; none when nothing of it waits.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn read_streams(&self, lane: &LaneAddress, asked: Option<Uuid>) -> Result<Option<Sight>, SightingError> {
        let read = async {
            let (total, places) = self.waiting(lane).await?;
            let checkpoint = if total == 0 { None } else { self.checkpoint(lane).await? };
            Ok(sight(checkpoint.as_ref(), &places, total, asked))
        };
        read.await.map_err(SightingError)
    }

    /// The dead letter of a message, while it is kept.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn dead_letter(&self, lane: &LaneAddress, trace: Uuid) -> Result<Option<DeadLetter>, SightingError> {
        self.find_dead(lane, trace).await.map_err(SightingError)
    }

    /// A letter's id is its message's trace: there is one subject to ask for.
    async fn find_dead(&self, lane: &LaneAddress, trace: Uuid) -> Asked<Option<DeadLetter>> {
        let stream = self.nats.js.get_stream_no_info(DEAD).await?;
        let id = LetterId::of_trace(trace);
        let subject = Subjects::dead(&lane.instance, &lane.conversation, id.as_str());
        match stream.get_last_raw_message_by_subject(&subject).await {
            // Of one that cannot be read nothing can be told.
            Ok(message) => Ok(serde_json::from_slice(&message.payload).ok()),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// How many messages of a conversation are in the queue, and the first of them.
    async fn waiting(&self, lane: &LaneAddress) -> Asked<(u64, Vec<Place>)> {
        let stream = self.nats.js.get_stream_no_info(self.layout.inbound(lane.partition)).await?;
        let subject = Subjects::inbound(lane);
        let counts: Vec<_> = stream.info_with_subjects(&subject).await?.try_collect().await?;
        let total = counts.iter().map(|(_, count)| *count as u64).sum();
        let places = if total == 0 { Vec::new() } else { first_places(&stream, &subject).await? };
        Ok((total, places))
    }

    async fn checkpoint(&self, lane: &LaneAddress) -> Asked<Option<Checkpoint>> {
        let stream = self.nats.js.get_stream_no_info(self.layout.turns(lane.partition)).await?;
        match stream.get_last_raw_message_by_subject(&Subjects::turn(lane)).await {
            // Of one that cannot be read the messages that wait still tell.
            Ok(message) => Ok(Checkpoint::read(&message.payload).ok()),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn sought((lane, trace_id): &(LaneAddress, Option<Uuid>)) -> Sought {
    Sought { instance: lane.instance.clone(), conversation: lane.conversation.clone(), trace_id: *trace_id }
}

async fn first_places(stream: &Stream<()>, subject: &str) -> Asked<Vec<Place>> {
    let (mut places, mut next) = (Vec::new(), 1);
    while places.len() < LOOKED_THROUGH {
        let message = match stream.get_first_raw_message_by_subject(subject, next).await {
            Ok(message) => message,
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
            Err(error) => return Err(error.into()),
        };
        next = message.sequence + 1;
        if let Ok(place) = serde_json::from_slice(&message.payload) {
            places.push(place);
        }
    }
    Ok(places)
}

/// What the streams come to: the open turn of the checkpoint, if it is about the first message,
/// and the messages that wait.
fn sight(checkpoint: Option<&Checkpoint>, places: &[Place], total: u64, asked: Option<Uuid>) -> Option<Sight> {
    let known = |place: &&Place| !checkpoint.is_some_and(|checkpoint| checkpoint.has_done(place.id));
    // What is done and not yet acknowledged waits for nothing.
    let waiting: Vec<&Place> = places.iter().filter(known).collect();
    let left = total.saturating_sub((places.len() - waiting.len()) as u64);
    let front = waiting.first()?;
    let open = checkpoint.and_then(|checkpoint| checkpoint.open.as_ref()).filter(|open| open.ids.contains(&front.id));
    let handled = open.map_or(1, |open| open.ids.len().max(1)) as u64;
    let standing = open.map_or(Standing::Queued { before: Some(0) }, standing);
    let position = asked.and_then(|asked| waiting.iter().position(|place| place.trace_id == asked));
    let asked = match position.map(|position| position as u64) {
        Some(position) if position < handled => Some(standing.clone()),
        Some(position) => Some(Standing::Queued { before: Some(position) }),
        // Further back than was looked.
        None if asked.is_some() && left > waiting.len() as u64 => Some(Standing::Queued { before: None }),
        None => None,
    };
    Some(Sight { trace_id: Some(front.trace_id), standing, waiting: left.saturating_sub(handled), asked })
}

fn standing(open: &OpenTurn) -> Standing {
    match &open.phase {
        Phase::Asking => Standing::Asking { since: None, attempt: open.attempt + 1 },
        Phase::Sending(answer) => {
            let of = u32::try_from(answer.bubbles.len()).unwrap_or(u32::MAX);
            let bubble = u32::try_from(answer.sent.len()).unwrap_or(u32::MAX).saturating_add(1).min(of);
            Standing::Sending { bubble, of, since: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Answer, MessageKey};

    fn place(n: u128) -> Place {
        let provider_id = n.to_string();
        let key = MessageKey {
            instance_id: 1,
            kind: "message",
            chat: "c",
            from_me: false,
            provider_id: &provider_id,
            discriminator: "",
        };
        Place { id: MessageId::of(&key), trace_id: Uuid::from_u128(n) }
    }

    fn open(ids: &[u128], phase: Phase) -> Checkpoint {
        let ids = ids.iter().map(|n| place(*n).id).collect();
        let open = OpenTurn { attempt: 1, failures: 1, phase, ..OpenTurn::new(ids) };
        Checkpoint { open: Some(open), ..Checkpoint::new() }
    }

    const SECOND: Option<Uuid> = Some(Uuid::from_u128(2));

    #[test]
    fn without_a_checkpoint_the_messages_wait_in_order() {
        let seen = sight(None, &[place(1), place(2)], 2, SECOND).unwrap();
        assert_eq!((seen.trace_id, seen.waiting), (Some(Uuid::from_u128(1)), 1));
        assert_eq!(seen.standing, Standing::Queued { before: Some(0) });
        assert_eq!(seen.asked, Some(Standing::Queued { before: Some(1) }));
        assert_eq!(sight(None, &[], 0, SECOND), None);
        let far = sight(None, &[place(1)], 90, SECOND).unwrap();
        assert_eq!((far.asked, far.waiting), (Some(Standing::Queued { before: None }), 89));
        assert_eq!(sight(None, &[place(1)], 1, SECOND).unwrap().asked, None, "it is not there");
    }

    #[test]
    fn an_open_turn_tells_how_far_its_messages_are() {
        let checkpoint = open(&[1], Phase::Asking);
        let seen = sight(Some(&checkpoint), &[place(1), place(2)], 2, SECOND).unwrap();
        assert_eq!(seen.standing, Standing::Asking { since: None, attempt: 2 });
        assert_eq!(seen.asked, Some(Standing::Queued { before: Some(1) }));

        let answer =
            Answer { bubbles: vec!["a".into(), "b".into(), "c".into()], sent: vec!["1".into()], ..Answer::default() };
        let both = open(&[1, 2], Phase::Sending(answer));
        let seen = sight(Some(&both), &[place(1), place(2)], 2, SECOND).unwrap();
        let sending = Standing::Sending { bubble: 2, of: 3, since: None };
        assert_eq!((seen.asked, seen.waiting), (Some(sending), 0), "two messages, one turn");
    }

    #[test]
    fn what_is_done_and_not_yet_acknowledged_does_not_wait() {
        let mut checkpoint = Checkpoint::new();
        checkpoint.close(&[place(1).id], 0);
        let seen = sight(Some(&checkpoint), &[place(1), place(2)], 2, SECOND).unwrap();
        assert_eq!((seen.asked, seen.waiting), (Some(Standing::Queued { before: Some(0) }), 0));
        assert_eq!(sight(Some(&checkpoint), &[place(1)], 1, None), None);
    }
}
