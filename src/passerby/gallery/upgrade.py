"""Conversion of galleries and exported files of earlier versions to the present format.

Format 1 had other names: crops were `pictures`, user and action in the audit log `who` and `what`, and the model was
recorded by the SHA-256 of its whole manifest instead of that of its settings.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from passerby.errors import GalleryError, NoGalleryError, argument, explain
from passerby.extras import require_extra
from passerby.files import make_private, remove_drafts, sync_file
from passerby.gallery.card import GalleryCard, GalleryModel
from passerby.gallery.embedding_model import find_source, load_model
from passerby.gallery.stores.answers_schema import ANSWERS_SCHEMA
from passerby.gallery.stores.sqlite_card import read_card_text
from passerby.gallery.stores.sqlite_database import COPY, FILE, Database, empty_database_error
from passerby.gallery.stores.sqlite_schema import AUDIT_TRIGGERS, SCHEMA_VERSION, TRIGGERS
from passerby.gallery.user import read_user
from passerby.types import DEFAULT

_OLD_TRIGGERS = ("audit_keeps", "audit_grows", "audit_stays")
_TO_SCHEMA_2 = f"""
DROP TRIGGER audit_keeps;
DROP TRIGGER audit_grows;
DROP TRIGGER audit_stays;
ALTER TABLE pictures RENAME TO crops;
ALTER TABLE crops RENAME COLUMN picture TO crop;
ALTER TABLE audit RENAME COLUMN who TO user;
ALTER TABLE audit RENAME COLUMN what TO action;
UPDATE audit SET action = 'enroll' WHERE action = 'enrol';
{AUDIT_TRIGGERS}
"""


def upgrade_gallery(path: str | Path, *, model: str | Path | None = None) -> bool:
    """Convert a gallery or an exported file of an earlier version to the present format.

    A copy is kept beside the file until the conversion is complete; a conversion that was interrupted leaves the old
    state and can be repeated. The gallery's model is loaded to record its settings.

    Args:
        path: Folder of a gallery, or a Parquet file that `Gallery.export` wrote. To convert a gallery on a server,
            export it with the version that made it, convert the file, and import it into a new gallery.
        model: Folder of the gallery's model, or `default`; None is the recorded folder.

    Returns:
        True if it was converted, False if it has the present format.

    Raises:
        NoGalleryError: If there is no gallery.
        GalleryError: If the model is missing or has other weights, or the file cannot be converted.

    Example:
        >>> passerby.Gallery("ours", model="runs/m").close()
        >>> upgrade_gallery("ours")
        False
    """
    text = str(path)
    if "://" in text:
        raise GalleryError(
            f"{text}: a gallery on a server cannot be converted in place; export it with the version that made it, run "
            "`passerby gallery upgrade` on the exported file, and import that into a new gallery"
        )
    path = Path(path)
    if path.is_file() and path.name.startswith(FILE):
        raise GalleryError(f"{path}: the database of a gallery; name its folder, {path.parent}")
    if path.is_file():
        require_extra("pyarrow")
        return _upgrade_export(path, model)
    return _upgrade_folder(path, model)


def _upgrade_folder(folder: Path, model: str | Path | None) -> bool:
    if not (folder / FILE).is_file():
        raise NoGalleryError(f"{folder}: no gallery; expected a folder with {FILE}, or an exported file")
    database = Database(folder)
    copy = folder / COPY
    try:
        version = database.schema_version()
        if version == 0:
            raise empty_database_error(folder)
        if version >= SCHEMA_VERSION:
            database.has_tables()  # refuses a later version
            copy.unlink(missing_ok=True)
            return False
        card = None
        if version == 1:
            database.check_programs(dict.fromkeys(_OLD_TRIGGERS))
            with database.read() as run:
                text = read_card_text(run, folder)
            card = _convert_card(text, str(folder), model)
        else:
            database.check_programs(TRIGGERS)
        _copy_database(database, copy)
        with database.write() as run:
            if database.schema_version() == version:  # another process may have been faster
                if card is not None:
                    database.run_script(_TO_SCHEMA_2)
                    run.execute("UPDATE card SET json = ?", (card.to_json(),))
                database.run_script(ANSWERS_SCHEMA)
                entry = (time.time(), read_user(), "upgrade", "{}")
                run.execute("INSERT INTO audit (time, user, action, counts) VALUES (?, ?, ?, ?)", entry)
                run.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        copy.unlink(missing_ok=True)
    finally:
        database.close()
    return True


def _copy_database(database: Database, copy: Path) -> None:
    """Write a durable copy of the database."""
    copy.unlink(missing_ok=True)
    make_private(copy)
    with database.translate_errors():
        database.connection.execute("VACUUM INTO ?", (str(copy),))
    sync_file(copy)


def _convert_card(text: str, source: str, model: str | Path | None) -> GalleryCard:
    """Convert a card of format 1; the settings of the model are recorded from the model itself."""
    try:
        card = json.loads(text)
        if card["format"] != 1:
            raise ValueError(f"format {card['format']!r}, expected 1")
        old: dict[str, Any] = card["model"]
        recorded = DEFAULT if old["source"] == "" else old["source"]
        unchanged = {key: old[key] for key in ("weights", "preprocessing", "dimension", "calibration")}
        stored = GalleryModel(architecture=old["manifest"], source=recorded, **unchanged)
        converted = GalleryCard(stored, keep=card["pictures"], retention=card["retention"])
    except (ValueError, KeyError, TypeError) as error:
        raise GalleryError(f"{source}: the gallery's card cannot be converted ({explain(error)})") from None
    name = recorded if model is None else model
    if name is None:  # vectors of the caller's own making: no model can be loaded
        return converted
    name = find_source(name)
    if name != DEFAULT and not Path(name).is_dir():
        raise GalleryError(
            f"{source}: its model's folder {name} is missing; name its present folder with {argument('model')}"
        )
    _, present = load_model(name, "cpu")
    if not replace(present, architecture=stored.architecture).same_vectors(stored):
        raise GalleryError(f"{source}: contains vectors of {stored}, {name} contains {present}; name its own model")
    return replace(converted, model=replace(present, calibration=present.calibration or stored.calibration))


def _upgrade_export(path: Path, model: str | Path | None) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from passerby.gallery.parquet import CARD_KEY, open_export, read_card

    file = open_export(path)
    remove_drafts(path)
    schema = file.schema_arrow
    text = schema.metadata[CARD_KEY].decode()
    if json.loads(text).get("format") != 1:
        read_card(path)  # refuses another format
        return False
    card = _convert_card(text, str(path), model)
    fields = [field.with_name("crop") if field.name == "picture" else field for field in schema]
    target = pa.schema(fields, metadata={CARD_KEY: card.to_json().encode()})
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        make_private(draft)
        with draft.open("wb") as raw, pq.ParquetWriter(raw, target) as writer:
            for batch in file.iter_batches(batch_size=1000):
                writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=target))
        sync_file(draft)
        os.replace(draft, path)
    except OSError as error:
        reason = error.strerror or error
        raise GalleryError(f"{path}: not converted ({reason}); the old file is intact") from None
    finally:
        draft.unlink(missing_ok=True)
    return True
