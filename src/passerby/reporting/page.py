"""One HTML file from texts, tables and plots. It loads nothing from a network and runs no script."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from passerby.extras import require_extra
from passerby.plots.style import DPI

_LARGEST_SVG = 300_000  # bytes; a larger plot is embedded as pixels, which take less space
_QUALITY = 88  # of WebP
_CSS_DPI = 96  # CSS pixels per inch


@dataclass(frozen=True)
class PageFigure:
    """A plot on the page.

    Attributes:
        path: PNG, with an SVG of the same name beside it unless the plot consists of crops.
        caption: One or two sentences.
        alt: Description for readers who cannot see the plot.
        crops: Whether the plot consists of crops; it is then embedded as pixels.
        narrow: Whether two such plots are placed side by side on a wide screen.
    """

    path: Path
    caption: str
    alt: str
    crops: bool = False
    narrow: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the plot."""
        return (self.path,) if self.crops else (self.path, self.path.with_suffix(".svg"))


@dataclass(frozen=True)
class PageTable:
    """A table on the page.

    Attributes:
        caption: One or two sentences.
        columns: Headings.
        rows: Cells, one for each heading; the first names the row.
        text_columns: Number of columns at the right end that hold text, which may wrap; the others hold numbers.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 0


@dataclass(frozen=True)
class PageSection:
    """A section of the page. A section without text and parts is left out.

    Attributes:
        title: Heading, unique on the page.
        text: Paragraphs below the heading.
        parts: Plots and tables, in order.
    """

    title: str
    text: tuple[str, ...] = ()
    parts: tuple[PageFigure | PageTable, ...] = ()

    @property
    def anchor(self) -> str:
        """Id of the section in the page."""
        return "-".join("".join(letter if letter.isalnum() else " " for letter in self.title.lower()).split())


def render_page(title: str, *, lead: Sequence[str], notice: str, sections: Sequence[PageSection], footer: str) -> str:
    """Render the page as HTML.

    Args:
        title: Heading.
        lead: Paragraphs below the heading.
        notice: Boxed text above all sections, such as whose images the page holds.
        sections: Sections in order.
        footer: Text at the end.

    Raises:
        MissingExtraError: When jinja2 is not installed.
        OSError: When the file of a plot cannot be read.
    """
    jinja2 = require_extra("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("passerby.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embed"] = _embed
    environment.tests["figure"] = lambda part: isinstance(part, PageFigure)
    shown = [section for section in sections if section.parts or section.text]
    page: str = environment.get_template("page.html.j2").render(
        title=title, lead=lead, notice=notice, sections=shown, footer=footer
    )
    return page


def _embed(figure: PageFigure) -> dict[str, str | int]:
    """Return the plot as a data URL, with its width and height in CSS pixels."""
    with Image.open(figure.path) as image:
        width, height = (round(length * _CSS_DPI / DPI) for length in image.size)
        vector = figure.path.with_suffix(".svg")
        if not figure.crops and vector.is_file() and vector.stat().st_size <= _LARGEST_SVG:
            kind, content = "svg+xml", vector.read_bytes()
        else:
            out = BytesIO()
            image.convert("RGB").save(out, "WEBP", quality=_QUALITY, method=4)
            kind, content = "webp", out.getvalue()
    return {
        "source": f"data:image/{kind};base64,{base64.b64encode(content).decode()}",
        "width": width,
        "height": height,
    }
