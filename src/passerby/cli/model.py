"""`passerby model`: parameters and multiply-adds of networks, runtimes, conversion of old runs, export, import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from passerby.cli.common import App, Json, Overrides, print_json
from passerby.cli.model_export import export_command
from passerby.cli.model_import import import_command
from passerby.cli.model_runtimes import runtimes_command
from passerby.text import plural

if TYPE_CHECKING:
    from passerby.model.info import ModelInfo

app = App(
    name="model", help="Inspect networks, import and export models, and convert older runs.", no_args_is_help=True
)


@app.callback()
def model() -> None:
    """Inspect networks, import and export models, and convert older runs."""


app.command("export")(export_command)
app.command("import")(import_command)
app.command("runtimes")(runtimes_command)


@app.command("info")
def info_command(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a YAML file.")],
    identities: Annotated[int, typer.Option(min=0, help="Training identities.")] = 751,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Count parameters and multiply-adds of the recipe's network and its variants: Baseline, A, P and AP."""
    from passerby.model.info import variants_info
    from passerby.recipe import load_recipe

    settings = load_recipe(recipe, overrides=overrides or ())
    counts = variants_info(settings.model.model_dump(), identities=identities, size=settings.images.size)
    if as_json:
        print_json({name: info.to_dict() for name, info in counts.items()})
        return
    height, width = settings.images.size
    title = f"{settings.model.backbone}, {height} x {width} pixels, {plural(identities, 'training identity')}"
    Console().print(_build_table(title, counts))


@app.command("upgrade")
def upgrade_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, finished or not.")],
) -> None:
    """Convert runs of an older version. A copy of every file is kept until the conversion of a run is complete."""
    from passerby.runs.upgrade_run import upgrade_run

    for run in runs:
        typer.echo(f"{run}: {'converted' if upgrade_run(run) else 'up to date'}")


def _build_table(title: str, variants: dict[str, ModelInfo]) -> Table:
    """Build a table with a column for each variant."""
    table = Table(title=title)
    table.add_column("")
    for name in variants:
        table.add_column(name, justify="right")
    infos = list(variants.values())
    for heading, counts in (
        ("parameters", [info.parameters for info in infos]),
        ("multiply-adds of one image", [info.multiply_adds for info in infos]),
    ):
        table.add_row(f"[bold]{heading}[/]")
        for piece in counts[0]:
            table.add_row(f"  {piece}", *(_format(pieces[piece]) for pieces in counts))
        table.add_section()
    table.add_row("blocks with attention", *(str(info.attended_blocks) for info in infos))
    table.add_row("embedding width", *(str(info.embedding_width) for info in infos))
    table.add_row("map C x H x W", *("x".join(map(str, info.map)) for info in infos))
    return table


def _format(count: int) -> str:
    """Format as 10.03 G, 87.566 M or 0."""
    if count >= 1e9:
        return f"{count / 1e9:.2f} G"
    return f"{count / 1e6:.3f} M" if count else "0"
