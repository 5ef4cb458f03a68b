//! Redriving and dropping many letters.
//!
//! The letters are taken in the order in which they died, a few at once, within a conversation one
//! after the other. A call ends after a while with a cursor for the rest, since nobody's client
//! waits for ever; what dies after the first call began is not its business.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use omnihub_common::queue::dead::{KeptLetter, RedriveError, Skip, Stretch};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Asked, DeadDesk, desk, not_done, unreachable, view::Refusal};
use crate::{problem::Problem, state::AppState};

/// A call goes on for so long, and a little longer for what it has begun.
const WORK_FOR: Duration = Duration::from_secs(10);
/// Letters that are held in memory and worked on at once.
const AT_ONCE: usize = 32;
/// So many skipped letters are named one by one; all are counted.
const NAMED: usize = 100;

/// What a redrive of many answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLettersRedriven)]
pub(super) struct Redriven {
    dry_run: bool,
    /// How many were meant.
    matched: usize,
    redriven: u64,
    /// How many would be, in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    redrivable: Option<u64>,
    /// How many were left for each reason.
    skipped: BTreeMap<&'static str, u64>,
    /// The first of them.
    skipped_letters: Vec<Skipped>,
    /// The `cursor` of the call that goes on; none when all is done.
    next_cursor: Option<String>,
}

/// A letter that was not redriven.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterSkipped)]
struct Skipped {
    id: String,
    #[serde(flatten)]
    why: Refusal,
}

/// What a drop of many answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLettersDropped)]
pub(super) struct Dropped {
    dry_run: bool,
    /// How many were meant.
    matched: usize,
    pub(super) dropped: u64,
    /// The `cursor` of the call that goes on; none when all is done.
    pub(super) next_cursor: Option<String>,
}

/// The letters that are meant.
pub(super) struct Meant {
    places: Vec<u64>,
    stretch: Stretch,
    /// How many of each instance, by its token.
    pub(super) instances: BTreeMap<String, u64>,
}

impl Meant {
    /// Those that are there now.
    pub(super) async fn find(desk: &DeadDesk, asked: &Asked) -> Result<Self, Problem> {
        let matching = desk.letters().matching(&asked.filter, asked.stretch).await.map_err(unreachable)?;
        Ok(Self { places: matching.places, stretch: matching.stretch, instances: matching.instances })
    }
}

/// What a redrive of many has come to.
#[derive(Default)]
struct Tally {
    done: u64,
    skipped: BTreeMap<Skip, u64>,
    named: Vec<Skipped>,
}

impl Tally {
    fn skip(&mut self, id: &str, skip: Skip) {
        *self.skipped.entry(skip).or_default() += 1;
        if self.named.len() < NAMED {
            self.named.push(Skipped { id: id.to_owned(), why: skip.into() });
        }
    }

    fn skipped(&self) -> BTreeMap<&'static str, u64> {
        self.skipped.iter().map(|(skip, count)| (skip.as_str(), *count)).collect()
    }
}

/// Redrives what is asked for, or only says what would come of it.
pub(super) async fn redrive(
    state: &AppState,
    desk: &DeadDesk,
    asked: &Asked,
    meant: Meant,
) -> Result<Redriven, Problem> {
    let (began, mut tally) = (Instant::now(), Tally::default());
    let Meant { places, stretch, .. } = meant;
    let mut next = None;
    for (nth, chunk) in places.chunks(AT_ONCE).enumerate() {
        if began.elapsed() > WORK_FOR && nth > 0 {
            next = Some(before(chunk, stretch));
            break;
        }
        let lanes = lanes(read(desk, chunk).await?);
        let worked = try_join_all(lanes.into_iter().map(|lane| redrive_lane(state, desk, lane, asked.dry_run)));
        for (id, skip) in worked.await.map_err(|problem| so_far(problem, tally.done))?.into_iter().flatten() {
            match skip {
                Some(skip) => tally.skip(&id, skip),
                None => tally.done += 1,
            }
        }
    }
    let (redriven, redrivable) = if asked.dry_run { (0, tally.done) } else { (tally.done, 0) };
    tracing::info!(dead.matched = places.len(), dead.redriven = redriven, asked.dry_run, "dead letters were redriven");
    Ok(Redriven {
        dry_run: asked.dry_run,
        matched: places.len(),
        redriven,
        redrivable: asked.dry_run.then_some(redrivable),
        skipped: tally.skipped(),
        skipped_letters: tally.named,
        next_cursor: next.map(Stretch::to_cursor),
    })
}

/// The letters of one conversation, one after the other: each id, and why it was skipped.
async fn redrive_lane(
    state: &AppState,
    desk: &DeadDesk,
    lane: Vec<KeptLetter>,
    dry_run: bool,
) -> Result<Vec<(String, Option<Skip>)>, Problem> {
    let mut worked = Vec::with_capacity(lane.len());
    for kept in lane {
        let instance = desk::instance_of(state, &kept).await?;
        let done = match dry_run {
            true => desk.check(&kept, instance.as_deref()).await,
            false => desk.redrive(&kept, instance.as_deref()).await.map(drop),
        };
        let skip = match done {
            Ok(()) => None,
            Err(RedriveError::Skipped(skip)) => Some(skip),
            Err(error) => return Err(not_done(error)),
        };
        worked.push((kept.id, skip));
    }
    Ok(worked)
}

/// Drops what is asked for, or only counts it.
pub(super) async fn drop_letters(desk: &DeadDesk, asked: &Asked, meant: Meant) -> Result<Dropped, Problem> {
    let (began, mut dropped) = (Instant::now(), 0_u64);
    let Meant { places, stretch, .. } = meant;
    let (mut next, matched) = (None, places.len());
    let chunks = if asked.dry_run { &[][..] } else { &places[..] }.chunks(AT_ONCE);
    for (nth, chunk) in chunks.enumerate() {
        if began.elapsed() > WORK_FOR && nth > 0 {
            next = Some(before(chunk, stretch));
            break;
        }
        let kept = read(desk, chunk).await?;
        let drops = try_join_all(kept.iter().map(|kept| desk.letters().drop_one(kept)));
        dropped += drops.await.map_err(|error| so_far(unreachable(error), dropped))?.len() as u64;
    }
    tracing::info!(dead.matched = matched, dead.dropped = dropped, asked.dry_run, "dead letters were dropped");
    Ok(Dropped { dry_run: asked.dry_run, matched, dropped, next_cursor: next.map(Stretch::to_cursor) })
}

/// What is left, this chunk first.
fn before(chunk: &[u64], stretch: Stretch) -> Stretch {
    Stretch { after: chunk.first().map_or(stretch.upto, |first| first - 1), ..stretch }
}

/// The letters at these places, without those that are gone meanwhile.
async fn read(desk: &DeadDesk, places: &[u64]) -> Result<Vec<KeptLetter>, Problem> {
    let read = try_join_all(places.iter().map(|place| desk.letters().at(*place)));
    Ok(read.await.map_err(unreachable)?.into_iter().flatten().collect())
}

/// By conversation, the order within each kept.
fn lanes(letters: Vec<KeptLetter>) -> Vec<Vec<KeptLetter>> {
    let mut lanes = BTreeMap::<String, Vec<KeptLetter>>::new();
    for kept in letters {
        let lane = kept.subject.rsplit_once('.').map_or(kept.subject.as_str(), |(lane, _)| lane).to_owned();
        lanes.entry(lane).or_default().push(kept);
    }
    lanes.into_values().collect()
}

/// What was done before the trouble stays done.
fn so_far(mut problem: Problem, done: u64) -> Problem {
    problem.detail = format!("{} ({done} letters were done before)", problem.detail);
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_keep_their_order_within_a_conversation() {
        let kept = |subject: &str, sequence| KeptLetter {
            id: subject.to_owned(),
            instance_token: "a-1".into(),
            subject: subject.to_owned(),
            sequence,
            letter: None,
        };
        let letters = vec![kept("dead.a-1.x.3", 1), kept("dead.a-1.y.1", 2), kept("dead.a-1.x.2", 3)];
        let order: Vec<Vec<u64>> =
            lanes(letters).iter().map(|lane| lane.iter().map(|kept| kept.sequence).collect()).collect();
        assert_eq!(order, [vec![1, 3], vec![2]]);
    }

    #[test]
    fn what_is_left_begins_with_what_was_not_begun() {
        let left = before(&[7, 9], Stretch { after: 0, upto: 12 });
        assert!(left.contains(7) && left.contains(12) && !left.contains(6));
    }
}
