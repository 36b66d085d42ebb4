//! The network of a client, as the limits count it.
//! A network is the block of addresses that a provider usually gives to one customer.
//!
//! A customer with IPv6 has 2⁶⁴ addresses, so a limit per address would have no effect. Example: 2001:db8::1 and
//! 2001:db8::2 are in the same network, 192.0.2.1 and 192.0.2.2 are not.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Subnet(IpAddr);

/// The networks to which limits apply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LimitScope {
    /// Whether limits also apply to loopback addresses.
    pub(crate) loopback: bool,
}

impl Subnet {
    /// The network of an address.
    pub(crate) fn of(ip: IpAddr) -> Self {
        let IpAddr::V6(ip) = ip.to_canonical() else { return Self(ip.to_canonical()) };
        Self(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into())
    }
}

impl LimitScope {
    /// The network to which an address is counted. `None` if no limits apply to the address.
    pub(crate) fn network(self, ip: IpAddr) -> Option<Subnet> {
        (self.loopback || !ip.to_canonical().is_loopback()).then(|| Subnet::of(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_customer_are_one_network() {
        let network = |ip: &str| LimitScope { loopback: true }.network(ip.parse().unwrap()).unwrap();
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    }

    #[test]
    fn this_machine_is_watched_where_told_so() {
        for ip in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"].map(|ip| ip.parse().unwrap()) {
            assert!(LimitScope { loopback: false }.network(ip).is_none(), "{ip}");
            assert!(LimitScope { loopback: true }.network(ip).is_some(), "{ip}");
        }
        assert!(LimitScope { loopback: false }.network("192.0.2.1".parse().unwrap()).is_some());
    }
}
