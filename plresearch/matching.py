"""Which column holds which question, and which roster entry an id means.

Text is folded here and nowhere else. Nothing is matched by position or by similarity: what is only
similar is offered as a suggestion.
"""

from __future__ import annotations

import difflib
import fnmatch
import html
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from .frames import Refusal
from .study import Instrument, Source

_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"))
_LOOKALIKES = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u2032": "'", "\u00b4": "'", "`": "'",
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2033": '"', "\u00ab": '"', "\u00bb": '"',
    "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
    "\u2026": "...",
})
_TAG = re.compile(r"<[^<>]{1,200}>")
_NUMBER = re.compile(r"\(?(?:q\s*\d+(?:[._]\d+)*(?:[._]?[a-z]{1,2})?\s*(?:[.:)\-]\s*|\s+)"
                     r"|\d+(?:[._]\d+)*(?:[._]?[a-z])?\s*[.:)\-]\s*)(?=\D)")
_REPEATED = re.compile(r"(.*) \(\d+\)", re.DOTALL)  # how `read` tells columns of one name apart
_BESIDE = re.compile(
    r"[\[(](?:optional )?(?:comments?|other|please specify|specify|other \(please specify\)|free text)[\])]\Z"
)
LONGEST_HEADING = 4_000  # characters; a longer text is no question
STEMS = 20  # parts before the item of a grid that a heading may have
_BRACKET = re.compile(r"(?P<stem>.*?\S)\s*(?:\[(?P<inner>[^\[\]]*)\]|\([^()]*\))")
_GENERIC_WORDS = frozenset({"participant", "person", "number", "study", "code", "pid", "nr", "no", "id"})
PERSON_NAMES = frozenset(
    {
        "person",
        "person id",
        "person_id",
        "participant",
        "participant id",
        "participant_id",
        "participant code",
        "participant_code",
        "participant number",
        "pid",
        "study code",
        "study id",
        "study_id",
        "study number",
        "code",
        "id",
        "unique code",
        "personal code",
    }
)
RECORD_NAMES = frozenset({"record id", "record_id"})  # a person's id only where no other column holds one
_ASKING = re.compile(r"(?:please )?(?:enter|type|write|give|state|what is|what's)?\s*(?:your|the)?\s*(?=\S)")


def fold(text: str) -> str:
    """The text with only what tells answers and questions apart.

    Invisible characters are dropped, every kind of space becomes one space, quotes and dashes become
    plain ones, and case is folded. Digits are left as they are: '5²' is not 52.

    Examples
    --------
    >>> fold("\\ufeff I\\u00a0DON\\u2019T  know ")
    "i don't know"
    """
    if text.isascii():
        return " ".join(text.replace("`", "'").split()).casefold()
    plain = unicodedata.normalize("NFC", text.translate(_INVISIBLE).translate(_LOOKALIKES))
    return " ".join(plain.split()).casefold()


def nearest(text: str, known: Iterable[str], *, count: int = 3) -> list[str]:
    """Up to `count` known texts that resemble `text`, the closest first (a suggestion, never a match)."""
    by_fold = {fold(k): k for k in known}
    return [by_fold[k] for k in difflib.get_close_matches(fold(text), list(by_fold), n=count, cutoff=0.5)]


# ---------------------------------------------------------------------------------------------- people

_WHOLE = re.compile(r"(\d+)\.0+")
_RUNS = re.compile(r"\d+|[^\W\d_]+")
_BETWEEN = re.compile(r"(?<=\d) (?=\d)")
_TEXT_FORMULA = re.compile(r'="([^"]*)"')  # how spreadsheets keep the zeros of an id; nothing is evaluated


def _runs(text: str) -> list[str]:
    """Letter runs and digit runs of an id, digits without leading zeros."""
    folded = fold(text)
    if whole := _WHOLE.fullmatch(folded):
        folded = whole[1]
    return [(r.lstrip("0") or "0") if r.isdigit() else r for r in _RUNS.findall(folded)]


def _key(runs: list[str]) -> str:
    return _BETWEEN.sub("-", " ".join(runs)).replace(" ", "")


def person_key(text: str) -> str:
    """The id with case, punctuation and leading zeros taken away.

    Examples
    --------
    >>> person_key(" pl-007 "), person_key("PL7"), person_key("7.0"), person_key("1-2")
    ('pl7', 'pl7', '7', '1-2')
    """
    return _key(_runs(text))


@dataclass(frozen=True)
class PersonMatch:
    """The roster entry an id means, or why it means none."""

    person: str = ""
    problem: str = ""
    suggestion: str = ""


class People:
    """The people a study knows; `people[id]` is what an id means (see `match_people`)."""

    def __init__(self, people: Iterable[str] | None):
        self.by_key = None if people is None else _unique_keys(list(people))
        self._seen: dict[str, PersonMatch] = {}
        self._tails: dict[str, set[str]] | None = None

    def __getitem__(self, text: str) -> PersonMatch:
        found = self._seen.get(text)
        if found is None:
            found = self._seen[text] = self._match(text)
        return found

    def _match(self, text: str) -> PersonMatch:
        literal = _TEXT_FORMULA.fullmatch(text.strip())
        plain = literal[1] if literal else text
        if plain.lstrip()[:1] == "=":
            close = difflib.get_close_matches(person_key(plain), list(self.by_key or ()), n=3, cutoff=0.5)
            return PersonMatch(problem="is a formula", suggestion=_suggested([self.by_key[k] for k in close]))
        key = person_key(plain)
        if self.by_key is None:
            return PersonMatch(key) if key else PersonMatch(problem="is blank")
        if key in self.by_key:
            return PersonMatch(self.by_key[key])
        if self._tails is None:
            self._tails = _tails(self.by_key.values())
        return _match_person(plain, self.by_key, self._tails)


def match_people(ids: Iterable[str], people: Iterable[str] | None) -> dict[str, PersonMatch]:
    """Each id with the one roster entry it means.

    Two ids are the same when they agree after `person_key`, or when the front part is missing ('7' or
    'D07' for 'PL-D07') or preceded by a general word ('ID: PL-D07'), and exactly one entry fits.
    Without a roster an id means itself, in its normalised spelling.

    Parameters
    ----------
    ids
        Ids as the export spells them.
    people
        The roster's ids, or None where the study has no roster.

    Raises
    ------
    Refusal
        When two roster entries cannot be told apart after normalising.

    Examples
    --------
    >>> found = match_people(["pl-7", "PL070"], ["PL007", "PL008"])
    >>> found["pl-7"].person, found["PL070"].problem
    ('PL007', 'is not on the roster')
    """
    known = People(people)
    return {i: known[i] for i in ids}


def _tails(people: Iterable[str]) -> dict[str, set[str]]:
    """People by what is left of their id without its front part."""
    found: dict[str, set[str]] = {}
    for person in people:
        runs = _runs(person)
        for start in range(1, len(runs)):
            found.setdefault(_key(runs[start:]), set()).add(person)
    return found


def _unique_keys(people: list[str]) -> dict[str, str]:
    by_key: dict[str, str] = {}
    for person in people:
        key = person_key(person)
        if not key:
            raise Refusal(f"the roster has a person without a usable id ('{person}'); give everyone an id")
        if key in by_key:
            raise Refusal(
                f"the roster names one person twice: '{by_key[key]}' and '{person}' are the same id after "
                "normalising (case, punctuation, leading zeros); remove or rename one of them"
            )
        by_key[key] = person
    return by_key


def _match_person(text: str, by_key: dict[str, str], tails: dict[str, set[str]]) -> PersonMatch:
    runs = _runs(text)
    if not runs:
        return PersonMatch(problem="is blank")
    specific = list(itertools.dropwhile(lambda r: r in _GENERIC_WORDS, runs)) or runs
    for candidate in (_key(runs), _key(specific)):
        if candidate in by_key:
            return PersonMatch(by_key[candidate])
    fits = sorted(tails.get(_key(specific), ()))
    if len(fits) == 1:
        return PersonMatch(fits[0])
    close = fits or [by_key[k] for k in difflib.get_close_matches(_key(runs), list(by_key), n=3, cutoff=0.5)]
    problem = f"fits {len(fits)} roster entries" if fits else "is not on the roster"
    return PersonMatch(problem=problem, suggestion=_suggested(close))


def _suggested(people: list[str]) -> str:
    return f"nearest roster entries: {', '.join(people)}" if people else ""


# --------------------------------------------------------------------------------------------- columns

@dataclass(frozen=True)
class Match:
    """An item, the column that holds it and what identified it."""

    item: str
    column: str
    how: str


@dataclass(frozen=True)
class ColumnPlan:
    """What every column of an export is: an item, a named part of the row, or unused with a reason."""

    items: tuple[Match, ...]
    person: str
    completed: str = ""
    consent: str = ""
    role: str = ""
    pair: str = ""
    unused: dict[str, str] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def question_forms(text: str) -> list[set[str]]:
    """Forms under which a column's text may be an item's text, the most literal first.

    First the whole text, then without its question number, then the item part of a grid
    ('Stem - item', 'Stem [item]') and the text without a trailing bracket.

    Examples
    --------
    >>> "i feel ready" in question_forms("Q3: How far do you agree? - I feel ready (please tick one)")[2]
    True
    """
    if len(text) > LONGEST_HEADING:
        return [{fold(text)}, set(), set()]
    whole = fold(_TAG.sub(" ", html.unescape(text)))
    literal = {whole, whole.rstrip(" *:.")} - {""}
    unnumbered = {_NUMBER.sub("", w, count=1) if _NUMBER.match(w) else w for w in literal}
    parts: set[str] = set()
    for base in literal | unnumbered:
        pieces = base.split(" - ", STEMS)
        parts.update(" - ".join(pieces[i:]) for i in range(1, len(pieces)))
        bracket = _BRACKET.fullmatch(base)
        if bracket:
            parts.add(bracket["stem"])
            parts.add((bracket["inner"] or "").strip())
    for part in list(parts):
        bracket = _BRACKET.fullmatch(part)
        parts.update({_NUMBER.sub("", part, count=1) if _NUMBER.match(part) else part})
        parts.update({bracket["stem"]} if bracket else set())
    parts.update({p.rstrip(" *:.") for p in parts})
    return [literal, unnumbered, parts - {""}]


def header_words(instrument: Instrument, wave: str) -> frozenset[str]:
    """Folded names and questions by which the header of an export of this wave is known."""
    by_name, by_text, _ = _item_names(instrument, wave)
    return frozenset(by_name) | frozenset(by_text)


def plan_columns(columns, instrument: Instrument, source: Source, *, known: dict[str, str] | None = None,
                 administrative: dict[str, str] | None = None, texts_must_agree: bool = False) -> ColumnPlan:
    """Say of every column of an export what it is.

    Parameters
    ----------
    columns
        The export's columns (`name`, `text`).
    instrument, source
        Items asked at the source's wave; the source's own declarations win.
    known, administrative
        What the platform's format says of its own columns.
    texts_must_agree
        Whether a column named as an item is refused when its text asks something else altogether
        (Qualtrics, whose tags are used again from survey to survey); otherwise it is warned about.

    Raises
    ------
    Refusal
        When an item asked at the wave has no column or several, a name and a text disagree, or a
        column the source names is not there.
    """
    known, administrative = known or {}, administrative or {}
    names = [c.name for c in columns]
    twice = [n for n, count in Counter(names).items() if count > 1]
    if twice:
        raise Refusal(f"{source.file}: {len(twice)} column names occur twice (first: '{twice[0]}'); "
                      "rename one of them in the export")
    declared = {
        _find(columns, column, source, "columns"): target for column, target in source.columns.items()
    }
    special = _special_columns(columns, source, known, administrative, declared)
    unused = {c.name: reason for c in columns if (reason := _ignored(c.name, source.ignore, exactly=True))}
    taken = {*declared, *unused, *(name for name in special.values() if name)}
    warnings: list[str] = []
    found, looked_like, free = _identify(
        columns, instrument, source, taken, known, administrative, unused, warnings
    )
    for column, target in declared.items():
        if target not in ("role", "pair"):
            for other in found.pop(target, []):
                warnings.append(
                    f"column '{other.column}' also looks like item {target}; '{column}' is declared for it, "
                    f"so '{other.column}' is not used"
                )
                unused[other.column] = f"another column is declared for item {target}"
            found[target] = [Match(target, column, "declared")]
    _refuse_faults(columns, instrument, source, found, unused, looked_like)
    warnings += _other_questions(columns, instrument, source, found, refuse=texts_must_agree)
    asked = [i.id for i in instrument.asked_at(source.wave)]
    for name in free:
        warnings.append(
            f"column '{name}' is neither an item nor declared; it is kept in the cells and not used "
            "(list it under ignore with the reason, or map it under columns)"
        )
    return ColumnPlan(items=tuple(found[i][0] for i in asked), **special, unused=unused, free=tuple(free),
                      order=tuple(names), warnings=tuple(warnings))


def _find(columns, wanted: str, source: Source, key: str) -> str:
    """The one column a declaration names, by its exact name, else by folded name or text."""
    for test in (
        lambda c: c.name == wanted,
        lambda c: fold(c.name) == fold(wanted),
        lambda c: fold(wanted) in question_forms(c.text)[0] | question_forms(c.text)[1],
    ):
        hits = [c.name for c in columns if test(c)]
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise Refusal(f"{source.file}: {key} = '{wanted}' fits {len(hits)} columns ({', '.join(hits)}); "
                          "name one of them exactly as the export spells it")
    close = nearest(wanted, [c.name for c in columns])
    raise Refusal(
        f"{source.file}: {key} names the column '{wanted}', which the export does not have"
        + (f"; nearest: {', '.join(close)}" if close else f"; it has {_listed(c.name for c in columns)}")
    )


def _other_questions(columns, instrument: Instrument, source: Source, found, *, refuse: bool) -> list[str]:
    """Warnings about columns named as an item whose text asks something else (or a refusal)."""
    text_of = {c.name: c.text for c in columns}
    warnings = []
    for item_id, (match, *_) in found.items():
        text = fold(_TAG.sub(" ", html.unescape(text_of[match.column]))).rstrip(" *:.")
        if match.how in ("declared", "text") or not text or text == fold(match.column):
            continue
        item = instrument.items[item_id]
        wordings = [fold(w).rstrip(" *:.") for w in (item.text, *item.aliases)]
        forms = set().union(*question_forms(text_of[match.column]))
        if forms & set(wordings) or any(
            _ends_with(text, w) or (len(text) >= 20 and w.startswith(text)) for w in wordings
        ):
            continue
        say = (
            f"column '{match.column}' is named as item {item_id} but its question is"
            f" '{text_of[match.column][:120]}', not '{item.text}'"
        )
        if refuse:
            raise Refusal(
                f"{source.file}: {say}; correct the export, add the wording to the item's aliases, or say"
                " under columns which item it is"
            )
        warnings.append(
            f"{say}; check that it is the same question, and add the wording to the item's aliases"
        )
    return warnings


def _ends_with(text: str, wording: str) -> bool:
    """Whether a text is an introduction, closed by a mark, and then the wording."""
    return text.endswith(wording) and text[:-len(wording)].rstrip()[-1:] in tuple(":?.)-")


def _listed(names: Iterable[str]) -> str:
    """Names for a message: the first ones, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(name if len(name) <= 60 else f"{name[:57]}..." for name in names[:12]) + more


def _special_columns(columns, source: Source, known: dict[str, str], administrative: dict[str, str],
                     declared: dict[str, str]) -> dict[str, str]:
    own = {*known.values(), *administrative}
    special = {
        "person": _find(columns, source.person, source, "person") if source.person
        else _guess_person(columns, source, own),
        "completed": _find(columns, source.completed, source, "completed") if source.completed
        else known.get("completed", ""),
        "consent": _find(columns, source.consent, source, "consent") if source.consent else "",
    }
    for part in ("role", "pair"):
        by_target = [c for c, target in declared.items() if target == part]
        by_name = [
            c.name
            for c in columns
            if fold(c.name) == part and not _ignored(c.name, source.ignore, exactly=False)
        ]
        hits = by_target or by_name
        if len(hits) > 1:
            raise Refusal(
                f"{source.file}: {len(hits)} columns hold the {part} ({', '.join(hits)}); map one of them"
            )
        special[part] = hits[0] if hits else ""
    return special


def _names_person(text: str) -> bool:
    """Whether a heading asks for the person's id: 'Participant code', '1. Please enter your study id:'."""
    return any(_ASKING.sub("", form, count=1).rstrip(" ?") in PERSON_NAMES
               for forms in question_forms(text)[:2] for form in forms)


def _guess_person(columns, source: Source, own: set[str]) -> str:
    """The one column whose name says that it holds an id; a platform's serial number never does."""
    hits = [c.name for c in columns if c.name not in own and (_names_person(c.name) or _names_person(c.text))]
    hits = hits or [c.name for c in columns if fold(c.name) in RECORD_NAMES]
    if len(hits) == 1:
        return hits[0]
    raise Refusal(
        f"{source.file}: no column is declared to hold the person's id and {len(hits)} could be it"
        f" ({_listed(hits) or 'columns: ' + _listed(c.name for c in columns)}); set person = \"...\" for this"
        " source"
    )


def _ignored(name: str, patterns: dict[str, str], *, exactly: bool) -> str:
    """Why a column is not used; a pattern with wildcards gives way to the items it happens to fit."""
    for pattern, reason in patterns.items():
        if fold(name) == fold(pattern) or (not exactly and fnmatch.fnmatchcase(fold(name), fold(pattern))):
            return reason or "declared as unused"
    return ""


def _identify(columns, instrument, source, taken, known, administrative, unused, warnings):
    """Items with their columns (item -> matches), ignored look-alikes, and columns nobody knows."""
    wave = source.wave
    asked = {i.id for i in instrument.asked_at(wave)}
    by_name, by_text, elsewhere = _item_names(instrument, wave)
    found: dict[str, list[Match]] = {}
    looked_like: dict[str, str] = {}
    free: list[str] = []
    names = {c.name for c in columns}
    for column in columns:
        name = column.name
        match = _identify_column(column, by_name, by_text, elsewhere, source, names)
        if name in taken:
            if match and name in unused:
                looked_like[match.item] = name
            continue
        if name in known.values() or name in administrative:
            unused[name] = administrative.get(name) or "written by the survey platform"
        elif match and match.item in asked:
            found.setdefault(match.item, []).append(match)
        elif reason := _ignored(name, source.ignore, exactly=False):
            unused[name] = reason
        elif match:
            unused[name] = f"item {match.item} is not asked at {wave}"
            if match.how != "another wave":
                warnings.append(
                    f"column '{name}' holds item {match.item}, which is not asked at '{wave}'; it is not used"
                )
        elif fold(name) in elsewhere:
            unused[name] = f"item {elsewhere[fold(name)]} at another wave"
        else:
            free.append(name)
    return found, looked_like, free


def _item_names(instrument: Instrument, wave: str):
    """Export names of this wave, question texts, and names that belong to another wave."""
    by_name: dict[str, tuple[str, str]] = {}
    by_text: dict[str, set[str]] = {}
    elsewhere: dict[str, str] = {}
    for item in instrument.items.values():
        name = fold(item.fields.get(wave, item.id))
        if name in by_name:
            raise Refusal(
                f"items {by_name[name][0]} and {item.id} of instrument {instrument.id} both name the column "
                f"'{name}' at wave {wave}; correct fields in the instrument"
            )
        by_name[name] = (item.id, "field" if wave in item.fields else "id")
        by_text.setdefault(fold(item.text).rstrip(" *:."), set()).add(item.id)
    for item in instrument.items.values():
        for alias in item.aliases:
            by_name.setdefault(fold(alias), (item.id, "alias"))
            by_text.setdefault(fold(alias).rstrip(" *:."), set()).add(item.id)
        for other, name in item.fields.items():
            if other != wave and fold(name) not in by_name:
                elsewhere[fold(name)] = item.id
    return by_name, by_text, elsewhere


def _identify_column(column, by_name, by_text, elsewhere, source: Source, names: set[str]) -> Match | None:
    repeated = _REPEATED.fullmatch(column.name)
    name = fold(repeated[1] if repeated and repeated[1] in names else column.name)
    if name in elsewhere:
        return None
    if _BESIDE.search(fold(column.text)[-60:]) or _BESIDE.search(name[-60:]):
        return None
    inner = _BRACKET.fullmatch(name)
    named = by_name.get(name) or (by_name.get(inner["inner"] or "") if inner else None)
    texts = _items_asked(column.text, by_text) or _items_asked(column.name, by_text)
    if named and texts and named[0] not in texts:
        raise Refusal(
            f"{source.file}: column '{column.name}' is named as item {named[0]} but asks the question of item"
            f" {', '.join(sorted(texts))} ('{column.text}'); correct the export, or say under columns which"
            " it is"
        )
    if named:
        return Match(named[0], column.name, named[1])
    if len(texts) > 1:
        raise Refusal(f"{source.file}: column '{column.name}' asks the question of {len(texts)} items "
                      f"({', '.join(sorted(texts))}); say under columns which it is")
    return Match(texts.pop(), column.name, "text") if texts else None


def _items_asked(text: str, by_text: dict[str, set[str]]) -> set[str]:
    """Items whose text this is, by the most literal form that fits any."""
    for forms in question_forms(text):
        if found := set().union(*(by_text.get(f, set()) for f in forms)):
            return found
    return set()


def _refuse_faults(columns, instrument, source, found, unused, looked_like) -> None:
    faults = []
    asked = instrument.asked_at(source.wave)
    used = {m.column for matches in found.values() for m in matches}
    left = {c.name: c.text or c.name for c in columns if c.name not in used and c.name not in unused}
    missing = [i for i in asked if i.id not in found]
    if missing:
        wanted = []
        for item in missing:
            close = [n for n, text in left.items() if text in nearest(item.text, left.values(), count=2)]
            hint = f"nearest: '{close[0]}'" if close else "no similar column"
            if item.id in looked_like:
                hint = f"column '{looked_like[item.id]}' is listed under ignore"
            wanted.append(f"{item.id} ('{item.text}'; {hint})")
        faults.append(
            f"{len(missing)} of {len(asked)} items asked at '{source.wave}' have no column:"
            f" {', '.join(wanted)}; say under columns which column holds each, or add an alias to the"
            " instrument"
        )
    for item_id, matches in found.items():
        if len(matches) > 1:
            faults.append(
                f"item {item_id} has {len(matches)} columns ({', '.join(m.column for m in matches)}); "
                "list the one not meant under ignore, with the reason"
            )
    if faults:
        raise Refusal(f"{source.file}: " + "; ".join(faults))
