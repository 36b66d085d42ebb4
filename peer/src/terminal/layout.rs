//! How wide text is on a screen, and how it is cut to fit: pure, in columns.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Indentation of what goes on below a row of ours.
const HANG: usize = 3;

/// Columns of a text, counted as the line editor counts them, character by character.
pub(crate) fn width(text: &str) -> usize {
    text.chars().filter_map(UnicodeWidthChar::width).sum()
}

/// The text with spaces behind it up to `columns`.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// The text cut to `columns`, with `…` where something is missing.
pub(crate) fn shorten(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 1;
    for cluster in text.graphemes(true) {
        used += width(cluster);
        if used > columns {
            break;
        }
        short.push_str(cluster);
    }
    short.push('…');
    short
}

/// The text with a line end wherever a screen of so many columns would break it, the first row beginning at column
/// `start`. `None` where terminals count differently, and so have to break it themselves.
pub(crate) fn break_rows(text: &str, start: usize, columns: usize) -> Option<String> {
    let mut broken = String::with_capacity(text.len());
    let mut used = start;
    for cluster in text.graphemes(true) {
        let wide = width(cluster);
        if cluster == "\n" {
            used = 0;
        } else if cluster.contains('\t') || wide != cluster.width() {
            return None;
        } else if used + wide > columns {
            broken.push('\n');
            used = wide;
        } else {
            used += wide;
        }
        broken.push_str(cluster);
    }
    Some(broken)
}

/// The text in rows of at most `columns`, broken at spaces where there are any. Never empty.
pub(crate) fn fold(text: &str, columns: usize) -> Vec<&str> {
    fold_rows(text, columns, columns)
}

/// A row of ours, painted perhaps, folded to the screen; what goes on below is indented, so that no name or word that is
/// quoted in it can look like a row of its own.
pub(crate) fn hang(row: &str, columns: usize) -> Vec<String> {
    let rows = fold_rows(row, columns, columns.saturating_sub(HANG));
    let indented = |(n, row): (usize, &str)| format!("{}{row}", " ".repeat(if n == 0 { 0 } else { HANG }));
    rows.into_iter().enumerate().map(indented).collect()
}

fn fold_rows(text: &str, first: usize, others: usize) -> Vec<&str> {
    // A wide character needs two columns however narrow the screen.
    let (first, others) = (first.max(2), others.max(2));
    let mut columns = first;
    let mut rows = Vec::new();
    let (mut start, mut used, mut space) = (0, 0, None);
    for (at, cluster, wide) in clusters(text, others) {
        if used + wide > columns && cluster == " " {
            rows.push(&text[start..at]);
            (start, used, space, columns) = (at + 1, 0, None, others);
            continue;
        }
        // Broken at the last space, what follows it may still be too long.
        while used + wide > columns {
            let end = space.take().unwrap_or(at);
            rows.push(text[start..end].trim_end());
            (start, used, columns) = (end, painted_width(&text[end..at]), others);
        }
        used += wide;
        if cluster == " " {
            space = Some(at + 1);
        }
    }
    rows.push(&text[start..]);
    rows
}

/// What is not broken, with its place and its columns: letters with their marks. What is joined without end has no place
/// on a row, and is taken apart; colours take none.
fn clusters(text: &str, columns: usize) -> impl Iterator<Item = (usize, &str, usize)> {
    let whole_or_apart = move |cluster| {
        let apart = width(cluster) > columns;
        cluster.split_inclusive(move |_| apart)
    };
    let (mut next, mut colour) = (0, false);
    text.graphemes(true).flat_map(whole_or_apart).map(move |piece| {
        let at = next;
        next += piece.len();
        // Foreign text has lost its ESC: what begins so is ours, and ends with an m.
        colour |= piece == "\x1b";
        let wide = if colour { 0 } else { width(piece) };
        colour &= !piece.starts_with('m');
        (at, piece, wide)
    })
}

fn painted_width(text: &str) -> usize {
    clusters(text, usize::MAX).map(|(_, _, wide)| wide).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folds_at_spaces_and_inside_words_that_are_too_long() {
        assert_eq!(fold("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(fold("abcdefghijkl mn", 5), ["abcde", "fghij", "kl mn"]);
        assert_eq!(fold("部屋部屋部", 4), ["部屋", "部屋", "部"]);
        assert_eq!(fold("", 10), [""]);
    }

    #[test]
    fn what_is_joined_without_end_is_taken_apart() {
        let family = ["👩"; 30].join("\u{200d}");
        let rows = fold(&family, 20);
        assert!(rows.iter().all(|row| width(row) <= 20), "{rows:?}");
        assert_eq!(rows.concat(), family);
    }

    #[test]
    fn what_goes_on_below_is_indented_and_colours_take_no_place() {
        assert_eq!(
            hang("*** bob joined [12:00:00] <ana>", 15),
            ["*** bob joined", "   [12:00:00]", "   <ana>"]
        );
        assert_eq!(hang("\x1b[33mabcd\x1b[0m", 4), ["\x1b[33mabcd\x1b[0m"]);
        assert_eq!(hang("\x1b[33mabcdefg\x1b[0m", 5), ["\x1b[33mabcde", "   fg\x1b[0m"]);
    }

    #[test]
    fn breaks_where_a_screen_would_or_leaves_it_to_the_screen() {
        assert_eq!(break_rows("abcdefgh", 2, 5).unwrap(), "abc\ndefgh");
        assert_eq!(break_rows("ab\ncdefgh", 2, 5).unwrap(), "ab\ncdefg\nh");
        assert_eq!(break_rows("a部屋", 2, 5).unwrap(), "a部\n屋");
        assert_eq!(break_rows("部屋", 2, 5).unwrap(), "部\n屋");
        assert_eq!((break_rows("a\tb", 2, 5), break_rows("👩\u{200d}👧", 2, 5)), (None, None));
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
            let rows = fold(&text, columns);
            for row in &rows {
                prop_assert!(width(row) <= columns, "{:?}", rows);
            }
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&rows.concat()), letters(&text));
        }
    }
}
