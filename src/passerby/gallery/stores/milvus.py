"""A gallery on a Milvus server, for those who outgrow one machine: `milvus://host:port/name`.

Every read but the searches is strongly consistent: it sees what was acknowledged before. The server lets such a read
wait for some tenths of a second; of the searches only the first does. Candidates are the server's, by HNSW (Malkov and
Yashunin 2018); distances are computed here from the vectors that it sends, so that they are those of every store.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from passerby.errors import GalleryError, NoGalleryError
from passerby.gallery.card import GalleryCard
from passerby.gallery.sightings import EVERYTHING, Added, AuditEntry, Description, Filter, Hit, Removal, Sighting
from passerby.gallery.stored_crops import kept_picture
from passerby.gallery.stores.exact_distances import exact_distances, nearest_first
from passerby.gallery.stores.validation import check_label, check_queries, check_removal, check_sightings
from passerby.types import FloatArray

try:
    import grpc
    from pymilvus import MilvusClient, MilvusException
except ImportError:
    raise GalleryError('milvus://: pymilvus is not installed; pip install "passerby[milvus]"') from None

from passerby.gallery.stores.milvus_rows import (
    LIGHT,
    SEARCHED,
    WHOLE,
    audit_schema,
    expression_of,
    facts_of,
    index_of,
    quoted,
    sightings_schema,
    to_entity,
    to_sighting,
)

GRACE = 5.0
"""Seconds that a bounded read may be behind; the server's own default (`common.gracefulTime`)."""
PATIENCE = 30.0
"""Seconds that a call is repeated while the server does not answer."""
MOST = 16_384
"""Results of one call; the server's own limit."""
_TOGETHER = 1000  # sightings sent at a time
_PAGE = 8192  # entities of facts read at a time


class MilvusGallery:
    """Two collections of a server: `name`, whose description is the card, and `name_audit`.

    Everything is as `GalleryStore` says, with these differences, which are the server's: `add` is all or none for every
    1,000 sightings; an `add` and its line in the audit log are two writes, and nothing there refuses an administrator
    who changes the log; a search sees what this object did, and what others had done before its first search, and what
    they do since after at most 15 s; `compact` asks for what was removed to be erased, and the server does that in its
    own time.
    """

    def __init__(
        self,
        address: str,
        card: GalleryCard | None = None,
        *,
        who: str,
        clock: Callable[[], float] = time.time,
        patience: float = PATIENCE,
    ) -> None:
        """Connect, and make the gallery when it is not there and a card is given.

        Raises:
            GalleryError: When the server does not answer, or there is no gallery and no card.
        """
        server, token, self._name, self.address = parse_address(address)
        self._who, self._clock, self._patience = who, clock, patience
        self._searched, self._added, self._removed = False, -np.inf, -np.inf
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # what it says of an error is said by ours
        self._client = self._connect(server, token)
        if not self._ask("has_collection", self._name):
            if card is None:
                raise NoGalleryError(f"{self.address}: no gallery; give a model to make one, or its name")
            self._make(card)
        for name in (self._name, self._log_name):
            self._ask("load_collection", name)
        text = self._ask("describe_collection", self._name)["description"]
        self.card = GalleryCard.from_json(text, self.address)

    @property
    def _log_name(self) -> str:
        return f"{self._name}_audit"

    def _connect(self, server: str, token: str) -> MilvusClient:
        end = time.monotonic() + self._patience
        while True:
            try:
                return MilvusClient(uri=server, token=token, timeout=self._patience)
            except (MilvusException, grpc.RpcError) as error:
                if time.monotonic() > end:
                    raise self._gone(error) from None
                time.sleep(0.5)

    def _ask(self, word: str, *arguments: Any, **options: Any) -> Any:
        """Call the client, again and again while the server does not answer, for as long as there is patience.

        The client repeats some calls by itself and gives up at once on others. What writes may be done twice: sightings
        are put in by their id.

        Raises:
            GalleryError: When it has run out, or the server refuses.
        """
        end = time.monotonic() + self._patience
        while True:
            try:
                return getattr(self._client, word)(*arguments, timeout=self._patience, **options)
            except (grpc.RpcError, MilvusException) as error:
                code = error.code if isinstance(error, MilvusException) else None
                if code in _SERVER_CODES and code not in _RECOVERING:
                    raise GalleryError(
                        f"{self.address}: the server refuses {word} ({getattr(error, 'message', error)})"
                    ) from None
                if time.monotonic() > end:
                    raise self._gone(error) from None
                time.sleep(0.5)

    def _gone(self, error: Exception) -> GalleryError:
        reason = " ".join(str(getattr(error, "message", "") or error).split())[:200]
        return GalleryError(
            f"{self.address}: no answer within {self._patience:.0f} s ({reason}); what was acknowledged is on the "
            "server: start it or look at its address, and do the last step again, which adds nothing twice"
        )

    def _make(self, card: GalleryCard) -> None:
        create = {"consistency_level": "Strong"}
        flat = index_of("nothing", index_type="FLAT", metric_type="L2", params={})
        self._ask("create_collection", self._log_name, schema=audit_schema(), index_params=flat, **create)
        schema = sightings_schema(card.model.dimension, card.to_json())
        graph = index_of("vector", **SEARCHED)
        self._ask("create_collection", self._name, schema=schema, index_params=graph, **create)
        self.log("create")

    def add(self, sightings: Sequence[Sighting]) -> Added:
        """As `GalleryStore.add`, in steps of 1,000."""
        distinct = check_sightings(sightings, self.card.model.dimension)
        now = self._clock()
        entities = [to_entity(each, kept_picture(each, self.card.pictures), now=now) for each in distinct]
        known: set[str] = set()
        for start in range(0, len(entities), _TOGETHER):
            some = entities[start : start + _TOGETHER]
            there = self._query(Filter(ids=[each["id"] for each in some]), ["id"], limit=len(some))
            known |= {each["id"] for each in there}
            fresh = [each for each in some if each["id"] not in known]
            if fresh:  # upsert: another client may be sending the same ones
                self._ask("upsert", self._name, fresh)
                self._added = time.monotonic()
        new = tuple(each.id for each in distinct if each.id not in known)
        self.log("enroll", sightings=len(new), known=len(known))
        return Added(new, tuple(each.id for each in distinct if each.id in known))

    def search(
        self, vectors: FloatArray, *, top: int = 10, where: Filter = EVERYTHING, record: bool = True
    ) -> list[list[Hit]]:
        """As `GalleryStore.search`; above some thousand sightings nearly all of the nearest, also with a filter.

        Raises:
            GalleryError: Further, for `top` above 16,384.
        """
        queries = check_queries(vectors, self.card.model.dimension, top=top)
        if top > MOST:
            raise GalleryError(f"top: got {top}, a Milvus server gives at most {MOST}; use a gallery in a folder")
        found = list(self._nearest(queries, top, expression_of(where)))
        if record:
            self.log("search", queries=len(queries), hits=sum(map(len, found)))
        return found

    def _nearest(self, queries: FloatArray, top: int, expression: str) -> Iterator[list[Hit]]:
        """Candidates become more until rounding can have hidden none of those that the server found."""
        slack = (queries.shape[1] + 8) * 2.0**-23
        first = min(2 * top + 50, MOST)
        for query, answer in zip(queries, self._candidates(queries, first, expression), strict=True):
            found, count = answer, first
            while True:
                entities = [hit["entity"] for hit in found]
                vectors = np.array([each["vector"] for each in entities], np.float32).reshape(-1, len(query))
                distances = exact_distances(query, vectors)
                best = nearest_first(distances, [each["id"] for each in entities], top=top)
                if len(found) < count or count == MOST or 1 - found[-1]["distance"] - slack > distances[best[-1]]:
                    yield [Hit(**facts_of(entities[place]), distance=float(distances[place])) for place in best]
                    break
                count = min(4 * count, MOST)
                (found,) = self._candidates(query[None], count, expression)

    def _candidates(self, queries: FloatArray, count: int, expression: str) -> list[Any]:
        """The server's answers to (Q, D) queries."""
        found: list[Any] = []
        together = max(1, MOST // count)  # bounds the size of an answer
        for start in range(0, len(queries), together):
            found += self._ask(
                "search",
                self._name,
                data=list(queries[start : start + together]),
                search_params={"metric_type": "COSINE", "params": {"ef": max(count, 256)}},
                consistency_level=self._level(),
                limit=count,
                filter=expression,
                output_fields=[*LIGHT, "vector"],
            )
        self._searched = True
        return found

    def _level(self) -> str:
        """Of a search: `Session` sees what was added here, but not what was removed; `Bounded` what is `GRACE` old."""
        now = time.monotonic()
        if not self._searched or now - self._removed < 2 * GRACE:
            return "Strong"
        return "Session" if now - self._added < 2 * GRACE else "Bounded"

    def _query(self, where: Filter, fields: list[str], *, limit: int, after: str = "") -> list[dict[str, Any]]:
        """Entities in the order of their ids; the server keeps that order and cuts behind it."""
        parts = [f"id > {quoted(after)}", expression_of(where)]
        expression = " and ".join(filter(None, parts))
        options = {"filter": expression, "output_fields": fields, "limit": limit}
        return sorted(
            self._ask("query", self._name, consistency_level="Strong", **options), key=lambda each: each["id"]
        )

    def _pages(self, where: Filter, fields: list[str], *, page: int) -> Iterator[list[dict[str, Any]]]:
        after = ""
        while found := self._query(where, fields, limit=page, after=after):
            yield found
            after = found[-1]["id"]

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """As `GalleryStore.get`."""
        read: dict[str, Sighting] = {}
        for start in range(0, len(ids), _TOGETHER):
            some = Filter(ids=ids[start : start + _TOGETHER])
            read |= {each["id"]: to_sighting(each) for each in self._query(some, WHOLE, limit=_TOGETHER)}
        missing = [each for each in ids if each not in read]
        if missing:
            raise GalleryError(
                f"{self.address}: no sighting {missing[0]!r} ({len(missing)} of {len(ids)} ids are not there)"
            )
        return [read[each] for each in ids]

    def walk(self, where: Filter = EVERYTHING, *, batch: int = 1000) -> Iterator[list[Sighting]]:
        """As `GalleryStore.walk`."""
        for found in self._pages(where, WHOLE, page=batch):
            yield [to_sighting(each) for each in found]

    def remove(self, where: Filter, *, what: Removal = "remove") -> int:
        """As `GalleryStore.remove`."""
        check_removal(where, what)
        gone = self.count(where)
        if gone:
            self._ask("delete", self._name, filter=expression_of(where))
            self._removed = time.monotonic()
        self.log(what, sightings=gone)
        if gone and what != "remove":
            self.compact()
        return gone

    def relabel(self, where: Filter, label: str | None) -> int:
        """As `GalleryStore.relabel`, in steps of 1,000: the server changes nothing in place, so all is sent again."""
        check_label(where, label)
        changed = 0
        for found in self.walk(where, batch=_TOGETHER):
            entities = [to_entity(replace(each, label=label), each.picture, now=self._clock()) for each in found]
            self._ask("upsert", self._name, entities)
            changed += len(found)
        self._removed = time.monotonic()  # what an upsert replaces is removed: see `_level`
        self.log("label", sightings=changed)
        return changed

    def compact(self) -> None:
        """Ask the server to rewrite its segments; it deletes the old files when its garbage collection comes by."""
        self._ask("flush", self._name)
        self._ask("compact", self._name)

    def count(self, where: Filter = EVERYTHING) -> int:
        """As `GalleryStore.count`."""
        options = {"filter": expression_of(where), "output_fields": ["count(*)"], "consistency_level": "Strong"}
        return int(self._ask("query", self._name, **options)[0]["count(*)"])

    def labels(self, where: Filter = EVERYTHING) -> int:
        """As `GalleryStore.labels`; the server cannot count different values, so every label is read."""
        pages = self._pages(replace(where, labeled=True), ["id", "label"], page=_PAGE)
        return len({each["label"] for found in pages for each in found})

    def describe(self) -> Description:
        """As `GalleryStore.describe`; the server cannot group, so the facts of every sighting are read."""
        cameras: dict[str, int] = {}
        labels: set[str] = set()
        times: list[float] = []
        count = 0
        for found in self._pages(EVERYTHING, ["id", "camera", "label", "timed", "time"], page=_PAGE):
            count += len(found)
            for each in found:
                cameras[each["camera"]] = cameras.get(each["camera"], 0) + 1
            labels |= {each["label"] for each in found} - {""}
            times += [each["time"] for each in found if each["timed"]]
            times = [min(times), max(times)] if times else []
        return Description(
            address=self.address,
            backend="milvus",
            card=self.card,
            sightings=count,
            labels=len(labels),
            cameras=dict(sorted(cameras.items())),
            first=min(times, default=None),
            last=max(times, default=None),
            bytes=None,
            index="HNSW on the server, distances computed here",
        )

    def audit(self) -> list[AuditEntry]:
        """As `GalleryStore.audit`."""
        fields = ["number", "time", "who", "what", "counts"]
        lines: list[dict[str, Any]] = []
        after = -1
        while True:
            options = {"filter": f"number > {after}", "output_fields": fields, "limit": _PAGE}
            found = list(self._ask("query", self._log_name, consistency_level="Strong", **options))
            if not found:
                break
            lines += found
            after = max(each["number"] for each in found)
        lines.sort(key=lambda each: each["number"])
        return [AuditEntry(each["time"], each["who"], each["what"], each["counts"]) for each in lines]

    def log(self, what: str, **counts: int) -> None:
        """As `GalleryStore.log`."""
        line = {"time": self._clock(), "who": self._who, "what": what, "counts": counts, "nothing": [0.0, 0.0]}
        self._ask("insert", self._log_name, [line])

    def close(self) -> None:
        """As `GalleryStore.close`."""
        self._client.close()


_SERVER_CODES = range(100, 2**31)
"""Codes of an answer; the client's own, such as `no connection`, are below."""
_RECOVERING = {101, 103, 106, 500, 501, 503, 901}
"""Codes of a server that has just started: collections, channels and nodes that are not there yet."""


def parse_address(address: str) -> tuple[str, str, str, str]:
    """`milvus://user:password@host:port/name` -> (server, token, name, address without the password).

    Raises:
        GalleryError: For an address of another form; it is not repeated when it may hold a password.
    """
    wrong = GalleryError(
        f"{'milvus://...' if '@' in address else address}: expected milvus://host:port/name or "
        "milvus://user:password@host:port/name, with a name of letters, digits and _"
    )
    try:
        parts = urlsplit(address)
        port = parts.port or 19_530
    except ValueError:
        raise wrong from None
    name = parts.path.removeprefix("/")
    fits = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,200}", name)
    if parts.scheme != "milvus" or not parts.hostname or not fits or parts.query or parts.fragment:
        raise wrong
    token = f"{parts.username}:{parts.password or ''}" if parts.username else ""
    return f"http://{parts.hostname}:{port}", token, name, f"milvus://{parts.hostname}:{port}/{name}"
