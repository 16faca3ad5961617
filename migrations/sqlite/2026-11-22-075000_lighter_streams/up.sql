-- What our devices are sent of a room that is hosted here is the room's event, and stands there already.
ALTER TABLE stream_stage RENAME TO former_stage;
CREATE TABLE stream_stage (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device TEXT NOT NULL,
    payload BLOB REFERENCES stream_payloads (id),
    room TEXT,
    seq INTEGER
) STRICT;
INSERT INTO stream_stage (id, device, payload) SELECT id, device, payload FROM former_stage;
DROP TABLE former_stage;

ALTER TABLE stream_rows RENAME TO former_rows;
DROP INDEX stream_rows_by_device;
CREATE TABLE stream_rows (
    position INTEGER NOT NULL PRIMARY KEY,
    device TEXT NOT NULL,
    payload BLOB REFERENCES stream_payloads (id),
    room TEXT,
    seq INTEGER
) STRICT;
CREATE INDEX stream_rows_by_device ON stream_rows (device, position);
INSERT INTO stream_rows (position, device, payload) SELECT position, device, payload FROM former_rows;
DROP TABLE former_rows;
