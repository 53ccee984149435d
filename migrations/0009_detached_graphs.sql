-- A graph that is deleted whole is first taken from its person, which is one short step, and then erased bit by bit: a row without a
-- person is a graph that nobody can read and of which rows may be left. So is that of a person who is deleted.
PRAGMA defer_foreign_keys = ON;
CREATE TABLE graphs_before AS SELECT * FROM graphs;
DROP TABLE graphs;
CREATE TABLE graphs (
    number       INTEGER PRIMARY KEY,
    user_id      BLOB    UNIQUE REFERENCES people ON DELETE SET NULL,
    last_item    INTEGER NOT NULL DEFAULT 0,
    entities     INTEGER NOT NULL DEFAULT 0,
    observations INTEGER NOT NULL DEFAULT 0,
    relations    INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO graphs (number, user_id, last_item, entities, observations, relations)
    SELECT number, user_id, last_item, entities, observations, relations FROM graphs_before;
DROP TABLE graphs_before;
CREATE INDEX graphs_left_over ON graphs (number) WHERE user_id IS NULL;
