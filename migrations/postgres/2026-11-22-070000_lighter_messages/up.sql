-- Nothing looks events up by their message, or entries by their own identifier, and every accepted message adds both.
DROP INDEX events_by_message;
DROP INDEX audit_by_event;
