INSERT INTO stream_payloads (id, room, kind, payload, at)
    SELECT CAST(e.room || ' ' || e.seq AS BLOB), e.room,
        CASE e.kind WHEN 0 THEN 'application' WHEN 1 THEN 'welcome' WHEN 2 THEN 'proposal' ELSE 'commit' END,
        e.fanout, e.accepted_at
    FROM events e
    WHERE EXISTS (SELECT 1 FROM stream_rows r WHERE r.room = e.room AND r.seq = e.seq)
        OR EXISTS (SELECT 1 FROM stream_stage s WHERE s.room = e.room AND s.seq = e.seq);

ALTER TABLE stream_stage RENAME TO former_stage;
CREATE TABLE stream_stage (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device TEXT NOT NULL,
    payload BLOB NOT NULL REFERENCES stream_payloads (id)
) STRICT;
INSERT INTO stream_stage (id, device, payload)
    SELECT id, device, coalesce(payload, CAST(room || ' ' || seq AS BLOB)) FROM former_stage;
DROP TABLE former_stage;

ALTER TABLE stream_rows RENAME TO former_rows;
DROP INDEX stream_rows_by_device;
CREATE TABLE stream_rows (
    position INTEGER NOT NULL PRIMARY KEY,
    device TEXT NOT NULL,
    payload BLOB NOT NULL REFERENCES stream_payloads (id)
) STRICT;
CREATE INDEX stream_rows_by_device ON stream_rows (device, position);
INSERT INTO stream_rows (position, device, payload)
    SELECT position, device, coalesce(payload, CAST(room || ' ' || seq AS BLOB)) FROM former_rows;
DROP TABLE former_rows;
