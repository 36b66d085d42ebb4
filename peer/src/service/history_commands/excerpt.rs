//! An excerpt of a message that a search found. Pure.
//!
//! It is one row, with the hits between asterisks.

use crate::limits::{EXCERPT_BEFORE, EXCERPT_LETTERS};

/// Returns the excerpt around the first hit; `hits` are spans of characters, each with its end excluded.
pub(crate) fn excerpt(text: &str, hits: &[(usize, usize)]) -> String {
    let letters: Vec<char> = text.chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }).collect();
    let begin = match hits.first() {
        Some((first, _)) if letters.len() > EXCERPT_LETTERS => {
            let begin = first.saturating_sub(EXCERPT_BEFORE);
            begin.min(letters.len() - EXCERPT_LETTERS)
        }
        _ => 0,
    };
    let end = (begin + EXCERPT_LETTERS).min(letters.len());
    let mut shown = String::from(if begin > 0 { "…" } else { "" });
    for (at, letter) in letters.iter().enumerate().take(end).skip(begin) {
        // A hit that the excerpt cuts is marked as far as it is visible.
        let marks = |edge: fn(&(usize, usize)) -> usize| hits.iter().any(|hit| edge(hit) == at);
        if marks(|hit| hit.1) && at > begin {
            shown.push('*');
        }
        if marks(|hit| hit.0) {
            shown.push('*');
        }
        shown.push(*letter);
    }
    if hits.iter().any(|hit| hit.0 < end && hit.1 >= end) {
        shown.push('*');
    }
    if end < letters.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_whole_with_its_hits_marked() {
        assert_eq!(excerpt("o coração bate", &[(2, 9)]), "o *coração* bate");
        assert_eq!(excerpt("um dois", &[(0, 2), (3, 7)]), "*um* *dois*");
        assert_eq!(excerpt("two\nrows", &[(4, 8)]), "two *rows*");
        assert_eq!(excerpt("nothing", &[]), "nothing");
        assert_eq!(excerpt("", &[]), "");
    }

    #[test]
    fn a_long_text_is_cut_around_the_first_hit() {
        let text = format!("{} hit {}", "x".repeat(500), "y".repeat(500));
        let shown = excerpt(&text, &[(501, 504)]);
        assert!(shown.starts_with("…x") && shown.ends_with("y…") && shown.contains(" *hit* "), "{shown}");
        assert_eq!(shown.chars().count(), EXCERPT_LETTERS + 4);
        let end = excerpt(&text, &[(1000, 1005)]);
        assert!(end.ends_with("*yyyyy*"), "{end}");
        assert!(excerpt(&text, &[]).starts_with('x'));
        // Spans outside the text do no harm.
        assert_eq!(excerpt("ab", &[(5, 9)]), "ab");
    }
}
