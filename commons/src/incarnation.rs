//! The incarnations of an author's message store.

use serde::{Deserialize, Serialize};

/// One incarnation of an author's store. It is random, and a restored backup starts another one. 16 hex digits on the
/// wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Incarnation(pub u64);

impl TryFrom<String> for Incarnation {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0; 8];
        match base16ct::lower::decode(text, &mut bytes) {
            Ok(decoded) if decoded.len() == 8 => Ok(Self(u64::from_be_bytes(bytes))),
            _ => Err("an incarnation is 16 hex digits"),
        }
    }
}

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> Self {
        base16ct::lower::encode_string(&incarnation.0.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_hex_on_the_wire() {
        let json = |value: &str| serde_json::from_str::<Incarnation>(value);
        assert_eq!(json("\"00000000000000ff\"").unwrap(), Incarnation(255));
        assert_eq!(serde_json::to_string(&Incarnation(255)).unwrap(), "\"00000000000000ff\"");
        for wrong in ["\"ff\"", "\"00000000000000FF\"", "\"00000000000000ff00\"", "255"] {
            assert!(json(wrong).is_err(), "{wrong}");
        }
    }
}
