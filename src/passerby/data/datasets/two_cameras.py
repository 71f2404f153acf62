"""Data sets of two cameras that are tested on 10 random halves of the persons: iLIDS-VID and PRID 2011."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from passerby.data.datasets.spec import DataSpec
from passerby.data.datasets.splitting import permute_ids
from passerby.errors import DataError
from passerby.text import plural
from passerby.types import DataSet, Sample

SPLITS = 10
Persons = Mapping[int, list[Path]]
"""Images of each person in a camera."""


def choose_split(
    spec: DataSpec, persons: Iterable[int], published: Callable[[], Sequence[tuple[set[int], set[int]]]] | None
) -> tuple[set[int], set[int], str]:
    """Return training persons, test persons, and the name of the split.

    Args:
        spec: Its option `split`, 0 to 9, is the number of the split.
        persons: Persons in both cameras.
        published: Function that reads the splits of a file; None draws them: the first half in the order of
            `default_rng(split).permutation` trains.

    Raises:
        DataError: If the split is not in the file, or names a person that is not in both cameras.
    """
    number = spec.integer("split", default=0, low=0, high=SPLITS - 1)
    known = set(persons)
    if published is None:
        order = permute_ids(known, seed=number)
        return set(order[: len(order) // 2]), set(order[len(order) // 2 :]), f"own split {number}"
    splits = published()
    if number >= len(splits):
        raise DataError(f"{spec.name}: the file has {plural(len(splits), 'split')}; expected split {number} in it")
    train, test = splits[number]
    if missing := sorted((train | test) - known):
        raise DataError(
            f"{spec.name}: split {number} has {plural(len(missing), 'person')} without images in both cameras of "
            f"{spec.path}, such as {missing[0]}; the copy is incomplete"
        )
    if common := sorted(train & test):
        raise DataError(f"{spec.name}: split {number} has person {common[0]} in train and in test; copy the file again")
    return train, test, f"split {number}"


def build_data(
    spec: DataSpec,
    cameras: tuple[Persons, Persons],
    *,
    train: set[int],
    test: set[int],
    make: Callable[[list[Path], int, int], list[Sample]],
    only_gallery: Iterable[int] = (),
    variant: str,
) -> DataSet:
    """Return a data set: queries are the test identities in the first camera, the gallery is the second camera.

    Args:
        spec: Its name, path and text.
        cameras: Images of each person in both cameras.
        train: Training persons, from both cameras.
        test: Test persons.
        make: Function from images, person and camera to samples; it is called with every camera of a person.
        only_gallery: Persons of the second camera that no query shows.
        variant: Variant of the data set.
    """

    def collect(persons: Iterable[int], views: Sequence[int]) -> tuple[Sample, ...]:
        return tuple(s for person in sorted(persons) for c in views for s in make(cameras[c][person], person, c))

    return DataSet(
        spec.name,
        spec.path,
        spec.text,
        collect(train, (0, 1)),
        collect(test, (0,)),
        collect({*test, *only_gallery}, (1,)),
        variant=variant,
    )
