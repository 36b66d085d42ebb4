//! A connection to the tracker on which nobody has signed in yet. A user who is new on this computer finds out that the tracker
//! answers, tries the password and makes an account, all on one connection: the tracker counts new ones of each network.

use commons::keys::{PublicKey, Seed};
use commons::net::connection::Connection;
use commons::net::socket::Socket;

/// A connection before the sign-in, encrypted.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) connection: Connection<Socket>,
    /// The key that this side has proven on it.
    pub(crate) own: PublicKey,
    /// Its private half, where the key was made for this connection.
    pub(crate) seed: Option<Seed>,
}
