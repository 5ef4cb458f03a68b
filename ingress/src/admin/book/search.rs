//! Whether a contact or a chat is meant.

use omnihub_common::channel::whatsapp::recipient::{address_of, chat_of, phone_of};

/// What people write around and between the digits of a number.
const PUNCTUATION: [char; 6] = ['+', ' ', '-', '.', '(', ')'];

/// A text that is looked for in names and ids, in small letters or not.
#[derive(Clone, Debug)]
pub(super) struct Search {
    text: String,
    /// The same without punctuation, where it is a part of a number.
    digits: Option<String>,
}

impl Search {
    pub(super) fn new(text: &str) -> Self {
        let digits: String = text.chars().filter(|c| !PUNCTUATION.contains(c)).collect();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        Self { text: text.to_lowercase(), digits: is_number.then_some(digits) }
    }

    pub(super) fn finds<const N: usize>(&self, names: [&Option<String>; N], id: &str) -> bool {
        names.into_iter().flatten().any(|name| name.to_lowercase().contains(&self.text))
            || id.to_lowercase().contains(&self.text)
            || self.digits.as_ref().is_some_and(|digits| id.contains(digits))
    }
}

/// The one that is asked for by its JID or its number.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    jid: String,
    /// What Evolution is asked for: it finds the JID of a number itself.
    asked_for: String,
}

impl Sought {
    /// None where it can be the id of nothing.
    pub(super) fn read(id: &str) -> Option<Self> {
        let id = id.trim();
        let jid = chat_of(id).ok().or_else(|| id.contains('@').then(|| id.to_owned()))?;
        let asked_for = match phone_of(&jid) {
            Some(digits) if !id.contains('@') => digits.to_owned(),
            _ => jid.clone(),
        };
        Some(Self { jid, asked_for })
    }

    pub(super) fn asked_for(&self) -> &str {
        &self.asked_for
    }

    pub(super) fn is(&self, id: &str) -> bool {
        let is_phone = phone_of(&self.jid).is_some() && phone_of(id).is_some();
        id == self.jid || (is_phone && address_of(id) == address_of(&self.jid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_ids_are_found() {
        let name = Some("José da Silva".to_owned());
        let finds = |text: &str| Search::new(text).finds([&name, &None], "5511987654321@s.whatsapp.net");
        for text in ["JOSÉ", "da s", "+55 (11) 98765", "98765-4321", "4321@s", "S.WhatsApp"] {
            assert!(finds(text), "{text}");
        }
        for text in ["jose", "silva da", "+55 (12)", "4321@g"] {
            assert!(!finds(text), "{text}");
        }
        assert!(!Search::new("+").finds([&None], "1@g.us"), "punctuation alone is no part of a number");
    }

    #[test]
    fn somebody_is_known_by_either_form_of_a_number() {
        for (id, asked_for, found) in [
            ("+55 31 98765-4321", "5531987654321", "553187654321@s.whatsapp.net"),
            ("5531987654321@s.whatsapp.net", "5531987654321@s.whatsapp.net", "5531987654321@s.whatsapp.net"),
            ("14155550100@c.us", "14155550100@s.whatsapp.net", "14155550100@c.us"),
            ("99@lid", "99@lid", "99@lid"),
            ("status@broadcast", "status@broadcast", "status@broadcast"),
            ("120363041234567890", "120363041234567890@g.us", "120363041234567890@g.us"),
        ] {
            let sought = Sought::read(id).unwrap();
            assert!(sought.asked_for() == asked_for && sought.is(found), "{id}: {sought:?}");
            assert!(!sought.is("1@s.whatsapp.net") && !sought.is("991@lid"));
        }
        assert!(!Sought::read("99@lid").unwrap().is("99@s.whatsapp.net"));
        assert!(Sought::read("ana").is_none() && Sought::read("").is_none());
    }
}
