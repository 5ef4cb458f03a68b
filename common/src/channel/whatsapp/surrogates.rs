//! Halves of surrogate pairs in JSON.
//!
//! JavaScript strings may hold one half of an emoji (a title cut at a fixed length), and its
//! `JSON.stringify` writes the half as an escape such as `\ud83d`. Rust's strings cannot hold it.

/// Replaces every lone surrogate escape by U+FFFD; none when there is no such escape.
pub(super) fn mend(json: &[u8]) -> Option<Vec<u8>> {
    let mut mended = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while at < json.len() {
        if json[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(json, at) {
            Some(high) if is_high(high) && unit(json, at + 6).is_some_and(is_low) => at += 12,
            Some(half) if is_high(half) || is_low(half) => {
                mended.extend_from_slice(&json[copied..at]);
                mended.extend_from_slice(b"\\ufffd");
                at += 6;
                copied = at;
            }
            Some(_) => at += 6,
            None => at += 2,
        }
    }
    if copied == 0 {
        return None;
    }
    mended.extend_from_slice(&json[copied..]);
    Some(mended)
}

/// The UTF-16 unit of an escape `\uXXXX` that begins here.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

fn is_high(unit: u16) -> bool {
    (0xd800..=0xdbff).contains(&unit)
}

fn is_low(unit: u16) -> bool {
    (0xdc00..=0xdfff).contains(&unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(json: &str) -> Option<String> {
        mend(json.as_bytes()).map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
    }

    #[test]
    fn replaces_only_lone_halves() {
        assert_eq!(mended(r#"{"a":"x\ud83d"}"#).as_deref(), Some(r#"{"a":"x\ufffd"}"#));
        assert_eq!(mended(r#"["\udc4d","\ud83d\ud83d\udc4d"]"#).as_deref(), Some(r#"["\ufffd","\ufffd\ud83d\udc4d"]"#));
        assert_eq!(mended(r#"["\ud83d\udc4d"]"#), None);
        assert_eq!(mended(r#"["\\ud83d"]"#), None, "an escaped backslash is no escape");
        assert_eq!(mended(r#"["\u00e9\n"]"#), None);
        assert_eq!(mended("\\"), None);
        assert_eq!(mended("\\ud8"), None);
    }
}
