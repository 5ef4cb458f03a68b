//! Who is answered, and why not.

use omnihub_common::{
    channel::{Content, InboundMessage, MessageKind},
    instance::{GroupSettings, GroupTrigger, Instance, Spent},
};

use super::own::Own;

/// Why a message gets no answer: the `outcome_reason` of an ignored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ignored {
    Inactive,
    Blocked,
    Paused,
    StatusBroadcast,
    Newsletter,
    FromMe,
    Reaction,
    Pin,
    Album,
    BusinessTemplate,
    UnsupportedType,
    Empty,
    GroupNever,
    NotMentioned,
    NoKeyword,
    EmptyAnswer,
    OutOfOffice,
    Spent(Spent),
}

impl Ignored {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::StatusBroadcast => "status_broadcast",
            Self::Newsletter => "newsletter",
            Self::FromMe => "from_me",
            Self::Reaction => "reaction",
            Self::Pin => "pin",
            Self::Album => "album",
            Self::BusinessTemplate => "business_template",
            Self::UnsupportedType => "unsupported_type",
            Self::Empty => "empty",
            Self::GroupNever => "group_never",
            Self::NoKeyword => "group_without_keyword",
            Self::NotMentioned => "group_without_mention",
            Self::EmptyAnswer => "empty_answer",
            Self::OutOfOffice => "out_of_office",
            Self::Spent(spent) => spent.reason(),
        }
    }
}

/// Whether a message gets a turn; `own` is who we are to it.
pub(super) fn admit(instance: &Instance, message: &InboundMessage, own: &Own<'_>) -> Result<(), Ignored> {
    if !instance.is_active {
        return Err(Ignored::Inactive);
    }
    worth_an_answer(instance, message, own)
}

/// The same of an instance that was active when the turn began.
pub(super) fn worth_an_answer(instance: &Instance, message: &InboundMessage, own: &Own<'_>) -> Result<(), Ignored> {
    meant_for_somebody(message)?;
    if message.is_group { asks_us(&instance.groups, message, own) } else { Ok(()) }
}

/// Whether a message may withdraw a question that was asked before it, whatever its instance says:
/// in a group only one that is surely meant for us.
pub(super) fn surely_asks(message: &InboundMessage, own_id: Option<&str>) -> bool {
    meant_for_somebody(message).is_ok() && (!message.is_group || addresses_us(message, &Own::of(own_id)))
}

/// Whether a person said something in a chat that takes answers.
fn meant_for_somebody(message: &InboundMessage) -> Result<(), Ignored> {
    if message.chat == "status@broadcast" {
        return Err(Ignored::StatusBroadcast);
    }
    if message.chat.ends_with("@newsletter") {
        return Err(Ignored::Newsletter);
    }
    if message.from_me {
        return Err(Ignored::FromMe);
    }
    says_something(&message.content)
}

/// Whether a message in a group is one that the instance answers.
fn asks_us(groups: &GroupSettings, message: &InboundMessage, own: &Own<'_>) -> Result<(), Ignored> {
    let text = || message.content.text.as_deref().unwrap_or_default();
    match groups.trigger {
        GroupTrigger::Always => Ok(()),
        GroupTrigger::Never => Err(Ignored::GroupNever),
        GroupTrigger::Mention | GroupTrigger::Keyword if addresses_us(message, own) => Ok(()),
        GroupTrigger::Keyword if groups.has_keyword(text()) => Ok(()),
        GroupTrigger::Mention => Err(Ignored::NotMentioned),
        GroupTrigger::Keyword => Err(Ignored::NoKeyword),
    }
}

/// Whether a person meant to say something with it.
fn says_something(content: &Content) -> Result<(), Ignored> {
    match content.kind {
        MessageKind::Reaction => Err(Ignored::Reaction),
        MessageKind::Pin => Err(Ignored::Pin),
        // Its pictures come as messages of their own.
        MessageKind::Album => Err(Ignored::Album),
        // No app lets a person send one: a program at the other end did, and would get an answer.
        MessageKind::Template => Err(Ignored::BusinessTemplate),
        MessageKind::Unknown => Err(Ignored::UnsupportedType),
        _ if content.words().is_none() => Err(Ignored::Empty),
        _ => Ok(()),
    }
}

/// In a group: a mention of us, or a reply to something we wrote. Groups that hide numbers mention
/// us by another id; while it is not known, the text may name our number.
fn addresses_us(message: &InboundMessage, own: &Own<'_>) -> bool {
    let Some(phone) = own.id.map(bare) else { return false };
    let lid = own.lid.as_deref().map(bare);
    let quoted = message.quoted.as_ref().and_then(|quoted| quoted.author.as_deref());
    let named = || message.content.text.as_deref().is_some_and(|text| names(text, phone.0));
    let is_us = |id: &str| bare(id) == phone || Some(bare(id)) == lid;
    own.is_quoted
        || message.mentions.iter().map(String::as_str).chain(quoted).any(is_us)
        || (!message.mentions.is_empty() && named())
}

/// Whether a text has `@` and this number.
pub(super) fn names(text: &str, number: &str) -> bool {
    let follows =
        |after: &str| after.strip_prefix(number).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
    text.split('@').skip(1).any(follows)
}

/// An id without the device (`5511:3@s.whatsapp.net` is the same person on another device).
pub(super) fn bare(id: &str) -> (&str, &str) {
    let (user, server) = id.split_once('@').unwrap_or((id, "s.whatsapp.net"));
    (user.split(':').next().unwrap_or(user), server)
}

#[cfg(test)]
mod tests {
    use omnihub_common::channel::{Person, Quoted};

    use super::*;
    use crate::turn::tests::instance;

    const OWN: Option<&str> = Some("5511999990000:7@s.whatsapp.net");

    fn admit(instance: &Instance, message: &InboundMessage, own_id: Option<&str>) -> Result<(), Ignored> {
        super::admit(instance, message, &Own::of(own_id))
    }

    fn text(chat: &str) -> InboundMessage {
        InboundMessage {
            provider_id: "1".into(),
            chat: chat.into(),
            is_group: chat.ends_with("@g.us"),
            from_me: false,
            sender: Person::default(),
            sent_at_ms: None,
            content: Content::of_text("hi"),
            quoted: None,
            mentions: Vec::new(),
        }
    }

    #[test]
    fn a_direct_text_is_answered_and_everything_else_says_why_not() {
        let person = "5511987654321@s.whatsapp.net";
        let direct = text(person);
        assert_eq!(admit(&instance(), &direct, OWN), Ok(()));
        let inactive = Instance { is_active: false, ..instance() };
        assert_eq!(admit(&inactive, &direct, OWN), Err(Ignored::Inactive));
        let own = InboundMessage { from_me: true, ..text(person) };
        assert_eq!(admit(&instance(), &own, OWN), Err(Ignored::FromMe));
        assert_eq!(admit(&instance(), &text("status@broadcast"), OWN), Err(Ignored::StatusBroadcast));
        assert_eq!(admit(&instance(), &text("1@newsletter"), OWN), Err(Ignored::Newsletter));
        let image = InboundMessage { content: Content::of_kind(MessageKind::Image), ..text(person) };
        assert_eq!(admit(&instance(), &image, OWN), Ok(()), "a picture says something without words");
        let unknown = InboundMessage { content: Content::of_kind(MessageKind::Unknown), ..text(person) };
        assert_eq!(admit(&instance(), &unknown, OWN), Err(Ignored::UnsupportedType));
        let mut blank = text(person);
        blank.content.text = Some(" \n".into());
        assert_eq!(admit(&instance(), &blank, OWN), Err(Ignored::Empty));
    }

    #[test]
    fn in_a_group_only_a_mention_or_a_reply_to_us_counts() {
        let group = "120363042000000001@g.us";
        assert_eq!(admit(&instance(), &text(group), OWN), Err(Ignored::NotMentioned));
        let mentioned = InboundMessage { mentions: vec!["5511999990000@s.whatsapp.net".into()], ..text(group) };
        assert_eq!(admit(&instance(), &mentioned, OWN), Ok(()));
        assert_eq!(admit(&instance(), &mentioned, None), Err(Ignored::NotMentioned));
        let author = Some("5511999990000@s.whatsapp.net".into());
        let reply = InboundMessage { quoted: Some(Quoted { author, ..Quoted::default() }), ..text(group) };
        assert_eq!(admit(&instance(), &reply, OWN), Ok(()));
        let other = InboundMessage { mentions: vec!["5511000000000@s.whatsapp.net".into()], ..text(group) };
        assert_eq!(admit(&instance(), &other, OWN), Err(Ignored::NotMentioned));
    }

    #[test]
    fn a_group_that_hides_numbers_mentions_us_in_the_text() {
        let said = |words: &str, mentions: &[&str]| InboundMessage {
            content: Content::of_text(words),
            mentions: mentions.iter().map(|&id| id.to_owned()).collect(),
            ..text("120363042000000001@g.us")
        };
        let lid = ["112233445566778@lid"];
        assert_eq!(admit(&instance(), &said("@5511999990000 look", &lid), OWN), Ok(()));
        for (words, mentions) in
            [("@55119999900001", &lid[..]), ("look", &lid), ("5511999990000", &lid), ("@5511999990000", &[])]
        {
            assert_eq!(admit(&instance(), &said(words, mentions), OWN), Err(Ignored::NotMentioned), "{words}");
        }
    }

    #[test]
    fn our_hidden_id_and_our_bubbles_are_known() {
        let group = "120363042000000001@g.us";
        let mentioned = InboundMessage { mentions: vec!["112233445566778@lid".into()], ..text(group) };
        let author = Some("112233445566778:3@lid".into());
        let reply = InboundMessage { quoted: Some(Quoted { author, ..Quoted::default() }), ..text(group) };
        let lid = Some("112233445566778@lid".to_owned());
        for message in [&mentioned, &reply] {
            let known = Own { lid: lid.clone(), ..Own::of(OWN) };
            assert_eq!(super::admit(&instance(), message, &known), Ok(()));
            let another = Own { lid: Some("1@lid".to_owned()), ..Own::of(OWN) };
            assert_eq!(super::admit(&instance(), message, &another), Err(Ignored::NotMentioned));
        }
        let quoted = Own { is_quoted: true, ..Own::of(OWN) };
        assert_eq!(super::admit(&instance(), &reply, &quoted), Ok(()));
    }

    #[test]
    fn a_group_is_answered_as_its_instance_says() {
        let group = "120363042000000001@g.us";
        let plain = InboundMessage { content: Content::of_text("what is the price?"), ..text(group) };
        let mentioned = InboundMessage { mentions: vec!["5511999990000@s.whatsapp.net".into()], ..plain.clone() };
        let with = |trigger, keyword: &str| Instance {
            groups: GroupSettings { trigger, keywords: vec![keyword.into()], ..GroupSettings::default() },
            ..instance()
        };
        for (trigger, keyword, plainly, when_mentioned) in [
            (GroupTrigger::Never, "price", Err(Ignored::GroupNever), Err(Ignored::GroupNever)),
            (GroupTrigger::Mention, "price", Err(Ignored::NotMentioned), Ok(())),
            (GroupTrigger::Keyword, "price", Ok(()), Ok(())),
            (GroupTrigger::Keyword, "cost", Err(Ignored::NoKeyword), Ok(())),
            (GroupTrigger::Always, "cost", Ok(()), Ok(())),
        ] {
            assert_eq!(admit(&with(trigger, keyword), &plain, OWN), plainly, "{trigger:?}");
            assert_eq!(admit(&with(trigger, keyword), &mentioned, OWN), when_mentioned, "{trigger:?}");
        }
        // The rules are those of groups alone.
        let direct = text("5511987654321@s.whatsapp.net");
        assert_eq!(admit(&with(GroupTrigger::Never, ""), &direct, OWN), Ok(()));
        assert!(!surely_asks(&plain, OWN) && surely_asks(&mentioned, OWN) && surely_asks(&direct, None));
    }
}
