-- Schedules: planned messages.
--
-- A person's list remembers its last number, so that a number is never used again. `rule` is JSON, `zone` the IANA name in which
-- its times are meant, `anchor` from when an interval counts. `next_run` is NULL when the schedule is off or finished.
-- `last_outcome` says what the last run began; where that ended is read from the turn or the outgoing message it made, and
-- `failures` counts a run's bad end when the next run begins. `revision` grows with each change of the row.

CREATE TABLE schedule_lists (
    user_id BLOB    NOT NULL PRIMARY KEY REFERENCES people ON DELETE CASCADE,
    last_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE schedules (
    user_id         BLOB    NOT NULL REFERENCES schedule_lists ON DELETE CASCADE,
    id              INTEGER NOT NULL CHECK (id > 0),
    name            TEXT    NOT NULL,
    message         TEXT    NOT NULL,
    mode            TEXT    NOT NULL,
    rule            TEXT    NOT NULL,
    zone            TEXT    NOT NULL,
    anchor          INTEGER NOT NULL,
    enabled         INTEGER NOT NULL,
    finished        INTEGER NOT NULL,
    next_run        INTEGER,
    last_run        INTEGER,
    last_outcome    TEXT,
    last_turn       BLOB,
    last_outbound   BLOB,
    runs            INTEGER NOT NULL DEFAULT 0,
    failures        INTEGER NOT NULL DEFAULT 0,
    conversation_id BLOB,
    revision        INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (user_id, id),
    CHECK (next_run IS NULL OR (enabled AND NOT finished))
) STRICT, WITHOUT ROWID;
CREATE INDEX schedules_due ON schedules (next_run) WHERE next_run IS NOT NULL;

-- When a person wants no reminders: `22:00-07:00`, in their own zone.
ALTER TABLE people ADD COLUMN quiet_hours TEXT;

-- The way back to the person's phone: the gateway of their newest text, and the number of ours that it was sent to.
ALTER TABLE activity ADD COLUMN route_gateway TEXT;
ALTER TABLE activity ADD COLUMN route_from TEXT;
UPDATE activity SET (route_gateway, route_from) =
    (SELECT route_gateway, route_from FROM outbox WHERE outbox.user_id = activity.user_id ORDER BY number DESC LIMIT 1);
