"""Reporting guidelines as tables: each item with its place in the text and the artefact that proves it.

The items are in `paper/checklists/<name>.toml`; whether heading and artefact exist is looked up, so that a
guideline can be claimed only for what is there.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pandas as pd

from .frames import Refusal
from .study import Study

PAPER = Path(__file__).resolve().parent.parent / "paper"
KEYS = {"number", "item", "place", "artefact", "filled", "note"}
REPORTED, MISSING, ABSENT = "reported", "named, but not there", "not reported"


def names() -> list[str]:
    """The guidelines that have a file.

    Examples
    --------
    >>> names()
    ['coreq', 'gramms', 'srqr']
    """
    return sorted(p.stem for p in (PAPER / "checklists").glob("*.toml"))


def checklist(study: Study, name: str) -> pd.DataFrame:
    """A guideline's items with where each is reported.

    Parameters
    ----------
    study
        The study folder; artefacts are looked up in it, headings in its own document or else in the
        package's.
    name
        File in paper/checklists, without its ending.

    Returns
    -------
    Columns No, Item, Where, Proof, Status, Note, all text. Status is 'reported' when the heading and the
    artefact that the item names exist (the artefact for every cohort), 'named, but not there' when one does
    not, and 'not reported' when it names neither.

    Raises
    ------
    Refusal
        When there is no such guideline, or its file has a wrong key or a number twice.
    """
    path = PAPER / "checklists" / f"{name}.toml"
    if not path.is_file():
        raise Refusal(f"there is no checklist '{name}'; paper/checklists has {', '.join(names())}")
    items = tomllib.loads(path.read_text(encoding="utf-8")).get("items", [])
    numbers = [i.get("number") for i in items]
    for item in items:
        wrong = sorted(set(item) - KEYS) + sorted({"number", "item"} - set(item))
        if wrong or numbers.count(item["number"]) > 1:
            raise Refusal(f"paper/checklists/{path.name}, item {item.get('number')}: " + (
                f"'{wrong[0]}' is missing or no known key ({', '.join(sorted(KEYS))})" if wrong else "the number is used twice"))
    return pd.DataFrame([_line(study, item) for item in items], columns=["No", "Item", "Where", "Proof", "Status", "Note"])


def _line(study: Study, item: dict[str, str]) -> dict[str, str]:
    place, artefact = item.get("place", ""), item.get("artefact", "")
    there = (not place or _has_heading(study, place)) and (not artefact or _has_artefact(study, artefact, item.get("filled", "")))
    return {"No": item["number"], "Item": item["item"], "Where": place, "Proof": artefact,
            "Status": ABSENT if not (place or artefact) else REPORTED if there else MISSING, "Note": item.get("note", "")}


def _has_heading(study: Study, place: str) -> bool:
    document, _, heading = (part.strip() for part in place.partition(":"))
    own = study.root / "study" / f"{document}.md"
    source = own if own.is_file() else PAPER / f"{document}.md"
    if not source.is_file():
        return False
    return bool(re.search(rf"^#+ {re.escape(heading)}\s*$", source.read_text(encoding="utf-8"), re.MULTILINE))


def _has_artefact(study: Study, artefact: str, filled: str) -> bool:
    """Whether the file is there, for every cohort, and its column `filled` (where named) has an entry."""
    cohorts = list(study.cohort_names) if "{cohort}" in artefact else [""]
    files = [study.root / artefact.replace("{cohort}", c) for c in cohorts]
    return all(f.is_file() and (not filled or pd.read_csv(f, dtype=str)[filled].notna().any()) for f in files)


def summary(found: pd.DataFrame) -> str:
    """How many items of a checklist are reported, in one sentence.

    Examples
    --------
    >>> summary(pd.DataFrame({"Status": ["reported", "not reported", "reported"]}))
    '2 of 3 items are reported; 1 is not.'
    """
    done = int((found["Status"] == REPORTED).sum())
    left = len(found) - done
    return f"{done} of {len(found)} items are reported; {left} {'is' if left == 1 else 'are'} not."
