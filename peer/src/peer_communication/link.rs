//! One link's life: reads what the peer says, writes what is in the peer's outbox, until either ends.

use commons::limits::TEXT_MAX;
use commons::net::connection::{Connection, FrameReader, FrameWriter};
use commons::net::frame::{Frame, FrameError};
use commons::net::socket::Socket;
use commons::protocol::between_peers::{Line, PeerMessage};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::api::Undeliverable;
use crate::limits::{LINK_DEAD, LINK_SILENCE, ORIGINAL_PACE, RECEIPT_LINES, RECEIPT_PAUSE, RETIRE_TIME};
use crate::peer_communication::outbox::{Control, Manners, Next};
use crate::peer_communication::switchboard::{HeardLine, LinkReport, Place, Switchboard};

/// Runs a link to its end. `first` is a frame that came before the link had its place; `ours` tells that the other
/// program is one of ours.
pub(crate) async fn run(
    board: &Switchboard,
    place: &Place,
    connection: Connection<Socket>,
    first: Option<Frame>,
    ours: bool,
) {
    let (mut reader, mut writer) = connection.split();
    {
        let reading = read(board, place, &mut reader, first, ours);
        let writing = write(board, place, &mut writer);
        tokio::pin!(reading, writing);
        tokio::select! {
            result = &mut reading => {
                debug!(peer = ?place.user, ?result, "link ended");
                // The other side says no more, but waits a moment for the receipt of what it said.
                if result.is_ok() && place.outbox.give_receipt() {
                    place.retire.cancel();
                    drop(timeout(RETIRE_TIME, &mut writing).await);
                }
            }
            result = &mut writing => match result {
                // What the other side sent before it knew is still read.
                Ok(()) => drop(timeout(RETIRE_TIME, &mut reading).await),
                Err(error) => debug!(peer = ?place.user, %error, "link broke"),
            },
            () = board.stop.cancelled() => {}
        }
    }
    board.lost(place).await;
}

async fn read<R: AsyncRead + Unpin>(
    board: &Switchboard,
    place: &Place,
    reader: &mut FrameReader<R>,
    mut first: Option<Frame>,
    ours: bool,
) -> Result<(), FrameError> {
    let mut unreceipted = 0;
    loop {
        let frame = match first.take().map(|frame| Ok(Some(frame))).or_else(|| reader.try_recv()) {
            Some(frame) => frame?,
            None if ours => recv_or_speak(place, reader, &mut unreceipted).await?,
            // An original program answers no PING: there the operating system's probes must do.
            None => reader.recv().await?,
        };
        let Some(frame) = frame else { return Ok(()) };
        match frame.parse::<PeerMessage<'_>>() {
            Ok(PeerMessage::Message(line)) => {
                let id = line.id;
                hear(board, place, line).await;
                if let Some(id) = id.filter(|_| ours) {
                    place.outbox.owe_receipt(id);
                    unreceipted += 1;
                }
                if unreceipted >= RECEIPT_LINES {
                    place.outbox.give_receipt();
                    unreceipted = 0;
                }
            }
            Ok(PeerMessage::Received { id }) => {
                let ids = place.outbox.received(id);
                if !ids.is_empty() {
                    board.report(LinkReport::Delivered(place.user.clone(), ids)).await;
                }
            }
            Ok(PeerMessage::Leave { room }) => {
                let room = room.map(|room| room.into_owned());
                board.report(LinkReport::Left(place.user.clone(), room)).await;
            }
            Ok(PeerMessage::Ping) if ours => place.outbox.control(|control| control.pong = true),
            Ok(_) => {}
            Err(error) => warn!(peer = ?place.user, %error, "a frame was dropped"),
        }
    }
}

/// The next frame. In a short silence the receipt is given that is due; a link that is silent for long is pinged, and
/// given up when it stays so.
async fn recv_or_speak<R: AsyncRead + Unpin>(
    place: &Place,
    reader: &mut FrameReader<R>,
    unreceipted: &mut usize,
) -> Result<Option<Frame>, FrameError> {
    let silent_since = Instant::now();
    loop {
        let patience = if *unreceipted > 0 { RECEIPT_PAUSE } else { LINK_SILENCE };
        if let Ok(frame) = timeout(patience, reader.recv()).await {
            return frame;
        }
        if std::mem::take(unreceipted) > 0 {
            place.outbox.give_receipt();
        } else if silent_since.elapsed() >= LINK_DEAD {
            return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        } else {
            place.outbox.control(|control| control.ping = true);
        }
    }
}

async fn hear(board: &Switchboard, place: &Place, line: Line<'_>) {
    if line.username != place.user.as_str() {
        warn!(peer = ?place.user, claimed = ?line.username, "a line under another name was dropped");
        return;
    }
    if line.content.len() > TEXT_MAX {
        warn!(peer = ?place.user, bytes = line.content.len(), "a line over the limit was dropped");
        return;
    }
    let Line { room, content, id, sent_at, .. } = line;
    let room = room.map(|room| room.into_owned());
    let heard = HeardLine { room, content: content.into_owned(), id, sent_at };
    board.report(LinkReport::Line(place.user.clone(), heard)).await;
}

async fn write<W: AsyncWrite + Unpin>(
    board: &Switchboard,
    place: &Place,
    writer: &mut FrameWriter<W>,
) -> Result<(), FrameError> {
    let mut buffer = Vec::new();
    loop {
        match place.outbox.next(place.id, &mut buffer, encode_control) {
            Next::Write(manners) => {
                writer.send_encoded(&buffer).await?;
                place.outbox.written(place.id);
                if manners == Manners::Original {
                    sleep(ORIGINAL_PACE).await;
                }
            }
            Next::TooLong(id) => {
                let report =
                    LinkReport::Undelivered(place.user.clone(), vec![id], Undeliverable::TextTooLong);
                board.report(report).await;
            }
            // What was heard is receipted before the link ends: it must not be called undelivered.
            Next::Wait if place.retire.is_cancelled() && !place.outbox.give_receipt() => break,
            Next::Wait => tokio::select! {
                () = place.outbox.changed() => {}
                () = place.retire.cancelled() => {}
            },
            Next::Detached => {
                place.retire.cancelled().await;
                break;
            }
        }
    }
    writer.shutdown().await
}

fn encode_control(control: &Control, buffer: &mut Vec<u8>) {
    let received = control.received.map(|id: Uuid| PeerMessage::Received { id });
    let ping = control.ping.then_some(PeerMessage::Ping);
    let pong = control.pong.then_some(PeerMessage::Pong);
    for message in [received, ping, pong].into_iter().flatten() {
        // Writing to memory, these three cannot fail.
        let _ = serde_json::to_writer(&mut *buffer, &message);
        buffer.push(b'\n');
    }
}
