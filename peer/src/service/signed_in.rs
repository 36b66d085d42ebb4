//! The engine of a signed-in user, and what its effects act on.
//! It also keeps what is unread, which the history and the snapshots of frontends need.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::api::Event;
use crate::api::snapshot::Snapshot;
use crate::engine::Engine;
use crate::engine::effect::Effect;
use crate::event_bus::{ReadRows, Row};
use crate::history::read_marks::ReadMarks;
use crate::history::request::Request;
use crate::service::driver_request::Resources;
use crate::service::unread_messages::{EarlierUnread, UnreadMessages};

/// The engine of a signed-in user, its resources, and what is unread.
pub(crate) struct SignedIn {
    pub(crate) engine: Engine,
    pub(crate) resources: Resources,
    unread: UnreadMessages,
    /// Requests for which the history's queue had no room, in order.
    pub(crate) backlog: VecDeque<Request>,
}

impl SignedIn {
    /// Starts with what earlier runs left unread, and the messages that they have not shown.
    pub(crate) fn start(
        engine: Engine,
        resources: Resources,
        earlier: EarlierUnread,
        unshown: &[Effect],
    ) -> Self {
        let mut unread = UnreadMessages::resume(earlier, &engine);
        for effect in unshown {
            if let Effect::PublishRow(event, row) = effect {
                unread.on_event(event, Row::Received(*row), engine.chat.me());
            }
        }
        Self { engine, resources, unread, backlog: VecDeque::new() }
    }

    /// Returns the last row that an earlier run has shown.
    pub(crate) fn shown_earlier(&self) -> i64 {
        self.resources.history.unshown_rows().start - 1
    }

    /// Returns the snapshot, with the unread messages up to a row.
    pub(crate) fn snapshot(&self, signed_out: Snapshot, up_to: i64) -> Snapshot {
        let snapshot = self.engine.snapshot(signed_out, Instant::now());
        let unread = self.unread.summary(up_to, &snapshot.muted);
        Snapshot { unread, last_open: self.unread.last_open().cloned(), ..snapshot }
    }

    /// Notes what was read at the frontends.
    pub(crate) fn note_read(&mut self, rows: ReadRows) {
        let marks = self.unread.note(rows, &self.engine);
        marks.into_iter().for_each(|marks| self.resources.history.note_read(marks));
    }

    /// Notes a published event. `last` is the last row that was published. A conversation that has ended counts as read.
    pub(crate) fn published(&mut self, event: &Event, row: Row, last: i64) {
        if let Some(ended) = self.unread.on_event(event, row, self.engine.chat.me())
            && let Ok(conversation) = self.engine.chat.resolve(&ended)
        {
            self.resources.history.note_read(ReadMarks { read: [(conversation, last)].into(), open: None });
        }
    }

    /// Gives the history the requests that waited for room in its queue.
    pub(crate) fn empty_backlog(&mut self) {
        while let Some(request) = self.backlog.pop_front() {
            if let Err(request) = self.resources.history.try_put(request) {
                return self.backlog.push_front(request);
            }
        }
    }
}
