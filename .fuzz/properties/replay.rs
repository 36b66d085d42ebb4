//! A kept corpus, tried again.

#[path = "corpus.rs"]
mod corpus;

/// Holds every case of a kept corpus against a property.
pub fn replay(kept: &str, hold: fn(&[u8])) {
    let cases = corpus::read(kept);
    assert!(!cases.is_empty());
    cases.iter().for_each(|case| hold(case));
}
