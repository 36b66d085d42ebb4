//! The stored password of an account: a hash of each proof by which clients may show that they know it.
//!
//! It is one text, as in the file. A hash of the digest stands as earlier versions wrote it. A hash of the login key has a
//! mark behind it, with the first digits of the tracker's key for which the login key was derived. Example of both:
//! `$argon2id$…A $argon2id$…B login_key:9d61b19deffd5a60`.

use std::fmt;

use commons::keys::PublicKey;
use commons::user::PasswordDigest;

/// The beginning of every hash in PHC string format.
const HASH: &str = "$argon2id$";

/// The mark behind the hash of a login key.
const LOGIN_KEY: &str = " login_key:";

/// The number of digits that name a tracker's key. They only explain a refusal, so they need not be many.
const TRACKER_DIGITS: usize = 16;

/// A stored password. It is compared as a whole.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoredPassword(Box<str>);

/// The stored form of a digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoredDigest<'a> {
    /// An argon2id hash of the digest, in PHC string format.
    Hash(&'a str),
    /// The digest itself, as the legacy tracker stored it. The first login replaces it by a hash.
    Plain(&'a str),
}

/// The stored form of a login key: an argon2id hash of its hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredLoginKey<'a> {
    /// The hash in PHC string format.
    pub(crate) hash: &'a str,
    tracker: &'a str,
}

impl StoredPassword {
    /// Reads the text of the file. Returns `None` if it is neither a hash nor a digest.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let is_stored = PasswordDigest::is_digest(text) || text.starts_with(HASH);
        is_stored.then(|| Self(text.into()))
    }

    /// Joins the hashes of a digest and of a login key for this tracker. Returns `None` if there is none.
    pub(crate) fn new(digest: Option<&str>, login_key: Option<&str>, tracker: &PublicKey) -> Option<Self> {
        let marked = login_key.map(|hash| {
            let tracker = tracker.to_string();
            format!("{hash}{LOGIN_KEY}{}", &tracker[..TRACKER_DIGITS])
        });
        let text = match (digest, marked) {
            (Some(digest), Some(marked)) => format!("{digest} {marked}"),
            (Some(digest), None) => digest.to_owned(),
            (None, Some(marked)) => marked,
            (None, None) => return None,
        };
        Some(Self(text.into()))
    }

    /// The text for the file.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The stored digest, if a client with the digest may sign in.
    pub(crate) fn digest(&self) -> Option<StoredDigest<'_>> {
        let digest = self.parts().0?;
        Some(if digest.starts_with(HASH) { StoredDigest::Hash(digest) } else { StoredDigest::Plain(digest) })
    }

    /// The stored login key, if there is one.
    pub(crate) fn login_key(&self) -> Option<StoredLoginKey<'_>> {
        self.parts().1
    }

    fn parts(&self) -> (Option<&str>, Option<StoredLoginKey<'_>>) {
        let Some((hashes, tracker)) = self.0.rsplit_once(LOGIN_KEY) else { return (Some(&self.0), None) };
        match hashes.split_once(' ') {
            Some((digest, hash)) => (Some(digest), Some(StoredLoginKey { hash, tracker })),
            None => (None, Some(StoredLoginKey { hash: hashes, tracker })),
        }
    }
}

impl StoredLoginKey<'_> {
    /// Whether the login key was derived for a tracker with this key.
    pub(crate) fn is_for(&self, tracker: &PublicKey) -> bool {
        self.tracker.len() == TRACKER_DIGITS && tracker.to_string().starts_with(self.tracker)
    }
}

/// The debug output hides the secret from logs.
impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredPassword(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(byte: u8) -> PublicKey {
        PublicKey::new([byte; 32])
    }

    #[test]
    fn joined_hashes_are_read_again() {
        let (digest, key) = ("$argon2id$v=19$a", "$argon2id$v=19$b");
        for (digest, key) in [(Some(digest), None), (None, Some(key)), (Some(digest), Some(key))] {
            let stored = StoredPassword::new(digest, key, &tracker(1)).unwrap();
            let read = StoredPassword::read(stored.as_str()).unwrap();
            assert_eq!(read, stored);
            assert!(read.digest() == digest.map(StoredDigest::Hash));
            assert_eq!(read.login_key().map(|it| it.hash), key);
            assert_eq!(read.login_key().map(|it| it.is_for(&tracker(1))), key.map(|_| true));
            assert_eq!(read.login_key().map(|it| it.is_for(&tracker(2))), key.map(|_| false));
        }
        assert_eq!(StoredPassword::new(None, None, &tracker(1)), None);
    }

    #[test]
    fn values_of_earlier_versions_are_digests() {
        let (original, hash) = ("0f".repeat(32), "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA");
        assert!(StoredPassword::read(&original).unwrap().digest() == Some(StoredDigest::Plain(&original)));
        assert!(StoredPassword::read(hash).unwrap().digest() == Some(StoredDigest::Hash(hash)));
        assert!(StoredPassword::read(hash).unwrap().login_key().is_none());
        assert_eq!(StoredPassword::read("123456"), None);
        assert_eq!(StoredPassword::read(&original.to_uppercase()), None);
    }

    #[test]
    fn debug_hides_the_hash() {
        let stored = StoredPassword::read("$argon2id$canary").unwrap();
        assert_eq!(format!("{stored:?}"), "StoredPassword(..)");
    }
}
