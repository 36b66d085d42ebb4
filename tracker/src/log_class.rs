//! The classes of log events.
//! An event names its class in the field `class`, and the class decides which log files get the event.

/// The start and the end of connections and sessions: `connections.log`.
pub(crate) const CONNECTION: &str = "connection";

/// Failed logins, changes of accounts and keys, and limits that clients reach: `security.log`.
pub(crate) const SECURITY: &str = "security";
