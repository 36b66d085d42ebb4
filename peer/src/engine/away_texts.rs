//! The away texts: the user's own, and those of linked users. Pure.
//!
//! A user who changes the text many times a second causes one event in each [`AWAY_PAUSE`].

use std::collections::BTreeMap;

use commons::names::Username;
use tokio::time::Instant;

use crate::api::Event;
use crate::limits::AWAY_PAUSE;
use crate::untrusted::UntrustedText;

/// The away texts. An empty one says only that the user is away.
#[derive(Debug, Default)]
pub(crate) struct AwayTexts {
    pub(in crate::engine) own: Option<UntrustedText>,
    others: BTreeMap<Username, AwayText>,
}

/// The text of a linked user.
#[derive(Debug, Default)]
struct AwayText {
    /// The text that the user sent last; `None` if the user is back.
    latest: Option<UntrustedText>,
    /// The text that was published last.
    published: Option<UntrustedText>,
    /// The time from which the next change may be published.
    pause_until: Option<Instant>,
}

/// The step after a change.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine) enum Due {
    Nothing,
    /// Publish this event.
    Now(Event),
    /// Look again at this time.
    At(Instant),
}

impl AwayTexts {
    /// Returns the user's own text.
    pub(crate) fn own(&self) -> Option<&UntrustedText> {
        self.own.as_ref()
    }

    /// Returns the text of a linked user.
    pub(crate) fn of(&self, user: &Username) -> Option<&UntrustedText> {
        self.others.get(user)?.published.as_ref()
    }

    /// Notes the text that a user has sent; `None` if the user is back.
    pub(in crate::engine) fn received(
        &mut self,
        user: &Username,
        text: Option<UntrustedText>,
        now: Instant,
    ) -> Due {
        self.others.entry(user.clone()).or_default().latest = text;
        self.publish(user, now)
    }

    /// Publishes the latest text of a user, once the pause since the last event is over.
    pub(in crate::engine) fn publish(&mut self, user: &Username, now: Instant) -> Due {
        let Some(text) = self.others.get_mut(user).filter(|text| text.latest != text.published) else {
            return Due::Nothing;
        };
        if let Some(until) = text.pause_until.filter(|until| now < *until) {
            return Due::At(until);
        }
        text.pause_until = Some(now + AWAY_PAUSE);
        text.published.clone_from(&text.latest);
        Due::Now(Event::Presence { user: user.clone(), away: text.published.clone() })
    }

    /// Notes a new link to a user. The program may have been restarted, so the earlier text ends soon, unless it comes
    /// again.
    pub(in crate::engine) fn link_began(&mut self, user: &Username, now: Instant) -> Due {
        let Some(text) = self.others.get_mut(user) else { return Due::Nothing };
        text.pause_until = Some(now + AWAY_PAUSE);
        self.received(user, None, now)
    }

    /// Forgets the text of a user whose link has ended. Returns the event if the text was published.
    pub(in crate::engine) fn link_ended(&mut self, user: &Username) -> Option<Event> {
        self.others.remove(user)?.published?;
        Some(Event::Presence { user: user.clone(), away: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::now;
    use crate::history::testing::user;
    use crate::untrusted::AsUntrusted;

    /// The events in which bob is away or back.
    fn texts(due: &[Due]) -> Vec<Option<&str>> {
        let changes = due.iter().filter_map(|due| match due {
            Due::Now(Event::Presence { away, .. }) => Some(away.as_ref()),
            _ => None,
        });
        changes.map(|away| away.map(AsUntrusted::expose)).collect()
    }

    #[test]
    fn flood_of_changes_is_one_event_until_the_pause_is_over() {
        let (mut away, bob, start) = (AwayTexts::default(), user("bob"), now().instant);
        let flips = (0..1000).map(|n| (n % 2 == 0).then(|| format!("{n}").as_str().into()));
        let due: Vec<_> = flips.map(|text| away.received(&bob, text, start)).collect();
        assert_eq!(texts(&due), [Some("0")]);
        assert_eq!(due[1], Due::At(start + AWAY_PAUSE));
        assert_eq!(texts(&[away.publish(&bob, start + AWAY_PAUSE)]), [None], "the last state is shown");
        assert_eq!(away.publish(&bob, start + 2 * AWAY_PAUSE), Due::Nothing);
    }

    #[test]
    fn text_ends_with_the_link_and_soon_after_a_new_one() {
        let (mut away, bob, start) = (AwayTexts::default(), user("bob"), now().instant);
        away.received(&bob, Some("lunch".into()), start);
        let later = start + 5 * AWAY_PAUSE;
        assert_eq!(away.link_began(&bob, later), Due::At(later + AWAY_PAUSE));
        assert_eq!(away.received(&bob, Some("lunch".into()), later), Due::Nothing, "it came again");
        assert_eq!(away.link_began(&bob, later), Due::At(later + AWAY_PAUSE));
        assert_eq!(texts(&[away.publish(&bob, later + AWAY_PAUSE)]), [None], "it did not come again");
        away.received(&bob, Some("tea".into()), later + 3 * AWAY_PAUSE);
        assert!(matches!(away.link_ended(&bob), Some(Event::Presence { away: None, .. })));
        assert!(away.link_ended(&bob).is_none() && away.of(&bob).is_none());
    }
}
