"""The computed tables of docs/scale.md. Oracles: the page, drawn times, and a simulated queue."""

import numpy as np
import pytest

from tools import scale_model


def test_the_page_has_the_tables_of_the_script():
    page = scale_model.PAGE.read_text()
    assert page.count(scale_model.START) == page.count(scale_model.END) == 1
    shown = page.partition(scale_model.START)[2].partition(scale_model.END)[0]
    assert shown.strip() == scale_model.format_tables().strip()


def test_points_that_were_left_out_are_in_no_fit():
    """A changed left-out point changes what was measured and not what was computed."""
    before = {name: (computed, measured) for name, _, computed, measured in scale_model.list_checks()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(scale_model.SERVICE, 8, 99.0)
        patch.setitem(scale_model.CELLS, 64, 99.0)
        after = {name: (computed, measured) for name, _, computed, measured in scale_model.list_checks()}
    for name in ("search of 64 cells, ms", "service, 8 clients, requests/s"):
        assert after[name] == (before[name][0], 99.0)


def test_the_slowest_of_several_shards_is_that_of_drawn_times():
    sigma = np.log(16.6 / 11.3) / 1.6449
    drawn = 10 * np.exp(sigma * np.random.default_rng(0).standard_normal((200_000, 8)).max(axis=1))
    for quantile in (0.5, 0.95):
        assert scale_model.slowest(10, quantile, 8) == pytest.approx(np.quantile(drawn, quantile), rel=0.01)
    assert scale_model.slowest(10, 0.5, 1) == pytest.approx(10)


def test_the_wait_is_that_of_a_simulated_queue():
    """Lindley's recursion with exponential arrivals and log-normal services."""
    generator = np.random.default_rng(0)
    sigma = np.log(16.6 / 11.3) / 1.6449
    services = np.exp(sigma * generator.standard_normal(400_000) - sigma**2 / 2)  # mean 1
    steps = np.concatenate([[0.0], services[:-1] - generator.exponential(1 / 0.7, len(services) - 1)])
    path = np.cumsum(steps)
    waits = path - np.minimum.accumulate(path)
    assert scale_model.mean_wait(0.7, 1.0) == pytest.approx(waits.mean(), rel=0.03)


def test_memory_and_shards_of_a_large_gallery():
    row = scale_model.plan(10**9, width=1536, size=2)
    assert row["memory"] == pytest.approx(2 * 10**9 * 1536 * 2 / 1e9)
    assert row["shards"] == 8  # 3,072 GB in parts of 410
