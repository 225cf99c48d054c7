-- The bindings of the registrar, as they were acknowledged to the phones.
CREATE TABLE binding (
    endpoint TEXT NOT NULL,
    contact  TEXT NOT NULL,
    state    TEXT NOT NULL, -- everything else about it as JSON, see `State`: written whole and read whole
    PRIMARY KEY (endpoint, contact)
) STRICT, WITHOUT ROWID;
