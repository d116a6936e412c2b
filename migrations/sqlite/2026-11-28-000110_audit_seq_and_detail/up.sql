-- The number of the newest event. Apart from the events, so that no number comes twice when the newest were removed.
CREATE TABLE audit_seq (value INTEGER NOT NULL) STRICT;
INSERT INTO audit_seq (value) VALUES (0);

-- The order in which events were written; ids have it to the second. Empty for those of a program that knows nothing of it.
ALTER TABLE audit_events ADD COLUMN seq INTEGER;

-- What was changed, as JSON: {"hint": {"before": "x9Kq", "after": "p2Lm"}}.
ALTER TABLE audit_events ADD COLUMN detail TEXT;
