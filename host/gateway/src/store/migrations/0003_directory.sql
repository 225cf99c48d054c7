-- The site's own directory: endpoints and users that do not stand in the configuration. Each record is written whole and read whole.
CREATE TABLE endpoint (
    id    TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL -- JSON, see `EndpointRecord` in host/switch/src/directory/record.rs
) STRICT, WITHOUT ROWID;

CREATE TABLE site_user (
    id    TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL -- JSON, see `UserRecord` there
) STRICT, WITHOUT ROWID;

-- Which endpoint is whose; the one in place 0 is the user as whom it calls.
CREATE TABLE endpoint_user (
    endpoint TEXT    NOT NULL,
    place    INTEGER NOT NULL,
    site_user TEXT   NOT NULL,
    rings    INTEGER NOT NULL,
    PRIMARY KEY (endpoint, place)
) STRICT, WITHOUT ROWID;

-- What became of each of them, never changed.
CREATE TABLE history (
    number  INTEGER NOT NULL PRIMARY KEY,
    kind    TEXT    NOT NULL, -- endpoint, user
    id      TEXT    NOT NULL,
    at      INTEGER NOT NULL, -- microseconds since 1970
    by_whom TEXT    NOT NULL,
    what    TEXT    NOT NULL
) STRICT;
CREATE INDEX history_of ON history (kind, id, number);
