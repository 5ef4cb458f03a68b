//! Reading an answer of HTTP/1.1 out of the bytes as they come (RFC 9112, section 6). No I/O.

use super::super::{
    answer::{Answer, Failure},
    stream::Ear,
};

/// An answer may have so many headers.
const MOST_HEADERS: usize = 100;
/// What comes before the body, and each line within a chunked one, may have so many bytes.
const LARGEST_HEAD: usize = 64 * 1024;

/// An answer that is being read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Bytes that came and were not looked at yet.
    pub(super) unread: Vec<u8>,
    /// What is expected next.
    next: Expected,
    answer: Answer,
    /// Whether the server keeps the connection for another call.
    kept: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Expected {
    #[default]
    Head,
    /// So many bytes of the body.
    Body(usize),
    /// All bytes until the connection ends.
    Rest,
    /// The line before a chunk.
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(usize),
    /// The line's end behind a chunk.
    ChunkEnd,
    /// Lines behind the last chunk, up to an empty one.
    Trailer,
    Nothing,
}

impl Reading {
    /// Of an answer in whose place events may come.
    pub(super) fn of(ear: Option<Ear>) -> Self {
        Self { answer: Answer { ear, ..Answer::default() }, ..Self::default() }
    }

    /// Whether nothing has come yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.unread.is_empty() && self.next == Expected::Head
    }

    /// Looks at what came; whether the answer is complete.
    pub(super) fn advance(&mut self) -> Result<bool, Failure> {
        while self.step()? {}
        Ok(self.next == Expected::Nothing)
    }

    /// The same, the server having closed the connection.
    pub(super) fn close(&mut self) -> Result<(), Failure> {
        match self.next {
            Expected::Rest | Expected::Nothing => Ok(()),
            _ => Err(Failure::Broken),
        }
    }

    /// The answer, and whether the connection can be used for another call.
    pub(super) fn end(self) -> Result<(Answer, bool), Failure> {
        let Self { unread, answer, kept, .. } = self;
        Ok((answer.unpacked()?, kept && unread.is_empty()))
    }

    /// One step; whether there may be another one.
    fn step(&mut self) -> Result<bool, Failure> {
        match self.next {
            Expected::Head => self.read_head(),
            Expected::Body(left) => self.read_body(left, Expected::Body, Expected::Nothing),
            Expected::Rest => self.read_body(usize::MAX, |_| Expected::Rest, Expected::Nothing),
            Expected::Chunk(left) => self.read_body(left, Expected::Chunk, Expected::ChunkEnd),
            Expected::ChunkSize => self.read_chunk_size(),
            Expected::ChunkEnd => match self.line()? {
                Some(line) if line.is_empty() => self.expect(Expected::ChunkSize),
                Some(_) => Err(Failure::Broken),
                None => Ok(false),
            },
            Expected::Trailer => match self.line()? {
                Some(line) if line.is_empty() => self.expect(Expected::Nothing),
                Some(_) => Ok(true),
                None => Ok(false),
            },
            Expected::Nothing => Ok(false),
        }
    }

    /// Takes what there is of `left` bytes of the body.
    fn read_body(&mut self, left: usize, more: fn(usize) -> Expected, then: Expected) -> Result<bool, Failure> {
        let taken = left.min(self.unread.len());
        let is_enough = self.answer.take(&self.unread[..taken])?;
        self.unread.drain(..taken);
        if is_enough {
            // What the server says beyond it is not waited for, nor is it the next answer.
            self.kept = false;
            return self.expect(Expected::Nothing);
        }
        match left - taken {
            0 => self.expect(then),
            left => {
                self.next = more(left);
                Ok(false)
            }
        }
    }

    fn read_chunk_size(&mut self) -> Result<bool, Failure> {
        match httparse::parse_chunk_size(&self.unread) {
            Ok(httparse::Status::Complete((length, size))) => {
                self.unread.drain(..length);
                match usize::try_from(size) {
                    Ok(0) => self.expect(Expected::Trailer),
                    Ok(size) => self.expect(Expected::Chunk(size)),
                    Err(_) => Err(Failure::TooLarge(self.answer.status)),
                }
            }
            Ok(httparse::Status::Partial) => self.wait(),
            Err(_) => Err(Failure::Broken),
        }
    }

    /// The next line without its end.
    fn line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') else {
            return self.wait().map(|_| None);
        };
        let mut line: Vec<u8> = self.unread.drain(..=end).collect();
        line.truncate(end - usize::from(line.ends_with(b"\r\n")));
        Ok(Some(line))
    }

    fn read_head(&mut self) -> Result<bool, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(&self.unread) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return self.wait(),
            Err(_) => return Err(Failure::Broken),
        };
        let (status, version) = (response.code.unwrap_or_default(), response.version.unwrap_or_default());
        match status {
            // Another protocol was not asked for.
            0..=99 | 101 => return Err(Failure::Broken),
            100..=199 => {}
            _ => {
                let head = Head::of(status, version, response.headers)?;
                for header in response.headers.iter() {
                    self.answer.note(header.name, header.value);
                }
                (self.answer.status, self.next) = (status, head.next);
                (self.answer.packed, self.kept) = (head.packed, head.kept);
            }
        }
        self.unread.drain(..length);
        Ok(true)
    }

    fn expect(&mut self, next: Expected) -> Result<bool, Failure> {
        self.next = next;
        Ok(true)
    }

    /// There is too little to go on, unless there should have been enough.
    fn wait(&self) -> Result<bool, Failure> {
        match self.unread.len() > LARGEST_HEAD {
            true => Err(Failure::Broken),
            false => Ok(false),
        }
    }
}

/// What the head says of the body.
struct Head {
    next: Expected,
    packed: bool,
    kept: bool,
}

impl Head {
    fn of(status: u16, version: u8, headers: &[httparse::Header<'_>]) -> Result<Self, Failure> {
        let words = |name: &'static str| {
            let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
            named.flat_map(|header| header.value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
        };
        let says = |name, word: &[u8]| words(name).any(|one| one.eq_ignore_ascii_case(word));
        let mut lengths = words("content-length").map(length);
        let (first, coding) = (lengths.next().transpose()?, words("transfer-encoding").next_back());
        let next = match (status, coding, first) {
            (204 | 304, ..) => Expected::Nothing,
            (_, Some(last), _) if last.eq_ignore_ascii_case(b"chunked") => Expected::ChunkSize,
            (_, Some(_), _) | (_, None, None) => Expected::Rest,
            (_, None, Some(length)) => Expected::Body(length),
        };
        for other in lengths {
            if Some(other?) != first {
                return Err(Failure::Broken);
            }
        }
        // Two that contradict each other: where the next answer begins is not certain.
        let certain = next != Expected::Rest && (coding.is_none() || (first.is_none() && version == 1));
        let kept = match version {
            1 => !says("connection", b"close"),
            _ => says("connection", b"keep-alive"),
        };
        Ok(Self { next, packed: says("content-encoding", b"gzip"), kept: kept && certain })
    }
}

fn length(word: &[u8]) -> Result<usize, Failure> {
    let digits = std::str::from_utf8(word).ok().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or(Failure::Broken)
}
