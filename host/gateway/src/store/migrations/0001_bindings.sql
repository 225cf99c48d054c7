-- The bindings of the registrar, as they were acknowledged to the phones.
CREATE TABLE binding (
    endpoint       TEXT    NOT NULL,
    contact        TEXT    NOT NULL,
    params         TEXT    NOT NULL,
    q              INTEGER NOT NULL,
    instance       TEXT,
    reg_id         INTEGER,
    path           TEXT    NOT NULL, -- JSON list of texts
    transport      TEXT    NOT NULL, -- udp, tcp, tls
    local          TEXT    NOT NULL, -- address:port
    remote         TEXT    NOT NULL, -- address:port
    connection     INTEGER NOT NULL,
    call_id        TEXT    NOT NULL,
    cseq           INTEGER NOT NULL,
    expires        INTEGER NOT NULL, -- microseconds since 1970
    pool           TEXT,
    emergency_only INTEGER NOT NULL,
    user_agent     TEXT    NOT NULL,
    PRIMARY KEY (endpoint, contact)
) STRICT, WITHOUT ROWID;
