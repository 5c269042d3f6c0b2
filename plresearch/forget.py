"""Withdrawal of one person: which published numbers would change, and the record that makes them change.

    python -m plresearch.forget cohort-2/SYN-D07            report only; the study stays as it is
    python -m plresearch.forget cohort-2/SYN-D07 --apply    report, and record the withdrawal

The notebooks run once more in a temporary copy in which the person is recorded as withdrawn. What differs
from `outputs/` is written to `data_processed/<cohort>/forget.csv`. That file must stay: the old and the new
number together give the person's answers away.
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd

from .clean import clean_cohort
from .frames import COUNTS, ESTIMATES, Refusal, Shape, from_csv, to_csv_text, write_text
from .matching import match_people, nearest
from .pseudonyms import marker
from .run import NOTEBOOKS
from .study import Study, load
from .withdrawal import PROJECT_FILE, places, record, register, withdrawn

REPORT = "forget.csv"
KEYS = {"estimates": ("cohort", "analysis", "outcome", "term"), "counts": ("cohort", "analysis", "category")}
NUMBERS = {"estimates": ("n", "estimate", "se", "low", "high", "p"), "counts": ("n", "of")}
REPORT_COLUMNS = ("part", "notebook", "table", "row", "number", "old", "new")
NEVER = "(not there)"
PRINTED = 20  # changed numbers shown on the screen; all are in the report


# ------------------------------------------------------------------------------------------ comparing

def published(root: Path) -> dict[tuple[str, ...], str]:
    """Every released number of a study's outputs: (part, notebook, table, row, number) -> its text."""
    found: dict[tuple[str, ...], str] = {}
    for table, shape in (("estimates", ESTIMATES), ("counts", COUNTS)):
        for path in sorted(root.glob(f"outputs/*/{table}/*.csv")):
            found |= _numbers(path, table, shape)
    return found


def _numbers(path: Path, table: str, shape: Shape) -> dict[tuple[str, ...], str]:
    lines = pd.read_csv(io.StringIO(to_csv_text(from_csv(path, shape), shape)), dtype=str, keep_default_na=False)
    seen: Counter[str] = Counter()
    found = {}
    for line in lines.to_dict("records"):
        name = " | ".join(line[k] for k in KEYS[table])
        seen[name] += 1
        row = name if seen[name] == 1 else f"{name} ({seen[name]})"
        for number in NUMBERS[table]:
            found[(path.parent.parent.name, path.stem, table, row, number)] = line[number]
    return found


def changes(old: dict[tuple[str, ...], str], new: dict[tuple[str, ...], str]) -> pd.DataFrame:
    """The numbers that differ, appear or disappear; a masked number is empty.

    Examples
    --------
    >>> key = ("cohort-1", "03_change", "estimates", "cohort-1 | change | role | mean", "n")
    >>> changes({key: "6"}, {key: "5"})[["old", "new"]].to_numpy().tolist()
    [['6', '5']]
    """
    rows = [(*key, old.get(key, NEVER), new.get(key, NEVER)) for key in dict.fromkeys((*old, *new))]
    return pd.DataFrame([r for r in rows if r[-1] != r[-2]], columns=list(REPORT_COLUMNS))


# ------------------------------------------------------------------------------------------- the copy

def without(study: Study, cohort_id: str, person: str) -> tuple[dict[tuple[str, ...], str], str]:
    """(the numbers that would be published without the person, what could no longer be computed)."""
    with tempfile.TemporaryDirectory(prefix="plr") as folder:
        copy = Path(folder) / "study-copy"
        for name in ("study", "data_raw", "data_processed", "outputs"):
            shutil.copytree(study.root / name, copy / name)
        record(load(copy), cohort_id, person, dt.date.today())
        for part, names in ((cohort_id, _notebooks(r"0\d_")), ("combined", _notebooks(r"[1-9]\d_"))):
            for name in names:
                if failed := _run(copy, name, part):
                    return published(copy), failed
        return published(copy), ""


def _notebooks(pattern: str) -> list[str]:
    return sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb") if re.match(pattern, p.stem))


def _run(copy: Path, name: str, part: str) -> str:
    """Run one notebook in the copy; what it stopped with, or nothing."""
    done = subprocess.run([sys.executable, "-m", "plresearch.run", name, part], capture_output=True, text=True,
                          env=os.environ | {"PLRESEARCH_STUDY": str(copy), "PYTHONPATH": str(NOTEBOOKS.parent)})
    if done.returncode == 0:
        print(done.stdout.rstrip(), flush=True)
        return ""
    lines = [line.strip() for line in done.stderr.replace(str(copy), "study").splitlines() if line.strip()]
    return " ".join(lines).removeprefix("STOPPED").strip() or f"{name} ended with status {done.returncode}"


# ------------------------------------------------------------------------------------------- the person

def identify(study: Study, name: str) -> tuple[str, str]:
    """(cohort, person) meant by 'cohort/person', in the spelling of the roster.

    Raises
    ------
    Refusal
        When it does not mean exactly one person; the nearest ids are named.
    """
    cohort_id, slash, person = name.partition("/")
    if not slash or not person.strip():
        raise Refusal(f"'{name}' does not name a person; write cohort/person, for example ID=cohort-2/SYN-D07")
    study.cohort(cohort_id)
    cleaned = clean_cohort(study, cohort_id)
    people = list(cleaned.responses["person"].unique()) if cleaned.roster is None else list(cleaned.roster["person"])
    found = match_people([person], people)[person]
    if found.problem:
        if marker(study, cohort_id)(person) in withdrawn(study, cohort_id):
            raise Refusal(f"'{person}' is recorded as withdrawn in study/cohorts/{register(study, cohort_id).name} and is no "
                          "longer in data_raw; nothing is left to do")
        close = found.suggestion or ", ".join(nearest(person, people))
        raise Refusal(f"'{person}' {found.problem} ({cohort_id})" + (f"; {close}" if close else ""))
    return cohort_id, found.person


def left_by_hand(study: Study, cohort_id: str, person: str) -> list[str]:
    """What the data controller still has to delete: one line per file, with its rows."""
    rows = places(study, cohort_id, person)
    lines = [f"data_raw/{cohort_id}/{file}: {'row' if len(part) == 1 else 'rows'} {', '.join(map(str, part['row']))}"
             for file, part in rows.groupby("file")]
    interviews = study.cohort(cohort_id).interviews
    if interviews.endswith(PROJECT_FILE):
        lines.append(f"data_raw/{cohort_id}/{interviews}: the person's interviews, in the interview software")
    of_exports = {(str(f), int(r)) for f, r in rows.itertuples(index=False)}
    corrections = study.cohort(cohort_id).corrections
    if corrections.is_file():
        table = pd.read_csv(corrections, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        hit = [number for number, c in enumerate(table.to_dict("records"), start=2)
               if c["row"].isdecimal() and (c["source"].partition(" (")[0], int(c["row"])) in of_exports]
        if hit:
            lines.append(f"study/cohorts/{corrections.name}: line {', '.join(map(str, hit))} (corrections of those rows)")
    return lines


# ------------------------------------------------------------------------------------------ the command

def _tell(report: pd.DataFrame, before: dict, path: Path, root: Path, failed: str) -> None:
    if failed:
        print(f"\nWithout this person the build stops, so what comes after is not compared: {failed}")
    print(f"\n{len(report)} of {len(before)} published numbers would change"
          + (":" if len(report) else "."))
    for (part, notebook, table), rows in report.groupby(["part", "notebook", "table"], sort=False):
        print(f"  outputs/{part}/{table}/{notebook}.csv: {len(rows)}")
    shown = report[report["number"].isin(["n", "estimate"])].head(PRINTED)
    for line in shown.itertuples():
        print(f"    {line.row}, {line.number}: {line.old or '(masked)'} -> {line.new or '(masked)'}")
    print(f"All of them: {path.relative_to(root).as_posix()}. That file must stay: old and new number together give the\n"
          "person's answers away. Anything already sent out with the old numbers does the same beside a new release.")


def main(arguments: list[str]) -> int:
    """Report what would change without a person, and record the withdrawal when asked to; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m plresearch.forget", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("person", help="cohort/person, for example cohort-2/SYN-D07")
    parser.add_argument("--apply", action="store_true", help="record the withdrawal, so that the next build leaves the person out")
    given = parser.parse_args(arguments)
    try:
        study = load()
        cohort_id, person = identify(study, given.person)
        missing = [n for n in ("outputs", "data_processed") if not (study.root / n).is_dir()]
        if missing:
            raise Refusal(f"{missing[0]}/ is not there, so there is nothing to compare with; run `make all` first")
        before = published(study.root)
        after, failed = without(study, cohort_id, person)
        report = changes(before, after)
        path = write_text(study.processed(cohort_id) / REPORT, report.to_csv(index=False, lineterminator="\n"))
        _tell(report, before, path, study.root, failed)
        if given.apply:
            written = record(study, cohort_id, person, dt.date.today())
            print(f"\nRecorded in {written.relative_to(study.root).as_posix()}. Run `make all` now: it rebuilds every "
                  "table, number\nand document without the person.")
        print("\nWhat the data controller still has to delete by hand (data_raw is never written by the program):")
        for line in left_by_hand(study, cohort_id, person):
            print(f"  {line}")
        print("  copies elsewhere: the survey platform, e-mails, backups, and the history of any repository that held the files\n"
              "Deleting a row of an export moves the rows below it up: lower the row numbers of later corrections of that file.")
    except Refusal as refusal:
        print(f"\nSTOPPED  {refusal}\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
