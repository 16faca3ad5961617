INSERT INTO stream_payloads (id, room, kind, payload, at)
    SELECT decode(md5(e.room || ' ' || e.seq), 'hex'), e.room,
        CASE e.kind WHEN 0 THEN 'application' WHEN 1 THEN 'welcome' WHEN 2 THEN 'proposal' ELSE 'commit' END,
        e.fanout, e.accepted_at
    FROM events e
    WHERE EXISTS (SELECT 1 FROM stream_rows r WHERE r.room = e.room AND r.seq = e.seq)
        OR EXISTS (SELECT 1 FROM stream_stage s WHERE s.room = e.room AND s.seq = e.seq);
UPDATE stream_stage SET payload = decode(md5(room || ' ' || seq), 'hex') WHERE payload IS NULL;
UPDATE stream_rows SET payload = decode(md5(room || ' ' || seq), 'hex') WHERE payload IS NULL;
ALTER TABLE stream_stage DROP COLUMN room, DROP COLUMN seq, ALTER COLUMN payload SET NOT NULL,
    ADD CONSTRAINT stream_stage_payload_fkey FOREIGN KEY (payload) REFERENCES stream_payloads (id);
ALTER TABLE stream_rows DROP COLUMN room, DROP COLUMN seq, ALTER COLUMN payload SET NOT NULL,
    ADD CONSTRAINT stream_rows_payload_fkey FOREIGN KEY (payload) REFERENCES stream_payloads (id);
ALTER TABLE events ADD CONSTRAINT events_room_fkey FOREIGN KEY (room) REFERENCES rooms (uri);
ALTER TABLE audit_openings ADD CONSTRAINT audit_openings_seq_fkey FOREIGN KEY (seq) REFERENCES audit_entries (seq);
