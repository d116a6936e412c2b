-- That created_by may be empty stays: a key that a program made has no person to put there.
ALTER TABLE api_keys DROP COLUMN created_by_name;
ALTER TABLE api_keys DROP COLUMN created_by_id;
ALTER TABLE api_keys DROP COLUMN created_by_kind;
