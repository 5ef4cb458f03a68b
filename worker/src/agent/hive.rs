//! The protocol `hive`: `POST {url}/agents/{agent}/runs`, or `/teams/{agent}/runs`. Automagik Hive and
//! Agno AgentOS speak it.
//!
//! The question is a form. The answer is JSON or a stream of events, whose names come in two
//! generations, with `Team` before them where a team speaks, and in snake case too. A team's members
//! are heard on the same stream: what they say is for the team, and not for the person.

use http::{HeaderValue, header::CONTENT_TYPE};
use omnihub_common::instance::{AgentKind, Instance};
use serde_json::{Map, Value, json};
use url::Url;
use uuid::Uuid;

use super::{
    AgentError, CallContext, Question, Reply,
    answer::{self, Answer, Failure, failed, tokens, unreadable, word},
    automagik::call_to,
    client::Call,
    file::{File, media_type},
    stream::{Dialect, End, Told},
};

/// What a run is that has no answer to give (`status`).
const FAILED: [&str; 3] = ["ERROR", "FAILED", "CANCELLED"];

/// The fields of the form.
pub(super) fn request(instance: &Instance, question: &Question) -> Value {
    json!({
        "message": question.message,
        "stream": if instance.agent.options.stream { "true" } else { "false" },
        "session_id": question.session_id,
        "user_id": question.user_id,
    })
}

/// The media types that every AgentOS takes: one that it does not know makes it refuse the question.
const TAKEN: [&str; 18] = [
    "image/png",
    "image/jpeg",
    "image/jpg",
    "image/webp",
    "audio/wav",
    "audio/mp3",
    "audio/mpeg",
    "video/mp4",
    "video/mpeg",
    "video/webm",
    "video/quicktime",
    "video/3gpp",
    "video/wmv",
    "application/pdf",
    "application/json",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "text/plain",
    "text/csv",
];

/// What an agent is given beside the words.
pub(super) fn takes(about: &Value) -> bool {
    TAKEN.contains(&media_type(about).as_str())
}

/// What a trace shows of the files, which are parts of the form.
pub(super) fn note_files(request: &mut Value, files: &[File]) {
    if !files.is_empty() {
        request["files"] = files.iter().map(|file| json!({"name": file.name(), "data": file.note()})).collect();
    }
}

/// What goes over the wire.
pub(super) fn call(
    instance: &Instance,
    request: &Value,
    files: &[File],
    context: CallContext,
) -> Result<Call, Failure> {
    let agent = &instance.agent;
    let url = runs_url(&agent.api_url, agent.options.kind, agent.effective_agent()).ok_or(Failure::Unusable)?;
    let mut call = call_to(url.as_str(), instance, request, context)?;
    let boundary = Uuid::new_v4().simple().to_string();
    let content_type = HeaderValue::from_str(&format!("multipart/form-data; boundary={boundary}"));
    call.headers.insert(CONTENT_TYPE, content_type.map_err(|_| Failure::Unusable)?);
    call.body = form(request.as_object().unwrap_or(&Map::new()), files, &boundary);
    call.ear = Some(Dialect::Hive.into());
    Ok(call)
}

/// The agent's name is one segment of the path, whatever is in it.
fn runs_url(base: &str, kind: AgentKind, agent: &str) -> Option<Url> {
    let mut url = Url::parse(base).ok()?;
    let place = match kind {
        AgentKind::Agent => "agents",
        AgentKind::Team => "teams",
    };
    url.path_segments_mut().ok()?.pop_if_empty().extend([place, agent, "runs"]);
    Some(url)
}

/// A form as RFC 7578 writes it; nobody else knows the boundary, so neither field nor file holds it.
fn form(fields: &Map<String, Value>, files: &[File], boundary: &str) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, value) in fields {
        let value = value.as_str().unwrap_or_default();
        let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        form.extend_from_slice(part.as_bytes());
    }
    for file in files {
        let (name, media_type) = (quoted(&file.name()), file.media_type());
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\
             Content-Type: {media_type}\r\n\r\n"
        );
        form.reserve(head.len() + file.bytes.len());
        for piece in [head.as_bytes(), &file.bytes, b"\r\n"] {
            form.extend_from_slice(piece);
        }
    }
    form.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    form
}

/// A name as browsers write it into a form.
fn quoted(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.replace('"', "%22")
}

/// Reads an answer that came in one piece.
pub(super) fn read(answer: &Answer) -> Result<Reply, AgentError> {
    let (status, body) = (answer.status, answer::json(answer)?);
    let run = body.get("status").and_then(Value::as_str).unwrap_or_default();
    if FAILED.iter().any(|word| run.eq_ignore_ascii_case(word)) || body.get("success") == Some(&Value::Bool(false)) {
        return Err(failed(status, body));
    }
    let Some(text) = body.get("content").and_then(Value::as_str) else {
        return Err(unreadable(status, "the agent's answer has no text", Some(body)));
    };
    Ok(Reply {
        text: text.to_owned(),
        session_id: word(&body, "session_id"),
        user_id: None,
        tokens: tokens(body.get("metrics")),
        tools_used: body.get("tools").and_then(Value::as_array).and_then(|tools| i32::try_from(tools.len()).ok()),
        status,
        body,
    })
}

/// What an event tells.
pub(super) fn hear(told: &mut Told, name: &[u8], data: Value) {
    let Some((by_team, name)) = event_name(name, &data) else { return };
    if by_team && !told.of_team {
        // What was heard before was a member's.
        *told = Told { of_team: true, events: told.events, ..Told::default() };
    }
    if told.of_team && !by_team {
        return;
    }
    if let Some(session) = word(&data, "session_id") {
        told.session_id = Some(session);
    }
    match name.as_str() {
        "runcontent" | "runresponsecontent" | "runresponse" => {
            let text = data.get("content").and_then(Value::as_str).or_else(|| data.get("delta")?.as_str());
            told.text.push_str(text.unwrap_or_default());
        }
        "runcompleted" => {
            told.complete = word(&data, "content");
            told.tokens = tokens(data.get("metrics"));
            told.end = End::Over;
        }
        "toolcallcompleted" => told.tools_used = Some(told.tools_used.unwrap_or_default() + 1),
        "runerror" | "error" | "runcancelled" => told.end = End::Failed(data),
        _ => {}
    }
}

/// The event's name in one spelling, and whether a team says it.
fn event_name(name: &[u8], data: &Value) -> Option<(bool, String)> {
    let name = match std::str::from_utf8(name).unwrap_or_default() {
        "" | "message" => data.get("event")?.as_str()?,
        name => name,
    };
    let name: String = name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect();
    match name.strip_prefix("team") {
        Some(rest) => Some((true, rest.to_owned())),
        None => Some((false, name)),
    }
}

#[cfg(test)]
mod tests {
    use omnihub_common::conversation::Decision;

    use super::*;
    use crate::{
        agent::{
            stream::Listener,
            testing::{file, question},
        },
        turn::tests::instance,
    };

    #[test]
    fn the_question_is_a_form() {
        let mut instance = instance();
        instance.agent.options.stream = true;
        let fields = request(&instance, &question("Olá\r\n--x"));
        assert_eq!(fields, json!({"message": "Olá\r\n--x", "stream": "true", "session_id": "s", "user_id": "u"}));
        let form = String::from_utf8(form(fields.as_object().unwrap(), &[], "b")).unwrap();
        let part = "--b\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\nOlá\r\n--x\r\n";
        assert!(form.contains(part) && form.ends_with("\r\n--b--\r\n"), "{form}");
    }

    #[test]
    fn files_are_parts_of_the_form() {
        let about = |media_type: &str, name: &str| json!({"type": "image", "mime_type": media_type, "file_name": name});
        assert!(takes(&about("image/png", "")) && !takes(&about("audio/ogg; codecs=opus", "")));
        let form = String::from_utf8(form(&Map::new(), &[file(about("image/png", "a\"b\r\n.png"))], "b")).unwrap();
        let part = "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a%22b  .png\"\r\n\
                    Content-Type: image/png\r\n\r\nhello\r\n--b--\r\n";
        assert_eq!(form, part);
    }

    #[test]
    fn agents_and_teams_have_their_places() {
        let url = |base, kind, agent| runs_url(base, kind, agent).unwrap().to_string();
        assert_eq!(url("http://h.test/", AgentKind::Agent, "helper"), "http://h.test/agents/helper/runs");
        assert_eq!(url("http://h.test/x", AgentKind::Team, "a/b"), "http://h.test/x/teams/a%2Fb/runs");
    }

    fn json_answer(body: &Value) -> Result<Reply, AgentError> {
        read(&Answer { status: 200, bytes: body.to_string().into_bytes(), ..Answer::default() })
    }

    #[test]
    fn an_answer_in_one_piece_is_read() {
        let body = json!({"content": "hi", "session_id": "s1", "run_id": "r", "status": "COMPLETED",
            "metrics": {"input_tokens": 3, "output_tokens": 4}, "tools": [{}]});
        let reply = json_answer(&body).unwrap();
        assert_eq!((reply.text.as_str(), reply.session_id.as_deref()), ("hi", Some("s1")));
        assert_eq!((reply.tokens, reply.tools_used), ((Some(3), Some(4)), Some(1)));
        assert_eq!(json_answer(&json!({"status": "error"})).unwrap_err().decision, Decision::Again(None));
        let dead = Decision::Dead("agent_answer_unreadable".into());
        for body in [json!({"content": {"a": 1}}), json!({"message": "hi"}), json!("hi"), json!(null)] {
            assert_eq!(json_answer(&body).unwrap_err().decision, dead, "{body}");
        }
    }

    fn heard(events: &[(&str, Value)]) -> Result<Reply, AgentError> {
        let mut listener = Listener::new(Dialect::Hive);
        for (name, data) in events {
            let named = if name.is_empty() { String::new() } else { format!("event: {name}\n") };
            listener.hear(200, format!("{named}data: {data}\n\n").as_bytes()).unwrap();
        }
        listener.reply(200)
    }

    #[test]
    fn a_stream_of_either_generation_is_collected_and_its_end_not_said_twice() {
        for (content, completed) in [
            ("RunContent", "RunCompleted"),
            ("RunResponseContent", "RunCompleted"),
            ("RunResponse", "RunCompleted"),
            ("run_response_content", "run_completed"),
            ("TeamRunContent", "TeamRunCompleted"),
            ("TeamRunResponseContent", "TeamRunCompleted"),
        ] {
            let reply = heard(&[
                ("RunStarted", json!({"session_id": "s1", "message": "no text"})),
                (content, json!({"content": "Hel"})),
                ("Heartbeat", json!({})),
                ("", json!({"event": content, "delta": "lo"})),
                ("ToolCallCompleted", json!({"content": "42"})),
                (completed, json!({"content": "Hello", "metrics": {"input_tokens": 1, "output_tokens": 2}})),
            ])
            .unwrap();
            assert_eq!((reply.text.as_str(), reply.tokens), ("Hello", (Some(1), Some(2))), "{content}");
            assert_eq!(reply.body["stream"], json!({"events": 6, "differs_from_complete": false}));
        }
    }

    #[test]
    fn what_members_say_to_their_team_is_not_said_to_the_person() {
        let reply = heard(&[
            ("TeamRunStarted", json!({})),
            ("RunContent", json!({"content": "a member's thought"})),
            ("RunCompleted", json!({"content": "a member's thought"})),
            ("TeamRunContent", json!({"content": "the team's word"})),
            ("TeamRunCompleted", json!({"content": "the team's word"})),
        ]);
        assert_eq!(reply.unwrap().text, "the team's word");
    }

    #[test]
    fn a_stream_that_does_not_end_well_is_told_apart() {
        let said = || ("RunContent", json!({"content": "Hel"}));
        assert_eq!(heard(&[said()]).unwrap_err().decision, Decision::Again(None));
        for name in ["RunError", "Error", "TeamRunError", "RunCancelled"] {
            let error = heard(&[said(), (name, json!({"content": "a traceback"}))]).unwrap_err();
            assert_eq!(error.decision, Decision::Again(None), "{name}");
            assert!(!error.message.contains("traceback"));
        }
        let error = heard(&[("Error", json!({"error_code": "422"}))]).unwrap_err();
        assert_eq!(error.decision, Decision::Dead("agent_unsuccessful".into()));
        let reply = heard(&[said(), ("RunCompleted", json!({"content": "Hello"}))]).unwrap();
        assert_eq!((reply.text.as_str(), &reply.body["stream"]["differs_from_complete"]), ("Hello", &json!(true)));
    }
}
