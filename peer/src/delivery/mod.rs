//! The delivery of messages between the links, the history and the frontends.
//!
//! It covers received messages, the replication of own messages, and the sync of what somebody missed.

pub(crate) mod absence_counter;
pub(crate) mod inbound;
pub(crate) mod outbound;
pub(crate) mod replication;
pub(crate) mod seeks;
pub(crate) mod serving_links;
pub(crate) mod sync;
pub(crate) mod sync_event;
pub(crate) mod sync_task;
