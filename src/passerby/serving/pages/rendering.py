"""Functions of all pages: templates, access, errors as a page, and the review in its thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from passerby.errors import GalleryError
from passerby.gallery.gallery import Gallery
from passerby.gallery.review_results import Identity
from passerby.openset.calibration import Calibration
from passerby.serving.access import Caller
from passerby.serving.pages.words import NUMBERS, WORDS
from passerby.serving.service import GalleryService

if TYPE_CHECKING:
    from passerby.gallery.review import Review

Value = TypeVar("Value")
HEADERS = {"Referrer-Policy": "same-origin"}
"""Without it a browser sends the forms of the pages with the origin `null`, which the service refuses."""
_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def format_time(seconds: float | None) -> str:
    """Write a time for people, in UTC.

    Example:
        >>> format_time(0.0)
        '1970-01-01 00:00:00'
    """
    return WORDS["no_time"] if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def format_percent(fraction: float) -> str:
    """Write a probability for people: never as 0 % or 100 %, since none is certain. The space does not break.

    Example:
        >>> [format_percent(chance).split() for chance in (0.5, 0.999, 0.001)]
        [['50', '%'], ['over', '99', '%'], ['under', '1', '%']]
    """
    if fraction > 0.99:
        return WORDS["over"] % 99
    return WORDS["under"] % 1 if fraction < 0.01 else f"{100 * fraction:.0f}\N{NO-BREAK SPACE}%"


def count_words(number: int, name: str) -> str:
    """Write a number with its noun in the singular or plural; a noun that is not in `NUMBERS` stays as it is.

    Example:
        >>> count_words(1, "sightings"), count_words(1200, "sightings")
        ('1 sighting', '1,200 sightings')
    """
    one, many = NUMBERS.get(name, (name, name))
    return f"{number:,} {one if number == 1 else many}"


def name_identity(identity: Identity) -> str:
    """Return the name of an identity, or else the labels of its sightings, the most frequent first.

    People with different labels can be merged; their labels are shown until the identity has a name.

    Example:
        >>> name_identity(Identity("i1", "Ada", ()))
        'Ada'
    """
    if identity.label is not None:
        return identity.label
    labels = Counter(member.sighting.label for member in identity.members if member.sighting.label is not None)
    return " / ".join(sorted(labels, key=lambda label: (-labels[label], label))) or WORDS["unnamed"]


_environment.filters["name"] = name_identity
_environment.filters["noun"] = lambda number, name: NUMBERS[name][number != 1]
_environment.filters["time"] = format_time
_environment.filters["percent"] = format_percent
_environment.filters["path"] = lambda text: quote(text, safe="")
_environment.filters["count"] = count_words


def show_error(status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Show a refused request as a page; a missing token leads to the page that asks for one."""
    if status == 401:
        return RedirectResponse("/sign-in", 303, headers=HEADERS)
    page = render("error.html", status=status, message=message)
    page.headers.update(headers)
    return page


def render(template: str, *, status: int = 200, **values: Any) -> Response:
    """Render a page."""
    page = _environment.get_template(template).render(words=WORDS, page=template.removesuffix(".html"), **values)
    return HTMLResponse(page, status, headers=HEADERS)


def start_path() -> str:
    """Return the path of the first page: Review, or Find if the extra for reviews is missing."""
    return "/find" if find_spec("numba") is None else "/review"


def go(path: str, *, did: Sequence[int] = ()) -> Response:
    """Send the browser to a page after an action.

    Args:
        path: Path of the page.
        did: Numbers of the actions of the review, which the page offers to undo together.
    """
    query = f"{'&' if '?' in path else '?'}did={'-'.join(map(str, did))}" if did else ""
    return RedirectResponse(path + query, 303, headers=HEADERS)


def read_actions(did: str) -> list[int]:
    """Return the numbers of the actions in the parameter `did` of a page; none for another text.

    Example:
        >>> read_actions("3-4"), read_actions("x")
        ([3, 4], [])
    """
    parts = did.split("-")
    return [int(part) for part in parts] if did and all(part.isascii() and part.isdigit() for part in parts) else []


def find_calibration(gallery: Gallery) -> Calibration | None:
    """Return the calibration of the gallery's model as it is now, None without one."""
    try:
        return gallery.calibration
    except GalleryError:
        return None


async def call_review(request: Request, caller: Caller, function: Callable[[Review], Value]) -> Value:
    """Run a function with the review of the gallery, beside searches."""
    service: GalleryService = request.app.state.service
    return await service.call(lambda gallery: function(service.find_review(gallery)), user=caller.name, slow=True)


async def call_gallery(request: Request, caller: Caller, function: Callable[[Gallery], Value]) -> Value:
    """Run a function with the gallery in the thread that owns it."""
    service: GalleryService = request.app.state.service
    return await service.call(function, user=caller.name)
