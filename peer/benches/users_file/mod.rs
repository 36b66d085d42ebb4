//! A file of many users for a start that is measured.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a benchmark ends by panicking")]

use std::fmt::Write as _;

/// The text of `users_db.json` with this number of users, as the original tracker wrote it.
pub fn users_file(users: usize) -> String {
    let mut file = String::from("{");
    for user in 0..users {
        let comma = if user == 0 { "" } else { "," };
        write!(file, "{comma}\n\"user{user}\": \"{user:064x}\"").unwrap();
    }
    file + "\n}"
}
