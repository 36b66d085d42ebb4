//! The repository of bans: users and addresses that may not use the tracker.
//!
//! A ban of a user also holds the keys of the account, so that the same device is refused under another name. Bans end
//! by the clock. The time is an argument.

use std::fmt;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use commons::address_range::AddressRange;
use commons::keys::PublicKey;
use commons::names::Username;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::limits::{BAN_KEYS_MAX, BANS_FOR_OPERATOR, BANS_MAX};
use crate::repositories::collection::Collection;
use crate::repositories::record::{Decoded, Record, unreadable};
use crate::repositories::update::{Change, StorageError};

/// The subject of a ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Banned {
    /// A ban by the name of a user.
    User(Username),
    /// A ban by address or network.
    Address(AddressRange),
}

/// The text is the key of the ban in the collection.
impl fmt::Display for Banned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(username) => write!(f, "user {username}"),
            Self::Address(range) => write!(f, "address {range}"),
        }
    }
}

impl Banned {
    /// Parses the key of a ban.
    pub(crate) fn parse(key: &str) -> Option<Self> {
        let user = key.strip_prefix("user ").map(|name| name.parse().ok().map(Self::User));
        let address = || key.strip_prefix("address ").map(|range| range.parse().ok().map(Self::Address));
        user.or_else(address).flatten()
    }
}

/// A ban as the collection holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ban {
    /// The time of the ban.
    pub(crate) since: DateTime<Utc>,
    /// The time at which it ends. `None` means never.
    pub(crate) until: Option<DateTime<Utc>>,
    /// The admin who banned. `None` means the operator.
    pub(crate) by: Option<String>,
    /// The keys of a banned user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) keys: Vec<PublicKey>,
}

impl Ban {
    /// Whether the ban holds at this time.
    pub(crate) fn holds(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Record for Ban {
    fn read(key: &str, json: &RawValue) -> Result<Decoded<Self>, String> {
        let ban = serde_json::from_str(json.get()).map_err(|error| unreadable(&error))?;
        Ok(if Banned::parse(key).is_some() { Decoded::Native(ban) } else { Decoded::Invalid })
    }

    fn write(&self) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(self)
    }

    /// The index finds a ban by the keys of the banned user.
    fn index_keys(&self) -> Vec<String> {
        self.keys.iter().map(ToString::to_string).collect()
    }
}

/// The repository of bans.
#[derive(Debug, Clone)]
pub(crate) struct BanRepository {
    bans: Collection<Ban>,
}

impl BanRepository {
    /// Creates the repository on a collection of bans.
    pub(crate) fn new(bans: Collection<Ban>) -> Self {
        Self { bans }
    }

    /// The ban of a user that holds now.
    pub(crate) fn of_user(&self, username: &Username, now: DateTime<Utc>) -> Option<Ban> {
        self.holding(&Banned::User(username.clone()).to_string(), now)
    }

    /// The ban that holds now of a user who had this key.
    pub(crate) fn of_key(&self, key: PublicKey, now: DateTime<Utc>) -> Option<Ban> {
        self.bans.index_keys(&key.to_string()).iter().find_map(|key| self.holding(key, now))
    }

    /// The ban of an address that holds now.
    pub(crate) fn of_address(&self, address: IpAddr, now: DateTime<Utc>) -> Option<Ban> {
        if self.bans.len() == 0 {
            return None;
        }
        let mut ranges = AddressRange::containing(address);
        ranges.find_map(|range| self.holding(&Banned::Address(range).to_string(), now))
    }

    /// Stores a ban. It replaces an earlier one of the same subject, and keeps its keys while that one holds. Returns
    /// the stored ban, or `None` if there are too many. The last places are for the operator.
    pub(crate) async fn add(
        &self,
        banned: &Banned,
        ban: Ban,
        now: DateTime<Utc>,
    ) -> Result<Option<Ban>, StorageError> {
        let most = if ban.by.is_some() { BANS_MAX - BANS_FOR_OPERATOR } else { BANS_MAX };
        let subject = banned.to_string();
        let has_place = || self.bans.contains(&subject) || self.bans.len() < most;
        if !has_place() {
            self.remove_ended(now).await?;
        }
        if !has_place() {
            return Ok(None);
        }
        let decide = move |present: Option<&Ban>| {
            let mut ban = ban.clone();
            let earlier =
                present.filter(|earlier| earlier.holds(now)).map_or(&[][..], |earlier| &earlier.keys);
            for key in earlier {
                if ban.keys.len() < BAN_KEYS_MAX && !ban.keys.contains(key) {
                    ban.keys.push(*key);
                }
            }
            (Change::Put(ban.clone()), Some(ban))
        };
        self.bans.update(&subject, decide).await
    }

    /// Removes a ban. Returns whether it held.
    pub(crate) async fn remove(&self, banned: &Banned, now: DateTime<Utc>) -> Result<bool, StorageError> {
        let decide = move |present: Option<&Ban>| match present {
            Some(ban) => (Change::Remove, ban.holds(now)),
            None => (Change::Keep, false),
        };
        self.bans.update(&banned.to_string(), decide).await
    }

    /// Removes the bans that have ended.
    pub(crate) async fn remove_ended(&self, now: DateTime<Utc>) -> Result<(), StorageError> {
        let ended: Vec<String> = self.bans.scan("", "", |bans| {
            bans.filter(|(_, ban)| !ban.holds(now)).map(|(key, _)| key.to_owned()).collect()
        });
        for key in ended {
            let decide = move |present: Option<&Ban>| match present.filter(|ban| !ban.holds(now)) {
                Some(_) => (Change::Remove, ()),
                None => (Change::Keep, ()),
            };
            self.bans.update(&key, decide).await?;
        }
        Ok(())
    }

    /// Calls `look` with the bans whose keys start with `prefix` and come after `after`, in order. Bans that have ended
    /// are left out.
    pub(crate) fn scan<R>(
        &self,
        prefix: &str,
        after: &str,
        now: DateTime<Utc>,
        look: impl FnOnce(&mut dyn Iterator<Item = (Banned, &Ban)>) -> R,
    ) -> R {
        self.bans.scan(prefix, after, |bans| {
            let holding = bans.filter(|(_, ban)| ban.holds(now));
            look(&mut holding.filter_map(|(key, ban)| Some((Banned::parse(key)?, ban))))
        })
    }

    fn holding(&self, key: &str, now: DateTime<Utc>) -> Option<Ban> {
        self.bans.get(key).filter(|ban| ban.holds(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::repositories::Repositories;

    fn ban(until: Option<DateTime<Utc>>, keys: &[PublicKey]) -> Ban {
        Ban { since: DateTime::UNIX_EPOCH, until, by: None, keys: keys.to_vec() }
    }

    #[tokio::test]
    async fn full_list_of_bans_takes_renewals_and_the_operators_bans() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let bans = repositories.bans();
        let now = DateTime::UNIX_EPOCH;
        let of_admin = Ban { by: Some("mallory".to_owned()), ..ban(None, &[]) };
        let subject = |number: usize| Banned::User(format!("u{number}").parse().unwrap());
        let mut adding = tokio::task::JoinSet::new();
        for number in 0..BANS_MAX - BANS_FOR_OPERATOR {
            let (bans, of_admin) = (bans.clone(), of_admin.clone());
            adding.spawn(async move { bans.add(&subject(number), of_admin, now).await.unwrap().is_some() });
        }
        assert!(adding.join_all().await.into_iter().all(|added| added));
        let new = subject(BANS_MAX);
        assert!(bans.add(&new, of_admin.clone(), now).await.unwrap().is_none());
        assert!(bans.add(&subject(0), of_admin.clone(), now).await.unwrap().is_some(), "a renewal");
        assert!(bans.add(&new, ban(None, &[]), now).await.unwrap().is_some(), "the operator");
        repositories.close().await.unwrap();
    }

    #[tokio::test]
    async fn ban_survives_a_restart_and_ends_by_the_clock() {
        let folder = tempfile::tempdir().unwrap();
        let bob: Username = "bob".parse().unwrap();
        let key = PublicKey::new([7; 32]);
        let (now, end) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + Duration::from_secs(60));
        let network: AddressRange = "192.0.2.0/24".parse().unwrap();
        let inside: IpAddr = "192.0.2.9".parse().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let bans = repositories.bans();
        assert!(bans.of_user(&bob, now).is_none() && bans.of_address(inside, now).is_none());
        bans.add(&Banned::User(bob.clone()), ban(Some(end), &[key]), now).await.unwrap();
        bans.add(&Banned::Address(network), ban(None, &[]), now).await.unwrap();
        repositories.close().await.unwrap();

        let repositories = Repositories::open(folder.path()).unwrap();
        let bans = repositories.bans();
        let last = end - Duration::from_secs(1);
        assert!(bans.of_user(&bob, last).is_some() && bans.of_key(key, last).is_some());
        assert!(bans.of_user(&bob, end).is_none() && bans.of_key(key, end).is_none());
        assert!(bans.of_address(inside, end).is_some());
        assert!(bans.of_address("192.0.3.9".parse().unwrap(), end).is_none(), "another network");
        bans.remove_ended(end).await.unwrap();
        assert_eq!(bans.bans.len(), 1);
        assert!(bans.remove(&Banned::Address(network), end).await.unwrap());
        assert!(!bans.remove(&Banned::Address(network), end).await.unwrap());
        assert!(bans.of_address(inside, end).is_none());
        repositories.close().await.unwrap();
    }
}
