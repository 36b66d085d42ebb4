//! The width of text on a screen, and its division into rows. Pure.
//!
//! All widths are in columns. For example, `wrap("a long text", 6)` gives the rows `a long` and `text`.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Indentation of a continued row, in columns.
const HANG: usize = 3;

/// Turns the narrow character before it into a wide emoji (Unicode's variation selector 16).
const EMOJI_STYLE: char = '\u{fe0f}';

/// Returns the columns of a text, counted as the line editor counts them, character by character.
pub(crate) fn width(text: &str) -> usize {
    text.chars().filter_map(UnicodeWidthChar::width).sum()
}

/// Appends spaces to the text up to `columns`.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Cuts the text to `columns`, with `…` in place of the missing part.
pub(crate) fn shorten(text: &str, columns: usize) -> String {
    if text.graphemes(true).map(most_columns).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 1;
    for cluster in text.graphemes(true) {
        used += most_columns(cluster);
        if used > columns {
            break;
        }
        short.push_str(cluster);
    }
    short.push('…');
    short
}

/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// Inserts a line end at each place where a screen of this width would break the text. The first row begins at column
/// `start`. Returns the text and the column after its end. A cluster that terminals measure differently counts with its
/// greatest width.
pub(crate) fn break_rows(text: &str, start: usize, columns: usize) -> (String, usize) {
    let mut broken = String::with_capacity(text.len());
    let mut used = start;
    for cluster in text.graphemes(true) {
        let wide = if cluster == "\t" { TAB - used % TAB } else { most_columns(cluster) };
        if cluster == "\n" {
            used = 0;
        } else if used + wide > columns {
            broken.push('\n');
            used = wide;
        } else {
            used += wide;
        }
        broken.push_str(cluster);
    }
    (broken, used)
}

/// Splits the text into rows of at most `columns`, at spaces if there are any. Never empty.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<&str> {
    wrap_rows(text, columns, columns)
}

/// Wraps a row of the program, perhaps with colours. Continued rows are indented, so that no quoted name or word can
/// look like a row of its own.
pub(crate) fn wrap_hanging(row: &str, columns: usize) -> Vec<String> {
    let rows = wrap_rows(row, columns, columns.saturating_sub(HANG));
    let indented = |(n, row): (usize, &str)| format!("{}{row}", " ".repeat(if n == 0 { 0 } else { HANG }));
    rows.into_iter().enumerate().map(indented).collect()
}

fn wrap_rows(text: &str, first: usize, others: usize) -> Vec<&str> {
    // A wide character needs two columns on any screen.
    let (first, others) = (first.max(2), others.max(2));
    let mut columns = first;
    let pieces = pieces(text, others);
    let (mut rows, mut start, mut left) = (Vec::new(), 0, pieces.as_slice());
    loop {
        let mut used = 0;
        let too_far = left.iter().position(|piece| {
            used += piece.columns;
            used > columns
        });
        let Some(too_far) = too_far else { break };
        let space = left[..=too_far].iter().rposition(|piece| piece.text == " ");
        // A word that continues on the next row must begin further left there.
        let space = space.filter(|space| columns_of(&left[..*space]) >= first - others);
        let (end, next) = space.map_or((too_far, too_far), |space| (space, space + 1));
        let length = |pieces: &[Piece<'_>]| pieces.iter().map(|piece| piece.text.len()).sum::<usize>();
        rows.push(text[start..start + length(&left[..end])].trim_end());
        start += length(&left[..next]);
        (left, columns) = (&left[next..], others);
    }
    rows.push(&text[start..]);
    rows
}

/// An indivisible part of a text: a letter with its marks, or a part of a colour sequence.
struct Piece<'a> {
    text: &'a str,
    columns: usize,
}

fn columns_of(pieces: &[Piece<'_>]) -> usize {
    pieces.iter().map(|piece| piece.columns).sum()
}

/// Splits a text into pieces. A cluster that is wider than a row is divided into characters.
fn pieces(text: &str, columns: usize) -> Vec<Piece<'_>> {
    let whole_or_apart = |cluster| {
        let apart = most_columns(cluster) > columns;
        str::split_inclusive(cluster, move |_| apart)
    };
    let mut colour = false;
    let piece = |text| {
        // Untrusted text contains no ESC any more, so this is a colour of the program, which ends with an m.
        colour |= text == "\x1b";
        let columns = if colour { 0 } else { most_columns(text) };
        colour &= !text.starts_with('m');
        Piece { text, columns }
    };
    text.graphemes(true).flat_map(whole_or_apart).map(piece).collect()
}

/// Returns the greatest width of a cluster: terminals count its characters, the whole, or each emoji in it.
fn most_columns(cluster: &str) -> usize {
    let emoji = cluster.matches(EMOJI_STYLE).count();
    cluster.width().max(width(cluster) + emoji)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wraps_at_spaces_and_inside_words_that_are_too_long() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefghijkl mn", 5), ["abcde", "fghij", "kl mn"]);
        assert_eq!(wrap("部屋部屋部", 4), ["部屋", "部屋", "部"]);
        assert_eq!(wrap("", 10), [""]);
    }

    #[test]
    fn long_joined_sequences_are_split() {
        let family = ["👩"; 30].join("\u{200d}");
        let rows = wrap(&family, 20);
        assert!(rows.iter().all(|row| width(row) <= 20), "{rows:?}");
        assert_eq!(rows.concat(), family);
    }

    #[test]
    fn a_row_is_short_enough_for_terminals_that_count_clusters() {
        let rows = wrap("❤\u{fe0f}❤\u{fe0f}❤\u{fe0f}❤\u{fe0f}", 4);
        assert_eq!(rows, ["❤\u{fe0f}❤\u{fe0f}", "❤\u{fe0f}❤\u{fe0f}"]);
        let rows = [format!("✗ {}", "x".repeat(18)), format!("   {}", "x".repeat(12))];
        assert_eq!(wrap_hanging(&format!("✗ {}", "x".repeat(30)), 20), rows);
    }

    #[test]
    fn continuation_rows_are_indented_and_colours_have_no_width() {
        assert_eq!(
            wrap_hanging("*** bob joined [12:00:00] <ana>", 15),
            ["*** bob joined", "   [12:00:00]", "   <ana>"]
        );
        assert_eq!(wrap_hanging("\x1b[33mabcd\x1b[0m", 4), ["\x1b[33mabcd\x1b[0m"]);
        assert_eq!(wrap_hanging("\x1b[33mabcdefg\x1b[0m", 5), ["\x1b[33mabcde", "   fg\x1b[0m"]);
    }

    #[test]
    fn breaks_where_any_screen_would() {
        let broken = |text, start| break_rows(text, start, 5);
        assert_eq!(broken("abcdefgh", 2), ("abc\ndefgh".into(), 5));
        assert_eq!(broken("ab\ncdefgh", 2), ("ab\ncdefg\nh".into(), 1));
        assert_eq!(broken("a部屋", 2), ("a部\n屋".into(), 2));
        assert_eq!(broken("部屋", 2), ("部\n屋".into(), 2));
        assert_eq!(broken("a\tb", 2), ("a\n\t\nb".into(), 1));
        assert_eq!(broken("a👩\u{200d}👧", 2), ("a\n👩\u{200d}👧".into(), 4));
        assert_eq!(broken("a", 5), ("\na".into(), 1));
    }

    #[test]
    fn shortens_to_the_given_columns() {
        assert_eq!(shorten("sala", 4), "sala");
        assert_eq!(shorten("sala de estar", 6), "sala …");
        assert_eq!(shorten("部屋部屋", 4), "部…");
    }

    proptest! {
        #[test]
        fn no_row_is_wider_than_the_screen_and_no_word_is_lost(text in "[a-zé部👩\u{200d}\u{301} ]{0,60}", columns in 2..30usize) {
            let rows = wrap(&text, columns);
            for row in &rows {
                prop_assert!(width(row) <= columns, "{:?}", rows);
            }
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&rows.concat()), letters(&text));
        }
    }
}
