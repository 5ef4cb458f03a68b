//! Whom a program writes to: a phone number or a chat id, as people write them.
//!
//! Pure. No country prefix is invented. Source: `createJid.ts` of Evolution API 2.3.6, which tells
//! what becomes of the digits that it is given.

use super::wire;
use crate::queue::PersonIds;

/// Shorter numbers belong to nobody.
const SHORTEST_PHONE: usize = 5;
/// From this length on digits are a group's id, as Evolution reads them.
const SHORTEST_GROUP: usize = 18;
/// What people write between the digits of a phone number.
const PUNCTUATION: [char; 6] = ['+', ' ', '-', '.', '(', ')'];

/// What a recipient must be.
const EXPECTED: &str = "must be a phone number with its country code, or the id of a chat \
                        (…@s.whatsapp.net, …@lid, …@g.us)";

/// The chat of a phone number, or of a person's or a group's id.
///
/// # Errors
/// What is expected, for people.
pub fn chat_of(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let Some((local, server)) = text.rsplit_once('@') else {
        let digits = digits_of(text).ok_or(EXPECTED)?;
        return match digits.len() {
            SHORTEST_GROUP.. => Ok(format!("{digits}@g.us")),
            SHORTEST_PHONE.. => Ok(format!("{digits}@s.whatsapp.net")),
            _ => Err(EXPECTED),
        };
    };
    let user = local.split_once(':').map_or(local, |(user, _)| user);
    let known = match server {
        "s.whatsapp.net" | "c.us" | "lid" => is_digits(user),
        // The groups of old are named after their maker's number and a time.
        "g.us" => user == local && user.split('-').all(is_digits),
        _ => false,
    };
    match (known, server) {
        (true, "c.us") => Ok(format!("{user}@s.whatsapp.net")),
        (true, _) => Ok(format!("{user}@{server}")),
        (false, _) => Err(EXPECTED),
    }
}

/// A person who is mentioned, by phone number or id: what Evolution makes a mention of.
///
/// # Errors
/// What is expected, for people.
pub fn person_of(text: &str) -> Result<String, &'static str> {
    let expected = "must be the phone number of a person with its country code, or the id of one";
    let chat = chat_of(text).map_err(|_| expected)?;
    match wire::is_person(&chat) {
        true => Ok(wire::phone(&chat).unwrap_or(&chat).to_owned()),
        false => Err(expected),
    }
}

/// The address of a chat's conversation, the same as of the messages that come from it: where
/// Evolution leaves a digit out of a number, WhatsApp's own id has it not either.
#[must_use]
pub fn address_of(chat: &str) -> String {
    match wire::phone(chat) {
        Some(digits) => as_known_to_whatsapp(digits),
        None => chat.split_once('@').map_or(chat, |(local, _)| local).to_owned(),
    }
}

/// How the person is called whose chat it is; nothing of other chats.
#[must_use]
pub fn ids_of(chat: &str) -> PersonIds {
    let phone = wire::phone(chat).map(as_known_to_whatsapp);
    PersonIds { lid: wire::lid(chat).map(str::to_owned), phone }
}

/// The phone's digits, where the chat is one person's and known by phone.
#[must_use]
pub fn phone_of(chat: &str) -> Option<&str> {
    wire::phone(chat)
}

/// Whether the chat is a group.
#[must_use]
pub fn is_group(chat: &str) -> bool {
    wire::is_group(chat)
}

/// Mobile numbers that WhatsApp knows by an older form: of Brazil (without the ninth digit, from
/// the area code 31 on), of Mexico and of Argentina (without the digit after the country code).
fn as_known_to_whatsapp(digits: &str) -> String {
    if digits.len() != 13 {
        return digits.to_owned();
    }
    match (&digits[..2], &digits[2..4], digits.as_bytes()[5]) {
        ("52" | "54", _, _) => format!("{}{}", &digits[..2], &digits[3..]),
        ("55", area, b'7'..) if area >= "31" => format!("{}{}", &digits[..4], &digits[5..]),
        _ => digits.to_owned(),
    }
}

fn digits_of(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !PUNCTUATION.contains(c)).collect();
    is_digits(&digits).then_some(digits)
}

fn is_digits(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ids_become_chats_without_a_prefix_of_ours() {
        for (text, chat) in [
            ("5511987654321", "5511987654321@s.whatsapp.net"),
            (" +1 (415) 555-0100 ", "14155550100@s.whatsapp.net"),
            ("120363041234567890", "120363041234567890@g.us"),
            ("5511987654321:7@s.whatsapp.net", "5511987654321@s.whatsapp.net"),
            ("5511987654321@c.us", "5511987654321@s.whatsapp.net"),
            ("99887766554433@lid", "99887766554433@lid"),
            ("5511987654321-1600000000@g.us", "5511987654321-1600000000@g.us"),
        ] {
            assert_eq!(chat_of(text).as_deref(), Ok(chat), "{text}");
        }
        let wrong =
            ["", "1234", "ana", "+", "@g.us", "a@lid", "status@broadcast", "1@newsletter", "1@g.us@lid", "55*1198"];
        for text in wrong {
            assert_eq!(chat_of(text), Err(EXPECTED), "{text}");
        }
    }

    #[test]
    fn a_person_is_mentioned_by_phone_where_it_is_known() {
        assert_eq!(person_of("+55 11 98765-4321").as_deref(), Ok("5511987654321"));
        assert_eq!(person_of("99887766554433@lid").as_deref(), Ok("99887766554433@lid"));
        assert!(person_of("120363041234567890@g.us").is_err() && person_of("all").is_err());
    }

    #[test]
    fn a_conversation_is_that_of_the_messages_that_come_from_there() {
        for (chat, address) in [
            ("5511987654321@s.whatsapp.net", "5511987654321"),
            ("5531987654321@s.whatsapp.net", "553187654321"),
            ("5531387654321@s.whatsapp.net", "553187654321"),
            ("5531932165432@s.whatsapp.net", "5531932165432"),
            ("5491112345678@s.whatsapp.net", "541112345678"),
            ("5215512345678@s.whatsapp.net", "525512345678"),
            ("14155550100@s.whatsapp.net", "14155550100"),
            ("998877@lid", "998877"),
            ("120363041234567890@g.us", "120363041234567890"),
        ] {
            assert_eq!(address_of(chat), address, "{chat}");
        }
    }
}
