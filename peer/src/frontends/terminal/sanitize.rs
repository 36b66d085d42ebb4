//! The sanitizer: it makes untrusted text safe for a screen.
//!
//! It replaces each character that could control the terminal or be invisible by a visible escape. All text from others
//! passes this one function before it is shown: chat text, room names, error messages. For example, ESC becomes
//! `\u{1b}`.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::limits::COMBINING_MARKS;
use crate::untrusted::{AsUntrusted, UntrustedText};

/// The replacement of a tab, whose width must not depend on its column.
const TAB: &str = "    ";

/// Returns the text on one row. Control, format, private and unassigned characters, line separators and blank letters
/// become `\u{…}`. A line feed becomes `
/// `, tabs become spaces, and a letter keeps at most [`COMBINING_MARKS`] marks.
#[must_use]
pub fn sanitize(text: &(impl AsUntrusted + ?Sized)) -> String {
    one_row(text.expose())
}

/// Sanitizes text of several lines, one row for each line.
#[must_use]
pub fn display_safe_lines(text: &UntrustedText) -> Vec<String> {
    let lines = text.expose().trim_end().split('\n');
    lines.map(|line| one_row(line.strip_suffix('\r').unwrap_or(line))).collect()
}

fn one_row(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut marks = 0;
    let mut before = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        marks = if is_mark(c) { marks + 1 } else { 0 };
        match c {
            '\t' => safe.push_str(TAB),
            '\n' => safe.push_str("\\n"),
            '\u{200c}' | '\u{200d}' if joins(before) && follows(rest.clone().next()) => safe.push(c),
            _ if is_hidden(c) => safe.extend(c.escape_unicode()),
            _ if marks > COMBINING_MARKS => {}
            _ => safe.push(c),
        }
        before = Some(c);
    }
    safe
}

/// Returns true if a character is invisible, or controls the display.
fn is_hidden(c: char) -> bool {
    // Most text is ASCII, and the lookup in Unicode tables is slow.
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    match c.general_category_group() {
        GeneralCategoryGroup::Other => true,
        GeneralCategoryGroup::Separator => matches!(c, '\u{2028}' | '\u{2029}'),
        _ => is_blank_letter(c),
    }
}

/// Returns true for letters and marks that Unicode calls ignorable: they leave no trace on the screen.
fn is_blank_letter(c: char) -> bool {
    matches!(c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
        | '\u{3164}' | '\u{ffa0}' | '\u{fe00}'..='\u{fe0d}' | '\u{e0100}'..='\u{e01ef}')
}

fn is_mark(c: char) -> bool {
    !c.is_ascii() && c.general_category_group() == GeneralCategoryGroup::Mark
}

/// Returns true if a joiner may stand beside this character: inside an emoji, or between letters of some scripts.
fn joins(c: Option<char>) -> bool {
    c.is_some_and(|c| {
        !c.is_ascii() && !is_hidden(c) && c.general_category() != GeneralCategory::SpaceSeparator
    })
}

fn follows(c: Option<char>) -> bool {
    joins(c) && !c.is_some_and(is_mark)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_and_invisible_characters_become_visible() {
        for (text, shown) in [
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\rb\u{7}\u{7f}", "a\\u{d}b\\u{7}\\u{7f}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("two\nlines\tand tab", "two\\nlines    and tab"),
            ("\u{202e}evil\u{2066}", "\\u{202e}evil\\u{2066}"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("a\u{200d}b", "a\\u{200d}b"),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            ("\u{e0041}\u{ad}\u{3164}", "\\u{e0041}\\u{ad}\\u{3164}"),
        ] {
            assert_eq!(sanitize(text), shown);
        }
    }

    #[test]
    fn ordinary_text_is_unchanged() {
        for text in ["olá, São João", "部屋 한국어", "👩‍👩‍👧 ❤️ 🇧🇷 👋🏿 1️⃣", "می‌خواهم", "e\u{301}", "a\u{a0}b", ""]
        {
            assert_eq!(sanitize(text), text);
        }
    }

    #[test]
    fn a_letter_carries_eight_marks_at_most() {
        let heap = format!("z{}a", "\u{301}".repeat(50));
        assert_eq!(sanitize(&heap), format!("z{}a", "\u{301}".repeat(COMBINING_MARKS)));
    }

    fn hostile() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec![
            '\u{1b}',
            '\n',
            '\t',
            '\u{9b}',
            '\u{200d}',
            '\u{200c}',
            '\u{301}',
            '\u{fe0f}',
            '\u{202e}',
            '\u{e0041}',
            '\u{e000}',
            '👩',
            'é',
            'a',
            ' ',
            '\\',
            '{',
            '\u{3000}',
        ]);
        prop::collection::vec(prop_oneof![odd, any::<char>()], 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn is_idempotent_and_lets_nothing_through(text in hostile()) {
            let safe = sanitize(&text);
            prop_assert_eq!(&sanitize(&safe), &safe);
            for c in safe.chars() {
                let joiner = matches!(c, '\u{200c}' | '\u{200d}');
                prop_assert!(joiner || !is_hidden(c), "{:?} in {:?}", c, safe);
            }
        }
    }
}
