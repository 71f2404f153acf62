"""Bodies of requests: JSON, or a form with images as `curl --form` sends it, with the same fields."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar, get_origin

import numpy as np
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema
from starlette.datastructures import UploadFile

from passerby.data.formats import FORMATS, identify_format
from passerby.data.images import Pixels, decode_image
from passerby.data.records import parse_timestamp
from passerby.errors import DataError, GalleryError, explain
from passerby.files import parse_json
from passerby.gallery.filters import Filter
from passerby.gallery.sightings import require_time
from passerby.serving.replies import RequestError, describe_problems
from passerby.text import plural
from passerby.types import FloatArray

Body = TypeVar("Body", bound=BaseModel)
Vector = Annotated[list[float], Field(max_length=65_536)]
Time = float | str
ImageContent = Annotated[str | bytes, WithJsonSchema({"type": "string", "contentEncoding": "base64"})]
"""An image file: base64 text in JSON, bytes in a form."""
_FORM, _JSON = "multipart/form-data", "application/json"
_MAX_FIELDS = 1000


class StrictBody(BaseModel):
    """Base of the bodies: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


class FilterBody(StrictBody):
    """Conditions of `passerby.Filter`."""

    cameras: list[str] | None = None
    not_cameras: list[str] = []
    since: Time | None = Field(None, description="Seconds since 1970, or ISO 8601 (UTC).")
    until: Time | None = None
    labels: list[str] | None = None
    ids: list[str] | None = None
    sources: list[str] | None = None
    labeled: bool = False
    enrolled_before: Time | None = None

    def to_filter(self) -> Filter:
        """Convert to a filter.

        Raises:
            GalleryError: For a time that cannot be read.
        """
        return Filter(
            cameras=self.cameras,
            not_cameras=self.not_cameras,
            since=read_time("since", self.since),
            until=read_time("until", self.until),
            labels=self.labels,
            labeled=self.labeled,
            ids=self.ids,
            sources=self.sources,
            enrolled_before=read_time("enrolled_before", self.enrolled_before),
        )


class ImagesBody(StrictBody):
    """Images or vectors of people, one each."""

    images: list[ImageContent] = Field([], description="Image files: in JSON as base64, in a form as files.")
    vectors: list[Vector] = Field([], description="Vectors of the gallery's model, instead of images.")


class SearchBody(ImagesBody, FilterBody):
    """Arguments of `Gallery.search`."""

    top: int = Field(10, ge=1)
    seen_by: str | None = None


class IdentifyBody(ImagesBody, FilterBody):
    """Arguments of `Gallery.identify`."""

    unknown: float = 0.5
    at_least: float = 0.5
    seen_by: str | None = None


class SightingBody(StrictBody):
    """A sighting to add: an image or a vector, and its metadata."""

    camera: str
    time: Time | None = Field(None, description="Seconds since 1970, or ISO 8601 (UTC).")
    label: str | None = None
    source: str = ""
    quality: float | None = None
    attributes: dict[str, str | bool | int | float] = {}
    id: str = ""
    image: ImageContent | None = Field(None, description="Image file: in JSON as base64, in a form as a file.")
    vector: Vector | None = None


class SightingsBody(StrictBody):
    """Several sightings to add."""

    sightings: list[SightingBody]


def read_body(model: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """Make a dependency that reads a body of JSON or a form.

    `read_image_bytes` returns the images of both.
    """

    async def read(request: Request) -> Body:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == _FORM:
            tree = await _read_form(request, model)
        elif kind == _JSON:
            try:
                tree = parse_json(await request.body())
            except ValueError as error:
                raise RequestError(400, "not_json", f"body: not JSON that can be read ({explain(error)})") from None
        else:
            raise RequestError(415, "content_type", f"content type {kind!r:.80}, expected {_JSON} or {_FORM}")
        try:
            return model.model_validate(tree)
        except ValidationError as error:
            raise RequestError(422, "invalid", describe_problems(error.errors(include_url=False), model)) from None

    return read


def describe_body(model: type[BaseModel], *, image: str | None = None) -> dict[str, Any]:
    """Return the part of OpenAPI's operation that describes a body of `read_body`; `image` is the field of files."""
    schema = model.model_json_schema(ref_template="{model}")
    schema = _inline(schema, schema.pop("$defs", {}))
    content: dict[str, Any] = {_JSON: {"schema": schema}}
    if image is not None:
        file = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
        several = schema["properties"][image].get("type") == "array"
        fields = {**schema["properties"], image: {"type": "array", "items": file} if several else file}
        content[_FORM] = {"schema": {**schema, "properties": fields}}
    return {"requestBody": {"required": True, "content": content}}


def _inline(node: Any, definitions: Mapping[str, Any]) -> Any:
    """Replace each reference in a JSON schema by what it names: the document has these bodies nowhere else."""
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inline(definitions[node["$ref"]], definitions)
    return {key: _inline(value, definitions) for key, value in node.items()}


async def _read_form(request: Request, model: type[BaseModel]) -> dict[str, Any]:
    """Read a form: lists are repeated fields, vectors and attributes are JSON."""
    tree: dict[str, Any] = {}
    async with request.form(max_files=_MAX_FIELDS, max_fields=_MAX_FIELDS, max_part_size=2**22) as form:
        for name in dict.fromkeys(form):
            values = [await v.read() if isinstance(v, UploadFile) else v for v in form.getlist(name)]
            field = model.model_fields.get(name)
            if field is not None and get_origin(_strip_optional(field.annotation)) is list:
                tree[name] = [_parse_nested(value) for value in values] if name == "vectors" else values
            else:
                tree[name] = _parse_nested(values[-1]) if name in ("vector", "attributes") else values[-1]
    return tree


def _strip_optional(annotation: Any) -> Any:
    """Return `list[str]` for `list[str] | None`."""
    parts = [part for part in getattr(annotation, "__args__", ()) if part is not type(None)]
    return parts[0] if len(parts) == 1 and get_origin(annotation) is not list else annotation


def _parse_nested(value: Any) -> Any:
    try:
        return parse_json(value)
    except ValueError as error:
        raise RequestError(400, "not_json", f"form: a field is not JSON that can be read ({explain(error)})") from None


def read_time(name: str, value: Time | None) -> float | None:
    """Convert a time of a body to seconds since 1970 UTC.

    Raises:
        GalleryError: For a time that cannot be read, or outside the years 1 to 9999.
    """
    if value is None:
        return None
    try:
        seconds = parse_timestamp(str(value)) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError) as error:
        raise GalleryError(f"{name}: {error}") from None
    require_time(name, "time", seconds)
    return seconds


def read_image_bytes(content: str | bytes, name: str) -> bytes:
    """Return the bytes of an image of a body.

    Raises:
        DataError: For text that is not base64.
    """
    if isinstance(content, bytes):
        return content
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise DataError(
            f"{name}: not base64; send the bytes of an image file in base64, or a form with files"
        ) from None


def decode_upload(content: bytes, name: str, *, max_pixels: int) -> Pixels:
    """Decode an image of bounded size to (H, W, 3) uint8 RGB.

    Raises:
        DataError: For other content than an image, a damaged image, or more pixels than `max_pixels`.
    """
    if content and identify_format(content) is None:
        raise DataError(f"{name}: not an image that can be read; expected {', '.join(FORMATS)}")
    return decode_image(content, name, max_pixels=max_pixels)


def read_vector(values: list[float], dimension: int, name: str) -> FloatArray:
    """Convert a vector of a body to (D,) float32 of unit length.

    Raises:
        GalleryError: For another width, or a vector that is zero or not finite.
    """
    vector = np.asarray(values, np.float64)
    length = float(np.sqrt(np.square(vector).sum())) if len(vector) == dimension else 0.0
    if len(vector) != dimension:
        raise GalleryError(f"{name}: {plural(len(vector), 'number')}, expected {dimension}, of the gallery's model")
    if not (np.isfinite(length) and length > 0):
        raise GalleryError(f"{name}: a vector of length {length}, expected finite and not all zero")
    return np.asarray(vector / length, np.float32)
