//! The keys and values of a settings file.
//! The file is TOML without tables: each line gives one setting.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::limits::SETTINGS_FILE_MAX;
use crate::settings::error::SettingError;

/// A settings file whose syntax is correct. Its keys and values are not checked yet.
#[derive(Debug, Clone)]
pub struct SettingsFile {
    /// The path of the file, as the user gave it.
    pub path: PathBuf,
    /// The settings in the order of their lines.
    pub entries: Vec<Entry>,
}

/// A setting of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, with `_` between its words.
    pub key: String,
    /// The value as text, as it would follow the flag on the command line.
    pub value: String,
    /// The way in which the value is written.
    pub kind: Kind,
    /// The number of the line, counted from 1.
    pub line: usize,
}

/// The way in which a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text in quotation marks.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Boolean,
}

impl SettingsFile {
    /// Reads a settings file.
    pub fn read(path: &Path) -> Result<Self, Vec<SettingError>> {
        let failed = |text| vec![SettingError { file: path.to_owned(), line: None, text }];
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(SETTINGS_FILE_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| failed(format!("the settings cannot be read: {error}")))?;
        if bytes.len() as u64 > SETTINGS_FILE_MAX {
            return Err(failed(format!("a settings file may have at most {SETTINGS_FILE_MAX} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| failed("the file is not UTF-8 text".to_owned()))?;
        Self::parse(path, &text)
    }

    /// Parses the text of a settings file. Returns all errors at once.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<SettingError>> {
        let line =
            |span: Range<usize>| text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1);
        let error = |span: Range<usize>, text: String| SettingError {
            file: path.to_owned(),
            line: Some(line(span)),
            text,
        };
        let table = DeTable::parse(text).map_err(|wrong| {
            let message = wrong.message().escape_debug().to_string().replace("\\'", "'");
            vec![error(wrong.span().unwrap_or_default(), format!("this is not TOML: {message}"))]
        })?;
        let (mut entries, mut errors) = (Vec::new(), Vec::new());
        for (name, value) in table.into_inner() {
            let (span, key) = (name.span(), name.into_inner().into_owned());
            let (value, kind) = match value.into_inner() {
                DeValue::String(text) => (text.into_owned(), Kind::Text),
                DeValue::Integer(number) if number.radix() == 10 => {
                    (number.as_str().to_owned(), Kind::Number)
                }
                DeValue::Boolean(whether) => (whether.to_string(), Kind::Boolean),
                DeValue::Table(_) => {
                    let text =
                        format!("{key:?} is a table, and settings have none: give each as key = value");
                    errors.push(error(span, text));
                    continue;
                }
                _ => {
                    let text = format!(
                        "the value of {key:?} must be a text in quotation marks, a whole number, true or false"
                    );
                    errors.push(error(span, text));
                    continue;
                }
            };
            entries.push(Entry { key, value, kind, line: line(span) });
        }
        entries.sort_by_key(|entry| entry.line);
        errors.sort_by_key(|error| error.line);
        if errors.is_empty() { Ok(Self { path: path.to_owned(), entries }) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, String, usize)>, Vec<String>> {
        let file = SettingsFile::parse(Path::new("a.toml"), text);
        let file = file.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        Ok(file.entries.into_iter().map(|entry| (entry.key, entry.value, entry.line)).collect())
    }

    #[test]
    fn a_value_is_the_text_that_follows_the_flag() {
        let text =
            "# a comment\nlisten = \"[::1]:6060\"\n\nmax_sessions = 1_000 # more\nlimit_loopback = true\n";
        let found = parse(text).unwrap();
        let expected =
            [("listen", "[::1]:6060", 2), ("max_sessions", "1000", 4), ("limit_loopback", "true", 5)];
        assert_eq!(found, expected.map(|(key, value, line)| (key.to_owned(), value.to_owned(), line)));
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn an_error_of_syntax_names_the_file_and_the_line() {
        for (text, expected) in [
            ("a = 1\nb = \n", "a.toml, line 2: this is not TOML: "),
            ("a = 1\n\na = 2\n", "a.toml, line 3: this is not TOML: duplicate key"),
            (
                "a = 1\n[limits]\nb = 1\n",
                "a.toml, line 2: \"limits\" is a table, and settings have none: give each as",
            ),
            (
                "a.b = 1\n",
                "a.toml, line 1: \"a\" is a table, and settings have none: give each as key = value",
            ),
            (
                "a = 1.5\n",
                "a.toml, line 1: the value of \"a\" must be a text in quotation marks, a whole number",
            ),
            (
                "a = [1]\n",
                "a.toml, line 1: the value of \"a\" must be a text in quotation marks, a whole number",
            ),
            (
                "a = 0x10\n",
                "a.toml, line 1: the value of \"a\" must be a text in quotation marks, a whole number",
            ),
            ("\"\\u001b\" = 1.5\n", "a.toml, line 1: the value of \"\\u{1b}\" must be"),
        ] {
            let errors = parse(text).unwrap_err();
            assert!(errors[0].starts_with(expected), "{errors:?}");
            assert!(!errors[0].contains(char::is_control), "{errors:?}");
        }
        assert_eq!(parse("a = 1.5\nb = []\n").unwrap_err().len(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let read = |path: &Path| SettingsFile::read(path).unwrap_err()[0].to_string();
        assert!(
            read(Path::new("/nowhere/a.toml")).starts_with("/nowhere/a.toml: the settings cannot be read: ")
        );
    }
}
