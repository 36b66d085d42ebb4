//! The reason why a history cannot be opened, as the user reads it.

/// The reason why a history cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A later version of this program wrote the history. The file stays unchanged.
    #[error("the history was written by a later version of this program")]
    Newer,
    /// An earlier version of this program wrote the history. The file stays unchanged.
    #[error("an earlier version wrote the history: move its files history.* away, then start again")]
    Older,
    /// A file operation failed.
    #[error("the history cannot be opened: {0}")]
    Io(#[from] std::io::Error),
    /// A database operation failed.
    #[error("the history cannot be opened: {0}")]
    Database(#[from] rusqlite::Error),
}
