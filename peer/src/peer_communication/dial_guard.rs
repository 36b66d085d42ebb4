//! The dial guard: which addresses of other peers are dialled. Pure.
//!
//! The tracker says where a user accepts links. Without a bound it could make members connect to services of other
//! people, or of their own computer and network. So a peer dials only ports from [`DIAL_PORT_MIN`], and an address that is
//! not globally reachable only if the tracker itself is at such an address.
//!
//! Example: the tracker is at 8.8.4.4. A member at 9.9.9.9:40001 is dialled; 192.168.1.1:8080 and 9.9.9.9:25 are not. If the
//! tracker is at 192.168.1.9, the first two are dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits::DIAL_PORT_MIN;

/// The part of the network from which an address can be reached, by the special-purpose address registries of IANA
/// (RFC 6890). The larger part comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// Any computer of the Internet can reach it.
    Global,
    /// Only computers of its network can: private use, shared address space of carriers, link-local, unique-local, documentation,
    /// benchmarking.
    Network,
    /// Only programs of this computer can.
    Loopback,
}

/// The reason why an address is not dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DialRefusal {
    /// The port is below [`DIAL_PORT_MIN`], where system services listen.
    Port,
    /// The address leads into a private network, and the tracker is not in one.
    Private,
    /// The address leads to this computer, and the tracker is not on it.
    Loopback,
    /// No single computer has such an address.
    NoHost,
}

/// Checks an address that the tracker announced. `tracker` is the tracker's own address, if it is known. At an address
/// that is `proven` the user has proven a pinned key before, so its range does not matter.
pub(crate) fn check(
    address: SocketAddr,
    tracker: Option<IpAddr>,
    is_proven: bool,
) -> Result<(), DialRefusal> {
    if address.port() < DIAL_PORT_MIN {
        return Err(DialRefusal::Port);
    }
    let reach = reach(address.ip()).ok_or(DialRefusal::NoHost)?;
    let allowed = tracker.and_then(self::reach).unwrap_or(Reach::Global);
    match reach {
        _ if is_proven || reach <= allowed => Ok(()),
        Reach::Global | Reach::Network => Err(DialRefusal::Private),
        Reach::Loopback => Err(DialRefusal::Loopback),
    }
}

/// Returns from where an address can be reached; `None` if no single computer can have it.
fn reach(address: IpAddr) -> Option<Reach> {
    match address.to_canonical() {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Option<Reach> {
    match address.octets() {
        // "This network", multicast, reserved and the limited broadcast.
        [0 | 224.., ..] => None,
        [127, ..] => Some(Reach::Loopback),
        // Private use (RFC 1918), shared address space (RFC 6598) and link-local (RFC 3927).
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [169, 254, ..] => {
            Some(Reach::Network)
        }
        // The anycast addresses of port mapping and TURN (RFC 7723, RFC 8155) lead to a device of the network.
        [192, 0, 0, _] => Some(Reach::Network),
        // Documentation (RFC 5737) and benchmarking (RFC 2544): only test networks use them.
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18 | 19, ..] => Some(Reach::Network),
        // Deprecated relays to 6to4 (RFC 7526).
        [192, 88, 99, _] => None,
        _ => Some(Reach::Global),
    }
}

fn reach_v6(address: Ipv6Addr) -> Option<Reach> {
    if address.is_loopback() {
        return Some(Reach::Loopback);
    }
    match address.segments() {
        // A translator leads to the IPv4 address in the last 32 bits (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let embedded = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
            reach_v4(embedded).map(|reach| reach.max(Reach::Global))
        }
        // Translation within a network (RFC 8215), unique-local (RFC 4193), link-local and site-local.
        [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff, ..] | [0xfe80..=0xfeff, ..] => Some(Reach::Network),
        // Documentation (RFC 3849, RFC 9637) and benchmarking (RFC 5180).
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x2001, 2, 0, ..] => Some(Reach::Network),
        // Tunnels that carry an IPv4 address of anybody's choice: Teredo (RFC 4380) and 6to4 (RFC 3056).
        [0x2001, 0, ..] | [0x2002, ..] => None,
        [0x2000..=0x3fff, ..] => Some(Reach::Global),
        // IANA has assigned no other unicast addresses.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(address: &str, tracker: &str) -> Result<(), DialRefusal> {
        check(address.parse().unwrap(), tracker.parse().ok(), false)
    }

    const PUBLIC: &[&str] = &[
        "9.9.9.9:40001",
        "[2620:fe::9]:1024",
        "172.32.0.1:40001",
        "100.128.0.1:65535",
        "[64:ff9b::909:909]:1024",
    ];
    const PRIVATE: &[&str] = &[
        "10.0.0.1:40001",
        "172.16.0.1:40001",
        "172.31.255.254:40001",
        "192.168.1.1:8080",
        "100.64.0.1:40001",
        "100.127.255.254:40001",
        "169.254.169.254:8080",
        "192.0.0.9:5351",
        "198.51.100.7:40001",
        "198.18.0.1:40001",
        "[fd00::1]:40001",
        "[fe80::1]:40001",
        "[fec0::1]:40001",
        "[2001:db8::1]:40001",
        "[64:ff9b:1::1]:40001",
        "[64:ff9b::a00:1]:40001",
        "[::ffff:10.0.0.1]:40001",
    ];
    const LOOPBACK: &[&str] = &[
        "127.0.0.1:40001",
        "127.255.255.254:6379",
        "[::1]:40001",
        "[::ffff:127.0.0.1]:40001",
        "[64:ff9b::7f00:1]:40001",
    ];
    const NO_HOST: &[&str] = &[
        "0.0.0.0:40001",
        "0.1.2.3:40001",
        "224.0.0.1:40001",
        "240.0.0.1:40001",
        "255.255.255.255:40001",
        "192.88.99.1:40001",
        "[::]:40001",
        "[::10.0.0.1]:40001",
        "[ff02::1]:40001",
        "[100::1]:40001",
        "[2001::1]:40001",
        "[2002:a00:1::1]:40001",
        "[4000::1]:40001",
    ];

    #[test]
    fn range_is_dialled_only_if_the_tracker_is_in_such_a_range() {
        let refusals = |addresses: &[&str], tracker| {
            let mut verdicts: Vec<_> = addresses.iter().map(|address| verdict(address, tracker)).collect();
            verdicts.dedup();
            assert_eq!(verdicts.len(), 1, "{addresses:?} {tracker}: {verdicts:?}");
            verdicts[0]
        };
        for tracker in ["8.8.4.4", "2001:4860:4860::8844", "not known"] {
            assert_eq!(refusals(PUBLIC, tracker), Ok(()));
            assert_eq!(refusals(PRIVATE, tracker), Err(DialRefusal::Private));
            assert_eq!(refusals(LOOPBACK, tracker), Err(DialRefusal::Loopback));
            assert_eq!(refusals(NO_HOST, tracker), Err(DialRefusal::NoHost));
        }
        for tracker in ["192.168.1.9", "100.64.0.9", "fd00::9", "::ffff:10.0.0.9"] {
            assert_eq!(refusals(PUBLIC, tracker), Ok(()));
            assert_eq!(refusals(PRIVATE, tracker), Ok(()));
            assert_eq!(refusals(LOOPBACK, tracker), Err(DialRefusal::Loopback));
            assert_eq!(refusals(NO_HOST, tracker), Err(DialRefusal::NoHost));
        }
        // The control: beside a tracker on this computer all of them are.
        for addresses in [PUBLIC, PRIVATE, LOOPBACK] {
            assert_eq!(refusals(addresses, "127.0.0.1"), Ok(()));
        }
    }

    #[test]
    fn port_of_a_system_service_is_never_dialled() {
        for tracker in ["8.8.4.4", "127.0.0.1"] {
            for port in [0, 22, 25, DIAL_PORT_MIN - 1] {
                let refused = verdict(&format!("9.9.9.9:{port}"), tracker);
                assert_eq!(refused, Err(DialRefusal::Port));
            }
            assert_eq!(verdict(&format!("9.9.9.9:{DIAL_PORT_MIN}"), tracker), Ok(()));
        }
    }

    #[test]
    fn address_with_a_proven_key_is_dialled_in_any_range() {
        for address in PUBLIC.iter().chain(PRIVATE).chain(LOOPBACK) {
            assert_eq!(check(address.parse().unwrap(), None, true), Ok(()));
        }
        assert_eq!(check("10.0.0.1:25".parse().unwrap(), None, true), Err(DialRefusal::Port));
        assert_eq!(check("224.0.0.1:40001".parse().unwrap(), None, true), Err(DialRefusal::NoHost));
    }
}
