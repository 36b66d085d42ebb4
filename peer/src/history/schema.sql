-- What stands where. Numbers beyond 2^63 (incarnations) are kept as the negative ones of the same bits.

-- One row. next_row: rows are never given twice, also after lines were erased.
CREATE TABLE meta (
    incarnation INTEGER NOT NULL,
    life TEXT NOT NULL,
    lamport INTEGER NOT NULL,
    next_row INTEGER NOT NULL,
    shown INTEGER NOT NULL,
    indexed INTEGER NOT NULL
);

CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- A room by its identity, or the private conversation with somebody.
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY,
    room BLOB UNIQUE,
    peer INTEGER UNIQUE REFERENCES people,
    name TEXT,
    revision INTEGER NOT NULL DEFAULT 0
);

-- What one life of an author's store writes into one conversation. The tip is noted when lines are erased.
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations,
    author INTEGER NOT NULL REFERENCES people,
    incarnation INTEGER NOT NULL,
    device BLOB NOT NULL,
    tip_seq INTEGER,
    tip BLOB,
    UNIQUE (conversation, author, incarnation)
);

-- Which numbers are or were here: erased lines do not come again.
CREATE TABLE spans (
    stream INTEGER NOT NULL REFERENCES streams,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (stream, first)
) WITHOUT ROWID;

-- Rows in order of arrival. previous: first of a group. signature: last of a signed group. Without a stream: unsigned.
CREATE TABLE lines (
    row INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations,
    author INTEGER NOT NULL REFERENCES people,
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
    UNIQUE (author, id)
);

CREATE UNIQUE INDEX lines_by_stream ON lines (stream, seq) WHERE stream IS NOT NULL;
CREATE INDEX lines_by_time ON lines (conversation, lamport);

-- A row: this own line is not yet stored at this recipient.
CREATE TABLE outbox (
    recipient INTEGER NOT NULL REFERENCES people,
    line INTEGER NOT NULL REFERENCES lines,
    PRIMARY KEY (recipient, line)
) WITHOUT ROWID;

-- Who sat in a room from which of its states to which.
CREATE TABLE seats (
    conversation INTEGER NOT NULL REFERENCES conversations,
    user INTEGER NOT NULL REFERENCES people,
    since INTEGER NOT NULL,
    until INTEGER,
    PRIMARY KEY (conversation, user, since)
) WITHOUT ROWID;

-- Streams of which two different lines with one number were proven.
CREATE TABLE forks (stream INTEGER PRIMARY KEY REFERENCES streams, seq INTEGER NOT NULL);

CREATE VIRTUAL TABLE words USING fts5 (
    text, content = 'lines', content_rowid = 'row', columnsize = 0,
    tokenize = "unicode61 remove_diacritics 2"
);
