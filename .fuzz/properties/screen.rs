//! The property of a message on a screen of any width.
//! The first row names the author, and further rows are indented. No row is wider than the screen, so the terminal
//! never wraps one.

use chrono::DateTime;
use commons::names::Username;
use peer::api::Event;
use peer::api::snapshot::Snapshot;
use peer::frontends::terminal::message_rows::Moment;
use peer::frontends::terminal::style::Style;
use peer::frontends::terminal::view::View;
use unicode_width::UnicodeWidthStr;
use uuid::Uuid;

/// The minimum number of columns at which a name still fits in a row.
const NARROWEST: usize = 40;

pub fn hold(bytes: &[u8]) {
    let Some((&columns, text)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let columns = NARROWEST + usize::from(columns);
    let sent_at = DateTime::UNIX_EPOCH;
    let moment = Moment { now: sent_at.fixed_offset(), columns: Some(columns) };
    let from = Username::parse("bob").unwrap();
    let message = Event::Message {
        id: Uuid::nil(),
        room: None,
        from,
        to: None,
        content: text.as_ref().into(),
        sent_at,
        late: false,
        missing: 0,
        filtered: false,
        request: false,
        muted: false,
    };
    let nothing = Snapshot::signed_out(String::new(), None, String::new());
    let mut view = View::new(Username::parse("zoe").unwrap(), &nothing, Style::plain());
    let rows = view.event(&message, moment);
    let mut rows = rows.iter().map(|row| row.trim_start_matches('\u{7}'));
    let first = rows.next().unwrap();
    assert!(first.starts_with("[00:00:00] >> [PRIVATE from bob]") && first.width() <= columns, "{first:?}");
    for row in rows {
        assert!(row.starts_with("  ") && row.width() <= columns, "{row:?}");
    }
}
