-- When a phone was last registered that is not any more: written when its binding goes. Of one that is, the binding says it.
CREATE TABLE seen (
    endpoint TEXT    NOT NULL PRIMARY KEY,
    at       INTEGER NOT NULL -- microseconds since 1970
) STRICT, WITHOUT ROWID;

-- Drills: a site loses its cloud on purpose. The one without an end runs.
CREATE TABLE drill (
    number  INTEGER NOT NULL PRIMARY KEY,
    name    TEXT    NOT NULL,
    by_whom TEXT    NOT NULL,
    began   INTEGER NOT NULL, -- microseconds since 1970
    ended   INTEGER,
    report  TEXT              -- JSON, see `DrillRow` in host/gateway/src/manage/drills.rs
) STRICT;

-- The last drill in which each phone was registered.
CREATE TABLE drilled (
    endpoint TEXT    NOT NULL PRIMARY KEY,
    drill    INTEGER NOT NULL,
    at       INTEGER NOT NULL -- microseconds since 1970
) STRICT, WITHOUT ROWID;
