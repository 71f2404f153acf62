"""Routes about the service itself: health, metrics, the page of its interface."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from jinja2 import Environment, FileSystemLoader
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from passerby.serving.access import Caller, allow
from passerby.serving.service import GalleryService

router = APIRouter(tags=["status"])
_TEMPLATES = Path(__file__).parent / "templates"
_environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)


class HealthReply(BaseModel):
    """State of the service."""

    status: str


@router.get("/healthz", response_model=HealthReply)
async def healthz() -> Response:
    """Return 200 while the process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", response_model=HealthReply, responses={503: {"model": HealthReply}})
async def readyz(request: Request) -> Response:
    """Return 200 if the gallery can be read now, else 503; it is read at most once a second."""
    service: GalleryService = request.app.state.service
    if not await service.is_readable():
        return JSONResponse({"status": "the gallery cannot be read, or is busy"}, 503)
    return JSONResponse({"status": "ok"})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request, _caller: Annotated[Caller, Depends(allow("read"))]) -> Response:
    """Return measurements in Prometheus' format."""
    service: GalleryService = request.app.state.service
    return Response(service.metrics.render(service.drift.read()), media_type=CONTENT_TYPE_LATEST)


@router.get("/docs", response_class=HTMLResponse, include_in_schema=False)
async def docs(request: Request) -> Response:
    """Show the interface: every operation with its fields."""
    schema = request.app.openapi()
    page = _environment.get_template("docs.html").render(schema=schema, operations=_list_operations(schema))
    return HTMLResponse(page, headers={"Cache-Control": "no-cache"})


@router.get("/docs.css", response_class=FileResponse, include_in_schema=False)
async def docs_style() -> Response:
    """Return the style sheet of the page."""
    return FileResponse(_TEMPLATES / "docs.css", media_type="text/css", headers={"Cache-Control": "no-cache"})


def _list_operations(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the operations in the order of the schema, with their fields and the JSON of their replies."""
    operations = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            body = next((_resolve(schema, kind.get("schema", {})) for kind in content.values()), {})
            operations.append(
                {
                    "path": path,
                    "method": method.upper(),
                    "role": operation.get("x-role"),
                    "summary": operation.get("description", operation.get("summary", "")),
                    "types": list(content),
                    "parameters": operation.get("parameters", []),
                    "fields": _list_fields(schema, body),
                    "reply": _list_fields(schema, _reply_schema(schema, operation)),
                }
            )
    return operations


def _reply_schema(schema: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    reply: dict[str, Any] = next(
        (value for status, value in operation["responses"].items() if status.startswith("2")), {}
    )
    return _resolve(schema, reply.get("content", {}).get("application/json", {}).get("schema", {}))


def _resolve(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    resolved: dict[str, Any] = schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]
    return resolved


def _list_fields(schema: dict[str, Any], part: dict[str, Any], prefix: str = "") -> list[dict[str, Any]]:
    """List the fields of an object, each followed by those of the objects in it: `sightings[].camera`."""
    required, fields = part.get("required", []), []
    for name, field in part.get("properties", {}).items():
        fields.append(
            {
                "name": prefix + name,
                "type": _name_type(field),
                "required": name in required,
                "default": field.get("default"),
                "text": field.get("description", ""),
            }
        )
        path, inner = prefix + name, field
        while inner.get("type") == "array":
            path, inner = f"{path}[]", inner.get("items", {})
        fields += _list_fields(schema, _resolve(schema, inner), f"{path}.")
    return fields


def _name_type(field: dict[str, Any]) -> str:
    """Write the type of a field in words, such as `list of text` and `number or text or null`."""
    if "anyOf" in field:
        return " or ".join(map(_name_type, field["anyOf"]))
    if "$ref" in field:
        return "object"
    if field.get("type") == "array":
        return f"list of {_name_type(field.get('items', {}))}"
    if field.get("format") == "binary":
        return "file"
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    names = {"string": "text", "object": "object", "integer": "integer", "number": "number"}
    kind = str(field.get("type", "any"))
    return "base64" if field.get("contentEncoding") == "base64" else names.get(kind, kind)
