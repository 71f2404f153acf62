"""Micro-batching. Oracle: the batches that a worker, held back by an event, must receive."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from passerby.serving.batching import Batcher, QueueFullError


def run(scenario, *, size=4, limit=6, whole=False):
    """Run a scenario with a batcher whose worker waits for `gate` and records its batches."""
    batches, gate = [], threading.Event()

    def work(items):
        assert gate.wait(30)
        batches.append(list(items))
        return [ValueError("odd") if item % 2 else item * 10 for item in items]

    async def main():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(work, executor=executor, size=size, limit=limit, whole=whole)
            try:
                return await scenario(batcher, gate)
            finally:
                gate.set()

    return asyncio.run(main()), batches


def test_items_that_wait_are_computed_together():
    async def scenario(batcher, gate):
        tasks = [asyncio.create_task(batcher.submit(0))]
        await asyncio.sleep(0.01)  # the worker has the first item
        tasks += [asyncio.create_task(batcher.submit(item)) for item in (2, 4, 6, 8, 10)]
        await asyncio.sleep(0.01)
        assert len(batcher) == 5
        gate.set()
        return await asyncio.gather(*tasks)

    assert run(scenario) == ([0, 20, 40, 60, 80, 100], [[0], [2, 4, 6, 8], [10]])


def test_a_full_queue_refuses():
    async def scenario(batcher, gate):
        tasks = [asyncio.create_task(batcher.submit(0))]
        await asyncio.sleep(0.01)
        tasks += [asyncio.create_task(batcher.submit(2)) for _ in range(6)]
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFullError):
            await batcher.submit(4)
        gate.set()
        return await asyncio.gather(*tasks)

    assert run(scenario)[0] == [0] + [20] * 6


def test_a_request_is_accepted_whole_or_refused_whole():
    async def scenario(batcher, gate):
        first = asyncio.create_task(batcher.submit(0))
        await asyncio.sleep(0.01)
        accepted = asyncio.create_task(batcher.submit_all([2, 4, 6, 8]))
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFullError):
            await batcher.submit_all([10, 12, 14])  # two places are free
        assert len(batcher) == 4
        fits = asyncio.create_task(batcher.submit_all([16, 18]))
        await asyncio.sleep(0.01)
        gate.set()
        return await asyncio.gather(first, accepted, fits)

    replies, batches = run(scenario)
    assert replies == [0, [20, 40, 60, 80], [160, 180]]
    assert [item for batch in batches for item in batch] == [0, 2, 4, 6, 8, 16, 18]


@pytest.mark.parametrize(("whole", "expected"), [(True, [[0], [2, 4, 6, 8, 10]]), (False, [[0], [2, 4, 6, 8], [10]])])
def test_the_items_of_a_request_are_computed_in_one_call_if_asked(whole, expected):
    async def scenario(batcher, gate):
        first = asyncio.create_task(batcher.submit(0))
        await asyncio.sleep(0.01)
        rest = [asyncio.create_task(batcher.submit_all(items)) for items in ([2, 4], [6, 8, 10])]
        await asyncio.sleep(0.01)
        gate.set()
        return await asyncio.gather(first, *rest)

    assert run(scenario, whole=whole)[1] == expected


def test_an_error_of_one_item_is_raised_when_all_are_computed():
    async def scenario(batcher, gate):
        gate.set()
        with pytest.raises(ValueError, match="odd"):
            await batcher.submit_all([1, 2, 4])

    assert run(scenario)[1] == [[1, 2, 4]]


def test_one_item_fails_alone_and_a_client_that_went_is_left_out():
    async def scenario(batcher, gate):
        first = asyncio.create_task(batcher.submit(0))
        await asyncio.sleep(0.01)
        gone, odd, even = (asyncio.create_task(batcher.submit(item)) for item in (6, 1, 2))
        await asyncio.sleep(0.01)
        gone.cancel()
        gate.set()
        return await asyncio.gather(first, odd, even, return_exceptions=True)

    (first, odd, even), batches = run(scenario)
    assert (first, str(odd), even) == (0, "odd", 20)
    assert batches == [[0], [1, 2]]


def test_an_error_of_the_worker_reaches_all_items_of_its_batch():
    async def main():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(lambda items: 1 / 0, executor=executor, size=4, limit=4)
            return await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)

    assert [type(error) for error in asyncio.run(main())] == [ZeroDivisionError, ZeroDivisionError]
