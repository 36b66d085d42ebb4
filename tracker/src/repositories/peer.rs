//! The repository of peers.
//! It keeps the durable record of each user's peer, and the presence of connected users in memory only.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use commons::endorsement::Endorsement;
use commons::keys::{PublicKey, Signature};
use commons::limits::KEYS_PER_USER;
use commons::names::Username;
use commons::peer::Peer;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;

use crate::login::ConnectionId;
use crate::repositories::collection::Collection;
use crate::repositories::record::{Decoded, Record, unreadable};
use crate::repositories::update::{Change, StorageError};

/// The layout of a peer record in the file, of this version or of a legacy tracker.
#[derive(Deserialize)]
struct StoredPeer {
    address: Option<String>,
    port: Option<u16>,
    #[serde(default)]
    last_ping: Value,
    #[serde(default)]
    keys: Vec<PublicKey>,
    #[serde(default)]
    endorsements: Vec<Signature>,
}

impl Record for Peer {
    fn read(key: &str, json: &RawValue) -> Result<Decoded<Self>, String> {
        let stored: StoredPeer = serde_json::from_str(json.get()).map_err(|error| unreadable(&error))?;
        let Ok(username) = Username::parse(key) else { return Ok(Decoded::Invalid) };
        Ok(Decoded::Native(Self {
            address: stored.address.as_deref().and_then(claimed_address),
            port: stored.port,
            // The legacy tracker stored an object here that no program ever filled.
            last_ping: serde_json::from_value(stored.last_ping).ok(),
            keys: stored.keys,
            endorsements: stored.endorsements,
            ..Self::never_seen(username)
        }))
    }

    fn write(&self) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(self)
    }
}

/// Parses an address that others can dial. The legacy clients call their own computer "localhost".
pub(crate) fn claimed_address(text: &str) -> Option<IpAddr> {
    match text {
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        text => text.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified() && !ip.is_multicast()),
    }
}

/// The result of an endorsement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endorsed {
    /// The endorsement is stored, or an equivalent or better one is already there.
    Stored,
    /// One of the two keys is not bound to the user.
    NotBound,
    /// The endorsed key is not newer than the key that signs. A contact who knows the signing key also knows the endorsed
    /// one, so the endorsement is not needed.
    Earlier,
}

/// The result of a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    /// The user has the key.
    Bound,
    /// The user was not admitted any more.
    NotAdmitted,
    /// The user has the maximum number of keys, and none of them may be removed.
    Full,
}

/// The repository of peers.
#[derive(Debug, Clone)]
pub(crate) struct PeerRepository {
    records: Collection<Peer>,
    presence: Arc<RwLock<Presence>>,
    started: Instant,
}

/// The connected users. It is never locked while a change of a collection is awaited. Lock order: a scan of the rooms
/// may lock the presence. Code that holds the presence may read the peer records, but no rooms.
#[derive(Debug, Default)]
struct Presence {
    sessions: BTreeMap<Username, Session>,
    offline_since: HashMap<Username, Instant>,
}

/// An authenticated session, and the public view of its user.
#[derive(Debug)]
struct Session {
    connection: ConnectionId,
    peer: Peer,
}

impl PeerRepository {
    /// Creates the repository on a collection of records. No user is connected.
    pub(crate) fn new(records: Collection<Peer>) -> Self {
        Self { records, presence: Arc::default(), started: Instant::now() }
    }

    /// The current record of a user. Returns a record of a peer never seen if there is none.
    pub(crate) fn peer(&self, username: &Username) -> Peer {
        let present = self.presence().sessions.get(username).map(|session| session.peer.clone());
        present
            .or_else(|| self.records.get(username.as_str()))
            .unwrap_or_else(|| Peer::never_seen(username.clone()))
    }

    /// Calls `look` with the connected peers whose names start with `prefix` and come after `after`, in order.
    pub(crate) fn scan_connected<R>(
        &self,
        prefix: &str,
        after: &str,
        look: impl FnOnce(&mut dyn Iterator<Item = &Peer>) -> R,
    ) -> R {
        let from = if after >= prefix && !after.is_empty() {
            Bound::Excluded(after)
        } else {
            Bound::Included(prefix)
        };
        let presence = self.presence();
        let sessions = presence.sessions.range::<str, _>((from, Bound::Unbounded));
        let peers = sessions.map(|(_, session)| &session.peer);
        look(&mut peers.take_while(|p| p.username.as_str().starts_with(prefix)).filter(|p| p.connected))
    }

    /// Whether a user has been offline for at least this time. For a user not seen in this run, the time counts from
    /// the tracker's start.
    pub(crate) fn offline_for(&self, username: &Username, time: Duration) -> bool {
        let presence = self.presence();
        let connected = presence.sessions.get(username).is_some_and(|session| session.peer.connected);
        let since = presence.offline_since.get(username).copied().unwrap_or(self.started);
        !connected && since.elapsed() >= time
    }

    /// Binds one more key to a user durably, if `admitted` still returns true at that moment. At `KEYS_PER_USER` keys,
    /// the oldest key is removed that is not among the `retained` ones.
    pub(crate) async fn bind_key(
        &self,
        username: &Username,
        key: PublicKey,
        admitted: impl Fn() -> bool + Send + 'static,
        retained: impl Fn(&Peer) -> Vec<PublicKey> + Send + 'static,
    ) -> Result<Binding, StorageError> {
        let bind = move |peer: &mut Peer| {
            if !admitted() {
                return Binding::NotAdmitted;
            }
            if peer.keys.contains(&key) {
                return Binding::Bound;
            }
            if peer.keys.len() >= KEYS_PER_USER {
                let retained = retained(peer);
                let Some(oldest) = peer.keys.iter().position(|bound| !retained.contains(bound)) else {
                    return Binding::Full;
                };
                peer.keys.remove(oldest);
            }
            peer.keys.push(key);
            Binding::Bound
        };
        self.change_keys(username, bind).await
    }

    /// Removes one of a user's keys durably. Returns whether it was there.
    pub(crate) async fn unbind_key(&self, username: &Username, key: PublicKey) -> Result<bool, StorageError> {
        let unbind = move |peer: &mut Peer| {
            let bound = peer.keys.contains(&key);
            peer.keys.retain(|bound| *bound != key);
            bound
        };
        self.change_keys(username, unbind).await
    }

    /// Removes all keys of a user durably.
    pub(crate) async fn unbind_all(&self, username: &Username) -> Result<(), StorageError> {
        self.change_keys(username, |peer| peer.keys.clear()).await
    }

    /// Stores durably that one of a user's keys endorses another. Each key keeps one endorsement. The one by the key
    /// that was bound first is the best, because more contacts know that key.
    pub(crate) async fn endorse(
        &self,
        username: &Username,
        endorsement: Endorsement,
        signature: Signature,
    ) -> Result<Endorsed, StorageError> {
        let endorse = move |peer: &mut Peer| {
            let index_of = |key| peer.keys.iter().position(|bound| *bound == key);
            let (Some(by), Some(key)) = (index_of(endorsement.by), index_of(endorsement.key)) else {
                return Endorsed::NotBound;
            };
            if key <= by {
                return Endorsed::Earlier;
            }
            let signer = |signature: &Signature| {
                let present = Endorsement::read(&peer.username, &peer.keys, signature);
                present
                    .filter(|present| present.key == endorsement.key)
                    .and_then(|present| index_of(present.by))
            };
            if peer.endorsements.iter().filter_map(signer).any(|present| present <= by) {
                return Endorsed::Stored;
            }
            if let Some(worse) = peer.endorsements.iter().position(|present| signer(present).is_some()) {
                peer.endorsements.remove(worse);
            }
            peer.endorsements.push(signature);
            Endorsed::Stored
        };
        self.change_keys(username, endorse).await
    }

    /// Applies a rule to a user's keys and endorsements. The endorsements by and of a removed key are removed too.
    async fn change_keys<R: Send + 'static>(
        &self,
        username: &Username,
        rule: impl Fn(&mut Peer) -> R + Send + 'static,
    ) -> Result<R, StorageError> {
        let owner = username.clone();
        let decide = move |present: Option<&Peer>| {
            let before = present.cloned().unwrap_or_else(|| Peer::never_seen(owner.clone()));
            let mut after = before.clone();
            let answer = rule(&mut after);
            let Peer { keys, endorsements, .. } = &mut after;
            endorsements.retain(|signature| Endorsement::read(&owner, keys, signature).is_some());
            let change = if after == before { Change::Keep } else { Change::Put(after.clone()) };
            (change, answer)
        };
        let answer = self.records.update(username.as_str(), decide).await?;
        let mut presence = self.presence_mut();
        if let Some(session) = presence.sessions.get_mut(username) {
            (session.peer.keys, session.peer.endorsements) = self.bound_keys(username);
        }
        Ok(answer)
    }

    /// The keys and endorsements of a user in the durable record. It is called while the presence is locked, so that a
    /// session never gets outdated keys back.
    fn bound_keys(&self, username: &Username) -> (Vec<PublicKey>, Vec<Signature>) {
        let keys = |peer: &Peer| (peer.keys.clone(), peer.endorsements.clone());
        self.records.read(username.as_str(), keys).unwrap_or_default()
    }

    /// Removes the record and the presence of a user, including all keys.
    pub(crate) async fn remove(&self, username: &Username) -> Result<(), StorageError> {
        {
            let mut presence = self.presence_mut();
            presence.sessions.remove(username);
            presence.offline_since.remove(username);
        }
        self.records.update(username.as_str(), |_| (Change::Remove, ())).await
    }

    /// Removes a record whose user has no account. The next user of that name must not inherit its keys.
    pub(crate) async fn remove_orphan(
        &self,
        username: &Username,
        has_account: impl Fn() -> bool + Send + 'static,
    ) -> Result<(), StorageError> {
        let decide = move |present: Option<&Peer>| {
            let orphan = present.is_some() && !has_account();
            (if orphan { Change::Remove } else { Change::Keep }, ())
        };
        self.records.update(username.as_str(), decide).await
    }

    /// Marks a user as connected at this address. The last login counts.
    pub(crate) fn connect(&self, username: &Username, connection: ConnectionId, address: IpAddr, port: u16) {
        let mut presence = self.presence_mut();
        let seen = presence.sessions.get(username).map(|session| session.peer.last_ping);
        let last_ping =
            seen.or_else(|| self.records.read(username.as_str(), |peer| peer.last_ping)).flatten();
        let (keys, endorsements) = self.bound_keys(username);
        let peer = Peer {
            address: Some(address),
            port: Some(port),
            connected: true,
            last_ping,
            keys,
            endorsements,
            username: username.clone(),
        };
        presence.sessions.insert(username.clone(), Session { connection, peer });
        presence.offline_since.remove(username);
    }

    /// Records the end of a session. Returns whether its user went offline.
    pub(crate) fn disconnect(&self, username: &Username, connection: ConnectionId) -> bool {
        let mut presence = self.presence_mut();
        match presence.sessions.get(username) {
            Some(session) if session.connection == connection => {}
            _ => return false,
        }
        let was_connected = presence.sessions.remove(username).is_some_and(|session| session.peer.connected);
        if was_connected {
            presence.offline_since.insert(username.clone(), Instant::now());
        }
        was_connected
    }

    /// Records that the peer of this session answered a PING. Returns whether its user came back online, or `None` if
    /// the session is no longer current.
    pub(crate) fn mark_alive(
        &self,
        username: &Username,
        connection: ConnectionId,
        now: DateTime<Utc>,
    ) -> Option<bool> {
        let mut presence = self.presence_mut();
        let session =
            presence.sessions.get_mut(username).filter(|session| session.connection == connection)?;
        session.peer.last_ping = Some(now);
        let back = !std::mem::replace(&mut session.peer.connected, true);
        presence.offline_since.remove(username);
        Some(back)
    }

    /// Records that the peer of this session did not answer a PING. Returns whether its user went offline.
    pub(crate) fn mark_unreachable(&self, username: &Username, connection: ConnectionId) -> bool {
        let mut presence = self.presence_mut();
        let session = presence.sessions.get_mut(username).filter(|session| session.connection == connection);
        let went_offline =
            session.is_some_and(|session| std::mem::replace(&mut session.peer.connected, false));
        if went_offline {
            presence.offline_since.insert(username.clone(), Instant::now());
        }
        went_offline
    }

    /// Stores the address of a user in memory; the next compaction writes it. `connected` is not durable and is left
    /// out.
    pub(crate) async fn save(&self, username: &Username) -> Result<(), StorageError> {
        let template = Peer { connected: false, ..self.peer(username) };
        let here = self.presence().sessions.contains_key(username);
        let decide = move |present: Option<&Peer>| {
            // A user with neither a session nor a record was deleted in the meantime. The record must not reappear.
            if present.is_none() && !here {
                return (Change::Keep, ());
            }
            // Keys are changed separately, and durably.
            let (keys, endorsements) =
                present.map(|it| (it.keys.clone(), it.endorsements.clone())).unwrap_or_default();
            let record = Peer { keys, endorsements, ..template.clone() };
            if present == Some(&record) { (Change::Keep, ()) } else { (Change::Put(record), ()) }
        };
        self.records.update_in_memory(username.as_str(), None, decide).await
    }

    /// The number of records of presence.
    #[cfg(test)]
    pub(crate) fn presence_len(&self) -> usize {
        let presence = self.presence();
        presence.sessions.len() + presence.offline_since.len()
    }

    fn presence(&self) -> RwLockReadGuard<'_, Presence> {
        self.presence.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn presence_mut(&self) -> RwLockWriteGuard<'_, Presence> {
        self.presence.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Poll;
    use std::thread;

    use tempfile::TempDir;

    use super::*;
    use crate::repositories::Repositories;

    /// The number of rounds. It is large enough for the threads to run in each possible order.
    const ROUNDS: u8 = 100;

    fn repository() -> (PeerRepository, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Repositories::open(folder.path()).unwrap().peers(), folder)
    }

    fn none(_: &Peer) -> Vec<PublicKey> {
        Vec::new()
    }

    fn ana() -> Username {
        Username::parse("ana").unwrap()
    }

    fn key(byte: u8) -> PublicKey {
        PublicKey::new([byte; 32])
    }

    #[test]
    fn key_that_is_bound_during_a_login_is_shown() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (peers, _folder) = repository();
        let here = IpAddr::from([127, 0, 0, 1]);
        for round in 0..ROUNDS {
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        peers.connect(&ana(), ConnectionId::new(), here, 5000);
                    }
                });
                let bound = runtime.block_on(peers.bind_key(&ana(), key(round), || true, none));
                done.store(true, Ordering::Relaxed);
                assert_eq!(bound.unwrap(), Binding::Bound);
            });
            assert!(peers.peer(&ana()).keys.contains(&key(round)), "round {round}");
        }
    }

    #[tokio::test]
    async fn keys_bound_at_one_time_are_all_shown() {
        let (peers, _folder) = repository();
        peers.connect(&ana(), ConnectionId::new(), IpAddr::from([127, 0, 0, 1]), 5000);
        let (ana, admitted) = (ana(), || true);
        let mut first = Box::pin(peers.bind_key(&ana, key(1), admitted, none));
        let _ = std::future::poll_fn(|context| Poll::Ready(first.as_mut().poll(context).is_ready())).await;
        peers.bind_key(&ana, key(2), admitted, none).await.unwrap();
        first.await.unwrap();
        assert_eq!(peers.peer(&ana).keys, [key(1), key(2)]);
    }

    #[test]
    fn undiallable_address_counts_as_none() {
        for good in ["localhost", "127.0.0.1", "192.0.2.9", "::1"] {
            assert!(claimed_address(good).is_some(), "{good}");
        }
        for bad in ["0.0.0.0", "::", "224.0.0.1", "127.0.0.0.1", "chat.example", ""] {
            assert_eq!(claimed_address(bad), None, "{bad}");
        }
    }
}
