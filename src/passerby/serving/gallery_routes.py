"""Routes with the words of `passerby gallery`: stats, audit, label, remove, forget, expire, export, import."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, JSONResponse, Response

from passerby.errors import GalleryError
from passerby.extras import require_extra
from passerby.files import make_private
from passerby.gallery.card import GalleryCard
from passerby.gallery.filters import Filter
from passerby.gallery.gallery import Gallery
from passerby.gallery.known_names import require_names
from passerby.gallery.results import EnrollResult
from passerby.gallery.stores.sqlite_database import FILE
from passerby.serving.access import Caller, allow
from passerby.serving.drift_monitor import describe_drift
from passerby.serving.replies import ErrorReply, RequestError
from passerby.serving.request_bodies import FilterBody, StrictBody
from passerby.serving.service import DRAFTS, GalleryService
from passerby.serving.sighting_routes import CountReply

router = APIRouter(prefix="/v1", tags=["gallery"], responses={"4XX": {"model": ErrorReply}})
Reader = Annotated[Caller, Depends(allow("read"))]
Operator = Annotated[Caller, Depends(allow("operate"))]
Admin = Annotated[Caller, Depends(allow("admin"))]


class CameraDriftReply(BaseModel):
    """Drift at a camera, 0 to 1, and the number of queries since the service was started."""

    drift: float
    queries: int


class DriftReply(BaseModel):
    """Difference of the distances at each camera from those of the data set `reference`, or the reason for none."""

    reference: str | None
    reason: str | None
    cameras: dict[str, CameraDriftReply]


class StatsReply(BaseModel):
    """Size, contents and settings of the gallery."""

    sightings: int
    labels: int
    cameras: dict[str, int]
    first: float | None
    last: float | None
    bytes: int | None
    address: str
    store: str
    index: str
    card: dict[str, Any]
    drift: DriftReply


class AuditReply(BaseModel):
    """A line of the audit log."""

    time: float
    user: str
    action: str
    counts: dict[str, int]


class ModelReply(BaseModel):
    """The model that makes the vectors, and what is stored of crops."""

    dimension: int
    preprocessing: dict[str, Any]
    architecture: str
    weights: str
    calibrated: bool
    embeds_images: bool
    keep: str
    retention: float | None
    flip: bool
    precision: str


class LabelBody(FilterBody):
    """Sightings, and their new label; null removes it."""

    name: str | None = None


class ForgetBody(StrictBody):
    """A person's label, ids or files: exactly one of them."""

    label: str | None = None
    ids: list[str] | None = None
    sources: list[str] | None = None
    rewrite_shards: bool = False


class ExpireBody(StrictBody):
    """Days since enrollment; null is the gallery's retention."""

    days: float | None = None


class RetentionBody(StrictBody):
    """Days that a sighting is kept; null keeps everything. `confirm_erase` erases now what is past it."""

    days: float | None = None
    confirm_erase: bool = False


class EnrollReply(BaseModel):
    """Numbers of added and of known sightings."""

    new: int
    known: int


@router.get("/stats", response_model=StatsReply)
async def stats(request: Request, caller: Reader) -> Response:
    """Return the numbers of sightings, labels and cameras, the model and the settings."""
    service: GalleryService = request.app.state.service

    def read(gallery: Gallery) -> dict[str, Any]:
        return {**gallery.stats().to_dict(), "drift": describe_drift(service.drift, gallery)}

    return JSONResponse(await service.call(read, user=caller.name))


@router.get("/cameras", response_model=dict[str, int])
async def cameras(request: Request, caller: Reader) -> Response:
    """Return the number of sightings of each camera."""
    service: GalleryService = request.app.state.service
    return JSONResponse(dict((await service.call(lambda gallery: gallery.stats(), user=caller.name)).cameras))


@router.get("/model", response_model=ModelReply)
async def model(request: Request, _caller: Reader) -> Response:
    """Describe the model that makes the vectors."""
    service: GalleryService = request.app.state.service
    card: GalleryCard = service.card
    reply = ModelReply(
        dimension=card.model.dimension,
        preprocessing=dict(card.model.preprocessing),
        architecture=card.model.architecture,
        weights=card.model.weights,
        calibrated=card.model.calibration is not None,
        embeds_images=service.has_model,
        keep=card.keep,
        retention=card.retention,
        flip=card.flip,
        precision=card.precision,
    )
    return JSONResponse(reply.model_dump())


@router.get("/audit", response_model=list[AuditReply])
async def audit(request: Request, caller: Admin) -> Response:
    """Return the audit log, oldest entry first."""
    service: GalleryService = request.app.state.service
    entries = await service.call(lambda gallery: gallery.audit(), user=caller.name, slow=True)
    return JSONResponse([entry.to_dict() for entry in entries])


@router.post("/label", response_model=CountReply)
async def label(request: Request, caller: Operator, body: LabelBody) -> Response:
    """Set or remove the label of sightings."""
    where = body.to_filter()
    return await _count(request, lambda gallery: gallery.label(body.name, where=where), where, user=caller.name)


@router.post("/remove", response_model=CountReply)
async def remove(request: Request, caller: Operator, body: FilterBody) -> Response:
    """Remove sightings from searches. Use forget to erase them from the files, too."""
    where = body.to_filter()
    return await _count(request, lambda gallery: gallery.remove(where=where), where, user=caller.name)


@router.post("/forget", response_model=CountReply)
async def forget(request: Request, caller: Admin, body: ForgetBody) -> Response:
    """Erase a label, sightings or files: rows, vectors and crops, in the gallery's files too."""
    service: GalleryService = request.app.state.service
    count = await service.call(
        lambda gallery: gallery.forget(
            label=body.label, ids=body.ids, sources=body.sources, rewrite_shards=body.rewrite_shards
        ),
        user=caller.name,
    )
    return JSONResponse({"count": count})


@router.post("/expire", response_model=CountReply)
async def expire(request: Request, caller: Admin, body: ExpireBody) -> Response:
    """Erase sightings by age."""
    service: GalleryService = request.app.state.service
    if body.days is None and service.card.retention is None:
        raise GalleryError("the gallery has no retention; give days")
    return JSONResponse({"count": await service.call(lambda gallery: gallery.expire(days=body.days), user=caller.name)})


@router.post("/retention", response_model=CountReply)
async def retention(request: Request, caller: Admin, body: RetentionBody) -> Response:
    """Change the retention; return the number of sightings that were erased."""
    return JSONResponse({"count": await change_retention(request, caller, body.days, confirm_erase=body.confirm_erase)})


async def change_retention(request: Request, caller: Caller, days: float | None, *, confirm_erase: bool) -> int:
    """Change the retention of the gallery and of the service's card; return the number of erased sightings."""
    service: GalleryService = request.app.state.service

    def change(gallery: Gallery) -> int:
        try:
            return gallery.set_retention(days, confirm_erase=confirm_erase)
        finally:
            service.card = gallery.store.card

    return await service.call(change, user=caller.name)


@router.post("/export", response_class=FileResponse, responses={200: {"content": {"application/octet-stream": {}}}})
async def export(request: Request, caller: Admin, body: FilterBody) -> Response:
    """Return sightings with vectors and crops as a Parquet file, which `gallery import` reads."""
    service: GalleryService = request.app.state.service
    where = body.to_filter()
    draft = make_draft_name(service.folder, ".parquet")

    def write(gallery: Gallery) -> None:
        require_names(gallery.store, where)
        gallery.export(draft, where=where)

    await service.call(write, user=caller.name, slow=True)
    return FileResponse(draft, filename="gallery.parquet", background=BackgroundTask(draft.unlink, missing_ok=True))


@router.post("/backup", response_class=FileResponse, responses={200: {"content": {"application/octet-stream": {}}}})
async def backup(request: Request, caller: Admin) -> Response:
    """Return the database of the gallery as it is at one moment, with its lists of shards and adapted runs.

    A folder with it as `gallery.sqlite` is a gallery.
    """
    service: GalleryService = request.app.state.service
    folder = make_draft_name(service.folder, "")
    await service.call(lambda gallery: gallery.backup(folder), user=caller.name, slow=True)
    return FileResponse(folder / FILE, filename=FILE, background=BackgroundTask(shutil.rmtree, folder))


@router.post(
    "/import",
    response_model=EnrollReply,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def import_(request: Request, caller: Operator) -> Response:
    """Add the sightings of a file that `POST /v1/export` or `gallery export` wrote.

    Its lists of shards and adapted runs, files that an erasure may change, are added for the role admin only.
    """
    service: GalleryService = request.app.state.service
    draft = make_draft_name(service.folder, ".parquet")
    make_private(draft)
    try:
        with draft.open("wb") as file:
            async for part in request.stream():
                file.write(part)
        lists = caller.role == "admin"
        result = await service.call(lambda gallery: import_file(gallery, draft, lists=lists), user=caller.name)
    except GalleryError as error:
        raise GalleryError(str(error).replace(str(draft), "the file")) from None
    finally:
        draft.unlink(missing_ok=True)
    return JSONResponse({"new": result.new, "known": result.known})


def import_file(gallery: Gallery, path: Path, *, lists: bool) -> EnrollResult:
    """Add the sightings of an exported file; see `import_sightings`."""
    require_extra("pyarrow")
    from passerby.gallery.parquet import import_sightings

    return import_sightings(gallery.store, path, lists=lists)


def make_draft_name(folder: Path, suffix: str) -> Path:
    """Return the name of a new file in the gallery's folder, which the next start removes if the service is killed."""
    return folder / f"{DRAFTS}{secrets.token_hex(8)}{suffix}"


async def _count(request: Request, change: Any, where: Filter, *, user: str) -> Response:
    """Run a change of sightings; one that matches none is an error, so that a misspelled name is noticed."""
    service: GalleryService = request.app.state.service
    count = await service.call(change, user=user)
    if not count:
        raise RequestError(404, "nothing_matched", "no sighting meets the conditions; nothing was changed")
    return JSONResponse({"count": count})
