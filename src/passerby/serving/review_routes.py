"""Routes of a review: questions, answers, identities, history; see `passerby.gallery.review.Review`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from passerby.reviewing.answers import Verdict
from passerby.serving.access import Caller, allow
from passerby.serving.events import EventQueue
from passerby.serving.replies import ErrorReply
from passerby.serving.request_bodies import StrictBody
from passerby.serving.service import GalleryService
from passerby.serving.sighting_routes import SightingReply

if TYPE_CHECKING:
    from passerby.gallery.review import Review

router = APIRouter(prefix="/v1", tags=["review"], responses={"4XX": {"model": ErrorReply}})
Reader = Annotated[Caller, Depends(allow("read"))]
Operator = Annotated[Caller, Depends(allow("operate"))]
Value = TypeVar("Value")


class QuestionReply(BaseModel):
    """Question whether two sightings show one person."""

    first: str
    second: str
    reason: str
    probability: float
    value: float | None
    first_group: list[str]
    second_group: list[str]


class AnswerBody(StrictBody):
    """An answer about two sightings."""

    first: str
    second: str
    answer: Verdict
    reason: str = ""
    key: str | None = Field(
        None,
        min_length=8,
        max_length=64,
        description="Text of the caller's own that is different for each answer: one that is sent again with its key, "
        "because its reply was lost, is stored once. The last 10,000 are known until the service is restarted.",
    )


class StoredAnswerReply(BaseModel):
    """An answer with its user and time."""

    first: str
    second: str
    answer: Verdict
    reason: str
    user: str
    time: float
    action: int


class ContradictionReply(BaseModel):
    """A pair whose answer is not used, and the answers that together imply the opposite."""

    unused: list[str]
    against: list[list[str]]


class AnswersReply(BaseModel):
    """The answers that are not undone, and those that contradict each other."""

    answers: list[StoredAnswerReply]
    contradictions: list[ContradictionReply]


class MemberReply(BaseModel):
    """A sighting of an identity, and the probability that it belongs to it."""

    sighting: SightingReply
    probability: float


class IdentityReply(BaseModel):
    """An identity: a stable id, an optional name, and its sightings by time."""

    id: str
    label: str | None
    members: list[MemberReply]


class IdentitiesReply(BaseModel):
    """Identities from number `start` on, the largest first; `total` counts all."""

    identities: list[IdentityReply]
    total: int


class AssignedReply(BaseModel):
    """Identity of a sighting, and the probability that it belongs to it."""

    identity: str
    probability: float


class MergeBody(StrictBody):
    """Identities that are one person."""

    identities: list[str]


class SplitBody(StrictBody):
    """Sightings of one identity that show another person than its rest."""

    sightings: list[str]


class RemoveBody(StrictBody):
    """Sightings to remove."""

    sightings: list[str]


class RenameBody(StrictBody):
    """New name of an identity; null removes it."""

    label: str | None = None


class UndoBody(StrictBody):
    """Number of an action of the history; null is the caller's latest."""

    action: int | None = Field(None, ge=1, lt=2**63)


class SurveyBody(StrictBody):
    """Number of sightings to draw."""

    units: int = Field(100, le=100_000)


class ActionReply(BaseModel):
    """Number of the action, by which it is undone."""

    action: int


class HistoryReply(BaseModel):
    """One action.

    `undone` is the time at which it was undone, `undoes` the action that an undo took back, `removed` the number of
    sightings that an undo of it restores.
    """

    number: int
    time: float
    user: str
    kind: str
    answers: int
    undone: float | None
    undoes: int | None
    removed: int


class PopulationReply(BaseModel):
    """Estimated number of people with its interval."""

    people: float
    low: float
    high: float
    level: float
    units: int


class SentAnswers:
    """The actions of the answers that were sent with a key. Used by one thread, that of reviews.

    Example:
        >>> sent = SentAnswers()
        >>> sent.store("ada", "key", lambda: 7), sent.store("ada", "key", lambda: 8), sent.store("ada", None, lambda: 9)
        (7, 7, 9)
    """

    def __init__(self, *, limit: int = 10_000) -> None:
        self._limit = limit
        self._actions: OrderedDict[tuple[str, str], int] = OrderedDict()

    def store(self, user: str, key: str | None, add: Callable[[], int]) -> int:
        """Return the action of a known key, else that of `add`."""
        if key is None:
            return add()
        if (user, key) not in self._actions:
            self._actions[user, key] = add()
            while len(self._actions) > self._limit:
                self._actions.popitem(last=False)
        return self._actions[user, key]


@router.get("/questions", response_model=list[QuestionReply])
async def questions(request: Request, caller: Reader, count: Annotated[int, Query(ge=1, le=1000)] = 20) -> Response:
    """Return the questions whose answers are expected to change the most sightings."""
    found = await _review(request, caller, lambda review: review.questions(count))
    return JSONResponse([question.to_dict() for question in found])


@router.get("/answers", response_model=AnswersReply)
async def answers(request: Request, caller: Reader) -> Response:
    """Return the answers that are not undone, and their contradictions."""
    return JSONResponse((await _review(request, caller, lambda review: review.answers())).to_dict())


@router.post("/answers", response_model=ActionReply)
async def answer(request: Request, caller: Operator, body: AnswerBody) -> Response:
    """Store an answer about two sightings. Answers of several users about one pair are all kept."""
    sent: SentAnswers = request.app.state.sent_answers

    def store(review: Review) -> int:
        return review.answer(body.first, body.second, body.answer, reason=body.reason)

    return await _act(request, caller, lambda review: sent.store(caller.name, body.key, partial(store, review)))


@router.get("/identities", response_model=IdentitiesReply)
async def identities(
    request: Request,
    caller: Reader,
    start: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Response:
    """Return the identities, the largest first."""
    found = await _review(request, caller, lambda review: review.identities())
    page = [identity.to_dict() for identity in found[start : start + limit]]
    return JSONResponse({"identities": page, "total": len(found)})


@router.post("/identities/assign", response_model=dict[str, AssignedReply])
async def assign(request: Request, caller: Operator) -> Response:
    """Assign the sightings that have no identity yet, without changing the others."""
    events: EventQueue = request.app.state.events
    service: GalleryService = request.app.state.service
    found = await service.call(
        lambda gallery: events.assign(gallery, service.find_review(gallery)), user=caller.name, slow=True
    )
    events.wake()
    return JSONResponse(
        {name: {"identity": identity, "probability": chance} for name, (identity, chance) in found.items()}
    )


@router.post("/identities/merge", response_model=ActionReply)
async def merge(request: Request, caller: Operator, body: MergeBody) -> Response:
    """Answer that identities are one person."""
    return await _act(request, caller, lambda review: review.merge(body.identities))


@router.post("/identities/split", response_model=ActionReply)
async def split(request: Request, caller: Operator, body: SplitBody) -> Response:
    """Answer that sightings show another person than the rest of their identity."""
    return await _act(request, caller, lambda review: review.split(body.sightings))


@router.post("/identities/remove", response_model=ActionReply)
async def remove(request: Request, caller: Operator, body: RemoveBody) -> Response:
    """Remove sightings so that an undo restores them. Use forget to erase them."""
    return await _act(request, caller, lambda review: review.remove(body.sightings))


@router.post("/identities/{identity}/rename", response_model=ActionReply)
async def rename(request: Request, caller: Operator, identity: str, body: RenameBody) -> Response:
    """Set or remove the name of an identity."""
    return await _act(request, caller, lambda review: review.rename(identity, body.label))


@router.get("/history", response_model=list[HistoryReply])
async def history(request: Request, caller: Reader) -> Response:
    """Return all actions, oldest first."""
    return JSONResponse([action.to_dict() for action in await _review(request, caller, lambda r: r.history())])


@router.post("/undo", response_model=ActionReply)
async def undo(request: Request, caller: Operator, body: UndoBody) -> Response:
    """Undo an action."""
    return await _act(request, caller, lambda review: review.undo(body.action))


@router.post("/survey", response_model=list[QuestionReply])
async def survey(request: Request, caller: Operator, body: SurveyBody) -> Response:
    """Draw sightings to estimate the number of people; return the questions that are open about them."""
    found = await _review(request, caller, lambda review: review.survey(body.units))
    return JSONResponse([question.to_dict() for question in found])


@router.get("/population", response_model=PopulationReply)
async def population(request: Request, caller: Reader, level: float = 0.9) -> Response:
    """Estimate the number of people from the answers to a survey."""
    return JSONResponse((await _review(request, caller, lambda review: review.population(level=level))).to_dict())


async def _review(request: Request, caller: Caller, function: Callable[[Review], Value]) -> Value:
    """Run a function with the review of the gallery, beside searches."""
    service: GalleryService = request.app.state.service
    return await service.call(lambda gallery: function(service.find_review(gallery)), user=caller.name, slow=True)


async def _act(request: Request, caller: Caller, function: Callable[[Review], int]) -> Response:
    reply: Any = {"action": await _review(request, caller, function)}
    return JSONResponse(reply)
