-- What an agent did within a turn. Rows lie by their turn's number, like the turns themselves, and every statement names the
-- person beside it. They go with their turn.

-- One row for each answer of a model that asked for tools.
CREATE TABLE steps (
    turn              INTEGER NOT NULL REFERENCES turns (number) ON DELETE CASCADE,
    number            INTEGER NOT NULL,
    user_id           BLOB    NOT NULL,
    said              TEXT    NOT NULL,
    shown             INTEGER NOT NULL,
    model             TEXT    NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    total_tokens      INTEGER NOT NULL,
    recorded_at       INTEGER NOT NULL,
    PRIMARY KEY (turn, number)
) STRICT, WITHOUT ROWID;

-- Its calls. `begun_at` without `ended_at`: it was being done when its process died, or it is being done now.
CREATE TABLE calls (
    turn      INTEGER NOT NULL,
    step      INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    user_id   BLOB    NOT NULL,
    id        TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    arguments TEXT    NOT NULL,
    extra     TEXT,
    begun_at  INTEGER,
    ended_at  INTEGER,
    failed    INTEGER,
    result    TEXT,
    PRIMARY KEY (turn, step, number),
    FOREIGN KEY (turn, step) REFERENCES steps (turn, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
