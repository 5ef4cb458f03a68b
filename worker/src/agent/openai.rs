//! The protocol `openai`: `POST {url}/v1/chat/completions`, as any OpenAI-compatible server has it.
//!
//! Such a server remembers nothing, so what was said before goes with each question. No tools are
//! offered: a model that calls one has no answer.

use omnihub_common::{instance::Instance, trace::PastTurn};
use serde_json::{Value, json};
use url::Url;

use super::{
    AgentError, CallContext, Question, Reply,
    answer::{self, Answer, Failure, failed, tokens, unreadable},
    automagik::call_to,
    client::Call,
    file::{File, Show, media_type},
    stream::{Dialect, End, Told},
};

/// The body of a call.
pub(super) fn request(instance: &Instance, question: &Question, past: &[PastTurn]) -> Value {
    let options = &instance.agent.options;
    let said = |role: &str, text: &str| json!({"role": role, "content": text});
    let mut messages = Vec::new();
    messages.extend(options.system_prompt.as_deref().map(|prompt| said("system", prompt)));
    messages.extend(past.iter().flat_map(|turn| [said("user", &turn.asked), said("assistant", &turn.answered)]));
    messages.push(said("user", &question.message));
    let mut body = json!({
        "model": instance.agent.effective_agent(),
        "messages": messages,
        "user": question.user_id,
        "stream": options.stream,
    });
    if options.stream {
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

/// The media types that models look at.
const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/// Those that they listen to, and how they call them. A voice message is none of them.
const SOUNDS: [(&str, &str); 6] = [
    ("audio/mpeg", "mp3"),
    ("audio/mp3", "mp3"),
    ("audio/wav", "wav"),
    ("audio/x-wav", "wav"),
    ("audio/wave", "wav"),
    ("audio/vnd.wave", "wav"),
];

/// What a model is given beside the words.
pub(super) fn takes(about: &Value) -> bool {
    let media_type = media_type(about);
    let moves = about["animated"] == true;
    (IMAGES.contains(&media_type.as_str()) && !moves) || sound(&media_type).is_some()
}

fn sound(media_type: &str) -> Option<&'static str> {
    SOUNDS.iter().find(|(known, _)| *known == media_type).map(|(_, format)| *format)
}

/// The last message becomes a list: its words, and each file.
pub(super) fn attach(request: &mut Value, files: &[File], show: Show) {
    let last = request["messages"].as_array_mut().and_then(|messages| messages.last_mut());
    let Some(last) = last else { return };
    let mut parts = vec![json!({"type": "text", "text": last["content"].take()})];
    parts.extend(files.iter().map(|file| {
        let media_type = file.media_type();
        match sound(&media_type) {
            Some(format) => json!({"type": "input_audio", "input_audio": {"data": show(file), "format": format}}),
            None => {
                let url = format!("data:{media_type};base64,{}", show(file));
                json!({"type": "image_url", "image_url": {"url": url}})
            }
        }
    }));
    last["content"] = parts.into();
}

/// What goes over the wire.
pub(super) fn call(instance: &Instance, request: &Value, context: CallContext) -> Result<Call, Failure> {
    let url = completions_url(&instance.agent.api_url).ok_or(Failure::Unusable)?;
    let call = call_to(url.as_str(), instance, request, context)?;
    Ok(Call { ear: Some(Dialect::Openai.into()), ..call })
}

/// The version is part of the address with some, and added for the others.
fn completions_url(base: &str) -> Option<Url> {
    let mut url = Url::parse(base).ok()?;
    let has_version = url.path_segments()?.rfind(|segment| !segment.is_empty()) == Some("v1");
    let version = if has_version { &[][..] } else { &["v1"] };
    url.path_segments_mut().ok()?.pop_if_empty().extend(version).extend(["chat", "completions"]);
    Some(url)
}

/// Reads an answer that came in one piece.
pub(super) fn read(answer: &Answer) -> Result<Reply, AgentError> {
    let (status, body) = (answer.status, answer::json(answer)?);
    if has_error(&body) {
        return Err(failed(status, body));
    }
    let content = body.pointer("/choices/0/message/content");
    let Some(text) = content.and_then(text_of) else {
        return Err(unreadable(status, "the agent's answer has no text", Some(body)));
    };
    Ok(Reply { text, tokens: tokens(body.get("usage")), status, body, ..Reply::default() })
}

/// Servers in between pass errors on with a status of their own.
fn has_error(body: &Value) -> bool {
    body.get("error").is_some_and(|error| !error.is_null())
}

/// A text, or the texts among parts.
fn text_of(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => Some(parts.iter().filter_map(|part| part.get("text")?.as_str()).collect()),
        _ => None,
    }
}

/// What an event tells.
pub(super) fn hear(told: &mut Told, data: Value) {
    if has_error(&data) {
        told.end = End::Failed(data);
        return;
    }
    if let Some(text) = data.pointer("/choices/0/delta/content").and_then(text_of) {
        told.text.push_str(&text);
    }
    if data.pointer("/choices/0/finish_reason").is_some_and(Value::is_string) {
        told.end = End::Whole;
    }
    if let Some(usage) = data.get("usage").filter(|usage| usage.is_object()) {
        told.tokens = tokens(Some(usage));
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
    fn the_question_stands_behind_prompt_and_past() {
        let mut instance = instance();
        instance.agent.options.system_prompt = Some("Be kind.".into());
        let past = [PastTurn { asked: "one?".into(), answered: "One.".into() }];
        let body = request(&instance, &question("two?"), &past);
        let messages = json!([
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "one?"}, {"role": "assistant", "content": "One."},
            {"role": "user", "content": "two?"},
        ]);
        assert_eq!(body, json!({"model": "helper", "messages": messages, "user": "u", "stream": false}));
        instance.agent.options.stream = true;
        let body = request(&instance, &question("two?"), &[]);
        assert_eq!((&body["stream"], &body["stream_options"]["include_usage"]), (&json!(true), &json!(true)));
    }

    #[test]
    fn images_and_sounds_stand_behind_the_words() {
        let about = |media_type: &str| json!({"type": "image", "message_id": "m1", "mime_type": media_type});
        let taken = ["image/png", "image/jpeg", "audio/mpeg", "audio/ogg; codecs=opus", "video/mp4", "application/pdf"];
        assert_eq!(taken.map(|media_type| takes(&about(media_type))), [true, true, true, false, false, false]);
        assert!(!takes(&json!({"mime_type": "image/webp", "animated": true})));
        let mut body = request(&instance(), &question("what is it?"), &[]);
        attach(&mut body, &[file(about("image/png")), file(about("audio/x-wav"))], File::data);
        let parts = json!([
            {"type": "text", "text": "what is it?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}},
            {"type": "input_audio", "input_audio": {"data": "aGVsbG8=", "format": "wav"}},
        ]);
        assert_eq!(body["messages"][0], json!({"role": "user", "content": parts}));
    }

    #[test]
    fn the_version_is_named_once() {
        for (base, url) in [
            ("http://m.test", "http://m.test/v1/chat/completions"),
            ("http://m.test/", "http://m.test/v1/chat/completions"),
            ("http://m.test/v1", "http://m.test/v1/chat/completions"),
            ("http://m.test/v1/", "http://m.test/v1/chat/completions"),
            ("http://m.test/openai/v1", "http://m.test/openai/v1/chat/completions"),
            ("http://m.test/api?version=3", "http://m.test/api/v1/chat/completions?version=3"),
        ] {
            assert_eq!(completions_url(base).unwrap().as_str(), url);
        }
    }

    fn json_answer(body: &Value) -> Result<Reply, AgentError> {
        read(&Answer { status: 200, bytes: body.to_string().into_bytes(), ..Answer::default() })
    }

    #[test]
    fn an_answer_in_one_piece_is_read() {
        let body = json!({"choices": [{"message": {"role": "assistant", "content": "hi"}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 2}});
        let reply = json_answer(&body).unwrap();
        assert_eq!((reply.text.as_str(), reply.tokens), ("hi", (Some(9), Some(2))));
        let parts = json!({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}}]});
        assert_eq!(json_answer(&parts).unwrap().text, "ab");
        let dead = |reason: &str| Decision::Dead(reason.into());
        for (body, decision) in [
            (json!({"choices": []}), dead("agent_answer_unreadable")),
            (json!({"choices": [{"message": {"content": null, "tool_calls": [{}]}}]}), dead("agent_answer_unreadable")),
            (json!([]), dead("agent_answer_unreadable")),
            (json!({"error": {"message": "overloaded"}}), Decision::Again(None)),
            (json!({"error": {"message": "no such model", "code": 404}}), dead("agent_unsuccessful")),
        ] {
            assert_eq!(json_answer(&body).unwrap_err().decision, decision, "{body}");
        }
    }

    fn heard(stream: &str) -> Result<Reply, AgentError> {
        let mut listener = Listener::new(Dialect::Openai);
        listener.hear(200, stream.as_bytes()).unwrap();
        listener.reply(200)
    }

    fn piece(text: &str) -> String {
        format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}))
    }

    const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n";

    #[test]
    fn a_stream_is_collected_up_to_its_end() {
        let said = format!(": hi\n\n{}{}", piece("Hel"), piece("lo"));
        for end in [format!("{STOP}{USAGE}data: [DONE]\n\n"), format!("{STOP}{USAGE}"), format!("{USAGE}data: [DONE]")]
        {
            let reply = heard(&format!("{said}{end}")).unwrap();
            assert_eq!((reply.text.as_str(), reply.tokens), ("Hello", (Some(9), Some(2))), "{end}");
        }
        assert_eq!(heard(&said).unwrap_err().decision, Decision::Again(None));
        let cut = format!("{said}data: {{\"choices\":[{{\"del");
        assert_eq!(heard(&cut).unwrap_err().decision, Decision::Again(None), "it was cut");
        let unreadable = Decision::Dead("agent_answer_unreadable".into());
        assert_eq!(heard(&format!("{said}data: <html>\n\n")).unwrap_err().decision, unreadable);
        let error = "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n";
        assert_eq!(heard(&format!("{said}{error}data: [DONE]\n\n")).unwrap_err().decision, Decision::Again(None));
    }

    #[test]
    fn a_stream_without_end_is_bounded() {
        let mut listener = Listener::new(Dialect::Openai);
        let piece = piece(&"x".repeat(64 * 1024));
        let refused = (0..100).position(|_| listener.hear(200, piece.as_bytes()).is_err());
        assert_eq!(refused, Some(16), "1 MiB and not more");
    }
}
