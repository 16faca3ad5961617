CREATE INDEX events_by_message ON events (room, message_hash);
CREATE INDEX audit_by_event ON audit_entries (event);
