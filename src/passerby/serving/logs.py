"""Log of a service: one JSON object per line, without labels, file names, vectors, ids of sightings and queries."""

from __future__ import annotations

import json
import logging
import time
import traceback

from starlette.types import Scope

logger = logging.getLogger("passerby.serving")


class JsonFormatter(logging.Formatter):
    """Format records as JSON objects; the argument `extra={"fields": {...}}` adds values."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{moment}.{int(record.msecs):03d}Z", "level": record.levelname.lower()}
        return json.dumps({**line, "message": record.getMessage(), **getattr(record, "fields", {})})


def log_request(scope: Scope, route: str, status: int, received: int, started: float) -> None:
    """Log a request by its route, which has no value of the request in it."""
    fields = {
        "request": scope["request_id"],
        "method": scope["method"],
        "route": route,
        "status": status,
        "caller": getattr(scope.get("caller"), "name", None),
        "error": scope.get("error_code"),
        "bytes": received,
        "ms": round(1000 * (time.perf_counter() - started), 1),
    }
    logger.info("request", extra={"fields": fields})


def log_failure(request: str, error: BaseException) -> None:
    """Log an unexpected exception: its type and lines of code, not its message, which may contain a label."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    fields = {"request": request, "exception": type(error).__name__, "frames": frames[-20:]}
    logger.error("failed", extra={"fields": fields})
