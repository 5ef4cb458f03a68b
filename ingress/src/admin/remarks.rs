//! Remarks in a body: `# ...` to the end of a line, which the architecture guide's requests have.
//! JSON has none, so a body with them is read without them when it is not JSON as it stands.

/// The same bytes with each remark as spaces, so that what is wrong stands where it stood; none
/// when there is no remark. What is inside of a string is no remark.
pub(super) fn blanked(body: &[u8]) -> Option<Vec<u8>> {
    let mut place = Place::Outside;
    let mut found = false;
    let blanked = body.iter().map(|&byte| {
        place = place.after(byte);
        found |= place == Place::Remark;
        if place == Place::Remark { b' ' } else { byte }
    });
    let blanked = blanked.collect();
    found.then_some(blanked)
}

/// Where a byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    String,
    /// Behind a backslash in a string.
    Escaped,
    Remark,
}

impl Place {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Outside, b'"') | (Self::Escaped, _) => Self::String,
            (Self::Outside, b'#') => Self::Remark,
            (Self::String, b'"') | (Self::Remark, b'\n' | b'\r') => Self::Outside,
            (Self::String, b'\\') => Self::Escaped,
            (place, _) => place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(body: &str) -> Option<String> {
        blanked(body.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn remarks_go_and_everything_else_stays_where_it_is() {
        assert_eq!(without("{\"a\": 1, # ← one\n\"b\": 2}#").unwrap(), "{\"a\": 1,          \n\"b\": 2} ");
        for plain in ["", "{}", r##"{"a": "#1", "b\"#": "\\"}"##, "{\"a\": \"#"] {
            assert_eq!(without(plain), None, "{plain}");
        }
    }
}
