//! How a fake agent answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{AgentCall, Voice, protocol::Protocol};

/// Says what a call is answered, and after how long.
pub type Pace = dyn Fn(&AgentCall) -> (Duration, Answer) + Send + Sync;

/// What a fake agent does with a call that is in order.
#[derive(Clone)]
pub enum Behaviour {
    /// Answers `echo: <message>`.
    Echo,
    /// Answers this text.
    Fixed(String),
    /// Waits, then behaves as the other one says.
    Slow(Duration, Box<Behaviour>),
    /// Answers this status and JSON body.
    Status(StatusCode, Value),
    /// One after the other, a call each; the last one stays. An empty one echoes.
    Sequence(Vec<Behaviour>),
    /// Answers this status, content type and bytes.
    Raw(StatusCode, String, Vec<u8>),
    /// Answers 200 with a body in pieces.
    Pieces(Pieces),
    /// Answers what this voice says, while it says it.
    Voice(Voice),
    /// Answers 200 with `success: false`.
    SuccessFalse,
    /// Never answers, until the agent is dropped.
    Hang,
    /// Asks this function.
    Custom(Arc<dyn Fn(&AgentCall) -> Answer + Send + Sync>),
    /// Asks this function, and waits as long as it says.
    Paced(Arc<Pace>),
}

impl Behaviour {
    /// Asks this function for each answer.
    pub fn custom(answer: impl Fn(&AgentCall) -> Answer + Send + Sync + 'static) -> Self {
        Self::Custom(Arc::new(answer))
    }

    /// Asks this function for each answer and for the time it takes.
    pub fn paced(answer: impl Fn(&AgentCall) -> (Duration, Answer) + Send + Sync + 'static) -> Self {
        Self::Paced(Arc::new(answer))
    }

    /// Waits `time`, then behaves as `then` says.
    #[must_use]
    pub fn slow(time: Duration, then: Self) -> Self {
        Self::Slow(time, Box::new(then))
    }

    /// The behaviour of the next call: a sequence steps on, wherever it stands.
    pub(super) fn next(&mut self) -> Self {
        match self {
            Self::Sequence(steps) => {
                let Some(first) = steps.first_mut() else { return Self::Echo };
                let nested = matches!(first, Self::Sequence(inner) if inner.len() > 1);
                let step = first.next();
                if steps.len() > 1 && !nested {
                    steps.remove(0);
                }
                step
            }
            Self::Slow(time, then) => Self::slow(*time, then.next()),
            other => other.clone(),
        }
    }

    /// The answer without the waiting; `None` = never.
    pub(super) fn answer(&self, call: &AgentCall) -> Option<Answer> {
        Some(match self {
            Self::Echo => Answer::text(call, &format!("echo: {}", call.message())),
            Self::Fixed(text) => Answer::text(call, text),
            Self::Status(status, body) => Answer::json(*status, body),
            Self::Raw(status, content_type, body) => {
                Answer { status: *status, content_type: content_type.clone(), body: body.clone() }
            }
            Self::SuccessFalse => Answer::json(
                StatusCode::OK,
                &json!({ "success": false, "message": "the model is overloaded", "error": "overloaded" }),
            ),
            Self::Pieces(Pieces { content_type, pieces, .. }) => {
                Answer { status: StatusCode::OK, content_type: content_type.clone(), body: pieces.concat() }
            }
            Self::Custom(answer) => answer(call),
            Self::Paced(answer) => answer(call).1,
            Self::Slow(_, then) => return then.answer(call),
            Self::Sequence(steps) => return steps.first().unwrap_or(&Self::Echo).answer(call),
            Self::Hang | Self::Voice(_) => return None,
        })
    }

    /// How long to wait before the answer.
    pub(super) fn wait(&self, call: &AgentCall) -> Duration {
        match self {
            Self::Slow(time, then) => *time + then.wait(call),
            Self::Paced(answer) => answer(call).0,
            _ => Duration::ZERO,
        }
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Echo => "Echo",
            Self::Fixed(_) => "Fixed",
            Self::Slow(..) => "Slow",
            Self::Status(..) => "Status",
            Self::Sequence(_) => "Sequence",
            Self::Raw(..) => "Raw",
            Self::Pieces(_) => "Pieces",
            Self::Voice(_) => "Voice",
            Self::SuccessFalse => "SuccessFalse",
            Self::Hang => "Hang",
            Self::Custom(_) => "Custom",
            Self::Paced(_) => "Paced",
        })
    }
}

/// An answer as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The content type.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: StatusCode, body: &Value) -> Self {
        Self { status, content_type: "application/json".to_owned(), body: body.to_string().into_bytes() }
    }

    /// A good answer with this text, in the protocol of the call: the session of the call (an id made
    /// of its name when the call had none), its user, and a made-up usage.
    #[must_use]
    pub fn text(call: &AgentCall, text: &str) -> Self {
        Protocol::of(&call.path).answer(call, text)
    }
}

/// A body that comes piece by piece, each for itself.
#[derive(Clone, Debug)]
pub struct Pieces {
    /// The content type.
    pub content_type: String,
    /// The pieces.
    pub pieces: Vec<Vec<u8>>,
    /// Whether the connection breaks behind them, instead of ending as it should.
    pub broken: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(behaviour: &mut Behaviour, calls: usize) -> Vec<String> {
        (0..calls).map(|_| format!("{:?}", behaviour.next())).collect()
    }

    #[test]
    fn a_sequence_steps_once_a_call_and_its_last_stays() {
        let mut behaviour = Behaviour::Sequence(vec![Behaviour::SuccessFalse, Behaviour::Hang, Behaviour::Echo]);
        assert_eq!(names(&mut behaviour, 4), ["SuccessFalse", "Hang", "Echo", "Echo"]);
        assert_eq!(names(&mut Behaviour::Sequence(Vec::new()), 1), ["Echo"]);
    }

    #[test]
    fn a_sequence_steps_inside_another_and_behind_a_wait() {
        let inner = Behaviour::Sequence(vec![Behaviour::Hang, Behaviour::SuccessFalse]);
        let mut nested = Behaviour::Sequence(vec![inner.clone(), Behaviour::Echo]);
        assert_eq!(names(&mut nested, 4), ["Hang", "SuccessFalse", "Echo", "Echo"]);
        let mut slow = Behaviour::slow(Duration::from_secs(1), inner);
        let (first, second) = (slow.next(), slow.next());
        assert!(matches!(first, Behaviour::Slow(_, then) if matches!(*then, Behaviour::Hang)));
        assert!(matches!(second, Behaviour::Slow(_, then) if matches!(*then, Behaviour::SuccessFalse)));
    }
}
