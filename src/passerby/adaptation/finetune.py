"""Fine-tuning with pseudo-labels: tracks are classes of their cameras; links between cameras are found in each pass.

N crops   T tracks   D width of the embedding
"""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passerby.adaptation.adapt_result import Rung
from passerby.adaptation.crop_groups import UNSURE, find_level, regroup
from passerby.adaptation.groups import Groups
from passerby.adaptation.ladder import ERRORS, Start, judge_rung, standard_error
from passerby.adaptation.rendered import RenderedPeople
from passerby.adaptation.site import Site
from passerby.adaptation.site_tracks import SiteTracks, find_tracks
from passerby.adaptation.start_model import StartModel
from passerby.adaptation.track_links import TrackLinks, link_table
from passerby.errors import TrainingError, WeightsError, explain
from passerby.files import read_json, write_atomic
from passerby.metric.fold import fold_maps
from passerby.metric.part_maps import Parts
from passerby.progress import ProgressCallback
from passerby.text import plural
from passerby.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from passerby.distributed import Process
    from passerby.model.convnext_ap import ReID
    from passerby.training.state import TrainingState

logger = logging.getLogger(__name__)

NAME = "finetune"
WITHIN_PASSES = 1
"""First passes, which learn from the tracks of each camera alone."""
EMA = 0.98
"""Decay of the averaged weights."""
MIN_TRACKS = 8
"""Tracks of two crops below which nothing is learned."""
ALIKE = 0.97
"""Mean cosine similarity of two crops above which the network has collapsed."""


@dataclass(frozen=True)
class FineTuning:
    """One fine-tuning of a copy of the network.

    After an interruption the same call continues after the last finished pass, with the same weights as without it.
    Under torchrun the processes divide the batches; the first one embeds for the links and writes the checkpoints.

    Attributes:
        model: The start; unchanged.
        site: The crops.
        groups: With a judge.
        start: Embeddings of the start.
        people: Synthetic people, part of every batch.
        work: Folder of the checkpoints.
        seed: Seed of batches and augmentation.
        passes: Number of passes.
        progress: Callback that receives the steps as task `finetune`.
        process: This process.
    """

    model: StartModel
    site: Site
    groups: Groups
    start: Start
    people: RenderedPeople
    work: Path
    seed: int
    passes: int
    progress: ProgressCallback
    process: Process

    def find_tracks(self, vectors: FloatArray) -> SiteTracks:
        """Return the tracks of the groups that are not held out; without given ones, crops are grouped anew.

        Args:
            vectors: (N, P D) of the network at the start of a pass.
        """
        numbers = self.groups.learned
        if self.groups.kind == "similar":
            numbers = regroup(self.site, self.groups, self.start.normalize(vectors), self.start.parts)
        return find_tracks(self.site, numbers)

    def run(self, maps: Parts | None) -> tuple[int, list[dict[str, Any]]]:
        """Run the passes that are not finished; return the best one, from 1, and an entry for each."""
        from passerby.training.checkpoint import load_checkpoint, save_checkpoint

        state = self._make_state(maps)
        entries = self._read_entries()
        if entries and self._checkpoint.is_file():
            load_checkpoint(self._checkpoint, state)
            logger.info("fine-tuning: continued after pass %d of %d", state.stage, self.passes)
        entries = entries[: state.stage]
        vectors = self._embed_site(state)
        for done in range(len(entries), self.passes):
            started = time.monotonic()
            tracks = self.find_tracks(vectors)
            links = self._link(tracks, vectors, done)
            loss = self._train(state, tracks, vectors, links.pairs, done)
            vectors = self._embed_site(state)
            entry = self._judge(vectors, loss) | tracks.measure(links)
            entries.append(entry)
            state.stage = done + 1
            if not self.process.first:
                continue
            write_atomic(self._log, json.dumps({"key": self._key, "passes": entries}).encode())
            if choose_pass(entries) == len(entries):
                save_checkpoint(self._best, state)
            save_checkpoint(self._checkpoint, state)  # last: a pass whose checkpoint is missing is trained again
            left = (self.passes - done - 1) * (time.monotonic() - started)
            logger.info(
                "fine-tuning: pass %d of %d: %s; %s left", done + 1, self.passes, _describe(entry), _round(left)
            )
        self.process.wait()  # for the checkpoint that `load_best` reads
        best = max(count for count in range(1, len(entries) + 1) if choose_pass(entries[:count]) == count)
        return best, entries

    def _embed_site(self, state: TrainingState) -> FloatArray:
        """Embed the crops with the averaged network; all processes get the vectors of the first one."""
        from passerby.distributed import from_first

        assert state.ema is not None
        return from_first(self.embed(state.ema.module, self.site.pixels), self.process)

    def embed(self, network: ReID, pixels: NDArray[np.uint8]) -> FloatArray:
        """Embed pixels, averaged with their mirror images."""
        return self.model.embed_with(network, pixels, progress=self.progress)

    def load_best(self) -> ReID:
        """Return the averaged network of the best pass."""
        from passerby.training.checkpoint import load_checkpoint

        state = self._make_state(None)
        load_checkpoint(self._best, state)
        assert state.ema is not None
        network: ReID = state.ema.module
        return network.eval()

    def _make_state(self, maps: Parts | None) -> TrainingState:
        import torch
        from timm.utils.model_ema import ModelEmaV3

        from passerby.training.optimizer import build_optimizer
        from passerby.training.state import TrainingState

        network = copy.deepcopy(self.model.embedder.network).cpu()
        if maps is not None:
            fold_maps(network, maps)
        optimizer = build_optimizer(
            network,
            name="adamw",
            backbone_scale=1.0,
            weight_decay=0.1,
            momentum=0.9,
            nesterov=False,
            betas=(0.9, 0.999),
        )
        return TrainingState(
            network=network,
            optimizer=optimizer,
            scaler=torch.amp.GradScaler("cpu", enabled=False),
            ema=ModelEmaV3(network, decay=EMA, use_warmup=True),
        )

    def _link(self, tracks: SiteTracks, vectors: FloatArray, done: int) -> TrackLinks:
        """Return the links of a pass: given ones, and in later passes those that are found."""
        searches = done >= WITHIN_PASSES and self.groups.kind != "identities"
        return tracks.link(self.start.normalize(vectors) if searches else None)

    def _train(
        self, state: TrainingState, tracks: SiteTracks, vectors: FloatArray, pairs: IntArray, done: int
    ) -> float:
        import torch

        from passerby.training.proxy_pass import LabeledPixels, ProxySettings, TrackProxies, run_pass
        from passerby.training.transforms import TransformSettings

        preprocessing = self.model.embedder.preprocessing
        transform = TransformSettings(
            size=preprocessing.size, mean=preprocessing.mean, std=preprocessing.std, flip=0.5, pad=2,
            jitter=(1.0, 0.2, 0.2, 0.2, 0.0),
        )  # fmt: skip
        crops = LabeledPixels(self.site.pixels[tracks.rows], tracks.labels)
        persons = np.unique(self.people.person_ids, return_inverse=True)[1]
        proxies = TrackProxies(
            torch.from_numpy(tracks.mean(vectors).astype(np.float32)),
            torch.from_numpy(tracks.camera_ids),
            torch.from_numpy(link_table(pairs, tracks.camera_ids)),
            torch.from_numpy(self._find_unsure(tracks, vectors)) if self.groups.kind == "similar" else None,
        )
        settings = ProxySettings(transform=transform, passes=self.passes, seed=self.seed)
        losses = []
        people = LabeledPixels(self.people.pixels, persons)
        for loss in run_pass(state, crops, people, proxies, number=done, settings=settings, process=self.process):
            losses.append(loss)
            self.progress("finetune", state.step, 0, f"pass {done + 1}  loss {loss:.3f}")
        return float(np.mean(losses))

    def _find_unsure(self, tracks: SiteTracks, vectors: FloatArray) -> BoolArray:
        """Mark groups of one camera that may show one person, (T, T): a person's crops can be in several groups."""
        normalized = self.start.normalize(vectors)
        means = tracks.mean(normalized)
        unsure = means @ means.T >= find_level(normalized, self.site.camera_ids, UNSURE)
        unsure &= tracks.camera_ids[:, None] == tracks.camera_ids[None]
        np.fill_diagonal(unsure, False)
        return np.asarray(unsure)

    def _judge(self, vectors: FloatArray, loss: float) -> dict[str, Any]:
        """Describe a finished pass.

        Raises:
            TrainingError: If the network has collapsed.
        """
        if not np.isfinite(vectors).all():
            raise TrainingError("the embeddings are not finite")
        center = vectors.mean(axis=0)
        alike = float(center @ center)
        if alike > ALIKE:
            raise TrainingError(f"the network has collapsed: mean similarity of two crops {alike:.3f}")
        assert self.groups.judge is not None
        before, after = (self.groups.judge.precision(self.start.normalize(v)) for v in (self.start.crops, vectors))
        gains = after - before
        return {"loss": loss, "gain": float(gains.mean()), "error": standard_error(gains), "alike": alike}

    @property
    def _checkpoint(self) -> Path:
        return self.work / "last.safetensors"

    @property
    def _best(self) -> Path:
        return self.work / "best.safetensors"

    @property
    def _log(self) -> Path:
        return self.work / "passes.json"

    @property
    def _key(self) -> Mapping[str, Any]:
        """Return the values that the passes depend on."""
        return {
            "format": 4,
            "fingerprint": self.site.fingerprint,
            "start": self.start.fingerprint,
            "seed": self.seed,
            "passes": self.passes,
        }

    def _read_entries(self) -> list[dict[str, Any]]:
        """Return the finished passes of an interrupted call with the same arguments."""
        if not self._log.is_file():
            return []
        try:
            stored = read_json(self._log)
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{self._log}: cannot be read ({explain(error)}); delete {self.work} and start again"
            ) from None
        if stored["key"] != self._key:
            raise WeightsError(
                f"{self.work}: checkpoints of an adaptation with other crops, another model or seed; delete the folder "
                "to start again"
            )
        return list(stored["passes"])


def _describe(entry: Mapping[str, Any]) -> str:
    """Write the values of a pass for the log."""
    links = plural(entry["links"], "link")
    if "link_probability" in entry:
        links += f" of mean probability {entry['link_probability']:.2f}"
    gain = f"{100 * entry['gain']:+z.1f} ± {100 * entry['error']:.1f}"
    return f"loss {entry['loss']:.3f}, gain {gain} points of held-out mAP, {links}"


def _round(seconds: float) -> str:
    """Write a duration for a reader.

    Example:
        >>> _round(42.3), _round(421.0)
        ('42 s', '7 min')
    """
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def choose_pass(entries: Sequence[Mapping[str, Any]]) -> int:
    """Return the number, from 1, of the last pass whose gain is not below the largest by more than its error.

    Later passes learn from more links between cameras, which crops of one camera do not judge; see `choose`. Passes
    that would be refused count only if all would be.

    Example:
        >>> choose_pass([{"gain": 0.03, "error": 0.01}, {"gain": 0.025, "error": 0.01}, {"gain": 0.01, "error": 0.01}])
        2
    """
    best = max(entries, key=lambda entry: float(entry["gain"]))
    least = best["gain"] - ERRORS * best["error"]
    near = [number for number, entry in enumerate(entries, start=1) if entry["gain"] >= least]
    accepted = [number for number in near if entries[number - 1]["gain"] > ERRORS * entries[number - 1]["error"]]
    return max(accepted or near)


def finetune(job: FineTuning, maps: Parts | None) -> tuple[Rung, ReID | None]:
    """Fine-tune a copy of the network and judge it after every pass.

    Args:
        job: What is learned.
        maps: Maps that are folded into the copy first; learned without the held-out groups.

    Returns:
        The rung of the best pass, with all passes in its details, and its network; None if it is refused.
    """
    if not job.model.trainable:
        return Rung(NAME, note="not applicable: the weights of an ONNX or OpenVINO file are fixed"), None
    usable = int((np.bincount(job.find_tracks(job.start.crops).labels) > 1).sum())
    if usable < MIN_TRACKS:
        return Rung(NAME, note=f"{usable} tracks with two crops to learn from, expected {MIN_TRACKS} or more"), None
    try:
        best, entries = job.run(maps)
    except TrainingError as error:
        return Rung(NAME, note=str(error)), None
    network = job.load_best()
    crops, rendered = (job.embed(network, pixels) for pixels in (job.site.pixels, job.people.pixels))
    rung = judge_rung(NAME, crops, rendered, start=job.start, groups=job.groups, people=job.people)
    rung = replace(rung, details={"passes": entries, "best": best})
    return rung, network if rung.accepted else None
