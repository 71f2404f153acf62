"""Errors of requests: JSON for the interface, a page for the pages, with the id of the request in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TypeGuard, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from passerby.errors import MissingExtraError, PasserbyError
from passerby.serving.batching import QueueFullError
from passerby.text import suggest

ErrorPage = Callable[[int, str, Mapping[str, str]], Response]
"""Takes the status, the message and further headers."""


class ErrorDetail(BaseModel):
    """Cause of an error."""

    code: str
    message: str
    request: str


class ErrorReply(BaseModel):
    """Body of every reply with a status of 400 or more."""

    error: ErrorDetail


class RequestError(HTTPException):
    """A request that is refused.

    Args:
        status: HTTP status.
        code: Short name of the cause, which does not change between versions.
        message: What was received, what was expected, what to do.
        headers: Further headers of the reply.
    """

    def __init__(self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.code = code


def overloaded() -> RequestError:
    """Return the error of a full queue."""
    message = "the queue is full; repeat the request after the seconds in the header Retry-After"
    return RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "queue_full", message, headers={"Retry-After": "1"})


def add_error_handlers(app: FastAPI) -> None:
    """Convert the errors of the package and of the framework to `ErrorReply`."""

    @app.exception_handler(HTTPException)
    def answer_http(request: Request, error: HTTPException) -> Response:
        code = error.code if isinstance(error, RequestError) else HTTPStatus(error.status_code).name.lower()
        headers = dict(error.headers or {})
        return make_error(request, error.status_code, code, _describe(request, error), headers=headers)

    @app.exception_handler(RequestValidationError)
    def answer_validation(request: Request, error: RequestValidationError) -> Response:
        return make_error(request, 422, "invalid", describe_problems(error.errors()))

    @app.exception_handler(PasserbyError)
    def answer_package(request: Request, error: PasserbyError) -> Response:
        if isinstance(error, MissingExtraError):
            return make_error(request, 501, "missing_extra", str(error))
        return make_error(request, 400, "refused", str(error))

    @app.exception_handler(QueueFullError)
    def answer_full(request: Request, _error: QueueFullError) -> Response:
        return answer_http(request, overloaded())


def is_interface(path: str) -> bool:
    """Return whether a path is one of programs, whose errors are JSON.

    Example:
        >>> is_interface("/v1/stats"), is_interface("/healthz"), is_interface("/people")
        (True, True, False)
    """
    return path.startswith("/v1/") or path in ("/metrics", "/openapi.json", "/healthz", "/readyz")


def _describe(request: Request, error: HTTPException) -> str:
    """Return the message of an error; those of the framework name the path or method that were received."""
    if isinstance(error, RequestError) or not is_interface(request.url.path):
        return str(error.detail)
    received = f"{request.method} {request.url.path[:200]}"
    if error.status_code == HTTPStatus.NOT_FOUND:
        return f"{received}: no such path; expected one of those at /docs"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{received}: no such method of this path; expected {(error.headers or {}).get('Allow')}"
    return str(error.detail)


def describe_problems(problems: object, model: type[BaseModel] | None = None) -> str:
    """Name the fields of pydantic's errors and what was expected there, without the values that were received.

    Args:
        problems: Errors of pydantic.
        model: The body, whose fields are listed for an unknown one.
    """
    assert isinstance(problems, list | tuple)
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'] if part != 'body') or 'body'}: "
        f"{_describe_unknown(problem['loc'], model) if problem['type'] == 'extra_forbidden' else problem['msg']}"
        for problem in problems[:5]
    )


def _describe_unknown(location: Sequence[str | int], model: type[BaseModel] | None) -> str:
    """Describe a field that does not exist, by the fields of the part of the body that it is in."""
    for name in location[:-1]:
        if model is not None and isinstance(name, str):
            annotation = model.model_fields[name].annotation
            model = next((part for part in (annotation, *get_args(annotation)) if _is_model(part)), None)
    if model is None:
        return "no such field; see /docs"
    return f"no such field; {suggest(str(location[-1]), model.model_fields)}expected {', '.join(model.model_fields)}"


def _is_model(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def make_error(
    request: Request, status: int, code: str, message: str, *, headers: dict[str, str] | None = None
) -> Response:
    """Make the reply to a request that failed: JSON for the interface, else a page."""
    detail = ErrorDetail(code=code, message=message, request=request.scope.get("request_id", ""))
    request.scope["error_code"] = code
    if not is_interface(request.url.path):
        show: ErrorPage = request.app.state.show_error
        return show(status, message, headers or {})
    return JSONResponse(ErrorReply(error=detail).model_dump(), status, headers=headers)
