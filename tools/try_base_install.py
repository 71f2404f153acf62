"""Enroll, search and identify with the base installation alone: `python try_base_install.py`, run by `make wheel`.

Exits with a message if torch is there, a command fails, or the installation is larger than 300 MB (without pip).
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

LIMIT = 300_000_000
INSTALLERS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "wheel")


def measure_installation() -> int:
    """Return the bytes of all installed packages, without those that install."""
    packages = Path(sysconfig.get_paths()["purelib"])
    files = (file for file in packages.rglob("*") if file.is_file() and not file.is_symlink())
    return sum(file.stat().st_size for file in files if not file.relative_to(packages).parts[0].startswith(INSTALLERS))


def run(folder: str, *command: str) -> str:
    """Run a command of Passerby; return and print its output."""
    words = [sys.executable, "-m", "passerby", *command]
    done = subprocess.run(words, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="")
    return done.stdout


def main() -> None:
    """Run the commands on images of noise."""
    if find_spec("torch"):
        sys.exit("torch is installed; run this in an environment with the base installation alone")
    size = measure_installation()
    if size > LIMIT:
        sys.exit(f"the base installation has {size / 1e6:.0f} MB, expected at most {LIMIT / 1e6:.0f}")
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        crops = Path(folder) / "crops"
        crops.mkdir()
        for number in range(3):
            pixels = generator.integers(0, 256, (128, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(crops / f"{number}.png")
        for command in (
            ("enroll", "gallery", "--images", "crops", "--camera", "north"),
            ("search", "gallery", "--image", "crops/0.png"),
            ("identify", "gallery", "--image", "crops/0.png"),
            ("enroll", "plain", "--images", "crops", "--camera", "north", "--no-flip"),
            ("search", "plain", "--image", "crops/0.png"),
        ):
            run(folder, *command)
        cards = [json.loads(run(folder, "gallery", "stats", name, "--json"))["card"] for name in ("gallery", "plain")]
        if [card["flip"] for card in cards] != [True, False]:
            sys.exit(f"the galleries record {cards}, expected one with the mirror image and one without")
        table = json.loads(run(folder, "model", "runtimes", "--json"))
        versions = {row["runtime"]: row["version"] for row in table["rows"]}
        if versions["torch"] is not None or {*table["choice"]["fp32"]["runtimes"].values()} != {"onnx"}:
            sys.exit(f"expected onnxruntime alone, got {table}")
    print(f"base installation: {size / 1e6:.0f} MB, without torch")


if __name__ == "__main__":
    main()
