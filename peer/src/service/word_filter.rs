//! The word filter: words and expressions that a user wants neither to send nor to see. Pure.
//!
//! Each line of its file holds one word, or an expression between slashes; `#` begins a comment. Case does not count. A
//! word matches where it stands alone. Example: `spam` matches `Spam!`, and not `spammer`; `/spam+/` matches both.

use regex::{Regex, RegexBuilder};
use unicode_normalization::UnicodeNormalization;

use crate::api::bad_line::BadLine;
use crate::limits::{FILTER_EXPRESSION_BYTES, FILTER_FILE_MAX, FILTER_LINES_MAX};

/// The words and expressions of a filter file.
#[derive(Debug, Default)]
pub(crate) struct WordFilter {
    /// Each with its text in the file.
    patterns: Vec<(String, Regex)>,
    bad: Vec<BadLine>,
}

impl WordFilter {
    /// Reads the content of a file. A line that is no word and no expression is left out and noted.
    pub(crate) fn parse(content: &[u8]) -> Self {
        let mut filter = Self::default();
        let mut end = 0;
        for (line, number) in content.split(|byte| *byte == b'\n').zip(1..) {
            end += line.len();
            if end > FILTER_FILE_MAX {
                let reason =
                    format!("the file has more than {FILTER_FILE_MAX} bytes. All later lines are left out");
                filter.bad.push(BadLine { line: number, reason });
                break;
            }
            end += 1;
            if let Err(reason) = filter.add(line) {
                filter.bad.push(BadLine { line: number, reason });
            }
            if filter.bad.len() == FILTER_LINES_MAX {
                break;
            }
        }
        filter
    }

    /// Adds the word or the expression of a line, or returns what is wrong with it.
    fn add(&mut self, line: &[u8]) -> Result<(), String> {
        let line = str::from_utf8(line).map_err(|_| "this is not UTF-8 text")?.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if self.patterns.len() == FILTER_LINES_MAX {
            return Err(format!("a filter has at most {FILTER_LINES_MAX} words"));
        }
        let pattern = compile(line).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "this expression is too large",
            _ => "this is no regular expression",
        })?;
        self.patterns.push((line.to_owned(), pattern));
        Ok(())
    }

    /// Returns the first word or expression that a text contains.
    pub(crate) fn hit(&self, text: &str) -> Option<&str> {
        if self.patterns.is_empty() {
            return None;
        }
        let text = &composed(text);
        self.patterns.iter().find(|(_, pattern)| pattern.is_match(text)).map(|(line, _)| line.as_str())
    }

    /// The number of words and expressions.
    pub(crate) fn len(&self) -> usize {
        self.patterns.len()
    }

    /// The lines that were left out.
    pub(crate) fn bad(&self) -> &[BadLine] {
        &self.bad
    }
}

/// Composes accented letters (NFC): keyboards differ in how they produce them.
fn composed(text: &str) -> String {
    text.nfc().collect()
}

fn compile(line: &str) -> Result<Regex, regex::Error> {
    let line = &composed(line);
    let expression = line.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    let pattern = match expression {
        Some(expression) if !expression.is_empty() => expression.to_owned(),
        _ => format!(r"\b{{start-half}}{}\b{{end-half}}", regex::escape(line)),
    };
    RegexBuilder::new(&pattern)
        .case_insensitive(true)
        .size_limit(FILTER_EXPRESSION_BYTES)
        .dfa_size_limit(FILTER_EXPRESSION_BYTES)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_matches_whole_words() {
        let filter = WordFilter::parse("# mine\r\n\nspam\r\n  São João  \nc++\n".as_bytes());
        assert_eq!(filter.len(), 3);
        for text in ["Spam!", "no SPAM here", "«spam»"] {
            assert_eq!(filter.hit(text), Some("spam"), "{text}");
        }
        assert_eq!(filter.hit("em são joão, amanhã"), Some("São João"));
        assert_eq!(filter.hit("Sa\u{303}o Joa\u{303}o"), Some("São João"), "accents apart");
        assert_eq!(filter.hit("I like C++."), Some("c++"));
        for text in ["spammer", "antispam", "mine", "", "são", "éspam"] {
            assert_eq!(filter.hit(text), None, "{text}");
        }
    }

    #[test]
    fn expression_between_slashes_matches_anywhere() {
        let filter = WordFilter::parse(b"/b[ua]y+/\n/\n//");
        assert_eq!(filter.hit("rubuyyy"), Some("/b[ua]y+/"));
        assert_eq!(filter.hit("a / b"), Some("/"), "a slash alone is a word");
        assert_eq!(filter.hit("bey"), None);
    }

    #[test]
    fn bad_line_is_named_and_left_out() {
        let filter = WordFilter::parse(b"spam\n/(/\n/(a{1000}){1000}/\n\xff\nham");
        let bad: Vec<_> = filter.bad().iter().map(|bad| (bad.line, bad.reason.as_str())).collect();
        assert_eq!(
            bad,
            [
                (2, "this is no regular expression"),
                (3, "this expression is too large"),
                (4, "this is not UTF-8 text")
            ]
        );
        assert_eq!((filter.hit("ham"), filter.len()), (Some("ham"), 2));
    }

    #[test]
    fn words_beyond_the_bounds_are_left_out_with_a_reason() {
        let many = |words| WordFilter::parse("x\n".repeat(words).as_bytes());
        assert_eq!(many(FILTER_LINES_MAX).bad(), [], "the control");
        assert_eq!(many(FILTER_LINES_MAX + 1).bad()[0].line, FILTER_LINES_MAX + 1);
        let long = |blanks| WordFilter::parse(format!("spam\n{}\nham", " ".repeat(blanks)).as_bytes());
        let rest = "spam\n\nham".len();
        assert_eq!(
            (long(FILTER_FILE_MAX - rest).len(), long(FILTER_FILE_MAX - rest).bad()),
            (2, [].as_slice())
        );
        let cut = long(FILTER_FILE_MAX - rest + 1);
        assert_eq!((cut.len(), cut.bad()[0].line), (1, 3), "no part of a word is a word");
    }
}
