"""Pairs for the naive loops of this folder's tests: plain Python over float64, one pair at a time."""

import torch


def batch(persons, images, *, width=6, seed=0, dtype=torch.float64):
    """Random rows, `images` of each person, in shuffled order."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(persons).repeat_interleave(images)[torch.randperm(persons * images, generator=generator)]
    return torch.randn(persons * images, width, generator=generator, dtype=torch.float64).to(dtype), labels


def pairs_of(labels, anchor):
    """Indices of the anchor's positives and negatives."""
    others = [other for other in range(len(labels)) if other != anchor]
    return (
        [other for other in others if labels[other] == labels[anchor]],
        [other for other in others if labels[other] != labels[anchor]],
    )


def cosine(a, b):
    return (a @ b / (a.norm() * b.norm())).item()


def distance(a, b):
    return (a / a.norm() - b / b.norm()).norm().item()
