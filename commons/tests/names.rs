//! Property tests of names.
//! For any input, an accepted name is safe, stable and equal after a round trip over the wire.

use std::borrow::Borrow;
use std::fmt::Debug;

use commons::confusables::mixes_scripts;
use commons::limits::{ROOM_NAME_MAX, USERNAME_MAX};
use commons::names::{NameError, RESERVED, RoomName, Username};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::is_nfc;

/// Any text, with a preference for texts that resemble names.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z0-9._-]{0,34}",
        "[A-Za-z0-9._ -]{0,66}",
        "[a-zà-ÿа-яα-ω\u{300}-\u{305}א-ת一-三あ-うﬀ-ﬆ٠-٩._-]{0,12}",
        "\\PC{0,70}",
        "[a-z \u{0}-\u{1f}\u{7f}-\u{a0}\u{300}-\u{305}\u{200b}-\u{202e}\u{e0001}]{0,8}",
        proptest::sample::select(&RESERVED[..]).prop_map(str::to_owned),
    ]
}

/// Checks the properties of either kind of name, accepted or refused. Returns an accepted name as text.
fn judged<N>(text: &str, parsed: Result<N, NameError>) -> Result<Option<String>, TestCaseError>
where
    N: Borrow<str> + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let wire: Result<N, _> = serde_json::from_value(text.into());
    match parsed {
        Ok(name) => {
            prop_assert_eq!(name.borrow(), text, "a name is taken as it was typed");
            prop_assert!(!text.is_empty() && !text.chars().any(char::is_control));
            prop_assert_eq!(text.trim(), text);
            prop_assert_eq!(serde_json::to_value(&name).ok(), Some(text.into()));
            prop_assert_eq!(wire.ok(), Some(name));
            Ok(Some(text.to_owned()))
        }
        Err(error) => {
            prop_assert!(wire.is_err(), "the wire takes what the keyboard may not type");
            let words = error.to_string();
            prop_assert!(!words.chars().any(char::is_control), "{:?}", words);
            Ok(None)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn user_names_never_panic_and_hold_what_they_promise(text in text()) {
        if let Some(name) = judged(&text, Username::parse(&text))? {
            prop_assert!(name.len() <= USERNAME_MAX);
            let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-') || is_combining_mark(c);
            prop_assert!(name.chars().all(plain), "{:?}", name);
            prop_assert!(!name.starts_with(['.', '_', '-']));
            prop_assert!(is_nfc(&name) && !name.chars().any(char::is_uppercase));
            prop_assert!(!mixes_scripts(&name));
            prop_assert!(!RESERVED.contains(&name.as_str()));
        }
    }

    #[test]
    fn every_name_of_the_documented_form_is_taken(text in "[a-z0-9][a-z0-9._-]{0,31}") {
        prop_assume!(!RESERVED.contains(&text.as_str()));
        prop_assert!(Username::parse(&text).is_ok());
        prop_assert!(RoomName::parse(&text).is_ok());
    }

    #[test]
    fn room_names_never_panic_and_hold_what_they_promise(text in text()) {
        if let Some(name) = judged(&text, RoomName::parse(&text))? {
            prop_assert!(name.chars().count() <= ROOM_NAME_MAX);
            let hidden = |c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{e0000}'..='\u{e007f}');
            prop_assert!(!name.contains(hidden), "{:?}", name);
        }
    }
}
