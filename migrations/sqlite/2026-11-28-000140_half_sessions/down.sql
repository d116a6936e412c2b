DROP TABLE half_sessions;
