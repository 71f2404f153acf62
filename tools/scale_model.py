"""Write the tables of docs/scale.md that are computed: `python -m tools.scale_model` prints them.

A small model of memory, search time and load, fitted to measured points and checked on measured points that were left
out of the fit:

    disk        GB = a N                                    of the database, N sightings
    index       GB = N D b / 10^9                           b bytes a number: 4, 2 or 1
    search      ms = t + c n D b / (1536 * 2)               n vectors that are read, D numbers each, b bytes a number
    shards      a search waits for the slowest of S equal shards, whose times are log-normal
    service     a batch of k requests takes f + g k ms      k = min(clients, 16)
    load        M/G/1 queue: a node serves a search in the time of its cores or of its memory's bandwidth, the longer

`python -m tools.scale_model --write` puts the tables between the marks in docs/scale.md.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from statistics import NormalDist, linear_regression

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
START, END = "<!-- computed by tools/scale_model.py -->\n", "<!-- end -->\n"

# Measured points, from docs/performance.md ("Galleries" and "Service"): 2 cores of an AMD EPYC, D = 1,536.
DISK = {100_000: 0.71, 1_000_000: 6.74}
"""GB of the database."""
INDEX = {1_000_000: 3.09}
"""GB of the inverted file in half precision."""
CELLS = {32: 12.0, 48: 14.0, 64: 16.4, 96: 21.3}
"""p50 in ms by the number of the 1,024 cells that a search among 1,000,000 reads, half precision."""
EXACT = {100_000: 65.0}
"""p50 in ms of a search that reads all vectors in single precision."""
SPREAD = (11.3, 16.6)
"""p50 and p95 in ms of one search among 1,000,000."""
SERVICE = {1: 24.7, 8: 33.2, 32: 42.9}
"""Requests per second of `passerby serve` by the number of clients: one image, 100,000 sightings."""

WIDTH = 1536
CELL = 1_000_000 / 1024
"""Vectors of a cell; the number of cells grows with the gallery."""
READ = 64
"""Cells that a search reads, for recall 0.995 above. That it stays so in larger galleries is assumed."""
BATCH = 16
"""Largest batch of the service."""
NODE_GB, NODE_CORES, NODE_BANDWIDTH = 512, 64, 200.0
"""A node: memory in GB, cores, and GB that it reads from memory per second, all cores together. Assumed."""
SEARCH_CORES = 2
"""Cores on which a search was measured."""
FILLED, BUSY = 0.8, 0.7
"""Part of a node's memory that is used, and of its cores or bandwidth at which searches per second are stated."""
DOLLARS = 4.0
"""Assumed price of a GB of memory for a month."""
REPLICAS = 2


def fit_line(points: dict[float, float]) -> tuple[float, float]:
    """Fit y = a + b x by least squares; returns a and b.

    Without LAPACK, whose last digit depends on the processor: a fitted value is 16.55, which the table rounds.
    """
    b, a = linear_regression(list(points), list(points.values()))
    return a, b


def fit_search(cells: dict[int, float] = CELLS) -> tuple[float, float]:
    """Fit the time of a search: ms without reading, and ms per vector of 1,536 numbers in half precision."""
    return fit_line({count * CELL: ms for count, ms in cells.items()})


def search_ms(read: float, *, width: int = WIDTH, size: int = 2, fit: tuple[float, float] | None = None) -> float:
    """Compute p50 of a search that reads `read` vectors of `width` numbers of `size` bytes."""
    fixed, per_vector = fit_search() if fit is None else fit
    return fixed + per_vector * read * width * size / (WIDTH * 2)


def fit_service(points: dict[int, float]) -> tuple[float, float]:
    """Fit the time of a batch in ms: fixed, and per request."""
    return fit_line({min(n, BATCH): 1000 * min(n, BATCH) / rate for n, rate in points.items()})


def service_rate(clients: int, fit: tuple[float, float]) -> float:
    """Compute requests per second of clients that each wait for their reply."""
    batch = min(clients, BATCH)
    return 1000 * batch / (fit[0] + fit[1] * batch)


def slowest(p50: float, quantile: float, shards: int) -> float:
    """Compute a quantile of the slowest of equal shards whose times are log-normal with the measured spread."""
    normal = NormalDist()
    sigma = math.log(SPREAD[1] / SPREAD[0]) / normal.inv_cdf(0.95)
    return p50 * math.exp(sigma * normal.inv_cdf(quantile ** (1 / shards)))


def mean_wait(load: float, seconds: float) -> float:
    """Compute the mean wait in seconds of an M/G/1 queue (Pollaczek and Khinchine), with the spread of the searches.

    Args:
        load: Part of the time in which the server is busy.
        seconds: Mean service time.
    """
    sigma = math.log(SPREAD[1] / SPREAD[0]) / NormalDist().inv_cdf(0.95)
    variation = math.exp(sigma**2) - 1  # squared coefficient of variation of the log-normal
    return load / (1 - load) * seconds * (1 + variation) / 2


def list_checks() -> list[tuple[str, str, float, float]]:
    """List (quantity, points of the fit, computed, measured) of the points that were left out of a fit."""
    fitted = {cells: ms for cells, ms in CELLS.items() if cells != 64}
    outer = {cells: ms for cells, ms in CELLS.items() if cells != 96}
    service = fit_service({n: rate for n, rate in SERVICE.items() if n != 8})
    return [
        ("disk of 1,000,000, GB", "100,000", DISK[100_000] * 10, DISK[1_000_000]),
        ("index of 1,000,000, GB", "none: the size of the vectors", WIDTH * 2 * 1e6 / 1e9, INDEX[1_000_000]),
        ("search of 64 cells, ms", "32, 48 and 96 cells", search_ms(64 * CELL, fit=fit_search(fitted)), CELLS[64]),
        ("search of 96 cells, ms", "32, 48 and 64 cells", search_ms(96 * CELL, fit=fit_search(outer)), CELLS[96]),
        ("exact search of 100,000, ms", "32 to 96 cells", search_ms(1e5, size=4), EXACT[100_000]),
        ("service, 8 clients, requests/s", "1 and 32 clients", service_rate(8, service), SERVICE[8]),
    ]


def plan(sightings: int, *, width: int, size: int) -> dict[str, float]:
    """Compute nodes, memory, search time, load and price of a gallery with two replicas."""
    memory = sightings * width * size / 1e9
    shards = math.ceil(memory / (NODE_GB * FILLED))
    own = sightings / shards
    read = READ * CELL
    coarse = own / CELL * 4 / size  # the centers of all cells are compared in single precision
    p50 = search_ms(read + coarse, width=width, size=size)
    gigabytes = (read + coarse) * width * size / 1e9  # that a search reads
    seconds = max(p50 / 1000 * SEARCH_CORES / NODE_CORES, gigabytes / NODE_BANDWIDTH)
    return {
        "shards": shards,
        "memory": memory * REPLICAS,
        "disk": DISK[1_000_000] / 1_000_000 * sightings * (width / WIDTH),
        "p50": slowest(p50, 0.5, shards),
        "p95": slowest(p50, 0.95, shards),
        "rate": BUSY / seconds * REPLICAS,
        "wait": 1000 * mean_wait(BUSY, seconds),
        "dollars": memory * REPLICAS * DOLLARS,
    }


def format_tables() -> str:
    """Return the tables in Markdown."""
    lines = ["| left out of the fit | fitted to | computed | measured | error |", "| --- | --- | ---: | ---: | ---: |"]
    for name, points, computed, measured in list_checks():
        lines.append(
            f"| {name} | {points} | {computed:.3g} | {measured:.3g} | {100 * (computed / measured - 1):+.0f} % |"
        )
    lines += [
        "",
        "| sightings | numbers of a vector, bits of each | shards | memory, two replicas | database, one copy "
        "| p50, p95 ms | searches/s | wait, ms | dollars a month, memory |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for sightings in (10**6, 10**7, 10**8, 10**9):
        for width, size in ((1536, 2), (1024, 2), (256, 2), (256, 1)) if sightings > 10**6 else ((1024, 2), (256, 2)):
            row = plan(sightings, width=width, size=size)
            lines.append(
                f"| 10^{round(math.log10(sightings))} | {width:,}, {8 * size} | {row['shards']:.0f} | "
                f"{_gigabytes(row['memory'])} | {_gigabytes(row['disk'])} | {row['p50']:.0f}, {row['p95']:.0f} | "
                f"{row['rate']:,.0f} | {row['wait']:.1f} | {row['dollars']:,.0f} |"
            )
    return "\n".join(lines) + "\n"


def _gigabytes(value: float) -> str:
    return f"{value / 1000:.1f} TB" if value >= 1000 else f"{value:.1f} GB"


def main() -> None:
    """Print the tables, or put them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    tables = format_tables()
    if not parser.parse_args().write:
        print(tables, end="")
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{START}\n{tables}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
