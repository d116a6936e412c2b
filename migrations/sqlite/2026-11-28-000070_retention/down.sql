DROP INDEX audit_events_failed_sign_ins;
DROP INDEX audit_events_by_age;
