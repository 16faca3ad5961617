ALTER TABLE admissions DROP COLUMN code;
DROP TABLE join_codes;
