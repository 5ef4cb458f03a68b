//! Mentions that stand in a text: `@` and a phone number.
//!
//! The older system's three forms: `@+55 11 987654321` (country, area and number apart),
//! `@+5511987654321` and `@5511987654321`, of 8 to 15 digits. No country prefix is invented.

/// The numbers that a text mentions, in digits, in order and each once.
#[must_use]
pub fn mentioned_in(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for after in text.split('@').skip(1) {
        if let Some(digits) = apart(after).or_else(|| joined(after))
            && !found.contains(&digits)
        {
            found.push(digits);
        }
    }
    found
}

/// `+55 11 987654321`: one to four digits, two, and eight or nine.
fn apart(text: &str) -> Option<String> {
    let (country, rest) = digits(text.strip_prefix('+').unwrap_or(text));
    let spaced = rest.trim_start();
    let (area, _) = digits(spaced);
    if !(1..=4).contains(&country.len()) || spaced.len() == rest.len() || area.len() < 2 {
        return None;
    }
    let number = &spaced[2..];
    let (number, _) = digits(number.trim_start());
    (8..=9).contains(&number.len()).then(|| format!("{country}{}{number}", &area[..2]))
}

/// `+5511987654321`, or without the `+`.
fn joined(text: &str) -> Option<String> {
    let (number, _) = digits(text.strip_prefix('+').unwrap_or(text));
    (8..=15).contains(&number.len()).then(|| number.to_owned())
}

/// The digits that a text begins with, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_found_once_and_in_order() {
        let text = "@+55 11 987654321 and @14155550100, again @+14155550100, and @55 1187654321!";
        assert_eq!(mentioned_in(text), ["5511987654321", "14155550100", "551187654321"]);
        assert_eq!(mentioned_in("@+4930123456"), ["4930123456"], "no country is guessed");
    }

    #[test]
    fn what_is_no_number_mentions_nobody() {
        for text in ["", "@", "@ana", "@1234567", "me@example.org", "@1234567890123456", "@55 1 98765432", "@é 11"] {
            assert_eq!(mentioned_in(text), Vec::<String>::new(), "{text}");
        }
    }
}
