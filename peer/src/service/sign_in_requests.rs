//! The requests of one sign-in, in their order.
//!
//! A key that the tracker may know comes first, and a proof of the password only if it is needed. Two steps need the
//! user's consent: a proof for a tracker that refuses a known key, and the digest of the password.

use std::net::SocketAddr;

use commons::names::Username;
use commons::net::tls::Identity;
use commons::protocol::with_tracker::ErrorCode;

use crate::api::error::CommandError;
use crate::api::sign_in::SignIn;
use crate::identity::password::Password;
use crate::identity::password_proof::PasswordProof;
use crate::service::tracker_error::from_tracker;
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::tracker_report::TrackerError;

/// A sign-in at the tracker.
pub(crate) struct SignInRequests<'a> {
    pub(crate) tracker: &'a PeerTrackerCommunication,
    pub(crate) sign_in: &'a SignIn,
    pub(crate) listening: SocketAddr,
    /// The identity that proves the device key.
    pub(crate) identity: Identity,
    /// Whether the key existed before this sign-in, so that the tracker may know it.
    pub(crate) is_key_known: bool,
}

/// Reason why a sign-in failed.
#[derive(Debug)]
pub(crate) enum SignInFailure {
    /// The tracker did not accept a request. With `name_taken`, it has an account of that name.
    Tracker { error: TrackerError, name_taken: bool },
    /// The tracker refuses the key of this device. It got no proof of the password.
    KeyRefused,
    /// The tracker has no login key of the account, and did not get the digest.
    DigestRequired,
    /// This device failed.
    Local(CommandError),
}

impl From<TrackerError> for SignInFailure {
    fn from(error: TrackerError) -> Self {
        Self::Tracker { error, name_taken: false }
    }
}

impl From<CommandError> for SignInFailure {
    fn from(error: CommandError) -> Self {
        Self::Local(error)
    }
}

impl SignInFailure {
    /// Whether the tracker refused with this code.
    fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Tracker { error, .. } if is_refusal(error, code))
    }
}

impl SignInRequests<'_> {
    /// Sends the requests until the tracker has accepted the sign-in. With a known key and `register`, the account may be
    /// this user's own, so a login by the key comes before the registration.
    pub(crate) async fn run(&self) -> Result<(), SignInFailure> {
        let SignIn { username, password, register, changed_to, consent, .. } = self.sign_in;
        // The user typed `changed_to` after a refusal.
        if self.is_key_known && changed_to.is_none() {
            match self.tracker.log_in(username, None, self.listening, self.identity.clone()).await {
                Err(error) if is_refusal(&error, ErrorCode::InvalidCredentials) => {}
                outcome => return Ok(outcome?),
            }
            // The tracker may have lost its data, or not be what it was. `register` asks for a new account there.
            if !(*register || consent.use_password) {
                return Err(SignInFailure::KeyRefused);
            }
        }
        let typed = changed_to.as_ref().unwrap_or(password);
        let mut proof = password_proof(self.tracker, username, typed).await?;
        let mut name_taken = false;
        if *register {
            match self.send(true, &mut proof).await {
                Err(failure) if self.is_key_known && failure.is(ErrorCode::UsernameTaken) => {
                    name_taken = true
                }
                outcome => return outcome,
            }
        }
        self.send(false, &mut proof).await.map_err(|failure| match failure {
            SignInFailure::Tracker { error, .. } => SignInFailure::Tracker { error, name_taken },
            other => other,
        })
    }

    /// Sends a REGISTER or LOGIN with the login key. If the tracker wants the digest, it gets that too: without a question
    /// on this computer, as plaintext would there, and elsewhere only with the user's consent.
    async fn send(&self, register: bool, proof: &mut PasswordProof) -> Result<(), SignInFailure> {
        match self.request(register, proof).await {
            Err(error) if wants_digest(&error, register) && proof.digest.is_none() => {}
            outcome => return Ok(outcome?),
        }
        if !(self.sign_in.consent.send_digest || self.tracker.is_on_loopback()) {
            return Err(SignInFailure::DigestRequired);
        }
        let typed = self.sign_in.changed_to.as_ref().unwrap_or(&self.sign_in.password);
        proof.digest = Some(typed.digest());
        Ok(self.request(register, proof).await?)
    }

    async fn request(&self, register: bool, proof: &PasswordProof) -> Result<(), TrackerError> {
        let (SignIn { username, code, .. }, identity) = (self.sign_in, self.identity.clone());
        if register {
            self.tracker.register(username, proof, code.as_ref(), self.listening, identity).await
        } else {
            self.tracker.log_in(username, Some(proof), self.listening, identity).await
        }
    }
}

/// Derives the proof of a password. If the tracker's key is not known yet, this connects to the tracker.
pub(crate) async fn password_proof(
    tracker: &PeerTrackerCommunication,
    user: &Username,
    password: &Password,
) -> Result<PasswordProof, CommandError> {
    let key = match tracker.tracker_key() {
        Some(key) => key,
        None => {
            let reached = tracker.probe().await;
            reached.map_err(|error| from_tracker(error, tracker.address()))?.tracker
        }
    };
    let derived = PasswordProof::derive(password, key, user).await;
    derived.map_err(|error| CommandError::Local(error.to_string()))
}

/// Whether the tracker refused with this code.
pub(crate) fn is_refusal(error: &TrackerError, code: ErrorCode) -> bool {
    matches!(error, TrackerError::Refused(refusal) if refusal.code == code)
}

/// Whether the tracker wants the digest. A tracker of an earlier version misses the digest in a REGISTER.
fn wants_digest(error: &TrackerError, register: bool) -> bool {
    is_refusal(error, ErrorCode::DigestRequired) || register && is_refusal(error, ErrorCode::MissingParameter)
}
