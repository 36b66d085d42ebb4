//! The code that the tracker and the peers share.
//!
//! - [`names`], [`keys`], [`endorsement`], [`user`], [`peer`], [`room`], [`snapshot`]: the domain, as plain values and
//!   pure rules.
//! - [`room_log`]: the log of a room, whose entries people sign. [`digest`], [`incarnation`]: values in it and in
//!   messages.
//! - [`login_key`]: the proof of a password for one tracker and one user.
//! - [`confusables`]: names that look alike.
//! - [`address_range`]: an IP address or a network, for bans.
//! - [`tracker_address`]: the address of a tracker, with its key.
//! - [`protocol`]: the messages between the programs.
//! - [`net`]: the network layer. It and the protocol do not depend on each other.
//! - [`limits`]: every shared bound, with its reason.
//! - [`process_memory`]: protection of the process's memory from other programs.
//! - [`log_target`]: the log events of the project's own crates.
//! - [`settings`]: the settings file. [`nearest`]: suggestions for typing errors.
//! - [`program_documents`]: manual pages and shell completions. [`version`]: the version that `--version` prints.

pub mod address_range;
pub mod confusables;
pub mod counted;
pub mod digest;
pub mod endorsement;
pub mod incarnation;
pub mod keys;
pub mod limits;
pub mod log_target;
pub mod login_key;
pub mod names;
pub mod nearest;
pub mod net;
pub mod peer;
pub mod process_memory;
pub mod program_documents;
pub mod protocol;
pub mod room;
pub mod room_log;
pub mod settings;
pub mod snapshot;
pub mod time_forms;
pub mod timestamp;
pub mod tracker_address;
pub mod user;
pub mod version;
