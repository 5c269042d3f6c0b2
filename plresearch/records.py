"""The tables a programme keeps itself: roster, events and coded interviews, checked row by row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .answers import When, read_dates
from .frames import (
    CODINGS,
    CONSENT,
    EVENTS,
    QUARANTINE,
    QUOTATIONS,
    RECONCILED,
    RELEASED_QUOTES,
    TOPICS,
    Refusal,
    Shape,
    make,
)
from .matching import fold, match_people, nearest, person_key
from .qda import INTERVIEW_COLUMNS
from .study import Role, Theme

KINDS = ("contract", "meeting", "shadowing", "reflection", "workshop", "forum")
ROSTER_COLUMNS = ("person", "pair", "role", "withdrawn", "post", "listed_pair")
EVENT_COLUMNS = ("person", "pair", "kind", "date", "minutes", "status")
SCOPES = ("none", "internal", "public")  # how far a person's words may travel, from nowhere to anywhere
DECISIONS = ("present", "absent")  # of the coders together, on a theme in a segment


@dataclass(frozen=True)
class Records:
    """Checked rows of one table, the rows set aside, and the counts that must add up."""

    rows: pd.DataFrame
    quarantine: pd.DataFrame
    accounting: dict[str, int]
    warnings: tuple[str, ...] = ()
    people: pd.DataFrame | None = None
    quotations: pd.DataFrame | None = None


def wide(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells as a table of strings: one line per row number, one column per export column."""
    table = cells.pivot(index="row", columns="column", values="value").fillna("")
    return table[list(dict.fromkeys(cells["column"]))].astype(object)


def check_roster(frame: pd.DataFrame, *, roles: dict[str, Role] | None = None,
                 source: str = "roster") -> tuple[pd.DataFrame, list[str]]:
    """The roster with person, pair, role, withdrawn (ISO date or empty), post, and what is odd about it.

    A person whose pair has not exactly two members of different roles is kept without a pair;
    `listed_pair` keeps what the roster said.

    Parameters
    ----------
    frame
        At least the column person; pair, role, withdrawn and post where known.
    roles
        The study's roles; without them the role column is taken as it stands.

    Raises
    ------
    Refusal
        For a person named twice, an unknown role, or a withdrawal date that cannot be read.
    """
    table, warnings = _columns(frame, ROSTER_COLUMNS, ("person",), source)
    match_people([], table["person"])
    if roles:
        table["role"] = _roles(table, roles, source)
    table["listed_pair"] = table["listed_pair"].where(table["listed_pair"] != "", table["pair"])
    dates = _days(table["withdrawn"], source)
    unread = [
        p for p, w in zip(table["person"], table["withdrawn"], strict=True) if w and dates.get(w) is None
    ]
    if unread:
        raise Refusal(f"{source}: {len(unread)} withdrawal dates cannot be read (first: person {unread[0]}); "
                      "write them as 2015-03-31")
    table["withdrawn"] = [dates[w].date.isoformat() if w else "" for w in table["withdrawn"]]
    for pair, members in table[table["pair"] != ""].groupby("pair", sort=False):
        if len(members) != 2 or (roles and members["role"].nunique() != 2):
            who = ", ".join(f"{m.person} ({m.role or 'no role'})" for m in members.itertuples())
            warnings.append(
                f"{source}: pair {pair} is not one person of each role ({who}); its people are kept "
                "as persons without partner; correct the roster if that is wrong"
            )
            table.loc[members.index, "pair"] = ""
    return table, warnings


def _columns(frame: pd.DataFrame, expected: tuple[str, ...], required: tuple[str, ...], source: str):
    """The expected columns as trimmed text (absent ones empty), and a warning per unknown column."""
    found: dict[str, str] = {}
    for column in frame.columns:
        name = fold(str(column))
        if name in found:
            raise Refusal(f"{source}: the column '{name}' occurs twice; remove one")
        found[name] = column
    absent = [c for c in required if c not in found]
    if absent:
        raise Refusal(
            f"{source}: {len(absent)} columns are missing ({', '.join(absent)}); it has {', '.join(found)}"
        )
    table = pd.DataFrame(
        {
            c: (
                frame[found[c]]
                .astype(object)
                .where(frame[found[c]].notna(), "")
                .map(lambda v: " ".join(str(v).split()))
                if c in found
                else ""
            )
            for c in expected
        },
        index=frame.index,
        dtype=object,
    )
    unknown = [c for c in found if c not in expected]
    return table, [
        f"{source}: column '{c}' is not used; known columns are {', '.join(expected)}" for c in unknown
    ]


def _days(texts: pd.Series, source: str) -> dict[str, When | None]:
    try:
        return read_dates(texts, timezone="UTC", day_first=None)
    except Refusal as error:
        raise Refusal(f"{source}: the dates cannot be read; write them as 2015-03-31 ({error})") from error


def _roles(table: pd.DataFrame, roles: dict[str, Role], source: str) -> list[str]:
    known = {fold(name): r.id for r in roles.values() for name in (r.id, r.label, r.plural)}
    wrong = [(p, r) for p, r in zip(table["person"], table["role"], strict=True) if fold(r) not in known]
    if wrong:
        raise Refusal(f"{source}: {len(wrong)} people have no role the study knows (first: {wrong[0][0]}, "
                      f"'{wrong[0][1]}'); use {' or '.join(roles)}, or add the role to study.toml")
    return [known[fold(r)] for r in table["role"]]


def check_events(table: pd.DataFrame, *, cohort_id: str, roster: pd.DataFrame | None, source: str) -> Records:
    """EVENTS from a table of person, pair, kind, date, minutes, status.

    An event of a pair may leave the person empty; a person's event takes the pair from the roster. A
    kind may be specified further ('shadowing_chairman').

    Parameters
    ----------
    table
        Strings, indexed by row number.
    roster
        As `check_roster` gives it, or None.
    """
    rows, warnings = _columns(table, EVENT_COLUMNS, ("kind", "date"), source)
    faults = _Faults(source)
    people = match_people(set(rows["person"]) - {""}, None if roster is None else roster["person"])
    pair_of = {} if roster is None else dict(zip(roster["person"], roster["listed_pair"], strict=True))
    pairs = {person_key(p): p for p in pair_of.values() if p}
    dates = _days(rows["date"], source)
    made = []
    for number, row in zip(rows.index, rows.to_dict("records"), strict=True):
        person = faults.person(number, row["person"], people)
        pair = pairs.get(person_key(row["pair"]), "") if roster is not None else row["pair"]
        if row["pair"] and not pair:
            faults.add(number, f"unknown pair: '{row['pair']}' is not on the roster",
                       ", ".join(nearest(row["pair"], pairs.values())))
        if person and pair and pair_of.get(person, pair) != pair:
            faults.add(
                number,
                f"roster disagreement: {person} belongs to pair {pair_of[person] or '(none)'}, not {pair}",
            )
        if not row["person"] and not row["pair"]:
            faults.add(number, "no person: neither person nor pair is given")
        kind = fold(row["kind"])
        if kind.split("_")[0] not in KINDS:
            faults.add(
                number,
                f"unknown kind: '{row['kind']}'; kinds are {', '.join(KINDS)}",
                ", ".join(nearest(kind, KINDS)),
            )
        when = dates.get(row["date"])
        if when is None:
            faults.add(number, f"unreadable date: '{row['date']}'; write it as 2015-03-31")
        minutes = _number(row["minutes"])
        if minutes is None or minutes < 0:
            faults.add(
                number, f"unreadable minutes: '{row['minutes']}' is not a number of minutes, 0 or more"
            )
        made.append(
            {
                "cohort": cohort_id,
                "person": person,
                "pair": pair or pair_of.get(person, ""),
                "kind": kind,
                "date": when.date.isoformat() if when else "",
                "minutes": minutes,
                "status": fold(row["status"]),
            }
        )
    twice = int(rows.duplicated().sum())
    if twice:
        warnings.append(
            f"{source}: {twice} rows repeat an earlier one; all are counted; remove them if they are one"
            " event"
        )
    return faults.records(make(made, EVENTS), rows.index, warnings)


def check_interviews(
    table: pd.DataFrame,
    *,
    cohort_id: str,
    roster: pd.DataFrame | None,
    themes: dict[str, Theme],
    source: str,
    consent: pd.DataFrame | None = None,
) -> Records:
    """CODINGS from a table of interview, person, segment, start, end, coder, theme, quotation.

    An empty theme says that the coder read the segment and applied none. Without a segment the row is known
    by its extent, 'start-end'. An interview that names no person but bears the id of one is that person's. A
    quotation must be as long as its extent. Rows of people who withdrew their consent are set aside, and rows
    that repeat an earlier one are dropped and counted.

    Parameters
    ----------
    table
        Strings, indexed by row number.
    consent
        As `check_consent` gives it, or None.

    Returns
    -------
    Records
        `rows` are CODINGS; `people` gives interview, person and role; `quotations` (QUOTATIONS) keeps the
        extents and the words, its segment empty where the extent stands for it.
    """
    rows, warnings = _columns(table, INTERVIEW_COLUMNS, ("interview", "coder", "theme"), source)
    lengths = _lengths(table)
    faults = _Faults(source)
    people = match_people(set(rows["person"]) - {""}, None if roster is None else roster["person"])
    by_key = {} if roster is None else {person_key(p): p for p in roster["person"]}
    gone = set() if consent is None else set(consent.loc[consent["withdrawn"] != "", "person"])
    known = {fold(name): t.id for t in themes.values() for name in (t.id, t.label)}
    spoken = {
        i: set(map(person_key, part["person"])) - {""} for i, part in rows.groupby("interview", sort=False)
    }
    made = []
    for number, row in zip(rows.index, rows.to_dict("records"), strict=True):
        person = faults.person(number, row["person"], people)
        if row["interview"] and not spoken[row["interview"]]:
            person = by_key.get(person_key(row["interview"]), "")
        theme = known.get(fold(row["theme"]), "")
        if row["theme"] and not theme:
            faults.add(number, f"unknown theme: '{row['theme']}' is not in study/codebook.toml",
                       ", ".join(nearest(row["theme"], known)))
        start, end = _number(row["start"]), _number(row["end"])
        extent = _extent(start, end)
        named = row | {"segment": row["segment"] or extent}
        for key in ("interview", "segment", "coder"):
            if not named[key]:
                faults.add(number, f"no {key}: the cell is empty")
        if row["interview"] and len(spoken[row["interview"]]) > 1:
            faults.add(
                number,
                f"several persons: interview {row['interview']} names {len(spoken[row['interview']])} people",
            )
        if start is None or end is None or min(start, end) < 0 or end < start:
            faults.add(
                number,
                f"unreadable place: start '{row['start']}' and end '{row['end']}' are not a span of text",
            )
        elif extent and row["quotation"] and end - start not in lengths[number]:
            faults.add(
                number,
                f"quotation mismatch: the quotation has {max(lengths[number])} characters, its place "
                f"({extent}) {end - start:g}",
                "correct the positions or the quotation",
            )
        if person in gone:
            faults.add(number, f"consent withdrawn: {person} no longer agrees to the use of the interview")
        made.append(named | {"cohort": cohort_id, "theme": theme, "person": person, "listed": row["segment"],
                             "start": start if extent else np.nan, "end": end if extent else np.nan})
    columns = ["cohort", *INTERVIEW_COLUMNS, "listed"]
    result = faults.records(
        pd.DataFrame(made, columns=columns), rows.index, warnings, twice=rows.duplicated().to_numpy()
    )
    role_of = {} if roster is None else dict(zip(roster["person"], roster["role"], strict=True))
    kept = result.rows.assign(role=[role_of.get(p, "") for p in result.rows["person"]])
    who = kept[["interview", "person", "role"]].drop_duplicates()
    who = who[(who["person"] != "") | ~who.duplicated("interview", keep=False)].reset_index(drop=True)
    quotations = kept.drop(columns="segment").rename(columns={"listed": "segment"})
    return Records(
        make(kept[list(CODINGS.columns)].to_dict("records"), CODINGS),
        result.quarantine,
        result.accounting,
        (*result.warnings, *_overlaps(kept, source)),
        who,
        make(quotations[list(QUOTATIONS.columns)].to_dict("records"), QUOTATIONS),
    )


def _extent(start: float | None, end: float | None) -> str:
    """The place of a passage as a name; empty where it has none."""
    if start is None or end is None or np.isnan(start) or np.isnan(end):
        return ""
    return f"{start:g}-{end:g}"


def _lengths(table: pd.DataFrame) -> dict[int, set[int]]:
    """Characters of each row's quotation as exported: as it stands, without outer spaces, with plain line breaks."""
    column = next((c for c in table.columns if fold(str(c)) == "quotation"), None)
    texts = [""] * len(table) if column is None else [str(v) if pd.notna(v) else "" for v in table[column]]
    return {
        n: {len(t), len(t.strip()), len(t.replace("\r\n", "\n"))}
        for n, t in zip(table.index, texts, strict=True)
    }


def _overlaps(kept: pd.DataFrame, source: str) -> list[str]:
    """A warning when one coder marked overlapping passages with the same theme."""
    placed = kept[kept["end"].notna() & (kept["theme"] != "")].sort_values(
        ["interview", "coder", "theme", "start"], kind="stable"
    )
    by = placed.groupby(["interview", "coder", "theme"], sort=False)
    inside = placed["start"] < by["end"].transform(lambda e: e.cummax().shift())
    n = int(inside.sum())
    return (
        [
            f"{source}: {n} passages overlap another of the same coder and theme; all are kept and count once"
            " per unit"
        ]
        if n
        else []
    )


def check_consent(
    table: pd.DataFrame, *, cohort_id: str, roster: pd.DataFrame | None, source: str
) -> pd.DataFrame:
    """CONSENT from a table of person, scope (none, internal, public) and withdrawn (date or empty).

    Raises
    ------
    Refusal
        When a person is unknown or listed twice, or a scope or date cannot be read: who may be quoted is
        never guessed.
    """
    rows, _ = _columns(table, ("person", "scope", "withdrawn"), ("person", "scope"), source)
    people = match_people(set(rows["person"]), None if roster is None else roster["person"])
    dates = _days(rows["withdrawn"], source)
    made = []
    for number, row in zip(rows.index, rows.to_dict("records"), strict=True):
        match, scope = people[row["person"]], fold(row["scope"]) or "none"
        problem = (
            f"'{row['person']}' {match.problem}"
            if match.problem
            else (
                f"scope '{row['scope']}' is not {', '.join(SCOPES)}"
                if scope not in SCOPES
                else (
                    f"the date '{row['withdrawn']}' cannot be read"
                    if row["withdrawn"] and dates.get(row["withdrawn"]) is None
                    else ""
                )
            )
        )
        if problem:
            raise Refusal(f"{source}, row {number}: {problem}; correct it before anybody is quoted")
        made.append({"cohort": cohort_id, "person": match.person, "scope": scope,
                     "withdrawn": dates[row["withdrawn"]].date.isoformat() if row["withdrawn"] else ""})
    twice = pd.Series([m["person"] for m in made], dtype=object).duplicated()
    if twice.any():
        raise Refusal(
            f"{source}: {made[int(twice.idxmax())]['person']} is listed twice; keep one row per person"
        )
    return make(made, CONSENT)


def check_topics(table: pd.DataFrame, *, cohort_id: str, source: str) -> pd.DataFrame:
    """TOPICS of the forum from a table of date, topic and status (raised or resolved).

    Raises
    ------
    Refusal
        When a date or status cannot be read or a topic is empty.
    """
    rows, _ = _columns(table, ("date", "topic", "status"), ("date", "topic", "status"), source)
    dates = _days(rows["date"], source)
    for number, row in zip(rows.index, rows.to_dict("records"), strict=True):
        if (
            dates.get(row["date"]) is None
            or not row["topic"]
            or fold(row["status"]) not in ("raised", "resolved")
        ):
            raise Refusal(
                f"{source}, row {number}: a topic needs a date (2015-03-31), words, and the status raised or "
                f"resolved; it has '{row['date']}', '{row['topic']}', '{row['status']}'"
            )
    return make(
        [
            {
                "cohort": cohort_id,
                "date": dates[r["date"]].date.isoformat(),
                "topic": r["topic"],
                "status": fold(r["status"]),
            }
            for r in rows.to_dict("records")
        ],
        TOPICS,
    )


def check_reconciled(
    table: pd.DataFrame, *, cohort_id: str, themes: dict[str, Theme], source: str
) -> pd.DataFrame:
    """RECONCILED from a table of interview, segment, theme, decision (present or absent), by and reason.

    Raises
    ------
    Refusal
        When a cell but the reason is empty, a theme or decision is unknown, or a segment's theme is decided twice.
    """
    rows, _ = _columns(table, tuple(RECONCILED.columns)[1:], tuple(RECONCILED.columns)[1:6], source)
    known = {fold(name): t.id for t in themes.values() for name in (t.id, t.label)}
    made = []
    for number, row in zip(rows.index, rows.to_dict("records"), strict=True):
        theme, decision = known.get(fold(row["theme"]), ""), fold(row["decision"])
        if not theme or decision not in DECISIONS or not (row["interview"] and row["segment"] and row["by"]):
            raise Refusal(
                f"{source}, row {number}: a decision names interview, segment, a theme of the codebook, "
                f"{' or '.join(DECISIONS)}, and who decided; it has theme '{row['theme']}', decision "
                f"'{row['decision']}', by '{row['by']}'"
            )
        made.append(row | {"cohort": cohort_id, "theme": theme, "decision": decision})
    return _once(make(made, RECONCILED), ["interview", "segment", "theme"], source)


def check_released_quotes(table: pd.DataFrame, *, cohort_id: str, source: str) -> pd.DataFrame:
    """RELEASED_QUOTES from a table of interview, segment and by: the passages a person has read and cleared for print.

    Raises
    ------
    Refusal
        When a cell is empty or a passage is listed twice.
    """
    columns = tuple(RELEASED_QUOTES.columns)[1:]
    rows, _ = _columns(table, columns, columns, source)
    empty = rows[(rows == "").any(axis=1)]
    if len(empty):
        raise Refusal(
            f"{source}, row {empty.index[0]}: interview, segment and by (who cleared it) are all needed"
        )
    return _once(
        make(rows.assign(cohort=cohort_id).to_dict("records"), RELEASED_QUOTES),
        ["interview", "segment"],
        source,
    )


def _once(table: pd.DataFrame, keys: list[str], source: str) -> pd.DataFrame:
    twice = table[table.duplicated(keys)]
    if len(twice):
        raise Refusal(f"{source}: {', '.join(twice.iloc[0][keys])} is listed twice; keep one row")
    return table


def optional(path: Path, shape: Shape, check, **options) -> pd.DataFrame:
    """A checked table of a file that a cohort may have, empty where it has none.

    Parameters
    ----------
    path
        The file, as a CSV with a header row.
    shape
        What `check` returns.
    check
        `check_reconciled` or its like; it is given the table, the options and the file's name.
    """
    if not path.is_file():
        return make([], shape)
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    return check(table.set_axis(range(1, len(table) + 1)), source=path.name, **options)


def _number(text: str) -> float | None:
    """The number a cell holds, missing (nan) where it is empty, None where it is not a number."""
    if not text:
        return np.nan
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


class _Faults:
    """Collects the reasons why rows of one table are set aside."""

    def __init__(self, source: str):
        self.source = source
        self.reasons: dict[int, list[tuple[str, str]]] = {}

    def add(self, row: int, reason: str, suggestion: str = "") -> None:
        self.reasons.setdefault(int(row), []).append((reason, suggestion))

    def person(self, row: int, text: str, people: dict) -> str:
        if not text:
            return ""
        match = people[text]
        if match.problem:
            self.add(row, f"unknown person: '{text}' {match.problem}", match.suggestion)
        return match.person

    def records(self, made: pd.DataFrame, numbers, warnings: list[str], *, twice=None) -> Records:
        """Rows without a fault, those set aside, and their counts, which are checked."""
        aside = np.array([int(n) in self.reasons for n in numbers], dtype=bool)
        twice = np.zeros(len(aside), dtype=bool) if twice is None else twice & ~aside
        kept = made[~(aside | twice)].reset_index(drop=True)
        quarantine = make([
            {"source": self.source, "row": row, "reason": "; also ".join(r for r, _ in found),
             "suggestion": "; ".join(dict.fromkeys(s for _, s in found if s))}
            for row, found in sorted(self.reasons.items())
        ], QUARANTINE)
        accounting = account(len(aside), len(kept), len(quarantine), int(twice.sum()), 0, self.source)
        return Records(kept, quarantine, accounting, tuple(warnings))


def account(
    rows_in: int, rows_out: int, quarantined: int, duplicates: int, others: int, source: str
) -> dict[str, int]:
    """The counts of one file.

    Raises
    ------
    Refusal
        When rows_in differs from the sum of what became of the rows.
    """
    if rows_in != rows_out + quarantined + duplicates + others:
        raise Refusal(
            f"{source}: {rows_in} rows came in, but {rows_out} are used, {quarantined} set aside,"
            f" {duplicates} dropped as exact duplicates and {others} belong to other instruments; this is a"
            " fault of the program, please report it"
        )
    return {"rows_in": rows_in, "rows_out": rows_out, "rows_quarantined": quarantined,
            "rows_dropped_as_exact_duplicates": duplicates, "rows_of_other_instruments": others}
