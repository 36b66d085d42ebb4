//! A connection to the tracker before the sign-in.
//!
//! A user who is new on this computer probes the tracker, tries the password and registers, all on one connection. The
//! tracker limits new connections per network.

use commons::keys::{PublicKey, Seed};
use commons::net::connection::Connection;
use commons::net::socket::Socket;

/// An encrypted connection before the sign-in.
#[derive(Debug)]
pub(crate) struct PreAuthConnection {
    pub(crate) connection: Connection<Socket>,
    /// The public key that this side has proven on it.
    pub(crate) own: PublicKey,
    /// Its private key, if the key was made for this connection.
    pub(crate) seed: Option<Seed>,
}
