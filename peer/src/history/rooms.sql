-- The rooms that the user entered on this device and has not left. The peer compares the rooms of the next LOGIN
-- with them. record: JSON; NULL in a history of the first version, which stored no records.
CREATE TABLE rooms (conversation INTEGER PRIMARY KEY REFERENCES conversations, record TEXT);

INSERT INTO rooms SELECT id, NULL FROM conversations WHERE room IS NOT NULL;
