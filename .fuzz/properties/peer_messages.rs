//! The property of messages between peers.
//! Any bytes are decoded or refused. A decoded message encodes to bytes that decode to the same message.

use commons::protocol::between_peers::PeerMessage;

pub fn hold(bytes: &[u8]) {
    let Ok(message) = serde_json::from_slice::<PeerMessage<'_>>(bytes) else { return };
    // A command of a later version is ignored, and it is never sent.
    if message == PeerMessage::Unknown {
        return;
    }
    let written = serde_json::to_vec(&message).unwrap();
    let again: PeerMessage<'_> = serde_json::from_slice(&written).unwrap();
    assert_eq!(serde_json::to_vec(&again).unwrap(), written);
}
