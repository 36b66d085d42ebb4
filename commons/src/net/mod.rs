//! How bytes move: frames, connections, sockets, waits. It carries any JSON object and knows no protocol.

pub mod backoff;
pub mod connection;
pub mod first_bytes;
pub mod frame;
pub mod plaintext;
pub mod socket;
pub mod tls;
