"""Searchable gallery of sightings with audit log, retention and erasure."""
