-- The random name of each change of keys. A number alone names a change only within one history: after a backup was restored,
-- or a standby promoted that had missed some changes, another change gets the number of one that was lost. Empty: unknown.
ALTER TABLE key_changes ADD COLUMN mark TEXT NOT NULL DEFAULT '';

-- The mark of the change at applied_epoch: a node that applied a change of another history has not applied this one's.
ALTER TABLE nodes ADD COLUMN applied_mark TEXT NOT NULL DEFAULT '';
