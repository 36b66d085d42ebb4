//! What a dishonest program puts on its links.

use chrono::DateTime;
use commons::names::Username;
use commons::protocol::provenance::{Incarnation, Provenance, StreamSpans};
use uuid::Uuid;

use crate::history::message::{NO_DIGEST, SignedMessage, Text};
use crate::history::signed_batch;
use crate::history::testing::{device, key, room, user};
use crate::simulation::program::Frame;

/// What stands in every line that nobody wrote.
pub(crate) const FORGED: &str = "forged";

/// A group of somebody else's lines, one of them with another text.
pub(crate) fn altered(frame: &Frame, by: &Username) -> Option<Frame> {
    let mut frame = frame.clone();
    let Frame::Lines { lines, late, .. } = &mut frame else { return None };
    *late = true;
    // True ones would be believed, and a member can always tell others what it knows.
    let group = lines.iter().rposition(|line| line.provenance.previous.is_some())?;
    lines.drain(..group);
    let last = lines.last_mut().filter(|last| last.author != *by && last.provenance.signature.is_some())?;
    // What its author signed with this very text is no alteration, and its author would rightly take it back.
    if last.text.plain() == FORGED {
        return None;
    }
    last.text = Text::Plain(FORGED.into());
    Some(frame)
}

/// All of the streams that these lines are of.
pub(crate) fn streams(frame: &Frame) -> Vec<StreamSpans> {
    let Frame::Lines { lines, .. } = frame else { return Vec::new() };
    let stream = |line: &SignedMessage| StreamSpans {
        username: line.author.as_str().to_owned(),
        incarnation: line.provenance.incarnation,
        spans: vec![(1, 1000)],
    };
    lines.iter().take(1).map(stream).collect()
}

/// A line of one's own, well signed, of a state of the room in which one had no seat.
pub(crate) fn line(by: &Username, revision: u64, number: u64) -> SignedMessage {
    let provenance = Provenance {
        incarnation: Incarnation(number),
        seq: 1,
        lamport: 1,
        revision,
        heads: Vec::new(),
        previous: Some(NO_DIGEST),
        device: Some(device(by.as_str())),
        signature: None,
    };
    let mut line = SignedMessage {
        id: Uuid::from_u128(number.into()),
        author: by.clone(),
        sent_at: DateTime::UNIX_EPOCH,
        text: Text::Plain(FORGED.into()),
        provenance,
    };
    let chain = signed_batch::chain(&room(), &user("ana"), std::slice::from_ref(&line)).unwrap();
    line.provenance.signature = Some(signed_batch::sign(&key(by.as_str()), &chain.tip()));
    line
}
