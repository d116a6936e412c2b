-- What a browser brings back before it is known whose it is (a second step of signing in, the state of a single sign-on). No row
-- of it can become a session: that has an owner, and a table of its own.
CREATE TABLE half_sessions (
    -- SHA-256 of the key in the cookie.
    digest BYTEA PRIMARY KEY NOT NULL CHECK (octet_length(digest) = 32),
    state TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Locks nothing that anybody waits for: the table is new.
CREATE INDEX half_sessions_by_expiry ON half_sessions (expires_at);
