DROP TABLE next_groups;
DROP TABLE room_parents;
DROP TABLE fixed_rooms;
