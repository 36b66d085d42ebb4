//! Property tests of the frame codec.
//! However bytes are split, joined or damaged, the same objects come out, and none exceeds the limit.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use commons::limits::JSON_DEPTH;
use commons::net::connection::Connection;
use commons::net::frame::{BadObject, FrameError, JsonCodec, encode};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::codec::Decoder;

/// A limit in bytes that no object of these tests reaches.
const ROOMY: usize = 1 << 20;

/// Result of decoding a stream.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    frames: Vec<Vec<u8>>,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Clean,
    NoObject,
    TooLarge,
}

/// Decodes `bytes` in pieces of these sizes, repeated as needed, and checks the buffer after each piece.
fn cut(bytes: &[u8], pieces: &[usize], max_frame: usize) -> Cut {
    let mut codec = JsonCodec::new(max_frame);
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    let mut rest = bytes;
    let mut sizes = pieces.iter().cycle();
    let end = |error| match error {
        FrameError::NoObject => End::NoObject,
        FrameError::TooLarge(stated) => {
            assert_eq!(stated, max_frame);
            End::TooLarge
        }
        FrameError::Io(error) => unreachable!("a codec has no I/O: {error}"),
    };
    loop {
        match codec.decode(&mut buffer) {
            Err(error) => return Cut { frames, end: end(error) },
            Ok(Some(frame)) => {
                assert!(frame.as_bytes().len() <= max_frame);
                frames.push(frame.as_bytes().to_vec());
            }
            Ok(None) => {
                assert!(buffer.len() <= max_frame, "{} bytes wait for an end", buffer.len());
                if rest.is_empty() {
                    break;
                }
                let piece = sizes.next().map_or(rest.len(), |size| (*size).min(rest.len()));
                buffer.extend_from_slice(&rest[..piece]);
                rest = &rest[piece..];
            }
        }
    }
    let end = match codec.decode_eof(&mut buffer) {
        Ok(last) => {
            assert!(last.is_none(), "an object was kept back until the end");
            End::Clean
        }
        Err(error) => end(error),
    };
    Cut { frames, end }
}

/// Text with characters that confuse a careless decoder.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[{}\\[\\]\"\\\\,: \n]{0,12}", "\\PC{0,8}", any::<String>()]
}

/// A JSON object with a few levels of nesting.
fn object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(text(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    btree_map(text(), value, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// An object as text, on one line or on several.
fn object_text() -> impl Strategy<Value = String> {
    (object(), any::<bool>())
        .prop_map(|(object, pretty)| if pretty { format!("{object:#}") } else { object.to_string() })
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![4 => 1_usize..4, 2 => 1_usize..60, 1 => 1_usize..5000], 1..12)
}

/// Bytes that are mostly JSON structure, so that they often resemble objects.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![6 => proptest::sample::select(&b"{}[]\"\\ \n:,a1"[..]), 1 => any::<u8>()];
    let tail = vec(byte, 0..200);
    (any::<bool>(), tail).prop_map(|(open, tail)| if open { [&b"{"[..], &tail].concat() } else { tail })
}

proptest! {
    #[test]
    fn any_split_of_any_sequence_gives_the_same_objects(
        objects in vec((object_text(), "[ \t\r\n]{0,3}"), 0..6),
        lead in "[ \t\r\n]{0,3}",
        pieces in pieces(),
    ) {
        let mut stream = lead;
        for (object, space) in &objects {
            stream.push_str(object);
            stream.push_str(space);
        }
        let frames = objects.iter().map(|(object, _)| object.as_bytes().to_vec()).collect();
        prop_assert_eq!(cut(stream.as_bytes(), &pieces, ROOMY), Cut { frames, end: End::Clean });
    }

    #[test]
    fn garbage_never_panics_and_ends_the_same_however_it_arrives(
        garbage in garbage(),
        pieces in pieces(),
        max_frame in 1_usize..120,
    ) {
        prop_assert_eq!(cut(&garbage, &pieces, max_frame), cut(&garbage, &[], max_frame));
    }

    #[test]
    fn an_object_that_never_ends_holds_no_more_than_the_limit(
        object in object_text(),
        pieces in pieces(),
        max_frame in 1_usize..500,
    ) {
        let endless = format!("{{\"a\":[{}", format!("{object},").repeat(max_frame));
        let Cut { frames, end } = cut(endless.as_bytes(), &pieces, max_frame);
        prop_assert_eq!((frames.len(), end), (0, End::TooLarge));
    }

    #[test]
    fn the_limit_holds_at_its_last_byte(object in object_text(), pieces in pieces()) {
        let length = object.len();
        let fits = cut(object.as_bytes(), &pieces, length);
        prop_assert_eq!(fits, Cut { frames: vec![object.clone().into_bytes()], end: End::Clean });
        let over = cut(object.as_bytes(), &pieces, length - 1);
        prop_assert_eq!(over, Cut { frames: vec![], end: End::TooLarge });
    }

    #[test]
    fn an_object_cut_short_is_no_object(object in object_text(), keep in any::<prop::sample::Index>()) {
        let short = &object.as_bytes()[..1 + keep.index(object.len() - 1)];
        prop_assert_eq!(cut(short, &[1], ROOMY), Cut { frames: vec![], end: End::NoObject });
    }

    #[test]
    fn encoded_frames_are_decoded(object in object()) {
        let line = encode(&object).unwrap();
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
        let frame = JsonCodec::new(line.len()).decode(&mut BytesMut::from(line)).unwrap().unwrap();
        prop_assert_eq!(frame.parse_owned::<Value>(), Ok(object));
    }

    #[test]
    fn depth_is_bounded_and_the_next_object_is_whole(depth in 1_usize..2 * JSON_DEPTH, in_text in text()) {
        let inner = (1..depth).fold(json!(in_text), |value, level| {
            if level % 2 == 0 { json!([value]) } else { json!({ "a": value }) }
        });
        let stream = format!("{}{{\"next\":1}}", json!({ "a": inner }));
        let mut codec = JsonCodec::new(ROOMY);
        let mut buffer = BytesMut::from(stream.as_str());
        let mut next = || codec.decode(&mut buffer).unwrap().unwrap().parse_owned::<Value>();
        prop_assert_eq!(next().map(drop), if depth <= JSON_DEPTH { Ok(()) } else { Err(BadObject) });
        prop_assert_eq!(next(), Ok(json!({ "next": 1 })));
    }
}

/// An unauthenticated client that sends one object without an end, as fast as it is read.
struct Endless {
    given: usize,
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while buf.remaining() > 0 {
            buf.put_slice(if self.given == 0 { b"{" } else { b"[" });
            self.given += 1;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_connection_reads_no_more_than_the_limit_and_one_buffer() {
    for max_frame in [100, 4 * 1024, 64 * 1024] {
        let mut stranger = Endless { given: 0 };
        let error = Connection::new(&mut stranger, max_frame).recv().await.unwrap_err();
        assert!(matches!(error, FrameError::TooLarge(stated) if stated == max_frame));
        // The buffer starts at 1 KiB and doubles when it is full.
        assert!(
            stranger.given <= (2 * max_frame).max(1024),
            "{} bytes taken for {max_frame}",
            stranger.given
        );
    }
}
