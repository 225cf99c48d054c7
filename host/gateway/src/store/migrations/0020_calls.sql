-- Records of calls, the latest of them: the whole lies in the files of the record.
CREATE TABLE call_record (
    id     TEXT    NOT NULL PRIMARY KEY, -- see `CallLine` in cdr/line.rs
    at     INTEGER NOT NULL, -- when the call began, microseconds since 1970
    record TEXT    NOT NULL  -- JSON, see there
) STRICT, WITHOUT ROWID;
CREATE INDEX call_record_at ON call_record (at);
