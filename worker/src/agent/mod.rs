//! Agents: one file per protocol, the set closed by [`AgentProtocol`].

mod answer;
pub mod automagik;
mod automagik_v1;
mod client;
mod plain;

use omnihub_common::{
    conversation::Decision,
    instance::{AgentProtocol, Instance},
};
use serde_json::Value;

use answer::answered;
pub use client::Client;

/// What an agent is asked, the same for every protocol.
#[derive(Clone, Debug)]
pub struct Question {
    /// What the person wrote, with what they replied to.
    pub message: String,
    /// The kind of the message: `text`, `image`, `audio`, `video`, `document`, `location` and so on.
    pub message_type: &'static str,
    /// What is known of each file that came, in order.
    pub media_contents: Vec<Value>,
    /// What else came as data (places, contacts, choices), in order.
    pub contents: Vec<Value>,
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

/// The request's body for the instance's protocol; it is kept in the trace and sent by [`ask`].
#[must_use]
pub fn request(instance: &Instance, question: &Question) -> Value {
    match instance.agent.protocol {
        AgentProtocol::Automagik => automagik::request(instance, question),
        AgentProtocol::AutomagikV1 => automagik_v1::request(question),
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
    context: CallContext,
) -> Result<Reply, AgentError> {
    let call = match instance.agent.protocol {
        AgentProtocol::Automagik => automagik::call(instance, &request, context)?,
        AgentProtocol::AutomagikV1 => automagik_v1::call(instance, &request, context)?,
    };
    drop(request);
    let answer = answered(client.post(call).await?)?;
    match instance.agent.protocol {
        // The older one answers in the same words.
        AgentProtocol::Automagik | AgentProtocol::AutomagikV1 => automagik::read(&answer),
    }
}
