"""The shapes of every table in the project: their columns, types and whether they may leave.

Few shapes connect all steps (see the README's table of tables). All but two are about people and stay
in `data_processed/`; ESTIMATES and COUNTS may leave through the release door. CSV is the format on
disk; types come back from the shapes, never from guessing.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

SIGNIFICANT_DIGITS = 10  # last bits differ between processors; ten digits do not


class Refusal(ValueError):
    """Input that cannot be used; the message names the thing, the first culprit and the cure."""


@dataclass(frozen=True)
class Shape:
    """One table's columns (name -> 'string', 'integer', 'number' or 'boolean'), in order."""

    name: str
    columns: dict[str, str]
    may_leave: bool = False


CELLS = Shape("cells", {"source": "string", "row": "integer", "column": "string", "value": "string"})
AUDIT = Shape(
    "audit",
    {"source": "string", "row": "integer", "column": "string", "rule": "string", "old": "string",
     "new": "string", "reason": "string"},
)
QUARANTINE = Shape(
    "quarantine", {"source": "string", "row": "integer", "reason": "string", "suggestion": "string"}
)
RESPONSES = Shape(
    "responses",
    {"cohort": "string", "person": "string", "pair": "string", "role": "string", "wave": "string",
     "instrument": "string", "item": "string", "value": "number"},
)
PEOPLE = Shape(
    "people",
    {"cohort": "string", "person": "string", "pair": "string", "role": "string", "post": "string", "withdrawn": "string"},
)
SCORES = Shape(
    "scores",
    {"cohort": "string", "person": "string", "pair": "string", "role": "string", "wave": "string",
     "subscale": "string", "score": "number", "answered": "integer", "items": "integer"},
)
EVENTS = Shape(
    "events",
    {"cohort": "string", "person": "string", "pair": "string", "kind": "string", "date": "string",
     "minutes": "number", "status": "string"},
)
CODINGS = Shape(
    "codings",
    {"cohort": "string", "interview": "string", "segment": "string", "coder": "string", "theme": "string"},
)
QUOTATIONS = Shape(
    "quotations",
    {"cohort": "string", "interview": "string", "person": "string", "role": "string", "segment": "string",
     "start": "integer", "end": "integer", "coder": "string", "theme": "string", "quotation": "string"},
)
CONSENT = Shape("consent", {"cohort": "string", "person": "string", "scope": "string", "withdrawn": "string"})
RECONCILED = Shape(
    "reconciled",
    {"cohort": "string", "interview": "string", "segment": "string", "theme": "string", "decision": "string",
     "by": "string", "reason": "string"},
)
RELEASED_QUOTES = Shape("released_quotes", {"cohort": "string", "interview": "string", "segment": "string", "by": "string"})
TOPICS = Shape("topics", {"cohort": "string", "date": "string", "topic": "string", "status": "string"})
DOSE = Shape(
    "dose",
    {"cohort": "string", "unit": "string", "component": "string", "planned": "number", "done": "number",
     "minutes": "number"},
)
ESTIMATES = Shape(
    "estimates",
    {"cohort": "string", "analysis": "string", "outcome": "string", "term": "string", "n": "integer",
     "estimate": "number", "se": "number", "low": "number", "high": "number", "p": "number",
     "method": "string", "unit": "string", "planned": "string"},
    may_leave=True,
)
COUNTS = Shape(
    "counts",
    {"cohort": "string", "analysis": "string", "category": "string", "n": "integer", "of": "integer"},
    may_leave=True,
)
SHAPES = {s.name: s for s in (
    CELLS, AUDIT, QUARANTINE, PEOPLE, RESPONSES, SCORES, EVENTS, CODINGS, QUOTATIONS, CONSENT, RECONCILED,
    RELEASED_QUOTES, TOPICS, DOSE, ESTIMATES, COUNTS,
)}

_DTYPES = {"string": "str", "integer": "Int64", "number": "float64", "boolean": "bool"}


def conform(frame: pd.DataFrame, shape: Shape) -> pd.DataFrame:
    """Return `frame` with exactly the shape's columns, in order and in their types.

    Missing text becomes the empty string; missing numbers stay missing.

    Raises
    ------
    Refusal
        When a column is missing or unknown, or a value does not fit its type.

    Examples
    --------
    >>> rows = pd.DataFrame({"cohort": ["c1"], "analysis": ["flow"], "category": ["invited"], "n": [12], "of": [12]})
    >>> conform(rows, COUNTS).dtypes["n"]
    Int64Dtype()
    """
    missing = [c for c in shape.columns if c not in frame.columns]
    unknown = [str(c) for c in frame.columns if c not in shape.columns]
    if missing or unknown:
        raise Refusal(
            f"the {shape.name} table has {len(missing)} columns missing ({', '.join(missing) or 'none'}) and "
            f"{len(unknown)} unknown ({', '.join(unknown) or 'none'}); its columns are {', '.join(shape.columns)}"
        )
    out = {}
    for column, kind in shape.columns.items():
        values = frame[column]
        if kind == "string":
            values = values.astype("object").where(values.notna(), "")
        try:
            out[column] = values.astype(_DTYPES[kind])
        except (TypeError, ValueError) as error:
            raise Refusal(
                f"column {column} of the {shape.name} table must hold {kind}s ({error})"
            ) from error
    return pd.DataFrame(out).reset_index(drop=True)


def make(rows: list[dict], shape: Shape) -> pd.DataFrame:
    """A table of the shape from a list of rows; absent text is empty, absent numbers are missing."""
    frame = pd.DataFrame(rows, columns=list(shape.columns) if not rows else None)
    for column, kind in shape.columns.items():
        if column not in frame.columns:
            frame[column] = "" if kind == "string" else np.nan
    return conform(frame, shape)


def stack(frames: list[pd.DataFrame], shape: Shape) -> pd.DataFrame:
    """The tables one under the other, in the shape's types (an empty list gives an empty table)."""
    filled = [conform(f, shape) for f in frames if len(f)]
    return pd.concat(filled, ignore_index=True) if filled else make([], shape)


def round_significant(values: pd.Series) -> pd.Series:
    """Numbers rounded to SIGNIFICANT_DIGITS significant digits, so that files agree across processors."""
    return values.map(lambda x: float(f"{x:.{SIGNIFICANT_DIGITS}g}") if pd.notna(x) else x)


def to_csv_text(frame: pd.DataFrame, shape: Shape) -> str:
    """The table as CSV text: shape order, LF line ends, numbers at ten significant digits."""
    frame = conform(frame, shape)
    for column, kind in shape.columns.items():
        if kind == "number":
            frame[column] = round_significant(frame[column])
    return frame.to_csv(index=False, lineterminator="\n")


def from_csv(path: str | Path, shape: Shape) -> pd.DataFrame:
    """Read a table written by `to_csv_text`; an empty text field stays the empty string.

    Raises
    ------
    Refusal
        When the file is not there or does not have the shape's columns.
    """
    path = Path(path)
    if not path.exists():
        raise Refusal(f"{'/'.join(path.parts[-3:])} is not there; run `make all` to build it first")
    text = path.read_text(encoding="utf-8")
    raw = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    for column, kind in shape.columns.items():
        if column in raw.columns and kind != "string":
            raw[column] = pd.to_numeric(raw[column].where(raw[column] != "", None))
    return conform(raw, shape)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file under a temporary name and move it into place, so that no half file is ever seen."""
    return write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file under a temporary name and move it into place."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_bytes(content)
    os.replace(temporary, path)
    return path


def store(frame: pd.DataFrame, path: str | Path, shape: Shape) -> Path:
    """Write a table of the shape to `path` as CSV (for rows about people, inside data_processed/)."""
    return write_text(path, to_csv_text(frame, shape))
