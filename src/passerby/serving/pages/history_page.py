"""The page History: all actions of the review with their undo, and the answers that contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import Response

from passerby.serving.access import Caller, allow
from passerby.serving.pages.rendering import call_review, go, render

if TYPE_CHECKING:
    from passerby.gallery.review import Review

router = APIRouter(include_in_schema=False)
ROWS = 100
"""Actions in a page."""


@router.get("/history")
async def show(
    request: Request,
    caller: Annotated[Caller, Depends(allow("read"))],
    start: Annotated[int, Query(ge=0)] = 0,
    undone: bool = False,
) -> Response:
    """Show the actions, the latest first, and the contradictions."""
    values = await call_review(request, caller, _read)
    rows = values.pop("rows")
    return render(
        "history.html",
        rows=rows[start : start + ROWS],
        total=len(rows),
        start=start,
        step=ROWS,
        undone=undone,
        role=caller.role,
        **values,
    )


@router.post("/undo")
async def undo(
    request: Request,
    caller: Annotated[Caller, Depends(allow("operate"))],
    action: Annotated[list[int] | None, Form()] = None,
    back: Annotated[str, Form(pattern=r"^/(review|people|history)(/[\w%.~-]+)?$", max_length=300)] = "/review",
) -> Response:
    """Undo actions, the latest first; without a number the caller's latest."""
    numbers: list[int | None] = [*sorted(action or [], reverse=True)]
    await call_review(request, caller, lambda review: [review.undo(number) for number in numbers or [None]])
    return go("/history?undone=true" if back == "/history" else back)


def _read(review: Review) -> dict[str, Any]:
    return {"rows": review.history()[::-1], "contradictions": review.answers().contradictions}
