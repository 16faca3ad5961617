DROP TABLE profile_fields;
DROP TABLE profiles;
