//! Alerts for a message to this user: the terminal's bell, and a notification of the desktop. Pure.

use chrono::{DateTime, Utc};

use crate::api::conversation::Conversation;
use crate::config::Notify;
use crate::frontends::terminal::layout::shorten;
use crate::frontends::terminal::message_rows::{DisplayMessage, Moment};
use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::status_line::shown;
use crate::limits::{ALERT_PAUSE, NOTICE_COLUMNS};

const BELL: &str = "\u{7}";

/// Decides when the terminal rings its bell, and which notification it shows.
pub(crate) struct Alerts {
    notify: Notify,
    last: Option<DateTime<Utc>>,
    due: Option<String>,
}

impl Alerts {
    pub(crate) fn new(notify: Notify) -> Self {
        Self { notify, last: None, due: None }
    }

    /// Handles a received message; `called` is true if it names this user. A private message or one with the name
    /// causes an alert at a terminal, at most once in [`ALERT_PAUSE`].
    pub(crate) fn on_message(
        &mut self,
        conversation: &Conversation,
        message: &DisplayMessage,
        called: bool,
        moment: Moment,
    ) {
        let now = moment.now.to_utc();
        let is_for_you = called || matches!(conversation, Conversation::Private(_));
        let recent = self.last.is_some_and(|last| now < last + ALERT_PAUSE);
        if !is_for_you || moment.columns.is_none() || recent || self.notify == Notify::Off {
            return;
        }
        let from = &message.from;
        self.last = Some(now);
        let what = match conversation {
            Conversation::Private(_) => format!("private message from {from}"),
            Conversation::Room(_) => format!("{from} mentions you in {}", shown(conversation)),
        };
        let notice = match self.notify {
            Notify::Off | Notify::Bell => None,
            Notify::Desktop => Some(what),
            Notify::DesktopText => Some(format!("{what}: {}", sanitize(&message.text))),
        };
        // OSC 9, ended by ST; the text between them contains no control characters.
        let notice = notice.map(|notice| format!("\x1b]9;{}\x1b\\", shorten(&notice, NOTICE_COLUMNS)));
        self.due = Some(format!("{BELL}{}", notice.unwrap_or_default()));
    }

    /// Returns the bytes to write to the terminal for the alert that is due.
    pub(crate) fn take(&mut self) -> Option<String> {
        self.due.take()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use commons::names::{RoomName, Username};
    use uuid::Uuid;

    use super::*;

    fn message(text: &str) -> DisplayMessage {
        let (id, at) = (Uuid::nil(), DateTime::UNIX_EPOCH);
        DisplayMessage {
            id,
            from: bob(),
            text: text.into(),
            at,
            unencrypted: false,
            note: None,
            filtered: false,
        }
    }

    fn moment(now: DateTime<Utc>) -> Moment {
        Moment { now: now.fixed_offset(), columns: Some(80) }
    }

    fn bob() -> Username {
        Username::parse("bob").unwrap()
    }

    fn private() -> Conversation {
        Conversation::Private(bob())
    }

    fn raised(notify: Notify, conversation: &Conversation, text: &str) -> Option<String> {
        let mut alerts = Alerts::new(notify);
        alerts.on_message(conversation, &message(text), true, moment(DateTime::UNIX_EPOCH));
        alerts.take()
    }

    #[test]
    fn rings_once_in_a_while_and_not_where_it_is_off() {
        let mut alerts = Alerts::new(Notify::Bell);
        let mut raise = |milliseconds| {
            let now = DateTime::UNIX_EPOCH + TimeDelta::milliseconds(milliseconds);
            alerts.on_message(&private(), &message("psst"), false, moment(now));
            alerts.take().is_some()
        };
        let pause = ALERT_PAUSE.num_milliseconds();
        assert_eq!([0, 1, pause - 1, pause, pause + 1].map(&mut raise), [true, false, false, true, false]);
        assert_eq!(raised(Notify::Off, &private(), "psst"), None);
    }

    #[test]
    fn a_notification_hides_the_text_unless_it_is_wanted() {
        let sala = Conversation::Room(RoomName::parse("sala").unwrap());
        let notice = |text: &str| Some(format!("\u{7}\x1b]9;{text}\x1b\\"));
        assert_eq!(raised(Notify::Desktop, &private(), "psst"), notice("private message from bob"));
        assert_eq!(raised(Notify::Desktop, &sala, "ana?"), notice("bob mentions you in sala"));
        assert_eq!(raised(Notify::DesktopText, &sala, "ana?"), notice("bob mentions you in sala: ana?"));
    }

    #[test]
    fn no_text_steers_the_terminal_or_fills_the_desktop() {
        let hostile = format!("\x1b\\\u{7}\u{9c}\n\x1b]0;title{}", "x".repeat(1000));
        let alert = raised(Notify::DesktopText, &private(), &hostile).unwrap();
        let notice = alert.strip_prefix("\u{7}\x1b]9;").and_then(|rest| rest.strip_suffix("\x1b\\")).unwrap();
        assert!(!notice.contains(char::is_control), "{notice:?}");
        assert!(notice.chars().count() <= NOTICE_COLUMNS);
    }
}
