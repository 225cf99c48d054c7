-- What calls to the outside have used: so that a restart opens no budget again.
CREATE TABLE toll_account (
    payer TEXT NOT NULL PRIMARY KEY, -- endpoint or user; empty: the site
    state TEXT NOT NULL -- JSON, see `State` in store/tolls.rs
) STRICT, WITHOUT ROWID;
