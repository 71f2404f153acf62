"""Stores in a folder."""

from gallery.people import MODEL, NOW
from passerby.gallery.card import GalleryCard
from passerby.gallery.stores.sqlite import SqliteStore

CARD = GalleryCard(MODEL)


def embedded(folder, card=CARD, **options):
    """A store whose clock stands still."""
    return SqliteStore(folder, card, **({"user": "test", "clock": lambda: NOW} | options))
