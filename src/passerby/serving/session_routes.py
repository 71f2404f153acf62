"""Sessions of browsers: a token is exchanged for a cookie, which pages and their images use."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Cookie, Request
from pydantic import Field
from starlette.responses import Response

from passerby.serving.access import COOKIE, Access
from passerby.serving.replies import ErrorReply, RequestError
from passerby.serving.request_bodies import StrictBody

router = APIRouter(prefix="/v1/session", tags=["session"], responses={"4XX": {"model": ErrorReply}})


class SessionBody(StrictBody):
    """A token of the gallery."""

    token: str = Field(max_length=200)


@router.post("", status_code=204, response_class=Response)
async def open_session(request: Request, body: SessionBody) -> Response:
    """Exchange a token for the cookie of a session, which no script can read and no other site can send."""
    access: Access = request.app.state.access
    access.limit_attempts(request)
    key = access.open_session(body.token)
    if key is None:
        raise RequestError(401, "token", "the token is not one of this gallery")
    reply = Response(status_code=204)
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    reply.set_cookie(
        COOKIE, key, max_age=int(access.settings.session), path="/", httponly=True, samesite="strict", secure=secure
    )
    return reply


@router.delete("", status_code=204, response_class=Response)
async def close_session(request: Request, key: Annotated[str, Cookie(alias=COOKIE)] = "") -> Response:
    """End the session of this browser."""
    access: Access = request.app.state.access
    access.close_session(key)
    reply = Response(status_code=204)
    reply.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return reply
