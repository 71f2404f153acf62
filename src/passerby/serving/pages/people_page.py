"""The page People: identities as cards, with actions on several of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import Response

from passerby.errors import GalleryError
from passerby.gallery.review_results import Identity
from passerby.serving.access import Caller, allow
from passerby.serving.pages.erasing import forget_sightings
from passerby.serving.pages.rendering import call_gallery, call_review, go, name_identity, read_actions, render
from passerby.serving.pages.words import WORDS

if TYPE_CHECKING:
    from passerby.gallery.review import Review

router = APIRouter(prefix="/people", include_in_schema=False)
CARDS = 60
"""Identities in a page of the list."""
Operator = Annotated[Caller, Depends(allow("operate"))]


@router.get("")
async def show_all(
    request: Request,
    caller: Annotated[Caller, Depends(allow("read"))],
    start: Annotated[int, Query(ge=0)] = 0,
    name: Annotated[str, Query(max_length=255)] = "",
    camera: Annotated[str, Query(max_length=255)] = "",
    did: str = "",
    erased: int = -1,
) -> Response:
    """Show the identities, the largest first; those with a text in their name or a sighting of a camera."""
    everyone = await call_review(request, caller, lambda review: review.identities())
    identities = [
        identity
        for identity in everyone
        if (not name or name.casefold() in name_identity(identity).casefold())
        and (not camera or any(member.sighting.camera == camera for member in identity.members))
    ]
    return render(
        "people.html",
        identities=identities[start : start + CARDS],
        cameras=sorted({member.sighting.camera for identity in everyone for member in identity.members}),
        start=start,
        step=CARDS,
        total=len(identities),
        name=name,
        camera=camera,
        role=caller.role,
        did=read_actions(did),
        erased=erased,
    )


@router.post("")
async def change(
    request: Request,
    caller: Operator,
    action: Annotated[Literal["merge", "rename", "forget"], Form()],
    identity: Annotated[list[str] | None, Form()] = None,
    label: Annotated[str, Form()] = "",
    sure: Annotated[str, Form()] = "",
) -> Response:
    """Merge, rename or forget the selected identities; merging and forgetting are shown before they are done."""
    chosen = list(dict.fromkeys(identity or []))
    if not chosen:
        raise GalleryError(WORDS["select_first"])
    if action == "rename":
        if not label:
            raise GalleryError(WORDS["name_missing"])
        done = await call_review(request, caller, lambda review: [review.rename(name, label) for name in chosen])
        return go("/people", did=done)
    found = await call_review(request, caller, lambda review: require_identities(review, chosen))
    if action == "forget":
        ids = [member.sighting.id for item in found for member in item.members]
        removed = await call_gallery(request, caller, lambda gallery: gallery.store.answers.find_removed_of(chosen))
        return await forget_sightings(
            request, caller, ids, removed=removed, sure=sure, action="/people", fields={"identity": chosen}
        )
    if len(found) < 2:
        raise GalleryError(WORDS["merge_two"])
    if not sure:
        return render("confirm_merge.html", identities=found)
    return go("/people", did=[await call_review(request, caller, lambda review: review.merge(chosen))])


def require_identities(review: Review, names: list[str]) -> list[Identity]:
    """Return identities by their ids.

    Raises:
        GalleryError: For one without sightings, such as one that was merged since the page was read.
    """
    known: dict[str, Any] = {identity.id: identity for identity in review.identities()}
    missing = [name for name in names if name not in known]
    if missing:
        raise GalleryError(WORDS["identity_gone"] % missing[0][:80])
    return [known[name] for name in names]
