//! An engine for tests: ana, who has just signed in without a room.

use std::collections::BTreeSet;

use chrono::DateTime;
use commons::names::Username;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::api::Event;
use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::engine_start::EngineStart;
use crate::engine::input::{Input, Now, Ticket};
use crate::history::history_db::InitialState;
use crate::history::testing::{ANA, device, user};
use crate::identity::known_keys::KnownKeys;
use crate::limits::REPORTS_MAX;
use crate::peer_communication::known_keys_handle::KnownKeysHandle;

pub(crate) fn now() -> Now {
    Now { instant: Instant::now(), utc: DateTime::UNIX_EPOCH }
}

/// Starts ana's engine with these known keys.
pub(crate) fn ana(keys: KnownKeys) -> Engine {
    let me: Username = user(ANA);
    let start = EngineStart {
        me,
        own_key: device(ANA),
        keys,
        blocked: BTreeSet::new(),
        accepted: BTreeSet::new(),
        login: Ok(Vec::new()),
        is_tracker_local: true,
        omission: None,
    };
    Engine::start(start, InitialState::default(), now(), &mut Effects::default())
}

/// Feeds an input and returns the effects.
pub(crate) fn feed(engine: &mut Engine, input: Input) -> Vec<Effect> {
    let mut effects = Effects::default();
    engine.handle(input, now(), &mut effects);
    effects.take()
}

/// Lets an engine with these known keys reply to all key checks, in a task of its own. Returns its events too.
pub(crate) fn owner_of(keys: KnownKeys) -> (KnownKeysHandle, mpsc::Receiver<Event>) {
    let (handle, mut requests) = KnownKeysHandle::new();
    let (events, published) = mpsc::channel(REPORTS_MAX);
    let mut engine = ana(keys);
    tokio::spawn(async move {
        while let Some((user, request, reply)) = requests.recv().await {
            let mut reply = Some(reply);
            for effect in feed(&mut engine, Input::KeyRequest(Ticket(1), user, request)) {
                match effect {
                    Effect::KeyReply(_, sent) => reply.take().unwrap().send(sent).unwrap(),
                    Effect::Publish(event) => events.try_send(event).unwrap(),
                    _ => {}
                }
            }
        }
    });
    (handle, published)
}
