"""Statistics of data sets. Oracle: the miniatures counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.layouts import write_cuhk03, write_image, write_market
from passerby.data.statistics import Statistics, stats
from passerby.errors import DataError


def test_market_1501_is_counted(tmp_path: Path) -> None:
    """Distractors are gallery images without an identity; junk is counted apart."""
    assert stats(f"market1501:{write_market(tmp_path)}") == [
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
            tracks=0,
            distractors=2,
            junk=3,
        )
    ]


def test_each_part_of_a_spec_has_a_result(tmp_path: Path) -> None:
    write_market(tmp_path / "m")
    write_cuhk03(tmp_path / "c")
    rows = stats(f"market1501:{tmp_path / 'm'}+cuhk03:{tmp_path / 'c'}?protocol=classic&images=detected")
    assert [row.data for row in rows] == ["market1501", "cuhk03 (detected, classic protocol, split 0)"]
    assert (rows[1].identities, rows[1].train_identities, rows[1].query_identities) == (13, 10, 3)
    assert rows[1].images == 13 * 10 - 3


def test_names_that_do_not_parse_are_refused(tmp_path: Path) -> None:
    write_image(write_market(tmp_path) / "query" / "x.jpg")
    with pytest.raises(DataError, match="1 entry"):
        stats(f"market1501:{tmp_path}")
