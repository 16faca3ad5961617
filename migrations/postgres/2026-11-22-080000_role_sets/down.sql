DROP TABLE role_sets;
