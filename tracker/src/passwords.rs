//! Password hashing: argon2id, off the async threads, no more at a time than there are cores.

use std::sync::Arc;
use std::thread::available_parallelism;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use commons::user::PasswordDigest;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::config::PasswordCost;
use crate::limits::HASHES_WAITING_MAX;
use crate::repositories::user::StoredPassword;

/// Why a password was not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordError {
    /// Too many are waiting.
    #[error("too many people are signing in: try again in a moment")]
    Busy,
    /// Hashing failed, for want of memory.
    #[error("the password cannot be checked now: try again later")]
    Failed,
}

/// What became of an offered password.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is the user's.
    Right,
    /// It is the user's, and this hash is to replace the digest that was stored.
    RightAndHashed(String),
    /// It is not, or there is no such user.
    Wrong,
}

/// Hashes and judges passwords.
#[derive(Debug)]
pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    cores: Semaphore,
    /// The cores and the queue before them.
    places: Semaphore,
    /// What is judged where there is no user, so that this takes as long.
    nobody: Arc<str>,
}

impl Passwords {
    /// Hashes at this cost.
    pub(crate) fn new(cost: PasswordCost) -> Result<Self, PasswordError> {
        let params = Params::new(cost.memory, cost.passes, 1, None).map_err(|_| PasswordError::Failed)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = hash(&argon2, "nobody's password")?.into();
        let cores = available_parallelism().map_or(1, usize::from);
        let places = Semaphore::new(cores + HASHES_WAITING_MAX);
        Ok(Self { argon2, cores: Semaphore::new(cores), places, nobody })
    }

    /// The hash to store for a digest, in PHC form.
    pub(crate) async fn hash(&self, digest: PasswordDigest) -> Result<String, PasswordError> {
        let argon2 = self.argon2.clone();
        self.run(move || hash(&argon2, digest.as_str())).await
    }

    /// Judges what a client offers. It costs one hash in every case, also where there is no such user or the offer
    /// is no digest at all.
    pub(crate) async fn judge(
        &self,
        stored: Option<StoredPassword>,
        offered: String,
    ) -> Result<Judgement, PasswordError> {
        let (argon2, nobody) = (self.argon2.clone(), self.nobody.clone());
        self.run(move || {
            let judgement = match stored {
                Some(StoredPassword::Hash(stored)) if matches(&argon2, &stored, &offered) => Judgement::Right,
                Some(StoredPassword::Hash(_)) => Judgement::Wrong,
                Some(StoredPassword::Digest(stored)) if same(stored.as_str(), &offered) => {
                    Judgement::RightAndHashed(hash(&argon2, &offered)?)
                }
                Some(StoredPassword::Digest(_)) | None => {
                    matches(&argon2, &nobody, &offered);
                    Judgement::Wrong
                }
            };
            Ok(judgement)
        })
        .await
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R, PasswordError> + Send + 'static,
    ) -> Result<R, PasswordError> {
        let _place = self.places.try_acquire().map_err(|_| PasswordError::Busy)?;
        let _core = self.cores.acquire().await.map_err(|_| PasswordError::Failed)?;
        spawn_blocking(work).await.map_err(|_| PasswordError::Failed)?
    }
}

fn hash(argon2: &Argon2<'_>, text: &str) -> Result<String, PasswordError> {
    let hash = argon2.hash_password(text.as_bytes()).map_err(|_| PasswordError::Failed)?;
    Ok(hash.to_string())
}

fn matches(argon2: &Argon2<'_>, stored: &str, offered: &str) -> bool {
    PasswordHash::new(stored).is_ok_and(|stored| argon2.verify_password(offered.as_bytes(), &stored).is_ok())
}

/// Compares in a time that does not tell where the first difference is.
fn same(stored: &str, offered: &str) -> bool {
    let differences = stored.bytes().zip(offered.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    stored.len() == offered.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(PasswordCost { memory: 8, passes: 1 }).unwrap()
    }

    #[tokio::test]
    async fn judges_hashes_digests_and_nobody() {
        let passwords = passwords();
        let (right, wrong) = (PasswordDigest::of_typed("right"), PasswordDigest::of_typed("wrong"));
        let hash = passwords.hash(right.clone()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        let judge = |stored: Option<StoredPassword>, offered: &PasswordDigest| {
            let offered = offered.as_str().to_owned();
            let passwords = &passwords;
            async move { passwords.judge(stored, offered).await.unwrap() }
        };
        let hashed = StoredPassword::Hash(hash);
        assert_eq!(judge(Some(hashed.clone()), &right).await, Judgement::Right);
        assert_eq!(judge(Some(hashed), &wrong).await, Judgement::Wrong);
        let digest = StoredPassword::Digest(right.clone());
        assert_eq!(judge(Some(digest.clone()), &wrong).await, Judgement::Wrong);
        assert_eq!(judge(None, &right).await, Judgement::Wrong);
        let Judgement::RightAndHashed(hash) = judge(Some(digest), &right).await else { panic!() };
        assert_eq!(judge(Some(StoredPassword::Hash(hash)), &right).await, Judgement::Right);
    }

    #[tokio::test]
    async fn the_documented_cost_is_the_default() {
        let passwords = Passwords::new(PasswordCost::default()).unwrap();
        let hash = passwords.hash(PasswordDigest::of_typed("x")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    }

    #[tokio::test]
    async fn one_too_many_is_told_so() {
        let passwords = passwords();
        let held = passwords.places.try_acquire_many(passwords.places.available_permits() as u32).unwrap();
        let busy = passwords.hash(PasswordDigest::of_typed("x")).await;
        assert_eq!(busy, Err(PasswordError::Busy));
        drop(held);
        assert!(passwords.hash(PasswordDigest::of_typed("x")).await.is_ok());
    }
}
