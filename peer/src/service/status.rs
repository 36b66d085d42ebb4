//! The state of a peer, for a prompt or a status line.

use std::collections::BTreeMap;

use commons::names::Username;

use crate::api::Event;
use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::api::status::{Status, TrackerState};
use crate::engine::not_signed_in;
use crate::identity::profile::Profile;
use crate::service::PeerService;

impl PeerService {
    /// Returns true if the service has stopped: the user signed out, or the program ends.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Refuses a text that the user's word filter does not let out.
    pub fn check_filter(&self, text: &str) -> Result<(), CommandError> {
        self.filter.check(text)
    }

    /// Marks a message of another user that the word filter hides, or whose author is muted.
    #[must_use]
    pub fn marked(&self, event: Event) -> Event {
        let event = self.filter.marked(event, self.me());
        match self.session.get() {
            Some(session) => session.muted.marked(event),
            None => event,
        }
    }

    /// Marks the messages in an answer that the word filter hides, or whose author is muted.
    #[must_use]
    pub fn marked_answer(&self, answer: Answer) -> Answer {
        let answer = self.filter.marked_answer(answer, self.me());
        match self.session.get() {
            Some(session) => session.muted.marked_answer(answer),
            None => answer,
        }
    }

    /// Mutes a user in rooms, or ends that.
    pub(crate) async fn mute(&self, user: Username, is_muted: bool) -> Result<Answer, CommandError> {
        let Some(session) = self.session.get() else { return Err(not_signed_in()) };
        if session.user == user {
            return Err(CommandError::NotYourself);
        }
        session.muted.set(&user, is_muted)?;
        self.engine.publish([Event::MuteChanged { user, muted: is_muted }]).await;
        Ok(Answer::Done)
    }

    fn me(&self) -> &str {
        self.session.get().map_or("", |session| session.user.as_str())
    }

    /// Checks that no other peer of this device is signed in as this user.
    pub fn check_free(&self, user: &Username) -> Result<(), CommandError> {
        Ok(Profile::check_free(&self.config.data, self.tracker_address(), user)?)
    }

    /// Returns the tracker's address, `host:port`.
    #[must_use]
    pub fn tracker_address(&self) -> &str {
        &self.config.tracker.address
    }

    /// Returns the state of the peer.
    pub async fn status(&self) -> Status {
        let status = Status {
            username: None,
            open: None,
            conversations: Vec::new(),
            tracker: TrackerState::Lost,
            tracker_address: self.tracker_address().to_owned(),
            tracker_key: self.tracker.tracker_key(),
            listening: self.listening.to_string(),
            trust: BTreeMap::new(),
            known_users: Vec::new(),
            known_rooms: Vec::new(),
        };
        let before_sign_in = status.clone();
        self.engine.status(status).await.unwrap_or(before_sign_in)
    }
}
