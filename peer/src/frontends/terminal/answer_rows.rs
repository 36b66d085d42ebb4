//! The result of a command as rows for people. Pure.
//!
//! It is an answer, or an error with advice.

use commons::counted::counted;
use commons::names::Username;
use commons::protocol::with_tracker::ErrorCode;

use crate::api::Command;
use crate::api::account::AccountCommand;
use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::frontends::terminal::admin_rows;
use crate::frontends::terminal::message_rows::Moment;
use crate::frontends::terminal::retry_wait::with_wait;
use crate::frontends::terminal::room_report_rows;
use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::scrollback::{HistoryRows, address, name_of};
use crate::frontends::terminal::style::Style;
use crate::frontends::terminal::tables::Tables;
use crate::untrusted::AsUntrusted;

/// Renders an answer as rows.
pub(crate) struct AnswerRows<'a> {
    pub(crate) paint: Style,
    pub(crate) tables: Tables<'a>,
    pub(crate) moment: Moment,
}

impl AnswerRows<'_> {
    pub(crate) fn rows(&self, answer: &Answer, command: &Command) -> Vec<String> {
        match answer {
            Answer::Done => self.done(command).map(|row| self.paint.system(&row)).into_iter().collect(),
            Answer::Peers { peers } => self.tables.peers(peers),
            Answer::Rooms { rooms } => self.tables.rooms(rooms),
            Answer::Room(report) => room_report_rows::report(&self.tables, report),
            Answer::Users { conversation, members } => self.tables.members(conversation, members),
            Answer::WhoAmI { status } => self.tables.status(status),
            Answer::Muted { users } => {
                let names: Vec<_> = users.iter().map(Username::as_str).collect();
                vec![self.paint.system(&match names.as_slice() {
                    [] => "no user is muted".to_owned(),
                    names => format!("muted, in rooms: {}", names.join(", ")),
                })]
            }
            Answer::Blocked { users } => {
                let names: Vec<_> = users.iter().map(Username::as_str).collect();
                vec![self.paint.system(&match names.as_slice() {
                    [] => "no user is blocked".to_owned(),
                    names => format!("blocked, in private: {}", names.join(", ")),
                })]
            }
            // The terminal has subcommands of the program for these.
            Answer::LoggedIn { .. } | Answer::IdentityExported { .. } | Answer::IdentityImported { .. } => {
                Vec::new()
            }
            Answer::Keys { keys } => self.tables.keys(keys),
            Answer::Admin(answer) => admin_rows::answer(&self.tables, answer),
            Answer::AccountDeleted => {
                vec![self.paint.system("your account is deleted, and all its data on this computer")]
            }
            Answer::SafetyNumber { user, number, verified, changed } => {
                self.safety_number(user, number, *verified, *changed)
            }
            Answer::History { of, named, lines: messages, more } => {
                let is_earlier = matches!(command, Command::History { before: Some(_), .. });
                self.past().history(&address(of, named.as_ref()), messages, is_earlier, *more)
            }
            Answer::Found { lines, more } => self.past().found(lines, *more),
            Answer::Conversations { conversations } => {
                self.tables.conversations(conversations, self.moment.now.timezone())
            }
            Answer::Exported { file, lines } => {
                let file = sanitize(&*file.to_string_lossy());
                self.row(&format!("{} written to {file}", counted(*lines, "message", "messages")))
            }
            Answer::Forgotten { lines } => {
                self.row(&format!("{} erased on this computer", counted(*lines, "message", "messages")))
            }
            Answer::Receipts { of, lines } => self.tables.receipts(&name_of(of), lines, self.moment),
            Answer::Outbox { lines } => self.tables.outbox(lines),
            Answer::Filter { file, words, bad, error } => {
                let file = sanitize(&*file.to_string_lossy());
                let held = format!("{} in {file}", counted(*words, "word", "words"));
                let wrong = bad.iter().map(|it| format!("line {} is left out: {}", it.line, it.reason));
                let failed = error.iter().map(|error| {
                    let reason = sanitize(error.as_str());
                    format!("The file cannot be read: {reason}. The words of before stay.")
                });
                std::iter::once(held).chain(wrong).chain(failed).map(|row| self.paint.system(&row)).collect()
            }
            Answer::Withdrawn { .. } => self.row("the message is withdrawn: nobody has confirmed it"),
            Answer::Quit { undelivered } => {
                let row = |(user, lines): &(Username, usize)| {
                    let what =
                        if *lines == 1 { "1 message waits" } else { &format!("{lines} messages wait") };
                    self.paint.system(&format!("{what} here for {user} until the next start"))
                };
                undelivered.iter().map(row).collect()
            }
        }
    }

    fn past(&self) -> HistoryRows {
        HistoryRows { paint: self.paint, moment: self.moment }
    }

    fn row(&self, row: &str) -> Vec<String> {
        vec![self.paint.system(row)]
    }

    fn safety_number(&self, user: &Username, number: &str, verified: bool, changed: bool) -> Vec<String> {
        let groups: Vec<_> = number.split(' ').collect();
        let rows = groups.chunks(6).map(|groups| format!("   {}", self.paint.strong(&groups.join(" "))));
        let what = match (verified, changed) {
            (true, _) => " (compared before)",
            (_, true) => ", of the key that is not accepted",
            _ => "",
        };
        let then = match (verified, changed) {
            (true, _) => Vec::new(),
            (_, true) => vec![
                format!(
                    "Ask {user} for the number that the computer with the new key shows, by voice or in person."
                ),
                format!("The same? Type /accept {user}, then /verified {user}"),
            ],
            _ => {
                vec![format!("Ask {user} for theirs, by voice or in person. The same? Type /verified {user}")]
            }
        };
        let title = self.paint.system(&format!("safety number with {user}{what}"));
        let then = then.iter().map(|row| self.paint.system(row));
        [title].into_iter().chain(rows).chain(then).collect()
    }

    /// Returns a row for a command that was carried out and causes no event.
    fn done(&self, command: &Command) -> Option<String> {
        match command {
            Command::Block { user: Some(user) } => Some(format!("{user}'s private messages are blocked now")),
            Command::Mute { user: Some(user) } => {
                Some(format!("messages of {user} in rooms are not shown now; /unmute {user} ends that"))
            }
            Command::Unmute { user } => {
                Some(format!("messages of {user} are shown again; /history has the others"))
            }
            Command::Verified { user } => Some(format!("{user} is verified")),
            Command::Account(AccountCommand::Endorse { key }) => Some(format!(
                "the key {} is endorsed: friends who know this computer take it without a warning. Sign in there again",
                sanitize(key)
            )),
            Command::Account(AccountCommand::Revoke { key }) => {
                let key = sanitize(key);
                Some(format!(
                    "the key {key} is yours no longer; who knows your password can bind it again: /password"
                ))
            }
            Command::Account(AccountCommand::ChangePassword { .. }) => {
                Some("your password is changed".to_owned())
            }
            Command::Admin(command) => admin_rows::done(command),
            Command::Room(command) => room_report_rows::done(command),
            Command::Unblock { user } => Some(format!("{user} is no longer blocked")),
            Command::Leave { conversation: Some(Conversation::Private(user)) } => {
                Some(format!("*** the chat with {user} is closed"))
            }
            _ => None,
        }
    }
}

/// Renders the reason why a command was not carried out, or the request for a password.
pub(crate) fn refusal(paint: Style, error: &CommandError) -> String {
    match error {
        CommandError::PasswordWanted { tries_left } => password_wanted(paint, *tries_left),
        error => paint.failure(&format!("✗ {}{}", words(error), advice(error))),
    }
}

/// Returns the text of an error for people, in one row.
pub(crate) fn words(error: &CommandError) -> String {
    let safe = sanitize(&error.words());
    match error {
        CommandError::Refused { retry_after, .. } => with_wait(safe, *retry_after),
        _ => safe,
    }
}

/// Says that the history is locked.
pub(crate) fn password_wanted(paint: Style, tries_left: usize) -> String {
    let left = counted(tries_left, "try", "tries");
    paint.system(&format!("your password, to look back ({left} left): the next line is taken for it"))
}

/// Renders an error that no command caused; its text may come from an untrusted source.
pub(crate) fn failure(paint: Style, words: &(impl AsUntrusted + ?Sized)) -> String {
    paint.failure(&format!("✗ {}", sanitize(words)))
}

/// Returns advice on a refusal, if the tracker's text cannot know the commands of this frontend.
fn advice(error: &CommandError) -> &'static str {
    let CommandError::Refused { code, .. } = error else { return "" };
    match code {
        ErrorCode::RoomNotFound => " (/rooms lists those there are)",
        ErrorCode::RoomFull => " (/rooms shows free seats)",
        ErrorCode::KeyNotFound => " (/keys lists those there are)",
        ErrorCode::PeerNotFound => " (/peers shows who is online)",
        _ => "",
    }
}
