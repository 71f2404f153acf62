"""Section of the adaptation. Oracle: a manifest by hand."""

from pathlib import Path
from types import SimpleNamespace

from passerby.adaptation.adapt_result import AdaptResult, Rung
from passerby.reporting.adaptation_section import PICTURES_OF, build_adaptation_section
from passerby.reporting.page import PageFigure
from passerby.reporting.reported_runs import RunGroup
from passerby.runs.run_folder import RunFolder

PASSES = [
    {"loss": 3.0, "gain": 0.012, "links": 0},
    {"loss": 2.0, "gain": -0.004, "links": 1160, "link_probability": 0.9, "link_precision": 0.954, "link_recall": 0.31},
]
RUNGS = (
    Rung("wccn", 0.021, 0.006, 0.97),
    Rung("kissme", -0.0004, 0.006, 0.92, "gain not above 2 standard errors"),
    Rung("lda", note="groups: one"),
    Rung("finetune", 0.05, 0.01, 0.813, details={"passes": PASSES, "best": 1}),
)


def make_run(name, adaptation):
    manifest = {} if adaptation is None else {"adaptation": adaptation}
    return SimpleNamespace(name=name, folder=RunFolder(Path(name)), embedder=SimpleNamespace(manifest=manifest))


def build(*runs, images=True):
    return build_adaptation_section(RunGroup(runs, Path("unused"), 1), images=images)


def test_rungs_and_links_of_an_adapted_run_are_tabulated():
    result = AdaptResult(Path("site"), "finetune", 0.4, RUNGS, 1940, 2, 970, 291, "tracks", "synth", 7)
    adapted = make_run("runs/site", result.to_dict())
    section = build(make_run("default", None), adapted, adapted)  # evaluated on two data sets
    assert section.text == (
        "runs/site: adapted by 1,940 crops of 2 cameras with 970 tracks, of which 291 were held out. The mAP on "
        "held-out tracks was 40.0 % at the start. Chosen: finetune; seed 7.",
    )
    rungs, links = section.parts
    assert rungs.rows == (
        ("wccn", "+2.1", "0.6", "97", "accepted, not chosen: finetune gains +5.0 points"),
        ("kissme", "+0.0", "0.6", "92", "not accepted: gain not above 2 standard errors"),
        ("lda", "-", "-", "-", "not accepted: groups: one"),
        ("finetune", "+5.0", "1.0", "81", "chosen"),
    )
    assert "in each round of finetune" in links.caption
    assert links.rows == (("1", "0", "-", "-", "-", "+1.2"), ("2", "1,160", "90.0", "95.4", "31.0", "-0.4"))


def test_pictures_that_are_in_the_run_are_shown_unless_images_are_left_out(tmp_path):
    (tmp_path / "adaptation").mkdir()
    for name in ("clusters-surest.png", "embeddings-after.png", "another.png"):
        (tmp_path / "adaptation" / name).touch()
    result = AdaptResult(tmp_path, "finetune", 0.4, RUNGS, 1940, 2, 970, 150, "tracks", "synth", 7)
    run = make_run(str(tmp_path), result.to_dict())
    figures = [part for part in build(run).parts if isinstance(part, PageFigure)]
    assert [(figure.path.name, figure.narrow) for figure in figures] == [
        ("clusters-surest.png", False),
        ("embeddings-after.png", True),
    ]
    assert not [part for part in build(run, images=False).parts if isinstance(part, PageFigure)]


def test_texts_of_a_run_without_tracks_name_pairs_and_links(tmp_path):
    """Oracle: `track` is in no text, and neither is a brace."""
    (tmp_path / "adaptation").mkdir()
    for stem in PICTURES_OF:
        (tmp_path / "adaptation" / f"{stem}.png").touch()
    result = AdaptResult(tmp_path, "links", 0.4, RUNGS, 1940, 2, 567, 150, "similar", "synth", 7)
    section = build(make_run("site", result.to_dict() | {"folder": None}), make_run(str(tmp_path), result.to_dict()))
    texts = [*section.text, *(part.caption for part in section.parts)]
    assert len(texts) == 2 + 2 * 2 + len(PICTURES_OF)
    assert not [text for text in texts if "track" in text or "{" in text]
    assert (
        "with 567 groups of similar crops, of which 150 were held out. The mAP on links of held-out crops was"
        in texts[0]
    )


def test_without_an_adapted_run_the_section_is_empty():
    section = build(make_run("default", None))
    assert (section.text, section.parts) == ((), ())
