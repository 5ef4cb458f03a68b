//! An agent that speaks when the test lets it, piece by piece, in the streams of `hive` and `openai`.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::watch;

use super::{AgentCall, Protocol};

/// What is said, and how it ends. A clone is the same voice; every call hears all of it from its
/// beginning.
#[derive(Clone, Debug, Default)]
pub struct Voice(watch::Sender<Speech>);

#[derive(Clone, Debug, Default)]
struct Speech {
    said: Vec<String>,
    end: End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum End {
    #[default]
    Open,
    Whole,
    Broken,
}

impl Voice {
    /// Says a piece more.
    pub fn say(&self, text: &str) {
        self.0.send_modify(|speech| speech.said.push(text.to_owned()));
    }

    /// Has said all.
    pub fn end(&self) {
        self.0.send_modify(|speech| speech.end = End::Whole);
    }

    /// Falls silent in the middle: the connections break.
    pub fn break_off(&self) {
        self.0.send_modify(|speech| speech.end = End::Broken);
    }

    /// The answer to a call, as it is spoken.
    pub(super) fn answer(&self, call: &AgentCall) -> Response {
        let (voice, call) = (self.clone(), call.clone());
        let pieces = stream::unfold((self.0.subscribe(), 0, false), move |(mut speech, heard, over)| {
            // It may speak on for as long as somebody listens.
            let (_voice, call) = (voice.clone(), call.clone());
            async move {
                if over {
                    return None;
                }
                let new = |speech: &Speech| speech.said.len() > heard || speech.end != End::Open;
                let now = speech.wait_for(new).await.ok()?.clone();
                let piece = match (now.said.get(heard), now.end) {
                    (Some(text), _) => Ok(Protocol::of(&call.path).piece(&call, text)),
                    (None, End::Whole) => Ok(Protocol::of(&call.path).ending(&call, &now.said.concat())),
                    (None, _) => Err(io::Error::other("the agent falls silent")),
                };
                let over = heard >= now.said.len();
                Some((piece.map(Bytes::from), (speech, heard + 1, over)))
            }
        });
        ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(pieces)).into_response()
    }
}
