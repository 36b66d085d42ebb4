//! Strings that would steer a terminal, hide, or pose as something else; and a judge of what became of a screen.

#![allow(unreachable_pub, reason = "one test file uses it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU16;

use vt100::{Callbacks, Cell, Color, Parser, Screen};

/// So many rows that nothing ever leaves the screen.
const ROWS: u16 = 8000;

/// The most marks that one letter may carry.
const MARKS: usize = 8;

/// The strings by family.
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

/// What a terminal does that is not on the screen.
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
        // The emulator calls this one unhandled, and shows it.
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

/// Everything that was written to a terminal, on one endless screen.
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

    /// The rows down to the one on which the cursor stands.
    fn rows(&self) -> Vec<Vec<Cell>> {
        (0..=self.parser.screen().cursor_position().0).map(|row| self.row(row)).collect()
    }

    /// What the rows say.
    pub fn texts(&self) -> Vec<String> {
        self.rows().iter().map(|row| text(row)).collect()
    }

    /// How the terminal is set, beside what it shows.
    fn modes(&self) -> String {
        let screen = self.parser.screen();
        let last_column = screen.cursor_position().1;
        format!("{:?} {last_column} {}", screen.input_mode_formatted(), screen.alternate_screen())
            + &format!(" {:?} {}", screen.attributes_formatted(), screen.hide_cursor())
    }
}

/// Where foreign text may stand, and how.
pub struct Area<'a> {
    /// Whether a row may begin so.
    pub own: &'a dyn Fn(&str) -> bool,
    /// From which column on the row is foreign text, without any colour; `None` where it is painted.
    pub text_from: Option<u16>,
}

/// What is wrong with the screen `after`: what was there `before` must still be there, with its last two rows, the
/// prompt, at the end; between them only rows of the area.
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

/// Directions, tags, and what has no width; written down here a second time, so that an error in the product's list is
/// not shared.
fn hides(c: char) -> bool {
    matches!(u32::from(c),
        0..=0x1f | 0x7f..=0x9f | 0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
        | 0x200b | 0x200e | 0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164 | 0xfe00..=0xfe0d
        | 0xfeff | 0xffa0 | 0xfff9..=0xfffb | 0xe000..=0xf8ff | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a
        | 0xe0000..=0xe0fff | 0xf0000..)
}
