//! The default address on which the peer accepts links.
//!
//! It is used if the user gives none.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use commons::limits::DIAL_TIMEOUT;
use commons::net::socket::resolve;
use tokio::time::timeout;

use crate::identity::profile;

/// Returns a free port on loopback if the tracker is on loopback, else on all interfaces. Fails if the tracker's name
/// cannot be resolved, unless this device has an account: it opens offline, even without a name server.
pub(crate) async fn listen_address(tracker: &str, data: &Path) -> io::Result<SocketAddr> {
    let found = timeout(DIAL_TIMEOUT, resolve(tracker)).await.map_err(io::Error::from).flatten();
    let ip = match found.map(|address| address.ip()) {
        Ok(ip) if ip.is_loopback() => ip,
        Ok(IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        Ok(IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
        Err(_) if !profile::users(data, tracker).is_empty() => Ipv4Addr::UNSPECIFIED.into(),
        Err(error) => return Err(error),
    };
    Ok(SocketAddr::new(ip, 0))
}
