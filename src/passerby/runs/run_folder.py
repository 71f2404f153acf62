"""What a run leaves, and where: every path is named here, once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passerby.errors import TrainingError
from passerby.files import write_atomic


@dataclass(frozen=True)
class RunFolder:
    """One training and its figures."""

    root: Path

    @property
    def recipe(self) -> Path:
        """The recipe, every default written out."""
        return self.root / "recipe.yaml"

    @property
    def manifest(self) -> Path:
        """Which data, code and settings made the model; written at the start."""
        return self.root / "manifest.json"

    @property
    def model(self) -> Path:
        """The trained weights; there only when the training has finished."""
        return self.root / "model.safetensors"

    @property
    def checkpoint(self) -> Path:
        """The newest state to resume from."""
        return self.root / "checkpoints" / "last.safetensors"

    @property
    def log(self) -> Path:
        """One line of JSON per step."""
        return self.root / "log.jsonl"

    @property
    def tensorboard(self) -> Path:
        """The same numbers for TensorBoard."""
        return self.root / "tensorboard"

    @property
    def calibration(self) -> Path:
        """What distances mean, as probabilities."""
        return self.root / "calibration.json"

    @property
    def scores(self) -> Path:
        """Every evaluation of this model."""
        return self.root / "scores.json"

    @property
    def figures(self) -> Path:
        """Curves and rank lists."""
        return self.root / "figures"

    def require_unused(self) -> None:
        """Raise TrainingError when the folder holds a run, or a file that a run would overwrite."""
        if self.manifest.exists():
            raise TrainingError(f"{self.root}: already holds a run; continue it with --resume, or give another --out")
        for path in self._written:
            if path.exists():
                raise TrainingError(f"{path}: is in the way of a new run; move it, or give another --out")

    def make(self) -> None:
        """Create the folder if it is not there; sweep out what a kill in the middle of saving has left.

        Raises:
            TrainingError: When the folder cannot be made.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{self.root}: cannot be made ({error.strerror}); give another --out") from None
        for path in self._written:
            for draft in path.parent.glob(f".{path.name}.*.part"):  # as `write_atomic` names them
                draft.unlink()

    @property
    def _written(self) -> tuple[Path, ...]:
        return (self.manifest, self.recipe, self.model, self.checkpoint, self.log, self.scores)

    def read_manifest(self) -> dict[str, Any]:
        """The manifest of a run, finished or not.

        Raises:
            TrainingError: When the folder holds no run.
        """
        if not self.manifest.is_file():
            raise TrainingError(
                f"{self.root}: no run here (no manifest.json); start one with `passerby train --out {self.root}`"
            )
        try:
            manifest: dict[str, Any] = json.loads(self.manifest.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise TrainingError(f"{self.manifest}: not JSON ({error})") from None
        return manifest


def json_bytes(tree: Any) -> bytes:
    """Indented JSON, as a run keeps it."""
    return (json.dumps(tree, indent=2) + "\n").encode()


def write_json(path: Path, tree: Any) -> None:
    """Write indented JSON, whole or not at all."""
    write_atomic(path, json_bytes(tree))
