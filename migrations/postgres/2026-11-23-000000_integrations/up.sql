-- Times are Unix milliseconds (UTC). Ids are text: a prefix and a KSUID.

-- What there is once per installation: its id, the pepper's check value, whether it was set up.
CREATE TABLE installation (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);

CREATE TABLE organizations (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    email TEXT NOT NULL,
    -- The address in lower case: one account an address.
    email_folded TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE memberships (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);

CREATE INDEX memberships_by_user ON memberships (user_id);

CREATE TABLE sessions (
    -- SHA-256 of the session key in the cookie: reading this table signs nobody in.
    digest BYTEA PRIMARY KEY NOT NULL CHECK (octet_length(digest) = 32),
    id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id),
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY NOT NULL,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    name_folded TEXT NOT NULL,
    prefix TEXT NOT NULL,
    hint TEXT NOT NULL,
    created_by TEXT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    version BIGINT NOT NULL
);

-- Names are unique among the living keys of an organization; a revoked key gives its name free.
CREATE UNIQUE INDEX api_keys_living_name ON api_keys (organization_id, name_folded) WHERE revoked_at IS NULL;

CREATE INDEX api_keys_living_newest ON api_keys (organization_id, created_at, id) WHERE revoked_at IS NULL;

-- A rotation adds a secret and gives the old one an end, so that a revoked or rotated key is told from an unknown one.
CREATE TABLE key_secrets (
    digest BYTEA PRIMARY KEY NOT NULL CHECK (octet_length(digest) = 32),
    digest_scheme TEXT NOT NULL,
    key_id TEXT NOT NULL REFERENCES api_keys (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

CREATE INDEX key_secrets_by_key ON key_secrets (key_id);

-- One row a form that was carried out: the same form sent again finds its token here.
CREATE TABLE form_tokens (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    token TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, token)
);

CREATE INDEX form_tokens_by_age ON form_tokens (created_at);

-- No foreign keys: an event outlives what it tells about.
CREATE TABLE audit_events (
    id TEXT PRIMARY KEY NOT NULL,
    organization_id TEXT,
    at BIGINT NOT NULL,
    action TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    actor_name TEXT,
    -- Whom it was done to: an admin who was added.
    user_id TEXT,
    user_name TEXT,
    key_id TEXT,
    key_name TEXT,
    address TEXT,
    user_agent TEXT,
    request_id TEXT
);

CREATE INDEX audit_events_newest ON audit_events (organization_id, at, id);
