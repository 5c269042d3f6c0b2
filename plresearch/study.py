"""What a researcher declares in `study/`: read, checked as a whole, and frozen.

`load(root)` reads every TOML file of a study folder and reports all faults at once, each with its
file, key and cure. Nothing else in the package reads configuration.
"""

from __future__ import annotations

import csv
import datetime as dt
import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .frames import Refusal

PROFILES = ("team", "programme", "public")
FORMATS = (
    "auto", "csv", "xlsx", "qualtrics", "msforms", "jisc", "redcap", "surveymonkey", "googleforms",
    "limesurvey", "spss",
)
PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")


class ConfigurationError(Refusal):
    """Every fault found in a study folder, one per line."""

    def __init__(self, faults: list[str]):
        self.faults = tuple(faults)
        noun = "fault" if len(faults) == 1 else "faults"
        super().__init__(f"{len(faults)} {noun} in the study folder:\n" + "\n".join(f"  - {f}" for f in faults))


@dataclass(frozen=True)
class Wave:
    """One occasion of measurement; `month` counts from the start, `retrospective` marks a then-test."""

    id: str
    label: str
    month: float = 0.0
    retrospective: bool = False


@dataclass(frozen=True)
class Role:
    """One of the two sides of a pair."""

    id: str
    label: str
    plural: str


@dataclass(frozen=True)
class Author:
    name: str
    affiliation: str = ""


@dataclass(frozen=True)
class ResponseSet:
    """Labels in order of their codes; spellings that mean the same; words that mean a missing answer."""

    id: str
    labels: tuple[str, ...]
    codes: tuple[int, ...]
    aliases: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Subscale:
    """Mean of its answered items when at least `minimum` are answered."""

    id: str
    label: str
    minimum: int
    reliability: float | None = None


@dataclass(frozen=True)
class Item:
    """One question; `fields` gives its export column per wave where an export names it differently."""

    id: str
    text: str
    subscale: str
    responses: str
    reversed: bool = False
    waves: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Instrument:
    id: str
    title: str
    source: str
    licence: str
    response_sets: dict[str, ResponseSet]
    subscales: dict[str, Subscale]
    items: dict[str, Item]

    def items_of(self, subscale: str) -> tuple[Item, ...]:
        """The items of one subscale, in the order of the instrument."""
        return tuple(i for i in self.items.values() if i.subscale == subscale)

    @property
    def subscale_of(self) -> dict[str, str]:
        """Item id -> subscale id."""
        return {i.id: i.subscale for i in self.items.values()}

    @property
    def texts(self) -> dict[str, str]:
        """Item id -> question."""
        return {i.id: i.text for i in self.items.values()}

    @property
    def codes_of(self) -> dict[str, tuple[int, ...]]:
        """Item id -> the codes of its answers, in ascending order."""
        return {i.id: tuple(sorted(self.response_sets[i.responses].codes)) for i in self.items.values()}

    def asked_at(self, wave: str) -> tuple[Item, ...]:
        """The items asked at one wave (an item that lists no waves is asked at every one)."""
        return tuple(i for i in self.items.values() if not i.waves or wave in i.waves)


@dataclass(frozen=True)
class Source:
    """One export of one wave: its file, its format and what its columns mean.

    `columns` maps a column of the export to an item id; `ignore` lists column patterns deliberately
    unused, each with the reason.
    """

    file: str
    wave: str
    person: str
    format: str = "auto"
    completed: str = ""
    consent: str = ""
    consent_given: tuple[str, ...] = ()
    delimiter: str = ""
    sheet: str = ""
    timezone: str = ""
    day_first: bool | None = None
    codes: str = ""
    codebook: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    ignore: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cohort:
    id: str
    label: str
    start: dt.date
    end: dt.date
    sources: tuple[Source, ...]
    description: str = ""
    roster: str = ""
    events: str = ""
    interviews: str = ""
    consent: str = ""
    topics: str = ""
    comparison: bool = False
    shadowing_target: float = 0.0
    meetings_target: float = 0.0
    corrections: Path = Path()
    reconciled: Path = Path()
    quotes: Path = Path()


@dataclass(frozen=True)
class Contrast:
    """A planned comparison of two waves: `to` minus `from_`."""

    id: str
    from_: str
    to: str
    label: str
    primary: bool = False


@dataclass(frozen=True)
class Analysis:
    """One line of the analysis plan; it must be run, or the build fails. `deviation` says how it differs from the plan."""

    id: str
    analysis: str
    term: str
    outcomes: tuple[str, ...]
    status: str
    notebook: str = ""
    deviation: str = ""


@dataclass(frozen=True)
class Plan:
    date: dt.date
    registration: str
    missing: str
    level: float
    mid: float
    contrasts: tuple[Contrast, ...]
    analyses: tuple[Analysis, ...]
    deviations: tuple[str, ...] = ()

    @property
    def all_deviations(self) -> tuple[str, ...]:
        """Every recorded deviation from the plan: the general ones, then those of single analyses."""
        return (*self.deviations, *(f"{a.id}: {a.deviation}" for a in self.analyses if a.deviation))

    @property
    def primary(self) -> Contrast:
        """The primary contrast of waves."""
        return next(c for c in self.contrasts if c.primary)


@dataclass(frozen=True)
class Theme:
    """One theme of the codebook.

    A child counts for its parent too. Where the parent is `ordered`, its children are the levels of one
    judgement, lowest first. `subscale` names the outcome the theme is set beside.
    """

    id: str
    label: str
    definition: str
    parent: str = ""
    subscale: str = ""
    ordered: bool = False


@dataclass(frozen=True)
class Study:
    root: Path
    title: str
    short_title: str
    programme: str
    setting: str
    authors: tuple[Author, ...]
    synthetic: bool
    release: str
    seed: int
    timezone: str
    waves: dict[str, Wave]
    roles: dict[str, Role]
    instrument: Instrument
    plan: Plan
    cohorts: dict[str, Cohort]
    themes: dict[str, Theme]
    literature: tuple[dict[str, str], ...]
    joint: tuple[dict[str, str], ...] = ()
    identifiers: str = "pseudonymous"
    funding: str = ""
    ethics: str = ""
    competing_interests: str = ""
    background: str = ""
    background_short: str = ""

    @property
    def paired(self) -> bool:
        """Whether the study has roles, and so pairs."""
        return bool(self.roles)

    @property
    def unit(self) -> str:
        """The unit of inference: 'pair', or 'person' where nobody is paired."""
        return "pair" if self.paired else "person"

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Every comparison of waves: the primary one first, the plan's others, and those of a then-test.

        A retrospective wave (people place their beginning when asked at the end) adds two: its shift (the
        score given at the beginning minus the one placed there afterwards: response shift) and the
        change counted from it, unless the plan compares the same waves already.
        """
        planned = sorted(self.plan.contrasts, key=lambda c: not c.primary)
        known, primary, added = {(c.from_, c.to) for c in planned}, self.plan.primary, []
        for wave in (w for w in self.waves.values() if w.retrospective):
            for what, to in (("shift", primary.from_), ("change", primary.to)):
                if (wave.id, to) not in known:
                    label = f"{'Response shift' if what == 'shift' else 'Change'}: {self.waves[to].label} minus {wave.label}"
                    added.append(Contrast(f"{wave.id}-{what}", wave.id, to, label))
        return (*planned, *added)

    @property
    def outcomes(self) -> dict[str, str]:
        """Subscale id -> label of every outcome that the plan names, in the order of the instrument."""
        named = {o for a in self.plan.analyses for o in a.outcomes}
        return {s.id: s.label for s in self.instrument.subscales.values() if s.id in named}

    @property
    def role_names(self) -> dict[str, str]:
        """Role id -> plural label; one group of all participants where nobody has a role."""
        return {r.id: r.plural for r in self.roles.values()} or {"all": "Participants"}

    @property
    def role_labels(self) -> dict[str, str]:
        """Role id -> label of one person."""
        return {r.id: r.label for r in self.roles.values()}

    @property
    def wave_names(self) -> dict[str, str]:
        """Wave id -> label of the two waves of the primary contrast."""
        return {w: self.waves[w].label for w in (self.plan.primary.from_, self.plan.primary.to)}

    @property
    def cohort_names(self) -> dict[str, str]:
        """Cohort id -> label, without comparison cohorts."""
        return {c.id: c.label for c in self.cohorts.values() if not c.comparison}

    @property
    def comparison_names(self) -> dict[str, str]:
        """Cohort id -> label of the comparison cohorts, who did not take part in the programme."""
        return {c.id: c.label for c in self.cohorts.values() if c.comparison}

    @property
    def beside(self) -> dict[str, str]:
        """Theme id -> the outcome it is set beside; empty where it has none."""
        return {t.id: t.subscale if t.subscale in self.outcomes else "" for t in self.themes.values()}

    @property
    def ordered_themes(self) -> dict[str, tuple[str, ...]]:
        """Theme id -> its children in order, for the themes whose children are levels of one judgement."""
        return {t.id: tuple(c.id for c in self.themes.values() if c.parent == t.id) for t in self.themes.values() if t.ordered}

    @property
    def theme_parents(self) -> dict[str, str]:
        """Theme id -> id of its parent, or empty."""
        return {t.id: t.parent for t in self.themes.values()}

    @property
    def theme_names(self) -> dict[str, str]:
        """Theme id -> label."""
        return {t.id: t.label for t in self.themes.values()}

    @property
    def subscale_names(self) -> dict[str, str]:
        """Subscale id -> label of every subscale."""
        return {s.id: s.label for s in self.instrument.subscales.values()}

    @property
    def item_names(self) -> dict[str, str]:
        """Item id -> question, for the items of the outcomes that share the first one's answers."""
        items = [i for o in self.outcomes for i in self.instrument.items_of(o)]
        return {i.id: i.text for i in items if i.responses == items[0].responses}

    @property
    def answer_names(self) -> dict[str, str]:
        """Words for the groups of `score.item_counts`: the labels below, at and above the middle of the scale."""
        first = self.instrument.items_of(next(iter(self.outcomes)))[0]
        answers = self.instrument.response_sets[first.responses]
        middle = (min(answers.codes) + max(answers.codes)) / 2
        by_group = {"1": [], "2": [], "3": []}
        for code, label in sorted(zip(answers.codes, answers.labels)):
            by_group["1" if code < middle else "2" if code == middle else "3"].append(label)
        return {group: " or ".join(words) for group, words in by_group.items() if words}

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest possible score of the outcomes."""
        codes = [
            c for o in self.outcomes for i in self.instrument.items_of(o)
            for c in self.instrument.response_sets[i.responses].codes
        ]
        return float(min(codes)), float(max(codes))

    def cohort(self, cohort_id: str) -> Cohort:
        """One cohort by its id.

        Raises
        ------
        Refusal
            When no file declares the cohort; the message lists those that exist.
        """
        if cohort_id not in self.cohorts:
            raise Refusal(
                f"there is no cohort '{cohort_id}'; study/cohorts/ declares {', '.join(self.cohorts)}"
                + _nearest(cohort_id, self.cohorts)
            )
        return self.cohorts[cohort_id]

    def raw(self, cohort_id: str) -> Path:
        """Folder of a cohort's exports as received."""
        return self.root / "data_raw" / self.cohort(cohort_id).id

    def processed(self, cohort_id: str) -> Path:
        """Folder of a cohort's rows about people; it must stay."""
        return self.root / "data_processed" / self.cohort(cohort_id).id

    def outputs(self, part: str) -> Path:
        """Folder of what may leave, for a cohort or for 'combined'."""
        return self.root / "outputs" / part


def default_root() -> Path:
    """The study folder in use: PLRESEARCH_STUDY where set, else the project's root."""
    return Path(os.environ.get("PLRESEARCH_STUDY") or Path(__file__).resolve().parent.parent).resolve()


def load(root: str | Path | None = None) -> Study:
    """Read and check a whole study folder.

    Parameters
    ----------
    root
        The folder that holds `study/`; without it `default_root()`.

    Raises
    ------
    ConfigurationError
        All faults of all files at once, each with file, key and cure.

    Examples
    --------
    >>> study = load()
    >>> study.cohort("cohort-1").label
    'Cohort 1 (pilot)'
    """
    root = Path(root).resolve() if root else default_root()
    reader = _Reader(root)
    study = _study(reader)
    if reader.faults:
        raise ConfigurationError(reader.faults)
    return study


def _nearest(name: str, known) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


class _Reader:
    """Reads TOML tables into dataclasses and keeps every fault it meets."""

    def __init__(self, root: Path):
        self.root = root
        self.faults: list[str] = []

    def fault(self, file: str, key: str, problem: str) -> None:
        self.faults.append(f"study/{file}: {key}: {problem}")

    def toml(self, file: str) -> dict:
        path = self.root / "study" / file
        if not path.is_file():
            self.fault(file, "file", "is not there; create it (the synthetic study's files are the model)")
            return {}
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            self.fault(file, "file", f"cannot be read as TOML ({error}); correct that line")
            return {}

    def build(self, cls, table: dict, file: str, key: str, **given):
        """An instance of `cls` from a table; wrong, missing and unknown keys become faults."""
        known = {f.name.rstrip("_"): f for f in fields(cls) if f.name not in given}
        values = dict(given)
        for name in table:
            if name not in known:
                self.fault(file, f"{key}{name}", "is not a known key" + _nearest(name, known) + "; remove or rename it")
        for name, spec in known.items():
            if name not in table:
                if _required(spec):
                    self.fault(file, f"{key}{name}", f"is missing; add it ({_wanted(spec.type)})")
                    values[spec.name] = _blank(spec.type)
                continue
            value, ok = _coerce(table[name], spec.type)
            if not ok:
                self.fault(file, f"{key}{name}", f"is {table[name]!r}; it must be {_wanted(spec.type)}")
                value = _blank(spec.type)
            values[spec.name] = value
        return cls(**values)

    def build_all(self, cls, tables, file: str, key: str, **given) -> dict:
        """Instances by id from a list of tables; a repeated id is a fault."""
        found: dict = {}
        if not isinstance(tables, list):
            self.fault(file, key, f"must be written as [[{key}]] tables")
            return found
        for number, table in enumerate(tables, start=1):
            made = self.build(cls, table, file, f"{key}[{number}].", **given)
            if made.id in found:
                self.fault(file, f"{key}[{number}].id", f"'{made.id}' is used twice; give each its own id")
            found[made.id] = made
        return found


def _required(spec) -> bool:
    from dataclasses import MISSING

    return spec.default is MISSING and spec.default_factory is MISSING


_WANTED = {
    "str": "text in quotes", "int": "a whole number", "float": "a number", "bool": "true or false",
    "dt.date": "a date such as 2026-09-01", "tuple[str, ...]": "a list of texts", "tuple[int, ...]": "a list of whole numbers",
    "dict[str, str]": "a table of texts", "float | None": "a number", "bool | None": "true or false",
}
_BLANK = {
    "str": "", "int": 0, "float": 0.0, "bool": False, "dt.date": dt.date(1970, 1, 1), "tuple[str, ...]": (),
    "tuple[int, ...]": (), "dict[str, str]": {}, "float | None": None, "bool | None": None,
}


def _wanted(kind: str) -> str:
    return _WANTED.get(kind, kind)


def _blank(kind: str):
    return _BLANK.get(kind)


def _coerce(value, kind: str):
    """(value in the declared type, whether it fits)."""
    if kind in ("bool", "bool | None"):
        return value, isinstance(value, bool)
    if isinstance(value, bool):
        return None, False
    if kind == "str":
        return value, isinstance(value, str)
    if kind == "int":
        return value, isinstance(value, int)
    if kind in ("float", "float | None"):
        return (float(value), True) if isinstance(value, (int, float)) else (None, False)
    if kind == "dt.date":
        return value, isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    if kind == "dict[str, str]":
        return value, isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
    inner = str if kind == "tuple[str, ...]" else int
    if isinstance(value, list) and all(isinstance(v, inner) and not isinstance(v, bool) for v in value):
        return tuple(value), True
    return None, False


def _study(reader: _Reader) -> Study:
    top = dict(reader.toml("study.toml"))
    waves = reader.build_all(Wave, top.pop("waves", []), "study.toml", "waves")
    roles = reader.build_all(Role, top.pop("roles", []), "study.toml", "roles")
    authors = tuple(
        reader.build(Author, a, "study.toml", f"authors[{i}].") for i, a in enumerate(top.pop("authors", []), start=1)
    )
    instrument_id = top.pop("instrument", "")
    if not waves and (reader.root / "study" / "study.toml").is_file():
        reader.fault("study.toml", "waves", "none is declared; add at least one [[waves]] table")
    if len(roles) not in (0, 2):
        reader.fault("study.toml", "roles", f"{len(roles)} declared; a study has two roles, or none where nobody is paired")
    instrument = _instrument(reader, instrument_id, waves)
    plan = _plan(reader, waves, instrument)
    cohorts = _cohorts(reader, waves, instrument)
    study = reader.build(
        Study, top, "study.toml", "", root=reader.root, authors=authors, waves=waves, roles=roles,
        instrument=instrument, plan=plan, cohorts=cohorts, themes=(themes := _themes(reader, instrument)),
        literature=_literature(reader), joint=_joint(reader, themes),
    )
    if study.release not in PROFILES:
        reader.fault("study.toml", "release", f"'{study.release}' is not a release profile; use {', '.join(PROFILES)}")
    if study.identifiers not in ("pseudonymous", "keyed"):
        reader.fault("study.toml", "identifiers", f"'{study.identifiers}' is unknown; use pseudonymous or keyed")
    _check_zone(reader, "study.toml", "timezone", study.timezone)
    return study


def _check_zone(reader: _Reader, file: str, key: str, zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        reader.fault(file, key, f"'{zone}' is not a time zone; use a name such as Europe/London")


def _instrument(reader: _Reader, instrument_id: str, waves: dict) -> Instrument:
    if not PLAIN_NAME.match(instrument_id or ""):
        reader.fault("study.toml", "instrument", f"'{instrument_id}' must be the plain name of a file in study/instruments/")
        return Instrument("", "", "", "", {}, {}, {})
    file = f"instruments/{instrument_id}.toml"
    table = dict(reader.toml(file))
    sets = {}
    for key, entry in table.pop("response_sets", {}).items():
        made = reader.build(ResponseSet, entry, file, f"response_sets.{key}.", id=key)
        sets[key] = made
        if len(made.labels) != len(made.codes) or len(set(made.codes)) < 2:
            reader.fault(file, f"response_sets.{key}", f"has {len(made.labels)} labels for {len(made.codes)} codes; give one code per label, at least two")
        for alias, label in made.aliases.items():
            if label not in made.labels:
                reader.fault(file, f"response_sets.{key}.aliases.{alias}", f"'{label}' is not a label of the set" + _nearest(label, made.labels))
    subscales = {
        key: reader.build(Subscale, entry, file, f"subscales.{key}.", id=key)
        for key, entry in table.pop("subscales", {}).items()
    }
    items = reader.build_all(Item, table.pop("items", []), file, "items")
    for item in items.values():
        at = f"items.{item.id}"
        if item.subscale and item.subscale not in subscales:
            reader.fault(file, f"{at}.subscale", f"'{item.subscale}' is not declared under [subscales]" + _nearest(item.subscale, subscales))
        if item.responses not in sets:
            reader.fault(file, f"{at}.responses", f"'{item.responses}' is not declared under [response_sets]" + _nearest(item.responses, sets))
        for wave in (*item.waves, *item.fields):
            if wave not in waves:
                reader.fault(file, f"{at}.waves", f"'{wave}' is not a wave of study.toml" + _nearest(wave, waves))
    instrument = reader.build(
        Instrument, table, file, "", response_sets=sets, subscales=subscales, items=items
    )
    for subscale in subscales.values():
        asked = len(instrument.items_of(subscale.id))
        if not 1 <= subscale.minimum <= max(asked, 1) or asked == 0:
            reader.fault(file, f"subscales.{subscale.id}.minimum", f"is {subscale.minimum} of {asked} items; it must lie between 1 and the number of items")
    return instrument


def _plan(reader: _Reader, waves: dict, instrument: Instrument) -> Plan:
    file = "plan.toml"
    table = dict(reader.toml(file))
    contrasts = []
    for number, entry in enumerate(table.pop("contrasts", []), start=1):
        contrast = reader.build(Contrast, entry, file, f"contrasts[{number}].")
        contrasts.append(contrast)
        for key, wave in (("from", contrast.from_), ("to", contrast.to)):
            if wave not in waves:
                reader.fault(file, f"contrasts[{number}].{key}", f"'{wave}' is not a wave of study.toml" + _nearest(wave, waves))
        if contrast.from_ == contrast.to:
            reader.fault(file, f"contrasts[{number}].to", f"is '{contrast.to}', as is from; compare two different waves")
        if [c.id for c in contrasts].count(contrast.id) > 1:
            reader.fault(file, f"contrasts[{number}].id", f"'{contrast.id}' is used twice; give each its own id")
    if table and sum(c.primary for c in contrasts) != 1:
        reader.fault(file, "contrasts", "exactly one contrast is primary; set primary = true on it alone")
    analyses = reader.build_all(Analysis, table.pop("analyses", []), file, "analyses")
    for analysis in analyses.values():
        if analysis.status not in ("primary", "secondary"):
            reader.fault(file, f"analyses.{analysis.id}.status", f"'{analysis.status}' is unknown; use primary or secondary")
        for outcome in analysis.outcomes:
            if outcome not in instrument.subscales and outcome not in instrument.items:
                reader.fault(file, f"analyses.{analysis.id}.outcomes", f"'{outcome}' is not a subscale or item" + _nearest(outcome, instrument.subscales))
    return reader.build(Plan, table, file, "", contrasts=tuple(contrasts), analyses=tuple(analyses.values()))


def _cohorts(reader: _Reader, waves: dict, instrument: Instrument) -> dict[str, Cohort]:
    folder = reader.root / "study" / "cohorts"
    cohorts = {}
    for path in sorted(folder.glob("*.toml")) if folder.is_dir() else []:
        file = f"cohorts/{path.name}"
        if not PLAIN_NAME.match(path.stem):
            reader.fault(file, "file name", "a cohort id has only small letters, digits, - and _; rename the file")
            continue
        table = dict(reader.toml(file))
        sources = tuple(
            _source(reader, entry, file, number, waves, instrument)
            for number, entry in enumerate(table.pop("sources", []), start=1)
        )
        cohort = reader.build(
            Cohort, table, file, "", id=path.stem, sources=sources,
            corrections=path.with_name(f"{path.stem}_corrections.csv"),
            reconciled=path.with_name(f"{path.stem}_reconciled.csv"), quotes=path.with_name(f"{path.stem}_quotes.csv"),
        )
        cohorts[cohort.id] = cohort
        if not sources:
            reader.fault(file, "sources", "none is declared; add one [[sources]] table per export")
        if cohort.end < cohort.start:
            reader.fault(file, "end", f"{cohort.end} lies before start {cohort.start}; correct one of them")
        for key in ("roster", "events", "interviews", "consent", "topics"):
            name = getattr(cohort, key)
            if name and Path(name).name != name:
                reader.fault(file, key, f"'{name}' must be a file name inside data_raw/{cohort.id}/, not a path")
    if cohorts and all(c.comparison for c in cohorts.values()):
        reader.fault("cohorts/", "comparison", "every cohort is a comparison; declare at least one that took part")
    if not cohorts:
        reader.fault("cohorts/", "file", "no cohort is declared; add one file per cohort, <id>.toml")
    return cohorts


def _source(reader, entry, file, number, waves, instrument) -> Source:
    at = f"sources[{number}]."
    source = reader.build(Source, entry, file, at)
    if source.wave not in waves:
        reader.fault(file, f"{at}wave", f"'{source.wave}' is not a wave of study.toml" + _nearest(source.wave, waves))
    if source.format not in FORMATS:
        reader.fault(file, f"{at}format", f"'{source.format}' is unknown; use {', '.join(FORMATS)}")
    if Path(source.file).name != source.file:
        reader.fault(file, f"{at}file", f"'{source.file}' must be a file name inside data_raw/, not a path")
    if source.timezone:
        _check_zone(reader, file, f"{at}timezone", source.timezone)
    for column, item in source.columns.items():
        if item not in instrument.items and item not in ("role", "pair"):
            reader.fault(file, f"{at}columns.{column}", f"'{item}' is not an item of the instrument, role or pair"
                         + _nearest(item, instrument.items))
    return source


def _themes(reader: _Reader, instrument: Instrument) -> dict[str, Theme]:
    if not (reader.root / "study" / "codebook.toml").is_file():
        return {}
    themes = reader.build_all(Theme, reader.toml("codebook.toml").get("themes", []), "codebook.toml", "themes")
    for theme in themes.values():
        if theme.parent and theme.parent not in themes:
            reader.fault("codebook.toml", f"themes.{theme.id}.parent", f"'{theme.parent}' is not a theme" + _nearest(theme.parent, themes))
        above = [theme.id]
        while (parent := themes[above[-1]].parent) in themes and parent not in above:
            above.append(parent)
        if parent == theme.id:
            reader.fault("codebook.toml", f"themes.{theme.id}.parent", "makes the theme its own ancestor; break the ring")
        if theme.subscale and theme.subscale not in instrument.subscales:
            reader.fault("codebook.toml", f"themes.{theme.id}.subscale", f"'{theme.subscale}' is not a subscale" + _nearest(theme.subscale, instrument.subscales))
    return themes


JUDGEMENTS = ("confirms", "expands", "contradicts", "")  # how a theme and the change beside it fit; empty: not judged


def _joint(reader: _Reader, themes: dict[str, Theme]) -> tuple[dict[str, str], ...]:
    """A person's judgement on each theme beside the change of its subscale: theme, judgement, comment."""
    path = reader.root / "study" / "joint_display.csv"
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as handle:
        rows = tuple({k: (v or "").strip() for k, v in row.items() if k} for row in csv.DictReader(handle))
    for number, row in enumerate(rows, start=1):
        if row.get("theme") not in themes:
            reader.fault("joint_display.csv", f"row {number}", f"'{row.get('theme')}' is not a theme" + _nearest(str(row.get("theme")), themes))
        if row.get("judgement") not in JUDGEMENTS:
            reader.fault("joint_display.csv", f"row {number}", f"'{row.get('judgement')}' is not a judgement; use "
                         f"{', '.join(j for j in JUDGEMENTS if j)} or leave it empty")
        if sum(row.get("theme") == other.get("theme") for other in rows) > 1:
            reader.fault("joint_display.csv", f"row {number}", f"'{row.get('theme')}' is judged twice; keep one row")
    return rows


def _literature(reader: _Reader) -> tuple[dict[str, str], ...]:
    path = reader.root / "study" / "literature.csv"
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as handle:
        rows = tuple(csv.DictReader(handle))
    for number, row in enumerate(rows, start=1):
        if not row.get("study") or not row.get("access"):
            reader.fault("literature.csv", f"row {number}", "needs a study and what of the source was accessible (access)")
    return rows
