"""Rate and peak memory of reading and cleaning a large export, beside plain pandas on the same file.

Each measurement runs in a process of its own, so that one does not hide the other's peak. The pandas lines
read the same cells and nothing more: no column is matched, no answer checked, no person looked up.

Run: python bench/bench_reading.py [rows]
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
ITEMS = 20
LABELS = ("Strongly disagree", "Disagree", "Neutral", "Agree", "Strongly agree")

PREPARE = f"""
import resource, sys, time
sys.path.insert(0, {str(PROJECT)!r})
import datetime as dt
import pandas as pd
from plresearch.clean import take_in
from plresearch.read import read
from plresearch.study import Instrument, Item, ResponseSet, Subscale
labels = {LABELS!r}
agree = ResponseSet("agree", labels, (1, 2, 3, 4, 5))
items = {{f"q{{k}}": Item(f"q{{k}}", f"Statement number {{k}}", "all", "agree") for k in range({ITEMS})}}
instrument = Instrument("bench", "", "", "", {{"agree": agree}}, {{"all": Subscale("all", "All", 1)}}, items)
path, rows = sys.argv[1], int(sys.argv[2])
people = [f"P{{n:06d}}" for n in range(rows)]
roster = pd.DataFrame({{"person": people, "pair": "", "role": "", "withdrawn": ""}})
options = dict(instrument=instrument, wave="pre", timezone="UTC", person="code", completed="when",
               ignore={{"comment": "not read"}}, today=dt.date(2020, 1, 1))
start = time.perf_counter()
"""
FINISH = """
import json
print(json.dumps([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""
WORK = {
    "pandas.read_csv": "frame = pd.read_csv(path)\n",
    "pandas.read_csv, all text": "frame = pd.read_csv(path, dtype=str, keep_default_na=False)\n",
    "read (cells)": "export = read(path)\nassert export.rows == rows\n",
    "take_in (cells, audit, responses)":
        "done = take_in(path, roster=roster, **options)\n"
        "assert done.outcome == 'ok' and len(done.responses) == rows * len(items)\n",
}


def write(path: Path, rows: int) -> None:
    """An export of labels with ids, dates and free text, from a fixed seed."""
    rng = random.Random(20180601)
    with path.open("w", encoding="utf-8") as handle:
        handle.write("code,when," + ",".join(f"q{k}" for k in range(ITEMS)) + ",role,comment\n")
        for n in range(rows):
            answers = ",".join(rng.choice(LABELS) for _ in range(ITEMS))
            when = f"2015-03-{1 + n % 28:02d} {n % 24:02d}:{n % 60:02d}:00"
            handle.write(f"P{n:06d},{when},{answers},,comment {n % 1000}\n")


def measure(work: str, path: Path, rows: int) -> tuple[float, float]:
    """(seconds, peak in GB) of one piece of work in a fresh process."""
    command = [sys.executable, "-c", PREPARE + work + FINISH, str(path), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    seconds, peak = json.loads(done.stdout)
    return seconds, peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def main(rows: int = 200_000) -> None:
    """Print one line per piece of work."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "export.csv")
        write(path, rows)
        print(f"{rows:,} rows x {ITEMS + 4} columns, {path.stat().st_size / 1e6:.0f} MB")
        print(f"{'':36}{'seconds':>9}{'rows/s':>11}{'peak GB':>9}")
        for name, work in WORK.items():
            seconds, peak = measure(work, path, rows)
            print(f"{name:36}{seconds:9.1f}{rows / seconds:11,.0f}{peak:9.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
