"""The page Settings: retention, erasure of a person, export, audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.gallery import Gallery
from passerby.gallery.retention import count_past
from passerby.serving.access import Caller, allow
from passerby.serving.gallery_routes import change_retention, export
from passerby.serving.pages.rendering import call_gallery, call_review, find_calibration, go, render
from passerby.serving.pages.words import WORDS
from passerby.serving.replies import RequestError
from passerby.serving.request_bodies import FilterBody
from passerby.serving.service import GalleryService

if TYPE_CHECKING:
    from passerby.gallery.review import Review

router = APIRouter(prefix="/settings", include_in_schema=False)
Admin = Annotated[Caller, Depends(allow("admin"))]
LINES = 100
"""Lines of the audit log in the page, the latest first."""


@router.get("")
async def show(request: Request, caller: Admin, erased: int = -1, saved: bool = False) -> Response:
    """Show the retention, the forms of erasure and export, and the audit log."""
    service: GalleryService = request.app.state.service
    entries = await service.call(lambda gallery: gallery.audit(), user=caller.name, slow=True)
    recent = entries[: -LINES - 1 : -1]
    return render("settings.html", card=service.card, entries=recent, total=len(entries), erased=erased, saved=saved)


@router.post("/retention")
async def set_retention(
    request: Request, caller: Admin, days: Annotated[str, Form(max_length=20)] = "", sure: Annotated[str, Form()] = ""
) -> Response:
    """Change the retention, after a page with the number of sightings that it would erase at once."""
    try:
        limit = float(days) if days.strip() else None
    except ValueError:
        raise GalleryError(WORDS["retention_number"]) from None
    past = await call_gallery(request, caller, lambda gallery: count_past(gallery.store, limit))
    if past and not sure:
        return render("confirm_retention.html", days=days, limit=limit, past=past)
    erased = await change_retention(request, caller, limit, confirm_erase=bool(sure))
    return go(f"/settings?saved=true&erased={erased}" if erased else "/settings?saved=true")


@router.post("/forget")
async def forget(
    request: Request, caller: Admin, name: Annotated[str, Form()], again: Annotated[str, Form()]
) -> Response:
    """Erase a person by the label of the sightings or the name of the identity, which is given twice."""
    if not name or name != again:
        raise GalleryError(WORDS["forget_mismatch"])
    ids: set[str] = set()
    if await call_gallery(request, caller, find_calibration) is not None:
        ids = await call_review(request, caller, lambda review: _find_members(review, name))

    def erase(gallery: Gallery) -> int:
        answers = gallery.store.answers
        named = [identity.id for identity in answers.identities() if identity.label == name]
        removed = answers.find_removed_of(named)
        count = gallery.forget(label=name)
        left = [*gallery.store.stored_labels(sorted(ids)), *answers.find_removed(Filter(ids=removed))]
        return count + (gallery.forget(ids=left) if left else 0)

    count = await call_gallery(request, caller, erase)
    if not count:
        raise RequestError(404, "nothing_matched", WORDS["forget_none"])
    return go(f"/settings?erased={count}")


@router.post("/export")
async def export_all(request: Request, caller: Admin) -> Response:
    """Return all sightings as a Parquet file."""
    return await export(request, caller, FilterBody())


def _find_members(review: Review, name: str) -> set[str]:
    return {
        member.sighting.id for identity in review.identities() if identity.label == name for member in identity.members
    }
