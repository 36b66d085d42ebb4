-- The rooms that were entered here and not left: the next LOGIN is held against them. record: JSON; NULL in a history of the
-- first version, which did not note what was left.
CREATE TABLE rooms (conversation INTEGER PRIMARY KEY REFERENCES conversations, record TEXT);

INSERT INTO rooms SELECT id, NULL FROM conversations WHERE room IS NOT NULL;
