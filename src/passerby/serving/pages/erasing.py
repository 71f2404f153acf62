"""Erasure of selected sightings from a page, after the user has typed their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from starlette.responses import Response

from passerby.errors import GalleryError
from passerby.serving.access import Caller
from passerby.serving.pages.rendering import call_gallery, count_words, go, render
from passerby.serving.pages.words import WORDS
from passerby.serving.replies import RequestError


async def forget_sightings(
    request: Request,
    caller: Caller,
    ids: Sequence[str],
    *,
    removed: Sequence[str] = (),
    sure: str,
    action: str,
    fields: Mapping[str, Any],
) -> Response:
    """Erase sightings, or ask for their number first.

    Args:
        request: The request.
        caller: Its caller, who needs the role `admin`.
        ids: Sightings.
        removed: Sightings that were removed and can be restored; they are erased too.
        sure: What the user has typed: the number of sightings; empty asks for it.
        action: Path that the form of the question is sent to, and that is opened after the erasure.
        fields: Fields that this path needs to find the sightings again.

    Raises:
        RequestError: For another role.
        GalleryError: For another number.
    """
    if caller.role != "admin":
        raise RequestError(403, "role", f"this needs the role admin; the token has the role {caller.role}")
    if not sure:
        return render("confirm_forget.html", ids=ids, removed=removed, action=action, fields=fields)
    erased = {*ids, *removed}
    if sure.strip() != str(len(erased)):
        raise GalleryError(WORDS["forget_number"] % count_words(len(erased), "sightings"))
    count = await call_gallery(request, caller, lambda gallery: gallery.forget(ids=sorted(erased)))
    return go(f"/people?erased={count}")
