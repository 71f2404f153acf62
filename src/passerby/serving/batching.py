"""Micro-batching: requests that arrive while the worker is busy are computed together in its next call.

No request waits for others to arrive: an idle worker takes all waiting items. A request is accepted or refused whole.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Reply = TypeVar("Reply")


class QueueFullError(Exception):
    """More requests wait than the queue holds."""


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[Item, Reply]):
    """An item that waits, and the request that it is part of."""

    item: Item
    future: asyncio.Future[Reply]
    request: object


class Batcher(Generic[Item, Reply]):
    """Bounded queue in front of a function that takes several items at once.

    Args:
        work: Returns one reply, or one exception, per item.
        executor: Where `work` runs, one call at a time.
        size: Largest number of items in a call.
        whole: Compute the items of a request in one call, which may then have more than `size` items.
        limit: Largest number of items that wait.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> async def double(numbers):
        ...     with ThreadPoolExecutor(1) as executor:
        ...         batcher = Batcher(lambda items: [2 * item for item in items], executor=executor, size=8, limit=8)
        ...         return await asyncio.gather(*map(batcher.submit, numbers))
        >>> asyncio.run(double([1, 2, 3]))
        [2, 4, 6]
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Reply | Exception]],
        *,
        executor: Executor,
        size: int,
        limit: int,
        whole: bool = False,
    ) -> None:
        self._work, self._executor, self._size, self._limit, self._whole = work, executor, size, limit, whole
        self._waiting: deque[_Waiting[Item, Reply]] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return the number of items that wait."""
        return len(self._waiting)

    async def submit(self, item: Item) -> Reply:
        """Return the reply to one item.

        Raises:
            QueueFullError: If `limit` items wait.
        """
        (reply,) = await self.submit_all([item])
        return reply

    async def submit_all(self, items: Sequence[Item]) -> list[Reply]:
        """Return the replies to the items of one request; all are computed before the first error is raised.

        Raises:
            QueueFullError: If the queue has no place for all of them; none is computed then.
        """
        if len(self._waiting) + len(items) > self._limit:
            raise QueueFullError
        loop, request = asyncio.get_running_loop(), object()
        futures: list[asyncio.Future[Reply]] = [loop.create_future() for _ in items]
        self._waiting.extend(_Waiting(item, future, request) for item, future in zip(items, futures, strict=True))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        replies = await asyncio.gather(*futures, return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        return [future.result() for future in futures]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = [waiting for waiting in self._take() if not waiting.future.done()]  # a client may have gone
            if not batch:
                continue
            try:
                replies = await loop.run_in_executor(self._executor, self._work, [waiting.item for waiting in batch])
            except Exception as error:  # every request of the batch gets it
                replies = [error] * len(batch)
            for waiting, reply in zip(batch, replies, strict=True):
                if waiting.future.done():
                    continue
                if isinstance(reply, Exception):
                    waiting.future.set_exception(reply)
                else:
                    waiting.future.set_result(reply)

    def _take(self) -> list[_Waiting[Item, Reply]]:
        """Take the items of the next call."""
        taken = [self._waiting.popleft()]
        while self._waiting and (
            len(taken) < self._size or (self._whole and self._waiting[0].request is taken[-1].request)
        ):
            taken.append(self._waiting.popleft())
        return taken
