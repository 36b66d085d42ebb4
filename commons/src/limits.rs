//! Bounds that the tracker and the peers share, each with its reason.
//! Both programs use the same values, so that neither sends anything that the other refuses.

use std::time::Duration;

/// Longest frame in bytes. One page of a list (48 KiB) fits, and so does the largest text with every byte escaped.
pub const FRAME_MAX: usize = 64 * 1024;

/// Longest frame in bytes on an unauthenticated connection, which gets little memory.
pub const FRAME_MAX_BEFORE_LOGIN: usize = 4 * 1024;

/// Deepest nesting of a JSON object. The protocol needs four levels.
pub const JSON_DEPTH: usize = 16;

/// Longest chat text in bytes of UTF-8. With every byte escaped as `\u00XX` it still fits a frame.
pub const TEXT_MAX: usize = 8 * 1024;

/// Fewest characters of a new password: the minimum of NIST SP 800-63B. Existing shorter ones still sign in.
pub const PASSWORD_MIN_CHARS: usize = 8;

/// Memory of a login key in KiB: OWASP's recommended minimum for argon2id, as for the tracker's own hashes. It is a part of
/// the protocol, so it is the same everywhere.
pub const LOGIN_KEY_MEMORY: u32 = 19 * 1024;

/// Passes of argon2id for a login key, from the same recommendation.
pub const LOGIN_KEY_PASSES: u32 = 2;

/// Largest number of heads that a message names. A room has three members, each with few stores at a time.
pub const HEADS_MAX: usize = 8;

/// Largest number of messages in one signed batch or one LINES. If a stream is cut, little is lost.
pub const BATCH_LINES: usize = 64;

/// Largest size in bytes of the encoded messages in one signed batch or one LINES. With the other fields they fit a
/// frame.
pub const BATCH_BYTES: usize = 48 * 1024;

/// Largest number of streams in one HAVE whose last message is named by its digest. A room has three members, each with
/// few stores.
pub const TIPS_MAX: usize = 32;

/// Largest size in bytes of the entries of a room's log in one reply or one ENTRIES, as hex digits.
pub const LOG_PAGE_BYTES: usize = 48 * 1024;

/// Largest number of spans in one HAVE or WANT. They fit a frame, and a room of three needs a handful.
pub const SPANS_MAX: usize = 512;

/// Bytes that a legacy client reads with one `recv` and therefore treats as one message.
pub const ORIGINAL_RECV: usize = 4096;

/// Pause between two writes to a legacy client. TCP joins unread writes, and the client would treat them as one
/// message. Its threads read within a few milliseconds.
pub const LEGACY_PACE: Duration = Duration::from_millis(20);

/// Longest user name in bytes. The reply to LOGIN repeats the names of all members of all rooms of a
/// user, and fits a frame.
pub const USERNAME_MAX: usize = 32;

/// Largest number of accents on one letter of a user name (UTS 39, section 5.4).
pub const ACCENTS_MAX: usize = 4;

/// Largest number of keys per user, one for each device. If every member of every room has all of them, endorsed, the
/// reply to LOGIN still fits a frame.
pub const KEYS_PER_USER: usize = 4;

/// Largest number of endorsements per user: one for each key but the first.
pub const ENDORSEMENTS_PER_USER: usize = KEYS_PER_USER - 1;

/// Maximum number of members of a room, the owner included.
pub const CAPACITY: usize = 3;

/// Maximum number of guests: the members other than the owner.
pub const GUESTS_MAX: usize = CAPACITY - 1;

/// Longest room name in characters.
pub const ROOM_NAME_MAX: usize = 64;

/// Longest time of a dial. It is the original program's value and long enough for a slow mobile network.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time until the first bytes of a connection. An unauthenticated connection must not hold a socket for longer.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time of a TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time of one write to a reader that does not read.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest time for which a closing connection is still read, so that the other side gets the last frames instead of a
/// reset.
pub const LINGER_TIME: Duration = Duration::from_secs(1);

/// Number of bytes that a closing connection still reads at most.
pub const LINGER_BYTES: usize = 1024 * 1024;

/// Silence after which the operating system probes a connection, to detect a machine that vanished.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Time between two such probes.
pub const KEEPALIVE_PROBE: Duration = Duration::from_secs(15);

/// The maximum size of a settings file in bytes: hundreds of times what all settings take. A wrong path may name a disk.
pub const SETTINGS_FILE_MAX: u64 = 1024 * 1024;

/// Fewest bits of the prefix of an IPv4 range. A larger range would ban most people by a slip of the keyboard.
pub const RANGE_PREFIX_MIN_V4: u8 = 8;

/// Fewest bits of the prefix of an IPv6 range: providers get blocks of 19 bits and more.
pub const RANGE_PREFIX_MIN_V6: u8 = 16;

/// Longest announcement in bytes of UTF-8: a few rows of a terminal.
pub const ANNOUNCEMENT_MAX: usize = 1024;

/// Largest number of entries of a room's log. Only departures and the end of the room may follow.
pub const ENTRIES_MAX: u64 = 4096;

/// Largest number of entries by one user in one room within a day, so that nobody fills a log.
pub const ENTRIES_PER_DAY: usize = 20;

/// Smallest number of entries from one checkpoint of a room to the next.
pub const CHECKPOINT_DISTANCE: u64 = 256;

/// Largest size of an entry in bytes. A checkpoint is the largest one, and its hex digits fit one page of a list.
pub const ENTRY_MAX: usize = 16 * 1024;

/// Largest number of unused invitations to a room, whose free places are two.
pub const INVITATIONS_MAX: usize = 16;

/// Largest number of bans of a room. All of them fit a checkpoint.
pub const BANS_MAX: usize = 96;

/// Largest number of revoked keys that a room remembers. All of them fit a checkpoint.
pub const REVOKED_MAX: usize = 32;

/// Largest number of streams of a revoked key whose ends are stated: a key has a few incarnations of its store.
pub const STREAM_ENDS_MAX: usize = 8;

/// Longest topic of a room in bytes of UTF-8: two rows of a terminal.
pub const TOPIC_MAX: usize = 256;

/// Time without an entry by the owner after which the successor may take the room over.
pub const SUCCESSION_WAIT: Duration = Duration::from_hours(30 * 24);
