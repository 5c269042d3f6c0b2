"""What one file seems to be: its format, its wave, the column of each item, of the person, consent and date.

A proposal is for a person to look at; cleaning uses only what the cohort file declares.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from .answers import read_dates
from .exports import Column
from .frames import Refusal
from .matching import PERSON_NAMES, fold, header_words, match_people, nearest, plan_columns, question_forms
from .read import Export, read
from .study import Instrument, Source, Study

MATCHING_IDS = 0.5  # share of a column's values that are on the roster, from which it is taken for the person's id
SUGGESTED = 3  # columns named where none could be taken
FEW_ANSWERS = 10  # different answers that a consent question may have
FIRST_WAVE = ("pre", "before", "baseline", "t0", "start")
LAST_WAVE = ("post", "after", "followup", "final", "end")
OWN_TABLES = {  # columns by which a table that the programme keeps itself is known
    "events": ({"kind", "date"},),
    "interviews": ({"interview", "segment", "coder"},),
    "codebook": ({"column", "value", "label"}, {"variable / field name", "field type"}),
    "consent": ({"person", "scope"},),
    "topics": ({"topic", "status"},),
    "roster": ({"person", "role"}, {"person", "pair"}),
}
_CONSENT = re.compile(r"\bconsent\b|agree to take part|willing to take part|agree to participate")
_REFUSED = re.compile(r"(no\b|not\b|i do not|i don't|disagree|declin|0$|false$|unchecked)")
_PERSON_WORDS = re.compile(r"\b(participant|study|personal|identification)\b.*\b(code|id|number)\b|\byour code\b|\bpseudonym\b")
_DATE_WORDS = re.compile(r"\bdate\b|\bcompleted\b|\bsubmitted\b|\btime ?stamp\b|\bfinished at\b")
_NEVER_A_COLUMN = "\x00"


@dataclass(frozen=True)
class Proposal:
    """One export as one wave of the study; `how` says of each guess what it rests on."""

    export: Export
    source: Source
    matches: dict[str, tuple[str, str]]
    missing: dict[str, str]
    unknown: tuple[str, ...]
    how: dict[str, str] = field(default_factory=dict)


def look(path: Path, study: Study) -> Export:
    """Read a file of which nothing is declared; its header may be that of any wave."""
    return read(path, expected=frozenset().union(*(header_words(study.instrument, w) for w in study.waves)))


def own_table(export: Export, study: Study) -> str:
    """Which of OWN_TABLES it is where the columns say so and none holds an item, else ''."""
    names = {fold(c.name) for c in export.columns}
    kind = next((kind for kind, wanted in OWN_TABLES.items() if any(w <= names for w in wanted)), "")
    return "" if any(items_found(export, study.instrument, w) for w in study.waves) else kind


def items_found(export: Export, instrument: Instrument, wave: str) -> dict[str, tuple[str, str]]:
    """Item -> (column, what identified it), of every item of the instrument that the export's columns name.

    Each item is looked for by itself, so that a missing or doubtful one does not hide the others.
    """
    found = {}
    columns = (*export.columns, Column(_NEVER_A_COLUMN, "", {}, {}))
    source = Source(export.source, wave, _NEVER_A_COLUMN)
    for item in instrument.items.values():
        alone = replace(instrument, items={item.id: replace(item, waves=())})
        try:
            plan = plan_columns(columns, alone, source, known=export.known, administrative=export.administrative,
                                texts_must_agree=export.format == "qualtrics")
        except Refusal:
            continue
        found[item.id] = (plan.items[0].column, plan.items[0].how)
    return found


def propose(export: Export, study: Study, *, roster: pd.DataFrame | None = None, wave: str = "") -> tuple[Proposal, ...]:
    """What an export seems to be: one proposal, or one per wave where its columns hold several.

    Parameters
    ----------
    export
        As `read` gives it.
    roster
        Column person; ids found in the export are compared with it.
    wave
        Taken as given where it is known.

    Raises
    ------
    Refusal
        When the given wave is not one of the study's.
    """
    if wave and wave not in study.waves:
        raise Refusal(f"'{wave}' is not a wave of this study; its waves are {', '.join(study.waves)}")
    found = {w: items_found(export, study.instrument, w) for w in study.waves}
    waves = {wave: "as given"} if wave else _waves(export.source, study, found)
    return tuple(_proposal(export, study, w, sure, found[w], roster) for w, sure in waves.items())


def _waves(file: str, study: Study, found: dict[str, dict]) -> dict[str, str]:
    """Wave -> how sure, of the wave (or waves) whose items the export holds."""
    asked = {w: {i.id for i in study.instrument.asked_at(w)} for w in study.waves}
    fit = {w: (len(asked[w] & set(found[w])) - len(set(found[w]) - asked[w])) / max(len(asked[w]), 1) for w in study.waves}
    best = [w for w in study.waves if fit[w] == max(fit.values())]
    named = wave_in_name(file, study)
    by_items = f"{len(asked[best[0]] & set(found[best[0]]))} of its {len(asked[best[0]])} items"
    if len(best) == 1 and named in ("", best[0]):
        return {best[0]: f"{'sure' if named else 'likely'}: {by_items}{' and the file name' if named else ''}"}
    if len(best) == 1:
        return {best[0]: f"unsure: it has {by_items}, but the file name says {named}"}
    if named in best:
        return {named: f"likely: the file name; {' and '.join(best)} ask the same items"}
    columns = [frozenset(c for c, _ in found[w].values()) for w in best]
    if all(columns) and len(set(columns)) == len(best):
        return {w: "likely: the file holds columns of its own for each wave" for w in best}
    return {best[0]: f"unsure: {' and '.join(best)} ask the same items and the file name says nothing; set wave"}


def wave_in_name(file: str, study: Study) -> str:
    """The one wave that a file name names, by its id, its label or a usual word; '' for none or several."""
    words = set(re.split(r"[^a-z0-9]+", fold(Path(file).stem)))
    order = sorted(study.waves.values(), key=lambda w: w.month)
    usual = {order[0].id: set(FIRST_WAVE), order[-1].id: set(LAST_WAVE)} if len(order) > 1 else {}
    hits = [w.id for w in order if words & ({fold(w.id), fold(w.label)} | usual.get(w.id, set()))]
    return hits[0] if len(hits) == 1 else ""


def _proposal(export: Export, study: Study, wave: str, sure: str, found: dict, roster) -> Proposal:
    asked = {i.id: i for i in study.instrument.asked_at(wave)}
    shared = {column for column, times in Counter(c for i, (c, _) in found.items() if i in asked).items() if times > 1}
    matches = {i: m for i, m in found.items() if i in asked and m[0] not in shared}
    taken = {column for column, _ in found.values()} | set(export.administrative) | set(export.known.values())
    free = [c for c in export.columns if c.name not in taken]
    person, by_person = _person(export, free, roster)
    consent, given = _consent(export, [c for c in free if c.name != person])
    completed, by_date = _completed(export, [c for c in free if c.name not in (person, consent)], study.timezone)
    left = [c for c in free if c.name not in (person, consent, completed)]
    missing = {i: found[i][0] if i in found else _nearest_column(asked[i].text, left) for i in asked if i not in matches}
    source = Source(
        export.source, wave, person, format=export.format, completed=completed, consent=consent, consent_given=given,
    )
    how = {"wave": sure, "person": by_person, "completed": by_date,
           "consent": f"a question of consent; answers that give it: {', '.join(given)}" if consent else "no column asks for consent"}
    return Proposal(export, source, matches, missing, tuple(c.name for c in left), how)


def _values(export: Export, column: str) -> list[str]:
    cells = export.cells
    return [v for v in cells.loc[cells["column"] == column, "value"] if v.strip()]


def _person(export: Export, free: list[Column], roster: pd.DataFrame | None) -> tuple[str, str]:
    if roster is not None:
        shares = {c.name: _share_on(roster, _values(export, c.name)) for c in free}
        best = max(shares, key=shares.get, default="")
        if best and shares[best] >= MATCHING_IDS:
            return best, f"{shares[best]:.0%} of its ids are on the roster"
    named = [c.name for c in free if {fold(c.name), fold(c.text)} & set(PERSON_NAMES)]
    if len(named) != 1:
        named = [c.name for c in free if any(_PERSON_WORDS.search(fold(t)) for t in (c.name, c.text))]
    if len(named) == 1:
        return named[0], "its name; look whether its values are the ids"
    differ = [c.name for c in free if (v := _values(export, c.name)) and len(set(v)) == len(v) == export.rows]
    close = f"; different in every row: {', '.join(differ[:SUGGESTED])}" if differ else ""
    return "", f"{len(named)} columns are called like an id; name the one that holds it{close}"


def _share_on(roster: pd.DataFrame, values: Iterable[str]) -> float:
    values = list(values)
    found = match_people(set(values), roster["person"])
    return sum(not found[v].problem for v in values) / len(values) if values else 0.0


def _consent(export: Export, free: list[Column]) -> tuple[str, tuple[str, ...]]:
    for column in free:
        if _CONSENT.search(fold(f"{column.name} {column.text}")):
            answers = pd.Series(_values(export, column.name), dtype=object).str.strip().value_counts()
            given = tuple(a for a in answers.index if not _REFUSED.match(fold(a)))
            if given and len(answers) <= FEW_ANSWERS:
                return column.name, given
    return "", ()


def _completed(export: Export, free: list[Column], timezone: str) -> tuple[str, str]:
    """The column of answer dates; '' where the platform's own serves, or none is found."""
    if own := export.known.get("completed"):
        return "", f"the platform's own column '{own}'"
    for column in free:
        values = _values(export, column.name)
        if values and any(_DATE_WORDS.search(fold(t)) for t in (column.name, column.text)):
            try:
                read = read_dates(values, timezone=timezone, day_first=None, format=export.format)
            except Refusal:
                return column.name, "its name; day and month cannot be told apart: set day_first"
            if sum(read[v] is not None for v in values) > len(values) / 2:
                return column.name, "its name, and its values are dates"
    return "", "no column of dates was found; withdrawal and order of waves cannot be checked"


def _nearest_column(text: str, columns: list[Column]) -> str:
    """The unused column whose text resembles an item's; a suggestion."""
    named = {form: c.name for c in columns for form in question_forms(c.text or c.name)[1]}
    close = nearest(text, named, count=1)
    return named[close[0]] if close else ""
