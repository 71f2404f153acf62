"""Model card of the body estimator, from its manifest."""

from __future__ import annotations

from typing import Any


def model_card(manifest: dict[str, Any]) -> str:
    """Return the card as Markdown.

    Args:
        manifest: As `build_body_estimator` writes it.
    """
    training, test = manifest["training"], manifest["test"]
    points = "\n".join(f"| {name} | {value} |" for name, value in test["pck"].items())
    parts = "\n".join(f"| {name} | {value} |" for name, value in test["iou"].items())
    height, width = manifest["size"]
    return f"""# Model card: the body estimator

Key points and parts of the body in a crop, for the methods GLAD, MaskReID, SPReID and HOReID.
A convolutional network with 499,000 weights in float16, input {height} x {width} pixels.

Training data: rendered people only ({training["identities"]:,} identities in {training["cameras"]} cameras, seed
{training["seed"]}, {training["steps"]:,} steps of {training["batch"]} images). No image of a real person was used.
Built by `python -m tools.body_estimator --out FOLDER`.

It is a guide for pooling, not a measurement of people: on photographs its key points and parts were looked at and not
measured. Do not base decisions about a person on it.

## Accuracy on {test["images"]:,} rendered images of other people in other cameras (seed {test["seed"]})

Percent of visible key points within 0.1 of the image's height:

| key point | % |
| --- | ---: |
{points}

A visible key point has a higher score than a hidden one with probability {test["visibility_auc"]} %.

Intersection over union of the parts; `mean` is without the background, `person` is that of all parts together:

| part | % |
| --- | ---: |
{parts}
"""
