DROP INDEX admissions_by_bearer;
DROP INDEX restrictions_by_subject;
ALTER TABLE room_restrictions DROP COLUMN spread;
DROP INDEX rooms_without_leaves;
ALTER TABLE rooms DROP COLUMN leaves_epoch;
DROP TABLE room_leaves;
