//! What the agent is asked: one question, out of one message or of several that were gathered.

use omnihub_common::{
    channel::{InboundMessage, Person},
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
    let quoted = message.quoted.as_ref().and_then(|quoted| {
        let text = quoted.text.as_ref()?;
        Some(json!({"id": quoted.provider_id, "author": quoted.author, "text": text}))
    });
    Question {
        turn_id,
        messages: opened.earlier.iter().chain([message]).map(said).collect(),
        agent_knows_user: known.user_id.is_some(),
        message: text(&opened.earlier, message),
        message_type: "text",
        session_id: known.session_id.unwrap_or_else(|| session_id(instance, &session_name).to_string()),
        user_id: known.user_id.unwrap_or_else(|| user_id(sender.phone.as_deref(), &sender.id).to_string()),
        session_name,
        user: user(sender, profile),
        quoted,
    }
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
    let at_ms = message.sent_at_ms;
    Said { id: message.provider_id.clone(), kind: "text", text: text_with_quote(message), at_ms }
}

/// The message as the agent reads it: what the person replied to stands above what they wrote, in
/// the older system's form.
fn text_with_quote(message: &InboundMessage) -> String {
    let text = message.content.text.clone().unwrap_or_default();
    let Some(quote) = message.quoted.as_ref().and_then(|quoted| quoted.text.as_deref()) else { return text };
    let mut shown: String = quote.chars().take(QUOTE_LENGTH).collect();
    if quote.chars().nth(QUOTE_LENGTH).is_some() {
        shown.push_str("...");
    }
    format!("📝 **Replying to:** {shown}\n\n{text}")
}

#[cfg(test)]
mod tests {
    use omnihub_common::channel::{Content, MessageKind, Quoted};

    use super::*;

    fn message(from: &str, words: &str) -> InboundMessage {
        InboundMessage {
            provider_id: "1".into(),
            chat: "g".into(),
            is_group: true,
            from_me: false,
            sender: Person { id: from.into(), name: Some(from.to_uppercase()), ..Person::default() },
            sent_at_ms: None,
            content: Content { kind: MessageKind::Text, text: Some(words.into()), mimetype: None, provider_type: None },
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
