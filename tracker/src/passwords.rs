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
use commons::keys::PublicKey;
use commons::login_key::LoginKey;
use commons::protocol::with_tracker::Secret;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zeroize::Zeroize;

use crate::config::PasswordCost;
use crate::limits::{HASH_MEMORY_MAX, HASH_WAIT_MAX, HASHING_THREADS};
use crate::password_proofs::{NewPassword, PasswordProofs};
use crate::password_queue::{HashOrigin, PasswordQueue};
use crate::repositories::stored_password::{StoredDigest, StoredPassword};

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
    /// The password is correct. If there is another form of it, that must replace the stored one.
    Right(Option<StoredPassword>),
    /// The password is wrong, or the account does not exist.
    Wrong,
    /// The client sent a login key, and the account has only the digest of its password.
    DigestRequired,
    /// The client sent a login key, and the account's one belongs to an earlier key of the tracker.
    LoginKeyOutdated,
}

/// Hashes and checks passwords.
#[derive(Debug)]
pub(crate) struct Passwords {
    shared: Arc<Mutex<Shared>>,
    /// The hash that is checked for an unknown account, so that the answer takes equally long.
    nobody: Arc<str>,
    /// The tracker's key, for which clients derive login keys.
    tracker: PublicKey,
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
    /// Creates the hashing service with this cost, for a tracker with this key.
    pub(crate) fn new(cost: PasswordCost, tracker: PublicKey) -> Result<Self, PasswordError> {
        let params = Params::new(cost.memory, cost.passes, 1, None).map_err(|_| PasswordError::Failed)?;
        let mut hasher = Hasher::new(params);
        let nobody = hasher.hash("nobody's password")?.into();
        let others = (1..HASHING_THREADS).map(|_| Hasher::new(hasher.params.clone()));
        let mut idle: Vec<_> = others.collect();
        idle.push(hasher);
        let shared = Shared { jobs: PasswordQueue::new(), idle };
        Ok(Self { shared: Arc::new(Mutex::new(shared)), nobody, tracker })
    }

    /// Computes the form to store of a new password.
    pub(crate) async fn hash(
        &self,
        origin: HashOrigin,
        new: NewPassword,
    ) -> Result<StoredPassword, PasswordError> {
        let tracker = self.tracker;
        self.run(origin, move |hasher| hasher.hash_new(&new, &tracker)).await
    }

    /// Checks the proofs of a password. It always costs one hash, even if the account does not exist or a proof has a
    /// wrong form.
    pub(crate) async fn verify(
        &self,
        origin: HashOrigin,
        stored: Option<StoredPassword>,
        offered: PasswordProofs,
    ) -> Result<PasswordMatch, PasswordError> {
        let (nobody, tracker) = (self.nobody.clone(), self.tracker);
        self.run(origin, move |hasher| {
            let checked = stored.as_ref().map(|stored| hasher.check(stored, &offered, &tracker));
            if let Some(checked) = checked.transpose()?.flatten() {
                return Ok(checked);
            }
            hasher.matches(&nobody, offered.any().map_or("", |Secret(text)| text));
            Ok(unchecked(stored.as_ref(), &offered))
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

/// The result for proofs of which the tracker stores none.
fn unchecked(stored: Option<&StoredPassword>, offered: &PasswordProofs) -> PasswordMatch {
    match stored {
        Some(stored) if offered.login_key.is_some() && stored.digest().is_none() => {
            PasswordMatch::LoginKeyOutdated
        }
        Some(stored) if offered.digest.is_none() && stored.digest().is_some() => {
            PasswordMatch::DigestRequired
        }
        _ => PasswordMatch::Wrong,
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

    /// The form to store of a new password.
    fn hash_new(&mut self, new: &NewPassword, tracker: &PublicKey) -> Result<StoredPassword, PasswordError> {
        let digest = new.digest.as_ref().map(|digest| self.hash(digest.as_str())).transpose()?;
        let login_key = new.login_key.as_ref().map(|key| self.hash(&key.to_hex())).transpose()?;
        StoredPassword::new(digest.as_deref(), login_key.as_deref(), tracker).ok_or(PasswordError::Failed)
    }

    /// Checks a proof of which the tracker stores a hash: the login key, or else the digest. Returns `None` if it stores
    /// none of them, or if nothing was hashed.
    fn check(
        &mut self,
        stored: &StoredPassword,
        offered: &PasswordProofs,
        tracker: &PublicKey,
    ) -> Result<Option<PasswordMatch>, PasswordError> {
        let matched = |is_right| if is_right { PasswordMatch::Right(None) } else { PasswordMatch::Wrong };
        let login_key = stored.login_key().filter(|stored| stored.is_for(tracker));
        if let (Some(stored), Some(Secret(offered))) = (login_key, &offered.login_key) {
            return Ok(Some(matched(self.matches(stored.hash, offered))));
        }
        let (Some(digest), Some(Secret(offered_digest))) = (stored.digest(), &offered.digest) else {
            return Ok(None);
        };
        match digest {
            StoredDigest::Plain(plain) if !same(plain, offered_digest) => return Ok(None),
            StoredDigest::Hash(hash) if !self.matches(hash, offered_digest) => {
                return Ok(Some(PasswordMatch::Wrong));
            }
            StoredDigest::Hash(_) if offered.login_key.is_none() => return Ok(Some(matched(true))),
            StoredDigest::Plain(_) | StoredDigest::Hash(_) => {}
        }
        let login_key = match &offered.login_key {
            None => None,
            Some(Secret(text)) => match LoginKey::parse(text) {
                Some(key) => Some(self.hash(&key.to_hex())?),
                None => return Ok(Some(PasswordMatch::Wrong)),
            },
        };
        let digest = match digest {
            StoredDigest::Hash(hash) => hash.to_owned(),
            StoredDigest::Plain(plain) => self.hash(plain)?,
        };
        Ok(Some(PasswordMatch::Right(StoredPassword::new(Some(&digest), login_key.as_deref(), tracker))))
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

    use commons::user::PasswordDigest;
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;
    use tokio::time::advance;

    use super::*;
    use crate::limits::HASHES_WAITING_MAX;

    fn origin() -> HashOrigin {
        HashOrigin::operator()
    }

    fn tracker() -> PublicKey {
        PublicKey::new([7; 32])
    }

    fn passwords() -> Passwords {
        Passwords::new(PasswordCost { memory: 8, passes: 1 }, tracker()).unwrap()
    }

    fn new_password(text: &str) -> NewPassword {
        NewPassword { digest: Some(PasswordDigest::of_typed(text)), login_key: None }
    }

    fn login_key(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    /// The proofs of a request: the digest of a text, and a login key.
    fn proofs(digest: Option<&str>, login_key: Option<&str>) -> PasswordProofs {
        PasswordProofs {
            digest: digest.map(|text| Secret(PasswordDigest::of_typed(text).as_str().to_owned())),
            login_key: login_key.map(|text| Secret(text.to_owned())),
        }
    }

    fn original(text: &str) -> StoredPassword {
        StoredPassword::read(PasswordDigest::of_typed(text).as_str()).unwrap()
    }

    #[tokio::test]
    async fn verifies_hashes_digests_and_unknown_users() {
        let passwords = passwords();
        let hashed = passwords.hash(origin(), new_password("right")).await.unwrap();
        assert!(hashed.as_str().starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{}", hashed.as_str());
        let verify = |stored: Option<StoredPassword>, text| {
            let passwords = &passwords;
            async move { passwords.verify(origin(), stored, proofs(Some(text), None)).await.unwrap() }
        };
        assert_eq!(verify(Some(hashed.clone()), "right").await, PasswordMatch::Right(None));
        assert_eq!(verify(Some(hashed), "wrong").await, PasswordMatch::Wrong);
        let digest = original("right");
        assert_eq!(verify(Some(digest.clone()), "wrong").await, PasswordMatch::Wrong);
        assert_eq!(verify(None, "right").await, PasswordMatch::Wrong);
        let PasswordMatch::Right(Some(hashed)) = verify(Some(digest), "right").await else { panic!() };
        assert!(hashed.as_str().starts_with("$argon2id$"));
        assert_eq!(verify(Some(hashed), "right").await, PasswordMatch::Right(None));
    }

    #[tokio::test]
    async fn login_key_is_stored_after_a_right_digest_only() {
        let passwords = passwords();
        let (key, other) = (login_key('a'), login_key('b'));
        let hashed = passwords.hash(origin(), new_password("right")).await.unwrap();
        for before in [hashed, original("right")] {
            let verify =
                |stored: &StoredPassword, offered| passwords.verify(origin(), Some(stored.clone()), offered);
            let (by_key, both) = (proofs(None, Some(&key)), proofs(Some("right"), Some(&key)));
            assert_eq!(verify(&before, by_key.clone()).await, Ok(PasswordMatch::DigestRequired));
            assert_eq!(verify(&before, proofs(Some("wrong"), Some(&key))).await, Ok(PasswordMatch::Wrong));
            assert_eq!(verify(&before, proofs(Some("right"), Some("short"))).await, Ok(PasswordMatch::Wrong));
            let Ok(PasswordMatch::Right(Some(after))) = verify(&before, both.clone()).await else { panic!() };
            for (offered, expected) in [
                (by_key, PasswordMatch::Right(None)),
                (both, PasswordMatch::Right(None)),
                (proofs(Some("right"), None), PasswordMatch::Right(None)),
                (proofs(None, Some(&other)), PasswordMatch::Wrong),
                (proofs(Some("wrong"), None), PasswordMatch::Wrong),
                // The digest does not replace a login key that is there.
                (proofs(Some("right"), Some(&other)), PasswordMatch::Wrong),
            ] {
                assert_eq!(verify(&after, offered).await, Ok(expected));
            }
        }
    }

    #[tokio::test]
    async fn login_key_of_another_tracker_key_is_outdated() {
        let (now, then) = (passwords(), PublicKey::new([8; 32]));
        let then = Passwords::new(PasswordCost { memory: 8, passes: 1 }, then).unwrap();
        let (key, other) = (login_key('a'), login_key('b'));
        let by_key = |key: &str| proofs(None, Some(key));
        let only_key = NewPassword { digest: None, login_key: LoginKey::parse(&key) };
        let both = NewPassword { digest: Some(PasswordDigest::of_typed("right")), ..only_key.clone() };
        let only_key = then.hash(origin(), only_key).await.unwrap();
        let verify = |stored: &StoredPassword, offered| now.verify(origin(), Some(stored.clone()), offered);
        assert_eq!(verify(&only_key, by_key(&key)).await, Ok(PasswordMatch::LoginKeyOutdated));
        assert_eq!(verify(&only_key, proofs(Some("right"), None)).await, Ok(PasswordMatch::Wrong));
        let control = then.verify(origin(), Some(only_key), by_key(&key)).await;
        assert_eq!(control, Ok(PasswordMatch::Right(None)));
        // The digest brings the new login key.
        let both = then.hash(origin(), both).await.unwrap();
        assert_eq!(verify(&both, by_key(&other)).await, Ok(PasswordMatch::DigestRequired));
        let renewed = verify(&both, proofs(Some("right"), Some(&other))).await;
        let Ok(PasswordMatch::Right(Some(renewed))) = renewed else { panic!() };
        assert_eq!(verify(&renewed, by_key(&other)).await, Ok(PasswordMatch::Right(None)));
    }

    #[tokio::test]
    async fn the_documented_cost_is_the_default() {
        let passwords = Passwords::new(PasswordCost::default(), tracker()).unwrap();
        let stored = passwords.hash(origin(), new_password("x")).await.unwrap();
        assert!(stored.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored.as_str());
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
                (0..=HASHES_WAITING_MAX).map(|_| passwords.hash(origin(), new_password("x"))),
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
            let mut waiting = Box::pin(passwords.hash(origin(), new_password("x")));
            assert!(futures_util::poll!(&mut waiting).is_pending());
            advance(HASH_WAIT_MAX).await;
            let answer = waiting.await;
            go_on.wait();
            answer
        };
        assert_eq!(tokio::join!(held, waits).1, Err(PasswordError::Busy));
        // Control: with an empty queue, the hash is computed.
        assert!(passwords.hash(origin(), new_password("x")).await.is_ok());
    }

    #[tokio::test]
    async fn a_hash_that_asks_for_too_much_memory_is_nobodys() {
        let passwords = passwords();
        let hash = passwords.hash(origin(), new_password("x")).await.unwrap();
        let huge = StoredPassword::read(&hash.as_str().replace("m=8,", "m=4194304,"));
        let offered = proofs(Some("x"), None);
        assert_eq!(passwords.verify(origin(), huge, offered).await, Ok(PasswordMatch::Wrong));
    }

    /// Verifies with the argon2 crate's own function, which other programs use on our files.
    #[tokio::test]
    async fn hashes_verify_with_another_argon2() {
        use argon2::PasswordVerifier;
        let hash = passwords().hash(origin(), new_password("x")).await.unwrap();
        let stored = PasswordHash::new(hash.as_str()).unwrap();
        let verify = |text: &str| {
            let digest = PasswordDigest::of_typed(text);
            Argon2::default().verify_password(digest.as_str().as_bytes(), &stored)
        };
        assert!(verify("x").is_ok() && verify("y").is_err());
    }
}
