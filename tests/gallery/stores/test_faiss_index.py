"""Indexes without a database. Oracle: products of matrices, in float64."""

import gc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gallery.people import D, unit
from passerby.gallery.filters import Filter
from passerby.gallery.stores.faiss_index import ExactIndex, InvertedFile
from passerby.gallery.stores.proposals import ScoredPart


@given(
    seed=st.integers(0, 2**32 - 1),
    added=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    parts=st.integers(1, 6),
    count=st.integers(1, 150),
    queries=st.integers(1, 3),
)
def test_proposals_of_an_exact_index_have_the_best_scores(seed, added, parts, count, queries):
    """Rows are added and removed between searches, row numbers have gaps, and a row may be in no part."""
    generator = np.random.default_rng(seed)
    index, stored, first = ExactIndex(D), {}, 1
    for number in added:
        rows = first + np.sort(generator.choice(3 * number, number, replace=False))
        vectors = unit(generator, number)
        index.add(rows, vectors)
        stored |= dict(zip(rows.tolist(), vectors.astype(float), strict=True))
        first = int(rows[-1]) + 1
        removed = generator.choice(index.rows, generator.integers(0, len(index.rows)), replace=False)
        index.remove(removed)
        stored = {row: vector for row, vector in stored.items() if row not in removed}
        member = generator.integers(-1, parts, len(index.rows))  # -1 is in no part
        allowed = [index.rows[member == part] for part in range(parts)]
        scored = [
            ScoredPart(
                Filter(), unit(generator, queries), generator.uniform(0.5, 2, queries), generator.normal(size=queries)
            )
            for _ in range(parts)
        ]
        proposed = index.propose(scored, allowed, count=count)
        for query, keys in enumerate(proposed):
            scores = {
                int(row): stored[int(row)] @ part.directions[query].astype(float) * part.factors[query]
                + part.offsets[query]
                for part, rows in zip(scored, allowed, strict=True)
                for row in rows
            }
            best = sorted(scores.values(), reverse=True)[:count]
            assert len({*keys}) == len(keys)
            np.testing.assert_allclose([scores[key] for key in keys], best, atol=1e-6)


def test_a_selector_is_kept_as_long_as_its_rows():
    """Rows of a filter that is searched again are the same array; those of a changed gallery are another."""
    vectors = unit(np.random.default_rng(0), 40)
    index = InvertedFile(vectors[:4])
    index.add(np.arange(1, 41), vectors)
    for step in (2, 3):
        allowed = np.arange(1, 41, step)
        for _ in range(2):
            rows, distances = index.search(vectors[:1], count=5, allowed=allowed)
            expected = 1 - vectors[allowed - 1] @ vectors[0]
            assert rows[0].tolist() == allowed[np.argsort(expected)[:5]].tolist()
            np.testing.assert_allclose(distances[0], np.sort(expected)[:5], atol=index.slack)
            assert len(index._selectors) == 1
        del allowed
        gc.collect()
        assert not index._selectors
