"""Counted by hand on the miniatures."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.layouts import write_cuhk03, write_image, write_market
from passerby.data.statistics import Statistics, statistics
from passerby.errors import DataError


def test_market_is_counted_as_table_1_counts(tmp_path: Path) -> None:
    """Distractors are images of the gallery and nobody's identity; junk is neither."""
    assert statistics(f"market1501:{write_market(tmp_path)}") == [
        Statistics(
            data="market1501",
            identities=4,
            images=13,
            cameras=4,
            train_identities=2,
            train_images=5,
            query_identities=2,
            query_images=3,
            gallery_identities=2,
            gallery_images=5,
            distractors=2,
            junk=3,
        )
    ]


def test_each_set_of_a_spec_has_a_row(tmp_path: Path) -> None:
    write_market(tmp_path / "m")
    write_cuhk03(tmp_path / "c")
    rows = statistics(f"market1501:{tmp_path / 'm'}+cuhk03:{tmp_path / 'c'}?protocol=classic&images=detected")
    assert [row.data for row in rows] == ["market1501", "cuhk03 (detected, classic protocol, split 0)"]
    assert (rows[1].identities, rows[1].train_identities, rows[1].query_identities) == (13, 10, 3)
    assert rows[1].images == 13 * 10 - 3


def test_names_that_do_not_parse_stop_the_count(tmp_path: Path) -> None:
    write_image(write_market(tmp_path) / "query" / "x.jpg")
    with pytest.raises(DataError, match="1 entry"):
        statistics(f"market1501:{tmp_path}")
