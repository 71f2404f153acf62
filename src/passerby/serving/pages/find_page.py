"""The page Find: the nearest sightings of a picture, of a box in it, or of a sighting. D embedding width."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, File, Form, Query, Request, UploadFile
from starlette.responses import Response

from passerby.errors import GalleryError
from passerby.gallery.gallery import Gallery
from passerby.gallery.sightings import Hit, Sighting
from passerby.serving.access import Caller, allow
from passerby.serving.events import EventQueue
from passerby.serving.pages.picture import PictureQuery, crop_box, encode_picture, read_query
from passerby.serving.pages.rendering import call_gallery, call_review, find_calibration, go, read_actions, render
from passerby.serving.pages.words import WORDS
from passerby.serving.replies import RequestError
from passerby.serving.request_bodies import FilterBody, decode_upload, read_time
from passerby.serving.service import GalleryService
from passerby.serving.vector_query import VectorQuery

router = APIRouter(prefix="/find", include_in_schema=False)
HITS = 30
"""Hits in a page."""
Reader = Annotated[Caller, Depends(allow("read"))]
Text = Annotated[str, Form(max_length=255)]


@dataclass(frozen=True)
class _Conditions:
    """Fields of the form: conditions, and the hits that the user has rejected."""

    camera: str = ""
    since: str = ""
    until: str = ""
    label: str = ""
    rejected: tuple[str, ...] = ()


@router.get("")
async def show(
    request: Request,
    caller: Reader,
    like: Annotated[str, Query(max_length=64)] = "",
    camera: str = "",
    since: str = "",
    until: str = "",
    label: str = "",
    did: str = "",
) -> Response:
    """Show the form, or the sightings nearest to a sighting."""
    conditions = _Conditions(camera, since, until, label)
    if not like:
        return await _render(request, caller, conditions)
    (sighting,) = await call_gallery(request, caller, lambda gallery: _get(gallery, like))
    query = PictureQuery(np.asarray(sighting.vector, np.float32), b"")
    return await _search(request, caller, query, conditions, like=like, did=read_actions(did))


@router.post("")
async def search(
    request: Request,
    caller: Reader,
    image: Annotated[UploadFile | None, File()] = None,
    box: Annotated[list[str] | None, Form()] = None,
    query: Annotated[str, Form(max_length=100_000)] = "",
    picture: Annotated[str, Form(max_length=200_000)] = "",
    like: Annotated[str, Form(max_length=64)] = "",
    camera: Text = "",
    since: Text = "",
    until: Text = "",
    label: Text = "",
    rejected: Annotated[list[str] | None, Form()] = None,
    action: Annotated[Literal["search", "keep"], Form()] = "search",
    new_camera: Text = "",
    new_time: Text = "",
) -> Response:
    """Search by an uploaded picture, or again by its vector; store the picture; reject a hit.

    A hit is rejected by an answer of the review, so the picture must be a sighting of the gallery.
    """
    service: GalleryService = request.app.state.service
    conditions = _Conditions(camera, since, until, label, tuple(rejected or ()))
    content = b"" if image is None else await image.read()
    if content:
        limit = service.settings.max_pixels
        pixels = await service.decode(lambda: crop_box(decode_upload(content, "picture", max_pixels=limit), box or []))
        (vector,) = await service.embed([pixels])
        found = PictureQuery(vector, await service.decode(lambda: encode_picture(pixels)))
        return await _search(request, caller, found, replace(conditions, rejected=()))
    if not query:
        raise GalleryError(WORDS["picture_missing"])
    found = read_query(query, picture, service.card.model.dimension)
    if action == "keep":
        return go(f"/find?like={await _keep(request, caller, found, new_camera, new_time)}")
    if not rejected:
        return await _search(request, caller, found, conditions, like=like)
    if caller.role == "read":
        raise RequestError(403, "role", "answers need the role operate; the token has the role read")
    if not like:
        kept = replace(conditions, rejected=())
        return await _search(request, caller, found, kept, status=400, alert=WORDS["keep_first"])
    other = rejected[-1]
    done = await call_review(request, caller, lambda review: review.answer(like, other, "different", reason="find"))
    return await _search(request, caller, found, conditions, like=like, did=[done])


async def _keep(request: Request, caller: Caller, query: PictureQuery, camera: str, time: str) -> str:
    """Add the picture to the gallery; return the id of the sighting."""
    service: GalleryService = request.app.state.service
    events: EventQueue = request.app.state.events
    if caller.role == "read":
        raise RequestError(403, "role", "adding a sighting needs the role operate; the token has the role read")
    if not camera:
        raise GalleryError(WORDS["camera_missing"])
    seen = read_time("time", time or None)
    sighting = Sighting(vector=query.vector, camera=camera, time=seen, crop=query.picture or None)
    (added,) = await service.add([sighting], user=caller.name)
    events.wake()
    return added.id


def _get(gallery: Gallery, name: str) -> list[Any]:
    if not gallery.store.stored_labels([name]):
        raise GalleryError("this sighting is not in the gallery any more")
    return list(gallery.store.get([name]))


async def _search(
    request: Request, caller: Caller, query: PictureQuery, conditions: _Conditions, *, like: str = "", **shown: Any
) -> Response:
    service: GalleryService = request.app.state.service
    where = FilterBody(
        cameras=[conditions.camera] if conditions.camera else None,
        labels=[conditions.label] if conditions.label else None,
        since=conditions.since or None,
        until=conditions.until or None,
    ).to_filter()
    excluded = {like, *conditions.rejected}
    top = min(HITS + len(excluded), service.settings.max_rows)
    results: Any = await service.query([VectorQuery(query.vector, caller.name, where, None, top=top)])
    hits: list[Hit] = [hit for hit in results[0] if hit.id not in excluded][:HITS]
    return await _render(request, caller, conditions, hits=hits, query=query, like=like, **shown)


async def _render(
    request: Request,
    caller: Caller,
    conditions: _Conditions,
    *,
    hits: list[Hit] | None = None,
    query: PictureQuery | None = None,
    like: str = "",
    alert: str = "",
    did: list[int] | None = None,
    status: int = 200,
) -> Response:
    cameras, people, chances = await call_gallery(request, caller, lambda gallery: _look_up(gallery, hits or []))
    return render(
        "find.html",
        status=status,
        cameras=cameras,
        conditions=conditions,
        hits=None if hits is None else list(zip(hits, chances, strict=True)),
        people=people,
        query=query,
        like=like,
        alert=alert,
        did=did or [],
        role=caller.role,
    )


def _look_up(gallery: Gallery, hits: list[Hit]) -> tuple[list[str], dict[str, str], list[float | None]]:
    """Return the cameras of the gallery, the identity of each hit that has one, and the probability of each hit."""
    people: dict[str, str] = {}
    if hits and gallery.store.keeps_answers:
        people = gallery.store.answers.find_members([hit.id for hit in hits])
    chances: list[float | None] = [None] * len(hits)
    calibration = find_calibration(gallery)
    if calibration is not None and hits:
        chances = calibration.probability([hit.distance for hit in hits]).tolist()
    return sorted(gallery.stats().cameras), people, chances
