//! Hostile strings that try to steer a terminal, hide, or imitate other text, and a check of the resulting screen.
//! The check emulates the terminal and compares its screen before and after the text.

#![allow(unreachable_pub, reason = "one test file uses it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU16;

use vt100::{Callbacks, Cell, Color, Parser, Screen};

/// Rows of the screen, enough that nothing scrolls off.
const ROWS: u16 = 8000;

/// Largest number of combining marks on one letter.
const MARKS: usize = 8;

/// The strings, each with its family.
pub fn strings() -> Vec<(&'static str, String)> {
    let mut family = "";
    let mut strings = Vec::new();
    for line in include_str!("strings.txt").lines() {
        match line.strip_prefix("# ") {
            Some(name) => family = name,
            None => strings.push((family, serde_json::from_str(line).unwrap())),
        }
    }
    strings
}

/// Effects on a terminal that are not visible on the screen.
#[derive(Default)]
struct Deeds(Vec<String>);

impl Callbacks for Deeds {
    fn audible_bell(&mut self, _: &mut Screen) {
        self.0.push("rings".to_owned());
    }

    fn resize(&mut self, _: &mut Screen, size: (u16, u16)) {
        self.0.push(format!("resizes to {size:?}"));
    }

    fn set_window_icon_name(&mut self, _: &mut Screen, name: &[u8]) {
        self.0.push(format!("icon {name:?}"));
    }

    fn set_window_title(&mut self, _: &mut Screen, title: &[u8]) {
        self.0.push(format!("title {title:?}"));
    }

    fn copy_to_clipboard(&mut self, _: &mut Screen, _: &[u8], data: &[u8]) {
        self.0.push(format!("copies {data:?}"));
    }

    fn paste_from_clipboard(&mut self, _: &mut Screen, _: &[u8]) {
        self.0.push("pastes".to_owned());
    }

    fn unhandled_char(&mut self, _: &mut Screen, c: char) {
        // The emulator reports this character as unhandled, but shows it.
        if c != char::REPLACEMENT_CHARACTER {
            self.0.push(format!("character {c:?}"));
        }
    }

    fn unhandled_control(&mut self, _: &mut Screen, byte: u8) {
        self.0.push(format!("control {byte}"));
    }

    fn unhandled_escape(&mut self, _: &mut Screen, _: Option<u8>, _: Option<u8>, byte: u8) {
        self.0.push(format!("escape {byte}"));
    }

    fn unhandled_csi(&mut self, _: &mut Screen, _: Option<u8>, _: Option<u8>, params: &[&[u16]], c: char) {
        self.0.push(format!("control sequence {params:?} {c}"));
    }

    fn unhandled_osc(&mut self, _: &mut Screen, params: &[&[u8]]) {
        self.0.push(format!("operating system command {params:?}"));
    }
}

/// All output to a terminal, on a screen that never scrolls.
pub struct Picture {
    parser: Parser<Deeds>,
    columns: u16,
}

impl Picture {
    pub fn of(bytes: &[u8], columns: u16) -> Self {
        Self::sized(bytes, ROWS, columns)
    }

    pub fn sized(bytes: &[u8], rows: u16, columns: u16) -> Self {
        let size = |length| NonZeroU16::new(length).unwrap();
        let mut parser = Parser::new_with_callbacks(size(rows), size(columns), 0, Deeds::default());
        parser.process(bytes);
        Self { parser, columns }
    }

    fn row(&self, row: u16) -> Vec<Cell> {
        let screen = self.parser.screen();
        (0..self.columns).map(|column| screen.cell(row, column).unwrap().clone()).collect()
    }

    /// The rows down to the cursor's row.
    fn rows(&self) -> Vec<Vec<Cell>> {
        (0..=self.parser.screen().cursor_position().0).map(|row| self.row(row)).collect()
    }

    /// The text of each row.
    pub fn texts(&self) -> Vec<String> {
        self.rows().iter().map(|row| text(row)).collect()
    }

    /// The modes of the terminal, in addition to its visible content.
    fn modes(&self) -> String {
        let screen = self.parser.screen();
        let last_column = screen.cursor_position().1;
        format!("{:?} {last_column} {}", screen.input_mode_formatted(), screen.alternate_screen())
            + &format!(" {:?} {}", screen.attributes_formatted(), screen.hide_cursor())
    }
}

/// The area in which text from others may be shown.
pub struct Area<'a> {
    /// Whether a row may begin with this text.
    pub own: &'a dyn Fn(&str) -> bool,
    /// The column from which text from others has no colour; `None` if it is coloured.
    pub text_from: Option<u16>,
}

/// Lists the errors on the screen `after`. The content of `before` must still be there, with its last two rows, the
/// prompt, at the end. All rows between them must belong to the area.
pub fn judge(before: &Picture, after: &Picture, area: &Area<'_>) -> Vec<String> {
    const PROMPT: usize = 2;
    let mut wrong = Vec::new();
    let (old, new) = (before.rows(), after.rows());
    let (above, prompt) = old.split_at(old.len() - PROMPT);
    if !new.starts_with(above) {
        wrong.push("something above has changed".to_owned());
    }
    if !new.ends_with(prompt) {
        let shown: Vec<_> = new.iter().rev().take(PROMPT).rev().map(|row| text(row)).collect();
        wrong.push(format!("the prompt has changed: {shown:#?}"));
    }
    if before.modes() != after.modes() {
        wrong.push(format!("the terminal is set otherwise: {} → {}", before.modes(), after.modes()));
    }
    let deeds = &after.parser.callbacks().0;
    if let Some(deed) = deeds.iter().find(|deed| !before.parser.callbacks().0.contains(deed)) {
        wrong.push(format!("the terminal did something: {deed}"));
    }
    for row in new.iter().skip(above.len()).take(new.len().saturating_sub(old.len())) {
        let shown = text(row);
        if !(area.own)(&shown) {
            wrong.push(format!("a row begins as another's: {shown:?}"));
        }
        for (column, cell) in (0..).zip(row) {
            if area.text_from.is_some_and(|from| column >= from) && is_painted(cell) {
                wrong.push(format!("text has colours: {shown:?}"));
                break;
            }
            if cell.bgcolor() != Color::Default || cell.inverse() || cell.underline() || cell.italic() {
                wrong.push(format!("colours that are not ours: {shown:?}"));
                break;
            }
            let marks = cell.contents().chars().skip(1).filter(|c| !matches!(c, '\u{200c}' | '\u{200d}'));
            if marks.count() > MARKS {
                wrong.push(format!("a tower of marks: {shown:?}"));
            }
        }
        if let Some(hidden) = shown.chars().find(|c| hides(*c)) {
            wrong.push(format!("{hidden:?} is not to be seen: {shown:?}"));
        }
    }
    wrong
}

fn is_painted(cell: &Cell) -> bool {
    cell.fgcolor() != Color::Default || cell.bold() || cell.dim()
}

fn text(row: &[Cell]) -> String {
    let shown = |cell: &Cell| match cell.contents() {
        "" if !cell.is_wide_continuation() => " ".to_owned(),
        shown => shown.to_owned(),
    };
    row.iter().map(shown).collect::<String>().trim_end().to_owned()
}

/// Whether a character is invisible or changes the direction of text. The list is written independently of the
/// product's, so that an error in one is not repeated in the other.
fn hides(c: char) -> bool {
    matches!(u32::from(c),
        0..=0x1f | 0x7f..=0x9f | 0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
        | 0x200b | 0x200e | 0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164 | 0xfe00..=0xfe0d
        | 0xfeff | 0xffa0 | 0xfff9..=0xfffb | 0xe000..=0xf8ff | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a
        | 0xe0000..=0xe0fff | 0xf0000..)
}
