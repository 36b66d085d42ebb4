//! The property of messages from the tracker to a peer.
//! Any bytes are decoded or refused. A decoded message survives encoding and decoding. The changes between any two
//! rooms can be computed.

use commons::protocol::with_tracker::{Status, TrackerMessage};
use commons::snapshot::RoomSnapshot;

pub fn hold(bytes: &[u8]) {
    let messages = bytes.split(|byte| *byte == b'\n');
    let messages: Vec<TrackerMessage> =
        messages.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    for message in &messages {
        let written = serde_json::to_vec(message).unwrap();
        let again: TrackerMessage = serde_json::from_slice(&written).unwrap();
        assert_eq!(written, serde_json::to_vec(&again).unwrap());
    }
    let rooms: Vec<_> = messages.iter().flat_map(rooms).collect();
    for (before, after) in rooms.iter().zip(rooms.iter().skip(1)) {
        let _ = before.changes_to(after);
    }
}

fn rooms(message: &TrackerMessage) -> Vec<&RoomSnapshot> {
    let TrackerMessage::Status(status) = message else { return Vec::new() };
    match &**status {
        Status::Ok(reply) => {
            reply.room.iter().chain(reply.rooms.iter().flat_map(|rooms| rooms.values())).collect()
        }
        Status::RoomUpdate(update) => update.room.iter().collect(),
        _ => Vec::new(),
    }
}
