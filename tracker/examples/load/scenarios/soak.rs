//! Memory and descriptors of a tracker over time, while users register, meet in rooms, leave and delete their accounts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::scenarios::Sizes;
use crate::scenarios::client::{User, room};
use crate::scenarios::figures::rounded;
use crate::scenarios::server::{Server, ServerProgram, Settings};

/// The number of samples of a soak. The first fifth warms up.
const SAMPLES: u32 = 100;

/// The figures of one moment.
#[derive(Clone, Copy)]
struct Sample {
    minutes: f64,
    bytes: f64,
    descriptors: f64,
}

pub async fn run(sizes: &Sizes, program: &ServerProgram<'_>) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(program, &Settings::tracker(folder.path()));
    let (rounds, stops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let workers: Vec<_> = (0..sizes.workers)
        .map(|number| tokio::spawn(work(number, server.address, rounds.clone(), stops.clone())))
        .collect();
    let (begin, mut samples) = (Instant::now(), Vec::new());
    let mut ticks = interval((sizes.time / SAMPLES).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Each worker makes at least one round.
    while begin.elapsed() < sizes.time || rounds.load(Ordering::Relaxed) < sizes.workers {
        ticks.tick().await;
        samples.push(Sample {
            minutes: begin.elapsed().as_secs_f64() / 60.0,
            bytes: server.memory(),
            descriptors: server.descriptors() as f64,
        });
    }
    stops.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    server.wait_for("p2p_chat_connections", |connections| connections == 0.0).await;
    let left = [server.metric("p2p_chat_users").await, server.metric("p2p_chat_rooms").await];
    let warm = &samples[samples.len() / 5..];
    let (first, last) = (warm[0], warm[warm.len() - 1]);
    json!({
        "seconds": rounded(begin.elapsed().as_secs_f64()),
        "workers": sizes.workers,
        "rounds": rounds.load(Ordering::Relaxed),
        "first_bytes": first.bytes,
        "last_bytes": last.bytes,
        "bytes_per_minute": rounded(slope(warm, |sample| sample.bytes)),
        "first_descriptors": first.descriptors,
        "last_descriptors": last.descriptors,
        "descriptors_per_minute": rounded(slope(warm, |sample| sample.descriptors)),
        "descriptors_at_rest": server.descriptors(),
        "users_left": left[0],
        "rooms_left": left[1],
    })
}

/// One round after the other: two users register, meet in a room, come back by their keys, leave and delete their accounts.
async fn work(number: usize, tracker: SocketAddr, rounds: Arc<AtomicUsize>, stops: Arc<AtomicBool>) {
    for round in 0.. {
        let user = |guest: usize| User {
            name: format!("s{number}-{round}-{guest}"),
            ..User::encrypted(2 * number + guest)
        };
        let (ana, bob) = (user(0), user(1));
        let name = format!("room {number}");
        let mut owner = ana.register(tracker).await;
        let mut guest = bob.register(tracker).await;
        owner.ok(room("CREATE_ROOM", &name)).await;
        guest.ok(room("JOIN_ROOM", &name)).await;
        owner.update().await;
        drop(guest);
        owner.update().await;
        let mut guest = bob.sign_in_by_key(tracker).await;
        owner.update().await;
        guest.ok(room("LEAVE_ROOM", &name)).await;
        owner.update().await;
        owner.ok(room("DELETE_ROOM", &name)).await;
        for mut client in [owner, guest] {
            client.ok(json!({"cmd": "DELETE_ACCOUNT", "password": "0".repeat(64), "id": 2})).await;
        }
        rounds.fetch_add(1, Ordering::Relaxed);
        if stops.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// The slope of the straight line that is nearest to the samples, a minute.
fn slope(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / samples.len() as f64;
    let (middle, average) = (mean(&|sample| sample.minutes), mean(&|sample| value(sample)));
    let common = mean(&|sample| (sample.minutes - middle) * (value(sample) - average));
    let spread = mean(&|sample| (sample.minutes - middle).powi(2));
    if spread > 0.0 { common / spread } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slope_of(bytes: impl Fn(f64) -> f64) -> f64 {
        let at = |minutes: f64| Sample { minutes, bytes: bytes(minutes), descriptors: 0.0 };
        slope(&[0.0, 1.0, 2.0, 5.0].map(at), |sample| sample.bytes)
    }

    #[test]
    fn flat_figures_have_no_slope() {
        assert_eq!(slope_of(|_| 7.0), 0.0);
    }

    #[test]
    fn control_growing_figures_have_a_slope() {
        assert_eq!(slope_of(|minutes| 100.0 + 3.0 * minutes).round(), 3.0);
    }
}
