//! The rules by which a request is taken for one of the user's own browser. Pure.
//!
//! Any page of the web can make a browser send requests to this computer. Such a request names the page's own site as
//! its `Origin`. A site whose name leads to this computer (DNS rebinding) names itself as the `Host`. So the host
//! is compared with the names of this server, and the origin with the host: another user may serve a page under one of
//! the other names.
//!
//! Example: the server listens on port 4321. `Host: localhost:4321` is served; `Host: evil.example:4321` is not. A page of
//! `http://localhost:4321` opens no WebSocket at `127.0.0.1:4321`.

use std::net::SocketAddr;

/// The names under which a browser on this computer reaches the server.
const NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// The rules for a server that listens on this port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    port: u16,
}

impl Access {
    /// Creates the rules for a server that listens on this address.
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self { port: server.port() }
    }

    /// Returns true if the `Host` of a request is this server.
    pub(crate) fn is_own_host(self, host: &str) -> bool {
        NAMES.iter().any(|name| host == format!("{name}:{}", self.port))
    }

    /// Returns true if the `Origin` of a request is a page of the same `Host`, and that is this server.
    pub(crate) fn is_own_origin(self, origin: &str, host: &str) -> bool {
        self.is_own_host(host) && origin.strip_prefix("http://") == Some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_server_is_its_own_host_and_origin() {
        let access = Access::to(([127, 0, 0, 1], 4321).into());
        for host in ["127.0.0.1:4321", "localhost:4321", "[::1]:4321"] {
            let is_origin = |origin: &str| access.is_own_origin(origin, host);
            assert!(access.is_own_host(host) && is_origin(&format!("http://{host}")), "{host}");
            assert!(!is_origin(host) && !is_origin(&format!("https://{host}")));
            assert!(!is_origin(&format!("http://{host}/")) && !is_origin("null"));
        }
        assert!(
            !access.is_own_origin("http://localhost:4321", "127.0.0.1:4321"),
            "another name of this server"
        );
        for host in [
            "",
            "localhost",
            "127.0.0.1",
            "localhost:80",
            "LOCALHOST:4321",
            "evil.example:4321",
            "localhost:4321.evil.example",
            "localhost:4321@evil.example",
            "127.0.0.1.evil.example:4321",
            "null",
        ] {
            assert!(
                !access.is_own_host(host) && !access.is_own_origin(&format!("http://{host}"), host),
                "{host}"
            );
        }
    }
}
