//! Agents: one file per protocol, the set closed by [`AgentProtocol`].

mod answer;
pub mod automagik;
mod automagik_v1;
mod client;
pub mod conformance;
mod events;
mod file;
mod hive;
mod openai;
mod plain;
mod stream;
#[cfg(test)]
mod testing;
mod webhook;

use omnihub_common::{
    conversation::Decision,
    instance::{AgentProtocol, Instance, MediaDelivery},
    trace::PastTurn,
};
use serde_json::Value;

use answer::answered;
pub use client::Client;
use file::Show;
pub(crate) use file::media_type;
pub use file::{File, Files};
pub(crate) use openai::openai_url;
pub use stream::Heard;

/// What an agent is asked, the same for every protocol.
#[derive(Clone, Debug)]
pub struct Question {
    /// The same for every attempt of one turn.
    pub turn_id: String,
    /// What the person wrote, with what they replied to.
    pub message: String,
    /// The kind of the message: `text`, `image`, `audio`, `video`, `document`, `location` and so on.
    pub message_type: &'static str,
    /// What is known of each file that came, in order.
    pub media_contents: Vec<Value>,
    /// What else came as data (places, contacts, choices), in order.
    pub contents: Vec<Value>,
    /// The messages of the turn one by one, oldest first.
    pub messages: Vec<Said>,
    /// The conversation's name.
    pub session_name: String,
    /// The agent's id of the conversation, or ours until it has named one.
    pub session_id: String,
    /// The agent's id of the person, or ours until it has named one.
    pub user_id: String,
    /// Whether the agent itself gave that id.
    pub agent_knows_user: bool,
    /// Who is asking: `phone_number`, `email`, `user_data`.
    pub user: Value,
    /// The quoted message, for agents that want it apart.
    pub quoted: Option<Value>,
    /// Where the agent may post its answer later, where that is possible.
    pub reply_url: Option<String>,
}

/// One message of a turn.
#[derive(Clone, Debug)]
pub struct Said {
    /// The channel's id of it.
    pub id: String,
    /// Its kind: `text`, `image`, `audio`, ...
    pub kind: &'static str,
    /// What is known of its file.
    pub media: Option<Value>,
    /// What the person wrote, with what they replied to.
    pub text: String,
    /// When the channel got it, in milliseconds since 1970.
    pub at_ms: Option<i64>,
}

/// What holds a call together with the rest of the turn.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// The same for every attempt of one turn (`Idempotency-Key`).
    pub idempotency_key: String,
    /// The message's trace (`x-request-id`).
    pub request_id: String,
    /// The W3C trace context.
    pub trace_headers: http::HeaderMap,
    /// Who wants to hear a streamed answer before it is whole.
    pub heard: Option<Heard>,
}

/// An agent's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The text for the person; empty = nothing to say.
    pub text: String,
    /// The agent's id of the conversation.
    pub session_id: Option<String>,
    /// The agent's id of the person.
    pub user_id: Option<String>,
    /// Tokens of request and response, as far as it names them.
    pub tokens: (Option<i32>, Option<i32>),
    /// How many tools it used.
    pub tools_used: Option<i32>,
    /// The HTTP status.
    pub status: u16,
    /// The answer as it came, for the trace.
    pub body: Value,
}

/// A call that brought no answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[error("{message}")]
pub struct AgentError {
    /// What went wrong, for people; never a secret, never shown to the customer.
    pub message: String,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The answer, for the trace.
    pub body: Option<Value>,
    /// What to do.
    pub decision: Decision,
}

impl AgentError {
    /// Whether the agent has not failed, but means to answer later.
    #[must_use]
    pub fn is_later(&self) -> bool {
        matches!(&self.decision, Decision::Dead(reason) if reason == webhook::LATER)
    }
}

/// Reads what an agent has answered later, as if it had answered at once.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read_later(content_type: &str, bytes: Vec<u8>) -> Result<Reply, AgentError> {
    let content_type = content_type.to_ascii_lowercase();
    webhook::read(&answer::Answer { status: 200, content_type, bytes, ..answer::Answer::default() })
}

/// How many turns of the past [`request`] is to be given: an agent that remembers needs none.
#[must_use]
pub fn past_turns(instance: &Instance) -> u32 {
    match instance.agent.protocol {
        AgentProtocol::Openai => instance.agent.options.history_turns,
        AgentProtocol::Automagik | AgentProtocol::AutomagikV1 | AgentProtocol::Hive | AgentProtocol::Webhook => 0,
    }
}

/// Whether the agent is asked to answer piece by piece.
#[must_use]
pub fn streams(instance: &Instance) -> bool {
    instance.agent.options.stream && instance.agent.protocol.streams()
}

/// The request's body for the instance's protocol; it is kept in the trace and sent by [`ask`].
#[must_use]
pub fn request(instance: &Instance, question: &Question, past: &[PastTurn]) -> Value {
    match instance.agent.protocol {
        AgentProtocol::Automagik => automagik::request(instance, question),
        AgentProtocol::AutomagikV1 => automagik_v1::request(question),
        AgentProtocol::Hive => hive::request(instance, question),
        AgentProtocol::Openai => openai::request(instance, question, past),
        AgentProtocol::Webhook => webhook::request(instance, question),
    }
}

/// Whether the agent is given a file of which this is known: some refuse a question whole for one
/// that they do not know.
#[must_use]
pub fn takes(instance: &Instance, about: &Value) -> bool {
    match instance.agent.protocol {
        AgentProtocol::Automagik | AgentProtocol::AutomagikV1 | AgentProtocol::Webhook => true,
        AgentProtocol::Hive => hive::takes(about),
        AgentProtocol::Openai => openai::takes(about),
    }
}

/// Whether the agent's protocol has a place for a link to such a file, and the instance wants it there.
#[must_use]
pub fn takes_link(instance: &Instance, about: &Value) -> bool {
    let has_place = match instance.agent.protocol {
        AgentProtocol::Automagik | AgentProtocol::AutomagikV1 | AgentProtocol::Webhook => true,
        AgentProtocol::Openai => openai::takes_link(about),
        // Its files are parts of a form.
        AgentProtocol::Hive => false,
    };
    has_place && instance.media.delivery == MediaDelivery::Url
}

/// The request as a trace shows it: with a note in the place of each file.
#[must_use]
pub fn shown(instance: &Instance, request: &Value, files: &Files) -> Value {
    let mut shown = request.clone();
    attach(instance, &mut shown, &files.list, File::note);
    if instance.agent.protocol == AgentProtocol::Hive {
        hive::note_files(&mut shown, &files.list);
    }
    shown
}

/// Writes the files into the request, where its protocol has them inside.
fn attach(instance: &Instance, request: &mut Value, files: &[File], show: Show) {
    if files.is_empty() {
        return;
    }
    match instance.agent.protocol {
        AgentProtocol::Automagik => automagik::attach(request, files, show),
        AgentProtocol::AutomagikV1 => automagik_v1::attach(request, files, show),
        AgentProtocol::Openai => openai::attach(request, files, show),
        AgentProtocol::Webhook => webhook::attach(request, files, show),
        // Beside the fields of its form.
        AgentProtocol::Hive => {}
    }
}

/// Asks the instance's agent. It takes what it is given: thousands of calls wait at once, and none
/// keeps what its bytes were made of.
///
/// # Errors
/// Carries what to do: try again, hold, or give up.
pub async fn ask(
    client: &Client,
    instance: &Instance,
    request: Value,
    files: Files,
    context: CallContext,
) -> Result<Reply, AgentError> {
    let call = call(instance, request, files, context)?;
    let mut answer = answered(client.post(call).await?)?;
    if let Some(listener) = answer.listener() {
        return listener.reply(answer.status);
    }
    match instance.agent.protocol {
        // The older one answers in the same words.
        AgentProtocol::Automagik | AgentProtocol::AutomagikV1 => automagik::read(&answer),
        AgentProtocol::Hive => hive::read(&answer),
        AgentProtocol::Openai => openai::read(&answer),
        AgentProtocol::Webhook => webhook::read(&answer),
    }
}

/// Asks, and where a request with files is too large for the agent (413) once more without them; whether
/// that was so. The person's words are worth an answer without their files.
///
/// # Errors
/// As [`ask`].
pub async fn ask_with_files(
    client: &Client,
    instance: &Instance,
    request: Value,
    files: Files,
    context: CallContext,
) -> (Result<Reply, AgentError>, bool) {
    if files.list.is_empty() {
        return (Box::pin(ask(client, instance, request, files, context)).await, false);
    }
    let bare = (request.clone(), context.clone());
    match Box::pin(ask(client, instance, request, files, context)).await {
        Err(AgentError { status: Some(413), .. }) => {
            (Box::pin(ask(client, instance, bare.0, Files::default(), bare.1)).await, true)
        }
        replied => (replied, false),
    }
}

/// What goes over the wire.
fn call(
    instance: &Instance,
    mut request: Value,
    mut files: Files,
    mut context: CallContext,
) -> Result<client::Call, answer::Failure> {
    let heard = context.heard.take();
    attach(instance, &mut request, &files.list, File::data);
    let request = &request;
    let mut call = match instance.agent.protocol {
        AgentProtocol::Automagik => automagik::call(instance, request, context),
        AgentProtocol::AutomagikV1 => automagik_v1::call(instance, request, context),
        AgentProtocol::Hive => hive::call(instance, request, &files.list, context),
        AgentProtocol::Openai => openai::call(instance, request, context),
        AgentProtocol::Webhook => webhook::call(instance, request, context),
    }?;
    if let Some(ear) = &mut call.ear {
        ear.heard = heard;
    }
    files.keep_room(call.body.len().div_ceil(1024));
    Ok(client::Call { seat: files.seat, ..call })
}
