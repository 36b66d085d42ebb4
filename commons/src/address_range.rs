//! A range of IP addresses: one address, or a network in CIDR notation.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{RANGE_PREFIX_MIN_V4, RANGE_PREFIX_MIN_V6};

/// A range of IP addresses, such as `192.0.2.7`, `192.0.2.0/24` or `2001:db8::/64`. The bits after the prefix are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AddressRange {
    first: IpAddr,
    prefix: u8,
}

/// Error: the text is not a range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The text is neither an address nor a network.
    #[error("write an address such as 192.0.2.7, or a network such as 192.0.2.0/24")]
    Form,
    /// The range holds too large a part of all addresses.
    #[error(
        "a network has a prefix of at least {RANGE_PREFIX_MIN_V4} bits, with IPv6 at least {RANGE_PREFIX_MIN_V6}"
    )]
    TooLarge,
}

impl AddressRange {
    /// Creates the range with this prefix length that contains an address.
    fn around(address: IpAddr, prefix: u8) -> Self {
        let first = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        Self { first, prefix }
    }

    /// All ranges that contain an address, the smallest first.
    pub fn containing(address: IpAddr) -> impl Iterator<Item = Self> {
        let address = address.to_canonical();
        (shortest(address)..=longest(address)).rev().map(move |prefix| Self::around(address, prefix))
    }

    /// Whether the range contains an address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        longest(address) == longest(self.first) && Self::around(address, self.prefix) == *self
    }
}

/// The prefix length of a single address.
fn longest(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The prefix length of the largest range.
fn shortest(address: IpAddr) -> u8 {
    if address.is_ipv4() { RANGE_PREFIX_MIN_V4 } else { RANGE_PREFIX_MIN_V6 }
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address = address.parse::<IpAddr>().map_err(|_| RangeError::Form)?.to_canonical();
        let prefix = match prefix {
            None => longest(address),
            Some(prefix) => prefix.parse().map_err(|_| RangeError::Form)?,
        };
        match prefix {
            prefix if prefix > longest(address) => Err(RangeError::Form),
            prefix if prefix < shortest(address) => Err(RangeError::TooLarge),
            prefix => Ok(Self::around(address, prefix)),
        }
    }
}

impl TryFrom<String> for AddressRange {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Self, RangeError> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, prefix } = self;
        if *prefix == longest(*first) { write!(f, "{first}") } else { write!(f, "{first}/{prefix}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn range_contains_exactly_its_addresses() {
        for (text, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::"),
            ("192.0.2.0/24", "::ffff:192.0.2.9", "2001:db8::1"),
        ] {
            let [inside, outside] = [inside, outside].map(|text| text.parse::<IpAddr>().unwrap());
            assert!(range(text).contains(inside) && !range(text).contains(outside), "{text}");
            assert!(AddressRange::containing(inside).any(|each| each == range(text)), "{text}");
            assert!(!AddressRange::containing(outside).any(|each| each == range(text)), "{text}");
        }
    }

    #[test]
    fn range_is_written_in_one_form() {
        assert_eq!(range("192.0.2.7/24").to_string(), "192.0.2.0/24");
        assert_eq!(range("192.0.2.7/32").to_string(), "192.0.2.7");
        assert_eq!(range("::ffff:192.0.2.7").to_string(), "192.0.2.7");
        for bad in ["", "ana", "192.0.2", "192.0.2.7/33", "192.0.2.7/", "192.0.2.7/-1", "::1/129", "/24"] {
            assert_eq!(bad.parse::<AddressRange>(), Err(RangeError::Form), "{bad}");
        }
        for large in ["0.0.0.0/0", "10.0.0.0/7", "::/0"] {
            assert_eq!(large.parse::<AddressRange>(), Err(RangeError::TooLarge), "{large}");
        }
    }
}
