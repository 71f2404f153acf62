"""The run's diary: one JSON object a line in `log.jsonl`, and the same numbers for TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from passerby.errors import TrainingError
from passerby.files import write_atomic


class RunLog:
    """Appends records that carry a `step`; a resumed run first forgets what came after its checkpoint."""

    def __init__(self, jsonl: Path, tensorboard: Path, *, step: int = 0) -> None:
        records = [record for record in read_log(jsonl) if record["step"] <= step]
        write_atomic(jsonl, "".join(json.dumps(record) + "\n" for record in records).encode())
        self._file = jsonl.open("a", encoding="utf-8", buffering=1)
        self._board = SummaryWriter(str(tensorboard), purge_step=step + 1 if step else None)

    def write(self, record: dict[str, Any]) -> None:
        """Append one record; numbers under `losses` and `scores` and the learning rate also go to TensorBoard."""
        with self._named():
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
        """Put everything on the disk, before the checkpoint that counts on it."""
        with self._named():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._board.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """An error of the disk says which file it met."""
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"{self._file.name}: not written ({error.strerror or error}); the last checkpoint is intact. "
                "Free space there, then continue with --resume"
            ) from None

    def close(self) -> None:
        """Finish both logs."""
        self._file.close()
        self._board.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Every whole record of `log.jsonl`; a last line that a kill cut short is dropped. Empty when there is no file."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
