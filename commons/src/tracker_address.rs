//! A tracker's address as a user gives it: `host:port`, or `host:port#key` if the key is known.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::keys::PublicKey;
use crate::net::socket::host_and_port;

/// A tracker's address, with the key that the tracker must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackerAddress {
    /// The host and the port, `host:port`.
    pub address: String,
    /// The key, if the user gave it.
    pub key: Option<PublicKey>,
}

impl FromStr for TrackerAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (address, key) = match text.split_once('#') {
            None => (text, None),
            Some((address, key)) => (address, Some(key)),
        };
        let key = key.map(str::parse).transpose().map_err(
            |_| "the key behind # has 64 lower-case hex digits, as `tracker fingerprint` prints it",
        )?;
        Ok(Self { address: host_and_port(address)?, key })
    }
}

impl fmt::Display for TrackerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)?;
        self.key.iter().try_for_each(|key| write!(f, "#{key}"))
    }
}

impl From<SocketAddr> for TrackerAddress {
    fn from(address: SocketAddr) -> Self {
        Self { address: address.to_string(), key: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_and_key_are_parsed_and_written_alike() {
        let key = PublicKey::new([0xab; 32]);
        for (text, address, key) in [
            ("localhost:6060".to_owned(), "localhost:6060", None),
            ("[::1]:6060".to_owned(), "[::1]:6060", None),
            (format!("chat.example:6060#{key}"), "chat.example:6060", Some(key)),
        ] {
            let parsed: TrackerAddress = text.parse().unwrap();
            assert_eq!((parsed.address.as_str(), parsed.key), (address, key));
            assert_eq!(parsed.to_string(), text);
        }
        let upper = format!("localhost:6060#{}", "AB".repeat(32));
        let no_port = format!("localhost#{key}");
        for wrong in ["", "localhost", ":6060", "localhost:6060#", "localhost:6060#ab", &upper, &no_port] {
            assert!(wrong.parse::<TrackerAddress>().is_err(), "{wrong}");
        }
    }
}
