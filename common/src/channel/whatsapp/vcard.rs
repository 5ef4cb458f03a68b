//! The contact cards that people send: the few lines of a vCard that say who it is.
//!
//! WhatsApp writes vCard 3.0 and puts the account's digits beside the number (`waid=`). Lines that
//! are not understood are passed over; a card that is none at all has the name it was shown under.

use super::bounds::{LINE, clip};
use crate::channel::SharedContact;

/// So many numbers, and so many addresses, are kept of one card.
const MOST_WAYS: usize = 20;

/// So much of a card is read, in bytes; a photograph in it is larger.
const LONGEST_CARD: usize = 64 * 1024;

/// Reads a card; `shown` is the name that the message gives it.
pub(super) fn read(shown: Option<&str>, card: &str) -> SharedContact {
    let mut contact = SharedContact::default();
    let mut own_name = None;
    for line in unfolded(head(card)) {
        let Some((left, value)) = line.split_once(':') else { continue };
        let mut words = left.split(';');
        let name = words.next().unwrap_or_default();
        // `item1.TEL`: the group only holds lines together.
        let name = name.rsplit_once('.').map_or(name, |(_, name)| name).to_ascii_uppercase();
        let value = clip(unescaped(value).trim(), LINE);
        if value.is_empty() {
            continue;
        }
        match name.as_str() {
            "FN" => own_name = own_name.or(Some(value)),
            "TEL" => keep(&mut contact.phones, account(words).unwrap_or(value)),
            "EMAIL" => keep(&mut contact.emails, value),
            "ORG" => contact.organization = contact.organization.or(Some(value)),
            _ => {}
        }
    }
    contact.name = shown.map(|name| clip(name, LINE)).or(own_name).unwrap_or_default();
    contact
}

fn keep(list: &mut Vec<String>, value: String) {
    if list.len() < MOST_WAYS && !list.contains(&value) {
        list.push(value);
    }
}

/// The number of the WhatsApp account that a line's parameters name.
fn account<'a>(parameters: impl Iterator<Item = &'a str>) -> Option<String> {
    let digits = parameters.into_iter().find_map(|parameter| parameter.strip_prefix("waid="))?;
    let plausible = (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plausible.then(|| format!("+{digits}"))
}

/// The first part of a card, cut between characters.
fn head(card: &str) -> &str {
    let end = (0..=card.len().min(LONGEST_CARD)).rev().find(|end| card.is_char_boundary(*end));
    &card[..end.unwrap_or(0)]
}

/// The lines, those that begin with a blank joined to the one before.
fn unfolded(card: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in card.lines() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some(last)) => last.push_str(rest),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// `\,` is a comma, `\n` a blank; a separator between the parts of a name or firm is a blank too.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n' | 'N') | None => text.push(' '),
                Some(escaped) => text.push(escaped),
            },
            ';' => text.push(' '),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_s_names_numbers_and_addresses_are_read() {
        let card = "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Doe;John;;;\r\nFN:John \\, Doe\r\nORG:Acme\\; Sons;\r\n\
                    item1.TEL;type=CELL;waid=14155550100:+1 415 555-0100\r\nitem1.X-ABLabel:Mobile\r\n\
                    TEL:0800 123\r\nTEL:0800 123\r\nEMAIL;type=INTERNET:john@exam\r\n ple.org\r\nEND:VCARD";
        let read = read(None, card);
        assert_eq!((read.name.as_str(), read.organization.as_deref()), ("John , Doe", Some("Acme; Sons")));
        assert_eq!(read.phones, ["+14155550100", "0800 123"]);
        assert_eq!(read.emails, ["john@example.org"]);
    }

    #[test]
    fn the_name_it_was_shown_under_goes_first_and_what_is_no_card_has_only_that() {
        assert_eq!(read(Some("Ana"), "FN:Ana Maria").name, "Ana");
        assert_eq!(read(Some("Ana"), "hello"), SharedContact { name: "Ana".into(), ..SharedContact::default() });
        assert_eq!(
            read(None, "TEL;waid=abc:\nTEL;waid=x:12"),
            SharedContact { phones: vec!["12".into()], ..SharedContact::default() }
        );
    }

    #[test]
    fn a_huge_card_is_bounded() {
        let card: String = (0..5000).map(|nth| format!("TEL:{nth}é\nEMAIL:{}\n", "é".repeat(5000))).collect();
        let read = read(None, &card);
        assert_eq!(read.phones.len(), 1 + LONGEST_CARD / 10_020, "as many as are in the part that is read");
        assert!(read.emails.iter().all(|email| email.chars().count() <= LINE));
    }
}
