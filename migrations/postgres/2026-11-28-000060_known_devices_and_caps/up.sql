-- Devices that signed in carry the number of their time in a signed cookie; adding one forgets them all.
ALTER TABLE users ADD COLUMN device_epoch BIGINT NOT NULL DEFAULT 0;

-- How much an organization made on its newest day (days since 1970, UTC), to refuse what is above its limits. Whoever makes
-- something first changes this row, and so waits for whoever else does.
CREATE TABLE organization_today (
    organization_id TEXT PRIMARY KEY NOT NULL REFERENCES organizations (id),
    day BIGINT NOT NULL,
    keys_created BIGINT NOT NULL,
    rotations BIGINT NOT NULL
);
