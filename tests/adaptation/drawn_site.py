"""A site of drawn people, and an adaptation of it in seconds."""

import numpy as np
from PIL import Image

import passerby

PEOPLE = "synth:identities=7,cameras=2,images=2,height=64,test=1"


def draw_site(root, *, people=40, crops=3, noise=True, tracks=True):
    """Draw people as blocks of color, with shadows that have nothing to do with the person."""
    rng = np.random.default_rng(0)
    shadow = np.linspace(-1, 1, 64)[:, None, None] * np.ones((1, 32, 1))
    for person in range(people):
        blocks = rng.uniform(90, 165, (4, 1, 3)).repeat(16, axis=0) * np.ones((1, 32, 1))
        for camera in ("north", "south"):
            for number in range(crops):
                pixels = blocks + (rng.normal() * 60 * shadow if noise else 0) + rng.normal(0, 4, (64, 32, 3))
                folder = root / camera / f"t{person}" if tracks else root / camera
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{person}_{number}.png")
    return root


def adapt(out, site, model, *, passes=0, images=False, rendered=PEOPLE, **options):
    """Adapt by the crops of a folder, without fine-tuning and pictures."""
    data = site if ":" in str(site) else f"folder:{site}?labels=none"
    return passerby.adapt(
        out, data=data, model=model, passes=passes, images=images, rendered=rendered, device="cpu", **options
    )
