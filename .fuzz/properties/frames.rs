//! The property of the frame decoder.
//! It finds the same objects however the stream is split. No object is too long, and parsing one never panics.

use bytes::BytesMut;
use commons::net::frame::{FrameError, JsonCodec};
use serde_json::Value;
use tokio_util::codec::Decoder;

const MOST: usize = 512;

pub fn hold(bytes: &[u8]) {
    let Some((&step, stream)) = bytes.split_first() else { return };
    let whole = objects(stream, stream.len().max(1));
    assert_eq!(objects(stream, usize::from(step).max(1)), whole);
    assert_eq!(objects(stream, 1), whole);
}

/// The decoded objects, and whether the stream ended without an error.
fn objects(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, Result<(), String>) {
    let mut codec = JsonCodec::new(MOST);
    let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
    for piece in stream.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => {
                    assert!(frame.as_bytes().len() <= MOST);
                    let _ = frame.parse_owned::<Value>();
                    found.push(frame.as_bytes().to_vec());
                }
                Ok(None) => break,
                Err(error) => return (found, Err(kind(&error))),
            }
        }
        assert!(buffer.len() <= MOST, "more waits than a frame may have");
    }
    let end = codec.decode_eof(&mut buffer);
    (found, end.map(drop).map_err(|error| kind(&error)))
}

fn kind(error: &FrameError) -> String {
    error.to_string()
}
