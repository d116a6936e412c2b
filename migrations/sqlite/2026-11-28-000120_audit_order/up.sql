-- Events of a program that knows nothing of numbers, of an earlier one or one that ran since; a start numbers them in the order of
-- their times. It locks the table for as long as it takes to read it once.
CREATE INDEX audit_events_without_seq ON audit_events (id) WHERE seq IS NULL;
