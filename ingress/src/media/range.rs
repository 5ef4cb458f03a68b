//! Which part of a file is asked for (RFC 9110, 14.2): one range of bytes, or the whole.

use axum::http::HeaderValue;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it; also where the header is none that is understood, or names several parts.
    Whole,
    /// So many bytes from this one on.
    Part(u64, u64),
    /// A part that is not there.
    Nothing,
}

/// Reads the header `Range` for a file of so many bytes.
pub(super) fn read(header: Option<&HeaderValue>, size: u64) -> Asked {
    let given = header.and_then(|value| value.to_str().ok()?.strip_prefix("bytes=")?.trim().split_once('-'));
    let Some((first, last)) = given else { return Asked::Whole };
    let number = |text: &str| Some(text).filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse::<u64>().ok();
    match (number(first), number(last)) {
        // The last bytes.
        (None, Some(0)) if first.is_empty() => Asked::Nothing,
        (None, Some(_)) if first.is_empty() && size == 0 => Asked::Nothing,
        (None, Some(most)) if first.is_empty() => Asked::Part(size.saturating_sub(most), most.min(size)),
        (Some(first), Some(last)) if last < first => Asked::Whole,
        (Some(_), None) if !last.is_empty() => Asked::Whole,
        (Some(first), _) if first >= size => Asked::Nothing,
        (Some(first), None) => Asked::Part(first, size - first),
        (Some(first), Some(last)) => Asked::Part(first, last.min(size - 1) - first + 1),
        _ => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_understood_and_whatever_is_none_is_the_whole() {
        let asked = |header: &str, size| read(Some(&HeaderValue::from_str(header).unwrap()), size);
        for (header, expected) in [
            ("bytes=0-0", Asked::Part(0, 1)),
            ("bytes=0-9", Asked::Part(0, 10)),
            ("bytes=3-", Asked::Part(3, 7)),
            ("bytes=3-99", Asked::Part(3, 7)),
            ("bytes=-4", Asked::Part(6, 4)),
            ("bytes=-99", Asked::Part(0, 10)),
            ("bytes=10-", Asked::Nothing),
            ("bytes=10-12", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=5-4", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=3-x", Asked::Whole),
            ("bytes=+3-4", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=99999999999999999999-", Asked::Whole),
            ("lines=1-2", Asked::Whole),
            ("", Asked::Whole),
        ] {
            assert_eq!(asked(header, 10), expected, "{header}");
        }
        assert_eq!(
            (read(None, 10), asked("bytes=0-", 0), asked("bytes=-1", 0)),
            (Asked::Whole, Asked::Nothing, Asked::Nothing)
        );
    }
}
