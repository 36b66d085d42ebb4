//! Detection of keys that occur twice in one JSON object.
//!
//! Readers disagree on such objects: some take the first value, others the last. For example, `{"to":"ana","to":"bob"}`
//! could go to either user.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Returns the first key that occurs twice in one object of this JSON text, at any depth.
pub(crate) fn repeated_key(text: &str) -> Option<String> {
    let mut twice = None;
    // If the text is not JSON, the caller's own reader reports it.
    let _ = Keys { twice: &mut twice }.deserialize(&mut serde_json::Deserializer::from_str(text));
    twice
}

/// A visitor that reads a value only for its keys.
struct Keys<'a> {
    twice: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        while values.next_element_seed(Keys { twice: &mut *self.twice })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            if keys.contains(&key) {
                self.twice.get_or_insert_with(|| key.clone());
            }
            keys.insert(key);
            fields.next_value_seed(Keys { twice: &mut *self.twice })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_twice_in_one_object_only() {
        for (text, twice) in [
            (r#"{"a":1,"b":[true,null,1.5,-1,"x"],"c":{"a":1}}"#, None),
            (r#"{"a":1,"a":1}"#, Some("a")),
            (r#"{"a":1,"\u0061":2}"#, Some("a")),
            (r#"[{"b":{"c":1,"d":2,"c":3}}]"#, Some("c")),
            (r#"[{"a":1},{"a":1}]"#, None),
            ("no JSON", None),
        ] {
            assert_eq!(repeated_key(text).as_deref(), twice, "{text}");
        }
    }
}
