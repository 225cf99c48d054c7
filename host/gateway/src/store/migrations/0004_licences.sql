-- How large and how full each licence pool was: so that a restart neither begins nor forgets a grace period.
CREATE TABLE licence_pool (
    pool  TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL -- JSON, see `State` in store/licences.rs
) STRICT, WITHOUT ROWID;
