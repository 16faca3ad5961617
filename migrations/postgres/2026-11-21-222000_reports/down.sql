DROP TABLE report_messages;
DROP TABLE reports;
