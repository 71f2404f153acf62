"""Tables and triggers of a gallery's SQLite database."""

from __future__ import annotations

import re

from passerby.gallery.stores.answers_schema import ANSWERS_SCHEMA

SCHEMA_VERSION = 3
AUDIT_TRIGGERS = """
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;  -- REPLACE deletes without the other trigger
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"""
SCHEMA = f"""
CREATE TABLE card (one INTEGER PRIMARY KEY CHECK (one = 1), json TEXT NOT NULL);
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    removals INTEGER NOT NULL,  -- number of removals: readers update their index when it changes
    erasing INTEGER NOT NULL,   -- number of removals that have to be erased from the files
    erased INTEGER NOT NULL     -- number of those that are erased
);
INSERT INTO state VALUES (1, 0, 0, 0);
CREATE TABLE sightings (
    row INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: readers select new sightings by it
    id TEXT NOT NULL UNIQUE,
    camera TEXT NOT NULL,
    time REAL,
    label TEXT,
    source TEXT NOT NULL,
    quality REAL,
    attributes TEXT NOT NULL,
    enrolled REAL NOT NULL
);
CREATE INDEX sightings_camera ON sightings (camera);
CREATE INDEX sightings_time ON sightings (time);
CREATE INDEX sightings_label ON sightings (label) WHERE label IS NOT NULL;
CREATE INDEX sightings_enrolled ON sightings (enrolled);
CREATE TABLE vectors (
    row INTEGER PRIMARY KEY REFERENCES sightings (row) ON DELETE CASCADE,
    vector BLOB NOT NULL  -- little-endian float32
);
CREATE TABLE crops (
    row INTEGER PRIMARY KEY REFERENCES sightings (row) ON DELETE CASCADE,
    crop BLOB NOT NULL
);
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    user TEXT NOT NULL,
    action TEXT NOT NULL,
    counts TEXT NOT NULL
);
{AUDIT_TRIGGERS}
{ANSWERS_SCHEMA}
"""


def _read_triggers() -> dict[str, str | None]:
    """Return the SQL of the audit log's triggers by name, as SQLite stores it."""
    statements = re.findall(r"CREATE TRIGGER (\w+)(.*?END);", AUDIT_TRIGGERS, re.DOTALL)
    return {name: f"CREATE TRIGGER {name}{body}" for name, body in statements}


TRIGGERS = _read_triggers()
