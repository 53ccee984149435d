-- Claims of a conversation's summary are numbered, so that whoever held an earlier one cannot give back a later one's.
ALTER TABLE summaries ADD COLUMN claims INTEGER NOT NULL DEFAULT 0;
