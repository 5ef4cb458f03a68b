//! From a question to the whereabouts: the owners first, then the streams, then the database.

use omnihub_common::{
    conversation::whereabouts::{Sight, Standing, Whereabouts},
    instance::{Directory, InstanceSummary, Instances},
    key::Reach,
    queue::{LaneAddress, SightingError, Sightings, Told},
    trace::{MAX_LIMIT, Outcome, TraceFilter, Traces, entity::message_trace::Model},
};
use uuid::Uuid;

use super::candidates::{Candidate, guess_conversation, guess_person, seen};
use crate::{admin::traces::unavailable, live::Live, problem::Problem, state::AppState};

/// Conversations of one person that are shown.
const CONVERSATIONS: usize = 20;
/// Conversations that may be looked for by a guess in the memory of the workers.
const GUESSES: u64 = 10_000;
/// Guesses that may be looked for in the streams, where each costs a few requests.
const GUESSES_IN_STREAMS: usize = 20;

/// Finds messages for one reader.
pub(in crate::admin) struct Finder<'a> {
    reach: &'a Reach,
    traces: Traces,
    instances: &'a Instances,
    directory: &'a Directory,
    live: &'a Live,
}

impl<'a> Finder<'a> {
    /// For a reader who may see this much.
    pub(in crate::admin) fn new(state: &'a AppState, reach: &'a Reach) -> Self {
        Self {
            reach,
            traces: Traces::new(state.database.clone()),
            instances: &state.instances,
            directory: &state.directory,
            live: &state.live,
        }
    }

    /// Where one message is.
    pub(in crate::admin) async fn of_trace(&self, trace: &Model) -> Result<Whereabouts, Problem> {
        if let Some(ended) = ended(trace) {
            return Ok(ended);
        }
        let (lane, asked) = (self.lane_of(trace)?, Some(trace.trace_id));
        let told = self.sightings()?.ask_owners(&[(lane.clone(), asked)]).await.map_err(no_queue)?;
        let owner = match told.into_iter().next() {
            Some(Told::Busy(worker, sight)) if sight.asked.is_some() => {
                return Ok(whereabouts(trace, Some(worker), sight));
            }
            Some(Told::Busy(worker, _) | Told::Quiet(worker)) => Some(worker),
            Some(Told::Nobody) | None => None,
        };
        // An owner that does not have it is about to get it, or is done with it.
        match self.sightings()?.read_streams(&lane, asked).await.map_err(no_queue)? {
            Some(sight) if sight.asked.is_some() => Ok(whereabouts(trace, owner, sight)),
            _ => self.left(trace, &lane).await,
        }
    }

    /// The conversations of a person, by the digits of the phone.
    pub(super) async fn of_person(&self, phone: &str, instance: Option<&str>) -> Result<Vec<Whereabouts>, Problem> {
        let filter = TraceFilter { phone: Some(phone.to_owned()), ..filter(instance) };
        let mut candidates = self.seen(&filter, instance).await?;
        guess_person(&mut candidates, &self.guessable(instance).await?, phone);
        self.of_candidates(candidates).await
    }

    /// The conversations of this name.
    pub(super) async fn of_conversation(
        &self,
        name: &str,
        instance: Option<&str>,
    ) -> Result<Vec<Whereabouts>, Problem> {
        let filter = TraceFilter { session_name: Some(name.to_owned()), ..filter(instance) };
        let mut candidates = self.seen(&filter, instance).await?;
        guess_conversation(&mut candidates, &self.guessable(instance).await?, name);
        self.of_candidates(candidates).await
    }

    /// What the database has seen. Without it a named instance can still be guessed.
    async fn seen(&self, filter: &TraceFilter, instance: Option<&str>) -> Result<Vec<Candidate>, Problem> {
        match self.traces.list(self.reach, filter).await {
            Ok(page) => Ok(seen(page.rows, CONVERSATIONS)),
            Err(_) if instance.is_some() => Ok(Vec::new()),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// The instances that a guess may be about.
    async fn guessable(&self, instance: Option<&str>) -> Result<Vec<InstanceSummary>, Problem> {
        let Some(name) = instance else {
            let mut all = self.instances.summaries(GUESSES).await.map_err(|error| {
                tracing::error!(error.message = error.with_causes(), "instances cannot be read");
                no_database()
            })?;
            all.retain(|one| self.reach.includes(&one.name));
            return Ok(all);
        };
        if !self.reach.includes(name) {
            return Ok(Vec::new());
        }
        let found = self.directory.by_name(name).await.map_err(|_| no_database())?;
        let summary = found.map(|found| InstanceSummary {
            id: found.id,
            name: found.name.as_str().to_owned(),
            session_id_prefix: found.session_id_prefix.clone(),
        });
        Ok(summary.into_iter().collect())
    }

    async fn of_candidates(&self, candidates: Vec<Candidate>) -> Result<Vec<Whereabouts>, Problem> {
        let sightings = self.sightings()?;
        let lane = |found: &Candidate| sightings.lane(&found.instance_name, found.instance_id, &found.conversation);
        let lanes: Vec<_> = candidates.iter().map(|found| (lane(found), None)).collect();
        let told = sightings.ask_owners(&lanes).await.map_err(no_queue)?;
        let guesses = candidates.iter().filter(|found| found.last.is_none()).count();
        let mut found = Vec::new();
        for ((candidate, (lane, _)), told) in candidates.iter().zip(&lanes).zip(told) {
            let in_streams = candidate.last.is_some() || guesses <= GUESSES_IN_STREAMS;
            found.extend(self.of_candidate(candidate, lane, told, in_streams).await?);
        }
        found.sort_by_key(|found| found.standing.has_ended());
        Ok(found)
    }

    async fn of_candidate(
        &self,
        candidate: &Candidate,
        lane: &LaneAddress,
        told: Told,
        in_streams: bool,
    ) -> Result<Option<Whereabouts>, Problem> {
        let (instance, conversation) = (&candidate.instance_name, &candidate.conversation);
        let of = |owner, sight| Some(Whereabouts::of(instance, conversation, owner, sight, None));
        let owner = match told {
            Told::Busy(worker, sight) => return Ok(of(Some(worker), sight)),
            // What the owner does not know of a person whom nobody has seen is not there.
            Told::Quiet(_) if candidate.last.is_none() => return Ok(None),
            Told::Quiet(worker) => Some(worker),
            Told::Nobody => None,
        };
        if in_streams && let Some(sight) = self.sightings()?.read_streams(lane, None).await.map_err(no_queue)? {
            return Ok(of(owner, sight));
        }
        match &candidate.last {
            Some(trace) => match ended(trace) {
                Some(ended) => Ok(Some(ended)),
                None => self.left(trace, lane).await.map(Some),
            },
            None => Ok(None),
        }
    }

    /// A message that has left the queue, and whose outcome the row that was read does not have.
    async fn left(&self, trace: &Model, lane: &LaneAddress) -> Result<Whereabouts, Problem> {
        if let Ok(Some(now)) = self.traces.get(self.reach, trace.trace_id).await
            && let Some(ended) = ended(&now)
        {
            return Ok(ended);
        }
        let letter = self.sightings()?.dead_letter(lane, trace.trace_id).await.map_err(no_queue)?;
        let standing = letter.map_or(Standing::Recording, |letter| Standing::Dead {
            at: chrono::DateTime::from_timestamp_millis(letter.at),
            reason: letter.reason,
            attempts: Some(letter.attempts),
            error: Some(letter.error_message).filter(|error| !error.is_empty()),
        });
        let conversation = trace.session_name.as_deref().unwrap_or_default();
        Ok(Whereabouts::ended(&trace.instance_name, conversation, Some(trace.trace_id), standing))
    }

    fn lane_of(&self, trace: &Model) -> Result<LaneAddress, Problem> {
        let conversation = trace.session_name.as_deref().unwrap_or_default();
        Ok(self.sightings()?.lane(&trace.instance_name, trace.instance_id, conversation))
    }

    fn sightings(&self) -> Result<&Sightings, Problem> {
        self.live.sightings().ok_or_else(queue_unavailable)
    }
}

fn filter(instance: Option<&str>) -> TraceFilter {
    TraceFilter { instance_name: instance.map(str::to_owned), limit: MAX_LIMIT.min(200), ..TraceFilter::default() }
}

fn whereabouts(trace: &Model, owner: Option<String>, sight: Sight) -> Whereabouts {
    let (conversation, asked): (_, Option<Uuid>) = (trace.session_name.as_deref(), Some(trace.trace_id));
    Whereabouts::of(&trace.instance_name, conversation.unwrap_or_default(), owner, sight, asked)
}

/// How a message ended, if its row says so.
fn ended(trace: &Model) -> Option<Whereabouts> {
    let outcome = trace.outcome.as_deref().and_then(Outcome::parse)?;
    let (at, reason) = (trace.completed_at, trace.outcome_reason.clone());
    let standing = match outcome {
        Outcome::Dead => Standing::Dead {
            at,
            reason: reason.unwrap_or_default(),
            attempts: trace.attempts.and_then(|attempts| u32::try_from(attempts).ok()),
            error: trace.error_message.clone(),
        },
        outcome => Standing::Done { at, outcome, reason },
    };
    let conversation = trace.session_name.as_deref().unwrap_or_default();
    Some(Whereabouts::ended(&trace.instance_name, conversation, Some(trace.trace_id), standing))
}

fn no_queue(error: SightingError) -> Problem {
    tracing::warn!(error.message = %error, "nobody could be asked where a message is");
    queue_unavailable()
}

fn queue_unavailable() -> Problem {
    let detail = "NATS does not answer, so nobody can say where a message is; try again";
    Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "queue_unavailable", detail).retry_after(2)
}

fn no_database() -> Problem {
    let detail = "the database cannot be read; try again";
    Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail).retry_after(1)
}
