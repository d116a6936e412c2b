DROP INDEX audit_events_without_seq;
