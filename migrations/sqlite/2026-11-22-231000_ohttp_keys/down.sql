DROP TABLE ohttp_keys;
