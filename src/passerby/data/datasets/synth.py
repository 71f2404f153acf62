"""Rendered people (`passerby.synthesis`): rendered once into the cache, then read like Market-1501. Nobody is real.

`synth:identities=1000,cameras=6,images=4,seed=0`; the options follow the colon, for there is no path. The cache is
`$PASSERBY_CACHE`, else `$XDG_CACHE_HOME/passerby`, else `~/.cache/passerby`.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from passerby.data.datasets.market1501 import read_layout
from passerby.data.datasets.source import Reader, Reading, Source


def cache_folder() -> Path:
    """Where generated data is kept between runs."""
    own = os.environ.get("PASSERBY_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "passerby"


def read_synth(source: Source) -> Reading:
    """Render the people if these settings were never rendered here, and read them.

    Raises:
        DataError: When an option is impossible, or the cache cannot be written.
    """
    from passerby.synthesis import dataset, write  # numba, which takes a second, only where people are rendered

    default = asdict(dataset.SynthSettings())
    given = {
        name: source.integer(name, default=default[name], low=low, high=high)
        for name, (low, high) in dataset.RANGES.items()
    }
    settings = dataset.SynthSettings(**given)
    root = cache_folder() / "-".join(["synth", *map(str, given.values()), dataset.renderer()])
    write.write_people(root, settings)
    shown = ("identities", "cameras", "images", "seed")
    variant = ", ".join(
        f"{name} {value}" if name == "seed" else f"{value} {name}"
        for name, value in given.items()
        if name in shown or value != default[name]
    )
    return read_layout(source, root, example="0002_c1s1_000451_01.jpg", variant=variant)


READER = Reader(
    read_synth,
    "rendered people, no real ones: synth:identities=24,cameras=3,images=4,seed=0",
    {
        "identities": "N people",
        "cameras": "N",
        "images": "N per person and camera",
        "seed": "N",
        "views": "N cameras that see a person, 0 for all",
        "test": "N people of the test split, -1 for half",
        "lookalikes": "PERCENT of the people who look like somebody else",
        "height": "PIXELS of an image, twice its width",
    },
    has_path=False,
)
