//! Bounds of the peer, each with its reason.
//!
//! Counts, bytes, rows, columns and times that a user or another program could otherwise drive without end.

use std::time::Duration;

use chrono::TimeDelta;
use commons::limits::SPANS_MAX;

/// Time between two requests to the tracker about one unlinked recipient of private messages. Messages that are written
/// in the meantime wait in the outbox.
pub const LOOKUP_PAUSE: Duration = Duration::from_secs(3);

/// Links at a time, of all peers together: rooms of three need few, and unknown peers must not take many.
pub const LINKS_MAX: usize = 64;

/// Time for which a link to a user for whom no link is wanted stays, if other unknown users want its place. It is
/// enough for a first message.
pub const UNWANTED_LINK_TIME: Duration = Duration::from_secs(60);

/// Connections that have not sent HELLO yet; a further one replaces the oldest.
pub const PREAUTH_MAX: usize = 32;

/// Time from a connection to its HELLO. It is long enough for the tracker's PINGs and a slow handshake, and frees the
/// place after that.
pub const GREETING_WAIT: Duration = Duration::from_secs(30);

/// Links kept to one legacy client, which dials even if it was dialled.
pub const LEGACY_LINKS_MAX: usize = 2;

/// Bytes in the send queue of one link. This is the cost of a member that never reads; further messages wait on the
/// disk.
pub const LINK_QUEUE_BYTES: usize = 1024 * 1024;

/// Bytes of outbox messages that are read from the history at a time.
pub const FEED_BYTES: usize = 256 * 1024;

/// Age at which a message that waits for its link counts as late.
pub const JUST_WRITTEN: Duration = Duration::from_secs(10);

/// Time that the other side may take to answer HELLO.
pub const WELCOME_WAIT: Duration = Duration::from_secs(5);

/// Outbox messages for a linked recipient at which the author begins to wait. A fast author thus keeps the pace of
/// recipients that read.
pub const BACKPRESSURE_MESSAGES: usize = 2000;

/// Part of its outbox quota, in percent, at which a linked recipient makes the author wait, for the same reason: few long
/// messages fill the quota too.
pub const BACKPRESSURE_PERCENT: usize = 20;

/// Part of its outbox quota, in percent, from which the author waits longer for a linked recipient that takes messages.
/// Beyond the quota the oldest messages would be given up, although that recipient reads.
pub const BACKPRESSURE_NEARLY_FULL: usize = 50;

/// Messages from one look at the slow recipients to the next.
pub const BACKPRESSURE_STRIDE: usize = 500;

/// Bytes of text from one look at the slow recipients to the next: a small part of [`OUTBOX_BYTES_MAX`].
pub const BACKPRESSURE_STRIDE_BYTES: usize = 1024 * 1024;

/// Longest wait before one message while recipients take some: a slow recipient must not hold up commands.
pub const BACKPRESSURE_MAX: Duration = Duration::from_secs(10);

/// Longest wait at [`BACKPRESSURE_MESSAGES`] while no recipient takes a message.
pub const BACKPRESSURE_WAIT: Duration = Duration::from_secs(1);

/// Longest wait before one message for a recipient at [`BACKPRESSURE_NEARLY_FULL`] that takes messages. A member that takes
/// one now and then must not silence the author.
pub const BACKPRESSURE_FULL_MAX: Duration = Duration::from_secs(60);

/// Longest wait at [`BACKPRESSURE_NEARLY_FULL`] after the last message that the recipient took: its disk may be slow.
pub const BACKPRESSURE_FULL_WAIT: Duration = Duration::from_secs(5);

/// Longest wait for the last acknowledgements of a member who has left, also on a slow link. After that, the outbox
/// gives up that member's messages.
pub const ACK_GRACE: Duration = Duration::from_secs(5);

/// Time between two steps of sync: what to announce with HAVE, to request again with WANT, or which user to look up.
pub const SYNC_TICK: Duration = Duration::from_secs(1);

/// Time after which a peer receives HAVE again, if its content has changed.
pub const HAVE_INTERVAL: Duration = Duration::from_secs(3);

/// Conversations that one peer may name in its HAVE frames: a user is in far fewer.
pub const CONVERSATIONS_MAX: usize = 64;

/// Time without a missing message from a linked author, after which the messages are requested from others.
pub const AUTHOR_GRACE: Duration = Duration::from_secs(3);

/// Ranges of a conversation that a peer's HAVE frames name and that are kept: four full frames, 32 KiB.
pub const REMOTE_SPANS_MAX: usize = 4 * SPANS_MAX;

/// Ranges of one stream in which missed messages are counted: gaps are few, and a member can claim any.
pub const MISSED_PIECES: usize = 1024;

/// Streams of a conversation in which missed messages are counted: far more than three people with a few devices have.
pub const MISSED_STREAMS: usize = 256;

/// Greatest number of missed messages that is counted: a member can claim any number, and a greater one helps nobody.
pub const MISSED_COUNT: u64 = 1_000_000;

/// Time after which an unanswered WANT is sent again.
pub const WANT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause before messages are requested again that a peer announced but did not send, or that could not be stored.
pub const WANT_RETRY: Duration = Duration::from_secs(10);

/// Pause before the tracker is asked again for the keys of the user's own account, if the session closed in the
/// meantime.
pub const OWN_KEYS_PAUSE: Duration = Duration::from_secs(5);

/// Requests of the service to the driver that wait in its queue; more wait at their caller.
pub const DRIVER_REQUESTS: usize = 256;

/// Requests of the key checks that wait in the driver's queue; more wait at their link.
pub const KEY_REQUESTS_MAX: usize = 64;

/// Commands that wait in the driver's queue; more wait at their caller.
pub const COMMANDS_MAX: usize = 64;

/// Absent recipients about whom the tracker is asked at one tick. The others' turn comes at the next ticks.
pub const LOOKUPS_AT_ONCE: usize = 8;

/// First and longest wait between two lookups of an offline recipient for whom messages wait.
pub const LOOKUP_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Bytes written to a link at once.
pub const WRITE_BATCH: usize = 64 * 1024;

/// Head start in dialling of the peer with the smaller user name. It is also the pause before a lost link is dialled
/// again, in which the tracker may report the reason.
pub const DIAL_GRACE: Duration = Duration::from_millis(300);

/// First and longest wait between failing dials.
pub const DIAL_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// Lowest port that is dialled. System services listen below it, and a tracker could announce their ports.
pub const DIAL_PORT_MIN: u16 = 1024;

/// Failed dials of one user after which only news are a reason to try again. With [`DIAL_BACKOFF`] that takes about half a
/// minute. An address at which the user proved a key is dialled without end.
pub const DIAL_TRIES: u32 = 8;

/// Refused addresses of one user after which the user of this program is told. Until then the other side may have
/// dialled.
pub const REFUSED_DIALS: u32 = 3;

/// Dials in any [`DIALS_TIME`] to addresses that only the tracker has announced: as many as there can be links.
pub const DIALS_MAX: usize = LINKS_MAX;

/// Time in which [`DIALS_MAX`] such dials are made.
pub const DIALS_TIME: Duration = Duration::from_secs(30);

/// Pause after HELLO to a legacy client, which takes any earlier data as a part of HELLO.
pub const HELLO_PAUSE: Duration = Duration::from_millis(200);

/// Messages written to a legacy client that are remembered, so that none is written twice. At 20 ms each these are five
/// seconds' worth, in which the history records them.
pub const LEGACY_RECENT: usize = 256;

/// Time that a legacy client may take, after a link ended, until its threads have forgotten that link. Each thread
/// removes the user's entry, also that of a newer link.
pub const LEGACY_FORGETS: Duration = Duration::from_millis(300);

/// Silence on a link after which the peer sends PING.
pub const LINK_SILENCE: Duration = Duration::from_secs(30);

/// Silence on a link after which it counts as dead.
pub const LINK_DEAD: Duration = Duration::from_secs(75);

/// Time for which a retired link is still read, for frames that are under way on it.
pub const RETIRE_TIME: Duration = Duration::from_secs(5);

/// Time that a peer waits at its end for the others to close their links: programs that read do it at once.
pub const GOODBYE_WAIT: Duration = Duration::from_secs(1);

/// Shortest time between two answers to PING on one connection.
pub const PONG_PAUSE: Duration = Duration::from_millis(250);

/// Reports in the queue from the links to the service, messages included.
pub const REPORTS_MAX: usize = 1024;

/// Bytes of the unread events of one subscriber at which it lags: room for the delivery marks of two full outboxes, which
/// may come at once.
pub const EVENT_QUEUE_BYTES: usize = 8 * 1024 * 1024;

/// Messages that are read from the history at a time for a subscriber that has lagged.
pub const REREAD_MESSAGES: usize = 256;

/// Messages of a user with whom this user shares no room and no chat that are stored and shown. More wait at their author
/// until this user replies or accepts: a request is for saying who one is.
pub const REQUEST_MESSAGES: usize = 5;

/// Muted users: a person mutes few, and the list is written as a whole.
pub const MUTED_MAX: usize = 1000;

/// Users who may ask for a private chat at a time: a person looks through no more, and each stores a few messages.
pub const CHAT_REQUESTS_MAX: usize = 64;

/// Rooms that are offered to the user because the tracker says so: a tracker of ours allows 16 memberships.
pub const OFFERED_MAX: usize = 64;

/// Live messages of one member that are read in a second: more than a person or a sensible bot writes.
pub const MEMBER_RATE: u32 = 20;

/// Seconds' worth of messages that a member may send at once, such as a paste.
pub const BURST_SECONDS: u64 = 10;

/// Time for which a member was too fast before the user is told.
pub const RATE_NOTE_AFTER: Duration = Duration::from_secs(5);

/// Members whose rate is remembered, beside those who sent in the last seconds: several times [`LINKS_MAX`].
pub const RATED_MEMBERS_MAX: usize = 256;

/// Batches held back until the tracker confirms that their author is a member of the room.
pub const EARLY_BATCHES: usize = 256;

/// Time for which such batches are held back.
pub const EARLY_WAIT: Duration = Duration::from_secs(5);

/// Time after the tracker's return in which it may report a linked peer as absent, and the peer is not shown as
/// offline. It is longer than the longest wait between attempts to reach the tracker.
pub const RETURN_GRACE: Duration = Duration::from_secs(15);

/// Time that the tracker may take to answer a request.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests to the tracker that wait for their answer at a time.
pub const REQUESTS_MAX: usize = 64;

/// Pages of a tracker's list that are read: 6 MiB at most. More than ten thousand entries help no person, and a false
/// tracker could announce more pages for ever.
pub const LIST_PAGES: usize = 100;

/// Pages of a room's log that are read at once. The largest log, of 4,096 entries of a few hundred bytes, has fewer.
pub const LOG_PAGES: usize = 128;

/// Logs of rooms that are read at a time, so that a tracker which answers nothing of use cannot keep the peer busy.
pub const LOG_READS_MAX: usize = 4;

/// Contradictions between the tracker and the logs of rooms of which the user is warned in one run.
pub const LOG_WARNINGS_MAX: usize = 64;

/// Times that an entry is signed again because somebody else changed the room first.
pub const STALE_HEAD_TRIES: usize = 5;

/// First and longest wait between attempts to reach the tracker.
pub const TRACKER_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// Time without activity after which the history is locked again.
pub const HISTORY_LOCK_IDLE: Duration = Duration::from_secs(600);

/// Wrong passwords to unlock the history after which the program ends.
pub const HISTORY_LOCK_TRIES: usize = 3;

/// Messages that `/history` and `/search` show if the user names no number: about a screen.
pub const HISTORY_PAGE: usize = 20;

/// Messages that `/history` shows at most. One answer holds them all.
pub const HISTORY_PAGE_MAX: usize = 1000;

/// Messages that an export reads at a time.
pub const EXPORT_PAGE: usize = 1000;

/// Earlier messages that are shown when a conversation is entered: enough for a glance, `/history` shows more.
pub const SCROLLBACK: usize = 20;

/// Rows of the screen that one message takes until `/show` shows it: more would push the talk away.
pub const MESSAGE_ROWS: usize = 20;

/// Rows of a message that `/show` shows. Longer pastes are better read in a file.
pub const SHOWN_ROWS: usize = 1000;

/// Folded messages that `/show` finds: the last ones on the screen, of at most 8 KiB each.
pub const FOLDED_KEPT: usize = 200;

/// Characters of an away text: it stands beside a name.
pub const AWAY_CHARS: usize = 80;

/// Time between two events about one user's away text: nobody reads faster, and a flood of changes stays cheap.
pub const AWAY_PAUSE: Duration = Duration::from_secs(2);

/// Words of the filter: each costs time for every message.
pub const FILTER_LINES_MAX: usize = 500;

/// Size of the filter's file, in bytes: 500 words of 100 letters and comments.
pub const FILTER_FILE_MAX: usize = 64 * 1024;

/// Memory of a compiled expression of the filter, in bytes: a line may not fill the memory.
pub const FILTER_EXPRESSION_BYTES: usize = 256 * 1024;

/// Rows of the screen that are drawn between two looks at the input: a screen or two.
pub const ROWS_AT_ONCE: usize = 200;

/// Digits at the end of a message id that identify the message: few messages wait at a time.
pub const MESSAGE_ID_DIGITS: usize = 4;

/// Outbox messages that are listed for a person: nobody reads ten thousand.
pub const OUTBOX_SHOWN: usize = 50;

/// Messages that `/receipts` lists.
pub const RECEIPTS: usize = 10;

/// Time between two bells or notifications: one calls a person, many in a row are noise.
pub const ALERT_PAUSE: TimeDelta = TimeDelta::seconds(5);

/// Longest notification, in columns: desktops show about that many.
pub const NOTICE_COLUMNS: usize = 120;

/// Columns that the status row may take on any screen: half of a screen of 80 columns has so many.
pub const STATUS_COLUMNS: usize = 39;

/// Time in which a second Ctrl-C on an empty line quits: a person who wants that presses it at once.
pub const QUIT_KEY_WAIT: Duration = Duration::from_secs(2);

/// Time that `/quit` and `/leave` wait for messages to linked members.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Time that `/quit` and `/leave` wait for the engine's answer to that. The engine answers after [`DRAIN_MAX`], unless the
/// disk does not respond.
pub const DRAIN_ANSWER_MAX: Duration = Duration::from_secs(10);

/// Longest end of the program after the last messages were sent: to read the outbox, to sign out and to close the
/// history. A working disk needs far less, and a disk that does not respond must not block the end.
pub const QUIT_MAX: Duration = Duration::from_secs(10);

/// Time after which a query that failed is tried again. A full disk may be freed, and a try costs one read.
pub const QUERY_RETRY: Duration = Duration::from_secs(1);

/// Time between two tries to read messages again for a frontend, while the disk fails.
pub const REREAD_RETRY: Duration = Duration::from_secs(1);

/// Tries to read messages again for a frontend. A disk that still fails after half a minute needs the user.
pub const REREAD_TRIES: usize = 30;

/// Names remembered for completion.
pub const KNOWN_NAMES: usize = 2000;

/// Longest line of input, in bytes; longer ones are refused and not held in memory.
pub const LINE_MAX: usize = 64 * 1024;

/// Lines of input that wait while a command is carried out.
pub const TYPED_AHEAD: usize = 1024;

/// Pieces of output that wait for a slow screen or pipe.
pub const OUTPUT_PIECES: usize = 256;

/// Lines of input that the Up key recalls.
pub const RECALLED_LINES: usize = 500;

/// Unread messages kept of one conversation.
pub const UNREAD_MESSAGES: usize = 500;

/// Conversations of which unread messages are kept.
pub const UNREAD_CHATS: usize = 200;

/// Messages of this user that a notice can still quote when one of them is not delivered.
pub const QUOTED_MESSAGES: usize = 500;

/// Combining marks shown on one letter: languages need fewer, and towers of them cover other rows.
pub const COMBINING_MARKS: usize = 8;

/// Time that the last output may take to reach a screen or pipe that does not take it.
pub const FAREWELL_WAIT: Duration = Duration::from_secs(2);

/// Wrong passwords and refused names after which the sign-in gives up.
pub const SIGN_IN_TRIES: usize = 3;

/// New keys of one user that are reported: more are an attack, and would push everything else off the screen.
pub const KEY_WARNINGS_MAX: usize = 8;

/// Keys that are pinned for one user, those of former devices included; further ones need `/accept`.
pub const PINNED_KEYS_MAX: usize = 16;

/// Users whose keys announced by the tracker are remembered. Names can be invented; users who were met before are kept
/// in any case.
pub const ANNOUNCED_MAX: usize = 1024;

/// Time between two requests to the tracker about a key that it announces and that is not accepted. The owner of such a
/// key may dial as often as they like.
pub const KEY_LOOKUP_PAUSE: Duration = Duration::from_secs(10);

/// Requests to the tracker about unknown users in any [`KEY_LOOKUPS_TIME`]. A peer that dials may invent names, and the
/// tracker's rate limit must leave room for this user's own requests.
pub const KEY_LOOKUPS_MAX: usize = 10;

/// The window in which [`KEY_LOOKUPS_MAX`] holds.
pub const KEY_LOOKUPS_TIME: Duration = Duration::from_secs(10);

/// Digits of a key that identify it in an endorsement: an attacker cannot find another key with the same beginning.
pub const ENDORSED_DIGITS_MIN: usize = 16;

/// Digits of a key that identify it elsewhere: two keys of one user share them only after an attacker's long search.
pub const KEY_DIGITS_MIN: usize = 8;

/// Largest identity file that is imported, in bytes: thousands of contacts fit.
pub const IDENTITY_FILE_MAX: u64 = 4 * 1024 * 1024;

/// Memory in KiB that a seal may demand for argon2id, sixteen times that of this program's own: an imported identity
/// comes from elsewhere.
pub const SEAL_MEMORY_MAX: u32 = 1024 * 1024;

/// Passes of argon2id that a seal may demand, for the same reason.
pub const SEAL_PASSES_MAX: u32 = 48;

/// Highest sequence number of a message in its stream, and highest revision of a room. The database counts to 2^63, and
/// no author writes as many.
pub const SEQ_MAX: u64 = 1 << 62;

/// Highest Lamport time that is accepted from another member: a higher one is an attempt to use the numbers up.
pub const LAMPORT_MAX: u64 = 1 << 62;

/// Greatest lead of a message's Lamport time over those stored here. No conversation has as many messages, and an
/// attacker needs a billion such steps to use up [`LAMPORT_MAX`].
pub const CLOCK_STEP: u64 = 1 << 32;

/// Time that the first message in a conversation waits for a linked member's HAVE, which carries the Lamport time of the
/// conversation. The link that would carry the message carries that first.
pub const CLOCK_WAIT: Duration = Duration::from_secs(1);

/// Own messages of one conversation that may wait for one recipient; beyond it the oldest are given up.
pub const OUTBOX_MESSAGES: usize = 10_000;

/// Bytes of text of one conversation that may wait for one recipient, for the same reason: a disk has an end.
pub const OUTBOX_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Requests in the queue of the history: each holds at most a few batches of messages.
pub const HISTORY_QUEUE: usize = 1024;

/// Reports of the history that the service has not read yet.
pub const HISTORY_REPORTS: usize = 1024;

/// Messages of a stream whose sequence numbers are not in the table of ranges yet. A start reads them one by one.
pub const SPANS_UNWRITTEN: u64 = 4_096;

/// Messages that were shown although the disk did not store them: one failed commit, and a few more. They are not shown
/// again when their senders repeat them.
pub const UNSTORED_MAX: usize = 2 * COMMIT_MESSAGES;

/// Time for which delivery marks wait for another commit: their loss in a crash does no harm.
pub const MARKS_WAIT: Duration = Duration::from_secs(1);

/// Messages or other requests in one commit: a crash loses little, and no request waits long.
pub const COMMIT_MESSAGES: usize = 512;

/// Time that the end of the history is awaited if it was not closed in good order: a commit on a slow disk.
pub const HISTORY_END: Duration = Duration::from_secs(5);

/// Shortest time between two writes of read marks: the loss of a second of them in a crash does no harm.
pub const READ_MARKS_PAUSE: Duration = Duration::from_secs(1);

/// Silence after which the history does deferred work: it records the messages that were shown, and indexes for the
/// search.
pub const HISTORY_IDLE: Duration = Duration::from_secs(1);

/// Incomplete signed batches of one link: one for each conversation that two users can share, and some to spare.
pub const HELD_BATCHES: usize = 32;

/// Messages of one link that could not be stored and are expected again. Beyond it the link sends no acknowledgement
/// until it is replaced.
pub const MISSED_MESSAGES: usize = 64 * 1024;

/// Pieces of one stream. A link brings messages in order, so gaps are few; further pieces wait until gaps are filled.
pub const STREAM_PIECES: usize = 64;

/// Logs of rooms that a peer keeps after its user left. They show that a later log is not older than the known one.
pub const STORED_LOGS_MAX: usize = 256;

/// Shortest time between two questions to one member for the entries of one room.
pub const ENTRIES_PAUSE: Duration = Duration::from_secs(1);

/// Entries of a room's log that are shown at once, the latest ones.
pub const ENTRIES_SHOWN_MAX: usize = 20;

/// Logs of rooms that members offer at once and that are not complete yet.
pub const OFFERED_LOGS_MAX: usize = 8;

/// Streams of one author in one conversation: one for each device, and one for each restored or damaged store.
pub const STREAMS_OF_ONE: i64 = 64;

/// Rows among which the first or last message of a signed batch is found.
pub const BATCH_MESSAGES: u64 = 64;

/// Signed batches that are read to answer one WANT, even if none holds a message for the asker: a member must not keep
/// the database busy.
pub const HAND_OVER_BATCHES: usize = 1024;

/// Requests that are repeated once the disk accepts them: snapshots of rooms, deliveries.
pub const AGAIN_MAX: usize = 10_000;

/// Time for which another program may hold the database, a backup for instance.
pub const DATABASE_WAIT: Duration = Duration::from_secs(5);

/// Memory for database pages, in KiB.
pub const DATABASE_CACHE_KIB: usize = 8 * 1024;

/// Database statements that are kept compiled: all of them.
pub const DATABASE_STATEMENTS: usize = 64;

/// Rows that are added to the search index in one transaction: a request waits a few milliseconds at most.
pub const INDEX_PIECE: i64 = 2_000;

/// Characters of a found message that are shown: some two rows of a screen.
pub const EXCERPT_LETTERS: usize = 160;

/// Characters of an excerpt before its first hit.
pub const EXCERPT_BEFORE: usize = 60;

/// Words of one search that count.
pub const SEARCH_WORDS: usize = 32;

/// Latest messages among which those are that perhaps were not shown: more than can be on their way to a screen.
pub const UNSHOWN_MESSAGES: i64 = 10_000;

/// Open tabs of the page: more than a person reads at once.
pub const WEB_SOCKETS_MAX: usize = 4;

/// Connections for the files of the page: a browser opens six. The oldest one makes room for a new one.
pub const WEB_CONNECTIONS_MAX: usize = 64;

/// WebSockets that have not sent the token yet: more than a person opens at once. The oldest one makes room for a new one.
pub const WEB_OPENINGS_MAX: usize = 16;

/// Wait for the rest of a web request, and for the next one on an open connection.
pub const WEB_REQUEST_WAIT: Duration = Duration::from_secs(10);

/// Longest life of a connection for files, however its requests come: a browser opens another one.
pub const WEB_CONNECTION_WAIT: Duration = Duration::from_secs(30);

/// Wait for the token of a tab.
pub const WEB_TOKEN_WAIT: Duration = Duration::from_secs(5);

/// Longest command of a tab, in bytes.
pub const WEB_COMMAND_MAX: usize = LINE_MAX;

/// Pause between commands of a tab: twenty a second.
pub const WEB_COMMAND_PAUSE: Duration = Duration::from_millis(50);

/// Commands of a tab that are carried out without a pause.
pub const WEB_COMMAND_BURST: u32 = 20;

/// Commands of a tab that wait while one is carried out.
pub const WEB_COMMANDS_AHEAD: usize = 32;

/// Batches of output that wait for a slow tab: of 32 KiB each, or of one longer row.
pub const WEB_UNSENT_BATCHES: usize = 8;

/// Time after which a tab that reads nothing is closed. Its page connects again.
pub const WEB_SEND_WAIT: Duration = Duration::from_secs(60);

/// Pause after a failed accept. The usual cause, too many open files, passes by itself.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
