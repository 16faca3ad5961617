DROP INDEX kept_by_why;
ALTER TABLE followed DROP COLUMN attempt;
ALTER TABLE followed_rooms DROP COLUMN taken_up_at;
