-- Todo lists.
--
-- A list remembers its last number, so that a number is never used again, and how many items it holds. An item's `words` are
-- its text and category as items are compared and searched; due is a day (YYYY-MM-DD) or a moment, never both.

CREATE TABLE todo_lists (
    user_id BLOB    NOT NULL PRIMARY KEY REFERENCES people ON DELETE CASCADE,
    last_id INTEGER NOT NULL,
    items   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE todos (
    user_id        BLOB    NOT NULL REFERENCES todo_lists ON DELETE CASCADE,
    id             INTEGER NOT NULL CHECK (id > 0),
    text           TEXT    NOT NULL,
    words          TEXT    NOT NULL,
    category       TEXT,
    category_words TEXT,
    priority       TEXT    NOT NULL,
    due_on         TEXT,
    due_at         INTEGER,
    parent_id      INTEGER,
    completed_at   INTEGER,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (user_id, id),
    CHECK (due_on IS NULL OR due_at IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX todos_open ON todos (user_id, id) WHERE completed_at IS NULL;
CREATE INDEX todos_by_words ON todos (user_id, words);
CREATE INDEX todos_below ON todos (user_id, parent_id) WHERE parent_id IS NOT NULL;
