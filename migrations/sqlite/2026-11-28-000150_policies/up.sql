-- What a key is limited to, as JSON; empty where it is not. A program that does not know all of it refuses the key, so what is
-- written here first is of the release after the one that learned to read it.
ALTER TABLE api_keys ADD COLUMN policy TEXT;
