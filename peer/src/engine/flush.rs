//! A wait for own messages: until all are stored, or until those on their way have arrived.

use tokio::time::Instant;

use crate::engine::input::{Milestone, Ticket};

/// A wait whose caller wants to leave or to quit.
pub(in crate::engine) struct Flush {
    pub(in crate::engine) ticket: Ticket,
    pub(in crate::engine) milestone: Milestone,
    /// Whether the history was asked for whom messages wait, and has not answered.
    pub(in crate::engine) is_counting: bool,
    /// The end of the wait at the latest; `None` if only the milestone ends it.
    pub(in crate::engine) until: Option<Instant>,
}
