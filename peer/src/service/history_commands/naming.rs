//! The names of the stored conversations. Pure.
//!
//! Several rooms may have had one name, one after the other. A name means the room of which this user is a member, or
//! else the newest. An older room has the end of its id after the name, for example `sala#3c24`. That name stays the
//! same when other rooms follow.

use commons::names::RoomName;
use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::api::past::PastConversation;
use crate::api::schema::is_end_of_id;
use crate::history::conversation::{ConversationId, NamedConversation};
use crate::limits::MESSAGE_ID_DIGITS;

/// A stored conversation and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredConversation {
    pub(crate) id: ConversationId,
    pub(crate) of: PastConversation,
    /// The name by which a command finds it, if that is not the plain one.
    pub(crate) named: Option<RoomName>,
}

/// The reason why a name identifies no conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameError {
    /// There is no conversation of this name.
    Unknown,
    /// There are several conversations of this name.
    Ambiguous,
}

/// Returns all names. `stored` is in the order in which the conversations were met; `current` are the rooms of this user.
pub(crate) fn names(stored: &[NamedConversation], current: &[(RoomName, Uuid)]) -> Vec<StoredConversation> {
    let named = stored.iter().filter_map(|(id, room)| match (id, room) {
        (ConversationId::Private(user), _) => {
            Some(StoredConversation { id: id.clone(), of: PastConversation::With(user.clone()), named: None })
        }
        (ConversationId::Room(uuid), Some(name)) => {
            let of = PastConversation::Room(name.clone());
            let named =
                if is_plain(*uuid, name, stored, current) { None } else { long_name(*uuid, name, stored) };
            Some(StoredConversation { id: id.clone(), of, named })
        }
        // The name of this room never arrived.
        (ConversationId::Room(_), None) => None,
    });
    named.collect()
}

/// Returns the conversation that a name identifies.
pub(crate) fn resolve(
    names: &[StoredConversation],
    wanted: &Conversation,
) -> Result<StoredConversation, NameError> {
    let of = PastConversation::from(wanted.clone());
    if let Some(plain) = names.iter().find(|it| it.of == of && it.named.is_none()) {
        return Ok(plain.clone());
    }
    let Conversation::Room(name) = wanted else { return Err(NameError::Unknown) };
    if let Some(named) = names.iter().find(|it| it.named.as_ref() == Some(name)) {
        return Ok(named.clone());
    }
    let Some((name, digits)) = name.as_str().rsplit_once('#') else { return Err(NameError::Unknown) };
    let fits = |it: &&StoredConversation| {
        is_end_of_id(digits)
            && matches!(&it.of, PastConversation::Room(room) if room.as_str() == name)
            && it.id.room().is_some_and(|id| ends(id, &digits.to_lowercase()))
    };
    let mut fitting = names.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only.clone()),
        (Some(_), Some(_)) => Err(NameError::Ambiguous),
        (None, _) => Err(NameError::Unknown),
    }
}

fn is_plain(id: Uuid, name: &RoomName, stored: &[NamedConversation], current: &[(RoomName, Uuid)]) -> bool {
    match current.iter().find(|(room, _)| room == name) {
        Some((_, member_of)) => *member_of == id,
        None => called(name, stored).last() == Some(id),
    }
}

/// Returns the name followed by the shortest end of the id that no other room of that name shares.
fn long_name(id: Uuid, name: &RoomName, stored: &[NamedConversation]) -> Option<RoomName> {
    let digits = id.to_string();
    let lengths = MESSAGE_ID_DIGITS..=digits.len();
    let unique = lengths.map(|length| &digits[digits.len() - length..]).find(|end| {
        !end.starts_with('-') && called(name, stored).filter(|other| ends(*other, end)).count() == 1
    })?;
    // A name of maximum length leaves no place for the id, so the whole id replaces it.
    RoomName::parse(&format!("{name}#{unique}")).or_else(|_| RoomName::parse(&format!("#{digits}"))).ok()
}

fn called<'a>(name: &'a RoomName, stored: &'a [NamedConversation]) -> impl Iterator<Item = Uuid> + 'a {
    stored.iter().filter(move |(_, room)| room.as_ref() == Some(name)).filter_map(|(id, _)| id.room())
}

fn ends(id: Uuid, digits: &str) -> bool {
    id.to_string().ends_with(digits)
}

#[cfg(test)]
mod tests {
    use commons::names::Username;

    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn stored(rooms: &[(u128, &str)]) -> Vec<NamedConversation> {
        rooms
            .iter()
            .map(|(id, name)| (ConversationId::Room(Uuid::from_u128(*id)), Some(room(name))))
            .collect()
    }

    fn found(names: &[StoredConversation], name: &str) -> Result<Uuid, NameError> {
        resolve(names, &Conversation::Room(room(name))).map(|found| found.id.room().unwrap())
    }

    #[test]
    fn name_means_the_newest_room_and_older_ones_have_ids() {
        let stored = stored(&[(0x1aaaa, "sala"), (0x2bbbb, "sala"), (3, "equipe")]);
        let all = names(&stored, &[]);
        let shown: Vec<_> = all.iter().map(|it| it.named.as_ref().map(RoomName::to_string)).collect();
        assert_eq!(shown, [Some("sala#aaaa".to_owned()), None, None]);
        assert_eq!(found(&all, "sala"), Ok(Uuid::from_u128(0x2bbbb)));
        assert_eq!(found(&all, "sala#aaaa"), Ok(Uuid::from_u128(0x1aaaa)));
        assert_eq!(found(&all, "sala#1AAAA"), Ok(Uuid::from_u128(0x1aaaa)));
        assert_eq!(found(&all, "sala#bbbb"), Ok(Uuid::from_u128(0x2bbbb)), "the newest has an id too");
        for unknown in ["sala#cccc", "sala#aaa", "other", "equipe#aaaa", "sala#2", "#aaaa"] {
            assert_eq!(found(&all, unknown), Err(NameError::Unknown), "{unknown}");
        }
        // A room of this user takes precedence over a newer one.
        let member = names(&stored, &[(room("sala"), Uuid::from_u128(0x1aaaa))]);
        assert_eq!(found(&member, "sala"), Ok(Uuid::from_u128(0x1aaaa)));
        assert_eq!(found(&member, "sala#bbbb"), Ok(Uuid::from_u128(0x2bbbb)));
    }

    #[test]
    fn exact_room_name_wins_over_an_id_suffix() {
        let all = names(&stored(&[(0xaaaa, "sala"), (2, "sala"), (3, "sala#aaaa")]), &[]);
        assert_eq!(found(&all, "sala#aaaa"), Ok(Uuid::from_u128(3)));
        assert_eq!(found(&all, "sala#0aaaa"), Ok(Uuid::from_u128(0xaaaa)));
    }

    #[test]
    fn names_of_ids_that_end_alike_differ() {
        let all = names(&stored(&[(0x1_aaaa, "sala"), (0x2_aaaa, "sala"), (3, "sala")]), &[]);
        let shown: Vec<_> = all.iter().filter_map(|it| it.named.as_ref().map(RoomName::to_string)).collect();
        assert_eq!(shown, ["sala#1aaaa", "sala#2aaaa"]);
        assert_eq!(found(&all, "sala#aaaa"), Err(NameError::Ambiguous));
    }

    #[test]
    fn the_longest_name_means_the_newest_room_too() {
        let longest = "x".repeat(commons::limits::ROOM_NAME_MAX);
        let all = names(&stored(&[(0xaaaa, &longest), (2, &longest)]), &[]);
        assert_eq!(found(&all, &longest), Ok(Uuid::from_u128(2)));
        let older = all[0].named.as_ref().unwrap().to_string();
        assert_eq!(older, "#00000000-0000-0000-0000-00000000aaaa");
        assert_eq!(found(&all, &older), Ok(Uuid::from_u128(0xaaaa)));
    }

    #[test]
    fn a_private_chat_has_its_users_name() {
        let bob = Username::parse("bob").unwrap();
        let all = names(&[(ConversationId::Private(bob.clone()), None)], &[]);
        assert_eq!(all[0].of, PastConversation::With(bob.clone()));
        assert!(resolve(&all, &Conversation::Private(bob)).is_ok());
        let eve = Conversation::Private(Username::parse("eve").unwrap());
        assert_eq!(resolve(&all, &eve), Err(NameError::Unknown));
    }
}
