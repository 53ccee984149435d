-- The first schema.
--
-- Keys: a person's id is a BLOB of 12 bytes, every other id a UUID (version 7) in 16. Times are whole milliseconds since
-- 1970 (UTC). Each table of what belongs to a person begins its key with the person's id. Where that would scatter writes
-- (turns, outbox) rows lie in the order in which they were made, and every statement names the person beside the row.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a person is: read with every message, seldom written.
CREATE TABLE people (
    user_id            BLOB    NOT NULL PRIMARY KEY CHECK (length(user_id) = 12),
    phone              TEXT    UNIQUE,
    email              TEXT    NOT NULL,
    name               TEXT    NOT NULL,
    username           TEXT    NOT NULL UNIQUE,
    provider           TEXT    NOT NULL,
    role               TEXT    NOT NULL,
    email_verified     INTEGER NOT NULL,
    preferred_endpoint TEXT,
    preferred_model    TEXT,
    preferred_agent    TEXT,
    time_zone          TEXT,
    caller_metadata    TEXT    NOT NULL,
    blocked            INTEGER NOT NULL DEFAULT 0,
    first_contact      INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX people_by_age ON people (created_at, user_id);
CREATE INDEX people_at_role ON people (user_id) WHERE lower(preferred_endpoint) = 'external';

-- What changes with every message: figures, credits and the two lanes. Small, so that a busy person costs one page.
-- A lane: *_next is when its head may be looked at (when it is due, or when the lease on it ends; NULL when the lane is
-- empty), *_owner who holds it, *_leased the number of the row that is held, *_fence how often the lane was taken;
-- delivery_gateway is the gateway that the head leaves by.
CREATE TABLE activity (
    user_id          BLOB    NOT NULL PRIMARY KEY REFERENCES people ON DELETE CASCADE,
    last_sms         INTEGER NOT NULL,
    message_count    INTEGER NOT NULL,
    balance          INTEGER,
    refilled_at      INTEGER,
    latest_event     INTEGER NOT NULL DEFAULT 0,
    turns_day        TEXT,
    turns_today      INTEGER NOT NULL DEFAULT 0,
    turn_next        INTEGER,
    turn_owner       TEXT,
    turn_leased      INTEGER,
    turn_fence       INTEGER NOT NULL DEFAULT 0,
    delivery_next    INTEGER,
    delivery_gateway TEXT,
    delivery_owner   TEXT,
    delivery_leased  INTEGER,
    delivery_fence   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX turn_lanes ON activity (turn_next) WHERE turn_next IS NOT NULL;
CREATE INDEX turn_owners ON activity (turn_owner) WHERE turn_owner IS NOT NULL;
CREATE INDEX delivery_lanes ON activity (delivery_gateway, delivery_next) WHERE delivery_next IS NOT NULL;
CREATE INDEX delivery_owners ON activity (delivery_owner) WHERE delivery_owner IS NOT NULL;

-- last_sequence, last_id, last_slot and last_entry describe the entry that was placed last: the next one's parent.
CREATE TABLE conversations (
    user_id         BLOB    NOT NULL REFERENCES people ON DELETE CASCADE,
    id              BLOB    NOT NULL CHECK (length(id) = 16),
    title           TEXT    NOT NULL,
    endpoint        TEXT,
    model           TEXT,
    choice_endpoint TEXT,
    choice_model    TEXT,
    choice_agent    TEXT,
    phone           TEXT,
    source          TEXT    NOT NULL,
    last_message    INTEGER NOT NULL,
    message_count   INTEGER NOT NULL,
    closed          INTEGER NOT NULL DEFAULT 0,
    last_sequence   INTEGER NOT NULL DEFAULT 0,
    last_id         BLOB,
    last_slot       INTEGER NOT NULL DEFAULT 0,
    last_entry      INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (user_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversations_at_role ON conversations (user_id)
    WHERE lower(endpoint) = 'external' OR lower(choice_endpoint) = 'external';

-- A conversation's entries lie together and in order. The slot is the number of the turn that was placed last when the entry
-- was made (for a person's text its own turn), the entry its place there; so the order holds for texts that wait for their
-- turn too, which have no sequence yet. `recalled` is 0 for what no prompt repeats: words that no model answers, and our own.
CREATE TABLE messages (
    user_id         BLOB    NOT NULL,
    conversation_id BLOB    NOT NULL,
    slot            INTEGER NOT NULL,
    entry           INTEGER NOT NULL,
    id              BLOB    NOT NULL CHECK (length(id) = 16),
    turn_id         BLOB    NOT NULL CHECK (length(turn_id) = 16),
    sequence        INTEGER,
    parent_id       BLOB,
    role            TEXT    NOT NULL,
    text            TEXT    NOT NULL,
    attachments     TEXT,
    endpoint        TEXT,
    model           TEXT,
    token_count     INTEGER NOT NULL DEFAULT 0,
    unfinished      INTEGER NOT NULL DEFAULT 0,
    error           INTEGER NOT NULL DEFAULT 0,
    recalled        INTEGER NOT NULL DEFAULT 1,
    received_at     INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (user_id, conversation_id, slot, entry),
    FOREIGN KEY (user_id, conversation_id) REFERENCES conversations (user_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_at_role ON messages (user_id) WHERE lower(endpoint) = 'external';

-- One row a turn: its texts' number, its job, how it ended. `due` is when it may be begun or tried again, and when it ended.
-- `attempts` counts tries whose end was recorded, `starts` leases that were not given back, `answer_until` is set by a replay.
CREATE TABLE turns (
    number             INTEGER PRIMARY KEY,
    id                 BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    user_id            BLOB    NOT NULL,
    conversation_id    BLOB    NOT NULL,
    kind               TEXT    NOT NULL,
    state              TEXT    NOT NULL,
    due                INTEGER NOT NULL,
    gather_until       INTEGER,
    last_text_at       INTEGER NOT NULL,
    texts              INTEGER NOT NULL DEFAULT 1,
    attempts           INTEGER NOT NULL DEFAULT 0,
    starts             INTEGER NOT NULL DEFAULT 0,
    answer_until       INTEGER,
    error              TEXT,
    request            TEXT,
    route_gateway      TEXT,
    route_from         TEXT,
    refusal            TEXT,
    over_limit         TEXT,
    answer_id          BLOB,
    answer             TEXT,
    reserved           INTEGER NOT NULL DEFAULT 0,
    charge             INTEGER NOT NULL DEFAULT 0,
    began_conversation INTEGER NOT NULL DEFAULT 0,
    reply_slot         INTEGER,
    reply_entry        INTEGER,
    prompt_tokens      INTEGER NOT NULL DEFAULT 0,
    completion_tokens  INTEGER NOT NULL DEFAULT 0,
    total_tokens       INTEGER NOT NULL DEFAULT 0,
    event              INTEGER,
    opened_at          INTEGER NOT NULL
) STRICT;
CREATE INDEX turns_open ON turns (user_id, number, due) WHERE state IN ('open', 'begun');
CREATE INDEX turns_dead ON turns (user_id, number) WHERE state = 'dead';
CREATE UNIQUE INDEX turns_finished ON turns (user_id, event) WHERE event IS NOT NULL;

-- By what a repeat is recognised, for ever: the door it came in by and the key it has there.
CREATE TABLE receipts (
    door            TEXT    NOT NULL,
    key             TEXT    NOT NULL,
    fingerprint     BLOB,
    user_id         BLOB    NOT NULL,
    is_new_user     INTEGER NOT NULL,
    conversation_id BLOB    NOT NULL,
    message_id      BLOB    NOT NULL,
    turn_id         BLOB    NOT NULL,
    stored_at       INTEGER NOT NULL,
    PRIMARY KEY (door, key)
) STRICT, WITHOUT ROWID;

-- `due` is when it may be sent or looked up, and when it ended.
CREATE TABLE outbox (
    number             INTEGER PRIMARY KEY,
    id                 BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    user_id            BLOB    NOT NULL REFERENCES people ON DELETE CASCADE,
    conversation_id    BLOB    NOT NULL,
    turn_id            BLOB    NOT NULL,
    part               INTEGER NOT NULL,
    phone              TEXT    NOT NULL,
    route_gateway      TEXT    NOT NULL,
    route_from         TEXT    NOT NULL,
    body               TEXT    NOT NULL,
    segments           INTEGER NOT NULL,
    state              TEXT    NOT NULL,
    confirmation       INTEGER NOT NULL DEFAULT 0,
    due                INTEGER NOT NULL,
    status             TEXT,
    gateway_message_id TEXT,
    attempts           INTEGER NOT NULL DEFAULT 0,
    checks             INTEGER NOT NULL DEFAULT 0,
    attempted_at       INTEGER,
    expires_at         INTEGER NOT NULL,
    error              TEXT,
    created_at         INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_by_person ON outbox (user_id, number);
CREATE INDEX outbox_open ON outbox (user_id, number, due) WHERE state IN ('ready', 'sending', 'checking');
CREATE INDEX outbox_held ON outbox (user_id, number) WHERE state = 'held';
CREATE INDEX outbox_dead ON outbox (user_id, number) WHERE state = 'dead';
CREATE INDEX outbox_by_carrier ON outbox (gateway_message_id, route_gateway) WHERE gateway_message_id IS NOT NULL;

-- Reports on messages that no carrier's answer has named yet; forgotten after a day.
CREATE TABLE status_reports (
    gateway            TEXT    NOT NULL,
    gateway_message_id TEXT    NOT NULL,
    status             TEXT    NOT NULL,
    error_code         TEXT,
    received_at        INTEGER NOT NULL,
    PRIMARY KEY (gateway, gateway_message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX status_reports_by_age ON status_reports (received_at);

-- The newest word of each number on being texted, and when it was said: an older one that is found late changes nothing.
-- By number and not by person: it outlives the account.
CREATE TABLE consents (
    phone     TEXT    NOT NULL PRIMARY KEY,
    opted_out INTEGER NOT NULL,
    said_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE notices (
    user_id  BLOB    NOT NULL REFERENCES people ON DELETE CASCADE,
    key      TEXT    NOT NULL,
    given_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

-- Turns begun by everybody together; a person's own count stands in activity.
CREATE TABLE daily_turns (
    day   TEXT    NOT NULL PRIMARY KEY,
    turns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    hash       BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    kind       TEXT    NOT NULL,
    user_id    BLOB    REFERENCES people ON DELETE CASCADE,
    scopes     TEXT    NOT NULL,
    expires_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_person ON tokens (user_id);

CREATE TABLE marks (
    name   TEXT    NOT NULL PRIMARY KEY,
    moment INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
