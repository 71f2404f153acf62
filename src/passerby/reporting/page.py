"""One self-contained HTML file: words, tables and pictures in, a page out that opens without a network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

_LARGEST_SVG = 300_000  # bytes; above it the picture of pixels is the smaller one
_QUALITY = 88


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page.

    Attributes:
        path: Its PNG, with an SVG of the same name beside it.
        caption: What it shows, one or two sentences.
        alt: What a reader who cannot see it should know.
        photographs: Whether it is made of photographs, which are embedded as pixels.
        narrow: Whether two of them stand side by side on a wide screen.
    """

    path: Path
    caption: str
    alt: str
    photographs: bool = False
    narrow: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table of the page.

    Attributes:
        caption: What it shows.
        columns: Headings.
        rows: Cells, as many in each row as there are headings; the first is the row's name.
        words: How many columns at the right end hold words, which may be long; the others, figures.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 0


@dataclass(frozen=True)
class PageSection:
    """A chapter of the page.

    Attributes:
        title: Its heading, different from all others.
        text: Paragraphs below it.
        parts: Its pictures and tables, in order.
    """

    title: str
    text: tuple[str, ...]
    parts: tuple[PageFigure | PageTable, ...]

    @property
    def anchor(self) -> str:
        """Where a link to it leads."""
        return "-".join("".join(letter if letter.isalnum() else " " for letter in self.title.lower()).split())


def render_page(title: str, *, lead: Sequence[str], notice: str, sections: Sequence[PageSection], footer: str) -> str:
    """The page as HTML.

    Args:
        title: Its heading.
        lead: Paragraphs below the heading.
        notice: What a reader must know before anything else, such as whose images these are.
        sections: Its chapters; those without a part are left out.
        footer: What stands below.

    Raises:
        OSError: When a picture's file cannot be read.
    """
    environment = Environment(
        loader=PackageLoader("passerby.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embed"] = _embedded
    environment.tests["picture"] = lambda part: isinstance(part, PageFigure)
    shown = [section for section in sections if section.parts or section.text]
    return environment.get_template("page.html.j2").render(
        title=title, lead=lead, notice=notice, sections=shown, footer=footer
    )


def _embedded(picture: PageFigure) -> dict[str, str | int]:
    """The picture as a data address, with the size that it is shown at (CSS pixels, 96 an inch)."""
    with Image.open(picture.path) as image:
        width, height = (round(length * 96 / 150) for length in image.size)
        vector = picture.path.with_suffix(".svg")
        if not picture.photographs and vector.is_file() and vector.stat().st_size <= _LARGEST_SVG:
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
