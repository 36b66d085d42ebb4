//! A count with its noun in the right form.
//!
//! Every text for people that counts things uses it.

use std::fmt::Display;

/// Returns for example `1 room` or `2 rooms`.
#[must_use]
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let noun = if count == N::from(1) { one } else { many };
    format!("{count} {noun}")
}
