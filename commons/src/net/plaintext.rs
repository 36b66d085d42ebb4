//! The plaintext policy: the addresses with which a program may exchange plaintext.

use std::net::IpAddr;
use std::str::FromStr;

/// Addresses from which plaintext connections are accepted, and to which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plaintext {
    /// No address at all.
    Never,
    /// Loopback addresses, which belong to this machine.
    #[default]
    Loopback,
    /// Any address of any network.
    Always,
}

impl Plaintext {
    /// Whether plaintext is allowed with a program at this address.
    #[must_use]
    pub fn allows(self, other: IpAddr) -> bool {
        match self {
            Self::Never => false,
            Self::Loopback => other.is_loopback(),
            Self::Always => true,
        }
    }
}

impl FromStr for Plaintext {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self::Never),
            "loopback" => Ok(Self::Loopback),
            "always" => Ok(Self::Always),
            _ => Err("use never, loopback or always"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_policy_allows_the_addresses_it_names() {
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        for (text, reaches) in
            [("never", [false, false]), ("loopback", [true, false]), ("always", [true, true])]
        {
            let plaintext: Plaintext = text.parse().unwrap();
            assert_eq!([plaintext.allows(here), plaintext.allows(there)], reaches, "{text}");
        }
        assert!("sometimes".parse::<Plaintext>().is_err());
    }
}
