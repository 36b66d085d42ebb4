//! The ways in which the conversation with a tab of the browser ends.

/// The end of a tab's conversation with the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TabEnd {
    /// The user signed out, or the service ended by itself.
    #[default]
    SignedOut,
    /// The tab was closed, or the program ends.
    Closed,
    /// The user ended the program from this tab.
    Quit,
}
