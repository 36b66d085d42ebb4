//! From and to where a program speaks in the clear: what an operator or a user may choose.

use std::net::IpAddr;
use std::str::FromStr;

/// Where connections in the clear are taken from, and made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plaintext {
    /// Nowhere.
    Never,
    /// This machine.
    #[default]
    Loopback,
    /// Everywhere.
    Always,
}

impl Plaintext {
    /// Whether somebody at this address may be spoken with in the clear.
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
    fn reaches_as_far_as_it_says() {
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
