"""Self-test: everything that a device must do for training and evaluation, in one table."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.errors import PasserbyError, argument, explain
from passerby.progress import ProgressOption, open_progress
from passerby.selftests.check_table import CheckRow, SelfTest
from passerby.selftests.setup import MODES, SIZES, Size, build_recipe, find_reason, render_people
from passerby.text import plural

CHECKS = 11
"""Number of steps of the progress."""


def selftest(*, device: str = "auto", size: Size | None = None, progress: ProgressOption = False) -> SelfTest:
    """Check training, ranking, resuming and export on a device, from random weights and rendered people.

    A check that ends in an error is a failed row, and the others go on. What does not apply to the device is a row that
    gives the reason.

    Args:
        device: `auto`, `cpu`, `cuda` or `mps`.
        size: `full` (convnext-ap at 256 x 128, batch 64; for a GPU), `small` or `quick`; None is `full` on CUDA and
            `small` elsewhere.
        progress: True for a bar on stderr, or a callback, which receives the number of finished checks as task
            `selftest`.

    Raises:
        PasserbyError: For a device that is not there, or an unknown size.

    Example:
        >>> result = passerby.selftest(device="cpu", size="quick")
        >>> result.passed
        True
    """
    from passerby.distributed import Process, pick_device

    chosen = pick_device(device)
    name: Size = size or ("full" if chosen.type == "cuda" else "small")
    if name not in SIZES:
        raise PasserbyError(f"{argument('size')}: got {name!r}, expected one of {', '.join(SIZES)}")
    process = Process(0, 1, chosen)
    with open_progress(progress) as report, tempfile.TemporaryDirectory(prefix="passerby-selftest-") as scratch:
        table = _Table(report)
        _run_checks(table, name, process, Path(scratch))
    recipe = build_recipe(SIZES[name])
    height, width = recipe.images.size
    setup = (
        f"{recipe.model.backbone} with SimAM and {recipe.model.parts} refined parts, {height} x {width}, batches of "
        f"{recipe.batches.persons} x {recipe.batches.images}, random weights, rendered people (seed 0)"
    )
    return SelfTest(describe_machine(chosen), name, setup, table.rows)


def describe_machine(device: Any) -> dict[str, Any]:
    """Return the device, the processor, and the versions that a measurement depends on."""
    import torch

    from passerby import __version__
    from passerby.model.image_batches import count_cores

    machine = {"device": str(device), "cores": count_cores(), "python": platform.python_version()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        machine |= {"gpu": properties.name, "gpu memory GiB": round(properties.total_memory / 2**30, 1)}
        machine |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return machine | {"torch": torch.__version__, "passerby": __version__}


class _Table:
    """Rows of the checks so far; an error becomes a row."""

    def __init__(self, report: Any) -> None:
        self.rows: list[CheckRow] = []
        self._report, self._done = report, 0

    def add(self, name: str, check: Callable[[], CheckRow | list[CheckRow]]) -> list[CheckRow]:
        """Run a check and add its rows."""
        started = time.perf_counter()
        try:
            made = check()
        except Exception as error:
            reason = " ".join(explain(error).split()).replace("|", "/")
            made = CheckRow(name, "failed", f"{type(error).__name__}: {reason[:300]}")
        rows = made if isinstance(made, list) else [made]
        seconds = (time.perf_counter() - started) / len(rows)
        self.rows += [replace(row, seconds=seconds) for row in rows]
        self._done += 1
        self._report("selftest", min(self._done, CHECKS), CHECKS, rows[-1].name)
        return rows


def _run_checks(table: _Table, name: Size, process: Any, scratch: Path) -> None:
    import torch

    from passerby.runs.assemble import training_loader, training_state
    from passerby.selftests.agreement import compare_distances, compare_vectors
    from passerby.selftests.continuity import compare_group, compare_resumed, train_and_export
    from passerby.selftests.roofline import measure_rates
    from passerby.selftests.step_speed import first_batch, measure_pipeline, measure_steps, name_mode

    size, device = SIZES[name], process.device
    recipe = build_recipe(size)
    spec = render_people(size, recipe, scratch / "people")
    (data,) = load_data(spec)
    training_set = join_training([data])
    kinds = (torch.float32, torch.bfloat16, torch.float16)
    rates = measure_rates(device, side=size.side, kinds=kinds)
    table.rows.append(
        CheckRow(
            "rates of the device",
            "passed",
            ", ".join(
                f"{str(kind).removeprefix('torch.')} {rate / 1e12:.2f} TFLOP/s" for kind, rate in rates.flops.items()
            )
            + f" (product of matrices of {plural(size.side, 'row')}), copy {rates.bytes / 1e9:.0f} GB/s",
            {**{str(kind): rate for kind, rate in rates.flops.items()}, "bytes_per_second": rates.bytes},
        )
    )
    batch = first_batch(training_loader(recipe, training_set, process))
    speeds: dict[str, float] = {}
    reference: float | None = None
    for precision, compiled in MODES:
        title = name_mode(precision, compiled=compiled)
        if reason := find_reason(name, precision, compiled=compiled, device=device.type):
            table.rows.append(CheckRow(title, "not applicable", reason))
            continue
        changed = recipe.with_changes(training={"precision": precision, "compile": compiled})
        (row,) = table.add(
            title,
            lambda changed=changed, reference=reference: measure_steps(  # type: ignore[misc]
                changed, training_set, batch, process, rates=rates, seconds=size.seconds, reference=reference
            ),
        )
        if row.values:
            speeds[precision] = speeds.get(precision, row.values["images_per_second"])
            reference = reference or row.values["first_loss"]
        _free(device)
    fast = "bf16" if device.type == "cuda" and "bf16" in speeds else "fp32"
    if fast in speeds:
        chosen = recipe.with_changes(training={"precision": fast})
        table.add(
            "input pipeline",
            lambda: measure_pipeline(chosen, training_set, process, seconds=size.seconds, alone=speeds[fast]),
        )
    if device.type == "cuda":
        table.add("ranking", lambda: compare_distances(size.vectors, device))
    else:
        reason = f"distances are computed on the CPU or on CUDA, not on {device.type}"
        table.rows.append(CheckRow("ranking", "not applicable", reason))
    if device.type != "cpu":
        network, _ = training_state(recipe, 0, process)
        table.add("embedding", lambda: compare_vectors(network.eval(), recipe, data, device))
    else:
        reason = "the CPU is what other devices are compared with"
        table.rows += [CheckRow(title, "not applicable", reason) for title in ("embedding", "re-ranking")]
    table.add("DDP, one process", lambda: compare_group(recipe, training_set, process, steps=size.steps))
    checkpoint = scratch / "checkpoint.safetensors"
    table.add("resume", lambda: compare_resumed(recipe, training_set, process, steps=size.steps, path=checkpoint))
    table.add("whole run", lambda: train_and_export(recipe, spec, device, scratch))


def _free(device: Any) -> None:
    """Return the memory of the last check, and the compiled code, so that checks do not depend on their order."""
    import torch

    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()
