"""The page Review: one question a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import Response

from passerby.errors import DataError
from passerby.gallery.review_results import expected_change
from passerby.reviewing.answers import Verdict
from passerby.serving.access import Caller, allow
from passerby.serving.pages.rendering import call_review, go, render
from passerby.serving.replies import RequestError

if TYPE_CHECKING:
    from passerby.gallery.review import Review
    from passerby.reviewing.population import PopulationEstimate

router = APIRouter(include_in_schema=False)
BATCH = 20
"""Questions in the page: those that can be answered while the server is not reachable."""
UNITS = 60
"""Sightings that the estimate of the number of people draws."""
Mode = Literal["", "count"]


@router.get("/review")
async def show(
    request: Request,
    caller: Annotated[Caller, Depends(allow("read"))],
    mode: Mode = "",
    skip: Annotated[int, Query(ge=0, le=1000)] = 0,
) -> Response:
    """Show the most valuable question, and the following ones hidden."""
    if mode and caller.role == "read":
        raise RequestError(403, "role", "the questions of the estimate need the role operate")
    values = await call_review(request, caller, lambda review: _read(review, mode, skip))
    return render("review.html", mode=mode, skip=skip, role=caller.role, **values)


@router.post("/review/survey")
async def survey(request: Request, caller: Annotated[Caller, Depends(allow("operate"))]) -> Response:
    """Draw the sightings of the estimate."""
    await call_review(request, caller, lambda review: review.survey(UNITS))
    return go("/review?mode=count")


@router.post("/review")
async def answer(
    request: Request,
    caller: Annotated[Caller, Depends(allow("operate"))],
    first: Annotated[str, Form()],
    second: Annotated[str, Form()],
    answer: Annotated[Verdict, Form()],
    mode: Annotated[Mode, Form()] = "",
) -> Response:
    """Store the answer of a browser without scripts."""
    await call_review(request, caller, lambda review: review.answer(first, second, answer))
    return go(f"/review?mode={mode}")


def _read(review: Review, mode: Mode, skip: int) -> dict[str, Any]:
    useful = review.questions(skip + BATCH)
    questions = review.survey(UNITS) if mode else useful
    table, identities = review.answers(), review.identities()
    return {
        "questions": questions[skip : skip + BATCH],
        "answers": len(table.answers),
        "contradictions": len(table.contradictions),
        "groups": len(identities),
        "sightings": sum(len(identity.members) for identity in identities),
        "change": expected_change(useful[:BATCH]),
        "estimate": _estimate(review),
    }


def _estimate(review: Review) -> PopulationEstimate | None:
    try:
        return review.population()
    except DataError:  # fewer than two drawn sightings are settled
        return None
