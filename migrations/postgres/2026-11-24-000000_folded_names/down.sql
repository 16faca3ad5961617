-- An older build knows nobody whom the identity provider has not named.
DELETE FROM people WHERE state = 3;
ALTER TABLE people DROP COLUMN claims;
-- An older build knows no devices that may only leave.
DELETE FROM followed WHERE device IN (SELECT client FROM devices WHERE retired = 1);
DELETE FROM devices WHERE retired = 1;
ALTER TABLE devices DROP COLUMN retired;
DROP INDEX people_by_manager;
ALTER TABLE people DROP COLUMN manager;
DROP INDEX users_by_folded;
ALTER TABLE users DROP COLUMN folded;
