DROP TABLE audit_checkpoints;
DROP TABLE audit_nodes;
ALTER TABLE heads DROP COLUMN edge;
