DROP TABLE kept_events;
DROP TABLE followed_rooms;
