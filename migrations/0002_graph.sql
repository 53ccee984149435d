-- The knowledge graph: entities, observations, relations and their search index.
--
-- A person who has a graph has a number, and what belongs to the graph has ids that begin with it: the number in the upper 32
-- bits, then, in the lower 32, a number that counts up in that graph. Observations have the highest of those 32 bits set, entities
-- have not. So one person's part of the search index is a range of its rows, which the index can seek: what others store does
-- not slow it down. Ids grow in the order in which things were made, and are never used again.

-- The counters are changed with every write, so that nothing has to count rows.
CREATE TABLE graphs (
    number       INTEGER PRIMARY KEY,
    user_id      BLOB    NOT NULL UNIQUE REFERENCES people ON DELETE CASCADE,
    last_item    INTEGER NOT NULL DEFAULT 0,
    entities     INTEGER NOT NULL DEFAULT 0,
    observations INTEGER NOT NULL DEFAULT 0,
    relations    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- `folded` is the name without case and accents: for names that begin with a text, and for names that look like another.
CREATE TABLE entities (
    id         INTEGER PRIMARY KEY,
    graph      INTEGER NOT NULL REFERENCES graphs,
    folded     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    type       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX entities_by_name ON entities (graph, folded, name);

-- `digest` is of the text, so that a repeat is found without reading the entity's other observations.
CREATE TABLE observations (
    id              INTEGER PRIMARY KEY,
    entity          INTEGER NOT NULL REFERENCES entities,
    digest          INTEGER NOT NULL,
    text            TEXT    NOT NULL,
    conversation_id BLOB,
    created_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX observations_by_entity ON observations (entity, digest);

CREATE TABLE relations (
    id         INTEGER PRIMARY KEY,
    source     INTEGER NOT NULL REFERENCES entities,
    target     INTEGER NOT NULL REFERENCES entities,
    type       TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX relations_by_source ON relations (source, target, type);
CREATE INDEX relations_by_target ON relations (target);

-- A row an entity (name and type) and a row an observation (text), all folded. Three characters are a token; a query is answered
-- by its rarest tokens and then compared with the text, so no positions are kept. What is deleted leaves the index at once.
CREATE VIRTUAL TABLE graph_index USING fts5 (name, type, text, tokenize = 'trigram case_sensitive 1', detail = column, columnsize = 0);
INSERT INTO graph_index (graph_index, rank) VALUES ('secure-delete', 1);

-- A person's graph goes whole, the index with it: foreign keys do not reach there.
CREATE TRIGGER graphs_deleted BEFORE DELETE ON graphs BEGIN
    DELETE FROM graph_index WHERE rowid BETWEEN old.number << 32 AND (old.number << 32) | 0xffffffff;
    DELETE FROM relations WHERE id BETWEEN old.number << 32 AND (old.number << 32) | 0xffffffff;
    DELETE FROM observations WHERE id BETWEEN old.number << 32 AND (old.number << 32) | 0xffffffff;
    DELETE FROM entities WHERE id BETWEEN old.number << 32 AND (old.number << 32) | 0xffffffff;
END;
