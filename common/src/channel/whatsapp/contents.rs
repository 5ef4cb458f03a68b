//! The content of a message: which kind it is, and what the person wrote.
//!
//! Evolution puts each kind under a key of its own; [`read`] finds it behind its wrappers and
//! leaves to `details` what the kind has beside its text. What is not understood is
//! [`MessageKind::Unknown`], with the channel's word for it.

use serde_json::Value;

use super::{
    bounds::{ID, TEXT, clip, flag},
    details,
    wire::{self, text, word},
};
use crate::channel::{Choice, Content, Detail, MessageKind};

/// Keys beside the content that say nothing themselves.
const COMPANIONS: [&str; 7] = [
    "messageContextInfo",
    "senderKeyDistributionMessage",
    "contextInfo",
    "base64",
    "mediaUrl",
    "mediaObject",
    "speechToText",
];

/// The longest provider's type word that is kept, in characters.
const MAX_TYPE: usize = 64;

/// What is around a content that may be looked at once only.
const ONCE: [&str; 3] = ["viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension"];

/// The keys of content and what they hold; text last, so that an empty `conversation` beside
/// other content hides nothing.
const CONTENTS: [(&str, MessageKind); 32] = [
    ("imageMessage", MessageKind::Image),
    ("videoMessage", MessageKind::Video),
    ("ptvMessage", MessageKind::VideoNote),
    ("audioMessage", MessageKind::Audio),
    ("documentMessage", MessageKind::Document),
    ("stickerMessage", MessageKind::Sticker),
    ("locationMessage", MessageKind::Location),
    ("liveLocationMessage", MessageKind::LiveLocation),
    ("contactMessage", MessageKind::Contact),
    ("contactsArrayMessage", MessageKind::Contacts),
    ("reactionMessage", MessageKind::Reaction),
    ("pollCreationMessage", MessageKind::Poll),
    ("pollCreationMessageV2", MessageKind::Poll),
    ("pollCreationMessageV3", MessageKind::Poll),
    ("pollCreationMessageV4", MessageKind::Poll),
    ("pollCreationMessageV5", MessageKind::Poll),
    ("buttonsResponseMessage", MessageKind::ButtonReply),
    ("templateButtonReplyMessage", MessageKind::TemplateReply),
    ("listResponseMessage", MessageKind::ListReply),
    ("interactiveResponseMessage", MessageKind::InteractiveReply),
    ("templateMessage", MessageKind::Template),
    ("interactiveMessage", MessageKind::Template),
    ("buttonsMessage", MessageKind::Template),
    ("listMessage", MessageKind::Template),
    ("highlyStructuredMessage", MessageKind::Template),
    ("albumMessage", MessageKind::Album),
    ("groupInviteMessage", MessageKind::GroupInvite),
    ("pinInChatMessage", MessageKind::Pin),
    ("eventMessage", MessageKind::Event),
    ("orderMessage", MessageKind::Order),
    ("extendedTextMessage", MessageKind::Text),
    ("conversation", MessageKind::Text),
];

/// A message's content behind its wrappers.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    message: &'a Value,
    /// What the wrappers hold.
    pub(super) opened: &'a Value,
    found: Option<(MessageKind, &'a Value)>,
}

impl<'a> Opening<'a> {
    pub(super) fn of(message: &'a Value) -> Self {
        let opened = wire::open(message);
        let present = |(name, kind): (&str, MessageKind)| {
            let body = &opened[name];
            (body.is_object() || body.is_string()).then_some((kind, body))
        };
        Self { message, opened, found: CONTENTS.into_iter().find_map(present) }
    }

    /// What the content's own key holds; null when there is none that is known.
    pub(super) fn body(&self) -> &'a Value {
        self.found.map_or(&Value::Null, |(_, body)| body)
    }

    /// Whether one of these is around it.
    pub(super) fn is_in(&self, wrappers: &[&str]) -> bool {
        wire::layers(self.message).any(|layer| wrappers.iter().any(|name| layer[*name].is_object()))
    }

    /// The content; `provider_type` is the channel's own word for its kind.
    pub(super) fn content(&self, provider_type: Option<&str>) -> Content {
        let Some((kind, body)) = self.found else {
            let own_key =
                || Some(self.opened.as_object()?.keys().find(|key| !COMPANIONS.contains(&key.as_str()))?.as_str());
            let word = provider_type.or_else(own_key).map(|word| clip(word, MAX_TYPE));
            return Content { provider_type: word, ..Content::of_kind(MessageKind::Unknown) };
        };
        let kind = refine(kind, body);
        let detail = details::detail(kind, body);
        let said = match &detail {
            Some(Detail::Choice(choice)) => chosen(choice),
            _ => said(kind, body),
        };
        let said = said.or_else(|| kind.has_media().then(|| transcript(self.opened)).flatten());
        let mimetype = kind.has_media().then(|| word(body, "mimetype").or_else(|| word(body, "mime_type"))).flatten();
        Content {
            text: said.map(|said| clip(said, TEXT)),
            mimetype: mimetype.map(|mimetype| clip(mimetype, ID)),
            view_once: flag(body, "viewOnce") || self.is_in(&ONCE),
            detail: detail.map(Box::new),
            ..Content::of_kind(kind)
        }
    }
}

/// Kinds that share a key: a video that plays as a GIF, an audio that was recorded on the spot.
fn refine(kind: MessageKind, body: &Value) -> MessageKind {
    match kind {
        MessageKind::Video if flag(body, "gifPlayback") => MessageKind::Gif,
        // The Cloud API says `voice` where the app says `ptt`.
        MessageKind::Audio if flag(body, "ptt") || flag(body, "voice") => MessageKind::Voice,
        other => other,
    }
}

/// What a person chose, as they saw it; its id where they saw nothing.
fn chosen(choice: &Choice) -> Option<&str> {
    [&choice.title, &choice.description, &choice.id, &choice.form].into_iter().find_map(Option::as_deref)
}

/// What the person wrote to a content, or as one.
fn said(kind: MessageKind, body: &Value) -> Option<&str> {
    match kind {
        MessageKind::Text if body.is_string() => body.as_str().filter(|said| !said.trim().is_empty()),
        MessageKind::Text => text(body, "text"),
        MessageKind::Image
        | MessageKind::Video
        | MessageKind::Gif
        | MessageKind::VideoNote
        | MessageKind::Audio
        | MessageKind::Voice
        | MessageKind::Document
        | MessageKind::LiveLocation
        | MessageKind::GroupInvite => text(body, "caption"),
        MessageKind::Location => text(body, "comment"),
        MessageKind::Template => template(body),
        MessageKind::Order => text(body, "message"),
        _ => None,
    }
}

/// The text of what a business sends in one of the app's older or newer forms.
fn template(body: &Value) -> Option<&str> {
    let four_rows = &body["hydratedFourRowTemplate"];
    let interactive = &body["interactiveMessageTemplate"];
    [&body["hydratedTemplate"], four_rows, interactive, body].into_iter().find_map(|form| {
        text(form, "hydratedContentText")
            .or_else(|| text(&form["body"], "text"))
            .or_else(|| text(form, "contentText"))
            .or_else(|| text(form, "hydratedTitleText"))
            .or_else(|| text(&form["header"], "title"))
            .or_else(|| text(form, "description"))
            .or_else(|| text(form, "title"))
    })
}

/// What Evolution's own speech-to-text heard, which it marks with `[audio]`.
fn transcript(opened: &Value) -> Option<&str> {
    let heard = text(opened, "speechToText")?.trim();
    Some(heard.strip_prefix("[audio]").unwrap_or(heard).trim()).filter(|heard| !heard.is_empty())
}
