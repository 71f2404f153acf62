"""Map of embeddings. Oracle: the points that were given, read back from the figure."""

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.plots.embedding_map import plot_embedding_map


def test_highlighted_identities_are_named_at_one_of_their_images(drawn, tmp_path):
    points = np.array([[0.0, 0], [1, 1], [1, 2], [9, 9]])
    plot_embedding_map(
        points, tmp_path / "m.png", identities=[1, 2, 2, 2], cameras=[0, 0, 1, 0], highlighted=[2], title="t"
    )
    (note,) = drawn[0].axes[0].texts
    assert note.get_text() == "2"
    assert tuple(note.xy) == (1, 2)
    assert [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()] == ["camera 1", "camera 2"]


def test_no_point_is_an_error(tmp_path):
    with pytest.raises(DataError, match="points: got none"):
        plot_embedding_map(np.empty((0, 2)), tmp_path / "x.png", identities=[], cameras=[], highlighted=[], title="")
    assert list(tmp_path.iterdir()) == []
