"""What a researcher should look at in rows that are kept: flags, never changes."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from .matching import ColumnPlan, fold
from .study import Instrument

STRAIGHT_LINE_FROM = 5  # answered items of one response set, all the same
LAST_ITEMS = 2  # the last items of the form, all blank: the person stopped before the end
# Repetitions are bounded, so that a long cell takes no longer than its length.
_TEXT_FLAGS = {
    "html_in_text": re.compile(r"<\s{0,9}/?\s{0,9}[a-zA-Z!][^<>]{0,999}>|&(?:nbsp|amp|lt|gt|quot|#\d{1,7});"),
    "formula_like_text": re.compile(
        r"\A(?!\s{0,99}[+\-]?\d[\d.,]{0,99}\s{0,99}\Z)(?:[\t\r]|\s{0,99}[=@+\-])(?=.*\S)", re.DOTALL
    ),
    "email_in_text": re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]"),
    "phone_in_text": re.compile(r"(?<![\d.])(?:\+|\(0|0|\()\d[\d ()\-]{7,24}\d(?![\d.])"),
    "possible_name": re.compile(
        r"\b(?:Dr|Mr|Mrs|Ms|Miss|Mx|Prof|Professor|Sir|Dame|Sister|Nurse)\.?\s{1,9}"
        r"[A-Z][a-z\u00df-\u00ff'\u2019-]"
        r"|\b(?:called|named|with|thank|thanks"
        r" to|partner|counterpart|colleague)\s{1,9}[A-Z][a-z\u00df-\u00ff]{1,40}\s{1,9}"
        r"[A-Z][a-z\u00df-\u00ff]"
    ),
    "mojibake_suspect": re.compile(
        "[\u00c2\u00c3][\u0080-\u00bf\u2018-\u203a\u20ac\u0160\u0161\u017d\u017e\u0178]|\u00e2\u20ac|\ufffd"
    ),
}
_SUBMITTED = ("submitdate", "date submitted")  # LimeSurvey leaves it empty until the form is sent
_UNFINISHED = frozenset({"false", "0", "no", "n", "incomplete", "unfinished"})


def flag_rows(
    cells: pd.DataFrame,
    kept: pd.DataFrame,
    responses: pd.DataFrame,
    *,
    plan: ColumnPlan,
    known: dict[str, str],
    administrative: dict[str, str],
    instrument: Instrument,
    label: str,
) -> pd.DataFrame:
    """Flags of the rows kept.

    partial (the platform says unfinished; where it says nothing, the last items of the form are blank),
    straight_line (five or more items of one response set all answered alike), no_answers, time_unknown;
    and, in free text, html_in_text, formula_like_text, email_in_text, phone_in_text, possible_name and
    mojibake_suspect.

    Returns
    -------
    One line per flag: source, row, column (empty for the whole row), flag.
    """
    found: list[tuple[int, str, str]] = []
    rows = kept["row"].to_numpy()
    if len(rows):
        stated = _unfinished(cells, known)
        found += _answer_flags(kept, responses, instrument, plan, last_blank=stated is None)
        kept_rows = set(rows.tolist())
        found += [(r, "", "partial") for r in (stated or set()) & kept_rows]
        found += [(r, plan.completed, "time_unknown") for r in kept.loc[kept["when"] == "", "row"]]
        found += _text_flags(cells, kept_rows, plan, known, administrative)
    order = sorted(dict.fromkeys((int(r), c, f) for r, c, f in found))
    return pd.DataFrame(
        {
            "source": pd.Series([label] * len(order), dtype="str"),
            "row": pd.Series([r for r, _, _ in order], dtype="Int64"),
            "column": pd.Series([c for _, c, _ in order], dtype="str"),
            "flag": pd.Series([f for _, _, f in order], dtype="str"),
        }
    )


def _answer_flags(kept: pd.DataFrame, responses: pd.DataFrame, instrument: Instrument, plan: ColumnPlan, *,
                  last_blank: bool) -> list[tuple[int, str, str]]:
    items = [m.item for m in plan.items]
    table = pd.DataFrame(
        responses["value"].to_numpy().reshape(len(kept), len(items)), index=kept["row"], columns=items
    )
    answered = table.notna().sum(axis=1)
    found = [(r, "", "no_answers") for r in table.index[answered == 0]]
    if last_blank:
        order = {column: place for place, column in enumerate(plan.order)}
        last = [m.item for m in sorted(plan.items, key=lambda m: order[m.column])][-LAST_ITEMS:]
        found += [(r, "", "partial") for r in table.index[(answered > 0) & table[last].isna().all(axis=1)]]
    sets: dict[str, list[str]] = {}
    for item in items:
        sets.setdefault(instrument.items[item].responses, []).append(item)
    for members in sets.values():
        part = table[members]
        alike = (part.notna().sum(axis=1) >= STRAIGHT_LINE_FROM) & (part.max(axis=1) == part.min(axis=1))
        found += [(r, "", "straight_line") for r in table.index[alike]]
    return found


def _column(cells: pd.DataFrame, name: str) -> pd.DataFrame:
    return cells[(cells["column"] == name).to_numpy(dtype=bool)]


def _unfinished(cells: pd.DataFrame, known: dict[str, str]) -> set[int] | None:
    """Rows the platform calls unfinished; None where it says nothing about it."""
    submitted = known.get("completed", "") if fold(known.get("completed", "")).startswith(_SUBMITTED) else ""
    if not known.get("finished") and not submitted and fold(known.get("progress", "")) != "progress":
        return None
    rows: set[int] = set()
    if submitted:
        part = _column(cells, submitted)
        rows |= set(part.loc[part["value"].map(fold) == "", "row"])
    if known.get("finished"):
        part = _column(cells, known["finished"])
        rows |= set(part.loc[part["value"].map(fold).isin(_UNFINISHED), "row"])
    if fold(known.get("progress", "")) == "progress":
        part = _column(cells, known["progress"])
        progress = pd.to_numeric(part["value"].astype("str").str.rstrip("%"), errors="coerce")
        rows |= set(part.loc[progress < 100, "row"])
    return {int(r) for r in rows}


def _text_flags(cells, rows: set[int], plan: ColumnPlan, known, administrative) -> list[tuple[int, str, str]]:
    """Flags of cells outside the items and the platform's own columns; the column of ids is not text."""
    quiet = {
        plan.person,
        plan.completed,
        plan.consent,
        plan.role,
        plan.pair,
        *known.values(),
        *administrative,
        *(m.column for m in plan.items),
    }
    found = []
    for column in plan.order:
        if column in quiet:
            continue
        part = _column(cells, column)
        texts, which = np.unique(part["value"].to_numpy(dtype=object), return_inverse=True)
        numbers = part["row"].to_numpy()
        for flag, pattern in _TEXT_FLAGS.items():
            hit = np.array([bool(pattern.search(t)) for t in texts], dtype=bool)[which]
            found += [(r, column, flag) for r in numbers[hit].tolist() if r in rows]
    return found
