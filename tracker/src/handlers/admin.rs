//! The rules of administration: which sessions act as an admin, and who may be banned.
//!
//! Admins on the wire and the operator in the shell have the same rules. Only an admin cannot act on the own account.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use commons::address_range::AddressRange;
use commons::keys::PublicKey;
use commons::limits::ANNOUNCEMENT_MAX;
use commons::names::{Username, is_printable_line};
use commons::protocol::administration::{BanTarget, ListedBan, NewBan};
use commons::protocol::page::Page;
use commons::protocol::with_tracker::ErrorCode;

use crate::handlers::outcome::RequestError;
use crate::handlers::page::PageBounds;
use crate::limits::{ADMIN_KEY_DIGITS_MIN, BAN_SECONDS_MAX};
use crate::login::ConnectionId;
use crate::repositories::admin::{Admin, AdminRepository};
use crate::repositories::ban::{Ban, BanRepository, Banned};
use crate::repositories::peer::PeerRepository;
use crate::repositories::update::StorageError;
use crate::repositories::user::UserRepository;

/// The person who administers.
#[derive(Debug, Clone)]
pub(crate) enum Actor {
    /// The operator, in the shell.
    Operator,
    /// An admin, in a session.
    Admin {
        /// The name of the admin.
        username: Username,
        /// The session of the admin.
        connection: ConnectionId,
        /// The address of the session.
        address: IpAddr,
    },
}

/// The name for the log. No user has the name of the operator, because it has a space.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("the operator"),
            Self::Admin { username, .. } => username.fmt(f),
        }
    }
}

impl Actor {
    /// The name of an admin. `None` for the operator.
    pub(crate) fn username(&self) -> Option<&Username> {
        match self {
            Self::Operator => None,
            Self::Admin { username, .. } => Some(username),
        }
    }

    /// The session of an admin.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Operator => None,
            Self::Admin { connection, .. } => Some(*connection),
        }
    }

    /// Checks that an admin does not act on the own account.
    pub(crate) fn may_act_on(&self, user: &Username) -> Result<(), RequestError> {
        match self.username() {
            Some(own) if own == user => {
                Err(RequestError::new(ErrorCode::Forbidden, "an admin cannot do this to the own account"))
            }
            _ => Ok(()),
        }
    }
}

/// An admin, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedAdmin {
    /// The name of the admin.
    pub(crate) username: String,
    /// The time at which the account became an admin.
    pub(crate) since: DateTime<Utc>,
    /// The number of the keys by which the admin can act.
    pub(crate) keys: usize,
}

/// Decides the requests of admins and the commands of the operator.
#[derive(Debug)]
pub(crate) struct AdminCommandHandler {
    users: UserRepository,
    peers: PeerRepository,
    admins: AdminRepository,
    bans: BanRepository,
}

impl AdminCommandHandler {
    /// Creates the handler on these accounts.
    pub(crate) fn new(
        users: UserRepository,
        peers: PeerRepository,
        admins: AdminRepository,
        bans: BanRepository,
    ) -> Self {
        Self { users, peers, admins, bans }
    }

    /// Whether a session that has proven this key acts as an admin.
    pub(crate) fn is_admin(&self, username: &Username, key: Option<PublicKey>, now: DateTime<Utc>) -> bool {
        let banned = || self.bans.of_user(username, now).is_some();
        key.is_some_and(|key| self.admin_keys(username).contains(&key)) && !banned()
    }

    /// The keys by which a user acts as an admin.
    fn admin_keys(&self, username: &Username) -> Vec<PublicKey> {
        self.admins.acting_keys(&self.peers.peer(username))
    }

    /// Whether a user has the role of an admin, with or without a key to act.
    pub(crate) fn has_role(&self, username: &Username) -> bool {
        self.admins.admin(username).is_some()
    }

    /// Whether a user is banned now.
    pub(crate) fn is_banned(&self, username: &Username, now: DateTime<Utc>) -> bool {
        self.bans.of_user(username, now).is_some()
    }

    /// Finds a user by name.
    pub(crate) fn user(&self, name: &str) -> Result<Username, RequestError> {
        let username = Username::parse(name)?;
        match self.users.exists(&username) {
            true => Ok(username),
            false => Err(RequestError::new(ErrorCode::PeerNotFound, format!("there is no user {username}"))),
        }
    }

    /// Makes a user an admin by a key that begins with `digits`, or by the only key. An admin's other keys keep the role.
    /// Returns all keys of the admin.
    pub(crate) async fn add(
        &self,
        name: &str,
        digits: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(Username, Vec<PublicKey>), RequestError> {
        let username = self.user(name)?;
        let refused = |msg| RequestError::new(ErrorCode::KeyNotFound, msg);
        let bound = self.peers.peer(&username).keys;
        let acting = self.admin_keys(&username);
        let lost = self.has_role(&username) && acting.is_empty();
        let key = match (digits, bound.as_slice()) {
            (Some(digits), _) if digits.len() < ADMIN_KEY_DIGITS_MIN => {
                let msg = format!("give at least {ADMIN_KEY_DIGITS_MIN} digits of the key");
                return Err(RequestError::new(ErrorCode::Malformed, msg));
            }
            (Some(digits), bound) => {
                let named = bound.iter().find(|key| key.to_string().starts_with(digits));
                named.copied().ok_or_else(|| {
                    refused(format!(
                        "{username} has no key that begins so. {}",
                        key_advice(username.as_str())
                    ))
                })?
            }
            (None, []) => {
                let msg =
                    format!("{username} has no key: {username} must first sign in with an encrypted session");
                return Err(refused(msg));
            }
            (None, [only]) if !lost => *only,
            (None, _) => {
                let msg = format!("another person may have bound keys. {}", key_advice(username.as_str()));
                return Err(refused(msg));
            }
        };
        let mut keys = self.admins.admin(&username).map_or_else(Vec::new, |admin| admin.keys);
        keys.retain(|it| bound.contains(it) && *it != key);
        keys.push(key);
        let (users, owner) = (self.users.clone(), username.clone());
        let exists = move || users.exists(&owner) && !users.is_being_deleted(&owner);
        match self.admins.add(&username, Admin { keys: keys.clone(), since: now }, exists).await? {
            true => Ok((username, keys)),
            false => Err(RequestError::new(ErrorCode::PeerNotFound, format!("{username} is being deleted"))),
        }
    }

    /// Makes the first registered user an admin, if the user has this key and no other account exists. Returns whether
    /// it did.
    pub(crate) async fn add_first(
        &self,
        username: &Username,
        key: Option<PublicKey>,
        now: DateTime<Utc>,
    ) -> Result<bool, RequestError> {
        let Some(key) = key.filter(|_| self.users.count() == 1) else { return Ok(false) };
        self.add(username.as_str(), Some(&key.to_string()), now).await.map(|_| true)
    }

    /// Takes the role of an admin away.
    pub(crate) async fn remove(&self, name: &str) -> Result<Username, RequestError> {
        let username = Username::parse(name)?;
        match self.admins.remove(&username).await? {
            true => Ok(username),
            false => Err(RequestError::new(ErrorCode::PeerNotFound, format!("{username} is no admin"))),
        }
    }

    /// The admins in the order of their names.
    pub(crate) fn admins(&self) -> Vec<ListedAdmin> {
        let admins = self.admins.all().into_iter().filter_map(|(name, admin)| {
            let keys = self.admin_keys(&Username::parse(&name).ok()?).len();
            Some(ListedAdmin { username: name, since: admin.since, keys })
        });
        admins.collect()
    }

    /// Checks that neither the user, nor the key, nor the address is banned.
    pub(crate) fn check_ban(
        &self,
        username: &Username,
        key: Option<PublicKey>,
        from: IpAddr,
        now: DateTime<Utc>,
    ) -> Result<(), RequestError> {
        let of_user = self.bans.of_user(username, now);
        let ban = of_user.or_else(|| key.and_then(|key| self.bans.of_key(key, now)));
        match ban.or_else(|| self.bans.of_address(from, now)) {
            None => Ok(()),
            Some(ban) => Err(RequestError::banned(ban.until, now)),
        }
    }

    /// Checks that a new account is not one of a banned user. The name of an account that exists gives no answer here,
    /// so that a client without the account's credentials cannot find out about the ban.
    pub(crate) fn check_new_account(
        &self,
        name: &str,
        key: Option<PublicKey>,
        from: IpAddr,
        now: DateTime<Utc>,
    ) -> Result<(), RequestError> {
        match Username::parse(name) {
            Ok(username) if !self.users.exists(&username) => self.check_ban(&username, key, from, now),
            _ => Ok(()),
        }
    }

    /// Checks that an address is not banned.
    pub(crate) fn check_address(&self, from: IpAddr, now: DateTime<Utc>) -> Result<(), RequestError> {
        match self.bans.of_address(from, now) {
            None => Ok(()),
            Some(ban) => Err(RequestError::banned(ban.until, now)),
        }
    }

    /// Bans a user or an address. Returns the subject and the ban. The user need not have an account, because a person
    /// may delete it before the ban and register again.
    pub(crate) async fn ban(
        &self,
        actor: &Actor,
        ban: &NewBan,
        now: DateTime<Utc>,
    ) -> Result<(Banned, Ban), RequestError> {
        let banned = subject(&ban.target)?;
        let keys = match &banned {
            Banned::User(username) => {
                actor.may_act_on(username)?;
                self.peers.peer(username).keys
            }
            Banned::Address(range) => {
                if let Actor::Admin { address, .. } = actor
                    && range.contains(*address)
                {
                    let msg =
                        "your own session comes from there: the operator can ban it with `tracker admin ban`";
                    return Err(RequestError::new(ErrorCode::Forbidden, msg));
                }
                Vec::new()
            }
        };
        let until = match ban.seconds {
            Some(0) => {
                return Err(RequestError::new(ErrorCode::Malformed, "\"seconds\" must be at least 1"));
            }
            Some(seconds) if seconds <= BAN_SECONDS_MAX => Some(now + Duration::from_secs(seconds)),
            _ => None,
        };
        let by = actor.username().map(|username| username.as_str().to_owned());
        match self.bans.add(&banned, Ban { since: now, until, by, keys }, now).await? {
            Some(ban) => Ok((banned, ban)),
            None => Err(RequestError::new(
                ErrorCode::Busy,
                "the tracker has its maximum number of bans: lift some",
            )),
        }
    }

    /// Lifts a ban.
    pub(crate) async fn unban(&self, target: &BanTarget, now: DateTime<Utc>) -> Result<Banned, RequestError> {
        let banned = subject(target)?;
        match self.bans.remove(&banned, now).await? {
            true => Ok(banned),
            false => Err(RequestError::new(ErrorCode::NotBanned, "there is no such ban")),
        }
    }

    /// Removes the bans that have ended.
    pub(crate) async fn remove_ended_bans(&self, now: DateTime<Utc>) -> Result<(), StorageError> {
        self.bans.remove_ended(now).await
    }

    /// A page of the bans, and whether more follow.
    pub(crate) fn bans(
        &self,
        page: &Page,
        now: DateTime<Utc>,
    ) -> Result<(BTreeMap<String, ListedBan>, bool), RequestError> {
        let bounds = PageBounds::of(page, true)?;
        let (prefix, after) =
            (page.prefix.as_deref().unwrap_or_default(), page.after.as_deref().unwrap_or_default());
        Ok(self.bans.scan(prefix, after, now, |bans| {
            bounds.fill(bans.map(|(banned, ban)| (banned.to_string(), listed(&banned, ban))))
        }))
    }

    /// Checks the text of an announcement.
    pub(crate) fn check_announcement(text: &str) -> Result<(), RequestError> {
        let malformed = |msg: String| Err(RequestError::new(ErrorCode::Malformed, msg));
        match text {
            "" => malformed("an announcement needs a text".to_owned()),
            text if text.len() > ANNOUNCEMENT_MAX => {
                malformed(format!("an announcement has at most {ANNOUNCEMENT_MAX} bytes"))
            }
            text if !is_printable_line(text) => {
                malformed("an announcement is one line of text, without invisible characters".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// The advice to an operator about the key of a user. A person who knows the password can bind a key too.
pub(crate) fn key_advice(username: &str) -> String {
    format!(
        "Ask {username} by another way for the key that /keys shows, then run `tracker admin add {username} --key DIGITS`"
    )
}

fn listed(banned: &Banned, ban: &Ban) -> ListedBan {
    let target = match banned {
        Banned::User(username) => {
            BanTarget { user: Some(username.as_str().to_owned()), ..BanTarget::default() }
        }
        Banned::Address(range) => BanTarget { address: Some(range.to_string()), ..BanTarget::default() },
    };
    ListedBan { target, since: Some(ban.since), until: ban.until, by: ban.by.clone() }
}

fn subject(target: &BanTarget) -> Result<Banned, RequestError> {
    match target {
        BanTarget { user: Some(name), address: None } => Ok(Banned::User(Username::parse(name)?)),
        BanTarget { user: None, address: Some(address) } => match address.parse::<AddressRange>() {
            Ok(range) => Ok(Banned::Address(range)),
            Err(error) => Err(RequestError::new(ErrorCode::Malformed, error.to_string())),
        },
        BanTarget { user: Some(_), address: Some(_) } => {
            Err(RequestError::new(ErrorCode::Malformed, "a ban has \"user\" or \"address\", not both"))
        }
        BanTarget { user: None, address: None } => {
            Err(RequestError::new(ErrorCode::MissingParameter, "a ban needs \"user\" or \"address\""))
        }
    }
}
