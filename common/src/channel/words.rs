//! A content in words: what an agent that reads text is told, and what a trace shows.
//!
//! ```text
//! text, caption, transcript, choice     as the person wrote, said or chose it
//! a file without words                  [image], [voice message, 7 s], [document: bill.pdf]
//! everything else                       [location: Name, Address (lat, long)], [poll: ...], ...
//! ```
//!
//! The words are stable: agents and their tests may rely on them.

use std::borrow::Cow;

use super::{
    CalendarEvent, Content, Detail, GroupInvite, MediaFacts, MessageKind, Order, Place, Poll, Reaction, Referral,
    SharedContact,
};

impl Content {
    /// What it says in words; none when it says nothing, or is of a kind that is not understood.
    #[must_use]
    pub fn words(&self) -> Option<Cow<'_, str>> {
        let text = self.text.as_deref().filter(|text| !text.trim().is_empty());
        let described = match self.detail.as_deref() {
            Some(Detail::Location(place)) => location(place, text),
            Some(Detail::Contacts(cards)) => contacts(cards),
            Some(Detail::Reaction(reaction)) => self::reaction(reaction),
            Some(Detail::Poll(poll)) => self::poll(poll),
            Some(Detail::Album(album)) => format!("[album: {} images, {} videos]", album.images, album.videos),
            Some(Detail::GroupInvite(invite)) => group_invite(invite, text),
            Some(Detail::Event(event)) => self::event(event),
            Some(Detail::Order(order)) => self::order(order, text),
            Some(Detail::Media(facts)) if text.is_none() => self.file(facts),
            None if text.is_none() && self.kind.has_media() => self.file(&MediaFacts::default()),
            Some(Detail::Media(_) | Detail::Link(_) | Detail::Choice(_)) | None => return text.map(Cow::Borrowed),
        };
        Some(Cow::Owned(described))
    }

    /// A file that nobody wrote anything to.
    fn file(&self, facts: &MediaFacts) -> String {
        let what = match self.kind {
            MessageKind::Gif => "GIF",
            MessageKind::VideoNote => "video note",
            MessageKind::Voice => "voice message",
            kind => kind.as_str(),
        };
        let once = if self.view_once { "view-once " } else { "" };
        match (&facts.file_name, facts.seconds) {
            (Some(name), _) => format!("[{once}{what}: {name}]"),
            (None, Some(seconds)) => format!("[{once}{what}, {seconds} s]"),
            (None, None) => format!("[{once}{what}]"),
        }
    }
}

impl Referral {
    /// What the person saw before they wrote.
    #[must_use]
    pub fn words(&self) -> String {
        let what = if self.is_ad { "ad" } else { "link" };
        let parts: Vec<&str> = [&self.title, &self.body].into_iter().flatten().map(String::as_str).collect();
        bracket(what, &parts.join(": "), self.url.as_deref())
    }
}

/// `[what: words (more)]`, without what there is not.
fn bracket(what: &str, words: &str, more: Option<&str>) -> String {
    match (words.is_empty(), more) {
        (true, None) => format!("[{what}]"),
        (true, Some(more)) => format!("[{what}: {more}]"),
        (false, None) => format!("[{what}: {words}]"),
        (false, Some(more)) => format!("[{what}: {words} ({more})]"),
    }
}

fn joined(parts: &[Option<&str>]) -> String {
    parts.iter().flatten().copied().collect::<Vec<_>>().join(", ")
}

fn location(place: &Place, comment: Option<&str>) -> String {
    let what = if place.live { "live location" } else { "location" };
    let names = joined(&[place.name.as_deref(), place.address.as_deref(), comment]);
    let point = place.latitude.zip(place.longitude).map(|(latitude, longitude)| format!("{latitude}, {longitude}"));
    bracket(what, &names, point.as_deref())
}

fn contacts(cards: &[SharedContact]) -> String {
    let card = |card: &SharedContact| {
        let ways: Vec<&str> = card.phones.iter().chain(&card.emails).map(String::as_str).collect();
        match ways.is_empty() {
            true => card.name.clone(),
            false => format!("{} ({})", card.name, ways.join(", ")),
        }
    };
    let what = if cards.len() == 1 { "contact" } else { "contacts" };
    bracket(what, &cards.iter().map(card).collect::<Vec<_>>().join("; "), None)
}

fn reaction(reaction: &Reaction) -> String {
    match &reaction.emoji {
        Some(emoji) => format!("[reaction: {emoji}]"),
        None => "[reaction removed]".to_owned(),
    }
}

fn poll(poll: &Poll) -> String {
    let options = poll.options.join("; ");
    bracket("poll", &poll.question, Some(options.as_str()).filter(|options| !options.is_empty()))
}

fn group_invite(invite: &GroupInvite, caption: Option<&str>) -> String {
    let said = invite.name.as_deref().into_iter().chain(caption).collect::<Vec<_>>().join(": ");
    bracket("group invite", &said, None)
}

fn event(event: &CalendarEvent) -> String {
    let what = if event.cancelled { "cancelled event" } else { "event" };
    let place = event.place.as_ref();
    let named = |name: fn(&Place) -> &Option<String>| place.and_then(|place| name(place).as_deref());
    let facts = joined(&[
        event.starts_at.as_deref(),
        named(|place| &place.name),
        named(|place| &place.address),
        event.join_link.as_deref(),
    ]);
    let said: Vec<&str> = [event.name.as_str()].into_iter().chain(event.description.as_deref()).collect();
    bracket(what, &said.join(": "), Some(facts.as_str()).filter(|facts| !facts.is_empty()))
}

fn order(order: &Order, message: Option<&str>) -> String {
    let items = order.items.map(|items| format!("{items} items"));
    let total = order.total.as_deref().map(|total| joined_by_space(order.currency.as_deref(), total));
    let facts = joined(&[items.as_deref(), total.as_deref()]);
    let said: Vec<&str> = order.title.as_deref().into_iter().chain(message).collect();
    bracket("order", &said.join(": "), Some(facts.as_str()).filter(|facts| !facts.is_empty()))
}

fn joined_by_space(currency: Option<&str>, total: &str) -> String {
    currency.map_or_else(|| total.to_owned(), |currency| format!("{currency} {total}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: MessageKind, detail: Detail) -> Content {
        Content { detail: Some(Box::new(detail)), ..Content::of_kind(kind) }
    }

    fn said(content: &Content) -> Option<String> {
        content.words().map(Cow::into_owned)
    }

    #[test]
    fn what_a_person_wrote_stands_as_it_is() {
        assert_eq!(said(&Content::of_text(" hi\n")).as_deref(), Some(" hi\n"));
        assert_eq!(said(&Content::of_text(" \n")), None);
        let captioned = Content { text: Some("look".into()), ..Content::of_kind(MessageKind::Image) };
        assert_eq!(said(&captioned).as_deref(), Some("look"));
        assert_eq!(said(&Content::of_kind(MessageKind::Unknown)), None);
    }

    #[test]
    fn a_file_without_words_is_named() {
        let once = Content { view_once: true, ..Content::of_kind(MessageKind::Image) };
        assert_eq!(said(&once).as_deref(), Some("[view-once image]"));
        let voice = MediaFacts { seconds: Some(7), ..MediaFacts::default() };
        assert_eq!(said(&of(MessageKind::Voice, Detail::Media(voice))).as_deref(), Some("[voice message, 7 s]"));
        let bill = MediaFacts { file_name: Some("bill.pdf".into()), ..MediaFacts::default() };
        assert_eq!(said(&of(MessageKind::Document, Detail::Media(bill))).as_deref(), Some("[document: bill.pdf]"));
    }

    #[test]
    fn what_there_is_not_is_left_out() {
        let nowhere = Detail::Location(Place { live: true, ..Place::default() });
        assert_eq!(said(&of(MessageKind::LiveLocation, nowhere)).as_deref(), Some("[live location]"));
        let point = Detail::Location(Place { latitude: Some(1.5), longitude: Some(-2.0), ..Place::default() });
        assert_eq!(said(&of(MessageKind::Location, point)).as_deref(), Some("[location: 1.5, -2]"));
        let order = Detail::Order(Order { total: Some("3.00".into()), ..Order::default() });
        assert_eq!(said(&of(MessageKind::Order, order)).as_deref(), Some("[order: 3.00]"));
        let called_off = CalendarEvent { name: "Lunch".into(), cancelled: true, ..CalendarEvent::default() };
        assert_eq!(
            said(&of(MessageKind::Event, Detail::Event(called_off))).as_deref(),
            Some("[cancelled event: Lunch]")
        );
    }
}
