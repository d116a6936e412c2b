-- Events go when they are old, failed sign-ins sooner than others. Building these locks the table against writes, about a second
-- for a million events.
CREATE INDEX audit_events_by_age ON audit_events (at);

-- The same lock. Strangers make failed sign-ins, and people everything else: without an index of their own, whoever looks for
-- old ones comes upon all events that are kept.
CREATE INDEX audit_events_failed_sign_ins ON audit_events (at) WHERE action = 'session.sign_in_failed';
