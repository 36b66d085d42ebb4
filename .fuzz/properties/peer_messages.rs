//! What peers say to each other: read or refused, and what was read is written and read again as the same.

use commons::protocol::between_peers::PeerMessage;

pub fn hold(bytes: &[u8]) {
    let Ok(message) = serde_json::from_slice::<PeerMessage<'_>>(bytes) else { return };
    // A command of a later version is ignored, and never said.
    if message == PeerMessage::Unknown {
        return;
    }
    let written = serde_json::to_vec(&message).unwrap();
    let again: PeerMessage<'_> = serde_json::from_slice(&written).unwrap();
    assert_eq!(serde_json::to_vec(&again).unwrap(), written);
}
