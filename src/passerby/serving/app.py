"""The application: routes, access and middleware around one gallery."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match, Route
from starlette.types import Scope

from passerby import __version__
from passerby.errors import GalleryError
from passerby.gallery.forget import expire_by_retention
from passerby.serving import gallery_routes, query_routes, review_routes, session_routes, sighting_routes, status_routes
from passerby.serving.access import Access
from passerby.serving.events import EventQueue, EventTarget
from passerby.serving.guard import Guard
from passerby.serving.pages import routes as pages
from passerby.serving.pages.rendering import show_error
from passerby.serving.replies import add_error_handlers
from passerby.serving.service import GalleryService
from passerby.serving.tokens import Role, TokenFile

logger = logging.getLogger(__name__)

ROUTERS = (
    sighting_routes.router,
    query_routes.router,
    review_routes.router,
    gallery_routes.router,
    session_routes.router,
    status_routes.router,
)
"""The routes, in the order of the interface's page."""
MAX_SIGN_IN = 4096
"""Bytes of a body that opens a session."""
EXPIRE_SECONDS = 3600.0
"""Time between two erasures by age in a gallery with a retention."""


def create_app(service: GalleryService, *, local: bool = True, targets: Sequence[EventTarget] = ()) -> FastAPI:
    """Make the application of a gallery.

    Args:
        service: The gallery.
        local: Whether the service listens on a loopback address: no token is needed while the gallery has none.
        targets: Receivers of events.

    Example:
        >>> from passerby.serving.settings import ServeSettings
        >>> passerby.Gallery("ours", model="runs/m").close()
        >>> with GalleryService("ours", ServeSettings()) as service:
        ...     app = create_app(service)
        >>> "/v1/identify" in app.openapi()["paths"]
        True
    """
    settings = service.settings
    app = FastAPI(
        title="Passerby",
        version=__version__,
        description="A gallery of people: sightings are added, searched, identified, labeled and erased.",
        docs_url=None,
        redoc_url=None,
        lifespan=_run_beside,
        redirect_slashes=False,
    )
    app.state.service = service
    access = Access(TokenFile(service.folder), settings, local=local)
    app.state.access = access
    app.state.events = EventQueue(service, targets)
    app.state.show_error = show_error
    app.state.sent_answers = review_routes.SentAnswers()
    add_error_handlers(app)
    for router in (*ROUTERS, *pages.ROUTERS):
        app.include_router(router)
    limits = {
        "/v1/sightings/batch": settings.max_batch_upload,
        "/v1/import": settings.max_import,
        **dict.fromkeys(("/v1/session", "/sign-in"), MAX_SIGN_IN),  # read without a token
    }
    app.add_middleware(
        Guard,
        access=access,
        find_role=partial(match_role, list_routes(app)),
        metrics=service.metrics,
        limits=limits,
        streamed=("/v1/import",),
    )
    _describe_roles(app)
    return app


def find_role(path: str, method: str) -> Role | None:
    """Return the role that an operation needs, None for those that are open.

    Example:
        >>> find_role("/v1/forget", "POST"), find_role("/healthz", "GET")
        ('admin', None)
    """
    for route in (route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)):
        if route.path == path and method in (route.methods or ()):
            return _read_role(route)
    return None


def list_routes(app: FastAPI) -> list[Route]:
    """Return the application's own routes and those of its routers, which FastAPI keeps apart."""
    parts = (app.routes, *(router.routes for router in (*ROUTERS, *pages.ROUTERS)))
    return [route for part in parts for route in part if isinstance(route, Route)]


def match_role(routes: Sequence[Route], scope: Scope) -> Role | None:
    """Return the role that a request needs, None for an open route. A path that does not exist needs `read`."""
    role: Role | None = "read"
    for route in routes:
        match, _ = route.matches(scope)
        if match is not Match.NONE:
            role = _read_role(route)
        if match is Match.FULL:
            break
    return role


def _read_role(route: Route) -> Role | None:
    """Return the role of the dependency `allow` of a route."""
    dependencies = route.dependant.dependencies if isinstance(route, APIRoute) else []
    return next((role for item in dependencies if (role := getattr(item.call, "role", None)) is not None), None)


def _describe_roles(app: FastAPI) -> None:
    """Add the role of each operation to the OpenAPI schema as `x-role`."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            for path, methods in make()["paths"].items():
                for method, operation in methods.items():
                    if (role := find_role(path, method.upper())) is not None:
                        operation["x-role"] = role
        return make()

    app.openapi = openapi  # type: ignore[method-assign]


@asynccontextmanager
async def _run_beside(app: FastAPI) -> AsyncIterator[None]:
    """Run the background tasks of the service."""
    service: GalleryService = app.state.service
    tasks = [asyncio.create_task(work) for work in (_expire(service), app.state.events.deliver())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _expire(service: GalleryService) -> None:
    """Erase sightings past the retention every hour; most of the gallery is erased only by `gallery expire`."""
    while True:
        await asyncio.sleep(EXPIRE_SECONDS)
        if service.card.retention is None:
            continue
        try:
            await service.call(lambda gallery: expire_by_retention(gallery.store, clock=time.time), user="retention")
        except GalleryError as error:
            service.metrics.retention_refused.inc()
            logger.error("retention: %s", error)
