-- Summaries of long conversations.
--
-- What a model made of the older part of a conversation: of everything up to that place in it, in a few words. There is one a
-- conversation, and it goes with it. `claimed_until` is set while a process asks a model for the next one, so that no other
-- asks as well; one that ran out was left behind by a process that died or a model that failed. `attempts` counts the claims
-- since the last that led to a summary.
CREATE TABLE summaries (
    user_id         BLOB    NOT NULL,
    conversation_id BLOB    NOT NULL,
    up_to_sequence  INTEGER NOT NULL DEFAULT 0,
    text            TEXT    NOT NULL DEFAULT '',
    claimed_until   INTEGER,
    attempts        INTEGER NOT NULL DEFAULT 0,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (user_id, conversation_id),
    FOREIGN KEY (user_id, conversation_id) REFERENCES conversations (user_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX summaries_claimed ON summaries (claimed_until) WHERE claimed_until IS NOT NULL;
