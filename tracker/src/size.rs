//! A size in bytes, as people write it.

use std::fmt;
use std::str::FromStr;

/// The units of a size.
const UNITS: [(&str, u64); 7] = [
    ("KIB", 1 << 10),
    ("MIB", 1 << 20),
    ("GIB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// A number of bytes. Its text form is a number with a unit: `10MB` has 10,000,000 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let upper = text.trim().to_ascii_uppercase();
        let unit = UNITS.into_iter().find_map(|(name, bytes)| Some((upper.strip_suffix(name)?, bytes)));
        let (number, unit) = unit.unwrap_or((&upper, 1));
        let bytes = number.trim().parse().ok().and_then(|number: u64| number.checked_mul(unit));
        bytes.map(Self).ok_or_else(|| "must be a size such as 10MB or 512KiB".to_owned())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        let whole = |unit: u64| bytes >= unit && bytes.is_multiple_of(unit);
        let unit = UNITS.into_iter().filter(|(_, unit)| whole(*unit)).max_by_key(|(_, unit)| *unit);
        match unit {
            Some((name, unit)) => write!(f, "{}{}", bytes / unit, name.replace("IB", "iB")),
            None => write!(f, "{bytes}B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_as_it_is_written() {
        for (text, bytes) in
            [("10MB", 10_000_000), ("512KiB", 524_288), ("1500", 1500), ("2 gb", 2_000_000_000), ("0", 0)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)), "{text}");
        }
        assert_eq!(Size(10_000_000).to_string(), "10MB");
        for bad in ["", "MB", "-1", "1.5MB", "1XB", "99999999999GB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
