"""The page. Oracle: its HTML, parsed."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from passerby.plots.style import new_figure, save
from passerby.reporting.page import PageFigure, PageSection, PageTable, render_page
from programs import require, require_module


def make_figure(tmp_path, name, **more):
    plot = new_figure(2, 1)
    plot.add_subplot().imshow(np.eye(3))
    path, _ = save(plot, [tmp_path / f"{name}.png", tmp_path / f"{name}.svg"])
    return PageFigure(path, f"caption of {name}", f"alt of {name}", **more)


def page(*sections):
    return render_page("A title", lead=["a lead"], notice="a notice", sections=sections, footer="the end")


def test_plots_and_tables_are_numbered_across_sections(tmp_path):
    first = PageSection("One", ("words",), (make_figure(tmp_path, "a"), PageTable("g", ("x", "y"), (("r", "1"),))))
    second = PageSection(
        "Two", (), (make_figure(tmp_path, "b"), PageTable("h", ("x", "y"), (("r", "2"),), text_columns=1))
    )
    html = page(first, second, PageSection("Empty"))
    assert re.findall(r"Figure \d", html) == ["Figure 1", "Figure 2"]
    assert re.findall(r"Table \d", html) == ["Table 1", "Table 2"]
    assert 'href="#one"' in html
    assert 'id="two"' in html
    assert "Empty" not in html
    assert 'alt="alt of b"' in html


def test_charts_are_embedded_as_svg_and_crops_as_pixels(tmp_path):
    html = page(PageSection("One", (), (make_figure(tmp_path, "a"), make_figure(tmp_path, "b", crops=True))))
    kinds = re.findall(r'src="data:image/([a-z+]+);base64,([^"]+)"', html)
    assert [kind for kind, _ in kinds] == ["svg+xml", "webp"]
    with Image.open(io.BytesIO(base64.b64decode(kinds[1][1]))) as image:
        assert image.size == (300, 150)
    assert html.count('width="192" height="96"') == 2


def test_the_page_loads_nothing_and_runs_no_script(tmp_path):
    html = page(PageSection("One", ("<script>alert(1)</script>",), (make_figure(tmp_path, "a"),)))
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    assert "default-src 'none'" in html


def test_a_missing_plot_is_named(tmp_path):
    with pytest.raises(OSError, match=re.escape("gone.png")):
        page(PageSection("One", (), (PageFigure(tmp_path / "gone.png", "", ""),)))


def test_a_table_that_scrolls_has_a_shadow_at_the_edges_with_more_columns(tmp_path):
    """Oracle: the brightness of the outermost pixels of the table in a browser of 390 pixels, 255 for white."""
    path, playwright = require("chromium"), require_module("playwright.sync_api")
    columns = tuple(f"column {number}" for number in range(12))
    wide, narrow = PageTable("wide", columns, (columns,) * 8), PageTable("narrow", ("x", "y"), (("a", "1"),) * 8)
    (tmp_path / "page.html").write_text(page(PageSection("One", (), (wide, narrow))))

    def measure_edges(table):
        with Image.open(io.BytesIO(table.screenshot())) as image:
            return np.median(np.asarray(image.convert("L"))[:, [0, -1]], axis=0).tolist()

    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 390, "height": 900})
        tab.goto((tmp_path / "page.html").as_uri())
        first, second = tab.locator(".table").all()
        left, right = measure_edges(first)
        assert (left, measure_edges(second)) == (255, [255, 255])
        assert right < 220
        first.evaluate("table => { table.scrollLeft = table.scrollWidth }")
        left, right = measure_edges(first)
        assert (left < 220, right) == (True, 255)
