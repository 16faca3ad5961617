-- What is purged is found by its age, and what is sent to nobody without reading what everybody is sent.
CREATE INDEX reports_by_decision ON reports (decided_at) WHERE state IN (2, 3);
CREATE INDEX stream_payloads_by_time ON stream_payloads (at);
CREATE INDEX stream_rows_by_payload ON stream_rows (payload) WHERE payload IS NOT NULL;
CREATE INDEX stream_stage_by_payload ON stream_stage (payload) WHERE payload IS NOT NULL;
