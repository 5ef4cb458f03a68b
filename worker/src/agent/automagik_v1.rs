//! The protocol `automagik-v1`: `POST {url}/api/v1/agent/{agent}/run`, which the Python hub speaks.
//!
//! Instances that come from there keep the agent that they have. Its answers are read as those of
//! `automagik` are. A file is told of in words only: its `media_contents` must carry the file itself.

use omnihub_common::instance::Instance;
use serde_json::{Value, json};
use url::Url;

use super::{CallContext, Question, answer::Failure, automagik::call_to, client::Call};

/// How many earlier messages the agent reads; what the Python hub always asked for.
const MESSAGE_LIMIT: u32 = 100;

/// The body of a call: who asks is told in full until the agent has named them.
pub(super) fn request(question: &Question) -> Value {
    let mut body = json!({
        "message_content": question.message,
        "message_limit": MESSAGE_LIMIT,
        "message_type": question.message_type,
        "session_name": question.session_name,
        "preserve_system_prompt": false,
    });
    match question.agent_knows_user {
        true => body["user_id"] = question.user_id.clone().into(),
        false => body["user"] = question.user.clone(),
    }
    body
}

/// What goes over the wire.
pub(super) fn call(instance: &Instance, request: &Value, context: CallContext) -> Result<Call, Failure> {
    let url = run_url(&instance.agent.api_url, instance.agent.effective_agent()).ok_or(Failure::Unusable)?;
    call_to(url.as_str(), instance, request, context)
}

/// The agent's name is one segment of the path, whatever is in it.
fn run_url(base: &str, agent: &str) -> Option<Url> {
    let mut url = Url::parse(base).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(["api", "v1", "agent", agent, "run"]);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(agent_knows_user: bool) -> Question {
        Question {
            message: "Hello".into(),
            message_type: "text",
            media_contents: Vec::new(),
            contents: Vec::new(),
            session_name: "acme_1".into(),
            session_id: "s".into(),
            user_id: "u".into(),
            agent_knows_user,
            user: json!({"phone_number": "+1"}),
            quoted: None,
        }
    }

    #[test]
    fn the_request_is_the_python_hub_s() {
        let body = json!({
            "message_content": "Hello", "message_limit": 100, "message_type": "text", "session_name": "acme_1",
            "preserve_system_prompt": false, "user": {"phone_number": "+1"},
        });
        assert_eq!(request(&question(false)), body);
        let named = request(&question(true));
        assert_eq!((&named["user_id"], &named["user"]), (&json!("u"), &Value::Null));
    }

    #[test]
    fn the_agent_is_one_segment_of_the_path() {
        let url = |base, agent| run_url(base, agent).unwrap().to_string();
        assert_eq!(url("http://a.test", "helper"), "http://a.test/api/v1/agent/helper/run");
        assert_eq!(url("http://a.test:8/x/", "a/../b c"), "http://a.test:8/x/api/v1/agent/a%2F..%2Fb%20c/run");
        assert_eq!(run_url("not a url", "helper"), None);
    }
}
