//! The property of requests to the tracker.
//! Any bytes are decoded or refused. A decoded request encodes to bytes that decode to the same request.

use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::{RequestEnvelope, TrackerRequest};
use serde_json::{Map, Value};

pub fn hold(bytes: &[u8]) {
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(bytes) else { return };
    let Ok(RequestEnvelope { id, username, request }) = RequestEnvelope::read(object) else { return };
    if let TrackerRequest::CreateRoom { room } | TrackerRequest::JoinRoom { room } = &request {
        let _ = RoomName::parse(room);
    }
    if let TrackerRequest::GetPeer { peer } = &request {
        let _ = Username::parse(peer);
    }
    let Value::Object(mut object) = serde_json::to_value(&request).unwrap() else { panic!("no object") };
    if let Some(id) = &id {
        object.insert("id".to_owned(), serde_json::to_value(id).unwrap());
    }
    if let Some(username) = &username {
        object.insert("username".to_owned(), username.as_str().into());
    }
    assert_eq!(RequestEnvelope::read(object), Ok(RequestEnvelope { id, username, request }));
}
