//! A number of things, in words.

/// `1 room`, `2 rooms`.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
