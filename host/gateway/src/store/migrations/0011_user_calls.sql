-- From here on a user's record may say what becomes of calls (ring time, forwards, dial class), and a licence pool's who waits for a seat. Nothing of the tables
-- changes: a version that does not know this leaves the store alone, instead of writing records without it.
SELECT 1;
