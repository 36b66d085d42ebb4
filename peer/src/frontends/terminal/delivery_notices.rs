//! Notices about the delivery of this user's messages. Pure: time is an argument.
//!
//! There is no notice if every recipient has a message within two seconds. Otherwise one row names the recipients that
//! lack it, and another one says when all have it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use commons::counted::counted;
use commons::names::Username;
use uuid::Uuid;

use crate::api::Event;
use crate::api::past::WaitingMessage;
use crate::api::undeliverable::Undeliverable;
use crate::frontends::terminal::layout::shorten;
use crate::frontends::terminal::message_rows::Moment;
use crate::frontends::terminal::sanitize::display_safe_lines;
use crate::frontends::terminal::style::Style;
use crate::limits::{OUTBOX_MESSAGES, QUOTED_MESSAGES};
use crate::untrusted::UntrustedText;

/// Time within which a delivery causes no notice.
const SOON: TimeDelta = TimeDelta::seconds(2);

/// Columns of the message that a notice quotes.
const QUOTED: usize = 30;

/// The messages that wait for a recipient, and those that will not be delivered.
#[derive(Default)]
pub(crate) struct DeliveryNotices {
    named: VecDeque<(Uuid, UntrustedText)>,
    waiting: BTreeMap<Username, Waiting>,
    lost: BTreeMap<(Username, &'static str), Vec<Uuid>>,
}

/// The messages that wait for one user.
#[derive(Default)]
struct Waiting {
    /// The time since which each message waits; ids grow with time.
    messages: BTreeMap<Uuid, DateTime<Utc>>,
    /// True if a notice has named the user.
    notified: bool,
    /// True if the messages wait for a key to be accepted.
    held: bool,
    /// The number of messages delivered since the notice.
    arrived: usize,
    /// The number of messages written to a legacy client since the notice.
    written: usize,
}

impl DeliveryNotices {
    /// Adds the messages that an earlier run left in the outbox: the first screen reports them.
    pub(crate) fn resume(&mut self, messages: &[WaitingMessage]) {
        for own in messages.iter().map(|waiting| &waiting.message) {
            self.sent(own.id, &own.content, own.waits.iter().cloned(), own.sent_at);
        }
        self.waiting.values_mut().for_each(|waiting| waiting.notified = true);
    }

    /// Adds a message that waits for its recipients.
    pub(crate) fn sent(
        &mut self,
        id: Uuid,
        text: &UntrustedText,
        to: impl IntoIterator<Item = Username>,
        now: DateTime<Utc>,
    ) {
        if self.named.len() >= QUOTED_MESSAGES {
            self.named.pop_front();
        }
        self.named.push_back((id, text.clone()));
        for user in to {
            let messages = &mut self.waiting.entry(user).or_default().messages;
            if messages.len() < OUTBOX_MESSAGES {
                messages.insert(id, now);
            }
        }
    }

    /// Handles an event about a message.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::Delivered { id, to } => self.delivered(*id, to),
            Event::Written { id, to } => self.written(*id, to),
            Event::Undelivered { id, to, reason } => self.undelivered(*id, to, *reason),
            Event::MessageWithdrawn { id } => self.withdrawn(*id),
            Event::KeyChanged { peer, .. } => self.hold(peer),
            Event::KeyAccepted { peer, .. } => self.release(peer),
            _ => {}
        }
    }

    /// Removes a message that a recipient acknowledged.
    pub(crate) fn delivered(&mut self, id: Uuid, to: &Username) {
        if let Some(waiting) = self.waiting.get_mut(to)
            && waiting.messages.remove(&id).is_some()
        {
            waiting.arrived += usize::from(waiting.notified);
        }
    }

    /// Removes a message that was written to a legacy client, which acknowledges nothing.
    pub(crate) fn written(&mut self, id: Uuid, to: &Username) {
        if let Some(waiting) = self.waiting.get_mut(to)
            && waiting.messages.remove(&id).is_some()
        {
            waiting.written += usize::from(waiting.notified);
        }
    }

    /// Handles a message that is not delivered, for good or until the user acts.
    pub(crate) fn undelivered(&mut self, id: Uuid, to: &Username, reason: Undeliverable) {
        let why = match reason {
            // The program ends, and its last rows report the number.
            Undeliverable::Waiting => return,
            Undeliverable::KeyChanged => return self.hold(to),
            Undeliverable::Left => "no longer in that conversation",
            Undeliverable::Forgotten => "erased here before it had arrived",
            Undeliverable::TextTooLong => "too long for that user's program",
            Undeliverable::QueueFull => "too many newer messages wait for that user",
        };
        if let Some(waiting) = self.waiting.get_mut(to) {
            waiting.messages.remove(&id);
        }
        self.lost.entry((to.clone(), why)).or_default().push(id);
    }

    /// Notes that the messages to a user wait until a key is accepted. The next notice says so, also if an earlier one has
    /// said that they wait.
    pub(crate) fn hold(&mut self, user: &Username) {
        if let Some(waiting) = self.waiting.get_mut(user)
            && !std::mem::replace(&mut waiting.held, true)
        {
            waiting.notified = false;
        }
    }

    /// Notes that the key of a user is accepted.
    pub(crate) fn release(&mut self, user: &Username) {
        if let Some(waiting) = self.waiting.get_mut(user) {
            waiting.held = false;
        }
    }

    /// Removes a message that was withdrawn.
    pub(crate) fn withdrawn(&mut self, id: Uuid) {
        for waiting in self.waiting.values_mut() {
            waiting.messages.remove(&id);
        }
    }

    /// Returns the number of waiting messages that a notice has reported.
    pub(crate) fn waiting(&self) -> usize {
        let known = self.waiting.values().filter(|waiting| waiting.notified);
        known.flat_map(|waiting| waiting.messages.keys()).collect::<BTreeSet<_>>().len()
    }

    /// Returns the time at which the next notice may be due, if nothing is delivered before.
    pub(crate) fn due(&self) -> Option<DateTime<Utc>> {
        let unnotified = self.waiting.values().filter(|waiting| !waiting.notified);
        unnotified.filter_map(Waiting::overdue_at).min()
    }

    /// Returns the notices that are due now.
    pub(crate) fn due_rows(&mut self, paint: Style, moment: Moment) -> Vec<String> {
        let time = paint.faint(&moment.now.format("[%H:%M:%S]").to_string());
        let mut rows = Vec::new();
        for ((user, why), ids) in std::mem::take(&mut self.lost) {
            let what = match ids.as_slice() {
                [id] => format!("✗ not delivered to {user} ({why}){}", self.quote(*id)),
                ids => {
                    format!("✗ {} not delivered to {user} ({why})", counted(ids.len(), "message", "messages"))
                }
            };
            rows.push(format!("{time} {}", paint.failure(&what)));
        }
        let mut overdue_messages = BTreeSet::new();
        for (user, waiting) in &mut self.waiting {
            let overdue = waiting.overdue_at().is_some_and(|at| at <= moment.now);
            if waiting.messages.is_empty() && waiting.arrived > 0 {
                let messages = if waiting.arrived == 1 {
                    "message".to_owned()
                } else {
                    format!("{} messages", waiting.arrived)
                };
                rows.push(paint.faint(&format!("✓ {user} has your {messages} now")));
            } else if waiting.messages.is_empty() && waiting.written > 0 {
                let messages = counted(waiting.written, "message was", "messages were");
                rows.push(
                    paint.faint(&format!("→ {messages} sent to {user}, whose program confirms nothing")),
                );
            } else if overdue && !waiting.notified && !waiting.messages.is_empty() {
                waiting.notified = true;
                if waiting.held {
                    let what = match waiting.messages.len() {
                        1 => format!("your message to {user} is held"),
                        count => format!("your {count} messages to {user} are held"),
                    };
                    rows.push(paint.failure(&format!(
                        "… {what}: {user} has another key. Compare /verify {user}, then /accept {user}"
                    )));
                } else {
                    overdue_messages.extend(waiting.messages.keys().copied());
                }
            }
        }
        if !overdue_messages.is_empty() {
            rows.push(paint.faint(&self.waits_for(&overdue_messages)));
        }
        self.waiting.retain(|_, waiting| !waiting.messages.is_empty());
        rows
    }

    /// Names all users for whom any of these messages waits.
    fn waits_for(&self, messages: &BTreeSet<Uuid>) -> String {
        let lacks = |waiting: &Waiting| waiting.messages.keys().any(|id| messages.contains(id));
        let users = self.waiting.iter().filter(|(_, waiting)| !waiting.held && lacks(waiting));
        let users: Vec<_> = users.map(|(user, _)| user.as_str()).collect();
        let names = match users.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => String::new(),
        };
        let what = if messages.len() == 1 { "your message waits" } else { "your messages wait" };
        format!("… {what} here for {names}")
    }

    fn quote(&self, id: Uuid) -> String {
        let own = self.named.iter().rev().find(|(own, _)| *own == id);
        own.map_or_else(String::new, |(_, text)| {
            let first = display_safe_lines(text).into_iter().next().unwrap_or_default();
            format!(": \"{}\"", shorten(&first, QUOTED))
        })
    }
}

impl Waiting {
    fn overdue_at(&self) -> Option<DateTime<Utc>> {
        let patience = if self.held { TimeDelta::zero() } else { SOON };
        self.messages.first_key_value().map(|(_, since)| *since + patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn at(seconds: i64) -> Moment {
        let now = DateTime::from_timestamp(seconds, 0).unwrap().fixed_offset();
        Moment { now, columns: Some(80) }
    }

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    /// Messages `1..=count` for bob and carla, sent at second 0.
    fn notices(count: u128) -> DeliveryNotices {
        let mut deliveries = DeliveryNotices::default();
        for n in 1..=count {
            let to = [user("bob"), user("carla")];
            deliveries.sent(id(n), &format!("line {n}").as_str().into(), to, at(0).now.to_utc());
        }
        deliveries
    }

    fn due_rows(deliveries: &mut DeliveryNotices, second: i64) -> Vec<String> {
        deliveries.due_rows(Style::plain(), at(second))
    }

    #[test]
    fn message_written_to_a_legacy_client_is_not_delivered() {
        let mut deliveries = notices(2);
        (1..=2).for_each(|n| deliveries.delivered(id(n), &user("carla")));
        deliveries.written(id(1), &user("bob"));
        assert_eq!(due_rows(&mut deliveries, 2), ["… your message waits here for bob"]);
        deliveries.written(id(2), &user("bob"));
        assert_eq!(
            due_rows(&mut deliveries, 3),
            ["→ 1 message was sent to bob, whose program confirms nothing"]
        );
        assert_eq!((deliveries.waiting(), deliveries.due()), (0, None));
    }

    #[test]
    fn message_delivered_soon_raises_no_notice() {
        let mut deliveries = notices(1);
        assert!(due_rows(&mut deliveries, 1).is_empty());
        deliveries.delivered(id(1), &user("bob"));
        deliveries.delivered(id(1), &user("carla"));
        assert!(due_rows(&mut deliveries, 5).is_empty());
        assert_eq!(deliveries.due(), None);
    }

    #[test]
    fn recipient_is_named_when_it_lacks_messages_and_on_delivery() {
        let mut deliveries = notices(3);
        (1..=3).for_each(|n| deliveries.delivered(id(n), &user("bob")));
        assert_eq!(deliveries.due(), Some(at(2).now.to_utc()));
        assert!(due_rows(&mut deliveries, 1).is_empty());
        assert_eq!(due_rows(&mut deliveries, 2), ["… your messages wait here for carla"]);
        assert_eq!((deliveries.waiting(), deliveries.due()), (3, None));
        assert!(due_rows(&mut deliveries, 60).is_empty());
        deliveries.delivered(id(1), &user("carla"));
        assert!(due_rows(&mut deliveries, 61).is_empty(), "others follow");
        deliveries.delivered(id(2), &user("carla"));
        deliveries.delivered(id(3), &user("carla"));
        assert_eq!(due_rows(&mut deliveries, 61), ["✓ carla has your 3 messages now"]);
        assert!(due_rows(&mut deliveries, 62).is_empty());
        assert_eq!(deliveries.waiting(), 0);
    }

    #[test]
    fn row_names_each_user_for_whom_a_message_waits() {
        let mut deliveries = notices(1);
        assert_eq!(due_rows(&mut deliveries, 2), ["… your message waits here for bob and carla"]);
        deliveries.delivered(id(1), &user("bob"));
        assert_eq!(due_rows(&mut deliveries, 3), ["✓ bob has your message now"]);
        // The notice has named carla as offline; the next message waits for both users.
        let to = [user("bob"), user("carla")];
        deliveries.sent(id(2), &"again".into(), to, at(4).now.to_utc());
        assert_eq!(due_rows(&mut deliveries, 6), ["… your message waits here for bob and carla"]);
    }

    #[test]
    fn message_held_for_a_key_is_reported_at_once() {
        let mut deliveries = notices(1);
        deliveries.delivered(id(1), &user("carla"));
        deliveries.undelivered(id(1), &user("bob"), Undeliverable::KeyChanged);
        let row = "… your message to bob is held: bob has another key. Compare /verify bob, then /accept bob";
        assert_eq!(deliveries.due(), Some(at(0).now.to_utc()));
        assert_eq!(due_rows(&mut deliveries, 0), [row]);
        assert_eq!((deliveries.waiting(), due_rows(&mut deliveries, 9).len()), (1, 0));
        deliveries.delivered(id(1), &user("bob"));
        assert_eq!(due_rows(&mut deliveries, 9), ["✓ bob has your message now"]);
    }

    #[test]
    fn held_messages_are_reported_after_an_absence_too() {
        let mut deliveries = notices(1);
        deliveries.delivered(id(1), &user("carla"));
        assert_eq!(due_rows(&mut deliveries, 2), ["… your message waits here for bob"]);
        deliveries.hold(&user("bob"));
        let held =
            |what| format!("… your {what}: bob has another key. Compare /verify bob, then /accept bob");
        assert_eq!(due_rows(&mut deliveries, 3), [held("message to bob is held")]);
        deliveries.hold(&user("bob"));
        assert_eq!(due_rows(&mut deliveries, 4), [""; 0], "one notice is enough");
        deliveries.release(&user("bob"));
        deliveries.sent(id(2), &"again".into(), [user("bob")], at(5).now.to_utc());
        deliveries.undelivered(id(2), &user("bob"), Undeliverable::KeyChanged);
        assert_eq!(due_rows(&mut deliveries, 5), [held("2 messages to bob are held")], "yet another key");
        (1..=2).for_each(|n| deliveries.delivered(id(n), &user("bob")));
        assert_eq!(due_rows(&mut deliveries, 6), ["✓ bob has your 2 messages now"]);
    }

    #[test]
    fn message_of_an_earlier_run_is_reported_on_delivery() {
        let mut deliveries = DeliveryNotices::default();
        let own = crate::api::past::OwnMessage {
            id: id(1),
            content: "old".into(),
            sent_at: at(0).now.to_utc(),
            has: Vec::new(),
            written: vec![],
            waits: vec![user("bob")],
        };
        deliveries.resume(&[WaitingMessage {
            of: crate::api::past::PastConversation::With(user("bob")),
            message: own,
        }]);
        deliveries.delivered(id(7), &user("bob"));
        deliveries.delivered(id(1), &user("carla"));
        assert!(due_rows(&mut deliveries, 100).is_empty());
        deliveries.delivered(id(1), &user("bob"));
        assert_eq!(due_rows(&mut deliveries, 100), ["✓ bob has your message now"]);
    }

    #[test]
    fn lost_messages_are_named_and_many_are_counted() {
        let mut deliveries = notices(3);
        deliveries.undelivered(id(1), &user("bob"), Undeliverable::TextTooLong);
        let row = "[00:00:00] ✗ not delivered to bob (too long for that user's program): \"line 1\"";
        assert_eq!(due_rows(&mut deliveries, 0), [row]);
        (1..=3).for_each(|n| deliveries.undelivered(id(n), &user("carla"), Undeliverable::Left));
        let row = "[00:00:00] ✗ 3 messages not delivered to carla (no longer in that conversation)";
        assert_eq!(due_rows(&mut deliveries, 0), [row]);
        deliveries.undelivered(id(2), &user("bob"), Undeliverable::Waiting);
        assert!(due_rows(&mut deliveries, 0).is_empty(), "the end says how many");
    }
}
