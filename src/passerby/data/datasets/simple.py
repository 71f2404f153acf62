"""Generated people (`passerby.synth.simple`): rendered once into the cache, then read like Market-1501. Nobody is real.

`simple:identities=24,cameras=3,images=4,seed=0`; the options follow the colon, for there is no path. The cache is
`$PASSERBY_CACHE`, else `$XDG_CACHE_HOME/passerby`, else `~/.cache/passerby`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from passerby.data.datasets.market1501 import read_layout
from passerby.data.datasets.source import Reader, Reading, Source
from passerby.errors import DataError


def cache_folder() -> Path:
    """Where generated data is kept between runs."""
    own = os.environ.get("PASSERBY_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "passerby"


def read_simple(source: Source) -> Reading:
    """Render the people if these settings were never rendered here, and read them.

    Raises:
        DataError: When an option is impossible, or the cache cannot be written.
    """
    settings = {
        "identities": source.integer("identities", default=24, low=4, high=9_999),
        "cameras": source.integer("cameras", default=3, low=2, high=64),
        "images": source.integer("images", default=4, low=2, high=1000),
        "seed": source.integer("seed", default=0, low=0, high=2**31 - 1),
    }
    root = _rendered(settings)
    variant = ", ".join(f"{value} {name}" for name, value in settings.items() if name != "seed")
    return read_layout(source, root, example="0002_c1s1_000451_03.jpg", variant=f"{variant}, seed {settings['seed']}")


def _rendered(settings: dict[str, int]) -> Path:
    """The folder with these people. It appears whole or not at all, however many processes ask at once."""
    from passerby.synth import simple

    # A renderer that has changed draws other people: the text of its whole room is part of the name.
    room = sorted(Path(simple.__file__).parent.glob("*.py"))
    drawn_by = hashlib.sha256(b"".join(file.read_bytes() for file in room)).hexdigest()[:8]
    final = cache_folder() / ("simple-" + "-".join(map(str, settings.values())) + f"-{drawn_by}")
    if final.is_dir():
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=final.name, dir=final.parent))
        try:
            simple.write_simple(
                draft,
                identities=settings["identities"],
                cameras=settings["cameras"],
                images=settings["images"],
                seed=settings["seed"],
            )
            if not final.is_dir():
                draft.rename(final)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        if not final.is_dir():  # another process may have been quicker with the same people
            raise DataError(f"simple: cannot render into {final.parent}: {error}; set PASSERBY_CACHE") from error
    return final


READER = Reader(
    read_simple,
    "generated people, no real ones: simple:identities=24,cameras=3,images=4,seed=0",
    {"identities": "N people", "cameras": "N", "images": "N per person and camera", "seed": "N"},
    has_path=False,
)
