//! The tracker of the chat.
//! It knows users, rooms and presence, and it never sees a message.
//!
//! - [`config`], [`server`]: the interface for a program that runs a tracker.
//! - `session`, `liveness`: the life of a connection; the liveness sweep.
//! - `service`: takes a request, calls a handler, and sends the reply and the pushes.
//! - `handlers`: decide the requests; they never send.
//! - `push`, `legacy_texts`, `legacy_views`: changes of rooms for their members; texts for legacy clients; the room that
//!   each legacy client shows.
//! - `repositories`: the durable state, which survives a crash.
//! - [`folder_check`]: checks whether a tracker can start on a folder, and accepts edits made by hand.
//! - [`backup`]: backups of a data folder, and their restore.
//! - [`recovery`]: what a start makes of a folder's files, for fuzzing.
//! - `client`, `send_queue`: the state of one connection; the frames that wait for it.
//! - `active_connections`, `login`: the authenticated sessions; a login and its id.
//! - `metrics`, `timing`, `load`: the figures of a running tracker.
//! - [`monitor`]: the figures and the busiest sessions on the console.
//! - `status`: the status page, the metrics and the health checks, on an address of their own.
//! - `traffic`: the bytes and requests of one session.
//! - `admission`: decides which connections are accepted.
//! - `policy`: which people may register, and the message of the day. [`operator`]: the commands of the operator.
//! - `passwords`, `password_queue`: password hashing; the order of the waiting hashes.
//! - [`password_reset`]: the password reset by the operator.
//! - `login_throttle`: decides when the next password for an account may be checked.
//! - `rate_limit`: how often a client may act, by session or by network.
//! - [`logs`]: the log and its files. `log_class`: the classes of its events. [`size`]: a size in bytes.
//! - [`limits`]: every bound of the tracker, with its reason.

mod active_connections;
mod admission;
pub mod backup;
mod client;
mod code_throttle;
pub mod config;
pub mod folder_check;
mod handlers;
mod known_networks;
mod legacy_texts;
mod legacy_views;
pub mod limits;
mod liveness;
mod load;
mod log_class;
mod login;
mod login_throttle;
pub mod logs;
mod metrics;
pub mod monitor;
pub mod operator;
mod password_proofs;
mod password_queue;
pub mod password_reset;
mod passwords;
pub mod policy;
mod push;
mod rate_limit;
pub mod recovery;
mod repositories;
mod send_queue;
pub mod server;
mod service;
mod session;
pub mod size;
mod status;
mod timing;
mod traffic;
