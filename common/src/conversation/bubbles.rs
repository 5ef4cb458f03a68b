//! An answer cut into the messages that a person receives.
//!
//! First on blank lines, which is how people write several messages; then whatever is still over
//! the channel's limit, at the best place before it. A code fence is never split on its blank
//! lines, and where the limit forces a cut inside one, it is closed and opened again.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// The shortest run of backticks that opens or closes a fence.
const MIN_TICKS: usize = 3;

/// The longest word after an opening fence that is taken for a language, in characters.
const MAX_INFO: usize = 20;

/// Cuts a text into bubbles.
///
/// With `enable_auto_split`, a text of more than `split_over` characters (0: every text) is split
/// on blank lines. Every bubble has at most `limit` characters (Unicode scalar values, as the
/// channels count; 0 means no limit), is trimmed and not empty; nothing but whitespace is lost.
/// Only a single grapheme that is itself over the limit is cut within.
#[must_use]
pub fn bubbles(text: &str, enable_auto_split: bool, split_over: usize, limit: usize) -> Vec<String> {
    let text = text.trim();
    let parts = if enable_auto_split && is_longer(text, split_over) { paragraphs(text) } else { vec![text] };
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    if limit == 0 {
        return parts.map(str::to_owned).collect();
    }
    parts.flat_map(|part| Cutter::new(part, limit).pieces()).collect()
}

/// The bubbles of an answer that is still being given: a paragraph each, however short, once the blank
/// line behind it has come; `whole` says that nothing more comes.
///
/// What more of a text brings is only added: the bubbles of its beginning stay as they are, so that they
/// may be sent meanwhile. Otherwise as [`bubbles`].
#[must_use]
pub fn bubbles_so_far(text: &str, whole: bool, limit: usize) -> Vec<String> {
    // A line that has not ended may become anything.
    let ended = if whole { text.len() } else { text.rfind('\n').map_or(0, |at| at + 1) };
    let mut parts = paragraphs(&text[..ended]);
    if !whole {
        parts.pop();
    }
    parts.into_iter().flat_map(|part| bubbles(part, false, 0, limit)).collect()
}

/// Whether a text has more than this many characters.
fn is_longer(text: &str, characters: usize) -> bool {
    text.chars().nth(characters).is_some()
}

/// The paragraphs between blank lines that lie outside of fences.
fn paragraphs(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut fence = None;
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if fence.is_none() && line.trim().is_empty() {
            parts.push(&text[start..at]);
            start = at + line.len();
        } else {
            fence = after(fence, line, line.len());
        }
        at += line.len();
    }
    parts.push(&text[start..]);
    parts
}

/// An open code fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fence<'a> {
    /// How many backticks opened it; it takes as many to close it.
    ticks: usize,
    /// The language behind the opening backticks.
    info: &'a str,
    /// Where it opened, in bytes of the text that was scanned; none when it was open before.
    at: Option<usize>,
}

impl Fence<'_> {
    fn opening(&self) -> String {
        format!("{}{}\n", "`".repeat(self.ticks), self.info)
    }

    fn closing(&self) -> String {
        format!("\n{}", "`".repeat(self.ticks))
    }
}

/// The runs of backticks that are long enough to be fences, as byte ranges.
fn runs(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    let next = move || {
        let start = from + text[from..].find('`')?;
        let length = text[start..].bytes().take_while(|byte| *byte == b'`').count();
        from = start + length;
        Some(start..from)
    };
    std::iter::from_fn(next).filter(|run| run.len() >= MIN_TICKS)
}

/// The fence that is open at a place of a text, given the one that was open before it. WhatsApp
/// opens and closes them anywhere in a line, so every long enough run counts.
fn after<'a>(open: Option<Fence<'a>>, text: &'a str, place: usize) -> Option<Fence<'a>> {
    runs(&text[..place]).fold(open, |open, run| match open {
        Some(fence) if run.len() >= fence.ticks => None,
        Some(fence) => Some(fence),
        None => Some(Fence { ticks: run.len(), info: info(text, &run), at: Some(run.start) }),
    })
}

/// The language behind an opening run: one short word that ends the line which the run begins.
fn info<'a>(text: &'a str, run: &Range<usize>) -> &'a str {
    let begins = text[..run.start].rsplit('\n').next().is_none_or(|before| before.trim().is_empty());
    let word = text[run.end..].split_once('\n').map_or("", |(rest, _)| rest.trim_end());
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '#' | '.');
    if begins && word.len() <= MAX_INFO && word.chars().all(known) { word } else { "" }
}

/// Cuts one part to the limit.
struct Cutter<'a> {
    rest: &'a str,
    limit: usize,
    /// What a closing fence may take; none when the part's fences are not looked after.
    reserve: Option<usize>,
    /// The fence that the last piece closed and the next one opens again.
    open: Option<Fence<'a>>,
}

impl<'a> Cutter<'a> {
    fn new(part: &'a str, limit: usize) -> Self {
        let ticks = runs(part).map(|run| run.len()).max();
        // Fences are looked after only where they leave half of the limit to the content.
        let reserve = ticks.map(|ticks| ticks + 1).filter(|closing| 2 * closing + MAX_INFO <= limit / 2);
        Self { rest: part, limit, reserve, open: None }
    }

    fn pieces(mut self) -> Vec<String> {
        let mut pieces = Vec::new();
        while !self.rest.trim().is_empty() {
            pieces.extend(self.next_piece());
        }
        pieces
    }

    /// The next piece; none when it would be an empty code block.
    fn next_piece(&mut self) -> Option<String> {
        let prefix = self.open.map(|fence| fence.opening()).unwrap_or_default();
        let room = self.limit - prefix.chars().count();
        if !is_longer(self.rest, room) {
            let rest = std::mem::take(&mut self.rest);
            return Some(prefix + rest.trim_end());
        }
        let (at, fence) = self.cut(room - self.reserve.unwrap_or(0));
        let (head, tail) = self.rest.split_at(at);
        let head = head.trim_end();
        self.rest = match fence {
            Some(_) => tail.strip_prefix('\r').unwrap_or(tail).strip_prefix('\n').unwrap_or(tail),
            None => tail.trim_start(),
        };
        self.open = fence.map(|fence| Fence { at: None, ..fence });
        self.skip_closing();
        let closing = fence.map(|fence| fence.closing()).unwrap_or_default();
        (!head.trim().is_empty()).then(|| prefix + head + &closing)
    }

    /// Where to cut, and the fence that is open there.
    fn cut(&self, room: usize) -> (usize, Option<Fence<'a>>) {
        let at = place(self.rest, room, self.first_place());
        if self.reserve.is_none() {
            return (at, None);
        }
        let fence = after(self.open, self.rest, at);
        match fence {
            // Not behind an opening line with nothing of the code: then before it.
            Some(Fence { at: Some(opened), ticks, info }) if opened > 0 => {
                let code = self.rest.get(opened + ticks + info.len()..at).unwrap_or_default();
                if code.trim().is_empty() { (opened, None) } else { (at, fence) }
            }
            _ => (at, fence),
        }
    }

    /// The first byte at which a soft cut makes sense: behind a fence's opening line.
    fn first_place(&self) -> usize {
        match runs(self.rest).next() {
            Some(run) if run.start == 0 && self.open.is_none() => run.end + info(self.rest, &run).len() + 1,
            _ => 0,
        }
    }

    /// When the code ended with the last piece, its own closing backticks are no longer needed.
    fn skip_closing(&mut self) {
        let Some(fence) = self.open else { return };
        let rest = self.rest.trim_start();
        if let Some(run) = runs(rest).next()
            && run.start == 0
            && run.len() >= fence.ticks
        {
            self.rest = rest[run.end..].trim_start();
            self.open = None;
        }
    }
}

/// The best place to cut within so many characters: the last newline, sentence end or space of
/// the second half, else of the whole, else between two graphemes. Soft places lie behind `first`.
fn place(text: &str, room: usize, first: usize) -> usize {
    let mut soft = Soft::default();
    let mut hard = 0;
    let mut count = 0;
    let mut sentence = false;
    for (at, grapheme) in text.grapheme_indices(true) {
        if at > first {
            soft.note(at, count * 2 >= room, grapheme, sentence);
        }
        count += grapheme.chars().count();
        if count > room {
            break;
        }
        hard = at + grapheme.len();
        sentence = ends_sentence(grapheme) || (sentence && closes_quote(grapheme));
    }
    soft.best().or_else(|| between_ticks(text, hard)).unwrap_or_else(|| {
        let within = text.char_indices().nth(room.max(1)).map_or(text.len(), |(at, _)| at);
        if hard > 0 { hard } else { within }
    })
}

/// The last soft places, by kind: in the second half, and anywhere.
#[derive(Default)]
struct Soft {
    late: [Option<usize>; 3],
    early: [Option<usize>; 3],
}

impl Soft {
    /// Notes a cut before a grapheme.
    fn note(&mut self, at: usize, late: bool, grapheme: &str, sentence: bool) {
        let kinds = if late { &mut self.late } else { &mut self.early };
        let space = grapheme.chars().all(|c| c.is_whitespace() && !matches!(c, '\u{a0}' | '\u{202f}'));
        if grapheme.contains('\n') && space {
            kinds[0] = Some(at);
        } else if space && sentence {
            kinds[1] = Some(at);
        } else if space {
            kinds[2] = Some(at);
        } else if sentence && !grapheme.is_ascii() {
            // Scripts that write no space between sentences.
            kinds[1] = Some(at);
        }
    }

    fn best(&self) -> Option<usize> {
        self.late.iter().chain(&self.early).copied().flatten().next()
    }
}

fn ends_sentence(grapheme: &str) -> bool {
    matches!(grapheme, "." | "!" | "?" | "…" | "。" | "！" | "？" | "؟" | "।")
}

fn closes_quote(grapheme: &str) -> bool {
    matches!(grapheme, "\"" | "'" | ")" | "]" | "”" | "’" | "»" | "」" | "』" | "*" | "_")
}

/// A hard cut moved before a run of backticks that it would fall into.
fn between_ticks(text: &str, hard: usize) -> Option<usize> {
    let before = text[..hard].trim_end_matches('`').len();
    let torn = before < hard && text[hard..].starts_with('`');
    (torn && before > 0).then_some(before)
}

#[cfg(test)]
mod tests;
