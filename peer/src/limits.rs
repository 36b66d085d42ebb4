//! Every bound that the peer keeps, each with its reason.

use std::time::Duration;

use chrono::TimeDelta;

/// Time between two questions to the tracker about one recipient of private messages who is not linked: messages that are
/// written meanwhile wait in the outbox.
pub const SEEK_PAUSE: Duration = Duration::from_secs(3);

/// Links at a time, of all peers together: rooms of three need few, strangers may not take many.
pub const LINKS_MAX: usize = 64;

/// Connections that have not said HELLO yet; a further one takes the place of the oldest.
pub const STRANGERS_MAX: usize = 32;

/// From a connection to its HELLO: the tracker's PINGs and a slow handshake have time, and nobody holds a place for longer.
pub const GREETING_WAIT: Duration = Duration::from_secs(30);

/// Links kept to one original program: it dials although it was dialled.
pub const ORIGINAL_LINKS_MAX: usize = 2;

/// Bytes on their way by one link: what a member that never reads costs; what waits longer waits on the disk.
pub const LINK_QUEUE_BYTES: usize = 1024 * 1024;

/// Bytes of waiting lines that are read from the history at a time.
pub const FEED_BYTES: usize = 256 * 1024;

/// How long a line may wait for its link without being called late.
pub const JUST_WRITTEN: Duration = Duration::from_secs(10);

/// How long the other side may take to answer a HELLO.
pub const WELCOME_WAIT: Duration = Duration::from_secs(5);

/// Own lines that wait for a linked peer before saying more waits for it, and for how long it does while nothing moves: a
/// fast writer keeps the pace of readers that read.
pub const PACE_LINES: usize = 2000;

/// Lines from one look at who is behind to the next.
pub const PACE_STRIDE: usize = 500;

/// How long writing waits at most before one message while recipients take some: a slow one must not hold up commands.
pub const PACE_MOST: Duration = Duration::from_secs(10);

/// See [`PACE_LINES`].
pub const PACE_WAIT: Duration = Duration::from_secs(1);

/// How long the last acknowledgements of a member who has left are waited for, also on a slow link: after that what waited for
/// it is given up.
pub const LAST_RECEIPTS: Duration = Duration::from_secs(5);

/// Time between two looks at what is to be told, asked again or sought.
pub const CATCH_UP_TICK: Duration = Duration::from_secs(1);

/// Time after which a peer is told again what is here, where that has changed.
pub const TELL_PAUSE: Duration = Duration::from_secs(3);

/// Conversations of which one peer may tell what it has: one sits in far fewer.
pub const CONVERSATIONS_MAX: usize = 64;

/// How long no line of somebody who is linked may come, of those that are lacking, before they are asked for.
pub const ASK_PATIENCE: Duration = Duration::from_secs(3);

/// Streams of a conversation of which it is counted what was missed: far more than three people on a few computers have.
pub const MISSED_STREAMS: usize = 256;

/// Most missed messages that are counted: a member can claim any number, and more than this helps nobody.
pub const MISSED_COUNT: u64 = 1_000_000;

/// How long an answer to WANT may take before it is asked again.
pub const WANT_WAIT: Duration = Duration::from_secs(10);

/// How long lines that a peer has told of and did not give, or that could not be kept, are left alone.
pub const VAIN_PAUSE: Duration = Duration::from_secs(10);

/// Pause before the tracker is asked again for the keys of one's own account, where it went away meanwhile.
pub const OWN_KEYS_PAUSE: Duration = Duration::from_secs(5);

/// News for whoever catches up; what does not fit is made up for by the next look.
pub const CATCH_UP_NEWS: usize = 1024;

/// First and longest wait between two looks whether somebody for whom lines wait has come.
pub const SEEK_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Bytes given to a link in one write.
pub const WRITE_BATCH: usize = 64 * 1024;

/// Head start of the smaller user name in dialling; also the pause before a lost link is dialled again, in which the
/// tracker may tell why it was lost.
pub const DIAL_GRACE: Duration = Duration::from_millis(300);

/// First and longest wait between dials that fail.
pub const DIAL_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// An original program takes what follows HELLO sooner than this as part of HELLO.
pub const HELLO_PAUSE: Duration = Duration::from_millis(200);

/// Messages written to a legacy client that are not written twice: at 20 ms each, those of five seconds, in which the
/// history learns of them.
pub const LEGACY_RECENT: usize = 256;

/// How long a legacy client may take, after a link ended, until its threads have forgotten that link: each removes the
/// entry of the user, also that of a newer link.
pub const LEGACY_FORGETS: Duration = Duration::from_millis(300);

/// Silence on a link after which it is pinged.
pub const LINK_SILENCE: Duration = Duration::from_secs(30);

/// Silence on a link after which it is dead.
pub const LINK_DEAD: Duration = Duration::from_secs(75);

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

/// Batches that came before the tracker's word that their author sits in the room.
pub const EARLY_BATCHES: usize = 256;

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

/// How long nothing may be done before looking at the past wants the password again.
pub const GATE_IDLE: Duration = Duration::from_secs(600);

/// Passwords that may be typed wrong at it before the program ends.
pub const GATE_TRIES: usize = 3;

/// Lines that `/history` and `/search` show where no number is given, and at most.
pub const PAST_LINES: (usize, usize) = (20, 1000);

/// Lines that are read at a time to be exported.
pub const EXPORT_LINES: usize = 1000;

/// Lines that are shown of what was said before, as a conversation is entered: a glance, `/history` shows more.
pub const SCROLLBACK: usize = 20;

/// Rows of the screen that one message takes: longer pastes are read elsewhere, and 8,190 line feeds are nobody's message.
pub const MESSAGE_ROWS: usize = 60;

/// Rows of the screen that are shown between two looks at the input: a screen or two.
pub const ROWS_AT_ONCE: usize = 200;

/// Digits at the end of a line's identity that stand for it: few lines wait at a time.
pub const LINE_ID_DIGITS: usize = 4;

/// Waiting lines that are listed for a person: nobody reads ten thousand.
pub const OUTBOX_SHOWN: usize = 50;

/// Own lines of which `/receipts` tells.
pub const RECEIPTS: usize = 10;

/// Time between two bells, or notifications: one calls a person, a row of them is noise.
pub const ALERT_PAUSE: TimeDelta = TimeDelta::seconds(5);

/// Longest notification in columns: desktops show about so much.
pub const NOTICE_COLUMNS: usize = 120;

/// Columns that the status row may take however narrow the screen: a screen of 80 that is split in two has so many.
pub const STATUS_COLUMNS: usize = 39;

/// Time in which a second Ctrl-C on an empty line quits: a person who wants that presses it at once.
pub const QUIT_KEY_WAIT: Duration = Duration::from_secs(2);

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

/// Keys that are pinned for one user, those of devices that are gone included; further ones have to be accepted.
pub const PINNED_KEYS_MAX: usize = 16;

/// Users of whom it is remembered which keys the tracker announces: names can be invented, and those who were met stay.
pub const ANNOUNCED_MAX: usize = 1024;

/// Time between two questions to the tracker about a key that it announces and that is not accepted: whoever has it may
/// dial as often as they like.
pub const ASK_AGAIN_PAUSE: Duration = Duration::from_secs(10);

/// Questions to the tracker about users who are unknown here, in any [`QUESTIONS_TIME`]: whoever dials may invent names, and
/// the tracker's rate limit leaves room for this user's own requests.
pub const QUESTIONS_MAX: usize = 10;

/// See [`QUESTIONS_MAX`].
pub const QUESTIONS_TIME: Duration = Duration::from_secs(10);

/// Digits of a key that stand for all of it where it is endorsed: nobody finds another key that begins so.
pub const ENDORSED_DIGITS_MIN: usize = 16;

/// Digits of a key that stand for all of it: no two keys of one user share them but by an attacker's long search.
pub const KEY_DIGITS_MIN: usize = 8;

/// Longest file that is taken for an identity: thousands of friends fit.
pub const IDENTITY_FILE_MAX: u64 = 4 * 1024 * 1024;

/// Memory in KiB that a seal may ask argon2id to take, sixteen times what ours do: an identity that is imported comes
/// from elsewhere.
pub const SEAL_MEMORY_MAX: u32 = 1024 * 1024;

/// Passes over it that a seal may ask for, for the same reason.
pub const SEAL_PASSES_MAX: u32 = 48;

/// Highest number of a line in its stream and of a room's state: the database counts to 2^63, nobody writes as many.
pub const SEQ_MAX: u64 = 1 << 62;

/// Highest Lamport time that is believed of another: beyond it somebody wants to use the numbers up.
pub const LAMPORT_MAX: u64 = 1 << 62;

/// How far the Lamport time of a message may be ahead of those that are here to be believed. Nobody writes as many messages,
/// and to use up [`LAMPORT_MAX`] in such steps takes a billion of them.
pub const CLOCK_STEP: u64 = 1 << 32;

/// How long the first message in a conversation waits for a member who is there to tell how far the conversation is. The
/// link that would carry the message carries that first.
pub const CLOCK_WAIT: Duration = Duration::from_secs(1);

/// Own messages of one conversation that may wait for one recipient; beyond it the oldest are given up.
pub const OUTBOX_LINES: usize = 10_000;

/// Bytes of text of one conversation that may wait for one recipient, for the same reason: a disk has an end.
pub const OUTBOX_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Requests that wait for the history: they hold a few batches of lines.
pub const HISTORY_QUEUE: usize = 1024;

/// Reports of the history that nobody has read yet.
pub const HISTORY_REPORTS: usize = 1024;

/// How long the marks of deliveries wait for another commit: losing them in a crash does no harm.
pub const MARKS_WAIT: Duration = Duration::from_secs(1);

/// Lines in one commit, or other requests: what a crash may take is small, and nobody waits long.
pub const COMMIT_LINES: usize = 512;

/// How long the end of the history is waited for where it was not closed in good order: a commit on a slow disk.
pub const HISTORY_END: Duration = Duration::from_secs(5);

/// Silence after which the history does what can wait: it notes what was shown, and indexes for the search.
pub const HISTORY_IDLE: Duration = Duration::from_secs(1);

/// Groups of one link whose end has not come: one for each conversation that two can share, and some to spare.
pub const HELD_GROUPS: usize = 32;

/// Lines of one link that could not be kept and are awaited again; beyond it no receipt is given until the next link.
pub const MISSED_LINES: usize = 64 * 1024;

/// Pieces of one stream: a link brings lines in order, so gaps are few; more wait until gaps are filled.
pub const STREAM_PIECES: usize = 64;

/// Streams of one author in one conversation: one for each computer, and one for each restored or damaged store.
pub const STREAMS_OF_ONE: i64 = 64;

/// Rows in which the first or last line of a group is found.
pub const GROUP_ROWS: u64 = 64;

/// Latest lines of a conversation among which the heads of the streams are looked for.
pub const RECENT_HEADS: i64 = 64;

/// Groups that are looked at to answer one WANT, though each may hold nothing for the asker: a member must not keep the
/// database busy.
pub const HAND_OVER_GROUPS: usize = 1024;

/// Requests that are tried again when the disk takes them: snapshots of rooms, deliveries.
pub const AGAIN_MAX: usize = 10_000;

/// How long another program may hold the database, a backup for instance.
pub const DATABASE_WAIT: Duration = Duration::from_secs(5);

/// Memory for pages of the database in KiB.
pub const DATABASE_CACHE_KIB: usize = 8 * 1024;

/// Statements of the database that are kept compiled: all of them.
pub const DATABASE_STATEMENTS: usize = 64;

/// Rows that are added to the index of words in one transaction: a request waits a few milliseconds at most.
pub const INDEX_PIECE: i64 = 2_000;

/// Letters of a message that was found that are shown, and of these before its first hit: some two rows of a screen.
pub const EXCERPT_LETTERS: usize = 160;

/// See [`EXCERPT_LETTERS`].
pub const EXCERPT_BEFORE: usize = 60;

/// Words of one search that count.
pub const SEARCH_WORDS: usize = 32;

/// Latest lines among which those are that perhaps were not shown: more than can be on their way to a screen.
pub const UNSHOWN_LINES: i64 = 10_000;
