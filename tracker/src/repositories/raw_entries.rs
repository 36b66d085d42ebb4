//! The entries of a JSON object that are parsed one by one later.
//! They stand in the order of their keys, so that a map of them is built without a search for each key.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The entries of a JSON object in the order of their keys. Of several entries with one key, the last one counts.
#[derive(Debug)]
pub(crate) struct RawEntries<'a>(Vec<(String, &'a RawValue)>);

impl<'a> IntoIterator for RawEntries<'a> {
    type Item = (String, &'a RawValue);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawEntries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of entries")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }

        let mut entries = deserializer.deserialize_map(Entries)?;
        // A file that the tracker wrote is in order already, and sorting it costs one comparison for each entry.
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        entries.dedup_by(|later, earlier| {
            let is_same = later.0 == earlier.0;
            if is_same {
                earlier.1 = later.1;
            }
            is_same
        });
        Ok(Self(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_in_order_and_the_last_of_a_key_counts() {
        let entries: RawEntries<'_> =
            serde_json::from_str(r#"{"b": 1, "a": 2, "b": {"x": 3}, "c": 4, "b": 5}"#).unwrap();
        let entries: Vec<_> = entries.into_iter().map(|(key, json)| (key, json.get())).collect();
        assert_eq!(entries, [("a", "2"), ("b", "5"), ("c", "4")].map(|(key, json)| (key.to_owned(), json)));
        assert!(serde_json::from_str::<RawEntries<'_>>("[]").is_err());
    }
}
