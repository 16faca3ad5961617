DROP INDEX stream_stage_by_payload;
DROP INDEX stream_rows_by_payload;
DROP INDEX stream_payloads_by_time;
DROP INDEX reports_by_decision;
