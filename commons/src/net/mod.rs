//! The network layer: frames, connections, sockets, TLS and backoff.
//! It carries any JSON object and does not depend on the protocol.

pub mod backoff;
pub mod connection;
pub mod first_bytes;
pub mod frame;
pub mod plaintext;
pub mod socket;
pub mod tls;
