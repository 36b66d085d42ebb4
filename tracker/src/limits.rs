//! The bounds of the tracker, each with its reason.
//! Bounds that the peer shares are in `commons::limits`.

use std::time::Duration;

/// The rate of a token bucket: a burst, and one more action per interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// The maximum number of actions at once.
    pub(crate) burst: u32,
    /// The time after which one more action is granted.
    pub(crate) every: Duration,
}

/// The maximum number of connections. A machine with 4 GiB of memory and its file descriptors carry them easily.
pub(crate) const SESSIONS_MAX: usize = 10_240;

/// The maximum number of unauthenticated connections. They cost an attacker little.
pub(crate) const PREAUTH_MAX: usize = 256;

/// The maximum number of refused connections that are sent the reason at one time. Further ones are closed without a
/// reply.
pub(crate) const REFUSALS_MAX: usize = 64;

/// The maximum number of connections from one network: the peers of a household or a small office.
pub(crate) const SESSIONS_PER_NETWORK: usize = 16;

/// The maximum number of new connections from one network within [`NEWCOMERS_SPAN`]: twice [`SESSIONS_PER_NETWORK`], so
/// that all of them can reconnect once.
pub(crate) const NEWCOMERS_PER_NETWORK: usize = 32;

/// The maximum number of connections to the status page: a few scrapers and browsers. A further one ends
/// the oldest.
pub(crate) const STATUS_CONNECTIONS_MAX: usize = 16;

/// The age at which the metrics and the status page are made again. A reading looks at every session, and no scraper asks
/// more often.
pub(crate) const STATUS_TEXT_AGE: Duration = Duration::from_secs(1);

/// The time limit for one connection to the status page, so that a slow client cannot hold its place.
pub(crate) const STATUS_CONNECTION_TIME: Duration = Duration::from_secs(10);

/// The time between two samples for the charts of the status page.
pub(crate) const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

/// The number of samples for the charts of the status page: one hour.
pub(crate) const SAMPLES_MAX: usize = 360;

/// The time span of [`NEWCOMERS_PER_NETWORK`].
pub(crate) const NEWCOMERS_SPAN: Duration = Duration::from_secs(10 * 60);

/// The rate of log entries about refused connections. It shows a flood without flooding the log.
pub(crate) const REFUSALS_LOGGED: Rate = Rate { burst: 10, every: Duration::from_secs(10) };

/// The time limit for the first complete frame, counted from the start of the connection.
pub(crate) const FIRST_FRAME_TIME: Duration = Duration::from_secs(10);

/// The time limit for signing in, counted from the start of the connection. A user can type a password twice.
pub(crate) const LOGIN_TIME: Duration = Duration::from_secs(30);

/// The number of wrong passwords on one connection. The last one closes the connection.
pub(crate) const WRONG_PASSWORDS_MAX: u32 = 3;

/// The number of password checks in one login if the account changes in the meantime. The second check detects a new
/// account of the same name.
pub(crate) const JUDGED_PER_LOGIN_MAX: u32 = 2;

/// The size of a session's send queue in bytes. The session is closed when the queue is full.
pub(crate) const SEND_QUEUE_BYTES: usize = 256 * 1024;

/// The time limit for the last frames to a session. A complete shutdown has two seconds.
pub(crate) const FAREWELL_TIME: Duration = Duration::from_millis(300);

/// The time that a shutdown waits for the sessions. The rest of the two seconds is for the disk.
pub(crate) const STOP_TIME: Duration = Duration::from_millis(1500);

/// The pause after a failed accept, usually for want of descriptors. An immediate retry would only use the processor.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The rate of requests of one session: more than a person with one client needs.
pub(crate) const REQUEST_PACE: Rate = Rate { burst: 10, every: Duration::from_millis(200) };

/// The rate of requests that change a room or an account. Each costs a disk flush, and a push to others or a hash.
pub(crate) const CHANGE_PACE: Rate = Rate { burst: 5, every: Duration::from_secs(1) };

/// The rate of RATE_LIMITED replies to one session. Above it, the session pauses reading instead.
pub(crate) const REFUSAL_PACE: Rate = Rate { burst: 10, every: Duration::from_secs(1) };

/// The number of threads that hash passwords. Each keeps its memory, so two threads keep 38 MiB. They fill two cores.
pub(crate) const HASHING_THREADS: usize = 2;

/// The maximum memory of one hash in bytes. No version of this tracker has used more, so a stored hash that needs more
/// is foreign.
pub(crate) const HASH_MEMORY_MAX: usize = 32 * 1024 * 1024;

/// The number of regular password hashes computed in a row before one of the others, so that the others are not
/// starved.
pub(crate) const REGULARS_IN_A_ROW: usize = 3;

/// The number of password hashes that may wait in each class. One more displaces the oldest of the network with the
/// most, which gets BUSY. At 20 ms each, this is about a second of work.
pub(crate) const HASHES_WAITING_MAX: usize = 64;

/// The time that a password check may wait for its turn before it gets BUSY. A peer waits five seconds for a reply, so
/// it receives this one. It also bounds how long the client's connection is held.
pub(crate) const HASH_WAIT_MAX: Duration = Duration::from_secs(4);

/// The maximum number of rooms of which a user can be a member. The user's rooms in a LOGIN reply then fit in one frame.
pub(crate) const ROOMS_PER_USER: usize = 16;

/// The time by which an entry of a room's log may be ahead of the tracker's clock. The clocks of computers differ by
/// minutes. A later time would hold back the entries of all others, because times never fall along a log.
pub(crate) const ENTRY_AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// The time by which an entry may be behind the tracker's clock. With earlier times a user could make the entries of many
/// days in one day. A clock that is wrong by hours still works.
pub(crate) const ENTRY_BEHIND_MAX: Duration = Duration::from_hours(24);

/// The number of times that the tracker signs the end of a membership while others change the same room. The next
/// sweep tries again.
pub(crate) const EXPIRY_TRIES: usize = 8;

/// The maximum number of rooms: about 100 MB of memory, apart from their logs.
pub(crate) const ROOMS_MAX: usize = 100_000;

/// The maximum number of bans: about 5 MB of memory. More than people make by hand.
pub(crate) const BANS_MAX: usize = 10_000;

/// The part of [`BANS_MAX`] that is reserved for the operator, so that no admin can fill the list.
pub(crate) const BANS_FOR_OPERATOR: usize = 1000;

/// The maximum number of keys of one ban: those of sixteen full accounts. Each renewal of a ban adds those of then.
pub(crate) const BAN_KEYS_MAX: usize = 64;

/// The longest time of a ban in seconds: a hundred years. A longer one has no end.
pub(crate) const BAN_SECONDS_MAX: u64 = 100 * 365 * 24 * 60 * 60;

/// The minimum number of digits by which the operator names a key: 64 bits, which nobody can find again for another key.
pub(crate) const ADMIN_KEY_DIGITS_MIN: usize = 16;

/// The maximum number of registration codes in a file. Each attempt is compared with all of them.
pub(crate) const REGISTRATION_CODES_MAX: usize = 1000;

/// The maximum size of the file of registration codes in bytes.
pub(crate) const REGISTRATION_CODES_BYTES: u64 = 64 * 1024;

/// The longest message of the day in bytes: a few rows of a terminal. With a full set of rooms, a LOGIN reply still fits in
/// one frame.
pub(crate) const MOTD_MAX: usize = 960;

/// The maximum number of entries on a page of a list.
pub(crate) const PAGE_ENTRIES: usize = 1_000;

/// The size of the entries on a page of a list, in bytes. With the rest of the reply, it fits in one frame.
pub(crate) const PAGE_BYTES: usize = 48 * 1024;

/// The size of a list reply without its entries, in bytes. It includes `"more":true` and the newline.
pub(crate) const PAGE_FRAME: usize = 256;

/// The maximum number of peers that a sweep pings at one time. Enough descriptors remain for the sessions.
pub(crate) const PINGS_MAX: usize = 512;

/// The lowest port that the tracker pings. Lower ports belong to system services, which clients must not make it
/// contact.
pub(crate) const LOWEST_PEER_PORT: u16 = 1024;

/// The number of revisions in a block. A presence change raises the revision in memory, and only the first revision of
/// each block is written. Each start skips to the next block, because the old one may be used up. This costs one flush
/// per 1,024 presence changes. 2⁵³ revisions last for 2⁴³ starts.
pub(crate) const REVISION_BLOCK: u64 = 1024;

/// The highest revision that is accepted from a file. JSON numbers are exact up to it, and no room reaches it.
pub(crate) const REVISION_MAX: u64 = 1 << 53;

/// The size of a disk sector in bytes. A disk writes a sector completely or not at all, so a power cut leaves zeros in
/// whole sectors.
pub(crate) const SECTOR_BYTES: usize = 512;

/// The number of times that a check reads the files of a running tracker until they belong together.
pub(crate) const CHECK_TRIES: usize = 20;

/// The pause between two of these attempts. A compaction takes less time.
pub(crate) const CHECK_PAUSE: Duration = Duration::from_millis(100);

/// The time that a backup waits for the disk of a running tracker. It is shorter than [`CONTROL_TIME`], so that the
/// operator gets the reason.
pub(crate) const SNAPSHOT_TIME: Duration = Duration::from_secs(8);

/// The maximum size of a backup in bytes: that of eight million users. A restore reads it into memory. A
/// program that poses as the tracker cannot fill the disk with more.
pub const BACKUP_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// The maximum number of files in a backup. A data folder has eight, and more may come.
pub(crate) const BACKUP_FILES_MAX: usize = 64;

/// The time without progress after which the transfer of a backup ends.
pub const BACKUP_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The shortest interval of the monitor. A reading walks through all sessions.
pub(crate) const MONITOR_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The number of the busiest sessions that the monitor shows.
pub(crate) const MONITOR_SESSIONS: usize = 5;

/// The number of changes of a collection that may wait for the disk.
pub(crate) const CHANGES_WAITING_MAX: usize = 1024;

/// The maximum number of changes that are written to the disk together.
pub(crate) const BATCH_MAX: usize = 512;

/// The number of changes that a watcher of a collection may lag. A batch of [`BATCH_MAX`] changes fits twice, so only a
/// watcher that has not run for a long time must read the collection again.
pub(crate) const WATCH_BACKLOG: usize = 2 * BATCH_MAX;

/// The minimum journal size in bytes for a compaction while the tracker runs.
pub(crate) const COMPACTION_BYTES: u64 = 1024 * 1024;

/// The number of wrong passwords for one account that cost a network no wait. Everybody mistypes.
pub(crate) const GUESSES_FREE: u32 = 3;

/// The longest wait of a network before its next guess at an account. Twelve guesses an hour do not find a password.
pub(crate) const GUESS_DELAY_MAX: Duration = Duration::from_secs(300);

/// The time for which a wrong password is remembered. During it, the network counts as one with wrong passwords.
pub(crate) const GUESS_MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// The rate of guesses at one account from all networks: 76 at once and 24 an hour. Any hour has at most 100, the
/// number of consecutive failures that NIST permits.
pub(crate) const GUESS_PACE: Rate = Rate { burst: 76, every: Duration::from_secs(150) };

/// The part of [`GUESS_PACE`] that is reserved for networks without a wrong password. The owner can sign in while 64
/// others guess.
pub(crate) const GUESSES_FOR_NEW_NETWORKS: u32 = 64;

/// The maximum number of remembered guessers and of guessed accounts, about 16 MB each. To make the tracker forget
/// them, an attacker needs as many password hashes, which take longer than any forgotten wait.
pub(crate) const GUESSERS_MAX: usize = 65_536;

/// The maximum number of accounts that one network may register within [`REGISTRATIONS_SPAN`]: a household.
pub(crate) const REGISTRATIONS_MAX: usize = 5;

/// The maximum number of users whose networks are remembered, about 16 MB.
pub(crate) const REGULARS_MAX: usize = 65_536;

/// The maximum number of remembered networks of a user: at home, at work and on the way.
pub(crate) const NETWORKS_PER_USER: usize = 8;

/// The time span of [`REGISTRATIONS_MAX`].
pub(crate) const REGISTRATIONS_SPAN: Duration = Duration::from_secs(60 * 60);

/// The maximum number of networks whose recent actions are remembered, about 10 MB.
pub(crate) const NETWORKS_MAX: usize = 16_384;

/// The number of log lines that may wait for the disk or the terminal, about 2 MB. Further ones are dropped and counted.
pub(crate) const LOG_LINES_WAITING_MAX: usize = 8192;

/// The time after which a log thread without lines flushes and checks its files.
pub(crate) const LOG_FLUSH_TIME: Duration = Duration::from_millis(500);

/// The time that the end of the tracker waits for the last log lines. A terminal may be paused, and writing them takes a
/// moment otherwise.
pub(crate) const LOG_STOP_TIME: Duration = Duration::from_secs(5);

/// The pause between two attempts to open a log file, and between two checks that nobody removed it.
pub(crate) const LOG_RETRY_TIME: Duration = Duration::from_millis(500);

/// The size in bytes at which waiting log lines are written without waiting for the others.
pub(crate) const LOG_PENDING_BYTES: usize = 64 * 1024;

/// The longest value in a log line in characters: longer than every name and error. It bounds what a client can write.
pub(crate) const LOG_VALUE_CHARS: usize = 1024;

/// The maximum size of a log file in bytes, unless a flag gives another.
pub(crate) const LOG_SIZE: u64 = 10_000_000;

/// The smallest maximum size of a log file in bytes. Below it, each event would rename files.
pub(crate) const LOG_SIZE_MIN: u64 = 1000;

/// The number of log files of each kind, unless a flag gives another.
pub(crate) const LOG_FILES: usize = 5;

/// The highest number of log files of each kind. A rotation renames each of them.
pub(crate) const LOG_FILES_MAX: usize = 100;

/// The maximum number of the operator's connections to the control socket. Further ones wait.
pub const CONTROL_CONNECTIONS_MAX: usize = 8;

/// The maximum length of a request or a reply on the control socket in bytes.
pub const CONTROL_LINE_MAX: u64 = 1024 * 1024;

/// The time limit for a request on the control socket.
pub const CONTROL_TIME: Duration = Duration::from_secs(10);
