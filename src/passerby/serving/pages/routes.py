"""The routes of all pages."""

from __future__ import annotations

from fastapi import APIRouter

from passerby.serving.pages import (
    cameras_page,
    find_page,
    gallery_pages,
    history_page,
    people_page,
    person_page,
    review_page,
    settings_page,
)

ROUTERS: tuple[APIRouter, ...] = (
    review_page.router,
    find_page.router,
    people_page.router,
    person_page.router,
    history_page.router,
    cameras_page.router,
    settings_page.router,
    gallery_pages.router,
)
