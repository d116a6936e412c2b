-- Of the program that the node runs: nothing is taken away while a node runs that uses it.
ALTER TABLE nodes ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
