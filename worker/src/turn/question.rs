//! What the agent is asked: one question, out of one message or of several that were gathered.
//!
//! Agents that read text have everything in `message`; those that read more find each file in
//! `media_contents`, and what else was sent as data in `contents`. Files themselves are not here: they
//! are put in just before the question goes out.

use omnihub_common::{
    channel::{Content, Detail, InboundMessage, MediaFacts, MessageKind, Person},
    conversation::{session_id, user_id},
    person::Profile,
    queue::AgentSession,
};
use serde_json::{Value, json};

use super::Opened;
use crate::agent::{Question, Said};

/// So much of a quoted text is shown to the agent.
const QUOTE_LENGTH: usize = 200;

/// The question; `known` is what the agent called this conversation and its person before, `profile`
/// what operators have told of them.
pub(super) fn question(opened: &Opened, turn_id: String, known: AgentSession, profile: Option<&Profile>) -> Question {
    let (message, instance) = (&opened.message, opened.instance.name.as_str());
    let session_name = opened.envelope.session_name.clone();
    let sender = &message.sender;
    let messages = || opened.earlier.iter().chain([message]);
    let quoted = message.quoted.as_ref().and_then(|quoted| {
        let text = quoted.text.as_ref()?;
        Some(json!({"id": quoted.provider_id, "author": quoted.author, "text": text}))
    });
    Question {
        turn_id,
        messages: opened.earlier.iter().chain([message]).map(said).collect(),
        agent_knows_user: known.user_id.is_some(),
        message: text(&opened.earlier, message),
        message_type: message_type(messages()),
        media_contents: messages().filter_map(media_content).collect(),
        contents: messages().filter_map(content_as_data).collect(),
        session_id: known.session_id.unwrap_or_else(|| session_id(instance, &session_name).to_string()),
        user_id: known.user_id.unwrap_or_else(|| user_id(sender.phone.as_deref(), &sender.id).to_string()),
        session_name,
        user: user(sender, profile),
        quoted,
        reply_url: None,
    }
}

/// The word of the first message that is more than text.
fn message_type<'a>(messages: impl IntoIterator<Item = &'a InboundMessage>) -> &'static str {
    let text = MessageKind::Text.agent_word();
    messages.into_iter().map(|message| message.content.kind.agent_word()).find(|word| *word != text).unwrap_or(text)
}

/// What is known of a message's file.
pub(super) fn media_content(message: &InboundMessage) -> Option<Value> {
    let content = &message.content;
    if !content.kind.has_media() {
        return None;
    }
    let unknown = MediaFacts::default();
    let facts = match content.detail.as_deref() {
        Some(Detail::Media(facts)) => facts,
        _ => &unknown,
    };
    let mut item = json!({"type": content.kind.agent_word(), "message_id": message.provider_id});
    let mut tell = |name: &str, value: Value| {
        if !value.is_null() && value != Value::Bool(false) {
            item[name] = value;
        }
    };
    tell("mime_type", json!(content.mimetype));
    tell("file_name", json!(facts.file_name));
    tell("size", json!(facts.size));
    let is_heard = matches!(content.kind, MessageKind::Voice | MessageKind::Audio);
    tell(if is_heard { "transcript" } else { "caption" }, json!(content.text));
    tell("duration", json!(facts.seconds));
    tell("width", json!(facts.width));
    tell("height", json!(facts.height));
    tell("pages", json!(facts.pages));
    tell("voice", json!(content.kind == MessageKind::Voice));
    tell("gif", json!(content.kind == MessageKind::Gif));
    tell("video_note", json!(content.kind == MessageKind::VideoNote));
    tell("animated", json!(facts.animated));
    tell("view_once", json!(content.view_once));
    Some(item)
}

/// Says of files that the agent does not get that they are too large.
pub(super) fn note_too_large(question: &mut Question, messages: &[String]) {
    let said = question.messages.iter_mut().filter_map(|said| said.media.as_mut());
    for about in question.media_contents.iter_mut().chain(said) {
        if messages.iter().any(|id| about["message_id"] == **id) {
            about["too_large"] = true.into();
        }
    }
}

/// What a message holds beside its words and its file.
fn content_as_data(message: &InboundMessage) -> Option<Value> {
    let Content { kind, detail, referral, .. } = &message.content;
    let detail = detail.as_deref().filter(|detail| !matches!(detail, Detail::Media(_)));
    if detail.is_none() && referral.is_none() {
        return None;
    }
    let mut data = json!({"type": kind.as_str(), "message_id": message.provider_id});
    // A detail is an object with one field, named for what it is.
    if let (Ok(Value::Object(detail)), Some(data)) = (serde_json::to_value(detail), data.as_object_mut()) {
        data.extend(detail);
    }
    if let Some(referral) = referral {
        data["referral"] = json!(referral);
    }
    Some(data)
}

/// The person as the agent is told of them; what an operator has told goes before what the channel
/// says.
fn user(sender: &Person, profile: Option<&Profile>) -> Value {
    let mut user = json!({
        "phone_number": sender.phone.as_ref().map(|phone| format!("+{phone}")),
        "email": profile.and_then(|profile| profile.email.as_deref()),
        "user_data": {"name": sender.name, "whatsapp_id": sender.id, "source": "whatsapp"},
    });
    let told = profile.map(|profile| profile.user_data.clone()).unwrap_or_default();
    if let Some(data) = user["user_data"].as_object_mut() {
        data.extend(told);
    }
    user
}

/// The messages in their order, one below the other; in a group where several people wrote, with
/// their names.
fn text(earlier: &[InboundMessage], last: &InboundMessage) -> String {
    let several_people = earlier.iter().any(|message| message.sender.id != last.sender.id);
    let lines = earlier.iter().chain([last]).map(|message| {
        let text = text_with_quote(message);
        match several_people {
            true => format!("{}: {text}", message.sender.name.as_deref().unwrap_or(&message.sender.id)),
            false => text,
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// One message, for agents that want them one by one.
fn said(message: &InboundMessage) -> Said {
    Said {
        id: message.provider_id.clone(),
        kind: message.content.kind.agent_word(),
        text: text_with_quote(message),
        media: media_content(message),
        at_ms: message.sent_at_ms,
    }
}

/// The message as the agent reads it: what the person clicked or replied to stands above what they
/// say, the latter in the older system's form.
fn text_with_quote(message: &InboundMessage) -> String {
    let said = message.content.words().unwrap_or_default();
    let text = match &message.content.referral {
        Some(referral) => format!("{}\n{said}", referral.words()),
        None => said.into_owned(),
    };
    let Some(quote) = message.quoted.as_ref().and_then(|quoted| quoted.text.as_deref()) else { return text };
    let mut shown: String = quote.chars().take(QUOTE_LENGTH).collect();
    if quote.chars().nth(QUOTE_LENGTH).is_some() {
        shown.push_str("...");
    }
    format!("📝 **Replying to:** {shown}\n\n{text}")
}

#[cfg(test)]
mod tests {
    use omnihub_common::channel::Quoted;

    use super::*;

    fn message(from: &str, words: &str) -> InboundMessage {
        InboundMessage {
            provider_id: "1".into(),
            chat: "g".into(),
            is_group: true,
            from_me: false,
            sender: Person { id: from.into(), name: Some(from.to_uppercase()), ..Person::default() },
            sent_at_ms: None,
            content: Content::of_text(words),
            quoted: None,
            mentions: Vec::new(),
        }
    }

    #[test]
    fn gathered_messages_stand_below_each_other() {
        assert_eq!(text(&[], &message("ana", "hello")), "hello");
        assert_eq!(text(&[message("ana", "hello")], &message("ana", "anyone?")), "hello\nanyone?");
        assert_eq!(text(&[message("ana", "hello")], &message("bo", "hi")), "ANA: hello\nBO: hi");
    }

    #[test]
    fn a_turn_is_of_the_first_type_that_is_more_than_text() {
        let voice = InboundMessage { content: Content::of_kind(MessageKind::Voice), ..message("ana", "") };
        let image = InboundMessage {
            content: Content { text: Some("this one".into()), ..Content::of_kind(MessageKind::Image) },
            ..message("ana", "")
        };
        let (hello, reply) = (message("ana", "hello"), message("ana", "Yes"));
        let reply =
            InboundMessage { content: Content { kind: MessageKind::ButtonReply, ..reply.content.clone() }, ..reply };
        assert_eq!(message_type([&hello, &reply]), "text");
        assert_eq!(message_type([&hello, &voice, &image]), "audio");
        assert_eq!(text(&[hello, voice], &image), "hello\n[voice message]\nthis one");
        assert_eq!(
            media_content(&image),
            Some(json!({"type": "image", "message_id": "1", "caption": "this one"})),
            "what is not known is left out"
        );
    }

    #[test]
    fn what_an_operator_has_told_goes_before_what_the_channel_says() {
        let sender =
            Person { id: "1@s".into(), phone: Some("1".into()), name: Some("Ana".into()), ..Person::default() };
        let data = json!({"name": "Ana Maria", "plan": "gold"}).as_object().unwrap().clone();
        let profile = Profile { email: Some("a@x.test".into()), user_data: data };
        let told = json!({"name": "Ana Maria", "whatsapp_id": "1@s", "source": "whatsapp", "plan": "gold"});
        let expected = json!({"phone_number": "+1", "email": "a@x.test", "user_data": told});
        assert_eq!(user(&sender, Some(&profile)), expected);
        let said = json!({"name": "Ana", "whatsapp_id": "1@s", "source": "whatsapp"});
        assert_eq!(user(&sender, None), json!({"phone_number": "+1", "email": null, "user_data": said}));
    }

    #[test]
    fn what_was_replied_to_stands_above_and_is_cut() {
        let quoted = Some(Quoted { text: Some("q".repeat(300)), ..Quoted::default() });
        let shown = text(&[], &InboundMessage { quoted, ..message("ana", "yes") });
        assert_eq!(shown, format!("📝 **Replying to:** {}...\n\nyes", "q".repeat(200)));
    }
}
