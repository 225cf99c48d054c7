-- A binding is written whole and read whole: all but its key becomes one column, which costs a fraction of the time.
CREATE TABLE binding_whole (
    endpoint TEXT NOT NULL,
    contact  TEXT NOT NULL,
    state    TEXT NOT NULL, -- JSON, see `State` in store/mod.rs
    PRIMARY KEY (endpoint, contact)
) STRICT, WITHOUT ROWID;

INSERT INTO binding_whole
SELECT endpoint, contact,
       json_object('params', params, 'q', q, 'instance', instance, 'reg_id', reg_id, 'path', json(path), 'transport', transport, 'local', local,
                   'remote', remote, 'connection', connection, 'call_id', call_id, 'cseq', cseq, 'expires', expires, 'pool', pool,
                   'emergency_only', json(CASE WHEN emergency_only THEN 'true' ELSE 'false' END), 'user_agent', user_agent)
FROM binding;

DROP TABLE binding;
ALTER TABLE binding_whole RENAME TO binding;
