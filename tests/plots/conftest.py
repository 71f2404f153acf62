"""Fixtures of the plots' tests."""

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def drawn(monkeypatch):
    """List of the figures that were saved, in order, so that a test can read their lines and texts."""
    figures, savefig = [], Figure.savefig

    def keep(figure, *arguments, **options):
        if figure not in figures:  # a figure may be saved in several formats
            figures.append(figure)
        return savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures
