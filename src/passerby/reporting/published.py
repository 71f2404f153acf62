"""Published results of other methods, as the paper of ConvNeXt-AP cites them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from passerby.types import Result


@dataclass(frozen=True, repr=False)
class PublishedResult(Result):
    """Result of one method on one data set.

    Attributes:
        method: Name of the method.
        rank1: Rank-1 in percent.
        mAP: mAP in percent.
    """

    method: str
    rank1: float
    mAP: float


def load_published_source() -> str:
    """Return the citation of the paper that the results are from.

    Example:
        >>> load_published_source()
        'Sun et al., ... (2024), table 5'
    """
    return str(_load_file()["source"]).strip()


def load_published_results(data: str) -> list[PublishedResult]:
    """Return the results on a data set.

    Args:
        data: Name of the data set, such as `market1501`.

    Returns:
        Results in the order of the paper's table; empty for a data set without published results.

    Example:
        >>> load_published_results("market1501")[0]
        PublishedResult(method='GLAD', rank1=89.9, mAP=83.1)
    """
    return [PublishedResult(row["method"], *row[data]) for row in _load_file()["rows"] if data in row]


def list_published_methods() -> list[str]:
    """Return the names of the methods in the order of the paper's table.

    Example:
        >>> list_published_methods()[-1]
        'ConvNeXt-AP (paper)'
    """
    return [row["method"] for row in _load_file()["rows"]]


@cache
def _load_file() -> dict[str, Any]:
    text = files("passerby.reporting").joinpath("published.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded
