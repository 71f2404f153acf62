"""Tables of answers and identities in the SQLite database of a gallery; part of schema 3."""

ANSWERS_SCHEMA = """
CREATE TABLE actions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    user TEXT NOT NULL,
    kind TEXT NOT NULL,
    undone REAL  -- time at which it was undone
);
CREATE TABLE answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    action INTEGER NOT NULL REFERENCES actions (number),
    first TEXT NOT NULL REFERENCES sightings (id) ON DELETE CASCADE,
    second TEXT NOT NULL REFERENCES sightings (id) ON DELETE CASCADE,
    answer TEXT NOT NULL CHECK (answer IN ('same', 'different', 'unknown')),
    user TEXT NOT NULL,
    time REAL NOT NULL,
    reason TEXT NOT NULL,
    CHECK (first <> second)
);
CREATE INDEX answers_first ON answers (first);
CREATE INDEX answers_second ON answers (second);
CREATE TABLE identities (
    id TEXT PRIMARY KEY,
    anchor TEXT NOT NULL,  -- a sighting of its first group
    label TEXT
);
CREATE TABLE members (
    sighting TEXT PRIMARY KEY REFERENCES sightings (id) ON DELETE CASCADE,
    identity TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    probability REAL NOT NULL
);
CREATE INDEX members_identity ON members (identity);
CREATE TABLE renames (
    action INTEGER NOT NULL REFERENCES actions (number),
    identity TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    before TEXT,
    after TEXT
);
CREATE TABLE survey (  -- sightings that were drawn to estimate the number of people
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    sighting TEXT NOT NULL REFERENCES sightings (id) ON DELETE CASCADE,
    sightings INTEGER NOT NULL,  -- size of the gallery; draws from another size are not used
    expected REAL NOT NULL,
    chance REAL NOT NULL,
    total REAL NOT NULL
);
CREATE INDEX survey_sighting ON survey (sighting);
"""
