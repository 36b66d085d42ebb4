//! Time from a change of a room to the ROOM_UPDATE at another member, at a fixed rate of changes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval_at};

use crate::scenarios::Sizes;
use crate::scenarios::client::{Client, User, register_all, room};
use crate::scenarios::figures::{bare_write, milliseconds, quantile, quantiles, rounded};
use crate::scenarios::server::{Server, ServerProgram, Settings};

pub async fn run(sizes: &Sizes, program: &ServerProgram<'_>) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(program, &Settings::tracker(folder.path()));
    let bare = bare_write();
    let users: Vec<_> = (0..2 * sizes.rooms).map(User::plaintext).collect();
    let mut clients = register_all(&users, server.address).await;
    let guests = clients.split_off(sizes.rooms);
    let pause = Duration::from_secs(1).mul_f64(sizes.rooms as f64 / sizes.rate as f64);
    let count = (sizes.time.as_secs_f64() / 20.0 / pause.as_secs_f64()).ceil() as usize;
    let begin = Instant::now();
    let work = clients.into_iter().zip(guests).enumerate().map(|(number, (owner, guest))| {
        let start = begin + pause.mul_f64(number as f64 / sizes.rooms as f64);
        tokio::spawn(change(number, owner, guest, (start, pause), count))
    });
    let mut times = Vec::new();
    for done in work.collect::<Vec<_>>() {
        times.extend(done.await.unwrap());
    }
    let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
    let median = quantile(&mut times, 0.5);
    json!({
        "rooms": sizes.rooms,
        "changes": times.len(),
        "changes_per_second": rounded(rate),
        "time": quantiles(&mut times),
        "bare_write_ms": milliseconds(bare),
        "ratio_p50_to_bare_write": rounded(median.as_secs_f64() / bare.as_secs_f64()),
    })
}

/// Lets a guest join and leave in turn, and returns the times until the owner knows.
async fn change(
    number: usize,
    mut owner: Client,
    mut guest: Client,
    (start, pause): (Instant, Duration),
    count: usize,
) -> Vec<Duration> {
    let name = format!("room {number}");
    owner.ok(room("CREATE_ROOM", &name)).await;
    let mut ticks = interval_at(start.into(), pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut times = Vec::new();
    for cmd in ["JOIN_ROOM", "LEAVE_ROOM"].into_iter().cycle().take(count) {
        ticks.tick().await;
        let begin = Instant::now();
        let update = async {
            owner.update().await;
            begin.elapsed()
        };
        let ((), time) = tokio::join!(guest.ok(room(cmd, &name)), update);
        times.push(time);
    }
    times
}
