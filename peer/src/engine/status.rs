//! The state of the peer, as the frontends show it.

use std::collections::BTreeMap;

use commons::names::Username;
use commons::snapshot::Member;

use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::status::{Status, Trust};
use crate::api::{Answer, Present};
use crate::engine::Engine;

impl Engine {
    /// Fills in what the engine knows of the status.
    pub(crate) fn describe(&self, status: Status) -> Status {
        Status {
            username: Some(self.chat.me().clone()),
            open: self.chat.opened().ok(),
            conversations: self.chat.conversations(),
            tracker: self.chat.tracker(),
            trust: self.trust_in_open(),
            known_users: self.chat.known().users(),
            known_rooms: self.chat.known().rooms(),
            ..status
        }
    }

    /// Returns the members of a conversation and the trust in them. Without a name it is the open conversation.
    pub(in crate::engine) fn users(&self, named: Option<Conversation>) -> Result<Answer, CommandError> {
        let (conversation, members) = self.chat.users(named)?;
        let present = |member: Member| Present { trust: self.trust(&member.username), member };
        Ok(Answer::Users { conversation, members: members.into_iter().map(present).collect() })
    }

    /// Returns the trust in the other members of the open conversation.
    fn trust_in_open(&self) -> BTreeMap<Username, Trust> {
        let Ok((_, members)) = self.chat.users(None) else { return BTreeMap::new() };
        let others = members.into_iter().map(|member| member.username).filter(|user| user != self.chat.me());
        others.map(|user| (user.clone(), self.trust(&user))).collect()
    }
}
