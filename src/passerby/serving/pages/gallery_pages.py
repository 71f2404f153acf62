"""The first page, the page Sign in, and the files of all pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import FileResponse, Response

from passerby.serving.pages.rendering import go, render, start_path
from passerby.serving.pages.words import WORDS
from passerby.serving.replies import RequestError
from passerby.serving.session_routes import SessionBody, open_session

router = APIRouter(include_in_schema=False)
_FOLDER = Path(__file__).parent / "static"
FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "review.js": "text/javascript",
    "find.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""Files of the pages and their types."""


@router.get("/")
async def start() -> Response:
    """Open the first page."""
    return go(start_path())


def _add_file(name: str, kind: str) -> None:
    async def send() -> Response:
        return FileResponse(_FOLDER / name, media_type=kind, headers={"Cache-Control": "no-cache"})

    router.add_api_route(f"/{name}", send, methods=["GET"])


for _name, _kind in FILES.items():
    _add_file(_name, _kind)


@router.get("/sign-in")
async def show_sign_in() -> Response:
    """Ask for a token."""
    return render("signin.html", message="")


@router.post("/sign-in")
async def sign_in(request: Request, token: Annotated[str, Form(max_length=200)]) -> Response:
    """Exchange a token for the cookie of a session."""
    try:
        opened = await open_session(request, SessionBody(token=token))
    except RequestError as error:
        if error.status_code != 401:
            raise
        return render("signin.html", status=403, message=WORDS["token_wrong"])
    reply = go(start_path())
    reply.headers["set-cookie"] = opened.headers["set-cookie"]
    return reply
