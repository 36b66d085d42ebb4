//! The confirmation question before a command that destroys data. Pure.
//!
//! It describes the loss in words.

use commons::names::Username;

use crate::api::conversation::Conversation;
use crate::api::loss::Loss;

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
            let who = match names.as_slice() {
                [] => "this computer has not entered it and does not know the members".to_owned(),
                names => names.join(", "),
            };
            Warning {
                rows: vec![format!(
                    "Deleting {room} ends it for everybody in it: {who}. Nobody can undo this."
                )],
                question: format!("Delete {room}? [y/N]"),
            }
        }
        Loss::Membership { room, is_owner } => {
            let seat = if *is_owner {
                "You stay its owner, and your seat is kept."
            } else {
                "Your seat becomes free, and somebody else may take it."
            };
            Warning {
                rows: vec![format!("{seat} Your messages that still wait are given up.")],
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
        Loss::Account(user) => Warning {
            rows: vec![format!(
                "The account {user}, its key and all messages on this computer are deleted. Nobody can undo this, and \
                 anybody may take the name. Your rooms go to the member who is there longest: /delete-account +rooms \
                 deletes them instead."
            )],
            question: format!("Your password, to delete {user}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use commons::names::RoomName;

    use super::*;

    #[test]
    fn the_question_says_what_is_lost_and_for_whom() {
        let user = |name| Username::parse(name).unwrap();
        let room = RoomName::parse("sala").unwrap();
        let shown = warning(&Loss::Room { room, others: vec![user("bob"), user("carla")] });
        assert!(shown.rows[0].contains("bob, carla"), "{:?}", shown.rows);
        assert_eq!(shown.question, "Delete sala? [y/N]");
        let forgotten =
            |conversation| warning(&Loss::History(conversation)).rows.concat().contains("Other rooms");
        let room = RoomName::parse("sala").unwrap();
        assert!(forgotten(Conversation::Room(room)) && !forgotten(Conversation::Private(user("bob"))));
        assert!(warning(&Loss::Account(user("ana"))).rows[0].contains("all messages on this computer"));
    }
}
