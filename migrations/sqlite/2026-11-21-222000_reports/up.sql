-- What users complain about, and what moderators make of it. The reporter of an anonymous report is its provider. What was
-- reported, in the reporter's own words and in those of the messages, is sealed.
CREATE TABLE reports (
    id BLOB NOT NULL PRIMARY KEY,
    room TEXT NOT NULL,
    reporter TEXT NOT NULL,
    alleged TEXT NOT NULL,
    reason INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    proven INTEGER NOT NULL,
    repeats INTEGER NOT NULL,
    note BLOB NOT NULL,
    decision BLOB NOT NULL,
    state INTEGER NOT NULL,
    version INTEGER NOT NULL,
    case_number TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at INTEGER NOT NULL,
    decided_why TEXT NOT NULL
) STRICT;
CREATE INDEX reports_by_time ON reports (received_at, id);
CREATE INDEX reports_by_reporter ON reports (reporter, received_at);

-- The messages of a report. One message is in one report of each reporter.
CREATE TABLE report_messages (
    report BLOB NOT NULL,
    position INTEGER NOT NULL,
    reporter TEXT NOT NULL,
    digest BLOB NOT NULL,
    accepted_at INTEGER,
    message_id BLOB,
    flaw TEXT,
    content BLOB NOT NULL,
    PRIMARY KEY (report, position)
) STRICT;
CREATE UNIQUE INDEX report_messages_once ON report_messages (reporter, digest);
