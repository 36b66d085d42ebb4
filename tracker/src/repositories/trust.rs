//! The trust in the files of a data folder, which decides what stops a start.

/// The degree of trust in the files of a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The files must be exactly as the tracker left them.
    AsLeft,
    /// The files may have been edited by hand. They must still be well formed.
    Edited,
}
