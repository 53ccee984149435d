-- What a turn had cost the person with a step and all before it, so that what the host has paid for is charged however the turn
-- ends.
ALTER TABLE steps ADD COLUMN charge INTEGER NOT NULL DEFAULT 0;
