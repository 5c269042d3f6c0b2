"""The rules of cleaning: what is proposed, in which order, and the one function that changes a cell.

A rule is ``rule(cells, context) -> edits`` and changes nothing; a decision is
``decision(cells, context) -> rows to set aside``. `RULES` and `DECISIONS` are tuples whose order is the
protocol. `apply` alone changes data, and `restore` undoes what it did.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .answers import Reading, When, read_answer, read_dates
from .frames import AUDIT, CELLS, QUARANTINE, Refusal, Shape, make
from .matching import ColumnPlan, Match, People, fold, person_key
from .read import Export
from .study import Instrument, ResponseSet, Role, Source

WHOLE_ROW = "(row)"  # a correction of this column with new = "drop" sets the row aside
READING_RULES = {
    "label": "label",
    "spelling": "spelling",
    "alias": "alias",
    "number": "code",
    "option": "option",
    "code": "code",
    "codebook": "codebook",
}
BARE = ("number", "option")  # kinds of answers that do not say by themselves which end of the scale is 1
PREVIEWS = frozenset({"1", "2", "9", "17"})  # Qualtrics: preview, test, and both as spam or offline
EMPTY = {shape.name: make([], shape) for shape in (AUDIT, QUARANTINE)}
TEST_IDS = frozenset({"test", "testtest", "testing", "tester", "preview"})
ROSTER_PART = {"role": "role", "pair": "listed_pair"}
REPEAT_COLUMNS = frozenset({"redcap_repeat_instrument", "repeat instrument"})
_NO_LETTER = re.compile(r"[\W\d_]+")
_ARM = re.compile(r"_arm_\d+\Z| \(arm \d.*\Z")


@dataclass(frozen=True)
class Context:
    """What the rules may know about one export besides its cells.

    `earlier` gives the moment at which a person answered an earlier wave, as ISO text.
    """

    export: Export
    source: Source
    instrument: Instrument
    plan: ColumnPlan
    corrections: pd.DataFrame
    roster: pd.DataFrame | None
    roles: dict[str, Role]
    timezone: str
    today: dt.date
    people: People
    earlier: dict[str, str] = field(default_factory=dict)
    _readings: dict[str, dict[str, Reading]] = field(default_factory=dict)
    _columns: dict[str, object] = field(default_factory=dict)

    def cases(self, cells: pd.DataFrame, column: str) -> Cases:
        """One column of the cells with its different texts, found once for one state of the cells."""
        if self._columns.get("") is not cells:
            self._columns.clear()
            self._columns[""] = cells
        if column not in self._columns:
            self._columns[column] = cases_of(cells, column)
        return self._columns[column]

    def reader(self, match: Match) -> Callable[[str], Reading]:
        """What a cell of an item's column means; each different text is read once."""
        known = self._readings.setdefault(match.item, {})
        spec = next(c for c in self.export.columns if c.name == match.column)
        responses = response_set(self, match.item)
        comma = (self.export.delimiter or self.source.delimiter) == ";"

        def meaning(text: str) -> Reading:
            if text not in known:
                known[text] = read_answer(
                    text, responses, labels=spec.labels, missing=spec.missing, decimal_comma=comma,
                    limesurvey=self.export.format == "limesurvey", turned=self.source.codes == "reversed")
            return known[text]

        return meaning

    @property
    def label(self) -> str:
        """Name of the source in every table."""
        return self.export.source


# ------------------------------------------------------------------------------------ changing cells

def apply(cells: pd.DataFrame, edits: pd.DataFrame) -> pd.DataFrame:
    """The cells with the edits made, in their order.

    Raises
    ------
    Refusal
        When an edit names a cell that is not there, or its `old` is not what the cell holds.

    Examples
    --------
    >>> cells = make([{"source": "a.csv", "row": 1, "column": "q1", "value": "6"}], CELLS)
    >>> edit = make([{"source": "a.csv", "row": 1, "column": "q1", "rule": "correction", "old": "6",
    ...               "new": "5"}], AUDIT)
    >>> apply(cells, edit)["value"].tolist(), restore(apply(cells, edit), edit).equals(cells)
    (['5'], True)
    """
    if not len(edits):
        return cells
    values = cells["value"].to_numpy(dtype=object, copy=True)
    rows, old, new = (
        edits[c].to_numpy(dtype="int64" if c == "row" else object) for c in ("row", "old", "new")
    )
    for (source, column), members in edits.groupby(["source", "column"], sort=False).indices.items():
        places = _places(cells, str(source), str(column), rows[members], edits["rule"].iat[int(members[0])])
        for turn in _turns(places):
            held, wanted = values[places[turn]], old[members[turn]]
            stale = np.flatnonzero(held != wanted)
            if len(stale):
                at = members[turn][stale[0]]
                raise Refusal(
                    f"{len(stale)} of {len(edits)} edits do not fit their cells (first: {source}, row"
                    f" {rows[at]}, column '{column}' holds '{held[stale[0]]}', the"
                    f" {edits['rule'].iat[int(at)]} expects '{old[at]}'); the export has changed since: look"
                    " at the row, then update or remove the correction"
                )
            values[places[turn]] = new[members[turn]]
    return cells.assign(value=pd.Series(values, index=cells.index, dtype=cells["value"].dtype))


def _turns(places: np.ndarray) -> list[np.ndarray]:
    """Indices of edits in rounds, so that no round changes one cell twice."""
    if len(np.unique(places)) == len(places):
        return [np.arange(len(places))]
    turn = pd.Series(places).groupby(places).cumcount().to_numpy()
    return [np.flatnonzero(turn == number) for number in range(turn.max() + 1)]


def restore(cells: pd.DataFrame, audit: pd.DataFrame) -> pd.DataFrame:
    """The raw cells: the audit undone, from its last edit to its first."""
    undo = audit.iloc[::-1]
    return apply(cells, undo.assign(old=undo["new"], new=undo["old"]))


def _places(cells: pd.DataFrame, source: str, column: str, wanted: np.ndarray, rule: str) -> np.ndarray:
    """Place in the table of the cells that edits of one column name."""
    at = _where_column(cells, column)
    at = at[(cells["source"].iloc[at] == source).to_numpy(dtype=bool)]
    rows = cells["row"].to_numpy(dtype="int64")[at]
    order = np.argsort(rows, kind="stable")
    at, rows = at[order], rows[order]
    place = (
        np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
        if len(rows)
        else np.zeros(len(wanted), dtype=int)
    )
    found = rows[place] == wanted if len(rows) else np.zeros(len(wanted), dtype=bool)
    if not found.all():
        raise Refusal(
            f"{source}: there is no cell in row {wanted[~found][0]}, column '{column}' ({rule}); check the"
            " row number (data rows count from 1) and the column's name"
        )
    return at[place]


def column_of(cells: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers and values of one column."""
    at = _where_column(cells, name)
    return cells["row"].to_numpy(dtype="int64")[at], cells["value"].to_numpy(dtype=object)[at]


def _where_column(cells: pd.DataFrame, name: str) -> np.ndarray:
    columns = pd.Categorical(cells["column"])
    if name not in columns.categories:
        return np.array([], dtype="int64")
    return np.flatnonzero(columns.codes == columns.categories.get_loc(name))


@dataclass(frozen=True)
class Cases:
    """One column: row numbers, values, its different texts and which of them each row holds."""

    rows: np.ndarray
    values: np.ndarray
    texts: np.ndarray
    which: np.ndarray

    def each(self, function: Callable[[str], object], dtype=object) -> np.ndarray:
        """`function` of every value; computed once per different text."""
        found = np.empty(len(self.texts), dtype=dtype)
        for place, text in enumerate(self.texts):
            found[place] = function(text)
        return found[self.which]

    def where(self, test: Callable[[str], bool]) -> np.ndarray:
        """Which rows hold a text that passes."""
        return self.each(test, bool)


def cases_of(cells: pd.DataFrame, name: str) -> Cases:
    """One column with its different texts."""
    rows, values = column_of(cells, name)
    which, texts = pd.factorize(values)
    return Cases(rows, values, np.asarray(texts, dtype=object), which)


def _edits(context: Context, column: str, rows, rule, old, new, reason) -> pd.DataFrame:
    if not len(rows):
        return EMPTY[AUDIT.name]
    return pd.DataFrame(
        {
            "source": context.label,
            "row": rows,
            "column": column,
            "rule": rule,
            "old": old,
            "new": new,
            "reason": reason,
        }
    )


def gather(parts: list[pd.DataFrame], shape: Shape) -> pd.DataFrame:
    parts = [p for p in parts if len(p)]
    return pd.concat(parts, ignore_index=True) if parts else EMPTY[shape.name].copy()


# ----------------------------------------------------------------------------------------- the rules

def correct(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Corrections that a researcher wrote down, with who and why."""
    own = context.corrections[context.corrections["column"] != WHOLE_ROW]
    parts = [
        _edits(context, c.column, [c.row], "correction", c.old, c.new, f"{c.reason} ({c.by})")
        for c in own.itertuples()
    ]
    return gather(parts, AUDIT)


def empty_missing_words(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Words declared to mean a missing answer become empty and keep their reason."""
    parts = []
    for match in context.plan.items:
        cases, meaning = context.cases(cells, match.column), context.reader(match)
        hit = cases.where(lambda t, m=meaning: bool(t) and m(t).kind in ("missing", "blank"))
        reasons = cases.each(lambda t, m=meaning: m(t).reason or "blank")
        parts.append(
            _edits(
                context, match.column, cases.rows[hit], "missing_word", cases.values[hit], "", reasons[hit]
            )
        )
    return gather(parts, AUDIT)


def spell_people(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Ids in the roster's spelling, where exactly one entry is meant; without a roster in normal form."""
    cases = cases_of(cells, context.plan.person)
    new = cases.each(lambda t: context.people[t].person or t)
    hit = new != cases.values
    rule, reason = (
        ("person_key", "the id without case, punctuation and leading zeros")
        if context.roster is None
        else ("person_id", "the same id, spelled as on the roster")
    )
    return _edits(context, context.plan.person, cases.rows[hit], rule, cases.values[hit], new[hit], reason)


def spell_dates(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Answer dates in ISO form, in the time zone of the export or the cohort."""
    cases = cases_of(cells, context.plan.completed)
    dates = _dates(cases.texts, context)
    new = cases.each(lambda t: dates[t].text if dates.get(t) else t)
    hit = new != cases.values
    return _edits(context, context.plan.completed, cases.rows[hit], "date", cases.values[hit], new[hit],
                  f"read in {context.timezone}")


def code_answers(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Answers as their codes, in the instrument's direction.

    Raises
    ------
    Refusal
        When there are bare numbers and nothing says which end is which.
    """
    _refuse_unknown_direction(cells, context)
    turned = context.source.codes == "reversed"
    parts = []
    for match in context.plan.items:
        cases, meaning = context.cases(cells, match.column), context.reader(match)
        codes = response_set(context, match.item).codes
        opposite = dict(zip(codes, codes[::-1], strict=True))
        new, rule = {}, {}
        for text in cases.texts:
            reading = meaning(text)
            if reading.code is not None:
                flip = turned and reading.kind in BARE
                new[text] = str(opposite[reading.code] if flip else reading.code)
                rule[text] = "reversed" if flip else READING_RULES[reading.kind]
        coded = cases.each(lambda t, n=new: n.get(t, t))
        hit = coded != cases.values
        parts.append(
            _edits(
                context,
                match.column,
                cases.rows[hit],
                cases.each(lambda t, r=rule: r.get(t, ""))[hit],
                cases.values[hit],
                coded[hit],
                f"answer of {match.item}",
            )
        )
    return gather(parts, AUDIT)


RULES = (correct, empty_missing_words, spell_people, spell_dates, code_answers)


def response_set(context: Context, item: str) -> ResponseSet:
    """The answers an item allows."""
    return context.instrument.response_sets[context.instrument.items[item].responses]


def _dates(values, context: Context) -> dict[str, When | None]:
    try:
        return read_dates(values, timezone=context.timezone, day_first=context.source.day_first,
                          format=context.export.format)
    except Refusal as error:
        raise Refusal(f"{context.label}: column '{context.plan.completed}': {error}") from error


def _kinds(cells: pd.DataFrame, context: Context, match: Match) -> tuple[Cases, dict[str, Reading]]:
    cases, meaning = context.cases(cells, match.column), context.reader(match)
    return cases, {t: meaning(t) for t in cases.texts}


def numbers_among_labels(cells: pd.DataFrame, context: Context) -> list[str]:
    """Warnings about columns of labels in which some cells are bare numbers, whose direction is assumed."""
    found = []
    if context.source.codes:
        return found
    shown = _shown_directions(cells, context)
    for match in context.plan.items:
        cases, readings = _kinds(cells, context, match)
        bare = np.flatnonzero(cases.where(lambda t, r=readings: r[t].kind in BARE))
        if len(bare) and context.instrument.items[match.item].responses not in shown:
            found.append(
                f"{len(bare)} of {len(cases.rows)} answers in {match.column} are bare numbers among labels"
                f" (first: row {cases.rows[bare[0]]}, '{cases.values[bare[0]]}'); they were read in the"
                " direction of the instrument; set codes = \"as-instrument\" for this source to confirm it,"
                " or \"reversed\""
            )
    return found


def _shown_directions(cells: pd.DataFrame, context: Context) -> set[str]:
    """Response sets of which some cell gives a number beside its label ('5 - Strongly agree')."""
    return {context.instrument.items[m.item].responses for m in context.plan.items
            if any(r.direction for r in _kinds(cells, context, m)[1].values())}


def _refuse_contradiction(context: Context) -> None:
    """The declared direction must not be the opposite of what the export's own codebook says."""
    columns = {c.name: c for c in context.export.columns}
    for match in context.plan.items:
        responses, labels = response_set(context, match.item), columns[match.column].labels
        opposite = dict(zip(responses.codes, responses.codes[::-1], strict=True))
        code_of = {fold(label): code for label, code in zip(responses.labels, responses.codes, strict=True)}
        said = [
            (int(n), code_of[fold(label)])
            for n, label in labels.items()
            if n.lstrip("-").isdecimal() and fold(label) in code_of
        ]
        telling = [(n, code) for n, code in said if n in opposite and opposite[n] != n]
        runs = {
            "as-instrument" if n == code else "reversed" if opposite[n] == code else "" for n, code in telling
        }
        if runs and context.source.codes not in runs and "" not in runs:
            n, code = telling[0]
            raise Refusal(
                f"{context.label}: codes = \"{context.source.codes}\" is set, but the codebook gives {n} of"
                f" column '{match.column}' the label of code {code} of the instrument; remove one of the two"
            )


def _refuse_unknown_direction(cells: pd.DataFrame, context: Context) -> None:
    """Bare numbers need labels in their column, a codebook, or `codes` that no codebook contradicts."""
    if context.source.codes:
        _refuse_contradiction(context)
        return
    shown = _shown_directions(cells, context)
    count, columns, first = 0, 0, None
    for match in context.plan.items:
        cases, readings = _kinds(cells, context, match)
        labelled = any(r.kind in ("label", "spelling", "alias") for r in readings.values())
        bare = np.flatnonzero(cases.where(lambda t, r=readings: r[t].kind in BARE))
        if len(bare) and not labelled and context.instrument.items[match.item].responses not in shown:
            count, columns = count + len(bare), columns + 1
            first = first or (match.item, cases.rows[bare[0]], cases.values[bare[0]])
    if first:
        item, row, value = first
        raise Refusal(
            f"{context.label}: {count} answers in {columns} columns are bare numbers (first: {item}, row"
            f" {row}, '{value}') and nothing says which end of the scale 1 is; export labels, give a"
            " codebook, or set codes = \"as-instrument\" or \"reversed\" for this source"
        )


# ------------------------------------------------------------------------------------- the decisions

def _aside(context: Context, rows, reason, suggestion="") -> pd.DataFrame:
    if not len(rows):
        return EMPTY[QUARANTINE.name]
    return pd.DataFrame({"source": context.label, "row": rows, "reason": reason, "suggestion": suggestion})


def set_aside_by_correction(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Rows that a correction of the whole row drops."""
    own = context.corrections[context.corrections["column"] == WHOLE_ROW]
    absent = own.loc[~own["row"].isin(cells["row"]), "row"].tolist() if len(own) else []
    if absent:
        raise Refusal(
            f"{context.label}: a correction drops row {absent[0]}, which the export does not have; remove it"
        )
    return _aside(
        context, own["row"].to_numpy(), [f"correction: {c.reason} ({c.by})" for c in own.itertuples()]
    )


def previews_and_tests(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Rows that the survey's makers sent in themselves."""
    qualtrics = context.export.format == "qualtrics"
    status = context.export.known.get("status", "")
    channel = next((c for c in context.export.administrative if fold(c) == "distributionchannel"), "")
    cases = cases_of(cells, status)
    hit = cases.where(lambda t: _is_preview(t) or (qualtrics and t in PREVIEWS))
    parts = [
        _aside(
            context,
            cases.rows[hit],
            [f"preview or test: column '{status}' holds '{v}'" for v in cases.values[hit]],
        )
    ]
    cases = cases_of(cells, channel)
    hit = cases.where(_is_preview)
    parts.append(_aside(context, cases.rows[hit],
                        [f"preview or test: column '{channel}' holds '{v}'" for v in cases.values[hit]]))
    cases = cases_of(cells, context.plan.person)
    known = context.people.by_key or {}
    hit = cases.where(lambda t: _NO_LETTER.sub("", fold(t)) in TEST_IDS and person_key(t) not in known)
    parts.append(
        _aside(context, cases.rows[hit], [f"preview or test: the id is '{v}'" for v in cases.values[hit]])
    )
    return gather(parts, QUARANTINE)


def _is_preview(text: str) -> bool:
    folded = fold(text)
    return "preview" in folded or "test" in re.split(r"[\s_]+", folded)


def no_consent(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Rows whose consent column does not hold one of the declared answers."""
    column = context.plan.consent
    if not column:
        return EMPTY[QUARANTINE.name].copy()
    given = {fold(c) for c in context.source.consent_given}
    if not given:
        raise Refusal(f"{context.label}: a consent column is declared, but not which answers give consent; "
                      'set consent_given = ["..."] for this source')
    cases = cases_of(cells, column)
    hit = cases.where(lambda t: fold(t) not in given)
    return _aside(
        context, cases.rows[hit], [f"no consent: column '{column}' holds '{v}'" for v in cases.values[hit]]
    )


def unknown_people(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Rows whose id means no roster entry, or several."""
    cases, people = cases_of(cells, context.plan.person), context.people
    hit = cases.where(lambda t: bool(people[t].problem))
    return _aside(
        context, cases.rows[hit],
        [f"unknown person: the id '{v}' in column '{context.plan.person}' {people[v].problem}; "
         "correct the cell in the corrections file or complete the roster" for v in cases.values[hit]],
        [people[v].suggestion for v in cases.values[hit]],
    )


def roster_disagreements(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Rows whose role or pair is not what the roster says of the person."""
    if context.roster is None or not (context.plan.role or context.plan.pair):
        return EMPTY[QUARANTINE.name].copy()
    person_of = dict(zip(*column_of(cells, context.plan.person), strict=True))
    role_names = {fold(n): r.id for r in context.roles.values() for n in (r.id, r.label, r.plural)}
    parts = []
    for part, column, key in (
        ("role", context.plan.role, lambda v: role_names.get(fold(v), fold(v))),
        ("pair", context.plan.pair, person_key),
    ):
        on_roster = dict(zip(context.roster["person"], context.roster[ROSTER_PART[part]], strict=True))
        cases = cases_of(cells, column)
        stated = cases.each(lambda v, k=key: k(v) if fold(v) else "")
        said = [
            (r, v, s, on_roster.get(person_of.get(r), ""))
            for r, v, s in zip(cases.rows, cases.values, stated, strict=True)
            if s
        ]
        meant = {on: key(on) for on in {on for *_, on in said}}
        wrong = [(r, v, on) for r, v, s, on in said if on and s != meant[on]]
        parts.append(
            _aside(
                context,
                [r for r, _, _ in wrong],
                [
                    f"roster disagreement: {part} is '{v}', the roster says '{on}' for {person_of[r]}"
                    for r, v, on in wrong
                ],
            )
        )
    return gather(parts, QUARANTINE)


def doubles(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Rows of a person who answered this wave more than once, not byte for byte the same."""
    differing, _ = doubled_rows(cells, context)
    return _aside(
        context,
        [r for group in differing for r in group],
        [
            f"same person twice: rows {', '.join(map(str, group))} are of one person and differ; the"
            f" corrections file can drop one (column {WHOLE_ROW}, new = drop) or correct an id"
            for group in differing
            for _ in group
        ],
    )


def unreadable_answers(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Rows with an answer that is none of the item's.

    Raises
    ------
    Refusal
        When this holds for more than half of an item's answers: the export is shifted or mapped wrongly.
    """
    parts = []
    for match in context.plan.items:
        cases, readings = _kinds(cells, context, match)
        bad = cases.where(lambda t, r=readings: r[t].kind == "unreadable")
        answered = int(cases.where(lambda t, r=readings: r[t].kind not in ("blank", "missing")).sum())
        rows, values = cases.rows[bad], cases.values[bad]
        if 2 * len(rows) > answered:
            raise Refusal(
                f"{context.label}: {len(rows)} of {answered} answers in {match.column} (item {match.item})"
                f" cannot be read (first: row {rows[0]}, '{_short(values[0])}' {readings[values[0]].reason});"
                " more than half: the columns may be shifted or mapped wrongly; check the export, or the"
                " labels and codes of the instrument"
            )
        parts.append(
            _aside(
                context,
                rows,
                [
                    f"unreadable answer: '{_short(v)}' in column '{match.column}' {readings[v].reason}"
                    for v in values
                ],
                "correct the cell in the corrections file, or add the answer to "
                f"study/instruments/{context.instrument.id}.toml",
            )
        )
    return gather(parts, QUARANTINE)


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."


def impossible_times(cells: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Rows answered in the future, on or after the day the person withdrew, or before an earlier wave."""
    when = when_of_rows(cells, context)
    rows, people = column_of(cells, context.plan.person)
    withdrawn = {} if context.roster is None else {
        p: w for p, w in zip(context.roster["person"], context.roster["withdrawn"], strict=True) if w}
    parts = []
    for row, person in zip(rows, people, strict=True):
        moment = when.get(row)
        if moment and moment.date > context.today:
            parts.append((row, f"future: answered on {moment.date}, after {context.today}; correct the date"))
        elif person in withdrawn and (
            moment is None or dt.date.fromisoformat(withdrawn[person]) <= moment.date
        ):
            day = f"answered on {moment.date}" if moment else "the answer has no date"
            parts.append((row, f"withdrawn: {person} withdrew on {withdrawn[person]}, {day}"))
        elif moment and person in context.earlier and moment.before(as_when(context.earlier[person])):
            parts.append(
                (
                    row,
                    (
                        f"wrong order: {person} answered {context.source.wave} on {moment.date}, before an"
                        f" earlier wave on {context.earlier[person][:10]}; correct the date that is wrong"
                    ),
                )
            )
    return _aside(context, [r for r, _ in parts], [reason for _, reason in parts])


DECISIONS = (
    set_aside_by_correction,
    previews_and_tests,
    no_consent,
    unknown_people,
    roster_disagreements,
    doubles,
    unreadable_answers,
    impossible_times,
)


def when_of_rows(cells: pd.DataFrame, context: Context) -> dict[int, When | None]:
    """The moment of every row; None where it has no readable date."""
    cases = cases_of(cells, context.plan.completed)
    dates = _dates(cases.texts, context)
    return dict(zip(cases.rows.tolist(), cases.each(dates.get), strict=True))


def doubled_rows(cells: pd.DataFrame, context: Context) -> tuple[list[list[int]], list[int]]:
    """Groups of differing rows of one person, and the later ones of rows that are the same byte for byte."""
    rows, values = column_of(cells, context.plan.person)
    repeated = pd.Series(values).duplicated(keep=False).to_numpy(dtype=bool)  # ids are spelled alike by now
    if not repeated.any():
        return [], []
    skip = set(previews_and_tests(cells, context)["row"]) | set(
        set_aside_by_correction(cells, context)["row"]
    )
    groups: dict[str, list[int]] = {}
    for row, person in zip(rows[repeated], values[repeated], strict=True):
        if not context.people[person].problem and row not in skip:
            groups.setdefault(context.people[person].person, []).append(int(row))
    several = [rows for rows in groups.values() if len(rows) > 1]
    if not several:
        return [], []
    chosen = {r for rows in several for r in rows}
    content = _row_content(cells, chosen), _row_content(context.export.cells, chosen)
    same = [all(c[r] == c[rows[0]] for r in rows for c in content) for rows in several]
    return ([rows for rows, alike in zip(several, same, strict=True) if not alike],
            [r for rows, alike in zip(several, same, strict=True) if alike for r in rows[1:]])


def _row_content(cells: pd.DataFrame, rows: Collection[int]) -> dict[int, dict[str, str]]:
    part = cells[cells["row"].isin(list(rows))]
    content: dict[int, dict[str, str]] = {}
    for row, column, value in zip(part["row"], part["column"], part["value"], strict=True):
        content.setdefault(int(row), {})[column] = value
    return content


def as_when(text: str) -> When:
    """A moment from the ISO text that `When.text` gives."""
    moment = dt.datetime.fromisoformat(text)
    return When(moment.date(), moment if "T" in text else None)


def rows_of_other_instruments(cells: pd.DataFrame, context: Context) -> set[int]:
    """Rows of a longitudinal or repeating export that belong to another event or another form."""
    event_of, form_of = _events_and_forms(cells, context)
    if not event_of and not form_of:
        return set()
    filled = _filled(cells, context)
    forms = {form_of[r] for r in filled if r in form_of}
    answered = {event_of[r] for r in filled if r in event_of}
    if len(answered) > 1:
        if fold(context.source.wave) not in answered:
            raise Refusal(
                f"{context.label}: {len(answered)} events hold answers ({', '.join(sorted(answered))}) and"
                f" none is called '{context.source.wave}'; export one event, or name the wave as the event"
            )
        answered = {fold(context.source.wave)}
    return ({r for r, form in form_of.items() if forms and form not in forms}
            | {r for r, event in event_of.items() if answered and event not in answered})


def event_warnings(cells: pd.DataFrame, context: Context) -> list[str]:
    """What a person should know about the event whose answers were taken."""
    event_of, _ = _events_and_forms(cells, context)
    answered = {event_of[r] for r in _filled(cells, context) if r in event_of} if event_of else set()
    if len(answered) != 1 or answered == {fold(context.source.wave)}:
        return []
    return [
        f"only the event '{answered.pop()}' holds answers; they were taken for wave '{context.source.wave}':"
        " check that it is this one"
    ]


def _events_and_forms(cells: pd.DataFrame, context: Context) -> tuple[dict[int, str], dict[int, str]]:
    """Event and repeating form of every row, folded; empty where the export has no such column."""
    event = context.export.known.get("event", "")
    form = next((c for c in context.export.administrative if fold(c) in REPEAT_COLUMNS), "")
    return tuple(dict(zip(cases.rows.tolist(), cases.each(lambda t: _ARM.sub("", fold(t))), strict=True))
                 for cases in (cases_of(cells, event), cases_of(cells, form)))


def _filled(cells: pd.DataFrame, context: Context) -> set[int]:
    """Rows in which some item has an answer or a missing word."""
    return {
        int(r)
        for m in context.plan.items
        for r, v in zip(*column_of(cells, m.column), strict=True)
        if v.strip()
    }
