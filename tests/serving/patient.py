"""Requests by httpx that wait up to a minute, for machines that do much else."""

from functools import partial

import httpx

get = partial(httpx.get, timeout=60)
post = partial(httpx.post, timeout=60)
delete = partial(httpx.delete, timeout=60)
Client = partial(httpx.Client, timeout=60)
