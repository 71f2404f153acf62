"""Filters over HTTP. Oracle: the filter that was given, and the same search in the gallery's folder."""

import json
from dataclasses import fields

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from passerby import Client, Filter
from passerby.gallery.stores.opening import open_gallery
from passerby.serving.client import _describe_filter
from passerby.serving.request_bodies import FilterBody
from passerby.serving.vector_query import VectorQuery

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3), max_size=3)
TIMES = st.none() | st.sampled_from([0, 0.0, -1.0, 1.7e9]) | st.floats(-6e10, 2e11)
FILTERS = st.builds(
    Filter,
    cameras=st.none() | TEXTS,
    not_cameras=TEXTS,
    since=TIMES,
    until=TIMES,
    labels=st.none() | TEXTS | TEXTS.map(tuple),
    labeled=st.booleans(),
    ids=st.none() | TEXTS,
    sources=st.none() | TEXTS,
    enrolled_before=TIMES,
)


def plain(where):
    """Conditions by name, with lists for all sequences."""
    values = {field.name: getattr(where, field.name) for field in fields(where)}
    return {name: list(value) if isinstance(value, list | tuple) else value for name, value in values.items()}


@given(FILTERS)
@example(Filter(until=0))
@example(Filter(since=0.0, ids=()))
@example(Filter(cameras=[], labels=(), sources=[]))
def test_every_condition_arrives(where):
    received = FilterBody.model_validate(json.loads(json.dumps(_describe_filter(where)))).to_filter()
    assert plain(received) == plain(where)
    assert received.selects_all == where.selects_all


@given(FILTERS, FILTERS)
@example(Filter(until=0), Filter())
@example(Filter(ids=[]), Filter())
def test_queries_with_other_conditions_are_not_computed_together(one, two):
    keys = [VectorQuery(None, "Ada", where, None).key for where in (one, two)]
    assert (keys[0] == keys[1]) <= (plain(one) == plain(two))


@pytest.mark.parametrize(
    "where",
    [
        Filter(until=0),
        Filter(since=0),
        Filter(ids=()),
        Filter(cameras=[]),
        Filter(labels=[]),
        Filter(sources=()),
        Filter(enrolled_before=0),
        Filter(labeled=False),
        Filter(not_cameras=[]),
    ],
    ids=repr,
)
def test_a_search_by_a_service_finds_what_the_folder_finds(service, where):
    query = service.sightings[0].vector
    store = open_gallery(service.folder)
    (expected,) = store.search(query, top=50, where=where)
    store.close()
    with Client(service.address) as client:
        (received,) = client.search_vectors(query, top=50, where=where)
    assert [hit.id for hit in received] == [hit.id for hit in expected]
