ALTER TABLE inbox_messages DROP COLUMN version;
ALTER TABLE followed DROP COLUMN joined;
