//! What leaves the queue when a person is erased.

use std::{
    collections::{BTreeSet, HashSet},
    time::{Duration, Instant},
};

use async_nats::{
    HeaderMap,
    jetstream::{Context, context::ConsumerInfoErrorKind, stream::LastRawMessageErrorKind},
};
use uuid::Uuid;

use super::{
    Checkpoint, InstanceToken, LaneAddress, Layout, Media, Subjects,
    checkpoint::{CheckpointError, DONE_IDS_KEPT_FOR},
    dead::Summary,
    envelope::trace_tail,
    now_ms,
    partition::{EXPECTED_SEQUENCE, TTL_HEADER},
    streams::{RECORDER, TRACE_STEPS, TRACES},
};

/// The recorder is waited for at most so long.
const PATIENCE: Duration = Duration::from_secs(2);
/// It is asked so often how far it is.
const PAUSE: Duration = Duration::from_millis(50);

/// How a person is found outside SQL, by what SQL knows of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonTracks {
    /// The instance's name.
    pub instance_name: String,
    /// The instance's row id.
    pub instance_id: i64,
    /// The phone, without its plus.
    pub phone: String,
    /// The names of their conversations, without those that they have with others.
    pub sessions: BTreeSet<String>,
    /// The traces of their messages.
    pub traces: HashSet<Uuid>,
}

impl PersonTracks {
    /// Whether a dead letter is of one of their messages. One whose message cannot be read is
    /// nobody's.
    pub(super) fn has(&self, letter: &Summary) -> bool {
        letter.phone.as_ref() == Some(&self.phone)
            || letter.session_name.as_ref().is_some_and(|session| self.sessions.contains(session))
            || letter.trace_id.is_some_and(|trace| self.traces.contains(&trace))
    }
}

/// Removes what a person's conversations remember, the media and large bodies of their messages,
/// and the steps of the instance that are in the database already. Dead letters are removed by
/// whoever handles those.
///
/// What is under way is not touched: an open turn is finished, and messages that wait were accepted
/// and are answered. Answers whether there is any such thing, or something that the recorder has yet
/// to write: then the person is to be erased once more. Nor is it touched which messages were done with, by numbers that say nothing of them: that
/// goes by itself after 35 minutes, when a webhook can no longer come again and be answered again.
///
/// # Errors
/// When the broker does not confirm; removing again is harmless.
pub async fn erase_person(js: &Context, layout: &Layout, person: &PersonTracks) -> Result<bool, async_nats::Error> {
    let mut under_way = !is_recorded(js).await?;
    for session in &person.sessions {
        let lane = LaneAddress::of(&person.instance_name, person.instance_id, session, layout.partitions);
        under_way |= is_waiting(js, layout, &lane).await? | forget_lane(js, layout, &lane).await?;
    }
    let instance = InstanceToken::new(&person.instance_name, person.instance_id);
    forget_steps(js, &instance).await?;
    if !person.traces.is_empty() {
        let traces: HashSet<[u8; 10]> = person.traces.iter().map(|trace| trace_tail(*trace)).collect();
        Media::open(js).await?.remove_of(&instance, &traces).await?;
    }
    Ok(under_way)
}

/// Whether all that was told of messages until now is in the database; waits a while for it.
async fn is_recorded(js: &Context) -> Result<bool, async_nats::Error> {
    let began = Instant::now();
    for name in [TRACES, TRACE_STEPS] {
        let stream = js.get_stream(name).await?;
        let told = stream.cached_info().state.last_sequence;
        loop {
            let is_recorded = match stream.consumer_info(RECORDER).await {
                Ok(recorder) => {
                    let nothing_waits = recorder.num_pending == 0 && recorder.num_ack_pending == 0;
                    nothing_waits || recorder.ack_floor.stream_sequence >= told
                }
                Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => told == 0,
                Err(error) => return Err(error.into()),
            };
            if is_recorded {
                break;
            }
            if began.elapsed() > PATIENCE {
                return Ok(false);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(true)
}

/// Whether a message of the conversation waits or is being answered.
async fn is_waiting(js: &Context, layout: &Layout, lane: &LaneAddress) -> Result<bool, async_nats::Error> {
    let stream = js.get_stream_no_info(layout.inbound(lane.partition)).await?;
    match stream.get_last_raw_message_by_subject(&Subjects::inbound(lane)).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What becomes of a checkpoint.
#[derive(Debug, PartialEq)]
enum Left {
    /// A turn is open: all of it.
    All,
    /// What was done with, for so many seconds.
    Done(Box<Checkpoint>, i64),
    /// Nothing.
    Nothing,
}

fn left(kept: &[u8], now: i64) -> Left {
    match Checkpoint::read(kept) {
        Ok(checkpoint) if checkpoint.is_closed() => {
            let last = checkpoint.done.iter().map(|done| done.1).max();
            let seconds = last.map_or(0, |last| (last + DONE_IDS_KEPT_FOR - now).min(DONE_IDS_KEPT_FOR) / 1000);
            match seconds > 0 {
                true => Left::Done(Box::new(Checkpoint { done: checkpoint.done, ..Checkpoint::new() }), seconds),
                false => Left::Nothing,
            }
        }
        // The newer version that wrote it goes on with it.
        Ok(_) | Err(CheckpointError::Version(_)) => Left::All,
        Err(CheckpointError::Unreadable(_)) => Left::Nothing,
    }
}

/// Forgets a conversation whose turn has ended. Its owner need not be asked: it keeps nothing in
/// memory of a conversation that has nothing to do, and what it writes meanwhile is newer than what
/// was read here, so that the broker refuses ours. Answers whether a turn is open instead.
async fn forget_lane(js: &Context, layout: &Layout, lane: &LaneAddress) -> Result<bool, async_nats::Error> {
    let stream = js.get_stream_no_info(layout.turns(lane.partition)).await?;
    let subject = Subjects::turn(lane);
    let kept = match stream.get_last_raw_message_by_subject(&subject).await {
        Ok(kept) => kept,
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    match left(&kept.payload, now_ms()) {
        Left::All => return Ok(true),
        Left::Done(checkpoint, seconds) => {
            let mut headers = HeaderMap::new();
            headers.insert(EXPECTED_SEQUENCE, kept.sequence.to_string());
            headers.insert(TTL_HEADER, format!("{seconds}s"));
            js.publish_with_headers(subject, headers, checkpoint.to_bytes()?).await?.await?;
        }
        Left::Nothing => {
            stream.purge().sequence(kept.sequence + 1).filter(subject).await?;
        }
    }
    Ok(false)
}

/// Removes the steps and payloads that the recorder has written: nobody reads them any more.
async fn forget_steps(js: &Context, instance: &InstanceToken) -> Result<(), async_nats::Error> {
    let stream = js.get_stream_no_info(TRACE_STEPS).await?;
    let recorded = match stream.consumer_info(RECORDER).await {
        Ok(recorder) => recorder.ack_floor.stream_sequence,
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    stream.purge().sequence(recorded + 1).filter(Subjects::step(instance)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{AgentSession, OpenTurn, checkpoint::DoneId};

    fn checkpoint(done: Vec<DoneId>, open: Option<OpenTurn>) -> Vec<u8> {
        let session = Some(AgentSession { session_id: Some("s".into()), user_id: Some("u".into()) });
        Checkpoint { done, open, session, ..Checkpoint::new() }.to_bytes().unwrap().to_vec()
    }

    #[test]
    fn of_a_checkpoint_only_what_was_done_with_stays_and_not_for_long() {
        let done = vec![DoneId(1, 500_000), DoneId(2, 1_000_000)];
        let kept = checkpoint(done.clone(), None);
        let bare = Checkpoint { done: done.clone(), ..Checkpoint::new() };
        assert_eq!(left(&kept, 1_000_000), Left::Done(Box::new(bare.clone()), 2100));
        assert_eq!(left(&kept, 3_000_000), Left::Done(Box::new(bare.clone()), 100));
        assert_eq!(left(&kept, 0), Left::Done(Box::new(bare.clone()), 2100), "whatever the clock says");
        assert_eq!(left(&bare.to_bytes().unwrap(), 3_000_000), left(&kept, 3_000_000), "again is the same");
        assert_eq!(left(&kept, 3_100_000), Left::Nothing);
        assert_eq!(left(&checkpoint(Vec::new(), None), 1_000_000), Left::Nothing);
        assert_eq!(left(b"{", 0), Left::Nothing);
        assert_eq!(left(&checkpoint(done, Some(OpenTurn::new(Vec::new()))), 1_000_000), Left::All);
        assert_eq!(left(br#"{"v": 99}"#, 0), Left::All);
    }

    #[test]
    fn a_letter_is_theirs_by_any_of_their_tracks() {
        let person = PersonTracks {
            instance_name: "a".into(),
            instance_id: 1,
            phone: "5511".into(),
            sessions: ["a_5511".to_owned()].into(),
            traces: [Uuid::from_u128(7)].into(),
        };
        let group = Some("a_1203@g".to_owned());
        let letter = |phone: Option<&str>, session_name, trace| Summary {
            phone: phone.map(str::to_owned),
            session_name,
            trace_id: Some(Uuid::from_u128(trace)),
            ..Summary::default()
        };
        assert!(person.has(&letter(Some("5511"), group.clone(), 1)));
        assert!(person.has(&letter(None, Some("a_5511".into()), 1)));
        assert!(person.has(&letter(None, group.clone(), 7)), "a large body, unread");
        for session in [group, Some("a_95511".into()), None] {
            assert!(!person.has(&letter(Some("95511"), session, 1)));
        }
        assert!(!person.has(&Summary::default()));
    }
}
