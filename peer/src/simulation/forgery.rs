//! The frames that a malicious peer sends in the simulation.

use chrono::DateTime;
use commons::digest::Digest;
use commons::incarnation::Incarnation;
use commons::names::Username;
use commons::protocol::provenance::{Provenance, StreamSpans};
use uuid::Uuid;

use crate::history::conversation::ConversationId;
use crate::history::message::{NO_DIGEST, SignedMessage, Text};
use crate::history::signed_batch;
use crate::history::testing::{device, key, user};
use crate::simulation::simulated_peer::Packet;

/// The text of every forged message.
pub(crate) const FORGED: &str = "forged";

/// Returns a signed batch of another author with one text altered, or `None` if the frame holds no such batch.
pub(crate) fn altered(frame: &Packet, by: &Username) -> Option<Packet> {
    let mut frame = frame.clone();
    let Packet::Lines { messages, late, .. } = &mut frame else { return None };
    *late = true;
    // Only the last batch of the frame is kept. The others are genuine, and any member may pass them on.
    let group = messages.iter().rposition(|message| message.provenance.begins_batch())?;
    messages.drain(..group);
    let last = messages.last_mut().filter(|last| last.author != *by && last.provenance.ends_batch())?;
    // If the author signed this very text, the batch is not altered.
    if last.text.plain() == FORGED {
        return None;
    }
    last.text = Text::Plain(FORGED.into());
    Some(frame)
}

/// Returns a WANT for messages of a room.
pub(crate) fn want(room: Uuid, streams: Vec<StreamSpans>) -> Packet {
    Packet::Want(Some(room), streams)
}

/// Returns a WANT for the whole stream of the frame's first message.
pub(crate) fn streams(frame: &Packet) -> Vec<StreamSpans> {
    let Packet::Lines { messages, .. } = frame else { return Vec::new() };
    let stream = |message: &SignedMessage| StreamSpans {
        username: message.author.as_str().to_owned(),
        incarnation: message.provenance.incarnation,
        spans: vec![(1, 1000)],
    };
    messages.iter().take(1).map(stream).collect()
}

/// Returns a message with a valid signature, for this room and this state of it: a revision, or an entry of the log.
pub(crate) fn message(
    by: &Username,
    room: Uuid,
    (revision, head): (u64, Option<Digest>),
    number: u64,
) -> SignedMessage {
    let provenance = Provenance {
        incarnation: Incarnation(number),
        seq: 1,
        lamport: 1,
        revision,
        heads: Vec::new(),
        head,
        previous: Some(NO_DIGEST),
        device: Some(device(by.as_str())),
        signature: None,
    };
    let mut message = SignedMessage {
        id: Uuid::from_u128(number.into()),
        author: by.clone(),
        sent_at: DateTime::UNIX_EPOCH,
        text: Text::Plain(FORGED.into()),
        provenance,
    };
    let chain =
        signed_batch::chain(&ConversationId::Room(room), &user("ana"), std::slice::from_ref(&message))
            .unwrap();
    message.provenance.signature = Some(signed_batch::sign(&key(by.as_str()), &chain.tip()));
    message
}
