//! The direct links to other peers.
//! The links are made and run here. Everybody else uses the handle in [`links`].

pub(crate) mod dial_guard;
pub(crate) mod dialect;
pub(crate) mod frame;
pub(crate) mod key_check;
pub(crate) mod key_request;
pub(crate) mod known_keys_handle;
pub(crate) mod link_report;
pub(crate) mod link_table;
pub(crate) mod links;
pub(crate) mod send_queue;

mod dial_limiter;
mod dialer;
mod key_lookup_limiter;
mod link;
mod listener;
mod member_rate;
#[cfg(test)]
mod testing;

use commons::net::socket::Listener;

use crate::peer_communication::links::PeerPeerCommunication;

/// Accepts links on `listener` and dials the target peers until the links are stopped. Dropping the future ends all
/// links.
pub(crate) async fn run(links: PeerPeerCommunication, listener: Listener) {
    tokio::join!(listener::run(&links, listener), dialer::run(&links));
}
