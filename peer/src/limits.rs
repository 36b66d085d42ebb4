//! Every bound that the peer keeps, each with its reason.

use std::time::Duration;

/// Links at a time, of all peers together: rooms of three need few, strangers may not take many.
pub const LINKS_MAX: usize = 64;

/// Connections that have not said HELLO yet.
pub const STRANGERS_MAX: usize = 32;

/// Links kept to one original program: it dials although it was dialled.
pub const ORIGINAL_LINKS_MAX: usize = 2;

/// Bytes on their way to one peer, lines and all: what a member that never reads costs.
pub const OUTBOX_BYTES: usize = 1024 * 1024;

/// Bytes given to a link in one write.
pub const WRITE_BATCH: usize = 64 * 1024;

/// How long a line may wait for a link before it is undelivered.
pub const LINK_WAIT: Duration = Duration::from_secs(5);

/// How long saying something waits for a crowded outbox; one that takes half of its size in this time is waited for on.
pub const OUTBOX_WAIT: Duration = Duration::from_secs(1);

/// Head start of the smaller user name in dialling; also the pause before a lost link is dialled again, in which the
/// tracker may tell why it was lost.
pub const DIAL_GRACE: Duration = Duration::from_millis(300);

/// First and longest wait between dials that fail.
pub const DIAL_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// An original program takes what follows HELLO sooner than this as part of HELLO.
pub const HELLO_PAUSE: Duration = Duration::from_millis(200);

/// An original program takes frames closer together than this as one.
pub const ORIGINAL_PACE: Duration = Duration::from_millis(20);

/// Silence on a link after which it is pinged.
pub const LINK_SILENCE: Duration = Duration::from_secs(30);

/// Silence on a link after which it is dead.
pub const LINK_DEAD: Duration = Duration::from_secs(75);

/// A receipt for lines is given in the first silence of this length: one for many where they come fast.
pub const RECEIPT_PAUSE: Duration = Duration::from_millis(5);

/// How long the last receipts are awaited of one with whom nothing is shared any more: a link that ends brings them.
pub const LAST_RECEIPTS: Duration = Duration::from_millis(500);

/// Lines after which a receipt is given without waiting for a silence.
pub const RECEIPT_LINES: usize = 256;

/// How long a link that is given up is read on for what is still under way on it.
pub const RETIRE_TIME: Duration = Duration::from_secs(5);

/// How long a peer that ends waits for the others to close their links: programs that read do it at once.
pub const GOODBYE_WAIT: Duration = Duration::from_secs(1);

/// Least time between two answers to PING on one connection.
pub const PONG_PAUSE: Duration = Duration::from_millis(250);

/// Lines and other news between the links and the service.
pub const REPORTS_MAX: usize = 1024;

/// Events that a face may leave unread before the peer stops reading its links.
pub const EVENTS_MAX: usize = 4096;

/// Identities of lines that are remembered to swallow doubles: more than fit one outbox.
pub const SEEN_LINES: usize = 16 * 1024;

/// Lines that came before the tracker's word that their author sits in the room.
pub const EARLY_LINES: usize = 256;

/// How long such lines wait for it.
pub const EARLY_WAIT: Duration = Duration::from_secs(5);

/// How long after the tracker's return a linked peer that it misses is not called offline: longer than the longest
/// wait between attempts to reach it.
pub const RETURN_GRACE: Duration = Duration::from_secs(15);

/// How long the tracker may take to answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests that wait for their answer at a time.
pub const REQUESTS_MAX: usize = 64;

/// First and longest wait between attempts to reach the tracker.
pub const TRACKER_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// How long `/quit` waits for lines on their way.
pub const QUIT_WAIT: Duration = Duration::from_secs(5);

/// Names remembered for completion.
pub const KNOWN_NAMES: usize = 2000;

/// Longest line that is typed or piped in, in bytes; longer ones are refused without holding them.
pub const LINE_MAX: usize = 64 * 1024;

/// Lines typed ahead of what is being carried out.
pub const TYPED_AHEAD: usize = 1024;

/// Pieces of output on their way to a screen or pipe that is slow to take them.
pub const OUTPUT_PIECES: usize = 256;

/// Typed lines that the Up key recalls.
pub const RECALLED_LINES: usize = 500;

/// Unread lines kept of one conversation.
pub const UNREAD_LINES: usize = 500;

/// Conversations of which unread lines are kept.
pub const UNREAD_CHATS: usize = 200;

/// Own lines that can still be named when one of them does not arrive.
pub const NAMED_LINES: usize = 500;

/// Combining marks shown on one letter: languages need fewer, towers of them cover other lines.
pub const COMBINING_MARKS: usize = 8;

/// How long the last words may take to reach a screen or pipe that does not take them.
pub const FAREWELL_WAIT: Duration = Duration::from_secs(2);

/// Passwords that may be typed wrong, and names that may be refused, before the program gives up.
pub const SIGN_IN_TRIES: usize = 3;

/// New keys of one user that are told of: more are somebody's game, and would push everything else off the screen.
pub const NEW_KEYS_TOLD: usize = 8;

/// Digits of a key that stand for all of it: no two keys of one user share them but by an attacker's long search.
pub const KEY_DIGITS_MIN: usize = 8;

/// Longest file that is taken for an identity: thousands of friends fit.
pub const IDENTITY_FILE_MAX: u64 = 4 * 1024 * 1024;

/// Memory in KiB that a seal may ask argon2id to take, sixteen times what ours do: an identity that is imported comes
/// from elsewhere.
pub const SEAL_MEMORY_MAX: u32 = 1024 * 1024;

/// Passes over it that a seal may ask for, for the same reason.
pub const SEAL_PASSES_MAX: u32 = 48;
