"""Training identities that replace the test identities, for choices that must not use test people."""

from __future__ import annotations

from dataclasses import replace

from passerby.data.datasets.spec import DataSpec, Reader, ReaderResult
from passerby.data.datasets.splitting import permute_ids, split_queries
from passerby.errors import DataError
from passerby.text import plural
from passerby.types import DISTRACTOR, DataSet

OPTION = "holdout"
TAKES = "N training identities that replace the test identities, default 0"


def with_holdout(reader: Reader) -> Reader:
    """Return a reader with the option `holdout`; one that has it already stays."""
    if OPTION in reader.options:
        return reader

    def read(spec: DataSpec) -> ReaderResult:
        result = reader.read(spec)
        return replace(result, data=hold_out_identities(result.data, spec))

    return replace(reader, read=read, options={**reader.options, OPTION: TAKES})


def hold_out_identities(data: DataSet, spec: DataSpec) -> DataSet:
    """Replace query and gallery by the images of N training identities, which are trained on no longer.

    They are the last N of the training identities in the order of `permute_ids`. The first image of an identity in a
    camera is a query, and all images are the gallery.

    Args:
        data: Data set with a training split.
        spec: Its spec, whose option `holdout` is N.

    Raises:
        DataError: For an N that leaves fewer than two training identities.
    """
    people = {sample.person_id for sample in data.train} - {DISTRACTOR}
    count = spec.integer(OPTION, default=0, low=0, high=10**6)
    if count == 0:
        return data
    if count > len(people) - 2:
        raise DataError(
            f"{data.name}: option {OPTION}={count} leaves fewer than two of {plural(len(people), 'training identity')}"
        )
    held = set(permute_ids(people)[-count:])
    query, gallery = split_queries([sample for sample in data.train if sample.person_id in held])
    note = f"{plural(count, 'training identity')} held out"
    return replace(
        data,
        train=tuple(sample for sample in data.train if sample.person_id not in held),
        query=query,
        gallery=(*gallery, *query),  # the market rule ignores a query's own camera
        multi_query=(),
        junk=0,
        distractors=0,
        variant=", ".join(filter(None, (data.variant, note))),
    )
