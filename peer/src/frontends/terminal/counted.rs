//! A count with its noun in the right form.
//!
//! Every row that counts things uses it.

/// Returns for example `1 room` or `2 rooms`.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
