//! The choice of one of the account's keys by its first digits.

use commons::keys::PublicKey;
use commons::protocol::with_tracker::{BoundKey, ErrorCode};

use crate::api::error::CommandError;

/// Finds the only key that begins with these digits. At least `least` digits are required.
pub(crate) fn chosen(keys: &[BoundKey], digits: &str, least: usize) -> Result<PublicKey, CommandError> {
    if digits.len() < least {
        return Err(CommandError::Usage(format!("type at least {least} digits of the key")));
    }
    let mut fitting = keys.iter().map(|bound| bound.key).filter(|key| key.to_string().starts_with(digits));
    match (fitting.next(), fitting.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => {
            Err(CommandError::Usage("several keys begin with these digits: type more of them".to_owned()))
        }
        (None, _) => Err(CommandError::refused(ErrorCode::KeyNotFound, "you have no such key")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::key_prefix::first_digits;

    #[test]
    fn a_key_is_chosen_by_digits_that_fit_no_other() {
        let key = |first: u8, last: u8| {
            let mut bytes = [7; 32];
            (bytes[0], bytes[31]) = (first, last);
            BoundKey { key: PublicKey::new(bytes), current: false, endorsed_by: None }
        };
        let keys = [key(0xab, 1), key(0xab, 2), key(0xcd, 3)];
        let chosen = |digits: &str| chosen(&keys, digits, 8);
        assert_eq!(chosen(&first_digits(&keys[2].key, 8)), Ok(keys[2].key));
        assert_eq!(chosen(&keys[0].key.to_string()), Ok(keys[0].key));
        let code = |digits: &str| chosen(digits).unwrap_err().code();
        assert_eq!([code("cd"), code("ab070707"), code("CD070707")], ["USAGE", "USAGE", "KEY_NOT_FOUND"]);
    }
}
