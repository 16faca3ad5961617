DROP TABLE device_watch;
