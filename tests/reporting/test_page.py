"""The page. Oracle: its own words, parsed."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from passerby.plots.style import new_figure, save
from passerby.reporting.page import PageFigure, PageSection, PageTable, render_page


def picture(tmp_path, name, **more):
    figure = new_figure(2, 1)
    figure.add_subplot().imshow(np.eye(3))
    path, _ = save(figure, tmp_path / f"{name}.png", vector=True)
    return PageFigure(path, f"caption of {name}", f"alt of {name}", **more)


def page(*sections, **more):
    words = {"lead": ["a lead"], "notice": "a notice", "footer": "the end", **more}
    return render_page("A title", sections=sections, **words)


def test_pictures_and_tables_are_numbered_through_the_chapters(tmp_path):
    first = PageSection("One", ("words",), (picture(tmp_path, "a"), PageTable("g", ("x", "y"), (("r", "1"),))))
    second = PageSection("Two", (), (picture(tmp_path, "b"), PageTable("h", ("x", "y"), (("r", "2"),), words=1)))
    made = page(first, second, PageSection("Empty", (), ()))
    assert re.findall(r"Figure \d", made) == ["Figure 1", "Figure 2"]
    assert re.findall(r"Table \d", made) == ["Table 1", "Table 2"]
    assert 'href="#one"' in made
    assert 'id="two"' in made
    assert "Empty" not in made
    assert 'alt="alt of b"' in made


def test_a_chart_is_embedded_as_vectors_and_photographs_as_pixels(tmp_path):
    made = page(PageSection("One", (), (picture(tmp_path, "a"), picture(tmp_path, "b", photographs=True))))
    kinds = re.findall(r'src="data:image/([a-z+]+);base64,([^"]+)"', made)
    assert [kind for kind, _ in kinds] == ["svg+xml", "webp"]
    with Image.open(io.BytesIO(base64.b64decode(kinds[1][1]))) as image:
        assert image.size == (300, 150)
    assert made.count('width="192" height="96"') == 2


def test_nothing_is_fetched_and_nothing_runs(tmp_path):
    made = page(PageSection("One", ("<script>alert(1)</script>",), (picture(tmp_path, "a"),)))
    assert "<script" not in made
    assert "&lt;script&gt;" in made
    assert not re.search(r'(src|href)="(?!data:|#)', made)
    assert "default-src 'none'" in made


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(OSError, match=re.escape("gone.png")):
        page(PageSection("One", (), (PageFigure(tmp_path / "gone.png", "", ""),)))
