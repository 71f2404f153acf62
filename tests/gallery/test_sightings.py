"""Values of sightings. Oracle: the ranges in the docstrings."""

import math

import numpy as np
import pytest

from gallery.people import MODEL, NOW
from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery
from passerby.text import escape_controls, format_time

VECTOR = np.eye(24, dtype=np.float32)[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"camera": None}, "camera is None"),
        ({"camera": "north\n"}, r"camera is 'north\\n', expected text without control characters"),
        ({"label": "Al\0ice"}, r"label is 'Al\\x00ice'"),
        ({"label": "\udce9"}, r"label is '\\udce9'"),
        ({"label": "\u202eecilA"}, "label is"),
        ({"source": "a\x1b[2J.jpg"}, r"source is 'a\\x1b"),
        ({"id": "a\tb"}, "id is"),
        (
            {"time": NOW * 1000},
            r"time is 1700000000000\.0, expected .*; if it is in milliseconds, give 1700000000\.000",
        ),
        ({"time": 10**400}, "time is 1000"),
        ({"time": math.nan}, "time is nan"),
        ({"time": "noon"}, "time is 'noon'"),
        ({"enrolled": -1e300}, "enrolled is -1e"),
        ({"quality": "good"}, "quality is good"),
        ({"attributes": {"n": 10**5000}}, "attribute 'n' is .*expected text, a boolean or a finite number of 64 bits"),
        ({"attributes": {"n": math.inf}}, "attribute 'n' is inf"),
        ({"attributes": [1]}, "attributes are"),
        ({"attributes": {"track.start": "left"}}, r"attribute track\.start is 'left', expected seconds"),
    ],
)
def test_values_that_would_break_a_reader_are_refused(values, message):
    with pytest.raises(GalleryError, match=message):
        Sighting(vector=VECTOR, **{"camera": "c"} | values)


def test_values_that_an_earlier_version_stored_can_be_read(tmp_path):
    store = open_gallery(tmp_path / "g", model=MODEL)
    store.add([Sighting(vector=VECTOR, camera="c", id="s1", label="Ada", time=5)])
    store._database.connection.execute("UPDATE sightings SET time = 1.7e12, label = 'A' || char(27), source = char(7)")
    ((sighting,),) = store.walk()
    assert (sighting.time, sighting.label) == (1.7e12, "A\x1b")
    assert store.get(["s1"])[0].vector.tolist() == VECTOR.tolist()
    assert store.search(VECTOR)[0][0].time == 1.7e12
    assert format_time(store.stats().first) == "1.7e+12 s"
    assert store.remove(Filter(labels=["A\x1b"]), action="forget") == 1
    store.close()


@pytest.mark.parametrize("text", ["Al\0ice", "\ud800", 5])
def test_a_filter_refuses_text_that_the_database_would_cut(text):
    with pytest.raises(GalleryError, match=r"filter: labels contains .*, expected text without NUL and surrogates"):
        Filter(labels=[text])


def test_numpy_scalars_are_stored_as_plain_numbers():
    sighting = Sighting(
        vector=VECTOR, camera="c", time=np.float32(5), attributes={"n": np.int64(3), "x": np.float32(0.5)}
    )
    assert (repr(sighting.time), repr(sighting.attributes)) == ("5.0", "{'n': 3, 'x': 0.5}")
    assert sighting.id == Sighting(vector=VECTOR, camera="c", time=5).id


def test_printable_text_of_any_language_is_kept():
    for text in ("Ada", "M\u00fcller", "\u738b\u5c0f\u660e", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "a b"):
        assert escape_controls(text) == text
    assert escape_controls("a\x9b\u2028b") == r"a\x9b\u2028b"
