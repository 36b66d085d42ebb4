//! The confirmation question before a command that destroys data. Pure.
//!
//! It describes the loss in words.

use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::RoomsFate;

use crate::api::conversation::Conversation;
use crate::api::loss::Loss;

/// Rooms that a warning names. More of them would fill the screen.
const ROOMS_SHOWN: usize = 5;

const HAND_ON: &str =
    "A room that you hand on goes to the member who is there longest; one with nobody else in it is deleted.";

/// The description of the loss as rows, and the question, which fits a row.
pub(crate) struct Warning {
    pub(crate) rows: Vec<String>,
    pub(crate) question: String,
}

/// Returns the warning before a command that destroys data.
pub(crate) fn warning(loss: &Loss) -> Warning {
    match loss {
        Loss::Room { room, others } => {
            let names: Vec<_> = others.iter().map(Username::as_str).collect();
            let names = match names.as_slice() {
                [] => "this computer has not entered it and does not know the members".to_owned(),
                names => names.join(", "),
            };
            Warning {
                rows: vec![format!(
                    "Deleting {room} ends it for everybody in it: {names}. Nobody can undo this."
                )],
                question: format!("Delete {room}? [y/N]"),
            }
        }
        Loss::Membership { room, is_owner } => {
            let consequence = if *is_owner {
                "You stay its owner, and your seat is kept."
            } else {
                "Your seat becomes free, and somebody else may take it."
            };
            Warning {
                rows: vec![format!("{consequence} Your messages that still wait are given up.")],
                question: format!("Leave {room}? [y/N]"),
            }
        }
        Loss::History(conversation) => {
            let mut rows = vec![format!(
                "All messages of {conversation} on this computer are erased, and those that wait for somebody are \
                 not delivered. Nobody can undo this."
            )];
            if let Conversation::Room(_) = conversation {
                rows.push(
                    "Other rooms that had this name stay: /conversations tells what to call them.".to_owned(),
                );
            }
            Warning { rows, question: format!("Forget {conversation}? [y/N]") }
        }
        Loss::RoomOfOthers(room) => Warning {
            rows: vec![format!("Deleting {room} ends it for everybody in it. Nobody can undo this.")],
            question: format!("Delete {room}? [y/N]"),
        },
        Loss::AccountOfOther(user) => Warning {
            rows: vec![format!(
                "The account {user} is deleted, and its rooms go to other members. Nobody can undo this, and anybody may \
                 take the name: /admin ban {user} first keeps it unused."
            )],
            question: format!("Delete the account {user}? [y/N]"),
        },
        Loss::Account { user, owned, fate } => {
            let rooms = match fate {
                _ if owned.is_empty() => String::new(),
                RoomsFate::HandOn => format!(" Your rooms are handed on: {}.", names(owned)),
                RoomsFate::Delete => format!(" Your rooms end for everybody in them: {}.", names(owned)),
            };
            Warning {
                rows: vec![format!(
                    "The account {user}, its key and all messages on this computer are deleted. Nobody can undo this, \
                     and anybody may take the name.{rooms}"
                )],
                question: format!("Your password, to delete {user}"),
            }
        }
    }
}

/// Returns the question for the fate of the user's rooms, if the command leaves it open.
pub(crate) fn rooms_question(loss: &Loss) -> Option<Warning> {
    match loss {
        Loss::Account { owned, fate: RoomsFate::HandOn, .. } if !owned.is_empty() => Some(Warning {
            rows: vec![format!("You own {}. {HAND_ON}", names(owned))],
            question: "Hand your rooms on, or delete them? [HAND ON/delete]".to_owned(),
        }),
        _ => None,
    }
}

/// Names the first rooms, and counts the others.
fn names(rooms: &[RoomName]) -> String {
    let shown: Vec<_> = rooms.iter().take(ROOMS_SHOWN).map(RoomName::as_str).collect();
    match rooms.len().saturating_sub(ROOMS_SHOWN) {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmation_names_the_loss_and_the_affected_users() {
        let user = |name| Username::parse(name).unwrap();
        let room = RoomName::parse("sala").unwrap();
        let shown = warning(&Loss::Room { room, others: vec![user("bob"), user("carla")] });
        assert!(shown.rows[0].contains("bob, carla"), "{:?}", shown.rows);
        assert_eq!(shown.question, "Delete sala? [y/N]");
        let forgotten =
            |conversation| warning(&Loss::History(conversation)).rows.concat().contains("Other rooms");
        let room = RoomName::parse("sala").unwrap();
        assert!(forgotten(Conversation::Room(room)) && !forgotten(Conversation::Private(user("bob"))));
    }

    #[test]
    fn the_fate_of_rooms_is_asked_of_their_owner_only() {
        let loss = |owned: usize, fate| {
            let rooms = (0..owned).map(|n| RoomName::parse(&format!("r{n}")).unwrap());
            Loss::Account { user: Username::parse("ana").unwrap(), owned: rooms.collect(), fate }
        };
        let row = |owned, fate| warning(&loss(owned, fate)).rows.concat();
        assert!(row(0, RoomsFate::HandOn).ends_with("anybody may take the name."));
        assert!(row(1, RoomsFate::HandOn).ends_with("handed on: r0."));
        assert!(row(7, RoomsFate::Delete).ends_with("in them: r0, r1, r2, r3, r4, and 2 more."));
        assert!(rooms_question(&loss(1, RoomsFate::HandOn)).is_some());
        assert!(rooms_question(&loss(0, RoomsFate::HandOn)).is_none());
        assert!(rooms_question(&loss(1, RoomsFate::Delete)).is_none(), "+rooms is the answer");
    }
}
