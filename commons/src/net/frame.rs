//! The frame codec: it cuts a byte stream into JSON objects and encodes objects as lines. No I/O.
//!
//! A sent frame is one line. A received frame may be split or joined in any way, so the decoder counts braces outside
//! strings. Example: `{"a":"}"}{"b":1}` holds two frames.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::codec::{Decoder, Encoder};

use crate::limits::JSON_DEPTH;

/// One balanced JSON object that is not parsed yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    too_deep: bool,
}

/// Error: a balanced object is not the expected JSON. The connection can continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON object of the expected form")]
pub struct BadObject;

/// Error: the bytes cannot be cut into objects. The connection must be closed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes are not an object, or the stream ended within one.
    #[error("these bytes are no JSON object")]
    NoObject,
    /// An object is longer than the limit, given in bytes.
    #[error("a frame has at most {0} bytes")]
    TooLarge(usize),
    /// Reading or writing the stream failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Frame {
    /// Parses the object.
    pub fn parse<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, BadObject> {
        if self.too_deep {
            return Err(BadObject);
        }
        serde_json::from_slice(&self.bytes).map_err(|_| BadObject)
    }

    /// Parses the object into a value that borrows nothing from it.
    pub fn parse_owned<T: DeserializeOwned>(&self) -> Result<T, BadObject> {
        self.parse()
    }

    /// The bytes of the object without surrounding white space.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Frame contents stay out of logs.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Cuts a byte stream into objects by counting braces. It scans every byte once, however the bytes arrive.
#[derive(Debug, Clone)]
pub struct JsonCodec {
    max_frame: usize,
    scanned: usize,
    depth: usize,
    deepest: usize,
    state: ScanState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScanState {
    Structure,
    Text,
    Escape,
}

impl JsonCodec {
    /// Creates a codec that refuses objects of more than `max_frame` bytes.
    #[must_use]
    pub fn new(max_frame: usize) -> Self {
        Self { max_frame, scanned: 0, depth: 0, deepest: 0, state: ScanState::Structure }
    }

    /// Changes the limit for later frames, for example after a sign-in.
    pub fn set_max_frame(&mut self, max_frame: usize) {
        self.max_frame = max_frame;
    }

    /// Continues the scan where the last call stopped. Returns the object's length once its last brace has arrived.
    fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        while self.scanned < bytes.len() {
            match self.state {
                ScanState::Escape => {
                    self.state = ScanState::Text;
                    self.scanned += 1;
                }
                ScanState::Text => match memchr2(b'"', b'\\', &bytes[self.scanned..]) {
                    None => self.scanned = bytes.len(),
                    Some(at) => {
                        self.scanned += at + 1;
                        let escaped = bytes[self.scanned - 1] == b'\\';
                        self.state = if escaped { ScanState::Escape } else { ScanState::Structure };
                    }
                },
                ScanState::Structure => {
                    self.scanned += 1;
                    match bytes[self.scanned - 1] {
                        b'"' => self.state = ScanState::Text,
                        b'{' | b'[' => {
                            self.depth += 1;
                            self.deepest = self.deepest.max(self.depth);
                        }
                        b'}' | b']' => {
                            self.depth -= 1;
                            if self.depth == 0 {
                                return Some(self.scanned);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        None
    }
}

impl Decoder for JsonCodec {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if self.scanned == 0 {
            let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            bytes.advance(blank);
            match bytes.first() {
                None => return Ok(None),
                Some(b'{') => {}
                Some(_) => return Err(FrameError::NoObject),
            }
        }
        let length = self.scan(bytes);
        if length.unwrap_or(bytes.len()) > self.max_frame {
            return Err(FrameError::TooLarge(self.max_frame));
        }
        let Some(length) = length else { return Ok(None) };
        let too_deep = self.deepest > JSON_DEPTH;
        *self = Self::new(self.max_frame);
        Ok(Some(Frame { bytes: bytes.split_to(length).freeze(), too_deep }))
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        match self.decode(bytes)? {
            None if !bytes.is_empty() => Err(FrameError::NoObject),
            frame => Ok(frame),
        }
    }
}

/// Encodes an object as JSON and a newline.
pub fn encode(object: &impl Serialize) -> Result<Bytes, FrameError> {
    let mut line = serde_json::to_vec(object).map_err(std::io::Error::from)?;
    line.push(b'\n');
    Ok(line.into())
}

impl Encoder<Bytes> for JsonCodec {
    type Error = FrameError;

    /// Appends a frame that the function [`encode`] made.
    fn encode(&mut self, line: Bytes, out: &mut BytesMut) -> Result<(), FrameError> {
        out.extend_from_slice(&line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(codec: &mut JsonCodec, bytes: &mut BytesMut) -> Result<Option<String>, FrameError> {
        Ok(codec.decode(bytes)?.map(|frame| String::from_utf8(frame.as_bytes().to_vec()).unwrap()))
    }

    #[test]
    fn takes_objects_with_and_without_newlines() {
        let mut codec = JsonCodec::new(100);
        let mut bytes = BytesMut::from(r#" {"a":"}{\"["}{"b":[{}]}  "#);
        assert_eq!(cut(&mut codec, &mut bytes).unwrap().unwrap(), r#"{"a":"}{\"["}"#);
        assert_eq!(cut(&mut codec, &mut bytes).unwrap().unwrap(), r#"{"b":[{}]}"#);
        assert_eq!(cut(&mut codec, &mut bytes).unwrap(), None);
        assert!(codec.decode_eof(&mut bytes).unwrap().is_none());
    }

    #[test]
    fn the_limit_holds_at_its_last_byte() {
        let object = format!("{{\"a\":\"{}\"}}", "x".repeat(100));
        let length = object.len();
        let at = |max| JsonCodec::new(max).decode(&mut BytesMut::from(object.as_str()));
        assert!(at(length).unwrap().is_some());
        assert!(matches!(at(length - 1), Err(FrameError::TooLarge(_))));
        let unfinished = JsonCodec::new(10).decode(&mut BytesMut::from("{\"aaaaaaaaaaaaaa"));
        assert!(matches!(unfinished, Err(FrameError::TooLarge(10))));
    }

    #[test]
    fn frame_that_is_no_object_ends_the_stream() {
        for bytes in [&b"[1]"[..], b"12", b"\xff", b"}", b"\x16\x03\x01"] {
            let cut = JsonCodec::new(100).decode(&mut BytesMut::from(bytes));
            assert!(matches!(cut, Err(FrameError::NoObject)), "{bytes:?}");
        }
        let cut = JsonCodec::new(100).decode_eof(&mut BytesMut::from("{\"a\":"));
        assert!(matches!(cut, Err(FrameError::NoObject)));
    }

    #[test]
    fn a_bad_object_leaves_the_next_one_whole() {
        let deep = format!("{}{}", "{\"a\":".repeat(17).as_str(), "1".to_owned() + &"}".repeat(17));
        let mut bytes = BytesMut::from(format!("{{nonsense}}{deep}{{\"a\":1}}").as_str());
        let mut codec = JsonCodec::new(1000);
        let mut parsed = || codec.decode(&mut bytes).unwrap().unwrap().parse_owned::<serde_json::Value>();
        assert_eq!(parsed(), Err(BadObject));
        assert_eq!(parsed(), Err(BadObject));
        assert_eq!(parsed(), Ok(serde_json::json!({"a": 1})));
    }
}
