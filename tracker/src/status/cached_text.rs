//! A text that is expensive to make, kept for a moment.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A text, made again when it is too old. Requests at the same moment get the same text, so a flood of them costs little.
#[derive(Debug, Default)]
pub(crate) struct CachedText(Mutex<Option<(Instant, String)>>);

impl CachedText {
    /// Returns the text. Makes it if there is none, or if it is as old as `age`.
    pub(crate) fn get(&self, age: Duration, make: impl FnOnce() -> String) -> String {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cached {
            Some((made, text)) if made.elapsed() < age => text.clone(),
            _ => cached.insert((Instant::now(), make())).1.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// Makes the text again each time, with the number of times so far.
    fn flood(cached: &CachedText, age: Duration, times: &mut usize) -> String {
        let mut last = String::new();
        for _ in 0..1000 {
            last = cached.get(age, || {
                *times += 1;
                times.to_string()
            });
        }
        last
    }

    #[tokio::test(start_paused = true)]
    async fn flood_of_requests_makes_one_text_per_age() {
        let (cached, age, mut times) = (CachedText::default(), Duration::from_secs(1), 0);
        assert_eq!((flood(&cached, age, &mut times).as_str(), times), ("1", 1));
        advance(age).await;
        assert_eq!((flood(&cached, age, &mut times).as_str(), times), ("2", 2));
        // Control: without an age, each request makes the text.
        flood(&cached, Duration::ZERO, &mut times);
        assert_eq!(times, 1002);
    }
}
