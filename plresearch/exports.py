"""How each survey platform writes its exports: header block, question texts, columns of its own.

Everything here works on header rows and codebook rows already read as text; nothing opens a file.
A platform is recognised from its own column names, never from a file name, and columns are known by
name, never by position. Headings of Qualtrics, LimeSurvey, Microsoft Forms and SurveyMonkey were
checked against published code that reads such exports; the newer Jisc headings and REDCap's label
headings were not, and several spellings are accepted.
"""

from __future__ import annotations

import html
import itertools
import json
import os.path
import re
from collections import Counter
from dataclasses import dataclass, field

from .frames import Refusal
from .matching import fold

_TAG = re.compile(r"<(?:/?[a-zA-Z][^<>]{0,2000}|!--.{0,200}?--)>", re.DOTALL)
_IMPORT_ID = re.compile(r'\s*\{\s*"ImportId"\s*:')
_NUMBERING = re.compile(r"\A\s*Q?\d+(?:[._]\d+)*(?:[._]?[a-z]{1,2})?(?:[.:)]\s*|\s+)(?=\S)")
_NUMBER = re.compile(r"\s*Q?\d+(?:[._]\d+)*(?:[._]?[a-z]{1,2})?(?![A-Za-z0-9])")


@dataclass(frozen=True)
class Column:
    """One column of an export.

    Attributes
    ----------
    name
        Unique name of the column as exported; the key in `cells.column`.
    text
        Question text where the export or a codebook gives one (in a grid, the row's own text).
    labels
        Value as exported -> label, from a codebook, a .sav file, a data dictionary or a QSF file.
    missing
        Value as exported -> reason word, from declared missing values.
    """

    name: str
    text: str
    labels: dict[str, str]
    missing: dict[str, str]


@dataclass(frozen=True)
class Layout:
    """What a header block says; columns are given by position because names may still repeat.

    `choices` gives, per question that may be exported with one column per choice, the columns of its
    choices and those of its "Other" text.
    """

    header_rows: int
    names: list[str]
    texts: list[str]
    known: dict[str, int]
    administrative: dict[int, str]
    import_ids: list[str]
    timezone: str = ""
    choices: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Platform:
    """One survey platform: how it is recognised and which columns are its own."""

    title: str
    signatures: tuple[frozenset[str], ...]
    known: dict[str, tuple[str, ...]]
    administrative: dict[str, str]
    patterns: tuple[tuple[str, str], ...] = ()


_TIME = "a time set by the platform"
_PERSONAL = "identifies the person; never an answer"
_TECHNICAL = "technical column of the platform"
_STATUS = "state of the response, set by the platform"
_SERIAL = "number of the response, set by the platform"
_ROLE_REASONS = {
    "completed": _TIME, "started": _TIME, "status": _STATUS, "finished": _STATUS, "progress": _STATUS,
    "response_id": _SERIAL, "event": _STATUS, "instance": _STATUS, "language": _TECHNICAL,
}


def _names(*names: str) -> frozenset[str]:
    return frozenset(names)


_TIMESTAMPS = ("timestamp", "zeitstempel", "horodateur", "marca temporal", "carimbo de data/hora",
               "tijdstempel",
               "informazioni cronologiche")

PLATFORMS = {
    "qualtrics": Platform(
        "Qualtrics",
        (_names("startdate", "enddate", "responseid"), _names("startdate", "enddate", "recordeddate"),
         _names("responseid", "responseset")),
        {"completed": ("enddate", "recordeddate"), "started": ("startdate",), "status": ("status",),
         "finished": ("finished",), "progress": ("progress",), "response_id": ("responseid",),
         "language": ("userlanguage", "q_language")},
        {"recordeddate": _TIME, "ipaddress": _PERSONAL, "recipientlastname": _PERSONAL,
         "recipientfirstname": _PERSONAL, "recipientemail": _PERSONAL, "externalreference": _PERSONAL,
         "externaldatareference": _PERSONAL, "emailaddress": _PERSONAL, "name": _PERSONAL,
         "locationlatitude": _PERSONAL, "locationlongitude": _PERSONAL, "locationaccuracy": _TECHNICAL,
         "distributionchannel": _TECHNICAL, "duration (in seconds)": _TIME, "responseset": _TECHNICAL},
        ((r"^q_(recaptchascore|relevantid|ballotboxstuffing|totalduration|duplicaterespondent)", _TECHNICAL),
         (r"_(first click|last click|page submit|click count)$", "timing of a page, not an answer"),
         (r"(^|_)do(_\d+)?$", "order in which choices were shown, not an answer")),
    ),
    "surveymonkey": Platform(
        "SurveyMonkey",
        (_names("respondent id", "collector id"), _names("respondentid", "collectorid")),
        {"completed": ("end date", "enddate", "date modified"),
         "started": ("start date", "startdate", "date created"),
         "response_id": ("respondent id", "respondentid"), "status": ("response status", "status"),
         "language": ("language",)},
        {"collector id": _TECHNICAL, "collectorid": _TECHNICAL, "ip address": _PERSONAL,
         "ipaddress": _PERSONAL,
         "email address": _PERSONAL, "first name": _PERSONAL, "last name": _PERSONAL, "lastname": _PERSONAL,
         "firstname": _PERSONAL, "custom data": _PERSONAL, "custom data 1": _PERSONAL,
         "customdata": _PERSONAL,
         "custom value": _PERSONAL, "collector name": _TECHNICAL, "email": _PERSONAL},
    ),
    "limesurvey": Platform(
        "LimeSurvey",
        (_names("id. response id",), _names("id", "submitdate", "lastpage"),
         _names("id", "submitdate", "startlanguage"), _names("response id", "date submitted", "last page"),
         _names("response id", "date submitted", "start language")),
        {"completed": ("submitdate", "submitdate. date submitted", "date submitted"),
         "started": ("startdate", "startdate. date started", "date started"),
         "response_id": ("id", "id. response id", "response id"),
         "progress": ("lastpage", "lastpage. last page", "last page"),
         "language": ("startlanguage", "startlanguage. start language", "start language")},
        {"seed": _TECHNICAL, "seed. seed": _TECHNICAL, "datestamp": _TIME,
         "datestamp. date last action": _TIME,
         "date last action": _TIME, "ipaddr": _PERSONAL, "ipaddr. ip address": _PERSONAL,
         "ip address": _PERSONAL,
         "refurl": _TECHNICAL, "refurl. referrer url": _TECHNICAL, "referrer url": _TECHNICAL,
         "token": _PERSONAL,
         "token. access code": _PERSONAL, "token. token": _PERSONAL, "access code": _PERSONAL,
         "interviewtime": _TIME, "interviewtime. total time": _TIME, "total time": _TIME,
         "firstname": _PERSONAL, "firstname. first name": _PERSONAL, "lastname": _PERSONAL,
         "lastname. last name": _PERSONAL, "email": _PERSONAL, "email. email address": _PERSONAL},
        ((r"^(group|question) time\b", _TIME), (r"time\. (group|question) time\b", _TIME)),
    ),
    "redcap": Platform(
        "REDCap",
        (_names("redcap_event_name"), _names("redcap_repeat_instrument"), _names("redcap_survey_identifier"),
         _names("redcap_data_access_group"), _names("event name", "complete?"),
         _names("repeat instrument", "repeat instance"), _names("survey identifier", "complete?"),
         _names("record id", "complete?")),
        {"event": ("redcap_event_name", "event name"),
         "instance": ("redcap_repeat_instance", "repeat instance"), "language": ("redcap_language",)},
        {"redcap_repeat_instrument": "which repeating instrument the row belongs to",
         "repeat instrument": "which repeating instrument the row belongs to",
         "redcap_survey_identifier": _PERSONAL, "survey identifier": _PERSONAL,
         "redcap_data_access_group": _TECHNICAL, "data access group": _TECHNICAL},
    ),
    "msforms": Platform(
        "Microsoft Forms",
        (_names("id", "start time", "completion time"), _names("start time", "completion time", "email")),
        {"completed": ("completion time",), "started": ("start time",), "response_id": ("id",),
         "language": ("language",)},
        {"email": _PERSONAL, "name": _PERSONAL, "last modified time": _TIME, "total points": _TECHNICAL,
         "quiz feedback": _TECHNICAL, "grade posted time": _TIME},
        ((r"^(points|feedback) - ", "mark given by the platform"),),
    ),
    "jisc": Platform(
        "Jisc Online Surveys",
        (_names("unique response number"), _names("urn"), _names("responseid"),
         _names("response id", "completion date"), _names("response id", "date completed"),
         _names("response number", "completion date")),
        {"completed": ("completion date", "completed date", "date completed", "completed", "submitted",
                       "submission date", "end date", "completed at"),
         "started": ("start date", "started date", "date started", "started", "started at"),
         "response_id": ("unique response number", "urn", "responseid", "response id", "response number"),
         "status": ("response status", "status"), "language": ("language",)},
        {"respondent": _PERSONAL, "username": _PERSONAL, "email address": _PERSONAL, "token": _PERSONAL,
         "completion time": _TIME, "duration": _TIME, "ip address": _PERSONAL},
    ),
    "googleforms": Platform(
        "Google Forms",
        tuple(_names(word) for word in _TIMESTAMPS),
        {"completed": _TIMESTAMPS},
        {"email address": _PERSONAL, "username": _PERSONAL, "score": _TECHNICAL},
    ),
}
RECOGNITION_ORDER = ("qualtrics", "surveymonkey", "limesurvey", "redcap", "msforms", "jisc", "googleforms")


def plain(text: str) -> str:
    """Question text without markup: tags and entities gone, white space single.

    Examples
    --------
    >>> plain("<p>I feel <b>ready</b>&nbsp;to lead</p>")
    'I feel ready to lead'
    """
    if "<" in text or "&" in text:
        text = html.unescape(_TAG.sub(" ", text))
    return " ".join(text.split())


def unnumbered(text: str) -> str:
    """Question text without its leading number.

    Examples
    --------
    >>> unnumbered("5.1.a. I feel ready"), unnumbered("Q12: Why?"), unnumbered("3 wishes")
    ('I feel ready', 'Why?', 'wishes')
    """
    return plain(_NUMBERING.sub("", text, count=1))


def recognise(head: list[list[str]]) -> str:
    """The platform whose header block starts at the first of these rows, or ''."""
    if not head:
        return ""
    names = [fold(n) for n in head[0]]
    present = set(names)
    if any(_IMPORT_ID.match(cell) for row in head[1:3] for cell in row):
        return "qualtrics"
    if len(head) > 1 and {"v1", "v2"} <= present and {"responseid",
                                                      "startdate"} <= {fold(n) for n in head[1]}:
        return "qualtrics"
    for platform in RECOGNITION_ORDER:
        if any(signature <= present for signature in PLATFORMS[platform].signatures):
            numbered = any(_NUMBER.match(name) for name in head[0])
            if (platform != "googleforms" or names[0] in _TIMESTAMPS) and (platform != "jisc" or numbered):
                return platform
    if _goes_on(head) and len(present & _MONKEY_NAMES) >= 2:
        return "surveymonkey"
    identifiers = all(re.fullmatch(r"[a-z][a-z0-9_]*", n) for n in (x.strip("\ufeff") for x in head[0]))
    if identifiers and len(names) > 2 and any(n.endswith("_complete") for n in names[1:]):
        return "redcap"
    return ""


_MONKEY_NAMES = {*PLATFORMS["surveymonkey"].administrative,
                 *itertools.chain.from_iterable(PLATFORMS["surveymonkey"].known.values())}


def _goes_on(head: list[list[str]]) -> bool:
    """Whether a question goes on under headings left blank, with its parts in a second row."""
    if len(head) < 2 or len(head[0]) != len(head[1]):
        return False
    under = [part.strip() for name, part in zip(*head[:2]) if not name.strip()]
    return bool(under) and all(under)


def layout(platform: str, head: list[list[str]]) -> Layout:
    """Names, texts and the platform's own columns, from a header block (`head` holds up to three rows)."""
    width = len(head[0])
    rows = [(row + [""] * width)[:width] for row in head]
    rows[0] = [name.strip("\ufeff") for name in rows[0]]
    special = {"qualtrics": _qualtrics, "surveymonkey": _surveymonkey}
    if platform in special:
        return special[platform](rows)
    names = rows[0]
    texts = _TEXTS.get(platform, _no_texts)(names)
    return _with_own_columns(platform, Layout(1, names, texts, {}, {}, [""] * width))


def _with_own_columns(platform: str, base: Layout, names: list[str] | None = None) -> Layout:
    """The layout with the platform's own columns marked; a name counts at its first column only."""
    if platform not in PLATFORMS:
        return base
    spec = PLATFORMS[platform]
    first: dict[str, int] = {}
    for position, name in enumerate(names or base.names):
        first.setdefault(fold(name), position)
    if platform == "googleforms":
        first = {name: position for name, position in first.items() if position < 3}
    known = {}
    for role, alternatives in spec.known.items():
        position = next((first[a] for a in alternatives if a in first), None)
        if position is not None:
            known[role] = position
    own = {position: _ROLE_REASONS[role] for role, position in known.items()}
    own |= {first[name]: reason for name, reason in spec.administrative.items() if name in first}
    for pattern, reason in spec.patterns:
        own |= {p: reason for p, n in enumerate(names or base.names) if re.search(pattern, fold(n))}
    warnings = base.warnings
    if platform == "redcap":
        warnings += _redcap_columns(base.names, known, own)
    return Layout(base.header_rows, base.names, base.texts, known, own, base.import_ids, base.timezone,
                  base.choices, warnings)


def spss_columns(names: list[str], texts: list[str]) -> Layout:
    """Layout of a .sav file; a platform that wrote it is recognised by its own column names."""
    base = Layout(0, names, texts, {}, {}, [""] * len(names))
    platform = recognise([names])
    return _with_own_columns(platform, base) if platform not in ("", "redcap", "jisc") else base


def _qualtrics(rows: list[list[str]]) -> Layout:
    """Three header rows (tag, text, ImportId), two (tag, text) or the tags alone."""
    names, texts, ids, zones = rows[0], [""] * len(rows[0]), [""] * len(rows[0]), []
    count = 1
    for position in (1, 2):
        if len(rows) > position and any(_IMPORT_ID.match(cell) for cell in rows[position]):
            count = position + 1
            for column, cell in enumerate(rows[position]):
                try:
                    entry = json.loads(cell) if cell.strip() else {}
                except (json.JSONDecodeError, RecursionError):
                    entry = {}
                if isinstance(entry, dict):
                    ids[column] = str(entry.get("ImportId", ""))
                    zones += [str(entry["timeZone"])] if entry.get("timeZone") else []
            break
    second = [fold(cell) for cell in rows[1]] if len(rows) > 1 else []
    legacy = fold(names[0]) == "v1"
    has_text = count == 3 or legacy or bool({"start date", "end date", "response id",
                                             "recorded date"} & set(second))
    if has_text and count != 2:
        texts = _matrix_texts(names, [plain(cell) for cell in rows[1]])
        count = max(count, 2)
    own_names = [t if legacy and re.fullmatch(r"V\d+", n) else n for n,
                 t in zip(names, rows[1])] if legacy else names
    warnings = () if len(set(zones)) < 2 else (
        f"the header names {len(set(zones))} time zones ({', '.join(sorted(set(zones)))}); set timezone in "
        "the cohort file",)
    zone = zones[0] if len(set(zones)) == 1 else ""
    base = Layout(count, names, texts, {}, {}, ids, zone, warnings=warnings)
    return _with_own_columns("qualtrics", base, own_names)


def _matrix_texts(names: list[str], texts: list[str]) -> list[str]:
    """'Question - row' gives the row where the columns tag_1, tag_2, ... share the question."""
    groups: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        tag = re.fullmatch(r"(.+)_\d+", name)
        if tag:
            groups.setdefault(tag.group(1), []).append(position)
    out = list(texts)
    for members in groups.values():
        shared = os.path.commonprefix([texts[p] for p in members])
        cut = shared.rfind(" - ") + 3
        if len(members) > 1 and cut > 2:
            for p in members:
                out[p] = texts[p][cut:]
    return out


_OPEN = {"", "response", "open-ended response", "open-ended text", "date / time"}


def _surveymonkey(rows: list[list[str]]) -> Layout:
    """Two header rows: questions (blank where a question goes on) and parts of a question.

    A matrix row becomes "Question [part]" with the part as its text. Columns that may be the choices of
    one expanded question are listed under the question; whether they are is seen from the answers.
    """
    identity = next((p for p, n in enumerate(rows[0]) if fold(n) in ("respondent id", "respondentid")), 0)
    two = len(rows) > 1 and not rows[1][identity].strip() and any(cell.strip() for cell in rows[1])
    parts = rows[1] if two else [""] * len(rows[0])
    names, texts, question = [], [], ""
    groups: dict[str, list[int]] = {}
    for position, (head, part) in enumerate(zip(rows[0], parts)):
        goes_on = two and not head.strip() and bool(part.strip())
        question = question if goes_on else head
        if goes_on or (part.strip() and fold(part) not in _OPEN):
            names.append(f"{question} [{part}]")
            texts.append(plain(part))
            groups.setdefault(question, []).append(position)
        else:
            names.append(head)
            texts.append(plain(head))
    other = {p for p, part in enumerate(parts) if fold(part).startswith("other")}
    choices = {q: (tuple(p for p in members if p not in other), tuple(p for p in members if p in other))
               for q, members in groups.items()}
    base = Layout(2 if two else 1, names, texts, {}, {}, [""] * len(names), choices=choices)
    return _with_own_columns("surveymonkey", base)


def _no_texts(names: list[str]) -> list[str]:
    return [""] * len(names)


def _redcap_texts(names: list[str]) -> list[str]:
    """A heading that is a variable name gives no text; a label is the text."""
    return ["" if re.fullmatch(r"[a-z][a-z0-9_]*", name) else plain(name) for name in names]


def _grid_texts(names: list[str]) -> list[str]:
    """'Question [row]' gives the row's text where at least two columns share the question."""
    split = [_bracketed(name) for name in names]
    stems = Counter(stem for stem, row in split if row)
    return [plain(row) if row and stems[stem] > 1 else plain(name) for name, (stem, row) in zip(names, split)]


def _bracketed(name: str) -> tuple[str, str]:
    """('Question', 'row') of 'Question [row]'; ('', '') of any other heading."""
    body = name.rstrip()
    if not body.endswith("]"):
        return "", ""
    stem, opening, row = body[:-1].rpartition("[")
    return (stem.rstrip(), row.strip()) if opening and "]" not in row else ("", "")


def _likert_texts(names: list[str]) -> list[str]:
    """A header of several lines whose first line is shared gives its other lines; else the whole header."""
    firsts = Counter(name.split("\n", 1)[0].strip() for name in names if "\n" in name.strip())
    texts = []
    for name in names:
        first, _, rest = name.strip().partition("\n")
        texts.append(plain(rest) if rest.strip() and firsts[first.strip()] > 1 else plain(name))
    return texts


def _lime_texts(names: list[str]) -> list[str]:
    """'Q1. text', 'Q1[SQ001]. text [row]', 'text [row]' or the bare code (no text)."""
    bodies = []
    for name in names:
        coded = re.match(r"\s*[A-Za-z][A-Za-z0-9_]*(?:\[[^\]]*\])*\.\s*(.*)\Z", name, re.DOTALL)
        bare = re.fullmatch(r"\s*[A-Za-z][A-Za-z0-9_]*(?:\[[^\]]*\])*\s*", name)
        bodies.append("" if bare else (coded.group(1) if coded else name))
    return _grid_texts(bodies)


def _numbered_texts(names: list[str]) -> list[str]:
    """'5.1.a. text' gives the text; a bare number ('5.1.a', 'Q5_1_a') gives none."""
    bare = re.compile(r"\s*Q?\d+(?:[._]\d+)*(?:[._]?[a-z]{1,2})?[.:)]?\s*")
    return ["" if bare.fullmatch(name) else unnumbered(name) for name in names]


_TEXTS = {"googleforms": _grid_texts, "msforms": _likert_texts, "limesurvey": _lime_texts,
          "jisc": _numbered_texts, "redcap": _redcap_texts}


def _redcap_columns(names: list[str], known: dict[str, int], own: dict[int, str]) -> tuple[str, ...]:
    """Mark record number, form states and survey times; a role held by several forms stays unknown."""
    folded = [fold(name) for name in names]
    known["response_id"] = 0
    own[0] = _SERIAL
    forms = [p for p, n in enumerate(folded) if n.endswith("_complete") or n == "complete?"]
    titles = {folded[p].removesuffix("_complete") for p in forms}
    times = [p for p, n in enumerate(folded)
             if n == "survey timestamp" or (n.endswith("_timestamp")
                                            and n.removesuffix("_timestamp") in titles)]
    own |= {p: "state of a form (0 incomplete, 1 unverified, 2 complete)"
            for p in forms} | {p: _TIME for p in times}
    warnings = []
    for role, places, cure in (("finished", forms, ""), ("completed", times,
                                                         '; name one with completed = "..."')):
        if len(places) == 1:
            known[role] = places[0]
        elif len(places) > 1 and cure:
            warnings.append(f"{len(places)} columns hold a survey time "
                            f"({', '.join(names[p] for p in places[:3])}){cure}")
    return tuple(warnings)


# ------------------------------------------------------------------------------------------- codebooks


@dataclass
class _Entry:
    """What a codebook says of one column; `row_text` where its text is that of the column's own grid row."""

    text: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    row_text: bool = False


@dataclass(frozen=True)
class Codebook:
    """Texts, labels and missing values by folded column name, or by Qualtrics question (`questions`)."""

    entries: dict[str, _Entry]
    questions: dict[str, dict] = field(default_factory=dict)

    def entry(self, name: str, text: str, import_id: str) -> _Entry | None:
        """What the codebook says of a column; found by name, then by Qualtrics id, then by question text."""
        if self.questions:
            return _qsf_entry(self.questions, name, import_id)
        found = self.entries.get(fold(name))
        if found is None:
            found = self.entries.get("text:" + fold(unnumbered(text or name)))
        return found


def reason_word(label: str) -> str:
    """A reason word from the label of a missing value.

    Examples
    --------
    >>> reason_word("Prefer not to say"), reason_word("N/A"), reason_word("")
    ('prefer_not_to_say', 'not_applicable', 'user_missing')
    """
    folded = fold(label)
    if folded in ("n/a", "na", "not applicable", "does not apply"):
        return "not_applicable"
    return re.sub(r"[^a-z0-9]+", "_", folded).strip("_") or "user_missing"


_DICTIONARY = {"variable / field name": "name", "field_name": "name", "field type": "type",
               "field_type": "type",
               "field label": "text", "field_label": "text",
               "choices, calculations, or slider labels": "choices",
               "select_choices_or_calculations": "choices"}
_GENERIC = {
    "name": ("column", "variable", "variable name", "field", "question", "question number", "question code",
             "name"),
    "value": ("value", "code", "answer code", "answer value", "response code"),
    "label": ("label", "meaning", "answer", "answer text", "answer label", "value label", "response"),
    "text": ("text", "question text", "variable label", "question label"),
    "missing": ("missing", "reason", "missing reason"),
}


def table_codebook(rows: list[list[str]], source: str) -> Codebook:
    """A codebook from a table: a REDCap data dictionary, or one line per column and value.

    Raises
    ------
    Refusal
        When its header has neither form, or one value of a column has two labels.
    """
    for start, row in enumerate(rows[:10]):
        head = [fold(cell) for cell in row]
        places = {_DICTIONARY[n]: p for p, n in enumerate(head) if n in _DICTIONARY}
        if {"name", "choices"} <= set(places):
            return _dictionary(rows[start + 1:], places)
        places = {key: next(p for p, n in enumerate(head) if n in names)
                  for key, names in _GENERIC.items() if any(n in names for n in head)}
        if {"name", "value", "label"} <= set(places):
            return _value_table(rows[start + 1:], places, source)
    raise Refusal(
        f"codebook {source} has no header that could be read; give the columns column, value and label (one "
        "line per "
        "value), or a REDCap data dictionary with 'Variable / Field Name' and 'Choices, Calculations, OR "
        "Slider Labels'"
    )


def _value_table(rows: list[list[str]], places: dict[str, int], source: str) -> Codebook:
    entries: dict[str, _Entry] = {}
    name = text = ""
    for number, row in enumerate(rows, start=1):
        cell = {key: (row[p].strip() if p < len(row) else "") for key, p in places.items()}
        if not any(cell.values()):
            continue
        if cell["name"]:
            name, text = cell["name"], ""
        text = cell.get("text") or text
        entry = entries.setdefault(fold(name), _Entry())
        entry.text = entry.text or plain(text)
        if entry.text:
            entries.setdefault("text:" + fold(unnumbered(entry.text)), entry)
        if not cell["value"]:
            continue
        if cell.get("missing"):
            entry.missing[cell["value"]] = reason_word(cell["missing"])
        elif entry.labels.setdefault(cell["value"], cell["label"]) != cell["label"]:
            raise Refusal(
                f"codebook {source} gives value '{cell['value']}' of column '{name}' two labels, "
                f"'{entry.labels[cell['value']]}' and '{cell['label']}' (line {number}); keep one"
            )
    return Codebook(entries)


def _dictionary(rows: list[list[str]], places: dict[str, int]) -> Codebook:
    """A REDCap data dictionary; a checkbox field becomes one column per choice."""
    entries: dict[str, _Entry] = {}
    for row in rows:
        cell = {key: (row[p].strip() if p < len(row) else "") for key, p in places.items()}
        kind, text = cell.get("type", "radio"), plain(cell.get("text", ""))
        if not cell["name"]:
            continue
        choices = _choices(cell["choices"]) if kind in ("radio", "dropdown", "checkbox") else {}
        if kind == "yesno":
            choices = {"1": "Yes", "0": "No"}
        elif kind == "truefalse":
            choices = {"1": "True", "0": "False"}
        if kind == "checkbox":
            for code, label in choices.items():
                column = f"{cell['name']}___{code.lower().replace('-', '_')}"
                made = _Entry(f"{text} (choice={label})", {"0": "Unchecked", "1": "Checked"})
                entries[fold(column)] = entries["text:" + fold(unnumbered(made.text))] = made
            continue
        made = _Entry(text, choices)
        entries[fold(cell["name"])] = made
        if text:
            entries.setdefault("text:" + fold(unnumbered(text)), made)
    return Codebook(entries)


def _choices(text: str) -> dict[str, str]:
    """'1, Strongly disagree | 2, Disagree' as code -> label."""
    pairs = (part.partition(",") for part in text.split("|") if part.strip())
    return {code.strip(): plain(label) for code, comma, label in pairs if comma}


def qsf_codebook(text: str, source: str) -> Codebook:
    """A codebook from a Qualtrics survey definition (.qsf, JSON).

    Raises
    ------
    Refusal
        When it is not such a file.
    """
    cure = "export it from Qualtrics (Tools, Import/Export, Export survey) and leave it as it is"
    try:
        elements = json.loads(text)["SurveyElements"]
        questions = [e["Payload"] for e in elements if e.get("Element") == "SQ"
                     and isinstance(e.get("Payload"), dict)]
    except (json.JSONDecodeError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(f"codebook {source} is not a Qualtrics survey definition ({error}); {cure}") from error
    found = {}
    for question in questions:
        matrix = question.get("QuestionType") == "Matrix"
        scale = _displays(question.get("Answers" if matrix else "Choices"))
        recode = question.get("RecodeValues")
        recode = recode if isinstance(recode, dict) else {}
        closed = question.get("QuestionType") in ("MC", "Matrix") and question.get("Selector") not in ("TE",)
        tags = question.get("ChoiceDataExportTags")
        found[str(question.get("QuestionID", ""))] = {
            "tag": str(question.get("DataExportTag", "")),
            "text": plain(str(question.get("QuestionText", ""))),
            "labels": {str(recode.get(k, k)): label for k, label in scale.items()} if closed else {},
            "rows": _displays(question.get("Choices")) if matrix else {},
            "tags": {str(v): str(k) for k, v in tags.items()} if isinstance(tags, dict) else {},
        }
    if not found:
        raise Refusal(f"codebook {source} has no question in it; {cure}")
    return Codebook({}, found)


def _displays(choices) -> dict[str, str]:
    """Choice id -> displayed text, from the mapping or list that a QSF holds."""
    if isinstance(choices, list):
        choices = {str(i): c for i, c in enumerate(choices, start=1)}
    if not isinstance(choices, dict):
        return {}
    return {str(k): plain(str(c.get("Display", ""))) for k, c in choices.items() if isinstance(c, dict)}


def _qsf_entry(questions: dict[str, dict], name: str, import_id: str) -> _Entry | None:
    """The question of a column: by its ImportId, else by its tag or the tag of one of its rows."""
    if name.endswith("_TEXT") or import_id.endswith("_TEXT"):
        return None
    part = ""
    by_id = re.match(r"(QID\d+)(?:[_-](\d+))?(?:_|\Z)", import_id)
    if by_id and by_id.group(1) in questions:
        question, part = questions[by_id.group(1)], by_id.group(2) or ""
    elif import_id:
        return None
    else:
        question = next((q for q in questions.values() if q["tag"] == name or name in q["tags"]), None)
        if question is None:
            stem, _, part = name.rpartition("_")
            question = next((q for q in questions.values() if q["tag"] == stem and stem), None)
        else:
            part = question["tags"].get(name, "")
    if question is None:
        return None
    return _Entry(question["rows"].get(part, question["text"]), dict(question["labels"]),
                  row_text=part in question["rows"])
