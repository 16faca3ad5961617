DROP TABLE hub_keys;
