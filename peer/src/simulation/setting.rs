//! The setting of a simulated world: whether its room has a log, and whether its tracker lies.

use commons::room_log::facts::Policy;

/// The number of consecutive seeds with one setting.
pub(crate) const SEEDS_OF_ONE: u64 = 60;

/// The kind of the room and of the tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The first policy of the room; `None` for a room without a log.
    pub(crate) policy: Option<Policy>,
    /// Whether the tracker lies during the trouble. In the scene after it, any tracker may.
    pub(crate) lies: bool,
}

impl Setting {
    /// A room without a log, as original programs create it.
    pub(crate) const PLAIN: Self = Self { policy: None, lies: false };

    /// Returns the setting of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        match seed / SEEDS_OF_ONE % 4 {
            0 => Self::PLAIN,
            1 => Self { policy: Some(Policy::Open), lies: false },
            2 => Self { policy: Some(Policy::Open), lies: true },
            _ => Self { policy: Some(Policy::Invite), lies: true },
        }
    }
}
