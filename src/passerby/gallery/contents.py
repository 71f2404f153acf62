"""What can be done with the contents of a gallery without its model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from passerby.extras import require_extra
from passerby.gallery.filters import EVERYTHING, Filter
from passerby.gallery.forget import expire, forget
from passerby.gallery.results import AuditEntry, EnrollResult, GalleryStats
from passerby.gallery.retention import set_retention
from passerby.gallery.stores.protocol import GalleryStore
from passerby.progress import ProgressOption


class GalleryContents:
    """Statistics, labels, erasure, export and import: the methods of `Gallery` that embed no image.

    Args:
        store: Open store of the gallery.
    """

    def __init__(self, store: GalleryStore) -> None:
        self.store = store

    def stats(self) -> GalleryStats:
        """Return size, contents and settings.

        Example:
            >>> with passerby.Gallery("memory", model="runs/m") as gallery:
            ...     gallery.stats()
            GalleryStats('memory', sightings=0, labels=0, cameras=0)
        """
        return self.store.stats()

    def audit(self) -> list[AuditEntry]:
        """Return the audit log, oldest entry first.

        Example:
            >>> with passerby.Gallery("memory", model="runs/m") as gallery:
            ...     [entry.action for entry in gallery.audit()]
            ['create']
        """
        return self.store.audit()

    def label(self, name: str | None, *, where: Filter) -> int:
        """Set the label of the sightings that pass a filter, None to remove it; return their number.

        Raises:
            GalleryError: As `GalleryStore.relabel`.

        Example:
            >>> from passerby.gallery.filters import Filter
            >>> with passerby.Gallery("memory", model="runs/m") as gallery:
            ...     gallery.label("Ada", where=Filter(ids=["s1"]))
            0
        """
        return self.store.relabel(where, name)

    def remove(self, *, where: Filter) -> int:
        """Remove the sightings that pass a filter; return their number. Use `forget` to erase them from the files.

        Raises:
            GalleryError: For a filter without conditions.

        Example:
            >>> from passerby.gallery.filters import Filter
            >>> with passerby.Gallery("memory", model="runs/m") as gallery:
            ...     gallery.remove(where=Filter(cameras=["north"]))
            0
        """
        return self.store.remove(where)

    def forget(
        self,
        *,
        label: str | None = None,
        ids: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
        rewrite_shards: bool = False,
    ) -> int:
        """Erase the sightings of a label, of ids, or from files, in the store's files too; return their number.

        With `rewrite_shards`, the shards that hold their vectors are written again without them.

        Raises:
            GalleryError: As `passerby.gallery.forget.forget`.

        Example:
            >>> with passerby.Gallery("memory", model="runs/m") as gallery:
            ...     gallery.forget(label="Ada")
            0
        """
        return forget(self.store, label=label, ids=ids, sources=sources, rewrite_shards=rewrite_shards)

    def expire(self, *, days: float | None = None) -> int:
        """Erase the sightings enrolled more than `days` ago (None: the retention); return their number.

        Raises:
            GalleryError: As `passerby.gallery.forget.expire`.

        Example:
            >>> with passerby.Gallery("memory", model="runs/m") as gallery:
            ...     gallery.expire(days=30)
            0
        """
        return expire(self.store, days=days)

    def set_retention(self, days: float | None, *, confirm_erase: bool = False) -> int:
        """Change the retention, None to keep everything; return the number of sightings that were erased.

        Raises:
            GalleryError: As `passerby.gallery.retention.set_retention`.

        Example:
            >>> with passerby.Gallery("memory", model="runs/m") as gallery:
            ...     gallery.set_retention(30)
            0
        """
        return set_retention(self.store, days, confirm_erase=confirm_erase)

    def export(
        self,
        path: str | Path,
        *,
        where: Filter = EVERYTHING,
        progress: ProgressOption = False,
    ) -> int:
        """Write sightings with vectors and stored crops to a Parquet file; return their number.

        Args:
            path: File to write; an existing file is not replaced.
            where: Sightings to write.
            progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

        Raises:
            GalleryError: If the file exists or cannot be written.
            MissingExtraError: Without the extra `eval`.

        Example:
            >>> with passerby.Gallery("memory", model="runs/m") as gallery:
            ...     gallery.export("empty.parquet")
            0
        """
        require_extra("pyarrow")
        from passerby.gallery.parquet import export_gallery

        return export_gallery(self.store, path, where=where, progress=progress)

    def backup(self, out: str | Path) -> int:
        """Copy the gallery to a new folder while it is used; return the number of sightings.

        Raises:
            GalleryError: As `passerby.gallery.backup.backup_gallery`.

        Example:
            >>> with passerby.Gallery("ours", model="runs/m") as gallery:
            ...     gallery.backup("copy")
            0
        """
        from passerby.gallery.backup import backup_gallery

        return backup_gallery(self.store.address, out)

    def import_(self, path: str | Path, *, progress: ProgressOption = False) -> EnrollResult:
        """Add the sightings of a file that `export` wrote. `passerby.import_gallery` also makes the gallery.

        Args:
            path: Exported file of a gallery of the same model.
            progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

        Raises:
            GalleryError: If the file contains another model's vectors, or is not an exported gallery.
            MissingExtraError: Without the extra `eval`.

        Example:
            >>> with passerby.Gallery("memory", model="runs/m") as gallery:
            ...     _ = gallery.export("moved.parquet")
            ...     gallery.import_("moved.parquet")
            EnrollResult(new=0, known=0, unreadable=0)
        """
        require_extra("pyarrow")
        from passerby.gallery.parquet import import_sightings

        return import_sightings(self.store, path, progress=progress)

    def close(self) -> None:
        """Release files and connections."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
