ALTER TABLE audit_events DROP COLUMN detail;
ALTER TABLE audit_events DROP COLUMN seq;
