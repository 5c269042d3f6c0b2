"""One export after the other: its rules applied in order, its rows judged, its counts checked.

Cleaned cells keep every row, so that the audit restores the export exactly; responses are made from the
rows that are neither set aside nor exact duplicates.
"""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from .answers import MONTH_FIRST, all_ambiguous
from .flags import flag_rows
from .frames import AUDIT, CELLS, QUARANTINE, RESPONSES, Refusal, conform, make
from .matching import People, header_words, nearest, plan_columns
from .read import Export, is_unnamed, read, repeated, shaped
from .records import account, check_roster
from .rules import (
    DECISIONS,
    RULES,
    WHOLE_ROW,
    Context,
    apply,
    cases_of,
    code_answers,
    column_of,
    doubled_rows,
    event_warnings,
    gather,
    numbers_among_labels,
    rows_of_other_instruments,
    unreadable_answers,
    when_of_rows,
)
from .study import Instrument, Role, Source

CORRECTION_COLUMNS = ("source", "row", "column", "old", "new", "reason", "by")
# Rules that only read what was declared; any other edit is a repair.
DECLARED = frozenset({"label", "codebook", "option", "reversed", "missing_word", "date", "person_key"})
FLAG_COLUMNS = ("source", "row", "column", "flag")
ROW_COLUMNS = ("source", "row", "person", "when", "fate")


@dataclass(frozen=True)
class Cleaned:
    """One export after cleaning.

    `outcome` is ok (only declared meanings were read), repaired (something was put right; see `audit`),
    quarantine (some rows are set aside) or refused (nothing is used; `refusal` says why). `rows` gives
    the person, the moment and the fate of every row.
    """

    outcome: str
    cells: pd.DataFrame = field(default_factory=lambda: make([], CELLS))
    audit: pd.DataFrame = field(default_factory=lambda: make([], AUDIT))
    quarantine: pd.DataFrame = field(default_factory=lambda: make([], QUARANTINE))
    responses: pd.DataFrame = field(default_factory=lambda: make([], RESPONSES))
    flags: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=FLAG_COLUMNS))
    warnings: tuple[str, ...] = ()
    accounting: dict[str, int] = field(default_factory=lambda: account(0, 0, 0, 0, 0, ""))
    matches: dict[str, tuple[str, str]] = field(default_factory=dict)
    rows: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=ROW_COLUMNS))
    refusal: str = ""


# ------------------------------------------------------------------------------------- one export

def clean_export(export: Export, *, source: Source, instrument: Instrument, roster: pd.DataFrame | None,
                 corrections: pd.DataFrame, cohort_id: str, timezone: str, start: dt.date | None = None,
                 end: dt.date | None = None, today: dt.date | None = None,
                 roles: dict[str, Role] | None = None, earlier: pd.DataFrame | None = None) -> Cleaned:
    """Clean one export that has been read.

    Parameters
    ----------
    export
        As `read` gives it.
    source
        What the study declares about it.
    instrument
        Items asked at the source's wave must all be there.
    roster
        person, pair, role, withdrawn; None where the study has none.
    corrections
        Rows of the corrections file; those of other sources are not looked at.
    timezone
        Zone of times that state none, unless the source has its own.
    start, end
        First and last day of the cohort; answers half a year outside are warned about.
    today
        Answers after this day are set aside; without it the day of the computer.
    earlier
        `Cleaned.rows` of an earlier wave; a row answered before the same person's is set aside.

    Raises
    ------
    Refusal
        When nothing of the file can be used; the message names the culprit and the cure.
    """
    roster, warnings = (None, []) if roster is None else check_roster(roster, roles=roles)
    timezone = _zone(source.timezone or export.timezone or timezone, export.source)
    if source.codes not in ("", "as-instrument", "reversed"):
        raise Refusal(
            f'{export.source}: codes = "{source.codes}" is unknown; use "as-instrument" or "reversed"'
        )
    plan = plan_columns(
        export.columns,
        instrument,
        source,
        known=export.known,
        administrative=export.administrative,
        texts_must_agree=export.format == "qualtrics",
    )
    own = corrections[corrections["source"] == export.source]
    today = today or dt.datetime.now(ZoneInfo(timezone)).date()
    people = People(None if roster is None else roster["person"])
    context = Context(export, source, instrument, plan, own, roster, roles or {}, timezone, today, people,
                      _moments(earlier))
    raw = _as_categories(export.cells)
    _refuse_split_questions(raw, context)
    others = rows_of_other_instruments(raw, context)
    cells, audits, decided, twice, found = raw, [], [], [], event_warnings(raw, context)
    for rule in RULES:
        judged = cells[~cells["row"].isin(others)] if others else cells
        if rule is code_answers:  # rows are judged when all is repaired, before answers become numbers
            decided = [decision(judged, context) for decision in DECISIONS]
            twice = doubled_rows(judged, context)[1]
            found += numbers_among_labels(judged, context)
        audits.append(rule(judged, context))
        cells = apply(cells, audits[-1])
    quarantine = _one_per_row([export.set_aside, *decided])
    quarantine = quarantine[~quarantine["row"].isin(others | set(twice))].reset_index(drop=True)
    rows = _fates(cells, context, others, quarantine, twice)
    messages = [*warnings, *export.warnings, *plan.warnings, *found,
                *_row_warnings(rows, decided, context, start, end, twice)]
    return _cleaned(context, cells, audits, quarantine, rows, messages, cohort_id)


def _refuse_split_questions(cells: pd.DataFrame, context: Context) -> None:
    """An item answered in unnamed columns beside it, as where each choice has a column of its own."""
    place = {name: n for n, name in enumerate(context.plan.order)}
    for match in context.plan.items:
        beside = list(itertools.takewhile(is_unnamed, context.plan.order[place[match.column] + 1:]))
        empty = (
            {r for r, v in zip(*column_of(cells, match.column), strict=True) if not v.strip()}
            if beside
            else set()
        )
        for name in beside:
            rows, values = column_of(cells, name)
            lost = [(r, v) for r, v in zip(rows, values, strict=True) if v.strip() and r in empty]
            if lost:
                raise Refusal(
                    f"{context.label}: {len(lost)} rows have no answer in '{match.column}' but one in the"
                    f" column without a name beside it (first: row {lost[0][0]}, '{lost[0][1][:60]}'); the"
                    " question has several columns: export it with one column per question (condensed), with"
                    " the platform's own columns left in place"
                )


def _moments(rows: pd.DataFrame | None) -> dict[str, str]:
    """When each person of an earlier wave answered, where that is known."""
    if rows is None:
        return {}
    dated = rows[(rows["fate"] == "kept") & (rows["when"] != "")]
    return dict(zip(dated["person"], dated["when"], strict=True))


def _zone(name: str, label: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Refusal(
            f"{label}: '{name}' is not a time zone; set timezone for this source, such as Europe/London"
        ) from error


def _as_categories(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells in the types that make columns quick to find."""
    out = pd.DataFrame({
        "source": pd.Categorical(cells["source"]), "row": cells["row"].to_numpy(dtype="int64"),
        "column": pd.Categorical(cells["column"]),
        "value": pd.Series(cells["value"].to_numpy(dtype=object), dtype=object),
    })
    twice = out.duplicated(["source", "row", "column"])
    if twice.any():
        first = out[twice].iloc[0]
        raise Refusal(f"{first['source']}: row {first['row']} has two cells in column '{first['column']}'; "
                      "rename one of the columns in the export")
    return out


def _one_per_row(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """One line per row set aside: its first reason in the protocol's order, then the others."""
    rows = gather(parts, QUARANTINE)
    if not len(rows):
        return make([], QUARANTINE)
    rows = rows.assign(suggestion=rows["suggestion"].fillna(""))
    settled = rows["reason"].str.startswith(
        ("preview or test", "correction")
    )  # nothing else matters of these rows
    rows = rows[settled | ~rows["row"].isin(rows.loc[settled, "row"])]
    joined = rows.groupby(["source", "row"], sort=True).agg(
        reason=("reason", lambda r: "; also ".join(dict.fromkeys(r))),
        suggestion=("suggestion", lambda s: "; ".join(dict.fromkeys(x for x in s if x))),
    ).reset_index()
    return conform(joined, QUARANTINE)


def _fates(cells, context: Context, others: set[int], quarantine: pd.DataFrame, twice) -> pd.DataFrame:
    """Every row with its person, moment and fate: kept, quarantined, exact duplicate or other instrument."""
    numbers = np.union1d(
        cells["row"].unique(), context.export.set_aside["row"].to_numpy(dtype="int64")
    ).tolist()
    rows, people = column_of(cells, context.plan.person)
    people = dict(zip(rows.tolist(), people, strict=True))
    when = when_of_rows(cells, context)
    twice = set(twice)
    aside = set(map(int, quarantine["row"]))
    fate = [
        (
            "other instrument"
            if r in others
            else "exact duplicate" if r in twice else "quarantined" if r in aside else "kept"
        )
        for r in numbers
    ]
    return pd.DataFrame({
        "source": context.label, "row": numbers, "person": [people.get(r, "") for r in numbers],
        "when": [when[r].text if when.get(r) else "" for r in numbers], "fate": fate,
    })


def _row_warnings(rows, decided, context: Context, start, end, twice) -> list[str]:
    found = []
    answers = decided[DECISIONS.index(unreadable_answers)]
    for match in context.plan.items:
        here = answers[answers["reason"].str.contains(f"in column '{match.column}' ", regex=False)]
        if len(here):
            first = here.iloc[0]
            found.append(
                f"{len(here)} of {len(rows)} answers in {match.column} cannot be read (first: row"
                f" {first['row']}, {first['reason'].removeprefix('unreadable answer: ')});"
                f" {first['suggestion']}"
            )
    if twice:
        found.append(
            f"{len(twice)} rows repeat another byte for byte (first: row {twice[0]}); one of each is used"
        )
    kept = rows[rows["fate"] == "kept"]
    if not context.plan.completed:
        found.append(
            "no column holds the date of the answers; withdrawal and order of waves cannot be checked "
            "(set completed = \"...\" for this source)"
        )
    elif len(kept) and (kept["when"] == "").any():
        first = kept[kept["when"] == ""].iloc[0]
        found.append(
            f"{(kept['when'] == '').sum()} of {len(kept)} rows have no readable date in"
            f" '{context.plan.completed}' (first: row {first['row']}); they are kept and flagged time_unknown"
        )
    _, raw_dates = column_of(context.export.cells, context.plan.completed)
    if context.source.day_first is None and context.export.format in MONTH_FIRST and all_ambiguous(raw_dates):
        found.append(
            f"every date in '{context.plan.completed}' can be read with the day or the month first; they were"
            f" read month first, the habit of {context.export.format}; set day_first for this source to be"
            " sure"
        )
    half_year = dt.timedelta(days=183)
    days = pd.to_datetime(kept.loc[kept["when"] != "", "when"].str[:10])
    odd = days[:0]
    if start and end:
        odd = days[(days < pd.Timestamp(start - half_year)) | (days > pd.Timestamp(end + half_year))]
    if len(odd):
        found.append(
            f"{len(odd)} rows were answered more than half a year outside {start} to {end} (first: row "
            f"{kept.loc[odd.index[0], 'row']}, {odd.iloc[0].date()}); check the year"
        )
    return found


def _cleaned(context: Context, cells, audits, quarantine, rows, messages, cohort_id: str) -> Cleaned:
    """The result for one export from its parts; its counts are checked."""
    audit = shaped(
        {
            c: np.concatenate([a[c].to_numpy(dtype=object if k == "string" else "int64") for a in audits])
            for c, k in AUDIT.columns.items()
        },
        AUDIT,
    )
    audits.clear()
    fates = rows["fate"].value_counts()
    accounting = account(
        len(rows),
        int(fates.get("kept", 0)),
        len(quarantine),
        int(fates.get("exact duplicate", 0)),
        int(fates.get("other instrument", 0)),
        context.label,
    )
    if accounting["rows_in"] != context.export.rows:
        raise Refusal(
            f"{context.label}: the reader counted {context.export.rows} rows and {accounting['rows_in']} were"
            " cleaned; this is a fault of the program, please report it"
        )
    kept = rows[rows["fate"] == "kept"]
    responses = _to_responses(cells, context, kept, cohort_id)
    flags = flag_rows(
        cells,
        kept,
        responses,
        plan=context.plan,
        known=context.export.known,
        administrative=context.export.administrative,
        instrument=context.instrument,
        label=context.label,
    )
    outcome = "quarantine" if len(quarantine) else "ok"
    if outcome == "ok" and (
        accounting["rows_dropped_as_exact_duplicates"] or not set(audit["rule"].unique()) <= DECLARED
    ):
        outcome = "repaired"
    matches = {m.item: (m.column, m.how) for m in context.plan.items}
    cells = context.export.cells.assign(value=cells["value"].astype("str"))
    return Cleaned(outcome, cells, audit, quarantine, responses, flags, tuple(dict.fromkeys(messages)),
                   accounting, matches, rows)


def _to_responses(cells, context: Context, kept: pd.DataFrame, cohort_id: str) -> pd.DataFrame:
    """RESPONSES of the rows kept: every item asked, an unanswered one without a value."""
    numbers = kept["row"].to_numpy(dtype="int64")
    items = [m.item for m in context.plan.items]
    values = np.full((len(numbers), len(items)), np.nan)
    for place, match in enumerate(context.plan.items):
        cases = cases_of(cells, match.column)
        number = cases.each(_number, float)
        order = np.argsort(cases.rows, kind="stable")
        values[:, place] = number[order[np.searchsorted(cases.rows[order], numbers)]] if len(numbers) else []
    people = kept["person"].to_numpy(dtype=object)
    whose = {"person": people}
    for part in ("pair", "role"):
        on = (
            {}
            if context.roster is None
            else dict(zip(*(context.roster[c].tolist() for c in ("person", part)), strict=True))
        )
        whose[part] = np.array([on.get(p, "") for p in people], dtype=object)
    count = values.size
    return shaped({
        "cohort": repeated(cohort_id, count),
        **{part: np.repeat(column, len(items)) for part, column in whose.items()},
        "wave": repeated(context.source.wave, count), "instrument": repeated(context.instrument.id, count),
        "item": np.tile(np.array(items, dtype=object), len(people)), "value": values.ravel(),
    }, RESPONSES)


def _number(text: str) -> float:
    """A coded answer; an unreadable one is in no row that is kept."""
    try:
        return float(text) if text else np.nan
    except ValueError:
        return np.nan


def take_in(
    path: str | Path,
    *,
    instrument: Instrument,
    roster: pd.DataFrame | None = None,
    wave: str,
    timezone: str,
    format: str = "auto",
    codebook: str | Path | None = None,
    person: str = "",
    completed: str = "",
    consent: str = "",
    consent_given: tuple[str, ...] = (),
    day_first: bool | None = None,
    codes: str = "",
    delimiter: str = "",
    sheet: str = "",
    columns: dict[str, str] | None = None,
    ignore: dict[str, str] | None = None,
    corrections: pd.DataFrame | None = None,
    roles: dict[str, Role] | None = None,
    cohort_id: str = "",
    today: dt.date | None = None,
    earlier: pd.DataFrame | None = None,
) -> Cleaned:
    """Read and clean one file; whatever its content, the answer is one of the four outcomes.

    The options are those of a source in `study/cohorts/<id>.toml`. Without `person`, the one column
    whose name says that it holds an id is taken.

    Returns
    -------
    Cleaned; for a file that cannot be used, outcome 'refused' and the reason in `refusal`.
    """
    source = Source(
        Path(path).name,
        wave,
        person,
        format=format,
        completed=completed,
        consent=consent,
        consent_given=consent_given,
        delimiter=delimiter,
        sheet=sheet,
        day_first=day_first,
        codes=codes,
        columns=columns or {},
        ignore=ignore or {},
    )
    try:
        export = read(path, format=format, delimiter=delimiter, sheet=sheet, codebook=codebook,
                      expected=header_words(instrument, wave))
        corrections = check_corrections(corrections, {export.source: export.source})
        return clean_export(
            export,
            source=source,
            instrument=instrument,
            roster=roster,
            corrections=corrections,
            cohort_id=cohort_id,
            timezone=timezone,
            today=today,
            roles=roles,
            earlier=earlier,
        )
    except (Refusal, OSError) as error:
        return Cleaned("refused", refusal=str(error))


# ------------------------------------------------------------------------------------- corrections


def check_corrections(
    table: pd.DataFrame | None, labels: dict[str, str], *, file: str = "corrections"
) -> pd.DataFrame:
    """Corrections with whole row numbers, every one complete and of a source that exists.

    Parameters
    ----------
    table
        Columns source, row, column, old, new, reason, by. A row with column "(row)" and new = "drop"
        sets the whole row aside.
    labels
        Name of each source in the tables, and its file.

    Raises
    ------
    Refusal
        All faults at once.
    """
    if table is None or not len(table):
        return pd.DataFrame(
            {c: pd.Series(dtype="int64" if c == "row" else object) for c in CORRECTION_COLUMNS}
        )
    absent = [c for c in CORRECTION_COLUMNS if c not in table.columns]
    if absent:
        raise Refusal(f"{file}: {len(absent)} columns are missing ({', '.join(absent)}); "
                      f"they are {', '.join(CORRECTION_COLUMNS)}")
    table = table[list(CORRECTION_COLUMNS)].astype(object).fillna("").map(str)
    faults = [f"line {line}: {fault}" for line, c in enumerate(table.itertuples(), start=2)
              if (fault := _fault(c, labels))]
    if faults:
        raise Refusal(f"{file}: {len(faults)} corrections cannot be used: {'; '.join(faults)}")
    return table.assign(row=table["row"].astype("int64"))


def _fault(correction, labels: dict[str, str]) -> str:
    if correction.source not in labels:
        shared = [label for label, file in labels.items() if file == correction.source]
        choices = shared or nearest(correction.source, labels) or list(labels)
        return f"source '{correction.source}' is not one of this cohort; use {' or '.join(choices)}"
    if not correction.row.strip().isdecimal() or int(correction.row) < 1:
        return f"row '{correction.row}' is not a row number; data rows count from 1 after the header"
    if not correction.column:
        return "column is empty; name the column as the export spells it"
    if not correction.reason.strip() or not correction.by.strip():
        return "reason or by is empty; say why the cell is changed and who decided it"
    if correction.column == WHOLE_ROW:
        return "" if correction.new == "drop" else f"column {WHOLE_ROW} knows only new = drop"
    return "old and new are the same" if correction.old == correction.new else ""
