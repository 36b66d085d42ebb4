-- The tables of a history. Unsigned 64-bit numbers (incarnations) are stored as the signed number with the
-- same bits.

-- One row. next_row: row numbers are never reused, even after messages were erased. It is a lower bound: the rows of
-- later messages count too. shown: the last message that the user saw. indexed: the last message in the search index.
-- commits: the number of commits that wrote this row. The others only added messages.
CREATE TABLE meta (
    incarnation INTEGER NOT NULL,
    token TEXT NOT NULL,
    next_row INTEGER NOT NULL,
    shown INTEGER NOT NULL,
    indexed INTEGER NOT NULL,
    commits INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- A room, by its id, or the private chat with a user. clock: the Lamport clock, a lower bound: the times of stored
-- messages count too.
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY,
    room BLOB UNIQUE,
    peer INTEGER UNIQUE REFERENCES users,
    name TEXT,
    revision INTEGER NOT NULL DEFAULT 0,
    clock INTEGER NOT NULL DEFAULT 0
);

-- The messages of one incarnation of an author in one conversation. The tip is noted when messages are erased.
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations,
    author INTEGER NOT NULL REFERENCES users,
    incarnation INTEGER NOT NULL,
    device BLOB NOT NULL,
    tip_seq INTEGER,
    tip BLOB,
    UNIQUE (conversation, author, incarnation)
);

-- The sequence numbers that are or were stored. Erased messages are not accepted again. Numbers of the latest messages
-- may be missing here.
CREATE TABLE spans (
    stream INTEGER NOT NULL REFERENCES streams,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (stream, first)
) WITHOUT ROWID;

-- Messages in order of arrival. previous: set on the first message of a signed batch. head: the same, in a room with a
-- log. signature: set on the last
-- one. stream: NULL for an unsigned message.
CREATE TABLE messages (
    row INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations,
    author INTEGER NOT NULL REFERENCES users,
    id BLOB NOT NULL,
    stream INTEGER REFERENCES streams,
    seq INTEGER,
    lamport INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    sent_at INTEGER NOT NULL,
    text TEXT,
    withdrawn BLOB,
    heads BLOB,
    previous BLOB,
    digest BLOB,
    signature BLOB,
    late INTEGER NOT NULL,
    audience TEXT,
    head BLOB,
    UNIQUE (author, id)
);

CREATE UNIQUE INDEX messages_by_stream ON messages (stream, seq) WHERE stream IS NOT NULL;
CREATE INDEX messages_by_time ON messages (conversation, lamport);

-- One row for each own message and each recipient who has not acknowledged it.
CREATE TABLE outbox (
    recipient INTEGER NOT NULL REFERENCES users,
    message INTEGER NOT NULL REFERENCES messages,
    PRIMARY KEY (recipient, message)
) WITHOUT ROWID;

-- The memberships of a room, as ranges of the room's revisions.
CREATE TABLE memberships (
    conversation INTEGER NOT NULL REFERENCES conversations,
    user INTEGER NOT NULL REFERENCES users,
    since INTEGER NOT NULL,
    until INTEGER,
    PRIMARY KEY (conversation, user, since)
) WITHOUT ROWID;

-- The rooms that the user entered on this device and has not left. The peer compares the rooms of the next LOGIN
-- with them. record: JSON.
CREATE TABLE rooms (conversation INTEGER PRIMARY KEY REFERENCES conversations, record TEXT NOT NULL);

-- The entries of the logs of rooms, also of rooms that the user left.
CREATE TABLE logs (
    conversation INTEGER NOT NULL REFERENCES conversations,
    epoch INTEGER NOT NULL,
    entry BLOB NOT NULL,
    PRIMARY KEY (conversation, epoch)
) WITHOUT ROWID;

-- Streams with a proven fork: two different messages of the author have the same sequence number.
CREATE TABLE forks (stream INTEGER PRIMARY KEY REFERENCES streams, seq INTEGER NOT NULL);

CREATE VIRTUAL TABLE words USING fts5 (
    text, content = 'messages', content_rowid = 'row', columnsize = 0,
    tokenize = "unicode61 remove_diacritics 2"
);

-- The row up to which the user has read each conversation. is_open: the conversation that was open last.
CREATE TABLE read_marks (
    conversation INTEGER PRIMARY KEY REFERENCES conversations,
    row INTEGER NOT NULL,
    is_open INTEGER NOT NULL DEFAULT 0
);
