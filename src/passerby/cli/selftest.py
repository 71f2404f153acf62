"""`passerby selftest`: check training, ranking, resuming and export on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from passerby.cli.common import Device, Json, print_json


def selftest(
    device: Device = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="The smallest size: only whether every check runs.")] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file for the result.")] = None,
    as_json: Json = False,
) -> None:
    """Check a device: training steps in each precision against the roofline, ranking, DDP, resuming, export.

    Under ten minutes, from random weights and rendered people; convnext-ap at 256 x 128 on a GPU, a smaller network on
    the CPU. The exit code is 1 if a check failed.

    [bold]passerby selftest --device cuda --out gpu.json[/]
    """
    import json

    from passerby.files import write_atomic
    from passerby.out_paths import require_file
    from passerby.selftests.selftest import selftest as run_selftest

    if out is not None:
        require_file(out)
    result = run_selftest(device=device, size="quick" if quick else None, progress=True)
    tree = result.to_dict() | {"passed": result.passed}
    if out is not None:
        write_atomic(out, (json.dumps(tree, indent=2) + "\n").encode())
    if as_json:
        print_json(tree)
    else:
        typer.echo(result.to_markdown())
    if not result.passed:
        raise typer.Exit(1)
