//! The protocol `automagik-v1`: `POST {url}/api/v1/agent/{agent}/run`, which the Python hub speaks.
//!
//! Instances that come from there keep the agent that they have. Its answers are read as those of
//! `automagik` are. Its `media_contents` hold the files themselves: one that the hub does not give is told
//! of in words only.

use omnihub_common::instance::Instance;
use serde_json::{Value, json};
use url::Url;

use super::{
    CallContext, Question,
    answer::Failure,
    automagik::call_to,
    client::Call,
    file::{File, Show},
};

/// How many earlier messages the agent reads; what the Python hub always asked for.
const MESSAGE_LIMIT: u32 = 100;

/// What is told of a file, in our words and in the Python hub's.
const FIELDS: [(&str, &str); 7] = [
    ("caption", "alt_text"),
    ("mime_type", "mime_type"),
    ("file_name", "name"),
    ("size", "size_bytes"),
    ("duration", "duration"),
    ("width", "width"),
    ("height", "height"),
];

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

/// The files as the Python hub wrote them.
pub(super) fn attach(request: &mut Value, files: &[File], show: Show) {
    let written = files.iter().map(|file| {
        let mut item = json!({file.field(): show(file)});
        for (ours, theirs) in FIELDS {
            if let Some(value) = file.about.get(ours) {
                item[theirs] = value.clone();
            }
        }
        item
    });
    request["media_contents"] = written.collect();
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
    use crate::agent::testing;

    fn question(agent_knows_user: bool) -> Question {
        Question { agent_knows_user, ..testing::question("Hello") }
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
    fn files_are_told_of_in_the_python_hub_s_words() {
        let mut body = request(&question(false));
        attach(
            &mut body,
            &[testing::file(json!({"type": "image", "message_id": "m1", "mime_type": "image/png",
            "caption": "look", "size": 5, "width": 2}))],
            File::data,
        );
        let item =
            json!({"data": "aGVsbG8=", "mime_type": "image/png", "alt_text": "look", "size_bytes": 5, "width": 2});
        assert_eq!(body["media_contents"], json!([item]));
    }

    #[test]
    fn the_agent_is_one_segment_of_the_path() {
        let url = |base, agent| run_url(base, agent).unwrap().to_string();
        assert_eq!(url("http://a.test", "helper"), "http://a.test/api/v1/agent/helper/run");
        assert_eq!(url("http://a.test:8/x/", "a/../b c"), "http://a.test:8/x/api/v1/agent/a%2F..%2Fb%20c/run");
        assert_eq!(run_url("not a url", "helper"), None);
    }
}
