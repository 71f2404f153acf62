"""Folders of stores, and stores that are closed after a test."""

import pytest

from passerby.gallery.stores.sqlite import SqliteStore


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "gallery"


@pytest.fixture
def closed_stores(monkeypatch):
    """Close every store that a test opens."""
    stores = []
    original = SqliteStore.__init__

    def recording_init(self, *arguments, **options):
        original(self, *arguments, **options)
        stores.append(self)

    monkeypatch.setattr(SqliteStore, "__init__", recording_init)
    yield
    for item in stores:
        item.close()
