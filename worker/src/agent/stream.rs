//! An answer that comes piece by piece: collected as its events come, and read like any other once it
//! is whole. What an event means is the protocol's to say.
//!
//! Who wants to hear the text as it grows is told of it; whether any of that goes out is the turn's to say.

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    AgentError, Reply,
    answer::{Failure, LARGEST_ANSWER, failed, interrupted, unusable},
    events::{Event, EventReader},
    hive, openai,
};

/// Whose events they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Those of `hive`.
    Hive,
    /// Those of `openai`.
    Openai,
}

/// Who is told of the text as it grows, whenever more may end a paragraph.
pub type Heard = watch::Sender<String>;

/// What is made of a stream: whose events they are, and who wants to hear the text before it is whole.
#[derive(Clone, Debug)]
pub(super) struct Ear {
    pub(super) dialect: Dialect,
    pub(super) heard: Option<Heard>,
}

impl From<Dialect> for Ear {
    fn from(dialect: Dialect) -> Self {
        Self { dialect, heard: None }
    }
}

/// How a stream stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum End {
    /// More is to come.
    #[default]
    Open,
    /// The answer is whole; more may come that says nothing.
    Whole,
    /// Nothing more is to be said.
    Over,
    /// The agent says that it did not succeed.
    Failed(Value),
    /// An event is none of the protocol.
    Unreadable,
}

/// What a stream has told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told {
    pub(super) text: String,
    /// What the agent itself says the whole text is.
    pub(super) complete: Option<String>,
    pub(super) session_id: Option<String>,
    pub(super) tokens: (Option<i32>, Option<i32>),
    pub(super) tools_used: Option<i32>,
    pub(super) events: u32,
    /// Whether a team has spoken, so that its members speak to it and not to the person.
    pub(super) of_team: bool,
    pub(super) end: End,
}

/// Listens to a stream.
#[derive(Debug)]
pub(super) struct Listener {
    ear: Ear,
    reader: EventReader,
    told: Told,
}

impl Listener {
    /// One that has heard nothing yet.
    pub(super) fn new(ear: impl Into<Ear>) -> Self {
        Self { ear: ear.into(), reader: EventReader::default(), told: Told::default() }
    }

    /// Listens on; whether enough was heard.
    pub(super) fn hear(&mut self, status: u16, bytes: &[u8]) -> Result<bool, Failure> {
        let too_large = Failure::TooLarge(status);
        for event in self.reader.read(bytes).map_err(|_| too_large)? {
            self.take(&event);
            let told = &self.told;
            if told.text.len().max(told.complete.as_ref().map_or(0, String::len)) > LARGEST_ANSWER {
                return Err(too_large);
            }
        }
        self.pass_on();
        Ok(!matches!(self.told.end, End::Open | End::Whole))
    }

    /// Only lines end paragraphs, so what has brought none is not worth a look.
    fn pass_on(&self) {
        let Some(heard) = &self.ear.heard else { return };
        let text = &self.told.text;
        let more = |known: &String| !text.starts_with(known.as_str()) || text[known.len()..].contains('\n');
        heard.send_if_modified(|known| {
            let tells = more(known);
            if tells {
                known.clone_from(text);
            }
            tells
        });
    }

    fn take(&mut self, event: &Event) {
        if !matches!(self.told.end, End::Open | End::Whole) {
            return;
        }
        self.told.events = self.told.events.saturating_add(1);
        if event.data.trim_ascii() == b"[DONE]" {
            self.told.end = End::Over;
            return;
        }
        if event.data.trim_ascii().is_empty() {
            return;
        }
        let Ok(data) = serde_json::from_slice::<Value>(&event.data) else {
            self.told.end = End::Unreadable;
            return;
        };
        match self.ear.dialect {
            Dialect::Hive => hive::hear(&mut self.told, &event.name, data),
            Dialect::Openai => openai::hear(&mut self.told, data),
        }
    }

    /// The answer, the stream having ended.
    pub(super) fn reply(mut self, status: u16) -> Result<Reply, AgentError> {
        if let Some(last) = std::mem::take(&mut self.reader).end() {
            let before = self.told.end.clone();
            self.take(&last);
            if self.told.end == End::Unreadable {
                // It was cut in the middle.
                self.told.end = before;
            }
        }
        reply(self.told, status)
    }
}

fn reply(told: Told, status: u16) -> Result<Reply, AgentError> {
    let Told { text, complete, session_id, tokens, tools_used, events, of_team: _, end } = told;
    // The agent repeats the whole: where a piece is missing or was said twice, that is what it meant.
    let differs = complete.as_ref().is_some_and(|complete| *complete != text);
    let text = complete.unwrap_or(text);
    let body = json!({
        "stream": {"events": events, "differs_from_complete": differs},
        "content": text,
        "session_id": session_id,
        "usage": {"request_tokens": tokens.0, "response_tokens": tokens.1},
    });
    match end {
        End::Whole | End::Over => Ok(Reply { text, session_id, user_id: None, tokens, tools_used, status, body }),
        End::Open => Err(interrupted(status, body)),
        End::Failed(event) => Err(failed(status, event)),
        End::Unreadable => {
            Err(unusable(status, "the agent's stream is not in its protocol", "agent_answer_unreadable", Some(body)))
        }
    }
}
