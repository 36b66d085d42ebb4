//! Every bound that the tracker and the peers share, each with its reason.

use std::time::Duration;

/// Longest frame in bytes: a page of a list (48 KiB) and the largest text, escaped, fit with room to spare.
pub const FRAME_MAX: usize = 64 * 1024;

/// Longest frame in bytes of somebody who has not said who they are: a stranger gets little memory.
pub const FRAME_MAX_BEFORE_LOGIN: usize = 4 * 1024;

/// Deepest nesting of a JSON object: our own messages need four levels.
pub const JSON_DEPTH: usize = 16;

/// Longest chat text in bytes of UTF-8: with every byte escaped as `\u00XX` it still fits a frame.
pub const TEXT_MAX: usize = 8 * 1024;

/// Fewest characters of a new password: what NIST SP 800-63B asks for at least. Existing shorter ones still sign in.
pub const PASSWORD_MIN_CHARS: usize = 8;

/// Heads that a line names: a room has three members, each with few stores at a time.
pub const HEADS_MAX: usize = 8;

/// Lines in one batch, and between two signatures: what is lost of a stream that is cut stays small.
pub const BATCH_LINES: usize = 64;

/// Bytes of lines, as they are encoded, in one batch and between two signatures: with its head it fits a frame.
pub const BATCH_BYTES: usize = 48 * 1024;

/// Pieces of streams that one HAVE or WANT tells of: they fit a frame, and a room of three needs a handful.
pub const SPANS_MAX: usize = 512;

/// What the original programs take with one `recv`, and therefore as one message, in bytes.
pub const ORIGINAL_RECV: usize = 4096;

/// Time between two writes to a legacy client: TCP joins writes that lie unread, and the client takes them for one message.
/// Its threads read within a few milliseconds.
pub const LEGACY_PACE: Duration = Duration::from_millis(20);

/// Longest user name in characters.
pub const USERNAME_MAX: usize = 32;

/// Keys of a user, one for each device: with all of them in every room, and endorsed, the reply to LOGIN fits a frame.
pub const KEYS_PER_USER: usize = 4;

/// Endorsements of a user: one for each key but the first.
pub const ENDORSEMENTS_PER_USER: usize = KEYS_PER_USER - 1;

/// Longest room name in characters.
pub const ROOM_NAME_MAX: usize = 64;

/// How long a dial may take: the original's figure, enough for a slow mobile network.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the first bytes of a connection may take: longer is a stranger holding a socket for nothing.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a TLS handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one write may wait for a reader that does not read.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a closing connection is read on, so that the other side gets our last words instead of a reset.
pub const LINGER_TIME: Duration = Duration::from_secs(1);

/// How many bytes a closing connection is read on at most.
pub const LINGER_BYTES: usize = 1024 * 1024;

/// Silence after which the operating system probes a connection: finds a machine that vanished.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Time between two such probes.
pub const KEEPALIVE_PROBE: Duration = Duration::from_secs(15);
