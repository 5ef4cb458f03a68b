//! A JSON list of any length, one element at a time: no more than one of them is held.
//!
//! Pure. Brackets and strings are told apart and nothing else: whether an element is JSON is for who
//! reads it to find out.

/// What is read is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAList;

/// How far a list has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    After,
}

/// Reads a list piece by piece.
#[derive(Debug)]
pub(super) struct Elements {
    place: Place,
    /// Brackets that are open within the element.
    depth: usize,
    in_string: bool,
    /// The character before was a backslash in a string.
    escaped: bool,
    /// The element so far, at most `largest` bytes of it.
    element: Vec<u8>,
    largest: usize,
    is_too_large: bool,
}

impl Elements {
    /// Of elements beyond `largest` bytes it is only told that they are there.
    pub(super) fn new(largest: usize) -> Self {
        Self {
            place: Place::Before,
            depth: 0,
            in_string: false,
            escaped: false,
            element: Vec::new(),
            largest,
            is_too_large: false,
        }
    }

    /// Reads on. The elements that end are handed over: their bytes, or none where they are too many.
    ///
    /// # Errors
    /// As soon as it cannot be a list.
    pub(super) fn read(&mut self, piece: &[u8], mut each: impl FnMut(Option<&[u8]>)) -> Result<(), NotAList> {
        for byte in piece {
            match self.place {
                Place::Within if self.in_string => self.within_string(*byte),
                Place::Within => self.within(*byte, &mut each)?,
                Place::Before if *byte == b'[' => self.place = Place::Within,
                Place::Before | Place::After if byte.is_ascii_whitespace() => {}
                Place::Before | Place::After => return Err(NotAList),
            }
        }
        Ok(())
    }

    /// Whether the list has been read to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.place == Place::After
    }

    fn within_string(&mut self, byte: u8) {
        self.keep(byte);
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
    }

    fn within(&mut self, byte: u8, each: &mut impl FnMut(Option<&[u8]>)) -> Result<(), NotAList> {
        match byte {
            b',' if self.depth == 0 => self.end(each),
            b']' if self.depth == 0 => {
                if !self.element.is_empty() {
                    self.end(each);
                }
                self.place = Place::After;
            }
            b'}' if self.depth == 0 => return Err(NotAList),
            _ if byte.is_ascii_whitespace() && self.element.is_empty() => {}
            _ => {
                match byte {
                    b'[' | b'{' => self.depth += 1,
                    b']' | b'}' => self.depth -= 1,
                    b'"' => self.in_string = true,
                    _ => {}
                }
                self.keep(byte);
            }
        }
        Ok(())
    }

    fn keep(&mut self, byte: u8) {
        if self.element.len() < self.largest {
            self.element.push(byte);
        } else {
            self.is_too_large = true;
        }
    }

    fn end(&mut self, each: &mut impl FnMut(Option<&[u8]>)) {
        each((!self.is_too_large).then_some(self.element.as_slice()));
        self.element.clear();
        self.is_too_large = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The elements of a text that comes in pieces of this length, as far as it is a list.
    fn read(text: &str, piece: usize) -> (Result<(), NotAList>, Vec<Option<String>>, bool) {
        let (mut elements, mut found) = (Elements::new(16), Vec::new());
        let all = text.as_bytes().chunks(piece).try_for_each(|piece| {
            elements.read(piece, |element| found.push(element.map(|bytes| String::from_utf8_lossy(bytes).into_owned())))
        });
        (all, found, elements.is_whole())
    }

    fn found(text: &str) -> Vec<Option<String>> {
        let whole = read(text, usize::MAX);
        assert_eq!(whole, read(text, 1), "{text}");
        assert_eq!((whole.0, whole.2), (Ok(()), true), "{text}");
        whole.1
    }

    #[test]
    fn elements_are_told_apart() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(found(" [ ] \n"), []);
        assert_eq!(found("[1,\n {\"a\":[1,2]} , \"],[\"]"), [some("1"), some("{\"a\":[1,2]} "), some("\"],[\"")]);
        assert_eq!(found(r#"["a\"],", "\\"]"#), [some(r#""a\"],""#), some(r#""\\""#)]);
        // What is too large is counted, and what comes after it read.
        assert_eq!(found(r#"["0123456789abcdef", 7]"#), [None, some("7")]);
        assert_eq!(found("[,1,]"), [some(""), some("1")]);
    }

    #[test]
    fn what_is_no_list_is_known_at_once() {
        for text in ["<html>", "{\"a\":[1]}", "\"a\"", "null", "[1] x", "[}"] {
            assert_eq!(read(text, 1).0, Err(NotAList), "{text}");
        }
        for text in ["", " ", "[", "[1,{\"a\":", "[\"", "[[[[[["] {
            let (all, _, is_whole) = read(text, 1);
            assert_eq!((all, is_whole), (Ok(()), false), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_list_is_its_elements(texts in prop::collection::vec(".{0,40}", 0..8), piece in 1_usize..9) {
            let list: Vec<Value> = texts.iter().map(|text| serde_json::json!({ "a": [text, {}] })).collect();
            let text = serde_json::to_string(&list).unwrap();
            let (mut elements, mut found) = (Elements::new(usize::MAX), Vec::<Value>::new());
            for piece in text.as_bytes().chunks(piece) {
                let each = |element: Option<&[u8]>| found.push(serde_json::from_slice(element.unwrap()).unwrap());
                prop_assert_eq!(elements.read(piece, each), Ok(()));
            }
            prop_assert!(elements.is_whole());
            prop_assert_eq!(found, list);
        }

        #[test]
        fn nothing_breaks_it(bytes in prop::collection::vec(prop::sample::select(&b"[]{}\",\\ a1"[..]), 0..64)) {
            let mut elements = Elements::new(8);
            let _any = elements.read(&bytes, |element| assert!(element.is_none_or(|bytes| bytes.len() <= 8)));
        }
    }
}
