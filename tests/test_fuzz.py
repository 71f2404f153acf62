"""Damaged files of each format that is read. Oracle: a result or a PasserbyError, in bounded time and memory.

The seeds are fixed. Recipes, manifests and calibrations: `recipe/test_read_yaml.py`, `runs/test_damaged_files.py`;
arrays of MATLAB files: `data/test_mat5.py`.
"""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from data.layouts import (
    noise,
    write_cuhk03,
    write_cuhk03_protocol,
    write_msmt17,
    write_table,
)
from data.test_datasets_copies import write_unpacked, write_vehicleid
from data.test_datasets_tracks import write_ilids, write_ilids_mat, write_mars, write_prid
from mutation import damage_bytes, damage_file, damage_text, run_cases
from passerby.data.datasets import load_data
from passerby.data.doctor import check
from passerby.data.images import decode_image, read_image
from passerby.gallery.crops import list_crops
from programs import require_module

pytestmark = [pytest.mark.timeout(60), pytest.mark.filterwarnings("ignore::UserWarning")]

IMAGES = [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "P"), ("PNG", "I;16"), ("PNG", "RGBA")]
IMAGES += [("BMP", "RGB"), ("TIFF", "RGB"), ("WEBP", "RGB"), ("GIF", "P"), ("PPM", "RGB")]


@pytest.mark.parametrize(("kind", "mode"), IMAGES)
def test_damaged_images(kind, mode):
    buffer = io.BytesIO()
    image = Image.fromarray(noise("x", (24, 16)))
    (image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)).save(buffer, kind)
    content = buffer.getvalue()

    def attempt(generator):
        pixels = decode_image(damage_bytes(content, generator), "a")
        assert pixels.dtype == np.uint8
        assert pixels.shape[2:] == (3,)

    run_cases(150, attempt)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_damaged_tables(tmp_path, suffix):
    rows = [
        {"path": f"i/{i}.png", "person_id": i // 2, "camera_id": i % 2, "timestamp": 1.5 * i, "x": i, "y": 2}
        | {"width": 8, "height": 16, "split": ("train", "query", "gallery")[i % 3]}
        for i in range(6)
    ]
    table = write_table(tmp_path / f"t{suffix}", rows)
    content = table.read_bytes()

    def attempt(generator):
        table.write_bytes(damage_file(content, generator))
        if generator.random() < 0.5:
            list_crops(table, camera="north")
            return
        check(f"table:{table}", decode=False)
        load_data(f"table:{table}")

    run_cases(250, attempt)


MOT = "1,7,10,20,24,60,0.9\n1,8,90,20,24,60,-1\n3,7,12,20,24,60,1\n"
CSV = "frame,left,top,width,height,track,score\n0,10,20,24,60,7,0.9\n2,90,20,24,60,8,0.5\n"


@pytest.mark.parametrize("text", [MOT, MOT.replace(",", " "), CSV])
def test_damaged_boxes(tmp_path, text):
    require_module("supervision")
    from passerby.video.boxes import read_boxes

    def attempt(generator):
        (tmp_path / "boxes").write_bytes(damage_file(text.encode(), generator))
        read_boxes(tmp_path / "boxes")

    run_cases(150, attempt)


def test_damaged_exports_of_a_gallery(tmp_path):
    from gallery.people import MODEL, NOW, people
    from passerby.gallery.parquet import export_gallery, import_sightings
    from passerby.gallery.stores.opening import open_gallery

    store = open_gallery("memory", model=MODEL, user="test", clock=lambda: NOW)
    store.add(people(5))
    export_gallery(store, tmp_path / "g.parquet")
    content = (tmp_path / "g.parquet").read_bytes()

    def attempt(generator):
        (tmp_path / "g.parquet").write_bytes(damage_bytes(content, generator))
        target = open_gallery("memory", model=MODEL, user="test", clock=lambda: NOW)
        import_sightings(target, tmp_path / "g.parquet")

    run_cases(120, attempt)


NAMES = ["1_001_1_01.png", "1_001_2_06.png", "1_002_1_01.png", "1_002_2_06.png"]


def test_damaged_protocol_files_of_cuhk03(tmp_path):
    write_cuhk03(tmp_path)
    splits = {"train": [1, 2], "query": [3], "gallery": [4]}
    file = write_cuhk03_protocol(tmp_path, "labeled", names=NAMES, labels=[1, 1, 2, 2], splits=splits)
    content = file.read_bytes()

    def attempt(generator):
        file.write_bytes(damage_bytes(content, generator))
        load_data(f"cuhk03:{tmp_path}")

    run_cases(200, attempt)


HDF5 = """
import pathlib, random, sys
from mutation import damage_bytes, run_cases
from passerby.data.datasets import load_data
from passerby.data.images import read_image
folder = pathlib.Path(sys.argv[1])
content = (folder / "cuhk-03.mat").read_bytes()
used = len(content)
def attempt(generator):
    path = folder / f"{generator.random()}" / "cuhk-03.mat"
    path.parent.mkdir()
    path.write_bytes(damage_bytes(content, generator))
    try:
        (data,) = load_data(f"cuhk03:{path}?protocol=classic")
        for sample in (*data.query, *data.train):
            read_image(sample)
    finally:
        path.unlink()
run_cases(120, attempt, both=False)
print("end")
"""


def test_damaged_hdf5_files(tmp_path):
    """In a process of its own, as a fault inside libhdf5 would end the tests."""
    write_cuhk03(tmp_path)
    command = [sys.executable, "-c", HDF5, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=__file__.rpartition("/")[0], check=False)
    assert (result.returncode, result.stdout) == (0, "end\n"), result.stderr[-2000:]


def _msmt17(root):
    return f"msmt17:{write_msmt17(root)}", [root / name for name in ("list_train.txt", "list_query.txt")]


def _vehicleid(root):
    return f"vehicleid:{write_vehicleid(root)}", list((root / "train_test_split").iterdir())


def _mars(root):
    return f"mars:{write_mars(root)}", sorted((root / "info").iterdir())


def _ilidsvid(root):
    write_ilids_mat(write_ilids(root, persons=4), np.tile([1, 2, 3, 4], (10, 1)))
    return f"ilidsvid:{root}", list((root / "train-test people splits").iterdir())


def _prid2011(root):
    write_prid(root)
    (root / "splits_single_shot.json").write_text(json.dumps([{"train": [1, 4], "test": [2, 3]}]))
    return f"prid2011:{root}?shots=single", [root / "splits_single_shot.json"]


def _cuhk03(root):
    splits = {"train": [(NAMES[0], 0), (NAMES[1], 0)], "query": [(NAMES[2], 1)], "gallery": [(NAMES[3], 1)]}
    names = ["splits_new_labeled.json"]
    return f"cuhk03:{write_unpacked(root, splits)}", [root / name for name in names]


@pytest.mark.parametrize("write", [_msmt17, _vehicleid, _mars, _ilidsvid, _prid2011, _cuhk03])
def test_damaged_lists_of_data_sets(tmp_path, write):
    spec, files = write(tmp_path)
    contents = {file: file.read_bytes() for file in files}

    def attempt(generator):
        file = generator.choice(files)
        file.write_bytes(damage_file(contents[file], generator))
        try:
            check(spec, decode=False)
            (data,) = load_data(spec)
            assert all(tmp_path in sample.path.parents for sample in (*data.train, *data.query, *data.gallery))
            assert not any(".." in sample.path.parts for sample in (*data.train, *data.query, *data.gallery))
        finally:
            file.write_bytes(contents[file])

    run_cases(200, attempt)


SPECS = [
    "market1501:/data/market?camera=none&copies=exclude+cuhk01:/data/cuhk01?split=871&holdout=3",
    "folder:~/a+b?train=0.5&junk=x+table:t.csv?root=/x",
    "cuhk03:/d/cuhk-03.mat?images=detected&protocol=classic&split=3",
    "vehicleid:x?test=1600&draw=3+prid2011:y?shots=single&split=9+mars:z?frames=4&gallery=rest",
]


@pytest.mark.parametrize("spec", SPECS)
def test_damaged_specs(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)

    def attempt(generator):
        damaged = damage_text(spec, generator)
        check(damaged, decode=False)
        load_data(damaged)

    run_cases(300, attempt, both=False)


@pytest.mark.parametrize("name", ["x\0y", "\ud800", "a" * 5000, "/dev/null", "/proc/self/mem", "é" * 200])
@pytest.mark.parametrize("reader", ["market1501", "table", "cuhk03", "folder", "mars", "layumi"])
def test_paths_that_no_file_system_has(reader, name):
    run_cases(1, lambda _: load_data(f"{reader}:{name}"), both=False)
    run_cases(1, lambda _: check(f"{reader}:{name}"), both=False)


def test_images_of_other_kinds_of_files(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "loop.png", tmp_path / "folder.png", tmp_path / "none.png", tmp_path / "x\0.png"):
        run_cases(1, lambda _, path=path: read_image(path), both=False)
    shutil.rmtree(tmp_path / "folder.png")
