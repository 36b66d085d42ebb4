//! A line of a file that could not be understood.

use serde::{Deserialize, Serialize};

/// A line of the word filter that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
    /// The reason why it was left out.
    pub reason: String,
}
