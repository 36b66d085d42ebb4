//! Every bound that the tracker alone keeps, with its reason.

use std::time::Duration;

use crate::rate_limit::Rate;

/// Sessions in all: what the usual 4 GiB machine and its descriptors carry with room to spare.
pub(crate) const SESSIONS_MAX: usize = 10_240;

/// Sessions that have not said who they are: they are the cheap ones to open.
pub(crate) const STRANGERS_MAX: usize = 256;

/// Connections that are being told at one time that there is no room for them; more are closed unheard.
pub(crate) const REFUSALS_MAX: usize = 64;

/// Connections from one network: the programs of a household or a small office.
pub(crate) const SESSIONS_PER_NETWORK: usize = 16;

/// New connections from one network within [`NEWCOMERS_SPAN`]: all of them, and all of them once more.
pub(crate) const NEWCOMERS_PER_NETWORK: usize = 32;

/// See [`NEWCOMERS_PER_NETWORK`].
pub(crate) const NEWCOMERS_SPAN: Duration = Duration::from_secs(10 * 60);

/// Connections that were not let in, as the log tells of them: it shows that there is a flood and is none itself.
pub(crate) const REFUSALS_LOGGED: Rate = Rate { burst: 10, every: Duration::from_secs(10) };

/// How long the first whole frame may take, counted from the connection's beginning.
pub(crate) const FIRST_FRAME_TIME: Duration = Duration::from_secs(10);

/// How long signing in may take, counted from the connection's beginning: time to type a password twice.
pub(crate) const LOGIN_TIME: Duration = Duration::from_secs(30);

/// Wrong passwords that a connection may offer; the last of them closes it.
pub(crate) const WRONG_PASSWORDS_MAX: u32 = 3;

/// How often a login's password is judged where the account changes meanwhile: once more tells a new account of that name.
pub(crate) const JUDGED_PER_LOGIN_MAX: u32 = 2;

/// Bytes that may wait for a session's reader before the session is closed.
pub(crate) const OUTBOX_BYTES: usize = 256 * 1024;

/// How long the last words to a session may take: all of an orderly stop has two seconds.
pub(crate) const FAREWELL_TIME: Duration = Duration::from_millis(300);

/// How long an orderly stop waits for its sessions; the rest of the two seconds is for the disk.
pub(crate) const STOP_TIME: Duration = Duration::from_millis(1500);

/// Pause after an accept that failed for want of descriptors: trying at once would only burn the processor.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Requests of a session: what a person with one program can ask for, and more.
pub(crate) const REQUEST_PACE: Rate = Rate { burst: 10, every: Duration::from_millis(200) };

/// Of these, such that change a room or an account: each is a flush of the disk, and a push to others or a hash.
pub(crate) const CHANGE_PACE: Rate = Rate { burst: 5, every: Duration::from_secs(1) };

/// Times that a session hears that it is too fast, before it is made slower instead.
pub(crate) const REFUSAL_PACE: Rate = Rate { burst: 10, every: Duration::from_secs(1) };

/// Threads that hash passwords. Each keeps its memory, so two of them keep 38 MiB; they fill two cores.
pub(crate) const HASHING_THREADS: usize = 2;

/// Memory of one hash: more than any version of this program has asked for. A hash in a file that asks for more is not ours.
pub(crate) const HASH_MEMORY_MAX: usize = 32 * 1024 * 1024;

/// Password hashes of regulars that are computed before one of somebody else: others wait, and are not starved.
pub(crate) const REGULARS_IN_A_ROW: usize = 3;

/// Password hashes that may wait, of regulars and of others. With a further one, the oldest of the network with the most is
/// answered BUSY. At 20 ms each, a second's work.
pub(crate) const HASHES_WAITING_MAX: usize = 64;

/// How long a password check may wait for its turn before it is answered BUSY. A peer waits five seconds for an answer, so it
/// hears this one; and a connection that asks has its place no longer than that.
pub(crate) const HASH_WAIT_MAX: Duration = Duration::from_secs(4);

/// Rooms in which one user may sit, so that the own rooms in a LOGIN's reply fit one frame.
pub(crate) const SEATS_PER_USER: usize = 16;

/// Rooms overall: about 100 MB of memory.
pub(crate) const ROOMS_MAX: usize = 100_000;

/// Entries of a list's page.
pub(crate) const PAGE_ENTRIES: usize = 1_000;

/// Bytes of a list's page: with what surrounds it, it fits a frame.
pub(crate) const PAGE_BYTES: usize = 48 * 1024;

/// Bytes of a reply around the entries of its list, `"more":true` and the newline included.
pub(crate) const PAGE_FRAME: usize = 256;

/// Peers that a sweep pings at one time: descriptors for the sessions remain.
pub(crate) const PINGS_MAX: usize = 512;

/// Ports below belong to services of the system: the tracker is not to be made to knock there.
pub(crate) const LOWEST_PEER_PORT: u16 = 1024;

/// Revisions of a room in a block. Presence raises them in memory; only the first one of each block is written. A start
/// goes on with the next block, since the old one may have been used up. So there is one flush in 1,024 changes of
/// presence, and 2⁵³ revisions last for 2⁴³ starts.
pub(crate) const REVISION_BLOCK: u64 = 1024;

/// The highest revision that is read from a file: JSON numbers are exact up to here, and nobody ever gets there.
pub(crate) const REVISION_MAX: u64 = 1 << 53;

/// What a disk writes at once or not at all: a power cut leaves zeros in whole sectors.
pub(crate) const SECTOR_BYTES: usize = 512;

/// How often a check reads the files of a tracker that is at work, until they fit together.
pub(crate) const CHECK_TRIES: usize = 20;

/// Pause between two of these: a fold takes less.
pub(crate) const CHECK_PAUSE: Duration = Duration::from_millis(100);

/// Changes of a collection that may wait for the disk.
pub(crate) const CHANGES_WAITING_MAX: usize = 1024;

/// Changes that go to the disk together.
pub(crate) const BATCH_MAX: usize = 512;

/// A journal shorter than this is not worth folding while the tracker runs.
pub(crate) const FOLD_BYTES: u64 = 1024 * 1024;

/// Wrong passwords of an account that cost their network no time: everybody mistypes.
pub(crate) const GUESSES_FREE: u32 = 3;

/// The longest that a network waits for its next guess at an account: twelve an hour are no way to find a password.
pub(crate) const GUESS_DELAY_MAX: Duration = Duration::from_secs(300);

/// How long a wrong password is remembered: as long, a network that was wrong counts as a guesser's.
pub(crate) const GUESS_MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// Guesses at one account from everywhere: 76 at once and 24 an hour, so in any hour 100, which is what NIST lets
/// somebody have in a row.
pub(crate) const GUESS_PACE: Rate = Rate { burst: 76, every: Duration::from_secs(150) };

/// Of these, what is left to networks that were not wrong before: to the owner, while 64 others guess.
pub(crate) const GUESSES_FOR_NEW_NETWORKS: u32 = 64;

/// Guessers and guessed accounts that are remembered, about 16 MB each. Making them forgotten takes as many password
/// hashes, which is more time than any wait that is forgotten with them.
pub(crate) const GUESSERS_MAX: usize = 65_536;

/// Accounts that a network may make within [`REGISTRATIONS_SPAN`]: a household with its devices.
pub(crate) const REGISTRATIONS_MAX: usize = 5;

/// See [`REGISTRATIONS_MAX`].
pub(crate) const REGISTRATIONS_SPAN: Duration = Duration::from_secs(60 * 60);

/// Networks of which we remember what they did lately, about 10 MB.
pub(crate) const NETWORKS_MAX: usize = 16_384;
