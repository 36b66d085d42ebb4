//! Password hashing with argon2id on a fixed number of threads.
//!
//! Each thread keeps its memory and uses it again for the next hash. A hash takes 19 MiB: threads that allocate it for
//! each hash, each from its own malloc arena, keep hundreds of MiB. The module `password_queue` decides the order of
//! the waiting hashes.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::try_generate_salt;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use commons::user::PasswordDigest;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zeroize::Zeroize;

use crate::config::PasswordCost;
use crate::limits::{HASH_MEMORY_MAX, HASH_WAIT_MAX, HASHING_THREADS};
use crate::password_queue::{HashOrigin, PasswordQueue};
use crate::repositories::user::StoredPassword;

/// The reason why a password was not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordError {
    /// Too many hashes are waiting.
    #[error("the tracker is busy: try again in a few seconds")]
    Busy,
    /// The hash could not be computed, for example because memory is short.
    #[error("the password cannot be checked now: try again later")]
    Failed,
}

/// The result of a password check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PasswordMatch {
    /// The password is correct.
    Right,
    /// The password is correct. This hash must replace the stored digest.
    RightAndHashed(String),
    /// The password is wrong, or the account does not exist.
    Wrong,
}

/// Hashes and checks passwords.
#[derive(Debug)]
pub(crate) struct Passwords {
    shared: Arc<Mutex<Shared>>,
    /// The hash that is checked for an unknown account, so that the answer takes equally long.
    nobody: Arc<str>,
}

/// A job for the hashing threads. It runs with a hasher. Without a hasher, it reports to its caller that it was
/// displaced.
type Job = Box<dyn FnOnce(Option<&mut Hasher>) + Send>;

/// The waiting jobs and the idle hashers. There is one hasher per thread, which limits the number of running threads.
struct Shared {
    jobs: PasswordQueue<Job>,
    idle: Vec<Hasher>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared(..)")
    }
}

impl Passwords {
    /// Creates the hashing service with this cost.
    pub(crate) fn new(cost: PasswordCost) -> Result<Self, PasswordError> {
        let params = Params::new(cost.memory, cost.passes, 1, None).map_err(|_| PasswordError::Failed)?;
        let mut hasher = Hasher::new(params);
        let nobody = hasher.hash("nobody's password")?.into();
        let others = (1..HASHING_THREADS).map(|_| Hasher::new(hasher.params.clone()));
        let mut idle: Vec<_> = others.collect();
        idle.push(hasher);
        let shared = Shared { jobs: PasswordQueue::new(), idle };
        Ok(Self { shared: Arc::new(Mutex::new(shared)), nobody })
    }

    /// Computes the hash to store for a digest, in PHC string format.
    pub(crate) async fn hash(
        &self,
        origin: HashOrigin,
        digest: PasswordDigest,
    ) -> Result<String, PasswordError> {
        self.run(origin, move |hasher| hasher.hash(digest.as_str())).await
    }

    /// Checks an offered password. It always costs one hash, even if the account does not exist or the offer is not a
    /// digest.
    pub(crate) async fn verify(
        &self,
        origin: HashOrigin,
        stored: Option<StoredPassword>,
        offered: String,
    ) -> Result<PasswordMatch, PasswordError> {
        let nobody = self.nobody.clone();
        self.run(origin, move |hasher| {
            let judgement = match stored {
                Some(StoredPassword::Hash(stored)) if hasher.matches(&stored, &offered) => {
                    PasswordMatch::Right
                }
                Some(StoredPassword::Hash(_)) => PasswordMatch::Wrong,
                Some(StoredPassword::Digest(stored)) if same(stored.as_str(), &offered) => {
                    PasswordMatch::RightAndHashed(hasher.hash(&offered)?)
                }
                Some(StoredPassword::Digest(_)) | None => {
                    hasher.matches(&nobody, &offered);
                    PasswordMatch::Wrong
                }
            };
            Ok(judgement)
        })
        .await
    }

    /// The number of hashes that wait.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.shared).jobs.len()
    }

    async fn run<R: Send + 'static>(
        &self,
        origin: HashOrigin,
        work: impl FnOnce(&mut Hasher) -> Result<R, PasswordError> + Send + 'static,
    ) -> Result<R, PasswordError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |hasher| {
            let done = match hasher {
                // The caller has stopped waiting, so nobody needs this hash.
                Some(_) if reply.is_closed() => return,
                Some(hasher) => work(hasher),
                None => Err(PasswordError::Busy),
            };
            let _ = reply.send(done);
        });
        let (displaced, hasher) = {
            let mut shared = lock(&self.shared);
            (shared.jobs.push(origin, job), shared.idle.pop())
        };
        if let Some(displaced) = displaced {
            displaced(None);
        }
        if let Some(hasher) = hasher {
            let shared = self.shared.clone();
            spawn_blocking(move || serve(&shared, hasher));
        }
        // A job whose caller gave up stays in the queue until its turn and then costs nothing.
        let answer = timeout(HASH_WAIT_MAX, answer).await.map_err(|_| PasswordError::Busy)?;
        answer.map_err(|_| PasswordError::Failed)?
    }
}

/// Runs jobs until none is waiting, then returns the hasher to the idle ones.
fn serve(shared: &Mutex<Shared>, mut hasher: Hasher) {
    loop {
        let job = {
            let mut shared = lock(shared);
            match shared.jobs.pop() {
                Some(job) => job,
                None => return shared.idle.push(hasher),
            }
        };
        job(Some(&mut hasher));
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Computes hashes and keeps its memory from one hash to the next.
struct Hasher {
    params: Params,
    memory: Vec<Block>,
}

impl Hasher {
    fn new(params: Params) -> Self {
        Self { params, memory: Vec::new() }
    }

    /// The hash of a text with a new salt, in PHC string format.
    fn hash(&mut self, text: &str) -> Result<String, PasswordError> {
        let hash = self.hash_with_new_salt(text).map_err(|_| PasswordError::Failed)?;
        Ok(hash.to_string())
    }

    fn hash_with_new_salt(&mut self, text: &str) -> argon2::password_hash::Result<PasswordHash> {
        let salt = Salt::new(&try_generate_salt()?)?;
        let (algorithm, version, params) = (Algorithm::Argon2id, Version::V0x13, self.params.clone());
        let output =
            self.fill(&Argon2::new(algorithm, version, params), text, &salt, Params::DEFAULT_OUTPUT_LEN)?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: ParamsString::try_from(&self.params)?,
            salt: Some(salt),
            hash: Some(output),
        })
    }

    /// Whether a text matches a stored hash in PHC string format.
    fn matches(&mut self, stored: &str, text: &str) -> bool {
        PasswordHash::new(stored).is_ok_and(|stored| self.verify(&stored, text).is_ok_and(|right| right))
    }

    fn verify(&mut self, stored: &PasswordHash, text: &str) -> argon2::password_hash::Result<bool> {
        let (Some(salt), Some(output)) = (&stored.salt, &stored.hash) else { return Ok(false) };
        let algorithm = Algorithm::try_from(stored.algorithm.as_str())?;
        let version = stored.version.map(Version::try_from).transpose()?.unwrap_or_default();
        let argon2 = Argon2::new(algorithm, version, Params::try_from(stored)?);
        // The comparison takes constant time, wherever the first difference is.
        Ok(self.fill(&argon2, text, salt, output.len())? == *output)
    }

    fn fill(
        &mut self,
        argon2: &Argon2<'_>,
        text: &str,
        salt: &Salt,
        length: usize,
    ) -> argon2::password_hash::Result<Output> {
        let blocks = argon2.params().block_count();
        if blocks * Block::SIZE > HASH_MEMORY_MAX {
            return Err(argon2::password_hash::Error::ParamsInvalid);
        }
        if self.memory.len() < blocks {
            self.memory.resize(blocks, Block::new());
        }
        let memory = &mut self.memory[..blocks];
        let mut bytes = [0; Output::MAX_LENGTH];
        let output = bytes.get_mut(..length).ok_or(argon2::password_hash::Error::OutputSize)?;
        let filled = argon2.hash_password_into_with_memory(text.as_bytes(), salt, output, &mut *memory);
        memory.iter_mut().zeroize();
        filled?;
        Ok(Output::new(output)?)
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher(..)")
    }
}

/// Compares two texts in constant time, so that the duration does not reveal the first difference.
fn same(stored: &str, offered: &str) -> bool {
    let differences = stored.bytes().zip(offered.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    stored.len() == offered.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;
    use tokio::time::advance;

    use super::*;
    use crate::limits::HASHES_WAITING_MAX;

    fn origin() -> HashOrigin {
        HashOrigin::operator()
    }

    fn passwords() -> Passwords {
        Passwords::new(PasswordCost { memory: 8, passes: 1 }).unwrap()
    }

    #[tokio::test]
    async fn verifies_hashes_digests_and_unknown_users() {
        let passwords = passwords();
        let (right, wrong) = (PasswordDigest::of_typed("right"), PasswordDigest::of_typed("wrong"));
        let hash = passwords.hash(origin(), right.clone()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        let verify = |stored: Option<StoredPassword>, offered: &PasswordDigest| {
            let offered = offered.as_str().to_owned();
            let passwords = &passwords;
            async move { passwords.verify(origin(), stored, offered).await.unwrap() }
        };
        let hashed = StoredPassword::Hash(hash);
        assert_eq!(verify(Some(hashed.clone()), &right).await, PasswordMatch::Right);
        assert_eq!(verify(Some(hashed), &wrong).await, PasswordMatch::Wrong);
        let digest = StoredPassword::Digest(right.clone());
        assert_eq!(verify(Some(digest.clone()), &wrong).await, PasswordMatch::Wrong);
        assert_eq!(verify(None, &right).await, PasswordMatch::Wrong);
        let PasswordMatch::RightAndHashed(hash) = verify(Some(digest), &right).await else { panic!() };
        assert_eq!(verify(Some(StoredPassword::Hash(hash)), &right).await, PasswordMatch::Right);
    }

    #[tokio::test]
    async fn the_documented_cost_is_the_default() {
        let passwords = Passwords::new(PasswordCost::default()).unwrap();
        let hash = passwords.hash(origin(), PasswordDigest::of_typed("x")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    }

    /// Keeps every hashing thread busy until the barrier is reached from outside.
    async fn hold_all_threads(passwords: &Passwords, go_on: &Arc<Barrier>, started: &Arc<Semaphore>) {
        let job = |_| {
            let (go_on, started) = (go_on.clone(), started.clone());
            passwords.run(origin(), move |_| {
                started.add_permits(1);
                go_on.wait();
                Ok(())
            })
        };
        join_all((0..HASHING_THREADS).map(job)).await;
    }

    #[tokio::test]
    async fn oldest_of_too_many_hashes_is_refused() {
        let passwords = passwords();
        // Both threads are kept busy until all other jobs are waiting.
        let (go_on, started) = (Arc::new(Barrier::new(HASHING_THREADS + 1)), Arc::new(Semaphore::new(0)));
        let held = hold_all_threads(&passwords, &go_on, &started);
        let others = async {
            let _started = started.acquire_many(HASHING_THREADS as u32).await.unwrap();
            let mut all = Box::pin(join_all(
                (0..=HASHES_WAITING_MAX).map(|_| passwords.hash(origin(), PasswordDigest::of_typed("x"))),
            ));
            assert!(futures_util::poll!(&mut all).is_pending());
            go_on.wait();
            all.await
        };
        let (_, others) = tokio::join!(held, others);
        assert_eq!(others[0], Err(PasswordError::Busy));
        assert!(others[1..].iter().all(Result::is_ok));
    }

    /// Newer jobs of the same network may go first as long as there are any.
    #[tokio::test(start_paused = true)]
    async fn hash_that_waits_too_long_is_refused() {
        let passwords = passwords();
        let (go_on, started) = (Arc::new(Barrier::new(HASHING_THREADS + 1)), Arc::new(Semaphore::new(0)));
        let held = hold_all_threads(&passwords, &go_on, &started);
        let waits = async {
            let _started = started.acquire_many(HASHING_THREADS as u32).await.unwrap();
            let mut waiting = Box::pin(passwords.hash(origin(), PasswordDigest::of_typed("x")));
            assert!(futures_util::poll!(&mut waiting).is_pending());
            advance(HASH_WAIT_MAX).await;
            let answer = waiting.await;
            go_on.wait();
            answer
        };
        assert_eq!(tokio::join!(held, waits).1, Err(PasswordError::Busy));
        // Control: with an empty queue, the hash is computed.
        assert!(passwords.hash(origin(), PasswordDigest::of_typed("x")).await.is_ok());
    }

    #[tokio::test]
    async fn a_hash_that_asks_for_too_much_memory_is_nobodys() {
        let passwords = passwords();
        let hash = passwords.hash(origin(), PasswordDigest::of_typed("x")).await.unwrap();
        let huge = StoredPassword::Hash(hash.replace("m=8,", "m=4194304,"));
        let offered = PasswordDigest::of_typed("x").as_str().to_owned();
        assert_eq!(passwords.verify(origin(), Some(huge), offered).await, Ok(PasswordMatch::Wrong));
    }

    /// Verifies with the argon2 crate's own function, which other programs use on our files.
    #[tokio::test]
    async fn hashes_verify_with_another_argon2() {
        use argon2::PasswordVerifier;
        let hash = passwords().hash(origin(), PasswordDigest::of_typed("x")).await.unwrap();
        let stored = PasswordHash::new(&hash).unwrap();
        let verify = |text: &str| {
            let digest = PasswordDigest::of_typed(text);
            Argon2::default().verify_password(digest.as_str().as_bytes(), &stored)
        };
        assert!(verify("x").is_ok() && verify("y").is_err());
    }
}
