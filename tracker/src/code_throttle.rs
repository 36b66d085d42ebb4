//! The throttle of registration codes: it decides when a network may try the next code.
//!
//! It counts per network only. With a common count of all networks, anybody with many networks could shut the
//! registration for everybody. So the codes must be long: each network can try twelve an hour. A network is an IPv4
//! address or an IPv6 /48, because many people can get a whole /48.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::GUESSERS_MAX;
use crate::login_throttle::Failures;
use crate::rate_limit::{Recent, Subnet};

/// The recent wrong codes by network.
#[derive(Debug)]
pub(crate) struct CodeThrottle {
    by_network: Recent<Subnet, Failures>,
}

impl CodeThrottle {
    /// Creates a throttle that has seen no wrong codes.
    pub(crate) fn new() -> Self {
        Self { by_network: Recent::new(GUESSERS_MAX) }
    }

    /// Checks a code, if one from this network may be checked now. On an error, returns the time to wait.
    pub(crate) fn check(
        &mut self,
        network: Subnet,
        now: Instant,
        is_right: impl Fn() -> bool,
    ) -> Result<bool, Duration> {
        let network = network.site();
        let wrong = self.by_network.known(&network).map_or(Ok(0), |failures| failures.counting(now))?;
        let right = is_right();
        match right {
            true => self.by_network.forget(&network),
            false => *self.by_network.turn_of(&network) = Failures::new(wrong + 1, now),
        }
        Ok(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_one_site_share_the_wait_for_codes() {
        let (mut throttle, now) = (CodeThrottle::new(), Instant::now());
        let of = |ip: &str| Subnet::of(ip.parse().unwrap());
        for ip in ["2001:db8:1:1::7", "2001:db8:1:2::7", "2001:db8:1:3::7"] {
            assert_eq!(throttle.check(of(ip), now, || false), Ok(false));
        }
        assert!(throttle.check(of("2001:db8:1:4::7"), now, || true).is_err());
        assert_eq!(throttle.check(of("2001:db8:2:1::7"), now, || true), Ok(true), "control: another site");
        assert_eq!(throttle.check(of("192.0.2.7"), now, || true), Ok(true));
    }
}
