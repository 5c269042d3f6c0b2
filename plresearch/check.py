"""Execute every stored notebook again, in a copy of the study, and compare with what is stored.

nbval compares the outputs of every cell; then every table and figure that the notebooks wrote is
compared byte for byte. Nothing in the study itself is touched.

    python -m plresearch.check
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

from .frames import Refusal
from .manifest import sha256
from .study import Study, load

WORKERS = 2
CELL_TIMEOUT = 600  # seconds
COMPARED = ("estimates/*.csv", "counts/*.csv", "tables/*.csv", "figures/*.csv", "figures/*.json")


def stored_notebooks(study: Study, part: str) -> list[Path]:
    """The executed notebooks of a part, in the order in which they run.

    Raises
    ------
    Refusal
        When there are none, or one has a code cell that shows nothing anywhere: nbval would pass it
        without comparing anything.
    """
    found = sorted(f for f in study.outputs(part).glob("*.ipynb") if ".failed." not in f.name)
    if not found:
        raise Refusal(f"outputs/{part} holds no executed notebook; run `make all` first")
    for path in found:
        cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        if not any(c.get("outputs") for c in cells):
            raise Refusal(f"outputs/{part}/{path.name} has no stored outputs, so there is nothing to compare; run `make all`")
    return found


def _compare_cells(copy: Path, part: str, names: list[str]) -> tuple[int, str]:
    """(exit status, report) of nbval over one part's notebooks, in order, in one process."""
    files = [str(copy / "outputs" / part / n) for n in names]
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}",
               "-p", "no:cacheprovider", "-p", "no:xdist", "-q", "--no-header", "--color=no", "-c", os.devnull,
               f"--rootdir={copy}", *files]
    done = subprocess.run(command, env=os.environ | {"PLRESEARCH_STUDY": str(copy)}, capture_output=True, text=True, cwd=copy)
    return done.returncode, done.stdout.replace(str(copy), "study")


def _compare_files(study: Study, copy: Path, part: str, recorded: dict[str, str]) -> list[str]:
    """Differences between the stored tables and figures and the ones just made.

    Pictures are compared with the hashes of the manifest, since only their numbers are in the record.
    """
    stored, made = study.outputs(part), copy / "outputs" / part
    differences = []
    for pattern in COMPARED:
        names = {f.relative_to(stored) for f in stored.glob(pattern)} | {f.relative_to(made) for f in made.glob(pattern)}
        for name in sorted(names):
            here, there = stored / name, made / name
            if not here.is_file() or not there.is_file():
                differences.append(f"outputs/{part}/{name}: {'is stored but no longer made' if here.is_file() else 'is made but not stored'}")
            elif here.read_bytes() != there.read_bytes():
                differences.append(f"outputs/{part}/{name}: {_first_difference(here, there)}")
    for picture in sorted(made.glob("figures/*.png")):
        name = f"outputs/{part}/figures/{picture.name}"
        if recorded.get(name) != sha256(picture):
            differences.append(f"{name}: {'the picture differs from the recorded one' if name in recorded else 'is made but not recorded'}")
    return differences


def _first_difference(stored: Path, made: Path) -> str:
    pairs = zip(stored.read_text(encoding="utf-8").splitlines(), made.read_text(encoding="utf-8").splitlines())
    for number, (old, new) in enumerate(pairs, start=1):
        if old != new:
            return f"line {number} is stored as '{old[:160]}' and is now '{new[:160]}'"
    return "the number of lines differs"


def check(study: Study) -> list[str]:
    """Every difference between the stored record and what the notebooks give now; empty when they agree."""
    parts = [*study.cohorts, "combined"]
    manifest = study.root / "outputs" / "manifest.json"
    if not manifest.is_file():
        raise Refusal("outputs/manifest.json is not there; run `make all` first")
    recorded = json.loads(manifest.read_text(encoding="utf-8"))["outputs"]
    notebooks = {part: [p.name for p in stored_notebooks(study, part)] for part in parts}
    with tempfile.TemporaryDirectory(prefix="plr") as folder:
        copy = Path(folder) / "study-copy"
        copy.mkdir()
        for name in ("study", "data_raw", "outputs"):
            shutil.copytree(study.root / name, copy / name)
        for part in parts:
            for pattern in (*COMPARED, "figures/*.png"):
                for made in (copy / "outputs" / part).glob(pattern):
                    made.unlink()
        with ThreadPoolExecutor(WORKERS) as pool:
            reports = list(pool.map(lambda part: _compare_cells(copy, part, notebooks[part]), study.cohorts))
        reports.append(_compare_cells(copy, "combined", notebooks["combined"]))
        differences = []
        for part, (status, report) in zip(parts, reports):
            print(f"  {part:<12} {len(notebooks[part])} notebooks: {report.strip().splitlines()[-1].strip('= ')}", flush=True)
            if status:
                differences.append(f"outputs/{part}: stored cells differ from what the notebooks give now\n{report}")
            differences += _compare_files(study, copy, part, recorded)
    return differences


def main() -> int:
    """Check the stored record; returns the exit status."""
    started = time.perf_counter()
    try:
        differences = check(load())
    except Refusal as refusal:
        print(f"\nSTOPPED  {refusal}\n", file=sys.stderr)
        return 1
    for difference in differences:
        print(f"\nDIFFERS  {difference}", file=sys.stderr)
    verdict = f"{len(differences)} differences" if differences else "every stored cell, table and figure was reproduced"
    print(f"Check: {verdict} ({time.perf_counter() - started:.0f} s)")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
