//! Names of users and rooms.
//! They are parsed once at the edge and are valid everywhere behind it.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::confusables::{self, is_identifier, mixes_scripts, skeleton};
use crate::limits::{ACCENTS_MAX, ROOM_NAME_MAX, USERNAME_MAX};

/// Names that cannot be registered, because they would look like the program itself.
pub const RESERVED: [&str; 4] = ["system", "tracker", "server", "you"];

/// A user's name: 1 to 32 bytes of lower-case letters of one writing system, with their accents, `0–9 . _ -`. It starts
/// with a letter or a digit, is in NFC and is not [`RESERVED`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Username(Arc<str>);

/// A room's name: 1 to 64 printable characters in NFC, without space at either end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RoomName(Arc<str>);

/// Reason why a text is not a name. The message says how to correct it, and repeats no control character.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name needs at least one character")]
    Empty,
    /// The text is longer than the given number of characters.
    #[error("a name has at most {0} characters")]
    TooLong(usize),
    /// A user name is longer than the given number of bytes.
    #[error(
        "a name has at most {0} bytes: {0} letters from a to z, or about half as many of another alphabet"
    )]
    TooManyBytes(usize),
    /// The letters of a word come from several scripts.
    #[error("the letters of a name come from one alphabet: letters of another one can look the same")]
    MixedScripts,
    /// A letter has too many accents, or the same one twice.
    #[error("a letter of the name has too many accents")]
    Accents,
    /// The name looks like a reserved one.
    #[error("the name looks like {0}, which is reserved: choose another name")]
    LooksReserved(&'static str),
    /// A user name has capitals. The variant holds the corrected name.
    #[error("user names are lower-case: try {0}")]
    Capitals(String),
    /// The name has a character that is not allowed.
    #[error("a name cannot hold {odd:?}: {rule}")]
    Character {
        /// The character that is not allowed.
        odd: char,
        /// The characters that are allowed.
        rule: &'static str,
    },
    /// A user name begins with a punctuation mark.
    #[error("a user name starts with a letter or a digit")]
    Start,
    /// The name is one of [`RESERVED`].
    #[error("{0} is reserved: choose another name")]
    Reserved(String),
    /// The name is not in Unicode normalisation form C.
    #[error("the name is not in Unicode form NFC: type its accented letters as single characters")]
    NotNormalised,
    /// The name of a new room would look like a command or a user.
    #[error("a room name cannot start with {0}, which begins a {1}: leave it away")]
    Sigil(char, &'static str),
    /// The name starts or ends with a space.
    #[error("a name cannot start or end with a space")]
    EdgeSpace,
}

impl Username {
    /// Parses a user name. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > USERNAME_MAX {
            return Err(NameError::TooManyBytes(USERNAME_MAX));
        }
        // Names are parsed with every frame, and with every account at a start. Most need no further look.
        if is_plain(text) && !RESERVED.contains(&text) {
            return Ok(Self(text.into()));
        }
        // Capitals are easily corrected, so any other error is reported first.
        let lower = lower_case(text);
        if let Some(odd) = lower.chars().find(|c| !is_allowed(*c)) {
            let rule = "user names are made of letters, 0-9 . _ -";
            return Err(NameError::Character { odd, rule });
        }
        if !lower.starts_with(|c: char| c.is_ascii_alphanumeric() || is_letter(c)) {
            return Err(NameError::Start);
        }
        // ASCII has one script and no accents.
        if !text.is_ascii() {
            if has_odd_accents(&lower) {
                return Err(NameError::Accents);
            }
            if mixes_scripts(&lower) {
                return Err(NameError::MixedScripts);
            }
            if !is_nfc(text) {
                return Err(NameError::NotNormalised);
            }
        }
        if lower != text {
            return Err(NameError::Capitals(lower));
        }
        if RESERVED.contains(&text) {
            return Err(NameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// Parses the name of a new user, which must not look like a reserved one. Older users keep such a name.
    pub fn parse_new(text: &str) -> Result<Self, NameError> {
        let name = Self::parse(text)?;
        let skeleton = skeleton(text);
        match RESERVED.iter().find(|reserved| skeleton == confusables::skeleton(reserved)) {
            Some(reserved) => Err(NameError::LooksReserved(reserved)),
            None => Ok(name),
        }
    }
}

/// Whether a text consists of `a–z 0–9 . _ -` and starts with a letter or a digit.
fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

/// A text in lower case, in NFC.
fn lower_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).nfc().collect()
}

/// Whether a user name may hold a lower-case character.
fn is_allowed(c: char) -> bool {
    match c {
        'a'..='z' | '0'..='9' | '.' | '_' | '-' => true,
        _ => !c.is_ascii() && (is_letter(c) || is_accent(c)) && is_identifier(c),
    }
}

fn is_letter(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Letter
}

fn is_accent(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Mark
}

/// Whether a letter has more accents than [`ACCENTS_MAX`], or the same one twice (UTS 39, section 5.4).
fn has_odd_accents(text: &str) -> bool {
    let decomposed: Vec<char> = text.nfd().collect();
    decomposed.chunk_by(|_, next| is_accent(*next)).any(|letter| {
        let accents = letter.get(1..).unwrap_or_default();
        accents.len() > ACCENTS_MAX || accents.windows(2).any(|pair| pair[0] == pair[1])
    })
}

impl RoomName {
    /// Parses a room name. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text.chars().take(ROOM_NAME_MAX + 1).count() {
            0 => return Err(NameError::Empty),
            n if n > ROOM_NAME_MAX => return Err(NameError::TooLong(ROOM_NAME_MAX)),
            _ => {}
        }
        if let Some(odd) = text.chars().find(|c| !is_printable(*c)) {
            return Err(NameError::Character { odd, rule: "room names are made of printable characters" });
        }
        if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
            return Err(NameError::EdgeSpace);
        }
        if !is_nfc(text) {
            return Err(NameError::NotNormalised);
        }
        Ok(Self(text.into()))
    }

    /// Parses the name of a new room. It must not begin with `/` or `@`, as commands and users do in input and on
    /// screens, nor with a character that looks like them, and no word mixes scripts. Older rooms keep such a name.
    pub fn parse_new(text: &str) -> Result<Self, NameError> {
        let name = Self::parse(text)?;
        match skeleton(text).chars().next() {
            Some(sigil @ '/') => Err(NameError::Sigil(sigil, "command")),
            Some(sigil @ '@') => Err(NameError::Sigil(sigil, "private chat")),
            _ if mixes_scripts(text) => Err(NameError::MixedScripts),
            _ => Ok(name),
        }
    }
}

/// Whether a text is one printable line by the rule of room names. Accents may be separate characters.
#[must_use]
pub fn is_printable_line(text: &str) -> bool {
    text.chars().all(is_printable)
}

/// Whether a character is a letter, mark, number, punctuation, symbol or plain space. Control, format, private and
/// unassigned characters and line separators are not allowed, because a name must neither steer a terminal nor be
/// invisible.
fn is_printable(c: char) -> bool {
    match c.general_category_group() {
        GeneralCategoryGroup::Other => false,
        GeneralCategoryGroup::Separator => !matches!(c, '\u{2028}' | '\u{2029}'),
        _ => true,
    }
}

macro_rules! text_name {
    ($($name:ident),*) => {$(
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        // Sound, because Eq, Ord and Hash of the name are those of its text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}

text_name!(Username, RoomName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_take_the_letters_of_one_alphabet() {
        for good in
            ["a", "ana", "0x", "a.b_c-d", "joão", "łukasz", "李", "иван", "たろう", "straße", &"a".repeat(32)]
        {
            assert_eq!(Username::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(Username::parse(""), Err(NameError::Empty));
        assert_eq!(Username::parse(&"a".repeat(33)), Err(NameError::TooManyBytes(32)));
        assert_eq!(Username::parse(&"李".repeat(11)), Err(NameError::TooManyBytes(32)));
        assert_eq!(Username::parse("-a"), Err(NameError::Start));
        assert_eq!(Username::parse("\u{301}a"), Err(NameError::Start));
        assert_eq!(Username::parse("tracker"), Err(NameError::Reserved("tracker".into())));
        assert_eq!(Username::parse("joa\u{303}o"), Err(NameError::NotNormalised));
        assert_eq!(Username::parse("q\u{301}\u{301}"), Err(NameError::Accents));
        for odd in [' ', '@', '/', '\u{1b}', '\u{200d}', '\u{202e}', '½', 'ﬁ', '𝓪', '🎉', '٣'] {
            let refused = Username::parse(&format!("a{odd}b"));
            assert!(matches!(refused, Err(NameError::Character { .. })), "{odd:?} {refused:?}");
        }
    }

    #[test]
    fn user_names_do_not_mix_alphabets() {
        // The first letter is the Cyrillic one.
        assert_eq!(Username::parse("аna"), Err(NameError::MixedScripts));
        assert_eq!(Username::parse("раypal"), Err(NameError::MixedScripts));
        assert_eq!(Username::parse("東京tower").unwrap().as_str(), "東京tower");
    }

    #[test]
    fn a_new_name_does_not_look_like_a_reserved_one() {
        assert_eq!(Username::parse_new("systern"), Err(NameError::LooksReserved("system")));
        assert_eq!(
            Username::parse("systern").unwrap().as_str(),
            "systern",
            "a user from earlier keeps the name"
        );
        assert_eq!(Username::parse_new("ana").unwrap().as_str(), "ana");
    }

    #[test]
    fn capitals_come_with_the_name_to_type_instead() {
        let error = Username::parse("Ana").unwrap_err();
        assert_eq!(error, NameError::Capitals("ana".into()));
        assert!(error.to_string().contains("try ana"));
        assert_eq!(Username::parse("JOÃO"), Err(NameError::Capitals("joão".into())));
    }

    #[test]
    fn room_names_are_printable_and_normalised() {
        for good in ["sala", "sala de estar", "São João", "部屋", "🎉", &"x".repeat(64)] {
            assert_eq!(RoomName::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(RoomName::parse(" sala"), Err(NameError::EdgeSpace));
        assert_eq!(RoomName::parse("sala\u{3000}"), Err(NameError::EdgeSpace));
        assert_eq!(RoomName::parse("Sa\u{303}o"), Err(NameError::NotNormalised));
        assert_eq!(RoomName::parse(&"x".repeat(65)), Err(NameError::TooLong(64)));
        for bad in ['\n', '\u{7f}', '\u{9b}', '\u{202e}', '\u{200b}', '\u{2028}', '\u{e000}', '\u{e0041}'] {
            let text = format!("sa{bad}la");
            assert!(matches!(RoomName::parse(&text), Err(NameError::Character { odd, .. }) if odd == bad));
        }
    }

    #[test]
    fn a_new_room_is_not_named_like_a_command_or_a_user() {
        for bad in ["/quit", "@bob", "/", "@", "⁄quit", "∕quit"] {
            let error = RoomName::parse_new(bad).unwrap_err();
            assert!(matches!(error, NameError::Sigil(..)), "{bad}");
            assert_eq!(RoomName::parse(bad).unwrap().as_str(), bad, "a room from earlier keeps its name");
        }
        assert_eq!(RoomName::parse_new("a/b@c").unwrap().as_str(), "a/b@c");
        assert_eq!(RoomName::parse_new("Sala раypal"), Err(NameError::MixedScripts));
        assert_eq!(RoomName::parse_new("Team Москва 1º").unwrap().as_str(), "Team Москва 1º");
        assert_eq!(RoomName::parse_new(""), Err(NameError::Empty));
    }

    #[test]
    fn no_error_repeats_a_control_character() {
        let text = RoomName::parse("a\u{1b}]0;x\u{7}").unwrap_err().to_string();
        assert!(!text.contains('\u{1b}'));
    }
}
