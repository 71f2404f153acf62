"""Routes that compare: search, identify, cluster."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.known_names import require_names
from passerby.reviewing.defaults import PAIR_PRIOR
from passerby.serving.access import Caller, allow
from passerby.serving.replies import ErrorReply
from passerby.serving.request_bodies import (
    FilterBody,
    IdentifyBody,
    ImagesBody,
    SearchBody,
    decode_upload,
    describe_body,
    read_body,
    read_image_bytes,
    read_vector,
)
from passerby.serving.service import GalleryService
from passerby.serving.sighting_routes import SightingReply, require_batch, require_rows
from passerby.serving.vector_query import VectorQuery
from passerby.types import FloatArray

router = APIRouter(prefix="/v1", tags=["queries"], responses={"4XX": {"model": ErrorReply}})
Reader = Annotated[Caller, Depends(allow("read"))]


class HitReply(SightingReply):
    """A sighting that a search returns."""

    distance: float


class HitsReply(BaseModel):
    """Hits of one image, nearest first."""

    hits: list[HitReply]


class SearchReply(BaseModel):
    """Hits of each image or vector."""

    results: list[HitsReply]


class CandidateReply(BaseModel):
    """A label that an image may show, with its nearest sighting and the stable id of that sighting's identity."""

    label: str
    probability: float
    hit: HitReply
    identity: str | None


class AnswerReply(BaseModel):
    """`answer` is `identified`, `unknown` or `not sure`; `probability` is that of the label, or of showing none."""

    answer: str
    label: str | None
    probability: float
    candidates: list[CandidateReply]


class IdentifyReply(BaseModel):
    """Answer for each image or vector."""

    results: list[AnswerReply]


class ClusterBody(FilterBody):
    """Arguments of `Gallery.cluster`."""

    threshold: float | None = Field(None, ge=0, le=2)
    prior: float = PAIR_PRIOR


class ClusterReply(BaseModel):
    """Sightings of each identity, the largest cluster first."""

    clusters: list[list[SightingReply]]
    threshold: float
    b_cubed_precision: float | None
    b_cubed_recall: float | None


@router.post("/search", response_model=SearchReply, openapi_extra=describe_body(SearchBody, image="images"))
async def search(
    request: Request, caller: Reader, body: Annotated[SearchBody, Depends(read_body(SearchBody))]
) -> Response:
    """Find the nearest sightings of each image or vector."""
    service: GalleryService = request.app.state.service
    require_rows(service, "top", body.top)
    where = await read_filter(service, body, user=caller.name)
    vectors = await _embed(service, body)
    results: Any = await service.query(
        [VectorQuery(vector, caller.name, where, body.seen_by, top=body.top) for vector in vectors]
    )
    return JSONResponse({"results": [{"hits": [hit.to_dict() for hit in hits]} for hits in results]})


@router.post("/identify", response_model=IdentifyReply, openapi_extra=describe_body(IdentifyBody, image="images"))
async def identify(
    request: Request, caller: Reader, body: Annotated[IdentifyBody, Depends(read_body(IdentifyBody))]
) -> Response:
    """Identify the person on each image: a label, unknown, or not sure, with a calibrated probability."""
    service: GalleryService = request.app.state.service
    where = await read_filter(service, body, user=caller.name)
    vectors = await _embed(service, body)
    results: Any = await service.query(
        [
            VectorQuery(v, caller.name, where, body.seen_by, unknown=body.unknown, at_least=body.at_least)
            for v in vectors
        ]
    )
    for result in results:
        service.metrics.count_answer(result, body.seen_by)
    ids = [candidate.hit.id for result in results for candidate in result.candidates]
    identities = await service.call(lambda gallery: gallery.store.answers.find_members(ids), user=caller.name)
    replies = [result.to_dict() for result in results]
    for candidate in (candidate for reply in replies for candidate in reply["candidates"]):
        candidate["identity"] = identities.get(candidate["hit"]["id"])
    return JSONResponse({"results": replies})


@router.post("/cluster", response_model=ClusterReply)
async def cluster(request: Request, caller: Reader, body: ClusterBody) -> Response:
    """Group sightings by identity without labels."""
    service: GalleryService = request.app.state.service
    where = await read_filter(service, body, user=caller.name)
    result = await service.call(
        lambda gallery: gallery.cluster(where=where, threshold=body.threshold, prior=body.prior),
        user=caller.name,
        slow=True,
    )
    return JSONResponse(result.to_dict())


async def read_filter(service: GalleryService, body: FilterBody, *, user: str) -> Filter:
    """Convert the conditions of a body, and check that their cameras and labels exist.

    Raises:
        GalleryError: For a camera or a label that no sighting has, and as `require_names`.
    """
    where = body.to_filter()
    if not where.selects_all:
        await service.call(lambda gallery: require_names(gallery.store, where), user=user)
    return where


async def _embed(service: GalleryService, body: ImagesBody) -> list[FloatArray]:
    """Return the vectors of a body, or those of its images."""
    if bool(body.images) == bool(body.vectors):
        raise GalleryError("give images or vectors, and not both")
    require_batch(service, len(body.images) + len(body.vectors))
    if body.vectors:
        dimension = service.card.model.dimension
        return [read_vector(vector, dimension, f"vector {n}") for n, vector in enumerate(body.vectors)]
    limit = service.settings.max_pixels
    pixels = await service.decode(
        lambda: [
            decode_upload(read_image_bytes(image, f"image {n}"), f"image {n}", max_pixels=limit)
            for n, image in enumerate(body.images)
        ]
    )
    return await service.embed(pixels)
