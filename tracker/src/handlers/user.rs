//! The handler of registrations and logins.
//! It decides which users may sign in.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use commons::keys::PublicKey;
use commons::login_key::LoginKey;
use commons::names::Username;
use commons::protocol::with_tracker::{Credentials, ErrorCode, TrackerRequest};
use commons::user::PasswordDigest;

use crate::handlers::authenticator::Authenticator;
use crate::handlers::outcome::RequestError;
use crate::limits::JUDGED_PER_LOGIN_MAX;
use crate::password_proofs::{NewPassword, PasswordProofs};
use crate::policy::{Policy, Registration};
use crate::repositories::admin::AdminRepository;
use crate::repositories::peer::{Binding, PeerRepository, claimed_address};
use crate::repositories::stored_password::StoredPassword;
use crate::repositories::user::UserRepository;

/// Creates accounts and checks logins.
#[derive(Debug)]
pub(crate) struct UserCommandHandler {
    users: UserRepository,
    peers: PeerRepository,
    admins: AdminRepository,
    authenticator: Arc<Authenticator>,
    policy: RwLock<Policy>,
}

/// The origin of a request: the client's address and its proven key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// The client's IP address.
    pub(crate) ip: IpAddr,
    /// The key that the client has proven. `None` on a plaintext session.
    pub(crate) key: Option<PublicKey>,
}

/// A user who may sign in.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The name of the user.
    pub(crate) username: Username,
    /// The address at which other peers reach the user's peer.
    pub(crate) address: IpAddr,
    /// The port on which the peer accepts links.
    pub(crate) port: u16,
}

impl UserCommandHandler {
    /// Creates the handler on these accounts.
    pub(crate) fn new(
        users: UserRepository,
        peers: PeerRepository,
        admins: AdminRepository,
        authenticator: Arc<Authenticator>,
    ) -> Self {
        Self { users, peers, admins, authenticator, policy: RwLock::default() }
    }

    /// Replaces the policy of the operator.
    pub(crate) fn set_policy(&self, policy: Policy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// The policy in force.
    pub(crate) fn policy(&self) -> Policy {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks whether the policy permits a registration. A wrong code counts as a wrong password of the network.
    fn may_register(&self, credentials: &Credentials, from: Origin) -> Result<(), RequestError> {
        match (self.policy().registration, &credentials.code) {
            (Registration::Open, _) => Ok(()),
            (Registration::Closed, _) => {
                let msg = "this tracker accepts no new accounts. Ask its operator for one";
                Err(RequestError::new(ErrorCode::RegistrationClosed, msg))
            }
            (Registration::Code(_), None) => {
                let msg = "this tracker demands a registration code. Ask its operator for one";
                Err(RequestError::new(ErrorCode::CodeRequired, msg))
            }
            (Registration::Code(codes), Some(code)) => {
                self.authenticator.check_code(from.ip, || codes.contain(code))
            }
        }
    }

    /// Registers an account for a client, and binds the key that the client has proven.
    pub(crate) async fn register(
        &self,
        credentials: Credentials,
        from: Origin,
    ) -> Result<Admitted, RequestError> {
        let new = NewPassword::parse(&offered(&credentials)?, ["password", "login_key"])?;
        let admitted = admit(&credentials, from.ip)?;
        Username::parse_new(admitted.username.as_str())?;
        self.may_register(&credentials, from)?;
        let username = &admitted.username;
        let taken = || {
            RequestError::new(ErrorCode::UsernameTaken, format!("{username} is taken: choose another name"))
        };
        // These checks save a password hash. The decisive check is made again when the account is created.
        if self.users.exists(username) {
            return Err(taken());
        }
        if self.users.has_look_alike(username) {
            let msg = format!("{username} looks like the name of another user: choose another name");
            return Err(RequestError::new(ErrorCode::InvalidName, msg));
        }
        let registration = self.authenticator.registration(from.ip)?;
        let made = self.create(username, new, from.ip).await;
        if !matches!(made, Ok(Some(_))) {
            self.authenticator.not_registered(registration);
        }
        let Some(password) = made? else { return Err(taken()) };
        if !self.bind(username, from.key, password).await? {
            return Err(changed_meanwhile());
        }
        self.authenticator.signed_in(username, from.ip);
        Ok(admitted)
    }

    /// The account that a login claims, if it exists.
    pub(crate) fn claimed(&self, request: &TrackerRequest) -> Option<Username> {
        let TrackerRequest::Login(Credentials { username, .. }) = request else { return None };
        Username::parse(username).ok().filter(|name| self.users.exists(name))
    }

    /// Creates the account. Returns its stored password, or `None` if the name is taken.
    async fn create(
        &self,
        username: &Username,
        new: NewPassword,
        from: IpAddr,
    ) -> Result<Option<StoredPassword>, RequestError> {
        let password = self.authenticator.hash(username, new, from).await?;
        let (users, owner) = (self.users.clone(), username.clone());
        self.peers.remove_orphan(username, move || users.exists(&owner)).await?;
        let (users, owner) = (self.users.clone(), username.clone());
        self.admins.remove_orphan(username, move || users.exists(&owner)).await?;
        let made = self.users.create(username, password.clone()).await?;
        Ok(made.then_some(password))
    }

    /// Checks a login by the key that the client has proven, or by a password. A correct password also binds the key,
    /// if `is_permitted` allows it: a banned user must not replace the keys of the account.
    pub(crate) async fn login(
        &self,
        credentials: Credentials,
        from: Origin,
        is_permitted: impl Fn(&Username) -> Result<(), RequestError>,
    ) -> Result<Admitted, RequestError> {
        let admitted = admit(&credentials, from.ip)?;
        let username = &admitted.username;
        if let (true, Some(key)) = (PasswordProofs::of(&credentials).is_empty(), from.key) {
            let msg = "this key is not known for that user: sign in with the password";
            let refused = || RequestError::new(ErrorCode::InvalidCredentials, msg);
            if !self.peers.peer(username).keys.contains(&key) {
                return Err(refused());
            }
            self.authenticator.signed_in(username, from.ip);
            return Ok(admitted);
        }
        let offered = offered(&credentials)?;
        for _ in 0..JUDGED_PER_LOGIN_MAX {
            if from.key.is_none() && !self.peers.peer(username).keys.is_empty() {
                let msg = "this account has keys: sign in with an encrypted session";
                return Err(RequestError::new(ErrorCode::PlaintextRefused, msg));
            }
            let password = self.authenticator.verify(username, offered.clone(), from.ip).await?;
            is_permitted(username)?;
            if self.bind(username, from.key, password).await? {
                return Ok(admitted);
            }
        }
        Err(changed_meanwhile())
    }

    /// Binds the client's key, if it has proven one, to the account with this password. Returns false if the account
    /// was deleted, registered again or changed since the password was checked.
    async fn bind(
        &self,
        username: &Username,
        key: Option<PublicKey>,
        password: StoredPassword,
    ) -> Result<bool, RequestError> {
        let Some(key) = key else {
            let without_keys = self.peers.peer(username).keys.is_empty();
            return Ok(without_keys && self.users.has(username, &password));
        };
        let (users, owner, admins) = (self.users.clone(), username.clone(), self.admins.clone());
        let admitted = move || users.has(&owner, &password);
        match self.peers.bind_key(username, key, admitted, move |peer| admins.acting_keys(peer)).await? {
            Binding::Bound => Ok(true),
            Binding::NotAdmitted => Ok(false),
            Binding::Full => {
                let msg = "this account has its maximum number of keys, and all act as an admin: revoke one on another device";
                Err(RequestError::new(ErrorCode::Forbidden, msg))
            }
        }
    }
}

fn changed_meanwhile() -> RequestError {
    RequestError::new(ErrorCode::Busy, "the account changed in the meantime: try again")
}

impl NewPassword {
    /// Parses the proofs of a new password. `fields` are the names of the digest and of the login key in the request.
    pub(crate) fn parse(sent: &PasswordProofs, fields: [&str; 2]) -> Result<Self, RequestError> {
        let wrong = |field, what| {
            let msg = format!("\"{field}\" must be the lower-case hex {what} of the password: 64 digits");
            RequestError::new(ErrorCode::Malformed, msg)
        };
        let digest = sent
            .digest
            .as_ref()
            .map(|text| PasswordDigest::parse(&text.0).ok_or_else(|| wrong(fields[0], "SHA-256")));
        let login_key = sent
            .login_key
            .as_ref()
            .map(|text| LoginKey::parse(&text.0).ok_or_else(|| wrong(fields[1], "login key")));
        Ok(Self { digest: digest.transpose()?, login_key: login_key.transpose()? })
    }
}

/// The proofs of the password in a sign-in, of which there must be one.
fn offered(credentials: &Credentials) -> Result<PasswordProofs, RequestError> {
    let offered = PasswordProofs::of(credentials);
    if offered.is_empty() {
        return Err(RequestError::new(ErrorCode::MissingParameter, "LOGIN needs \"password\""));
    }
    Ok(offered)
}

/// The admission of a client. A client on this computer may state its address. For any other client, the observed
/// address counts.
fn admit(credentials: &Credentials, from: IpAddr) -> Result<Admitted, RequestError> {
    let Credentials { username, address, port, .. } = credentials;
    if *port == 0 {
        return Err(RequestError::new(
            ErrorCode::Malformed,
            "\"port\" must be the port on which you accept links",
        ));
    }
    let username = Username::parse(username)?;
    let claimed = address.as_deref().and_then(claimed_address).filter(|_| from.is_loopback());
    Ok(Admitted { username, address: claimed.unwrap_or(from), port: *port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_address_counts_from_loopback_only() {
        let (here, remote) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 7]));
        let address = |claimed: Option<&str>, from| {
            let claimed = claimed.map(str::to_owned);
            let credentials = Credentials {
                username: "ana".into(),
                password: None,
                login_key: None,
                address: claimed,
                port: 5000,
                code: None,
            };
            admit(&credentials, from).unwrap().address
        };
        assert_eq!(address(Some("192.0.2.9"), here), IpAddr::from([192, 0, 2, 9]));
        assert_eq!(address(Some("localhost"), here), here);
        assert_eq!(address(Some("127.0.0.0.1"), here), here);
        assert_eq!(address(None, here), here);
        assert_eq!(address(Some("192.0.2.9"), remote), remote);
    }
}
