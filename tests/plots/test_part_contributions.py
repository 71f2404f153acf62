"""Bars of part contributions. Oracle: the contributions that were given, read back from the figure."""

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.plots.part_contributions import PartContributions, plot_part_contributions

GRAY = np.full((32, 16, 3), 128, np.uint8)


def test_bars_are_proportional_to_the_contributions(drawn, tmp_path):
    contributions = np.array([0.4, 0.2, -0.1])
    pair = PartContributions(GRAY, GRAY, contributions, True, ("found", "camera 2"), ("part 1", "part 2", "whole"))
    files = plot_part_contributions([pair], tmp_path / "s.png", title="why")
    assert [path.suffix for path in files] == [".png"]
    (page,) = drawn[0].axes
    bars = [patch.get_width() for patch in page.patches if patch.get_facecolor()[3] > 0 and patch.get_linewidth() < 2]
    assert bars[0] == pytest.approx(2 * bars[1])
    assert bars[2] == 0
    texts = [text.get_text() for text in page.texts]
    assert {"0.40", "0.20", "-0.10", "similarity 0.50", "part 1", "whole", "found"} <= set(texts)


def test_no_pair_is_an_error(tmp_path):
    with pytest.raises(DataError, match="pairs: got none"):
        plot_part_contributions([], tmp_path / "x.png", title="")
