"""Synthetic people (`passerby.synthesis`): rendered into the cache once, then read like Market-1501.

`synth:identities=1000,cameras=6,images=4,seed=0`; the options follow the colon, as there is no path. The cache folder
is `$PASSERBY_CACHE`, or `passerby` in the user's cache folder of the platform (`~/.cache` on Linux).
"""

from __future__ import annotations

from dataclasses import asdict

from passerby.data.datasets.market1501 import read_layout
from passerby.data.datasets.own_files import OPTIONS
from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult
from passerby.files import cache_folder


def read_synth(spec: DataSpec) -> ReaderResult:
    """Render the data set if it is not in the cache, and read it.

    Raises:
        DataError: When an option is out of its range, or the cache cannot be written.
        MissingExtraError: When numba is not installed.
    """
    from passerby.synthesis import dataset, write  # these load numba

    default = asdict(dataset.SynthSettings())
    options = {
        name: spec.integer(name, default=default[name], low=low, high=high)
        for name, (low, high) in dataset.RANGES.items()
    }
    key = "-".join(["synth", *map(str, options.values()), f"r{dataset.RENDERER_VERSION}"])
    root = cache_folder() / key
    write.synth(root, dataset.SynthSettings(**options))
    always_named = ("identities", "cameras", "images", "seed")
    variant = ", ".join(
        f"{name} {value}" if name == "seed" else f"{value} {name}"
        for name, value in options.items()
        if name in always_named or value != default[name]
    )
    return read_layout(spec, root, example="0002_c1s1_000451_01.jpg", variant=variant)


READER = Reader(
    read_synth,
    "synthetic people, rendered: synth:identities=24,cameras=3,images=4,seed=0",
    {
        "identities": "N",
        "cameras": "N",
        "images": "N per identity and camera",
        "seed": "N",
        "views": "N cameras of each identity, 0 for all",
        "test": "N identities of the test split, -1 for half",
        "lookalikes": "PERCENT of the identities that resemble another identity",
        "height": "PIXELS of an image, twice its width",
        **OPTIONS,
    },
    has_path=False,
)
