"""Store of a gallery on a Milvus server, for galleries beyond one machine: `milvus://host:port/name`.

All reads except searches are strongly consistent: they include everything acknowledged before. Such a read waits some
tenths of a second; of the searches only the first is one. The server returns candidates by HNSW (Malkov and Yashunin
2018); distances are computed here from the vectors that it sends, so that they equal those of every other store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from passerby.errors import GalleryError, NoGalleryError
from passerby.gallery.card import GalleryCard, GalleryModel
from passerby.gallery.filters import EVERYTHING, Filter, Removal
from passerby.gallery.results import AddResult, AuditEntry, GalleryStats
from passerby.gallery.sightings import Hit, Sighting
from passerby.gallery.stored_crops import crop_name, encode_stored_crop
from passerby.gallery.stores.exact_distances import exact_distances, nearest_first
from passerby.gallery.stores.milvus_audit import MilvusAudit
from passerby.gallery.stores.milvus_connection import (
    MAX_RESULTS,
    PATIENCE,
    MilvusConnection,
    check_count,
    parse_address,
)
from passerby.gallery.stores.milvus_consistency import SearchConsistency
from passerby.gallery.stores.milvus_projection import read_components, write_projection
from passerby.gallery.stores.milvus_rows import (
    HNSW,
    INFO_FIELDS,
    WHOLE_FIELDS,
    make_index,
    make_sightings_schema,
    quote,
    to_candidates,
    to_entity,
    to_expression,
    to_info,
    to_sighting,
)
from passerby.gallery.stores.milvus_stats import STATS_FIELDS, count_labels, make_stats
from passerby.gallery.stores.proposals import Candidates, Key, Proposal, ScoredPart, merge_proposals
from passerby.gallery.stores.sqlite_answers import SqliteAnswers
from passerby.gallery.stores.validation import check_label, check_queries, check_removal, check_sightings, in_order
from passerby.types import FloatArray

if TYPE_CHECKING:
    from passerby.gallery.stores.bulk_storage import BulkStorage

_BATCH = 1000  # sightings sent at a time
_PAGE = 8192  # entities without vectors read at a time


class MilvusStore:
    """Collections of a server: `name`, whose description is the card, `name_audit`, and a projection's components.

    All methods are those of `GalleryStore`, with these differences, which are the server's:

    - `add` is all or none for every 1,000 sightings.
    - `add` and its line in the audit log are two writes, and an administrator can change the log.
    - A search includes the changes made by this object, those of other clients before its first search, and later ones
      after at most 15 s.
    - `compact` requests the erasure of removed sightings; the server decides when it is done.

    The gallery is made if it is missing and a card is given.

    Args:
        address: `milvus://host:port/name` or `milvus://user:password@host:port/name`.
        card: Model and settings of a new gallery.
        user: Name in the audit log.
        clock: Returns seconds since 1970 UTC.
        patience: Seconds that a call is repeated while the server does not answer.

    Raises:
        NoGalleryError: If the gallery is missing and no card is given.
        GalleryError: If the server does not answer.
    """

    keeps_answers = False
    folder = None

    def __init__(
        self,
        address: str,
        card: GalleryCard | None = None,
        *,
        user: str,
        clock: Callable[[], float] = time.time,
        patience: float = PATIENCE,
    ) -> None:
        server, token, self._name, self.address = parse_address(address)
        self.user, self._clock = user, clock
        self._consistency = SearchConsistency()
        self._connection = MilvusConnection(server, token, address=self.address, patience=patience)
        self._call = self._connection.call
        self._audit = MilvusAudit(self._call, self._name, user=user, clock=clock)
        if not self._call("has_collection", self._name):
            if card is None:
                raise NoGalleryError(f"{self.address}: no gallery here; enroll images with a model to make one")
            self._make(card)
        self._call("load_collection", self._name)
        self._audit.load()
        text = self._call("describe_collection", self._name)["description"]
        components = read_components(self._call, self._name)
        self.card = GalleryCard.from_json(text, self.address, components=components)

    def _make(self, card: GalleryCard) -> None:
        """Make the collections; that of the sightings last, as it is what makes the gallery exist."""
        self._audit.make()
        if card.model.projection is not None:
            write_projection(self._call, self._name, card.model.projection)
        schema = make_sightings_schema(card.model.dimension, card.to_json())
        options = {"index_params": make_index("vector", **HNSW), "consistency_level": "Strong"}
        self._call("create_collection", self._name, schema=schema, **options)
        self.log("create")

    @property
    def answers(self) -> SqliteAnswers:
        """Raise an error: answers are kept with galleries in a folder or in memory."""
        raise GalleryError(
            f"{self.address}: a gallery on a server keeps no answers; export it, import it into a folder, review that"
        )

    def add(self, sightings: Sequence[Sighting]) -> AddResult:
        """Add sightings, 1,000 at a time; see `GalleryStore.add`."""
        distinct = check_sightings(sightings, self.card.model.dimension)
        now = self._clock()
        entities = [
            to_entity(item, encode_stored_crop(item.crop, self.card.keep, name=crop_name(item)), now=now)
            for item in distinct
        ]
        known: set[str] = set()
        for start in range(0, len(entities), _BATCH):
            batch = entities[start : start + _BATCH]
            known |= self.stored_labels([entity["id"] for entity in batch]).keys()
            fresh = [entity for entity in batch if entity["id"] not in known]
            if fresh:  # upsert: another client may be sending the same sightings
                self._call("upsert", self._name, fresh)
                self._consistency.note_addition()
        new = tuple(item.id for item in distinct if item.id not in known)
        self.log("enroll", sightings=len(new), known=len(known))
        return AddResult(new, tuple(item.id for item in distinct if item.id in known))

    def insert_in_bulk(self, sightings: Iterable[Sighting], files: BulkStorage) -> Iterator[AddResult]:
        """Add many sightings without crops by files in the server's storage; see `BulkInsertion.add`."""
        from passerby.gallery.stores.milvus_bulk import BulkInsertion  # needs pyarrow

        insertion = BulkInsertion(self, self._connection, self._name, files, now=self._clock())
        for result in insertion.add(sightings):
            self._consistency.note_removal()  # a search includes only what is older, and rows of a file are not
            yield result

    def stored_labels(self, ids: Sequence[str]) -> dict[str, str | None]:
        """Return the labels of stored ids; see `GalleryStore.stored_labels`."""
        stored: dict[str, str | None] = {}
        for start in range(0, len(ids), _BATCH):
            batch = Filter(ids=ids[start : start + _BATCH])
            entities = self._query(batch, ["id", "label"], limit=_BATCH)
            stored |= {entity["id"]: entity["label"] or None for entity in entities}
        return stored

    def search(
        self, vectors: ArrayLike, *, top: int = 10, where: Filter = EVERYTHING, record: bool = True
    ) -> list[list[Hit]]:
        """Find the nearest sightings; see `GalleryStore.search`.

        Above some thousand sightings a search may miss some of the nearest, also with a filter.

        Raises:
            GalleryError: Also for `top` above 16,384.
        """
        queries = check_queries(vectors, self.card.model.dimension, top=top)
        check_count("top", top)
        hits = list(self._find_nearest(queries, top, to_expression(where)))
        if record:
            self.log("search", queries=len(queries), hits=sum(map(len, hits)))
        return hits

    def _find_nearest(self, queries: FloatArray, top: int, expression: str) -> Iterator[list[Hit]]:
        """Widen the search until rounding cannot have hidden a nearer sighting of those that the server returns."""
        slack = (queries.shape[1] + 8) * 2.0**-23
        first = min(2 * top + 50, MAX_RESULTS)
        fields = [*INFO_FIELDS, "vector"]
        for query, answer in zip(queries, self._find_candidates(queries, first, expression, fields), strict=True):
            results, count = answer, first
            while True:
                entities = [result["entity"] for result in results]
                vectors = np.array([entity["vector"] for entity in entities], np.float32).reshape(-1, len(query))
                distances = exact_distances(query, vectors)
                best = nearest_first(distances, [entity["id"] for entity in entities], top=top)
                complete = len(results) < count or count == MAX_RESULTS
                if complete or 1 - results[-1]["distance"] - slack > distances[best[-1]]:
                    yield [Hit(**to_info(entities[index]), distance=float(distances[index])) for index in best]
                    break
                count = min(4 * count, MAX_RESULTS)
                (results,) = self._find_candidates(query[None], count, expression, fields)

    def propose(self, parts: Sequence[ScoredPart], *, count: int) -> list[list[Key]]:
        """Find the ids with the best scores; see `GalleryStore.propose`."""
        check_count("count", count)
        proposals = [self._propose(part, count) for part in parts]
        return [[key for _, key in best] for best in merge_proposals(parts, proposals, count=count)]

    def _propose(self, part: ScoredPart, count: int) -> list[Proposal]:
        queries = check_queries(part.directions, self.card.model.dimension, top=count)
        answers = self._find_candidates(queries, count, to_expression(part.where), ["id"])
        return [
            ([found["entity"]["id"] for found in line], np.array([1 - found["distance"] for found in line], np.float32))
            for line in answers
        ]

    def read_proposed(self, keys: Sequence[Key]) -> Candidates:
        """Read the sightings of ids; see `GalleryStore.read_proposed`."""
        chosen, fields = Filter(ids=sorted(map(str, keys))), [*INFO_FIELDS, "vector"]
        entities = [entity for page in self._pages(chosen, fields, page=_BATCH) for entity in page]
        return to_candidates(entities, self.card.model.dimension)

    def _find_candidates(self, queries: FloatArray, count: int, expression: str, fields: list[str]) -> list[Any]:
        """Return the server's results for (Q, D) queries."""
        answers: list[Any] = []
        batch = max(1, MAX_RESULTS // count)  # limits the size of an answer
        for start in range(0, len(queries), batch):
            answers += self._call(
                "search",
                self._name,
                data=list(queries[start : start + batch]),
                search_params={"metric_type": "COSINE", "params": {"ef": max(count, 256)}},
                consistency_level=self._consistency.choose(),
                limit=count,
                filter=expression,
                output_fields=fields,
            )
        self._consistency.note_search()
        return answers

    def _query(self, where: Filter, fields: list[str], *, limit: int, after: str = "") -> list[dict[str, Any]]:
        """Read entities in the order of their ids; the server returns the first `limit` in that order."""
        expression = " and ".join(filter(None, [f"id > {quote(after)}", to_expression(where)]))
        options = {"filter": expression, "output_fields": fields, "limit": limit}
        entities = self._call("query", self._name, consistency_level="Strong", **options)
        return sorted(entities, key=lambda entity: entity["id"])

    def _pages(self, where: Filter, fields: list[str], *, page: int, after: str = "") -> Iterator[list[dict[str, Any]]]:
        while entities := self._query(where, fields, limit=page, after=after):
            yield entities
            after = entities[-1]["id"]

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """Return sightings with vectors and crops; see `GalleryStore.get`."""
        stored: dict[str, Sighting] = {}
        for start in range(0, len(ids), _BATCH):
            batch = Filter(ids=ids[start : start + _BATCH])
            stored |= {entity["id"]: to_sighting(entity) for entity in self._query(batch, WHOLE_FIELDS, limit=_BATCH)}
        return in_order(stored, ids, self.address)

    def walk(
        self, where: Filter = EVERYTHING, *, batch: int = 1000, crops: bool = True, after: str = ""
    ) -> Iterator[list[Sighting]]:
        """Iterate over sightings; see `GalleryStore.walk`."""
        fields = WHOLE_FIELDS if crops else [*INFO_FIELDS, "vector"]
        for entities in self._pages(where, fields, page=batch, after=after):
            yield [to_sighting(entity) for entity in entities]

    def find_ids(self, where: Filter) -> list[str]:
        """Return ids; see `GalleryStore.find_ids`."""
        return [entity["id"] for entities in self._pages(where, ["id"], page=_PAGE) for entity in entities]

    def remove(self, where: Filter, *, action: Removal = "remove") -> int:
        """Remove sightings; see `GalleryStore.remove`."""
        check_removal(where, action)
        count = self.count(where)
        if count:
            self._call("delete", self._name, filter=to_expression(where))
            self._consistency.note_removal()
        self.log(action, sightings=count)
        if count and action != "remove":
            self.compact()
        return count

    def set_retention(self, days: float | None) -> None:
        """Refuse, as the card is the description of a collection, which cannot be changed."""
        raise GalleryError(
            f"{self.address}: the retention of a gallery on a server is fixed; export it, and import the file into a "
            "new gallery"
        )

    def accept_model(self, model: GalleryModel) -> None:
        """Refuse, as the card is the description of a collection, which cannot be changed."""
        raise GalleryError(
            f"{self.address}: the accepted models of a gallery on a server are fixed; export it, import the file into "
            f"a gallery in a folder, and open that with {model}"
        )

    def relabel(self, where: Filter, label: str | None) -> int:
        """Set labels, 1,000 at a time; see `GalleryStore.relabel`. Sightings are sent again, as there is no update."""
        check_label(where, label)
        changed = 0
        for entities in self._pages(where, WHOLE_FIELDS, page=_BATCH):
            self._call("upsert", self._name, [{**entity, "label": label or ""} for entity in entities])
            changed += len(entities)
        self._consistency.note_removal()  # an upsert removes what it replaces
        self.log("label", sightings=changed)
        return changed

    def compact(self) -> None:
        """Request that the server rewrites its segments; its garbage collection deletes the old files later."""
        self._call("flush", self._name)
        self._call("compact", self._name)

    def count(self, where: Filter = EVERYTHING) -> int:
        """Count sightings; see `GalleryStore.count`."""
        options = {"filter": to_expression(where), "output_fields": ["count(*)"], "consistency_level": "Strong"}
        return int(self._call("query", self._name, **options)[0]["count(*)"])

    def count_labels(self, where: Filter = EVERYTHING) -> int:
        """Count different labels; see `GalleryStore.count_labels`. The server cannot, so all labels are read."""
        return count_labels(self._pages(replace(where, labeled=True), ["id", "label"], page=_PAGE))

    def stats(self) -> GalleryStats:
        """Return size, contents and settings; see `GalleryStore.stats`. Reads all metadata: the server cannot group."""
        return make_stats(self._pages(EVERYTHING, STATS_FIELDS, page=_PAGE), address=self.address, card=self.card)

    def audit(self) -> list[AuditEntry]:
        """Return the audit log; see `GalleryStore.audit`."""
        return self._audit.read()

    def log(self, action: str, **counts: int) -> None:
        """Add a line to the audit log; see `GalleryStore.log`."""
        self._audit.write(action, counts)

    def close(self) -> None:
        """Close the connection; see `GalleryStore.close`."""
        self._connection.close()
