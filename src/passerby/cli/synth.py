"""`passerby synth`: render people who do not exist."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from passerby.cli.common import require_image_name, save_image
from passerby.errors import DataError

if TYPE_CHECKING:
    from passerby.synthesis.dataset import SynthSettings


def synth(
    out: Annotated[Path | None, typer.Option(help="Folder to write, in the layout of Market-1501.")] = None,
    preview: Annotated[Path | None, typer.Option(help="Only a picture of the first people, .png or .jpg.")] = None,
    identities: Annotated[int, typer.Option(help="People.")] = 1000,
    cameras: Annotated[int, typer.Option(help="Cameras.")] = 6,
    images: Annotated[int, typer.Option(help="Images of each person in each camera.")] = 4,
    seed: Annotated[int, typer.Option(help="The same seed gives the same images.")] = 0,
    views: Annotated[int, typer.Option(help="Cameras that see one person; 0 is all of them.")] = 0,
    test: Annotated[int, typer.Option(help="People of the test split; -1 is half of them.")] = -1,
    lookalikes: Annotated[int, typer.Option(help="Percent of the people who look like somebody else.")] = 25,
    height: Annotated[int, typer.Option(help="Of an image in pixels; it is half as wide.")] = 128,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that render; default one for each core.")
    ] = None,
) -> None:
    """Render people who do not exist: images, masks, and every parameter of every image in images.parquet."""
    from passerby.synthesis.dataset import SynthSettings
    from passerby.synthesis.write import write_people

    if (out is None) == (preview is None):
        raise DataError("synth: expected either --out FOLDER or --preview PICTURE")
    settings = SynthSettings(identities, cameras, images, seed, views, test, lookalikes, height)
    if preview is not None:
        require_image_name(preview, option="--preview")
        _preview(settings, preview)
        return
    assert out is not None
    write_people(out, settings, workers=workers, progress=True)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{settings.total:,} images of {identities:,} people who do not exist: {escape(str(out))}")
    console.print(f"[dim]Train on them:[/] passerby train --recipe demo --data market1501:{escape(str(out))} --out RUN")


def _preview(settings: SynthSettings, picture: Path) -> None:
    """The first people in the first cameras, as a contact sheet."""
    from dataclasses import replace

    from passerby.data.contact_sheet import contact_sheet
    from passerby.data.datasets import DATASETS
    from passerby.data.datasets.source import parse_spec
    from passerby.synthesis.write import write_people

    few = replace(
        settings,
        identities=min(settings.identities, 10),
        cameras=min(settings.cameras, 6),
        images=min(settings.images, 3),
        views=0,
        test=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        people = Path(folder) / "people"
        write_people(people, few, progress=True)
        (source,) = parse_spec(f"market1501:{people}", readers=DATASETS)
        data = replace(DATASETS["market1501"].read(source).data, name="synth", variant=f"seed {settings.seed}")
        save_image(contact_sheet(data, people=few.identities, per_camera=few.images), picture)
