DROP TABLE audit_index;
DROP TABLE audit_blocks;
CREATE INDEX audit_by_kind ON audit_entries (kind, seq);
CREATE INDEX audit_by_room ON audit_entries (room, seq) WHERE room IS NOT NULL;
CREATE INDEX audit_by_actor ON audit_entries (actor, seq) WHERE actor IS NOT NULL;
CREATE INDEX audit_by_peer ON audit_entries (peer, seq) WHERE peer IS NOT NULL;
CREATE INDEX audit_by_decision ON audit_entries (decision, seq) WHERE decision IS NOT NULL;
CREATE INDEX audit_by_exchange ON audit_entries (exchange, seq) WHERE exchange IS NOT NULL;
