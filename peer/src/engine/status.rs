//! The state of the peer, as the frontends show it.

use std::collections::BTreeSet;

use commons::names::Username;
use commons::protocol::listed_peer::ListedPeer;
use commons::snapshot::Member;
use tokio::time::Instant;

use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::snapshot::{LinkInfo, Snapshot, UserState};
use crate::api::status::{MemberStatus, OnlineUser, Status};
use crate::engine::Engine;
use crate::engine::chat::LinkTrust;
use crate::untrusted::UntrustedText;

impl Engine {
    /// Fills in what the engine knows of the status. The open conversation and the unread messages belong to each
    /// frontend.
    pub(crate) fn describe(&self, status: Status) -> Status {
        let trust = self.shown_users().into_iter().map(|user| {
            let trust = self.trust(&user);
            (user, trust)
        });
        Status {
            username: Some(self.chat.me().clone()),
            open: None,
            conversations: self.chat.conversations().into_iter().map(|it| (it, 0)).collect(),
            tracker: self.chat.tracker(),
            trust: trust.collect(),
            known_users: self.chat.known().users(),
            known_rooms: self.chat.known().rooms(),
            ..status
        }
    }

    /// Fills in what the engine knows of the snapshot.
    pub(crate) fn snapshot(&self, signed_out: Snapshot, now: Instant) -> Snapshot {
        Snapshot {
            username: Some(self.chat.me().clone()),
            key: Some(self.own_key),
            tracker: self.chat.tracker(),
            rooms: self.chat.rooms().cloned().collect(),
            private_chats: self.chat.private_partners().cloned().collect(),
            available_rooms: self.chat.offered().cloned().collect(),
            users: self.shown_users().into_iter().map(|user| self.user_state(user)).collect(),
            blocked: self.chat.blocked().iter().cloned().collect(),
            requests: self.chat.requesters().cloned().collect(),
            away: self.away.own().cloned(),
            history_locked: self.history_lock.is_locked(now),
            ..signed_out
        }
    }

    fn user_state(&self, username: Username) -> UserState {
        let link = self.links.get(&username).filter(|_| self.chat.linked().contains(&username));
        let link = link.map(|link| self.link_trust(&username, link));
        let link = link.map(|LinkTrust { encrypted, verified, .. }| LinkInfo { encrypted, verified });
        let changed_key = self.keys.key(&username).filter(|_| self.keys.is_changed(&username));
        let away = self.away.of(&username).cloned();
        UserState { trust: self.trust(&username), link, changed_key, away, username }
    }

    /// Returns the members of all conversations and everybody who is linked, without the user.
    fn shown_users(&self) -> BTreeSet<Username> {
        let mut users = self.chat.others();
        users.extend(self.chat.linked().iter().cloned());
        users
    }

    /// Returns the members of a conversation and the trust in them.
    pub(in crate::engine) fn users(&self, conversation: Conversation) -> Result<Answer, CommandError> {
        let members = self.chat.users(&conversation)?;
        let present = |member: Member| {
            let away = self.away_text(&member.username).cloned();
            MemberStatus { trust: self.trust(&member.username), member, away }
        };
        Ok(Answer::Users { conversation, members: members.into_iter().map(present).collect() })
    }

    /// Returns the users that the tracker lists, with the texts of those who are away.
    pub(in crate::engine) fn online(&self, peers: Vec<ListedPeer>) -> Answer {
        let online = |peer: ListedPeer| {
            let user = Username::parse(&peer.username).ok();
            OnlineUser { away: user.and_then(|user| self.away_text(&user)).cloned(), peer }
        };
        Answer::Peers { peers: peers.into_iter().map(online).collect() }
    }

    /// Returns the text of a user who is away; of this one too.
    fn away_text(&self, user: &Username) -> Option<&UntrustedText> {
        if user == self.chat.me() { self.away.own() } else { self.away.of(user) }
    }
}
