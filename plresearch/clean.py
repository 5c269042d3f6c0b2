"""From exported cells to responses: rules propose edits, one function makes them, nothing is lost.

`clean_cohort` cleans all sources of a cohort with its roster, events and interviews; `clean_export` one
export, `take_in` one file. The rules and their order are in `rules`.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from .frames import (
    AUDIT,
    CODINGS,
    CONSENT,
    COUNTS,
    EVENTS,
    QUARANTINE,
    QUOTATIONS,
    RECONCILED,
    RELEASED_QUOTES,
    RESPONSES,
    TOPICS,
    Refusal,
    Shape,
    conform,
    make,
    stack,
)
from .intake import Cleaned, check_corrections, clean_export, take_in
from .matching import header_words
from .read import Export, read
from .qda import read_qdpx
from .records import (
    KINDS,
    Records,
    account,
    check_consent,
    check_events,
    check_interviews,
    check_reconciled,
    check_released_quotes,
    check_roster,
    check_topics,
    optional,
    wide,
)
from .rules import DECISIONS, RULES, apply, as_when, restore
from .study import Cohort, Source, Study

__all__ = [
    "DECISIONS",
    "RULES",
    "Cleaned",
    "CohortCleaned",
    "apply",
    "check_corrections",
    "clean_cohort",
    "clean_export",
    "restore",
    "source_labels",
    "take_in",
    "validate",
]


@dataclass(frozen=True)
class CohortCleaned:
    """A cohort after cleaning: the tables of all its sources.

    `accounting` has one line per source and table with the counts that add up; `interviews` gives
    interview, person and role; `flow` is of the COUNTS shape; `sources` holds each export's own result;
    `kept_records` names the tables about interviews and the forum that a cohort may have, with their shapes.
    """

    responses: pd.DataFrame
    audit: pd.DataFrame
    quarantine: pd.DataFrame
    flags: pd.DataFrame
    warnings: tuple[str, ...]
    accounting: pd.DataFrame
    events: pd.DataFrame
    codings: pd.DataFrame
    interviews: pd.DataFrame
    roster: pd.DataFrame | None
    flow: pd.DataFrame
    sources: dict[str, Cleaned]
    kept_records: dict[str, tuple[pd.DataFrame, Shape]]


def clean_cohort(study: Study, cohort_id: str, *, today: dt.date | None = None) -> CohortCleaned:
    """Clean all sources of a cohort, its events and its interviews.

    Parameters
    ----------
    study
        The study folder.
    cohort_id
        Which cohort; its files lie in `data_raw/<id>/`.
    today
        Answers after this day are set aside; without it the day of the computer.

    Raises
    ------
    Refusal
        When a file cannot be used, a correction does not fit, or no usable row is left.
    """
    cohort = study.cohort(cohort_id)
    raw = study.raw(cohort_id)
    roster, warnings = None, []
    if cohort.roster:
        roster, warnings = check_roster(_table(raw / cohort.roster), roles=study.roles, source=cohort.roster)
    labels = source_labels(cohort)
    corrections = check_corrections(_corrections(cohort), {label: s.file for label, s in labels.items()},
                                    file=f"study/cohorts/{cohort.corrections.name}")
    cleaned, exports = {}, {}
    for label, source in labels.items():
        exports[label] = _relabelled(read(
            raw / source.file, format=source.format, delimiter=source.delimiter, sheet=source.sheet,
            codebook=raw / source.codebook if source.codebook else None,
            expected=header_words(study.instrument, source.wave),
        ), label)
        cleaned[label] = clean_export(
            exports[label],
            source=source,
            instrument=study.instrument,
            roster=roster,
            corrections=corrections,
            cohort_id=cohort_id,
            timezone=study.timezone,
            start=cohort.start,
            end=cohort.end,
            today=today,
            roles=study.roles,
        )
    cleaned = _judge_across(cleaned, exports, labels, study)
    responses = stack([c.responses for c in cleaned.values()], RESPONSES)
    if not len(responses):
        raise Refusal(f"cohort {cohort_id} has no usable row: {_fates_in_words(cleaned)}")
    validate(responses, RESPONSES, study=study)
    further = _further(study, cohort, roster)
    events, interviews = _records(study, cohort, roster, further["consent"][0])
    tables = {cohort.events: events, cohort.interviews: interviews}
    warnings += [f"{label}: {w}" for label, c in cleaned.items() for w in c.warnings]
    warnings += [w for t in tables.values() for w in t.warnings] + _wave_warnings(responses, study)
    counted = {**cleaned, **{name: table for name, table in tables.items() if name}}
    accounting = pd.DataFrame([{"source": name, **part.accounting} for name, part in counted.items()])
    return CohortCleaned(
        responses=responses,
        audit=stack([c.audit for c in cleaned.values()], AUDIT),
        quarantine=stack([part.quarantine for part in counted.values()], QUARANTINE),
        flags=pd.concat([c.flags for c in cleaned.values()], ignore_index=True),
        warnings=tuple(dict.fromkeys(warnings)),
        accounting=accounting,
        events=events.rows,
        codings=interviews.rows,
        interviews=interviews.people,
        roster=roster,
        flow=_flow(study, cohort_id, roster, responses, cleaned),
        sources=cleaned,
        kept_records=further | {"quotations": (interviews.quotations, QUOTATIONS)},
    )


def source_labels(cohort: Cohort) -> dict[str, Source]:
    """Name of each source in the tables: its file, with the wave where one file serves several waves."""
    files = Counter(s.file for s in cohort.sources)
    labels = {s.file if files[s.file] == 1 else f"{s.file} ({s.wave})": s for s in cohort.sources}
    if len(labels) != len(cohort.sources):
        raise Refusal(
            f"cohort {cohort.id} lists one file twice for the same wave; remove one of the [[sources]]"
        )
    return labels


def _relabelled(export: Export, label: str) -> Export:
    if label == export.source:
        return export
    cells, set_aside = export.cells.assign(source=label), export.set_aside.assign(source=label)
    return replace(export, source=label, cells=cells, set_aside=set_aside)


def _table(path: Path) -> pd.DataFrame:
    """A small table of the programme's own as strings; none of its rows may be unreadable."""
    export = read(path)
    ragged = export.set_aside[export.set_aside["reason"] != "empty row"]
    if len(ragged):
        raise Refusal(f"{path.name}: {len(ragged)} rows cannot be read (first: row {ragged.iloc[0]['row']}, "
                      f"{ragged.iloc[0]['reason']}); correct them")
    return wide(export.cells)


def _corrections(cohort: Cohort) -> pd.DataFrame | None:
    if not cohort.corrections.is_file():
        return None
    return pd.read_csv(cohort.corrections, dtype=str, keep_default_na=False, encoding="utf-8-sig")


def _judge_across(cleaned: dict[str, Cleaned], exports: dict[str, Export], labels: dict[str, Source],
                  study: Study) -> dict[str, Cleaned]:
    """Set aside rows that only a look at all sources can judge: doubles across files, post before pre."""
    kept = pd.concat([c.rows[c.rows["fate"] == "kept"].assign(label=label, wave=labels[label].wave)
                      for label, c in cleaned.items()], ignore_index=True)
    if not len(kept):
        return cleaned
    verdicts = _doubles_across(kept, exports)
    judged = {(label, row) for label, row, _, _ in verdicts}
    single = kept[[(label, row) not in judged for label, row in zip(kept["label"], kept["row"], strict=True)]]
    verdicts += _wrong_order(single, study)
    return {
        label: _judged(c, [v[1:] for v in verdicts if v[0] == label], label) for label, c in cleaned.items()
    }


def _doubles_across(kept: pd.DataFrame, exports: dict[str, Export]) -> list[tuple[str, int, str, str]]:
    """(source, row, fate, reason) of rows of a person whom several files of one wave name."""
    verdicts = []
    several = kept[kept.duplicated(["wave", "person"], keep=False)]
    for (_, person), rows in several.groupby(["wave", "person"], sort=False):
        contents = [_content(exports[r.label], r.row) for r in rows.itertuples()]
        same = all(c == contents[0] for c in contents)
        where = ", ".join(f"{r.label} row {r.row}" for r in rows.itertuples())
        reason = f"same person twice: {where} are of {person} and differ; drop one in the corrections file"
        verdicts += [(r.label, r.row, "exact duplicate" if same else "quarantined", reason)
                     for r in rows.iloc[1 if same else 0:].itertuples()]
    return verdicts


def _wrong_order(kept: pd.DataFrame, study: Study) -> list[tuple[str, int, str, str]]:
    """(source, row, fate, reason) of rows answered before the same person's row of an earlier wave."""
    verdicts = []
    dated = kept[
        (kept["when"] != "") & ~kept["wave"].map(lambda w: study.waves[w].retrospective).astype(bool)
    ]
    for person, rows in dated[dated.duplicated("person", keep=False)].groupby("person", sort=False):
        found = [(study.waves[r.wave].month, as_when(r.when), r) for r in rows.itertuples()]
        for month, when, late in found:
            early = next((e for m, w, e in found if m < month and when.before(w)), None)
            if early is not None:
                verdicts.append(
                    (
                        late.label,
                        late.row,
                        "quarantined",
                        (
                            f"wrong order: {person} answered {late.wave} on {late.when[:10]}, before"
                            f" {early.wave} on {early.when[:10]}; correct the date that is wrong"
                        ),
                    )
                )
    return verdicts


def _content(export: Export, row: int) -> dict[str, str]:
    part = export.cells[export.cells["row"] == row]
    return dict(zip(part["column"], part["value"], strict=True))


def _judged(cleaned: Cleaned, verdicts: list[tuple[int, str, str]], label: str) -> Cleaned:
    """The result with further rows set aside or dropped; its counts are checked again."""
    if not verdicts:
        return cleaned
    fate_of = {row: fate for row, fate, _ in verdicts}
    rows = cleaned.rows.assign(fate=cleaned.rows["row"].map(fate_of).fillna(cleaned.rows["fate"]))
    people = set(rows.loc[rows["row"].isin(fate_of), "person"])
    aside = make([{"source": label, "row": row, "reason": reason} for row, fate, reason in verdicts
                  if fate == "quarantined"], QUARANTINE)
    quarantine = stack([cleaned.quarantine, aside], QUARANTINE)
    before, fates = cleaned.accounting, rows["fate"].value_counts()
    accounting = account(before["rows_in"], int(fates.get("kept", 0)), len(quarantine),
                         int(fates.get("exact duplicate", 0)), before["rows_of_other_instruments"], label)
    return replace(
        cleaned, rows=rows, quarantine=quarantine, accounting=accounting,
        responses=cleaned.responses[~cleaned.responses["person"].isin(people)].reset_index(drop=True),
        flags=cleaned.flags[~cleaned.flags["row"].isin(fate_of)].reset_index(drop=True),
        outcome="quarantine" if len(quarantine) else "repaired",
    )


def _fates_in_words(cleaned: dict[str, Cleaned]) -> str:
    return "; ".join(
        f"{label}: " + ", ".join(f"{n} {fate}" for fate, n in c.rows["fate"].value_counts().items())
        for label, c in cleaned.items()
    )


def _wave_warnings(responses: pd.DataFrame, study: Study) -> list[str]:
    waves = set(responses["wave"])
    if len(waves) == 1 and len(study.waves) > 1:
        return [
            f"only wave '{waves.pop()}' has usable answers; changes between waves are not applicable to this"
            " cohort yet"
        ]
    return []


def _further(
    study: Study, cohort: Cohort, roster: pd.DataFrame | None
) -> dict[str, tuple[pd.DataFrame, Shape]]:
    """Consent to quoting, topics of the forum, the coders' joint decisions and the passages cleared for print."""
    raw, made = study.raw(cohort.id), {"consent": make([], CONSENT), "topics": make([], TOPICS)}
    if cohort.consent:
        made["consent"] = check_consent(
            _table(raw / cohort.consent), cohort_id=cohort.id, roster=roster, source=cohort.consent
        )
    if cohort.topics:
        made["topics"] = check_topics(_table(raw / cohort.topics), cohort_id=cohort.id, source=cohort.topics)
    decisions = optional(
        cohort.reconciled, RECONCILED, check_reconciled, cohort_id=cohort.id, themes=study.themes
    )
    cleared = optional(cohort.quotes, RELEASED_QUOTES, check_released_quotes, cohort_id=cohort.id)
    return {"consent": (made["consent"], CONSENT), "topics": (made["topics"], TOPICS),
            "reconciled": (decisions, RECONCILED), "released_quotes": (cleared, RELEASED_QUOTES)}


def _records(
    study: Study, cohort: Cohort, roster: pd.DataFrame | None, consent: pd.DataFrame
) -> tuple[Records, Records]:
    """Events and interviews, empty where the cohort declares none."""
    raw = study.raw(cohort.id)
    nothing = account(0, 0, 0, 0, 0, "")
    events = Records(make([], EVENTS), make([], QUARANTINE), nothing)
    interviews = Records(make([], CODINGS), make([], QUARANTINE), nothing,
                         people=pd.DataFrame(columns=["interview", "person", "role"], dtype="str"),
                         quotations=make([], QUOTATIONS))
    if cohort.events:
        events = _with_unread(read(raw / cohort.events), lambda t: check_events(
            t, cohort_id=cohort.id, roster=roster, source=cohort.events))
    if cohort.interviews:
        file = raw / cohort.interviews
        coded = read_qdpx(file, study.themes) if file.suffix.lower() == ".qdpx" else read(file)
        interviews = _with_unread(
            coded,
            lambda t: check_interviews(
                t,
                cohort_id=cohort.id,
                roster=roster,
                themes=study.themes,
                source=cohort.interviews,
                consent=consent,
            ),
        )
    return events, interviews


def _with_unread(export: Export, check) -> Records:
    """A checked table whose quarantine and counts include the rows the reader could not read."""
    found = check(wide(export.cells))
    counts = found.accounting
    quarantine = stack([export.set_aside, found.quarantine], QUARANTINE)
    accounting = account(
        export.rows,
        counts["rows_out"],
        len(quarantine),
        counts["rows_dropped_as_exact_duplicates"],
        counts["rows_of_other_instruments"],
        export.source,
    )
    return replace(
        found, quarantine=quarantine, accounting=accounting, warnings=(*export.warnings, *found.warnings)
    )


# ------------------------------------------------------------------------------------- the flow

def _flow(study: Study, cohort_id: str, roster: pd.DataFrame | None, responses: pd.DataFrame,
          cleaned: dict[str, Cleaned]) -> pd.DataFrame:
    """COUNTS of people at each stage and of rows per source; each group adds up, which is checked."""
    counts = [*_people_flow(study, roster, responses)]
    for label, result in cleaned.items():
        counts += _row_flow(label, result)
    return make([{"cohort": cohort_id, "analysis": "flow", "category": category, "n": n, "of": of}
                 for category, n, of in counts], COUNTS)


def _people_flow(
    study: Study, roster: pd.DataFrame | None, responses: pd.DataFrame
) -> list[tuple[str, int, int]]:
    answered = responses[responses["value"].notna()]
    on = {
        w: set(answered.loc[answered["wave"] == w, "person"])
        for w in study.waves
        if w in set(responses["wave"])
    }
    everyone = set(responses["person"]) if roster is None else set(roster["person"])
    total = len(everyone)
    counts = [("on the roster" if roster is not None else "seen in the exports", total, total)]
    if roster is not None:
        counts += [
            (f"on the roster|{role}", int((roster["role"] == role).sum()), total) for role in study.roles
        ]
        if study.roles:
            _adds_up("the roster by role", total, [n for _, n, _ in counts[1:]])
        counts.append(("withdrew", int((roster["withdrawn"] != "").sum()), total))
    for wave, people in on.items():
        counts += [
            (f"answered|{wave}", len(people), total),
            (f"did not answer|{wave}", len(everyone - people), total),
        ]
        _adds_up(f"wave {wave}", total, [len(people), len(everyone - people)])
    every = set.intersection(*on.values()) if on else set()
    counts.append(("answered every wave", len(every), total))
    if roster is not None and study.paired:
        pairs = roster[roster["pair"] != ""].groupby("pair")["person"].agg(set)
        complete = sum(members <= every for members in pairs)
        counts += [("pairs", len(pairs), len(pairs)), ("complete pairs", complete, len(pairs))]
    return counts


def _row_flow(label: str, result: Cleaned) -> list[tuple[str, int, int]]:
    reasons = Counter(r.split(":")[0] for r in result.quarantine["reason"])
    counts, total = result.accounting, result.accounting["rows_in"]
    parts = [(f"rows|{label}|exact duplicates", counts["rows_dropped_as_exact_duplicates"], total),
             (f"rows|{label}|of other instruments", counts["rows_of_other_instruments"], total),
             *((f"rows|{label}|quarantined|{reason}", n, total) for reason, n in sorted(reasons.items())),
             (f"rows|{label}|kept", counts["rows_out"], total)]
    _adds_up(label, total, [n for _, n, _ in parts])
    return [(f"rows|{label}|received", total, total), *parts]


def _adds_up(what: str, total: int, parts: list[int]) -> None:
    if sum(parts) != total:
        raise Refusal(f"the flow of {what} does not add up: {' + '.join(map(str, parts))} is not {total}; "
                      "this is a fault of the program, please report it")


# ------------------------------------------------------------------------------------- the schema

def validate(frame: pd.DataFrame, shape: Shape, *, study: Study) -> pd.DataFrame:
    """Check a cleaned table against its declared schema; nothing is changed and no row dropped.

    Responses: known waves, roles and items, values within the item's codes, one row per person, wave and
    item. Events: known kinds, minutes of 0 or more. Codings: known themes.

    Raises
    ------
    Refusal
        With every failure.
    """
    import pandera.pandas as pa

    frame = conform(frame, shape)
    try:
        _schema(shape, study).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases.groupby(["column", "check"], sort=False, dropna=False)
        faults = [f"{column}: {check} ({len(part)} rows, first: row {part['index'].iloc[0]}, "
                  f"'{part['failure_case'].iloc[0]}')" for (column, check), part in cases]
        raise Refusal(f"the {shape.name} table breaks its schema in {len(faults)} ways: {'; '.join(faults)}; "
                      "correct the rows in data_raw or the corrections file and clean again") from error
    return frame


def _schema(shape: Shape, study: Study):
    """The pandera schema of one cleaned table."""
    import pandera.pandas as pa

    instrument = study.instrument
    if shape is RESPONSES:
        codes = {i.id: instrument.response_sets[i.responses].codes for i in instrument.items.values()}

        def within(table: pd.DataFrame) -> pd.Series:
            pairs = {(item, code) for item, values in codes.items() for code in values}
            return pd.Series(
                [pd.isna(v) or (i, v) in pairs for i, v in zip(table["item"], table["value"], strict=True)],
                index=table.index,
            )

        return pa.DataFrameSchema(
            {
                "person": pa.Column(checks=pa.Check.str_length(min_value=1)),
                "wave": pa.Column(checks=pa.Check.isin(list(study.waves))),
                "role": pa.Column(checks=pa.Check.isin(["", *study.roles])),
                "item": pa.Column(checks=pa.Check.isin(list(instrument.items))),
                "value": pa.Column(float, nullable=True),
            },
            checks=pa.Check(
                within, name="value is one of the item's codes", error="value is one of the item's codes"
            ),
            unique=["cohort", "person", "wave", "item"],
        )
    if shape is EVENTS:
        return pa.DataFrameSchema({
            "kind": pa.Column(checks=pa.Check(lambda k: k.split("_")[0] in KINDS, element_wise=True,
                                              error=f"kind is one of {', '.join(KINDS)}")),
            "minutes": pa.Column(float, nullable=True, checks=pa.Check.ge(0)),
        })
    if shape is CODINGS:
        return pa.DataFrameSchema({"theme": pa.Column(checks=pa.Check.isin(["", *study.themes]))})
    raise Refusal(f"there is no schema for the {shape.name} table; use responses, events or codings")
