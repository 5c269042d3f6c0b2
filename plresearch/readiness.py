"""Whether a cohort can be evaluated: its schema, its ids, its numbers and its page on data protection.

Nothing is changed; every fault says what to do next.
"""

from __future__ import annotations

from pathlib import Path

from .clean import CohortCleaned
from .disclose import minimum_contributors
from .frames import Refusal
from .pseudonyms import marker
from .study import ConfigurationError, Study, load
from .withdrawal import clean_present

FILL = "fill in"  # marks what only a person knows
ID_REASONS = ("unknown person", "roster disagreement", "same person twice", "unknown pair")


def faults(root: Path, cohort_id: str) -> tuple[list[str], list[str]]:
    """(what is still missing, what one should know) of a cohort; ready when nothing is missing."""
    try:
        study = load(root)
        marker(study, cohort_id)
        result = clean_present(study, cohort_id)
    except ConfigurationError as error:
        return [f"schema: {fault}" for fault in error.faults], []
    except Refusal as refusal:
        return [f"schema: {refusal}"], []
    missing, notes = _id_faults(study, cohort_id, result), list(result.warnings)
    missing += _number_faults(study, result)
    others = result.quarantine[~result.quarantine["reason"].str.startswith(ID_REASONS)]
    if len(others):
        notes.append(f"{len(others)} more rows are set aside and listed with their reasons after `make {cohort_id}`")
    (notes if study.synthetic else missing).extend(_open_questions(root, cohort_id))
    undeclared = sorted(p.name for p in study.raw(cohort_id).iterdir()
                        if p.is_file() and not p.name.startswith(".") and p.name not in _declared(study, cohort_id))
    notes += [f"data_raw/{cohort_id}/{name} is not named in the cohort file" for name in undeclared]
    return missing, notes


def _open_questions(root: Path, cohort_id: str) -> list[str]:
    """What the page on consent and data protection still lacks."""
    page = root / "study" / "cohorts" / f"{cohort_id}_data-protection.md"
    if not page.is_file():
        return [f"data protection: there is no study/cohorts/{page.name}; `make cohort ID={cohort_id}` writes one to complete"]
    blank = sum(line.rstrip().endswith(f": {FILL}") for line in page.read_text(encoding="utf-8").splitlines())
    return [f'data protection: study/cohorts/{page.name} has {blank} lines with "{FILL}"; complete them'] if blank else []


def _declared(study: Study, cohort_id: str) -> set[str]:
    cohort = study.cohort(cohort_id)
    own = {cohort.roster, cohort.events, cohort.interviews, cohort.consent, cohort.topics}
    return own | {s.file for s in cohort.sources} | {s.codebook for s in cohort.sources}


def _id_faults(study: Study, cohort_id: str, result: CohortCleaned) -> list[str]:
    found = []
    if study.paired and result.roster is None:
        found.append("ids: the study has pairs, and no roster says who is in which; put a table with the columns "
                     f'person, pair, role into data_raw/{cohort_id}/ and name it: roster = "roster.csv"')
    waiting = result.quarantine[result.quarantine["reason"].str.startswith(ID_REASONS)]
    found += [f"ids: {q.source} row {q.row}: {q.reason}" + (f" [{q.suggestion}]" if q.suggestion else "")
              + f"; decide in study/cohorts/{cohort_id}_corrections.csv" for q in waiting.itertuples()]
    return found


def _number_faults(study: Study, result: CohortCleaned) -> list[str]:
    least = minimum_contributors(study.release)
    answered = result.responses[result.responses["value"].notna()].groupby("wave")["person"].nunique()
    found = [f"n: {n} {'person' if n == 1 else 'people'} answered at {wave}; release profile {study.release} needs "
             f"{least} before any number may leave"
             for wave, n in answered.items() if n < least]
    complete = result.flow.loc[result.flow["category"] == "complete pairs", "n"]
    if study.paired and len(complete) and len(answered) == len(study.waves) and complete.iloc[0] < least:
        found.append(f"n: {complete.iloc[0]} complete pairs; release profile {study.release} needs {least}")
    return found
