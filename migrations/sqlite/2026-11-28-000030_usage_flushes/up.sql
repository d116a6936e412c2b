-- How far each process has come with writing what it counted: its flushes have numbers, and each number is written once. A flush
-- whose COMMIT was not answered is sent again under the number it had.
CREATE TABLE usage_flushes (
    writer TEXT PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
