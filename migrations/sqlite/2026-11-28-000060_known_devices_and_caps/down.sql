DROP TABLE organization_today;
ALTER TABLE users DROP COLUMN device_epoch;
