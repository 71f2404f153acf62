"""Comparison of a gallery's card with the model and the settings with which the gallery is opened."""

from __future__ import annotations

from passerby.errors import GalleryError, argument
from passerby.gallery.card import GalleryCard, GalleryModel, Keep, Precision, describe_flip
from passerby.text import plural


def check_dims(card: GalleryCard, address: str, dims: int | None) -> None:
    """Compare the width of a gallery's vectors with a choice; None is not compared.

    Raises:
        GalleryError: If they differ.
    """
    if dims is not None and dims != card.model.dimension:
        raise GalleryError(
            f"{address}: {argument('dims')}: contains vectors of {plural(card.model.dimension, 'dimension')}, opened "
            f"for {dims}; a gallery holds one width. Leave the choice out, or enroll the images into a new gallery"
        )


def check_card(
    card: GalleryCard,
    address: str,
    *,
    model: GalleryModel | None,
    keep: Keep | None = None,
    retention: float | None = None,
    flip: bool | None = None,
    precision: Precision | None = None,
    accept_drift: bool = False,
) -> None:
    """Compare a gallery's card with a model and settings; None is not compared.

    Args:
        card: Card of the gallery.
        address: Its address, for messages.
        model: The model.
        keep: Setting `keep`.
        retention: Setting `retention`.
        flip: Setting `flip`.
        precision: In which the model computes.
        accept_drift: Whether the model may differ from the gallery's by rounding.

    Raises:
        GalleryError: If they differ; the message contains both.
    """
    rounded = model is not None and card.model.same_network(model) and (accept_drift or card.holds(model))
    if precision is not None and precision != card.precision and not rounded:
        raise GalleryError(
            f"{address}: {argument('precision')}: contains vectors of {card.precision}, opened for {precision}; a "
            f"gallery holds one kind. Leave the choice out, add {argument('accept_drift', True)} to hold both, or "
            "enroll the images into a new gallery"
        )
    if model is not None and not rounded:
        if card.model.same_network(model):
            raise GalleryError(
                f"{address}: contains vectors of {card.model}, opened with {model}: one network, whose vectors differ "
                "by rounding. Open it with its own model, or accept the difference, which the gallery then records: "
                f"{argument('accept_drift', True)}"
            )
        raise GalleryError(
            f"{address}: contains vectors of {card.model}, opened with {model}; distances between them have no "
            "meaning. Open it with its own model, or enroll the images into a new gallery"
        )
    if flip is not None and flip != card.flip:
        raise GalleryError(
            f"{address}: {argument('flip')}: contains vectors {describe_flip(card.flip)}, opened for vectors "
            f"{describe_flip(flip)}; a gallery holds one kind. Leave the choice out, or enroll the images into a new "
            "gallery"
        )
    hints = {"keep": "or export into a new gallery", "retention": "or change it with `passerby gallery retention`"}
    for name, value in (("keep", keep), ("retention", retention)):
        if value is not None and value != getattr(card, name):
            raise GalleryError(
                f"{address}: {argument(name)} is {getattr(card, name)!r} in the gallery, opened with "
                f"{value!r}; leave it out, {hints[name]}"
            )
