//! Tables as text, as spreadsheets write them (RFC 4180): a head line, then a line per row.

use std::iter::Peekable;

use serde_json::{Map, Value};

/// Why a text is no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CsvError {
    /// There is no head.
    #[error("must begin with a line that names the columns")]
    NoHead,
    /// A head without a column that each row needs.
    #[error("must have the column {0}")]
    NoColumn(&'static str),
    /// A quoted field without an end.
    #[error("line {0}: a quoted field has no end, or something behind it")]
    Quotes(usize),
    /// A row with more fields than columns.
    #[error("line {0}: there are more fields than columns")]
    TooMany(usize),
}

/// Reads a table; each row by the names of its columns, which are compared without case. Fields
/// are separated by commas, or by semicolons where the head is. Empty fields are left out. One
/// column must be there, or a table of something else would be taken for an empty one.
pub(super) fn read(text: &str, needed: &'static str) -> Result<Vec<Map<String, Value>>, CsvError> {
    let text = text.trim_start_matches('\u{feff}');
    let head = text.lines().find(|line| !line.trim().is_empty()).ok_or(CsvError::NoHead)?;
    let separator = if head.contains(';') && !head.contains(',') { ';' } else { ',' };
    let mut lines = records(text, separator)?.into_iter();
    let (_, columns) = lines.next().ok_or(CsvError::NoHead)?;
    let columns: Vec<String> = columns.into_iter().map(|name| name.trim().to_lowercase()).collect();
    if !columns.iter().any(|name| name == needed) {
        return Err(CsvError::NoColumn(needed));
    }
    lines
        .map(|(line, fields)| {
            if fields.len() > columns.len() {
                return Err(CsvError::TooMany(line));
            }
            let filled = columns.iter().zip(fields).filter(|(_, field)| !field.trim().is_empty());
            Ok(filled.map(|(name, field)| (name.clone(), Value::String(field))).collect())
        })
        .collect()
}

/// The lines that are not blank, each with its number.
fn records(text: &str, separator: char) -> Result<Vec<(usize, Vec<String>)>, CsvError> {
    let (mut records, mut line) = (Vec::new(), 1);
    let mut letters = text.chars().peekable();
    while letters.peek().is_some() {
        let (begun, mut fields) = (line, Vec::new());
        loop {
            fields.push(field(&mut letters, separator, &mut line).ok_or(CsvError::Quotes(begun))?);
            match letters.next() {
                Some(letter) if letter == separator => {}
                Some('\r') if letters.next_if_eq(&'\n').is_some() => break,
                _ => break,
            }
        }
        line += 1;
        if fields.iter().any(|field| !field.trim().is_empty()) {
            records.push((begun, fields));
        }
    }
    Ok(records)
}

/// One field, up to what ends it; none when its quotes are wrong.
fn field(letters: &mut Peekable<impl Iterator<Item = char>>, separator: char, line: &mut usize) -> Option<String> {
    let ends = |letter: &char| *letter == separator || *letter == '\n' || *letter == '\r';
    let mut field = String::new();
    if letters.next_if_eq(&'"').is_none() {
        while let Some(letter) = letters.next_if(|letter| !ends(letter)) {
            field.push(letter);
        }
        return Some(field);
    }
    loop {
        match letters.next()? {
            '"' if letters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => break,
            letter => {
                *line += usize::from(letter == '\n');
                field.push(letter);
            }
        }
    }
    letters.peek().is_none_or(ends).then_some(field)
}

/// Writes a line.
pub(super) fn line<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let fields: Vec<String> = fields.into_iter().map(quoted).collect();
    format!("{}\r\n", fields.join(","))
}

fn quoted(field: &str) -> String {
    if field.contains(['"', ',', ';', '\n', '\r']) || field.starts_with(' ') || field.ends_with(' ') {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Vec<(String, String)>> {
        let text_of = |value: Value| value.as_str().unwrap().to_owned();
        read(text, "b")
            .unwrap()
            .into_iter()
            .map(|row| row.into_iter().map(|(k, v)| (k, text_of(v))).collect())
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn what_spreadsheets_write_is_read() {
        let expected = vec![vec![pair("a", "1"), pair("b", "x, \"y\"\nz")], vec![pair("b", "2")]];
        assert_eq!(rows("a,b\n1,\"x, \"\"y\"\"\nz\"\n,2\n"), expected);
        assert_eq!(rows("\u{feff}A;B\r\n1;\"x, \"\"y\"\"\nz\"\r\n\r\n;2"), expected);
        assert_eq!(rows("a,b\n1\n"), [[pair("a", "1")]]);
        assert!(rows("a,b").is_empty());
    }

    #[test]
    fn what_is_no_table_says_where() {
        assert_eq!(read(" \n", "a"), Err(CsvError::NoHead));
        assert_eq!(read("a\n\n\"1", "a"), Err(CsvError::Quotes(3)));
        assert_eq!(read("a\n\"1\"2", "a"), Err(CsvError::Quotes(2)));
        assert_eq!(read("a,b\n\"1\n\",2\n1,2,3", "a"), Err(CsvError::TooMany(4)));
        assert_eq!(read("{}\n", "a"), Err(CsvError::NoColumn("a")));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let fields = ["+5511*", "a;b", " c ", "say \"hi\"\r\n", "", "d"];
        let head = line(["a", "b", "c", "d", "e", "f"]);
        let row: Vec<String> = read(&(head + &line(fields)), "a").unwrap()[0]
            .values()
            .map(|value| value.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(row, ["+5511*", "a;b", " c ", "say \"hi\"\r\n", "d"]);
    }
}
