"""SPSS files (.sav, .zsav) as text, with value labels and user-missing values kept beside the values.

The C library that decodes them can crash on a damaged file, so it runs in a process of its own, with
bounds on time and memory; what comes back is plain JSON.
"""

from __future__ import annotations

import datetime as dt
import inspect
import json
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .exports import plain, reason_word
from .frames import Refusal
from .workbook import CELL_LIMIT, duration_text, plain_number

TIME_LIMIT = 300  # seconds; a file of the largest size takes well under a minute
MEMORY_LIMIT = 8_000_000_000  # bytes of address space of the decoding process
_EPOCH = dt.datetime(1582, 10, 14)
_CURE = "open it in SPSS or PSPP and save it again, or export CSV with a codebook"


@dataclass(frozen=True)
class SpssTable:
    """Names, question texts, rows of text, and per column labels and missing reasons."""

    names: list[str]
    texts: list[str]
    rows: list[list[str]]
    labels: list[dict[str, str]]
    missing: list[dict[str, str]]


def read_spss(path: Path) -> SpssTable:
    """A .sav file as text: system-missing is empty, user-missing values stay and are declared missing.

    Raises
    ------
    Refusal
        When the file is damaged, too large or holds no cases.
    """
    name = path.name
    raw = _decoded(path)
    if not raw["names"] or not raw["columns"] or not raw["columns"][0]:
        raise Refusal(f"{name} has {len(raw['names'])} variables and no cases; there is nothing to read: "
                      "export it again")
    table, labels, missing = [], [], []
    for values, kind, pairs, ranges in zip(raw["columns"], raw["types"], raw["labels"], raw["missing"]):
        texts = [_text(v, kind) for v in values]
        found = {_text(v, kind): str(t) for v, t in pairs}
        reasons = _reasons(ranges, kind, texts, found)
        table.append(texts)
        labels.append({v: t for v, t in found.items() if v not in reasons})
        missing.append(reasons)
    rows = [list(row) for row in zip(*table)]
    if any("\x00" in cell for row in rows for cell in row):
        raise Refusal(f"{name} has NUL characters in its text; it is damaged: {_CURE}")
    return SpssTable(raw["names"], [plain(t or "") for t in raw["texts"]], rows, labels, missing)


def decode(path: str, cells: int, memory: int) -> None:
    """Write what a .sav file holds to standard output as JSON (run in a process of its own)."""
    import json
    import sys

    import pyreadstat

    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass  # not offered by this system; the limit of time still holds
    try:
        _, meta = pyreadstat.read_sav(path, metadataonly=True)
        limit = cells // max(meta.number_columns or 1, 1) + 1
        frame, meta = pyreadstat.read_sav(path, user_missing=True, disable_datetime_conversion=True,
                                          row_limit=limit)
        if len(frame) >= limit:
            raise ValueError(f"it has more than {cells:,} cells; export one cohort at a time")
    except Exception as error:  # everything the library raises is reported as text
        json.dump({"error": str(error)}, sys.stdout)
        return
    names = [str(n) for n in frame.columns]
    out = {
        "names": names,
        "texts": [meta.column_names_to_labels.get(n) for n in names],
        "types": [str(meta.original_variable_types.get(n, "")) for n in names],
        "labels": [list(meta.variable_value_labels.get(n, {}).items()) for n in names],
        "missing": [[[s["lo"], s["hi"]] for s in meta.missing_ranges.get(n, [])] for n in names],
        "columns": [frame.iloc[:, i].tolist() for i in range(len(names))],
    }
    json.dump(out, sys.stdout)


def _decoded(path: Path) -> dict:
    """`decode` run apart; a crash, a time-out or an error of the library is a refusal."""
    code = f"{inspect.getsource(decode)}\nimport sys\ndecode(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
    command = [sys.executable, "-P", "-c", code, str(path.resolve()), str(CELL_LIMIT), str(MEMORY_LIMIT)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIME_LIMIT, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise Refusal(f"{path.name} took more than {TIME_LIMIT} seconds to decode as SPSS data; it is "
                      f"damaged: {_CURE}") from error
    except OSError as error:
        raise Refusal(f"{path.name} could not be decoded: no process could be started ({error})") from error
    if done.returncode:
        last = done.stderr.decode("utf-8",
                                  "replace").strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
        raise Refusal(f"{path.name} cannot be read as SPSS data: the decoder failed ({last[0]}); the file is "
                      f"damaged: {_CURE}")
    try:
        raw = json.loads(done.stdout)
    except ValueError as error:
        raise Refusal(f"{path.name} cannot be read as SPSS data ({error}); {_CURE}") from error
    if "error" in raw:
        raise Refusal(f"{path.name} cannot be read as SPSS data ({raw['error']}); {_CURE}")
    return raw


def _text(value, kind: str) -> str:
    """One value as text: whole numbers bare, system-missing empty, dates in ISO form."""
    if value is None or isinstance(value, str):
        return value or ""
    number = float(value)
    if math.isnan(number):
        return ""
    if re.match(r"(DATETIME|YMDHMS)", kind):
        return _moment(number, "datetime")
    if re.match(r"(DATE|ADATE|EDATE|SDATE|JDATE|QYR|MOYR|WKYR)", kind):
        return _moment(number, "date")
    if re.match(r"(TIME|DTIME|MTIME)", kind) and 0 <= number < 1e11:
        return duration_text(number)
    return plain_number(number, repr(number))


def _moment(seconds: float, shown: str) -> str:
    try:
        moment = _EPOCH + dt.timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return plain_number(seconds, repr(seconds))
    if shown == "date" and moment.time() == dt.time():
        return moment.date().isoformat()
    return moment.isoformat(sep=" ", timespec="milliseconds" if moment.microsecond else "seconds")


def _reasons(ranges: list[list], kind: str, values: list[str], labels: dict[str, str]) -> dict[str, str]:
    """Declared user-missing values -> reason word, from their labels; values of a range as they occur."""
    found = set()
    for low, high in ranges:
        if isinstance(low, str) or low == high:
            found.add(low.rstrip() if isinstance(low, str) else _text(low, kind))
        else:
            found |= {value for value in {*values, *labels} if _within(value, low, high)}
    return {value: reason_word(labels.get(value, "")) for value in sorted(found) if value}


def _within(value: str, low: float, high: float) -> bool:
    try:
        return low <= float(value) <= high
    except ValueError:
        return False
