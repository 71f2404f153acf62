"""`passerby synth`: render a data set of synthetic people."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from passerby.cli.common import require_image_name, save_image
from passerby.errors import DataError
from passerby.text import plural

if TYPE_CHECKING:
    from passerby.synthesis.dataset import SynthSettings


def synth(
    out: Annotated[Path | None, typer.Option(help="Folder to write, in the layout of Market-1501.")] = None,
    preview: Annotated[
        Path | None, typer.Option(help="Write only a contact sheet of the first identities, .png or .jpg.")
    ] = None,
    identities: Annotated[int, typer.Option(help="Number of identities.")] = 1000,
    cameras: Annotated[int, typer.Option(help="Number of cameras.")] = 6,
    images: Annotated[int, typer.Option(help="Images of each identity in each of its cameras.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed. Equal seeds give equal images.")] = 0,
    views: Annotated[int, typer.Option(help="Cameras of each identity; 0 is all of them.")] = 0,
    test: Annotated[int, typer.Option(help="Identities of the test split; -1 is half of them.")] = -1,
    lookalikes: Annotated[int, typer.Option(help="Percent of the identities that resemble another identity.")] = 25,
    height: Annotated[int, typer.Option(help="Height of an image in pixels; the width is half of it.")] = 128,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that render; one per CPU core by default.")
    ] = None,
) -> None:
    """Render a data set of synthetic people: images, masks, and the parameters of each image in images.parquet."""
    from passerby.synthesis.dataset import SynthSettings
    from passerby.synthesis.write import synth

    if (out is None) == (preview is None):
        raise DataError("synth: expected either --out FOLDER or --preview IMAGE")
    settings = SynthSettings(identities, cameras, images, seed, views, test, lookalikes, height)
    if preview is not None:
        require_image_name(preview, option="--preview")
        _preview(settings, preview)
        return
    assert out is not None
    result = synth(out, settings, workers=workers, progress=True)
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{plural(result.images, 'image')} of {plural(result.identities, 'synthetic identity')}: {escape(str(out))}"
    )
    console.print(f"[dim]To train:[/] passerby train --recipe demo --data market1501:{escape(str(out))} --out RUN")


def _preview(settings: SynthSettings, path: Path) -> None:
    """Write a contact sheet of the first identities in the first cameras."""
    from dataclasses import replace

    from passerby.data.contact_sheet import draw_contact_sheet
    from passerby.data.datasets import DATASETS
    from passerby.data.datasets.spec import parse_spec
    from passerby.synthesis.write import synth

    few = replace(
        settings,
        identities=min(settings.identities, 10),
        cameras=min(settings.cameras, 6),
        images=min(settings.images, 3),
        views=0,
        test=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "rendered"
        synth(root, few, progress=True)
        (source,) = parse_spec(f"market1501:{root}", readers=DATASETS)
        data = replace(DATASETS["market1501"].read(source).data, name="synth", variant=f"seed {settings.seed}")
        save_image(draw_contact_sheet(data, identities=few.identities, images=few.images), path)
