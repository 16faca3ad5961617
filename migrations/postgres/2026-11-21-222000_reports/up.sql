-- What users complain about, and what moderators make of it. The reporter of an anonymous report is its provider. What was
-- reported, in the reporter's own words and in those of the messages, is sealed.
CREATE TABLE reports (
    id BYTEA NOT NULL PRIMARY KEY,
    room TEXT NOT NULL,
    reporter TEXT NOT NULL,
    alleged TEXT NOT NULL,
    reason INTEGER NOT NULL,
    received_at BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    proven BIGINT NOT NULL,
    repeats BIGINT NOT NULL,
    note BYTEA NOT NULL,
    decision BYTEA NOT NULL,
    state INTEGER NOT NULL,
    version BIGINT NOT NULL,
    case_number TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at BIGINT NOT NULL,
    decided_why TEXT NOT NULL
);
CREATE INDEX reports_by_time ON reports (received_at, id);
CREATE INDEX reports_by_reporter ON reports (reporter, received_at);

-- The messages of a report. One message is in one report of each reporter.
CREATE TABLE report_messages (
    report BYTEA NOT NULL,
    position BIGINT NOT NULL,
    reporter TEXT NOT NULL,
    digest BYTEA NOT NULL,
    accepted_at BIGINT,
    message_id BYTEA,
    flaw TEXT,
    content BYTEA NOT NULL,
    PRIMARY KEY (report, position)
);
CREATE UNIQUE INDEX report_messages_once ON report_messages (reporter, digest);
