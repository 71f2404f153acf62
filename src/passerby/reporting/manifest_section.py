"""Section of data, model, recipe and versions: what the metrics depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from passerby.data.datasets.public_spec import public_name, public_spec
from passerby.data.fingerprint import fingerprint
from passerby.model.info import model_info
from passerby.reporting.page import PageSection, PageTable
from passerby.reporting.reported_runs import ReportedRun, RunGroup
from passerby.runtime.model_manifest import FILE_METHOD
from passerby.text import plural
from passerby.training.log import read_log


def build_manifest_section(group: RunGroup) -> PageSection:
    """Tabulate what the metrics depend on, one column for each run."""
    columns = [_collect_settings(run) for run in group.runs]
    table = PageTable(
        "Settings that the metrics depend on. The fingerprint covers file list, identities, cameras and splits of the "
        "data set.",
        ("", *(run.title for run in group.runs)),
        tuple((name, *(settings[name] for settings in columns)) for name in columns[0]),
        text_columns=len(columns),
    )
    return PageSection("Settings and versions", (), (table,))


def _collect_settings(run: ReportedRun) -> dict[str, str]:
    manifest, recipe, result = run.embedder.manifest, run.recipe, run.result
    data = public_spec(manifest["data"]) if "data" in manifest else "not recorded"
    size = run.embedder.preprocessing.size
    info = model_info(run.embedder.network, size=size) if run.embedder.has_network else None
    losses = [name for name, value in recipe.loss.model_dump().items() if value]
    versions = ", ".join(f"{name} {number}" for name, number in manifest.get("versions", {}).items())
    return {
        "Evaluated on": f"{result.title}, {plural(len(result.data.query), 'query')}, "
        f"{plural(len(result.data.gallery), 'gallery image')}",
        "Fingerprint": fingerprint([result.data])[:16],
        "Trained on": "not recorded: an imported model"
        if "imported" in manifest
        else f"{data}: {plural(manifest.get('images', 0), 'image')}, "
        f"{plural(manifest.get('trained_identities', manifest['identities']), 'identity')}",
        "Protocol": f"{result.scores.protocol}, {result.scores.ap} AP",
        "Network": _describe_network(manifest["model"]),
        "Image size": f"{size[0]} x {size[1]} pixels",
        "Parameters": f"{info.parameters['total'] / 1e6:.2f} million, classifiers included" if info else "not counted",
        "Multiply-adds": f"{info.multiply_adds['total'] / 1e9:.3f} billion per image" if info else "not counted",
        "Embedding": f"{plural(run.embedder.width, 'dimension')}",
        "Initial weights": _name_weights(str(manifest.get("initial_weights", "not recorded"))),
        "Recipe": "none: an imported model"
        if "imported" in manifest
        else f"{recipe.name}, {plural(recipe.schedule.epochs, 'epoch')}, batches {recipe.batches.persons} x "
        f"{recipe.batches.images}, {recipe.optimizer.name}, losses: {', '.join(losses)}",
        "Seed": str(manifest.get("seed", "not recorded")),
        "Training time": _measure_training(run),
        "Versions": f"passerby {manifest.get('passerby', '?')}, {versions}",
    }


def _name_weights(text: str) -> str:
    """Return the initial weights with the last component of a path alone, as the page may be published."""
    if text.startswith("timm: "):
        return text
    words, adapted, start = text.rpartition("adapted from ")
    return words + adapted + public_name(start)


def _describe_network(model: Mapping[str, Any]) -> str:
    """Describe the network of a manifest."""
    if model.get("method") == FILE_METHOD:
        return f"file {model['file']}"
    if model.get("method", "convnext_ap") != "convnext_ap":
        return f"{model['method']} on {model['backbone']}"
    refined = ", refined" if model["refine"] else ""
    return f"{model['backbone']}, attention {'on' if model['attention'] else 'off'}, parts {model['parts']}{refined}"


def _measure_training(run: ReportedRun) -> str:
    """Return time and steps of the training by the images per second in the log, without evaluations."""
    images = run.recipe.batches.persons * run.recipe.batches.images * run.recipe.optimizer.accumulate
    rates = [record["images_per_second"] for record in read_log(run.folder.log) if "images_per_second" in record]
    seconds = sum(images / rate for rate in rates if rate > 0)
    return f"{seconds / 60:.1f} min, {plural(len(rates), 'step')}" if rates else "not recorded"
