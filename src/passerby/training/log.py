"""Log of a training: one JSON object per line in `log.jsonl`, and the same numbers for TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from passerby.errors import TrainingError, WriteError, explain
from passerby.files import parse_json, write_atomic


class RunLog:
    """Append records to the log.

    Args:
        jsonl: The file `log.jsonl`.
        tensorboard: Folder of TensorBoard's files.
        step: Step of the checkpoint that a run continues from; later records are removed.
    """

    def __init__(self, jsonl: Path, tensorboard: Path, *, step: int = 0) -> None:
        records = [record for record in read_log(jsonl) if record["step"] <= step]
        write_atomic(jsonl, "".join(json.dumps(record) + "\n" for record in records).encode())
        self._file = jsonl.open("a", encoding="utf-8", buffering=1)
        self._board = SummaryWriter(str(tensorboard), purge_step=step + 1 if step else None)

    def write(self, record: dict[str, Any]) -> None:
        """Append one record, which has a `step`. TensorBoard gets losses, scores, the learning rate and the speed."""
        with self._named_errors():
            self._file.write(json.dumps(record) + "\n")
            self._draw(record)

    def _draw(self, record: dict[str, Any]) -> None:
        for group in ("losses", "scores"):
            for key, value in record.get(group, {}).items():
                self._board.add_scalar(f"{group}/{key}", value, record["step"])
        for key in ("learning_rate", "images_per_second"):
            if key in record:
                self._board.add_scalar(key, record[key], record["step"])

    def sync(self) -> None:
        """Write everything to the disk. Call it before a checkpoint is saved, which relies on the log."""
        with self._named_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._board.flush()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn an error of the disk into a WriteError that names the file."""
        try:
            yield
        except OSError as error:
            raise WriteError(
                f"{self._file.name}: not written ({explain(error)}); the last checkpoint is intact. "
                "Free space there, then continue with `passerby train --resume RUN`"
            ) from None

    def close(self) -> None:
        """Close both logs."""
        self._file.close()
        self._board.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read all complete records of `log.jsonl`, without a last line that was cut short; none if there is no file.

    Epochs count from 1. Records of earlier versions, which have no `first_epoch`, count from 0 and are converted.

    Raises:
        TrainingError: For a file that is another log.

    Example:
        >>> read_log(Path("runs/m/log.jsonl"))[0]["step"]
        1
    """
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = parse_json(line)
        except ValueError:
            break
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            raise TrainingError(f"{path}: not a log of passerby; expected an object with a step on each line")
        if "first_epoch" not in record and isinstance(record.get("epoch"), int):
            record |= {"epoch": record["epoch"] + 1, "first_epoch": 1}
        records.append(record)
    return records
