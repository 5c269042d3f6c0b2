"""People who withdrew and want all their data removed: recorded once, left out of every later build.

`study/cohorts/<id>_withdrawn.csv` lists them (columns person, recorded). The exports in `data_raw/` stay as
received until somebody deletes the person's rows there by hand; `places` says where they are.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from .clean import CohortCleaned, clean_cohort, source_labels
from .frames import Refusal, write_text
from .intake import CORRECTION_COLUMNS
from .matching import fold, match_people, person_key
from .pseudonyms import marker
from .read import read
from .records import wide
from .rules import WHOLE_ROW
from .study import Cohort, Study

COLUMNS = ("person", "recorded")
PROJECT_FILE = ".qdpx"  # of interview software: it has no rows to leave out; the codings are left out instead
REASON = "withdrawn: all data removed at the person's request; delete this row from the export"


def register(study: Study, cohort_id: str) -> Path:
    """The file that lists a cohort's people who want their data removed."""
    return study.cohort(cohort_id).corrections.with_name(f"{cohort_id}_withdrawn.csv")


def withdrawn(study: Study, cohort_id: str) -> frozenset[str]:
    """The people recorded: tokens in a study of keyed identifiers, else normalised study codes.

    Raises
    ------
    Refusal
        When the file lacks its column.
    """
    path = register(study, cohort_id)
    if not path.is_file():
        return frozenset()
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    if "person" not in table.columns:
        raise Refusal(f"study/cohorts/{path.name} has no column 'person'; its columns are {', '.join(COLUMNS)}")
    keyed = study.identifiers == "keyed"
    return frozenset((p.strip() if keyed else person_key(p)) for p in table["person"] if p.strip())


def record(study: Study, cohort_id: str, person: str, day: dt.date) -> Path:
    """Add a person to the register, as a token where identifiers are keyed; recording twice changes nothing."""
    path = register(study, cohort_id)
    mark = marker(study, cohort_id)
    if mark(person) in withdrawn(study, cohort_id):
        return path
    written = mark(person) if study.identifiers == "keyed" else person
    before = path.read_text(encoding="utf-8-sig") if path.is_file() else ",".join(COLUMNS) + "\n"
    return write_text(path, before.rstrip("\n") + "\n" + _csv([[written, day.isoformat()]]))


def clean_present(study: Study, cohort_id: str, *, today: dt.date | None = None) -> CohortCleaned:
    """`clean_cohort` without the people who withdrew their data.

    Their rows in the exports are set aside with a reason that names nobody, their edits leave the audit,
    and roster, events and interviews are read as if they were not there: the partner has no pair any
    more, and the pair's events are gone. Without anybody recorded it is `clean_cohort` itself.

    Raises
    ------
    Refusal
        As `clean_cohort`.
    """
    gone = withdrawn(study, cohort_id)
    mark = marker(study, cohort_id)  # real answers without their key are refused before anything is read
    full = clean_cohort(study, cohort_id, today=today)
    found = _rows(study, cohort_id, full, lambda person: mark(person) in gone) if gone else {}
    if not any(found.values()):
        return full
    with tempfile.TemporaryDirectory(prefix="plr") as folder:
        result = clean_cohort(_without(study, cohort_id, found, Path(folder)), cohort_id, today=today)
    labels = source_labels(study.cohort(cohort_id))
    theirs = {(label, row) for label, source in labels.items() for row in found[label]}
    of_them = pd.Series([pair in theirs for pair in zip(result.audit["source"], result.audit["row"], strict=True)],
                        index=result.audit.index, dtype=bool)
    known = set(zip(full.quarantine["source"], full.quarantine["row"], strict=True)) | theirs
    named = [pair in known for pair in zip(result.quarantine["source"], result.quarantine["row"], strict=True)]
    spoken = full.interviews.loc[[p != "" and mark(p) in gone for p in full.interviews["person"]], "interview"]
    return replace(
        result, audit=result.audit[~of_them].reset_index(drop=True),
        quarantine=result.quarantine[named].reset_index(drop=True),  # not what only stands there because they are gone
        codings=_silent(result.codings, spoken), interviews=_silent(result.interviews, spoken),
        kept_records={name: (_silent(frame, spoken), shape) for name, (frame, shape) in result.kept_records.items()},
    )


def _silent(frame: pd.DataFrame, interviews: pd.Series) -> pd.DataFrame:
    """The table without the rows about some interviews."""
    return frame if "interview" not in frame.columns else frame[~frame["interview"].isin(interviews)].reset_index(drop=True)


def places(study: Study, cohort_id: str, person: str) -> pd.DataFrame:
    """Where the raw files name a person: file, row (of data, from 1) for exports, roster, events and interviews."""
    mark = marker(study, cohort_id)
    found = _rows(study, cohort_id, clean_cohort(study, cohort_id), lambda other: mark(other) == mark(person))
    file_of = {label: source.file for label, source in source_labels(study.cohort(cohort_id)).items()}
    rows = [(file_of.get(name, name), row) for name, numbers in found.items() for row in numbers]
    return pd.DataFrame(sorted(set(rows)), columns=["file", "row"])


def _rows(study: Study, cohort_id: str, full: CohortCleaned, is_theirs: Callable[[str], bool]) -> dict[str, list[int]]:
    """Source, or file of the programme's own -> row numbers of the people meant."""
    found = {label: [int(r) for r, p in zip(c.rows["row"], c.rows["person"], strict=True) if p and is_theirs(p)]
             for label, c in full.sources.items()}
    cohort, people = study.cohort(cohort_id), None if full.roster is None else full.roster
    pairs = set() if people is None else {
        person_key(pair) for p, pair in zip(people["person"], people["listed_pair"], strict=True) if pair and is_theirs(p)}
    ids = None if people is None else people["person"]
    for name in _own_tables(cohort):
        if not name.endswith(PROJECT_FILE):
            found[name] = _rows_of_table(study.raw(cohort_id) / name, ids, pairs, is_theirs)
    return found


def _own_tables(cohort: Cohort) -> list[str]:
    """Files of the programme's own that name people."""
    return [name for name in (cohort.roster, cohort.events, cohort.interviews, cohort.consent) if name]


def _rows_of_table(path: Path, ids, pairs: set[str], is_theirs: Callable[[str], bool]) -> list[int]:
    """Rows of a table of the programme's own about the people; without a person's name, about their pair or interview."""
    table = _table(path)
    person, pair, interview = (_column(table, name) for name in ("person", "pair", "interview"))
    known = match_people(set(person) - {""}, ids)
    named = [bool(who) and is_theirs(known[who].person or who) for who in person]
    interviews = {i for i, theirs in zip(interview, named, strict=True) if theirs and i}
    return [
        int(row) for row, theirs, who, which, spoken in zip(table.index, named, person, pair, interview, strict=True)
        if theirs or (not who and (person_key(which) in pairs or spoken in interviews))
    ]


def _table(path: Path) -> pd.DataFrame:
    return wide(read(path).cells)


def _column(table: pd.DataFrame, name: str) -> list[str]:
    column = next((c for c in table.columns if fold(c) == name), None)
    return [""] * len(table) if column is None else [" ".join(v.split()) for v in table[column]]


def _without(study: Study, cohort_id: str, found: dict[str, list[int]], folder: Path) -> Study:
    """The study with another raw folder and corrections: exports linked, the programme's own tables shortened."""
    cohort, raw = study.cohort(cohort_id), folder / "data_raw" / cohort_id
    raw.mkdir(parents=True)
    for path in study.raw(cohort_id).iterdir():
        if path.name in _own_tables(cohort) and found.get(path.name):
            table = _table(path).drop(index=found[path.name])
            write_text(raw / path.name, _csv([list(table.columns), *table.to_numpy().tolist()]))
        else:
            (raw / path.name).symlink_to(path.resolve())
    corrections = folder / cohort.corrections.name
    write_text(corrections, _corrections(study, cohort_id, found))
    shortened = replace(cohort, corrections=corrections)
    return replace(study, root=folder, cohorts={**study.cohorts, cohort_id: shortened})


def _corrections(study: Study, cohort_id: str, found: dict[str, list[int]]) -> str:
    """The cohort's corrections with one more per row of an export that is to be left out."""
    path = study.cohort(cohort_id).corrections
    rows = [list(CORRECTION_COLUMNS)]
    if path.is_file():
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        rows += table.reindex(columns=list(CORRECTION_COLUMNS)).fillna("").to_numpy().tolist()
    dropped = {(r[0], str(r[1])) for r in rows if r[2] == WHOLE_ROW}
    rows += [[label, row, WHOLE_ROW, "", "drop", REASON, "data controller"]
             for label in source_labels(study.cohort(cohort_id)) for row in found[label] if (label, str(row)) not in dropped]
    return _csv(rows)


def _csv(rows: list[list]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
