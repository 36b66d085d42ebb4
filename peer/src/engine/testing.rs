//! An engine for tests: ana, who has just signed in without a room.

use std::collections::BTreeSet;

use chrono::DateTime;
use commons::names::Username;
use tokio::time::Instant;

use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::input::{Input, Now};
use crate::engine::signed_out::EngineStart;
use crate::history::history_db::Opened;
use crate::history::testing::{ANA, device, user};
use crate::identity::known_keys::KnownKeys;

pub(in crate::engine) fn now() -> Now {
    Now { instant: Instant::now(), utc: DateTime::UNIX_EPOCH }
}

/// Starts ana's engine with these known keys.
pub(in crate::engine) fn ana(keys: KnownKeys) -> Engine {
    let me: Username = user(ANA);
    let start = EngineStart {
        me,
        own_key: device(ANA),
        keys,
        blocked: BTreeSet::new(),
        login: Ok(Vec::new()),
        omission: None,
    };
    Engine::start(start, Opened::default(), now(), &mut Effects::default())
}

/// Feeds an input and returns the effects.
pub(in crate::engine) fn feed(engine: &mut Engine, input: Input) -> Vec<Effect> {
    let mut effects = Effects::default();
    engine.handle(input, now(), &mut effects);
    effects.take()
}
