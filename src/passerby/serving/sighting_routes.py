"""Routes of sightings: add, list, get, crop, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from passerby.data.formats import identify_format
from passerby.data.images import Pixels
from passerby.errors import DataError, GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.gallery import Gallery
from passerby.gallery.sightings import Sighting, SightingInfo, check_metadata, make_sighting_id
from passerby.serving.access import Caller, allow
from passerby.serving.events import EventQueue
from passerby.serving.replies import ErrorReply, RequestError
from passerby.serving.request_bodies import (
    FilterBody,
    SightingBody,
    SightingsBody,
    decode_upload,
    describe_body,
    read_body,
    read_image_bytes,
    read_time,
)
from passerby.serving.service import Added, GalleryService
from passerby.text import plural

router = APIRouter(prefix="/v1/sightings", tags=["sightings"], responses={"4XX": {"model": ErrorReply}})

Reader = Annotated[Caller, Depends(allow("read"))]
Operator = Annotated[Caller, Depends(allow("operate"))]
_MEDIA = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}


class SightingReply(BaseModel):
    """A sighting without its vector and its crop."""

    id: str
    camera: str
    time: float | None
    label: str | None
    source: str
    quality: float | None
    attributes: dict[str, str | bool | int | float]
    enrolled: float | None


class SightingPage(BaseModel):
    """Sightings in the order of their ids; `next` is the value of `after` for the next page, null at the end."""

    sightings: list[SightingReply]
    next: str | None


class AddedReply(BaseModel):
    """Result of adding a sighting. `label` is the stored one, which adding it again does not change."""

    id: str
    status: Literal["new", "known", "unreadable"]
    label: str | None = None
    reason: str | None = None


class AddedSightings(BaseModel):
    """Result of adding each sighting, in the order of the request."""

    sightings: list[AddedReply]


class CountReply(BaseModel):
    """Number of sightings that were changed."""

    count: int


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A sighting of a request before it is embedded."""

    body: SightingBody
    time: float | None
    content: bytes | Pixels | None  # what the store keeps
    pixels: Pixels | None


@router.post("", status_code=201, response_model=AddedReply, openapi_extra=describe_body(SightingBody, image="image"))
async def add_sighting(
    request: Request, caller: Operator, body: Annotated[SightingBody, Depends(read_body(SightingBody))]
) -> Response:
    """Add a sighting, by an image or a vector. Status 201 if it is new, 200 if it was in the gallery."""
    (reply,) = await _add(request, [body], user=caller.name)
    if reply.reason is not None:
        raise RequestError(400, "refused", reply.reason)
    return JSONResponse(reply.model_dump(), 201 if reply.status == "new" else 200)


@router.post("/batch", response_model=AddedSightings, openapi_extra=describe_body(SightingsBody))
async def add_sightings(
    request: Request, caller: Operator, body: Annotated[SightingsBody, Depends(read_body(SightingsBody))]
) -> Response:
    """Add several sightings. One that cannot be read is reported, the others are added."""
    service: GalleryService = request.app.state.service
    require_batch(service, len(body.sightings))
    replies = await _add(request, body.sightings, user=caller.name)
    return JSONResponse({"sightings": [reply.model_dump() for reply in replies]})


@router.get("", response_model=SightingPage)
async def list_sightings(
    request: Request,
    caller: Reader,
    camera: Annotated[list[str] | None, Query()] = None,
    label: Annotated[list[str] | None, Query()] = None,
    since: str | None = None,
    until: str | None = None,
    after: str = "",
    limit: Annotated[int, Query(ge=1)] = 100,
) -> Response:
    """List sightings in the order of their ids, `limit` at a time."""
    service: GalleryService = request.app.state.service
    require_rows(service, "limit", limit)
    where = FilterBody(cameras=camera, labels=label, since=since, until=until).to_filter()
    page = await service.call(lambda gallery: _read_page(gallery, where, after, limit), user=caller.name)
    following = page[-1].id if len(page) == limit else None
    return JSONResponse({"sightings": [sighting.to_dict() for sighting in page], "next": following})


@router.get("/{name}", response_model=SightingReply)
async def get_sighting(request: Request, caller: Reader, name: str) -> Response:
    """Return a sighting."""
    sighting = await _get(request.app.state.service, name, user=caller.name)
    return JSONResponse(sighting.to_dict())


@router.get("/{name}/crop", response_class=Response, responses={200: {"content": {"image/*": {}}}})
async def get_crop(request: Request, caller: Reader, name: str) -> Response:
    """Return the stored crop of a sighting: a JPEG thumbnail, or the file that was enrolled."""
    sighting = await _get(request.app.state.service, name, user=caller.name)
    if not isinstance(sighting.crop, bytes):
        raise RequestError(404, "no_crop", "no crop is stored of this sighting; the gallery's setting is `keep`")
    kind = identify_format(sighting.crop)
    return Response(sighting.crop, media_type=_MEDIA.get(kind or "", "application/octet-stream"))


@router.delete("/{name}", response_model=CountReply)
async def delete_sighting(request: Request, caller: Operator, name: str) -> Response:
    """Remove a sighting from searches. `POST /v1/forget` also erases its bytes from the files."""
    service: GalleryService = request.app.state.service
    count = await service.call(lambda gallery: gallery.remove(where=Filter(ids=[name])), user=caller.name)
    if not count:
        raise _missing()
    return JSONResponse({"count": count})


def require_batch(service: GalleryService, count: int) -> None:
    """Check the number of images, vectors or sightings in a request.

    Raises:
        RequestError: If there is none, or more than the limit.
    """
    if not 1 <= count <= service.settings.max_batch:
        raise RequestError(422, "batch", f"got {plural(count, 'item')}, expected 1 to {service.settings.max_batch:,}")


def require_rows(service: GalleryService, name: str, count: int) -> None:
    """Check the number of rows that a request asks for.

    Raises:
        RequestError: If it is above the limit.
    """
    if count > service.settings.max_rows:
        raise RequestError(422, "rows", f"{name}: got {count:,}, expected at most {service.settings.max_rows:,}")


async def _add(request: Request, bodies: Sequence[SightingBody], *, user: str) -> list[AddedReply]:
    """Decode, embed and add sightings; those that are in the gallery are not embedded again."""
    service: GalleryService = request.app.state.service
    events: EventQueue = request.app.state.events
    replies: list[AddedReply | None] = [None] * len(bodies)
    ids, known = await _find_known(service, bodies, user=user)
    prepared: dict[int, _Prepared] = {}
    for number, (body, name) in enumerate(zip(bodies, ids, strict=True)):
        if name in known:
            replies[number] = AddedReply(id=name, status="known", label=known[name])
            continue
        try:
            prepared[number] = await service.decode(partial(_prepare, service, body))
        except (DataError, GalleryError) as error:
            replies[number] = AddedReply(id=name, status="unreadable", reason=str(error))
    images = {number: item.pixels for number, item in prepared.items() if item.pixels is not None}
    vectors = dict(zip(images, await service.embed([*images.values()]), strict=True)) if images else {}
    sightings: dict[int, Sighting] = {}
    for number, item in prepared.items():
        try:
            sightings[number] = _make_sighting(item, vectors.get(number), service.card.model.dimension)
        except GalleryError as error:
            replies[number] = AddedReply(id=ids[number], status="unreadable", reason=str(error))
    added: list[Added] = await service.add([*sightings.values()], user=user) if sightings else []
    events.wake()
    for number, result in zip(sightings, added, strict=True):
        replies[number] = AddedReply(id=result.id, status="new" if result.new else "known", label=result.label)
    return [reply for reply in replies if reply is not None]


async def _find_known(
    service: GalleryService, bodies: Sequence[SightingBody], *, user: str
) -> tuple[list[str], dict[str, str | None]]:
    """Return the ids that can be computed without a vector, else an empty text, and the stored labels of known ones."""
    ids = []
    for body in bodies:
        try:
            ids.append(
                body.id
                or (make_sighting_id(body.source, body.camera, read_time("time", body.time)) if body.source else "")
            )
        except GalleryError:
            ids.append("")  # `_prepare` reports it
    given = [name for name in ids if name]
    known = await service.call(lambda gallery: gallery.store.stored_labels(given), user=user) if given else {}
    return ids, known


def _prepare(service: GalleryService, body: SightingBody) -> _Prepared:
    """Check the metadata of a sighting and decode its image.

    Raises:
        GalleryError, DataError: For a value outside its range, or an image that cannot be read or stored.
    """
    time = read_time("time", body.time)
    info = SightingInfo(
        camera=body.camera,
        time=time,
        label=body.label,
        source=body.source,
        quality=body.quality,
        attributes=body.attributes,
        id=body.id,
    )
    check_metadata(info, "sighting")
    if (body.image is None) == (body.vector is None):
        raise GalleryError("sighting: give an image or a vector, and not both")
    if body.image is None:
        return _Prepared(body, time, None, None)
    if not service.has_model:
        raise GalleryError("this gallery has no model, its vectors were made elsewhere; send vectors")
    content = read_image_bytes(body.image, "image")
    pixels = decode_upload(content, "image", max_pixels=service.settings.max_pixels)
    return _Prepared(body, time, content if service.card.keep == "crops" else pixels, pixels)


def _make_sighting(item: _Prepared, vector: Any, dimension: int) -> Sighting:
    body = item.body
    vector = np.asarray(body.vector, np.float64) if vector is None else vector
    if len(vector) != dimension:
        raise GalleryError(f"vector: {plural(len(vector), 'number')}, expected {dimension}, of the gallery's model")
    return Sighting(
        vector=vector,
        crop=item.content,
        camera=body.camera,
        time=item.time,
        label=body.label,
        source=body.source,
        quality=body.quality,
        attributes=body.attributes,
        id=body.id,
    )


def _read_page(gallery: Gallery, where: Filter, after: str, limit: int) -> list[Sighting]:
    return next(gallery.store.walk(where, batch=limit, crops=False, after=after), [])


async def _get(service: GalleryService, name: str, *, user: str) -> Sighting:
    def read(gallery: Gallery) -> Sighting:
        if not gallery.store.stored_labels([name]):
            raise _missing()
        return gallery.store.get([name])[0]

    return await service.call(read, user=user)


def _missing() -> RequestError:
    return RequestError(404, "no_sighting", "no sighting has this id")
