"""The files of a run. Every path of a run is named here and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passerby.errors import TrainingError, WeightsError, WriteError, argument, explain
from passerby.files import hold_lock, write_all_atomic, write_atomic
from passerby.out_paths import require_folder
from passerby.recipe import Recipe
from passerby.runtime.file_model import is_model_file
from passerby.runtime.model_manifest import PICTURES, model_folder, read_manifest
from passerby.runtime.projection import PROJECTION_FILE, calibration_file


class _Path:
    """Attribute of a run's folder: a path inside it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: RunFolder, _type: type | None = None) -> Path:
        return folder.root / self._name


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    Attributes:
        root: The folder itself.

    Example:
        >>> RunFolder(Path("runs/m")).scores.as_posix()
        'runs/m/scores.json'
    """

    root: Path

    recipe = _Path("recipe.yaml")
    """The recipe with all defaults."""
    manifest = _Path("manifest.json")
    """Data, code and settings of the model. Written before the first step."""
    model = _Path("model.safetensors")
    """The trained weights. Written when the training has ended."""
    checkpoint = _Path("checkpoints/last.safetensors")
    """The last state of the training, to resume from."""
    log = _Path("log.jsonl")
    """The training log, one JSON object a line."""
    tensorboard = _Path("tensorboard")
    """Folder of the training log for TensorBoard."""
    calibration = _Path(calibration_file(None))
    """The calibration of the model's distances."""
    projection = _Path(PROJECTION_FILE)
    """The projection of the model's vectors to fewer numbers."""
    scores = _Path("scores.json")
    """The metrics of every evaluation of the model."""
    pictures = _Path(PICTURES)
    """Folder of the pictures of an adaptation, with crops of its site."""
    plots = _Path("plots")
    """Folder of all plots."""
    learning_rate_plot = _Path("plots/learning-rate.png")
    """Plot of the learning rate over the training."""
    losses_plot = _Path("plots/losses.png")
    """Plot of the losses over the training."""

    def narrow_calibration(self, dims: int) -> Path:
        """Return the calibration of vectors that are projected to `dims`."""
        return self.root / calibration_file(dims)

    def evaluation_plots(self, title: str) -> Path:
        """Return the folder of the plots of one evaluation, named after its title."""
        words = "".join(character if character.isalnum() else " " for character in title).split()
        return self.plots / "-".join(words)

    def require_unused(self) -> None:
        """Check that a new run may be written here.

        Raises:
            TrainingError: If the folder holds a run or other files.
            WriteError: If it cannot be created or written.
        """
        require_folder(self.root)
        if self.manifest.exists():
            raise TrainingError(
                f"{self.root}: already holds a run; continue it with `passerby train --resume {self.root}`, or give "
                f"another {argument('out')}"
            )
        for path in self._written:
            if path.exists():
                raise TrainingError(f"{path}: is in the way of a new run; move it, or give another {argument('out')}")
        others = sorted(path.name for path in self.root.glob("*") if not path.name.startswith("."))
        if others:
            raise TrainingError(
                f"{self.root}: holds other files, such as {', '.join(others[:3])}; a run needs a new or empty folder: "
                f"give another {argument('out')}"
            )

    def create(self) -> None:
        """Create the folder if it does not exist.

        Raises:
            WriteError: If it cannot be created.
        """
        require_folder(self.root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(
                f"{self.root}: cannot be created ({explain(error)}); give another {argument('out')}"
            ) from None

    @contextmanager
    def lock(self, *, wait: bool = False) -> Iterator[None]:
        """Hold the folder, which is created, against other processes; delete drafts of an interrupted write.

        Args:
            wait: Wait until another process releases the folder.

        Raises:
            TrainingError: If another process holds it and `wait` is false.
            WriteError: If the folder cannot be created or written.
        """
        self.create()
        with ExitStack() as stack:
            try:
                stack.enter_context(hold_lock(self.root / ".lock", wait=wait))
            except BlockingIOError:
                raise TrainingError(
                    f"{self.root}: another process writes this run; wait for it to end, or give another "
                    f"{argument('out')}"
                ) from None
            for path in self._written:
                for draft in path.parent.glob(f".{path.name}.*.part"):  # as `write_atomic` names them
                    draft.unlink()
            yield

    def write_settings(self, recipe: Recipe, manifest: Mapping[str, Any]) -> None:
        """Write recipe and manifest; neither is replaced before both are on the disk."""
        write_all_atomic({self.recipe: recipe.to_yaml().encode(), self.manifest: to_json(manifest)})

    def set_aside(self, name: str) -> None:
        """Move the finished model, its metrics and its calibration into a folder of the run, which can be loaded.

        An interruption leaves the model in this folder, in the other one, or in both.
        """
        if not self.model.is_file():
            return
        files = (self.recipe, self.manifest, self.model, self.calibration, self.scores)
        write_all_atomic({self.root / name / path.name: path.read_bytes() for path in files if path.is_file()})
        stale = (self.projection, *self.root.glob("calibration-*.json"))  # of the model that is set aside
        for path in (self.model, self.calibration, self.scores, *stale):
            path.unlink(missing_ok=True)

    @property
    def _written(self) -> tuple[Path, ...]:
        return (self.manifest, self.recipe, self.model, self.checkpoint, self.log, self.scores, self.calibration)

    def read_manifest(self) -> dict[str, Any]:
        """Read the manifest of a run, finished or not.

        Raises:
            TrainingError: If the folder holds no run.
            WeightsError: If the manifest cannot be read, or is of another version.
        """
        if not self.manifest.is_file():
            raise TrainingError(
                f"{self.root}: no run here (no manifest.json); start one with "
                f"`passerby train --recipe RECIPE --data DATA --out {self.root}`"
            )
        return read_manifest(self.root)


def find_run(name: str | Path) -> RunFolder:
    """Find the folder of a finished run or of an imported model; `default` is that of the shipped model.

    Raises:
        WeightsError: For an ONNX or OpenVINO file, which has no recipe.

    Example:
        >>> find_run("runs/m").scores.as_posix()
        'runs/m/scores.json'
    """
    folder = model_folder(name)
    if not folder.is_dir() and (folder.is_file() or is_model_file(folder)):
        advice = f"import it: `passerby model import {name} --out DIR`" if folder.is_file() else "name another one"
        raise WeightsError(f"{name}: expected the folder of a run or of an imported model, or default; {advice}")
    return RunFolder(folder)


def to_json(tree: Any) -> bytes:
    """Return the bytes of an indented JSON file."""
    return (json.dumps(tree, indent=2) + "\n").encode()


def write_json(path: Path, tree: Any) -> None:
    """Write an indented JSON file completely or not at all.

    Raises:
        WriteError: As `write_atomic`.
    """
    write_atomic(path, to_json(tree))
