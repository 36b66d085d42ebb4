-- One Lamport clock for each conversation. Times that are too far ahead do not count.
ALTER TABLE conversations ADD COLUMN clock INTEGER NOT NULL DEFAULT 0;

UPDATE conversations SET clock = coalesce(
    (SELECT max(lamport) FROM lines WHERE conversation = conversations.id AND lamport <= 4294967296), 0
);

ALTER TABLE meta DROP COLUMN lamport;

-- Number of commits that have changed something.
ALTER TABLE meta ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
