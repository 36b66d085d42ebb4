//! One link: an authenticated connection between two peers.
//! It reports the frames that the peer sends and writes the peer's send queue, until either side ends.

use commons::limits::{BATCH_BYTES, BATCH_LINES, LEGACY_PACE, SPANS_MAX, TEXT_MAX, TIPS_MAX};
use commons::net::connection::{Connection, FrameReader, FrameWriter};
use commons::net::frame::{Frame, FrameError};
use commons::net::socket::Socket;
use commons::protocol::between_peers::{PeerMessage, WireMessage, WireText};
use commons::protocol::provenance::StreamSpans;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::history::message::SignedMessage;
use crate::limits::{LINK_DEAD, LINK_SILENCE, RETIRE_TIME};
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::link_report::{LinkReport, MessageBatch, PlainMessage};
use crate::peer_communication::links::{LinkSlot, PeerPeerCommunication};
use crate::peer_communication::member_rate::Delay;
use crate::peer_communication::send_queue::{Control, Next};

/// Runs a link to its end. `first` is a frame that arrived before the link was admitted.
pub(crate) async fn run(
    links: &PeerPeerCommunication,
    slot: &LinkSlot,
    mut connection: Connection<Socket>,
    first: Option<Frame>,
) {
    connection.set_pause((slot.dialect == Dialect::Legacy).then_some(LEGACY_PACE));
    let (mut reader, mut writer) = connection.split();
    {
        let reading = read(links, slot, &mut reader, first);
        let writing = write(links, slot, &mut writer);
        tokio::pin!(reading, writing);
        tokio::select! {
            result = &mut reading => debug!(peer = ?slot.user, ?result, "link ended"),
            result = &mut writing => match result {
                // Frames that the other side sent before it saw the end are still read.
                Ok(()) => drop(timeout(RETIRE_TIME, &mut reading).await),
                Err(error) => debug!(peer = ?slot.user, %error, "link broke"),
            },
            () = links.stopped() => {}
        }
    }
    links.remove(slot).await;
}

async fn read<R: AsyncRead + Unpin>(
    links: &PeerPeerCommunication,
    slot: &LinkSlot,
    reader: &mut FrameReader<R>,
    mut first: Option<Frame>,
) -> Result<(), FrameError> {
    let modern = slot.dialect != Dialect::Legacy;
    let mut gathered: Option<MessageBatch> = None;
    let mut bytes = 0;
    loop {
        let frame = match first.take().map(|frame| Ok(Some(frame))).or_else(|| reader.try_recv()) {
            Some(frame) => frame,
            None => {
                report_batch(links, slot, gathered.take()).await;
                // A legacy client answers no PING, so only the operating system's keepalive detects a dead one.
                if modern { recv_or_ping(slot, reader).await } else { reader.recv().await }
            }
        };
        let frame = match frame {
            Ok(Some(frame)) => frame,
            end => {
                report_batch(links, slot, gathered).await;
                return end.map(drop);
            }
        };
        let mut left = false;
        let report = match frame.parse::<PeerMessage<'_>>() {
            Ok(PeerMessage::Message { room, message }) => {
                let report = parse_message(slot, room.as_deref(), message);
                let Delay { wait, must_note } = links.count_message(slot);
                if must_note {
                    links.report(LinkReport::TooFast { from: slot.user.clone() }).await;
                }
                if !wait.is_zero() {
                    report_batch(links, slot, gathered.take()).await;
                    sleep(wait).await;
                }
                report
            }
            Ok(PeerMessage::Lines { room_id, messages }) if modern => {
                parse_batch(slot, room_id, messages, true)
            }
            Ok(PeerMessage::Have(mut have)) if modern && is_bounded(&have.streams) => {
                have.tips.truncate(TIPS_MAX);
                Some(LinkReport::Have { from: slot.user.clone(), have })
            }
            Ok(PeerMessage::RoomLog { room_id, after }) if modern => {
                Some(LinkReport::LogRequested { from: slot.user.clone(), room_id, after })
            }
            Ok(PeerMessage::Entries(entries)) if modern => {
                Some(LinkReport::Entries { from: slot.user.clone(), entries })
            }
            Ok(PeerMessage::Want { room_id, streams }) if modern && is_bounded(&streams) => {
                Some(LinkReport::Want { from: slot.user.clone(), room_id, streams })
            }
            Ok(PeerMessage::Received { id }) if modern => {
                Some(LinkReport::Acked { from: slot.user.clone(), id })
            }
            Ok(PeerMessage::Presence { away }) if modern => {
                let away = away.map(|text| text.into_owned());
                Some(LinkReport::Presence { from: slot.user.clone(), link: slot.id, away })
            }
            Ok(PeerMessage::Leave { room }) => {
                left = true;
                Some(LinkReport::Left { from: slot.user.clone(), room: room.map(|room| room.into_owned()) })
            }
            Ok(PeerMessage::Ping) if modern => {
                slot.queue.control(|control| control.pong = true);
                None
            }
            Ok(_) => None,
            Err(error) => {
                warn!(peer = ?slot.user, %error, "a frame was dropped");
                None
            }
        };
        let Some(report) = report else { continue };
        bytes += frame.as_bytes().len();
        match (&mut gathered, report) {
            // Messages that arrive together are reported together, so that each costs the owner less.
            (Some(earlier), LinkReport::Signed { batch, .. })
                if earlier.is_continued_by(&batch) && bytes <= BATCH_BYTES =>
            {
                earlier.messages.extend(batch.messages);
            }
            (earlier, report) => {
                report_batch(links, slot, earlier.take()).await;
                bytes = frame.as_bytes().len();
                match report {
                    LinkReport::Signed { batch, .. } => gathered = Some(batch),
                    report => links.report(report).await,
                }
            }
        }
        // A legacy client that sent LEAVE has closed its socket, but one of its threads keeps it open while it reads.
        // Anything written there is lost, so the link ends here.
        if left && !modern {
            return Ok(());
        }
    }
}

async fn report_batch(links: &PeerPeerCommunication, slot: &LinkSlot, batch: Option<MessageBatch>) {
    if let Some(batch) = batch {
        links.report(LinkReport::Signed { from: slot.user.clone(), link: slot.id, batch }).await;
    }
}

/// Receives the next frame. After [`LINK_SILENCE`] without a frame the link is pinged; after [`LINK_DEAD`] it is given
/// up.
async fn recv_or_ping<R: AsyncRead + Unpin>(
    slot: &LinkSlot,
    reader: &mut FrameReader<R>,
) -> Result<Option<Frame>, FrameError> {
    let dead = Instant::now() + LINK_DEAD;
    loop {
        let silent = dead.min(Instant::now() + LINK_SILENCE);
        if let Ok(frame) = timeout_at(silent, reader.recv()).await {
            return frame;
        }
        if silent == dead {
            return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        }
        slot.queue.control(|control| control.ping = true);
    }
}

/// Whether a HAVE or WANT holds at most [`SPANS_MAX`] spans.
fn is_bounded(streams: &[StreamSpans]) -> bool {
    // A stream without spans counts as one.
    streams.iter().map(|stream| stream.spans.len().max(1)).sum::<usize>() <= SPANS_MAX
}

/// Checks a message: its author must be the link's user, and its text at most [`TEXT_MAX`] bytes. Only a program
/// without a history may send it unsigned. Otherwise a member could send different versions of a message to different
/// members, and no fork would show.
fn parse_message(slot: &LinkSlot, room: Option<&str>, message: WireMessage<'_>) -> Option<LinkReport> {
    if message.username != slot.user.as_str() {
        warn!(peer = ?slot.user, claimed = ?message.username, "a message under another name was dropped");
        return None;
    }
    if message.provenance.is_some() {
        let room_id = message.room_id;
        return parse_batch(slot, room_id, vec![message], false);
    }
    if slot.dialect == Dialect::Full {
        warn!(peer = ?slot.user, "an unsigned message of a program that signs was dropped");
        return None;
    }
    let WireMessage { content: WireText::Content(content), id, sent_at, .. } = message else {
        warn!(peer = ?slot.user, "an unsigned message without a text was dropped");
        return None;
    };
    if content.len() > TEXT_MAX {
        warn!(peer = ?slot.user, bytes = content.len(), "a message over the limit was dropped");
        return None;
    }
    let room = room.map(str::to_owned);
    // A legacy client gives its messages no id.
    let id = id.unwrap_or_else(Uuid::now_v7);
    let message = PlainMessage { room, content: content.into_owned(), id, sent_at };
    Some(LinkReport::Unsigned { from: slot.user.clone(), message })
}

/// Reads signed messages. `late` says whether they are backlog.
fn parse_batch(
    slot: &LinkSlot,
    room_id: Option<Uuid>,
    messages: Vec<WireMessage<'_>>,
    late: bool,
) -> Option<LinkReport> {
    if messages.len() > BATCH_LINES {
        warn!(peer = ?slot.user, messages = messages.len(), "a batch over the limit was dropped");
        return None;
    }
    match messages.into_iter().map(SignedMessage::read).collect() {
        Ok(messages) => {
            let batch = MessageBatch { room_id, messages, late };
            Some(LinkReport::Signed { from: slot.user.clone(), link: slot.id, batch })
        }
        Err(error) => {
            warn!(peer = ?slot.user, %error, "unreadable messages were dropped");
            None
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(
    links: &PeerPeerCommunication,
    slot: &LinkSlot,
    writer: &mut FrameWriter<W>,
) -> Result<(), FrameError> {
    let mut buffer = Vec::new();
    loop {
        match slot.queue.next(slot.id, &mut buffer, encode_control) {
            Next::Write => {
                writer.send_encoded(&buffer).await?;
                if let Some(id) = slot.queue.written(slot.id) {
                    links.report(LinkReport::Written { to: slot.user.clone(), id }).await;
                }
            }
            Next::TooLong(id) => links.report(LinkReport::TooLong { to: slot.user.clone(), id }).await,
            Next::Wait if slot.retire.is_cancelled() => break,
            Next::Wait => tokio::select! {
                () = slot.queue.changed() => {}
                () = slot.retire.cancelled() => {}
            },
            Next::Detached => {
                slot.retire.cancelled().await;
                break;
            }
        }
        if slot.queue.became_writable(slot.id) {
            links.report(LinkReport::Writable { to: slot.user.clone() }).await;
        }
    }
    writer.shutdown().await
}

fn encode_control(control: &Control, buffer: &mut Vec<u8>) {
    let received = control.received.map(|id: Uuid| PeerMessage::Received { id });
    let ping = control.ping.then_some(PeerMessage::Ping);
    let pong = control.pong.then_some(PeerMessage::Pong);
    for message in [received, ping, pong].into_iter().flatten() {
        // These three frames are written to memory, which cannot fail.
        let _ = serde_json::to_writer(&mut *buffer, &message);
        buffer.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Duration;

    use commons::incarnation::Incarnation;
    use commons::limits::FRAME_MAX;
    use commons::names::Username;
    use commons::protocol::between_peers::Have;
    use tokio::io::duplex;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::engine::testing::owner_of;
    use crate::history::testing::{ANA, BOB, history, private, room, say};
    use crate::identity::known_keys::KnownKeys;
    use crate::peer_communication::key_check::KeyLookup;
    use crate::peer_communication::link_table::LinkId;
    use crate::peer_communication::links::LinkConfig;
    use crate::peer_communication::send_queue::SendQueue;
    use crate::peer_communication::testing::link_config;

    fn slot(dialect: Dialect) -> LinkSlot {
        let (queue, user) = (Arc::new(SendQueue::default()), Username::parse("bob").unwrap());
        LinkSlot { user, id: LinkId(1), dialect, queue, retire: CancellationToken::new(), is_loopback: false }
    }

    #[tokio::test(start_paused = true)]
    async fn silent_link_is_pinged_and_then_given_up() {
        let slot = slot(Dialect::Full);
        slot.queue.attach(slot.id, Dialect::Full);
        let (near, _far) = duplex(FRAME_MAX);
        let (mut reader, _) = Connection::new(near, FRAME_MAX).split();
        let since = Instant::now();
        recv_or_ping(&slot, &mut reader).await.unwrap_err();
        assert_eq!(since.elapsed().as_secs(), LINK_DEAD.as_secs());
        let mut written = Vec::new();
        slot.queue.next(slot.id, &mut written, encode_control);
        assert_eq!(written, b"{\"cmd\":\"PING\"}\n");
    }

    /// The reports that these frames cause on a link of this dialect.
    async fn reports_of(dialect: Dialect, frames: &[PeerMessage<'_>]) -> Vec<LinkReport> {
        let config = link_config();
        let lookup: KeyLookup = Box::new(|_| Box::pin(async { None }));
        let known = owner_of(KnownKeys::default()).0;
        let (links, mut reports) = PeerPeerCommunication::new(config, known, lookup);
        let (near, far) = duplex(FRAME_MAX);
        let (mut reader, _) = Connection::new(near, FRAME_MAX).split();
        let mut far = Connection::new(far, FRAME_MAX);
        for frame in frames {
            far.send(frame).await.unwrap();
        }
        drop(far);
        read(&links, &slot(dialect), &mut reader, None).await.unwrap();
        std::iter::from_fn(|| reports.try_recv().ok()).collect()
    }

    #[tokio::test]
    async fn unsigned_message_of_a_modern_program_is_refused() {
        let message = WireMessage {
            username: "bob".into(),
            content: WireText::Content("only for you".into()),
            id: None,
            sent_at: None,
            room_id: None,
            provenance: None,
        };
        let unsigned = [PeerMessage::Message { room: None, message }];
        assert!(reports_of(Dialect::Full, &unsigned).await.is_empty());
        // The control: programs that keep no history sign nothing.
        for dialect in [Dialect::Basic, Dialect::Legacy] {
            assert_eq!(reports_of(dialect, &unsigned).await.len(), 1);
        }
    }

    /// The virtual time in which a link reads this number of live messages of bob.
    async fn time_to_read(messages: usize, is_loopback: bool, limit_loopback: bool) -> Duration {
        let config = LinkConfig { member_rate: NonZeroU32::new(20), limit_loopback, ..link_config() };
        let lookup: KeyLookup = Box::new(|_| Box::pin(async { None }));
        let (links, mut reports) =
            PeerPeerCommunication::new(config, owner_of(KnownKeys::default()).0, lookup);
        let (near, far) = duplex(16 * FRAME_MAX);
        let (mut reader, _) = Connection::new(near, FRAME_MAX).split();
        let mut far = Connection::new(far, FRAME_MAX);
        for n in 0..messages {
            let content = WireText::Content(n.to_string().into());
            let (id, sent_at, room_id, provenance) = (None, None, None, None);
            let message = WireMessage { username: "bob".into(), content, id, sent_at, room_id, provenance };
            far.send(&PeerMessage::Message { room: None, message }).await.unwrap();
        }
        drop(far);
        let (since, slot) = (Instant::now(), LinkSlot { is_loopback, ..slot(Dialect::Basic) });
        let count = async {
            let mut texts = Vec::new();
            while texts.len() < messages {
                match reports.recv().await {
                    Some(LinkReport::Unsigned { message, .. }) => texts.push(message.content),
                    Some(LinkReport::TooFast { .. }) => {}
                    _ => panic!("another report"),
                }
            }
            texts
        };
        let (read, texts) = tokio::join!(read(&links, &slot, &mut reader, None), count);
        read.unwrap();
        assert!(texts.iter().enumerate().all(|(n, text)| *text == n.to_string()), "none is lost");
        since.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn member_that_floods_is_read_at_the_rate_and_loses_nothing() {
        let seconds = time_to_read(400, false, false).await.as_secs();
        assert_eq!(seconds, 10, "a burst of 200, and 200 at 20 a second");
        assert_eq!(time_to_read(400, true, true).await.as_secs(), 10);
        // The control: a link over loopback is not limited unless the user wants that.
        assert!(time_to_read(400, true, false).await < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn have_with_too_many_pieces_is_dropped() {
        let have = |pieces: usize| {
            let spans = (0..pieces as u64).map(|n| (2 * n + 1, 2 * n + 1)).collect();
            let streams = vec![StreamSpans { username: "bob".into(), incarnation: Incarnation(1), spans }];
            let (log_head, tips) = (None, Vec::new());
            [PeerMessage::Have(Have { room_id: None, streams, lamport: None, log_head, tips })]
        };
        assert!(reports_of(Dialect::Full, &have(SPANS_MAX + 1)).await.is_empty());
        assert_eq!(reports_of(Dialect::Full, &have(SPANS_MAX)).await.len(), 1, "the control");
    }

    #[tokio::test]
    async fn live_messages_that_arrive_together_are_one_report() {
        let mut bob = history(BOB);
        let in_room = say(&mut bob, &room(), &["1", "2", "3"], &[ANA]);
        let alone = say(&mut bob, &private(ANA), &["4"], &[ANA]);
        let of = room().room();
        let live = |message| PeerMessage::Message { room: Some("sala".into()), message };
        let mut frames: Vec<_> = in_room.iter().map(|message| live(message.wire(of))).collect();
        frames.insert(2, PeerMessage::Ping);
        frames.push(PeerMessage::Message { room: None, message: alone[0].wire(None) });
        frames.push(PeerMessage::Lines { room_id: None, messages: vec![alone[0].wire(None)] });
        let reports = reports_of(Dialect::Full, &frames).await;
        let sizes: Vec<_> = reports
            .iter()
            .map(|report| match report {
                LinkReport::Signed { batch, .. } => (batch.messages.len(), batch.late),
                _ => panic!("another report"),
            })
            .collect();
        assert_eq!(sizes, [(3, false), (1, false), (1, true)], "by conversation, and backlog apart");
    }
}
