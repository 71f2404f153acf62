"""Images of the results of `search`, `identify` and `cluster` (`--open`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from passerby.cli.common import require_image_name
from passerby.text import format_time, plural

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from passerby.gallery.gallery import Gallery
    from passerby.gallery.sightings import Hit, Sighting, SightingInfo

Plot = Annotated[Path | None, typer.Option("--open", help="Plot the result into this PNG file and open it.")]
MAX_CLUSTERS = 20
"""Clusters that are printed and plotted; --json has all."""
_MAX_CROPS = 10  # of a cluster


def check_plot(path: Path | None, inputs: Sequence[Path] = ()) -> None:
    """Check the file name before any work; the inputs are not replaced."""
    if path is not None:
        require_image_name(path, option="--open", inputs=inputs, endings=(".png",))


def plot_hits(gallery: Gallery, rows: Sequence[tuple[Path, str, Sequence[Hit]]], path: Path, *, title: str) -> None:
    """Plot a row of hits for each (image, heading, hits)."""
    from passerby.data.images import read_image
    from passerby.plots.crop_rows import CaptionedCrop, plot_crop_rows

    plotted: list[tuple[str, list[CaptionedCrop]]] = []
    for image, heading, hits in rows:
        crops = [CaptionedCrop(read_image(image), ("query", "", ""))]
        sightings = gallery.store.get([hit.id for hit in hits])
        for rank, (hit, sighting) in enumerate(zip(hits, sightings, strict=True), start=1):
            name = _shorten(hit.label or hit.camera)
            lines = (f"{rank}: {hit.distance:.3f}", name, hit.camera if hit.label else "")
            crops.append(CaptionedCrop(_decode_crop(sighting), lines))
        plotted.append((heading, crops))
    plot_crop_rows(plotted, path, title=title, across=11, note="rank: distance; below it label and camera")


def plot_clusters(
    gallery: Gallery,
    clusters: Sequence[Sequence[SightingInfo]],
    headings: Sequence[str],
    path: Path,
    *,
    title: str,
) -> None:
    """Plot a row of at most ten crops for each of the first clusters."""
    from passerby.plots.crop_rows import CaptionedCrop, plot_crop_rows

    plotted = []
    for heading, cluster in zip(headings[:MAX_CLUSTERS], clusters, strict=False):
        crops = [
            CaptionedCrop(
                _decode_crop(sighting),
                (_shorten(sighting.camera), format_time(sighting.time)[11:], _shorten(sighting.label or "")),
            )
            for sighting in gallery.store.get([info.id for info in _spread(cluster)])
        ]
        plotted.append((heading, crops))
    hidden = len(clusters) - len(plotted)
    plot_crop_rows(plotted, path, title=title, note=f"and {plural(hidden, 'more cluster')}" if hidden else "")


def show_plot(path: Path | None, *, quiet: bool) -> None:
    """Print the path of the plot, and open it if the output is a terminal."""
    if path is None:
        return
    if not quiet:
        typer.echo(f"{path}")
    if Console().is_terminal:
        typer.launch(str(path))


def _decode_crop(sighting: Sighting) -> NDArray[np.uint8] | None:
    """Decode the stored image of a sighting, within the limits of every image that is read; None if none is stored."""
    from passerby.data.images import decode_image

    assert sighting.crop is None or isinstance(sighting.crop, bytes)
    return None if sighting.crop is None else decode_image(sighting.crop, f"stored crop of {sighting.id}")


def _spread(cluster: Sequence[Any]) -> list[Any]:
    """Select at most `_MAX_CROPS`, evenly from first to last."""
    if len(cluster) <= _MAX_CROPS:
        return list(cluster)
    return [cluster[round(i * (len(cluster) - 1) / (_MAX_CROPS - 1))] for i in range(_MAX_CROPS)]


def _shorten(text: str, length: int = 13) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
