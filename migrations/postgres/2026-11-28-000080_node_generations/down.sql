ALTER TABLE nodes DROP COLUMN generation;
