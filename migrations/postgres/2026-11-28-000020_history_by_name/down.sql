ALTER TABLE nodes DROP COLUMN applied_mark;
ALTER TABLE key_changes DROP COLUMN mark;
