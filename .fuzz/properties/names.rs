//! The property of names.
//! An accepted name is printable and short, and survives encoding and decoding. The error for a refused name contains
//! no control character.

use commons::confusables::mixes_scripts;
use commons::keys::PublicKey;
use commons::limits::{ROOM_NAME_MAX, USERNAME_MAX};
use commons::names::{NameError, RoomName, Username};

pub fn hold(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Username::parse(text) {
        Ok(name) => {
            assert!(name.as_str().len() <= USERNAME_MAX && !mixes_scripts(name.as_str()));
            assert!(!name.as_str().chars().any(|c| c.is_control() || c.is_whitespace() || c.is_uppercase()));
            let sent = serde_json::to_string(&name).unwrap();
            assert_eq!(serde_json::from_str::<Username>(&sent).unwrap(), name);
        }
        Err(error) => is_safe(&error),
    }
    match RoomName::parse(text) {
        Ok(name) => {
            assert!(
                name.as_str().chars().count() <= ROOM_NAME_MAX
                    && !name.as_str().chars().any(char::is_control)
            );
            let sent = serde_json::to_string(&name).unwrap();
            assert_eq!(serde_json::from_str::<RoomName>(&sent).unwrap(), name);
        }
        Err(error) => is_safe(&error),
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string(), text);
    }
}

fn is_safe(error: &NameError) {
    assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
}
