"""What the tests of pictures share."""

import pytest

from passerby.plots import curves, reliability


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, so that their lines can be read."""
    kept = []
    save = curves.save

    def keep(figure, path, **options):
        kept.append(figure)
        return save(figure, path, **options)

    for module in (curves, reliability):
        monkeypatch.setattr(module, "save", keep)
    return kept
