//! The log of the tracker.
//! Events go to stderr and, with `--log-dir`, to four files. Threads of their own write both, so that a slow disk or
//! terminal never delays a session.
//!
//! - [`start`]: starts the log and changes its settings while the tracker runs.
//! - `layer`: takes the events of our own crates. `line`: one event as text or JSON.
//! - `queue`: the bounded queue in front of a writing thread.
//! - `files`: the four files. `rotating_file`: one of them, with its rotation by size.

mod files;
mod layer;
mod line;
mod queue;
mod rotating_file;
pub mod start;
