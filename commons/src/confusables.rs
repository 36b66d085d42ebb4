//! Confusable names: different texts that look alike on a screen.
//!
//! The rules are those of Unicode Technical Standard 39. Two texts are confusable if their skeletons are equal. For
//! example, the Latin `oca` and the Cyrillic `оса` have the same skeleton, as have `paul1` and `paull`. A text mixes
//! scripts if its letters come from several scripts that no language writes together, such as Latin and Cyrillic.

use unicode_security::{GeneralSecurityProfile, RestrictionLevel, RestrictionLevelDetection};

/// The skeleton of a text (UTS 39, section 4). It is for comparison only, and never shown.
#[must_use]
pub fn skeleton(text: &str) -> String {
    if text.is_ascii() {
        return text.chars().fold(String::with_capacity(text.len() + 4), |mut skeleton, c| {
            match ascii_prototype(c) {
                Some(prototype) => skeleton.push_str(prototype),
                None => skeleton.push(c),
            }
            skeleton
        });
    }
    unicode_security::skeleton(text).collect()
}

/// The prototype of an ASCII character, if it is not the character itself. A tracker with a million users computes their
/// skeletons at its start, and most names are ASCII.
fn ascii_prototype(c: char) -> Option<&'static str> {
    match c {
        '0' => Some("O"),
        '1' | 'I' | '|' => Some("l"),
        'm' => Some("rn"),
        '"' => Some("''"),
        '`' => Some("'"),
        '%' => Some("°/₀"),
        _ => None,
    }
}

/// Whether a character may stand in an identifier (UTS 39, section 3.1). Obsolete, invisible and compatibility characters
/// may not.
#[must_use]
pub fn is_identifier(c: char) -> bool {
    c.identifier_allowed()
}

/// Whether the letters of any word of a text come from several scripts that no language writes together. A word may
/// mix Latin with Chinese, Japanese or Korean: the level "highly restrictive" of UTS 39, section 5.2.
#[must_use]
pub fn mixes_scripts(text: &str) -> bool {
    text.split(|c: char| !is_identifier(c) || c.is_ascii_punctuation())
        .any(|word| !word.check_restriction_level(RestrictionLevel::HighlyRestrictive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ascii_table_agrees_with_the_standard() {
        for c in (0..128u8).map(char::from) {
            let text = c.to_string();
            let standard: String = unicode_security::skeleton(&text).collect();
            assert_eq!(skeleton(&text), standard, "{c:?}");
        }
    }

    #[test]
    fn look_alikes_have_the_same_skeleton() {
        for (one, other) in
            [("oca", "оса"), ("paul1", "paull"), ("burn", "bum"), ("b0b", "bOb"), ("scope", "ѕсоре")]
        {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        for (one, other) in [("ana", "anna"), ("joao", "joão"), ("bob", "rob"), ("user10", "user11")] {
            assert_ne!(skeleton(one), skeleton(other), "{one} {other}");
        }
    }

    #[test]
    fn a_word_takes_its_letters_from_one_writing_system() {
        for good in [
            "ana",
            "joão",
            "łukasz",
            "李",
            "иван",
            "γιώργος",
            "אבא",
            "東京tower",
            "たろう2",
            "김철수",
            "a.b_c-d",
            "1º ano",
            "Team Москва",
            "🎉",
        ] {
            assert!(!mixes_scripts(good), "{good}");
        }
        for bad in ["аna", "раypal", "αlpha", "joãо", "Sala раypal"] {
            assert!(mixes_scripts(bad), "{bad}");
        }
    }
}
