//! The process environment over a `.env` file.
//!
//! The file's grammar is the common one: `KEY=value`, `export KEY=value`, `'literal'`,
//! `"with \n \t \" \\"`, `#` comments. There is no interpolation: a `$` is a `$`.

use std::{collections::HashMap, io::ErrorKind, path::Path};

use super::{ConfigError, Settings};

/// The real environment, and below it the `.env` file of the working folder.
#[derive(Clone, Debug, Default)]
pub struct ProcessSettings {
    file: DotEnv,
}

impl ProcessSettings {
    /// Reads `.env` of the working folder, if there is one.
    ///
    /// Lines that cannot be read are kept for [`ProcessSettings::warn_about_skipped_lines`],
    /// since nothing can be logged before the settings say how.
    ///
    /// # Errors
    /// When the file is there and cannot be read: going on without it would use other settings.
    pub fn load() -> Result<Self, ConfigError> {
        Self::over_file(Path::new(".env"))
    }

    fn over_file(path: &Path) -> Result<Self, ConfigError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Self { file: parse(&String::from_utf8_lossy(&bytes)) }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ConfigError::bad(".env", format!("the file cannot be read ({})", error.kind()))),
        }
    }

    /// Logs one warning per line of `.env` that could not be read; call it once logging is on.
    pub fn warn_about_skipped_lines(&self) {
        for line in &self.file.skipped {
            tracing::warn!(file.name = ".env", file.line = line, "this line is not KEY=value and was skipped");
        }
    }
}

impl Settings for ProcessSettings {
    fn get(&self, name: &str) -> Option<String> {
        let real = std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        real.or_else(|| Settings::get(&self.file.values, name))
    }
}

/// What a `.env` file says.
#[derive(Clone, Default)]
struct DotEnv {
    values: HashMap<String, String>,
    /// The numbers of the lines that could not be read, from 1.
    skipped: Vec<usize>,
}

/// The values may be secrets, so only the names show.
impl std::fmt::Debug for DotEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DotEnv").field("names", &self.values.keys()).field("skipped", &self.skipped).finish()
    }
}

fn parse(text: &str) -> DotEnv {
    let mut file = DotEnv::default();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match parse_line(line) {
            Some((name, value)) => {
                file.values.insert(name.to_owned(), value);
            }
            None => file.skipped.push(index + 1),
        }
    }
    file
}

fn parse_line(line: &str) -> Option<(&str, String)> {
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let mut letters = name.chars();
    let starts_well = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    Some((name, parse_value(value.trim())?))
}

fn parse_value(value: &str) -> Option<String> {
    if let Some(quoted) = value.strip_prefix('\'') {
        let (inner, rest) = quoted.split_once('\'')?;
        return only_comment(rest).then(|| inner.to_owned());
    }
    if let Some(quoted) = value.strip_prefix('"') {
        return parse_double_quoted(quoted);
    }
    if value.starts_with('#') {
        return Some(String::new());
    }
    // An unquoted value ends at a `#` that follows a blank, so that `a#b` stays whole.
    let end = value
        .char_indices()
        .zip(value.chars().skip(1))
        .find_map(|((at, before), c)| (c == '#' && before.is_whitespace()).then_some(at));
    Some(value[..end.unwrap_or(value.len())].trim_end().to_owned())
}

fn parse_double_quoted(quoted: &str) -> Option<String> {
    let mut value = String::new();
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => return only_comment(rest.as_str()).then_some(value),
            '\\' => match rest.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                c @ ('"' | '\\' | '$') => value.push(c),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

fn only_comment(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &str) -> Option<String> {
        parse(line).values.remove("A")
    }

    #[test]
    fn values_are_read_as_other_tools_read_them() {
        for (line, expected) in [
            ("A=1", "1"),
            ("  export A = 1  ", "1"),
            ("A=a b # why", "a b"),
            ("A=a#b", "a#b"),
            ("A=#only a comment", ""),
            ("A='$x # y' # z", "$x # y"),
            (r#"A="a\n\"b\" \\ \q" # z"#, "a\n\"b\" \\ \\q"),
            ("A=https://x/?a=b&c=d", "https://x/?a=b&c=d"),
            ("A=é # ü", "é"),
            ("\u{feff}A=1", "1"),
            ("A=1\r\nA=2\r\n", "2"),
        ] {
            assert_eq!(value(line).as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn unreadable_lines_are_numbered_and_skipped() {
        let file = parse("A=1\nno sign\n# fine\n\n1A=2\nB='open\nC=\"x\" y\nD=\"open\nE=2");
        assert_eq!(file.skipped, [2, 5, 6, 7, 8]);
        assert_eq!(file.values.len(), 2);
    }

    #[test]
    fn values_never_show_in_debug() {
        let settings = ProcessSettings { file: parse("KEY=planted-secret") };
        let shown = format!("{settings:?}");
        assert!(shown.contains("KEY") && !shown.contains("planted-secret"));
    }

    #[test]
    fn a_missing_file_is_empty_and_a_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ProcessSettings::over_file(&folder.path().join("none")).is_ok());
        assert!(ProcessSettings::over_file(folder.path()).is_err());
    }

    #[test]
    fn the_real_environment_wins_and_blank_counts_as_unset() {
        let settings = ProcessSettings { file: parse("PATH=nowhere\nOMNIHUB_TEST_BLANK=\"  \"") };
        assert_ne!(settings.get("PATH").as_deref(), Some("nowhere"));
        assert_eq!(settings.get("OMNIHUB_TEST_BLANK"), None);
    }
}
