"""Hide the messages of converters; the exported file is compared with its model."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

LOGGERS = ("torch.onnx", "torch.utils", "onnxscript", "onnx_ir", "nncf")


@contextmanager
def hide_messages() -> Iterator[None]:
    """Hide warnings, standard output (bars) and the log lines of `LOGGERS` below errors."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
