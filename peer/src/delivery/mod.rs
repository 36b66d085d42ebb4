//! How lines travel between the links, the history and the faces: what comes in, what goes out, what is caught up.

pub(crate) mod inbound;
pub(crate) mod missed_counter;
pub(crate) mod outbound;
pub(crate) mod replication;
pub(crate) mod seeks;
pub(crate) mod serving_links;
pub(crate) mod sync;
pub(crate) mod sync_event;
pub(crate) mod sync_task;
