//! The figures of the load test: quantiles, rates, and the time of a bare write to the disk.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The number of writes of the baseline.
const WRITES: usize = 200;

/// The size of a write of the baseline in bytes: about that of the change of a room.
const WRITE_BYTES: usize = 400;

/// Milliseconds with three digits after the point.
pub fn milliseconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1000.0)
}

/// A number with three digits after the point.
pub fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// The time that this share of the times does not exceed.
pub fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let at = (times.len() as f64 * share).ceil() as usize;
    times[at.clamp(1, times.len()) - 1]
}

/// Median, 99 of 100, and the longest of the times in milliseconds.
pub fn quantiles(times: &mut [Duration]) -> Value {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| milliseconds(quantile(times, share)));
    json!({"p50_ms": p50, "p99_ms": p99, "max_ms": max})
}

/// The median time of appending to a file and waiting for the disk.
pub fn bare_write() -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let mut file = std::fs::File::create(folder.path().join("file")).unwrap();
    let mut times: Vec<_> = (0..WRITES)
        .map(|_| {
            let begin = Instant::now();
            file.write_all(&[b'x'; WRITE_BYTES]).unwrap();
            file.sync_data().unwrap();
            begin.elapsed()
        })
        .collect();
    quantile(&mut times, 0.5)
}
