"""The page of one identity: its sightings by camera and time, and actions on a selection of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from passerby.errors import GalleryError
from passerby.gallery.review_results import Identity, Member
from passerby.serving.access import Caller, allow
from passerby.serving.pages.erasing import forget_sightings
from passerby.serving.pages.rendering import call_review, go, read_actions, render
from passerby.serving.pages.words import WORDS
from passerby.serving.replies import RequestError

if TYPE_CHECKING:
    from passerby.gallery.review import Review

router = APIRouter(prefix="/people", include_in_schema=False)
Operator = Annotated[Caller, Depends(allow("operate"))]
TARGETS = 500
"""Identities that a selection can be moved to."""


@router.get("/{name}")
async def show(
    request: Request, caller: Annotated[Caller, Depends(allow("read"))], name: str, did: str = ""
) -> Response:
    """Show the sightings of an identity."""
    identities = await call_review(request, caller, lambda review: review.identities())
    identity = next((identity for identity in identities if identity.id == name), None)
    if identity is None:
        raise RequestError(404, "no_identity", WORDS["identity_gone"] % name[:80])
    return render(
        "person.html",
        identity=identity,
        others=[other for other in identities if other.id != name][:TARGETS],
        cameras=_group_by_camera(identity),
        timeline=_draw_timeline(identity),
        role=caller.role,
        did=read_actions(did),
    )


@router.post("/{name}")
async def change(
    request: Request,
    caller: Operator,
    name: str,
    action: Annotated[Literal["rename", "split", "move", "remove", "forget"], Form()],
    sighting: Annotated[list[str] | None, Form()] = None,
    label: Annotated[str, Form()] = "",
    target: Annotated[str, Form()] = "",
    sure: Annotated[str, Form()] = "",
) -> Response:
    """Rename an identity; split off, move, remove or forget the selected sightings."""
    chosen = list(dict.fromkeys(sighting or []))
    if action == "rename":
        done = [await call_review(request, caller, lambda review: review.rename(name, label or None))]
        return go(f"/people/{name}", did=done)
    if not chosen:
        raise GalleryError(WORDS["select_first"])
    if action == "forget":
        return await forget_sightings(
            request, caller, chosen, sure=sure, action=f"/people/{name}", fields={"sighting": chosen}
        )
    done, stays = await call_review(request, caller, lambda review: _separate(review, name, chosen, action, target))
    return go(f"/people/{name}" if stays else "/people", did=done)


def _separate(review: Review, name: str, sightings: list[str], action: str, target: str) -> tuple[list[int], bool]:
    """Remove sightings, split them off or move them; return the actions, and whether the identity `name` still is."""
    if action == "move" and target not in review.known_identities():
        raise GalleryError(WORDS["target_missing"])
    done = [review.remove(sightings) if action == "remove" else review.split(sightings)]
    identities = review.identities()
    if action == "move":
        part = next(i.id for i in identities if any(member.sighting.id in sightings for member in i.members))
        done.append(review.merge([target, part]))
        identities = review.identities()
    return done, any(identity.id == name for identity in identities)


def _group_by_camera(identity: Identity) -> list[tuple[str, list[Member]]]:
    cameras: dict[str, list[Member]] = {}
    for member in identity.members:
        cameras.setdefault(member.sighting.camera, []).append(member)
    return sorted(cameras.items())


def _draw_timeline(identity: Identity) -> dict[str, Any]:
    """Place the sightings with a time: 0 to 1000 from the first to the last, one row per camera."""
    timed = [member.sighting for member in identity.members if member.sighting.time is not None]
    cameras = sorted({sighting.camera for sighting in timed})
    times = [sighting.time or 0.0 for sighting in timed]
    first, last = min(times, default=0.0), max(times, default=0.0)
    points = [
        (1000 * ((sighting.time or 0.0) - first) / max(last - first, 1e-9), cameras.index(sighting.camera), sighting)
        for sighting in timed
    ]
    return {"cameras": cameras, "points": points, "first": first, "last": last}
