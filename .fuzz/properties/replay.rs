//! The replay of a stored corpus.

#[path = "corpus.rs"]
mod corpus;

/// Checks a property on every case of a stored corpus.
pub fn replay(kept: &str, hold: fn(&[u8])) {
    let cases = corpus::read(kept);
    assert!(!cases.is_empty());
    cases.iter().for_each(|case| hold(case));
}
