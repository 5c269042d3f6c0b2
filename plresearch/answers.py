"""What one cell means: an answer's code, a missing word with its reason, a date; or why it means nothing.

Cells are strings and are read, not coerced: 'None' may be an answer, '3.5' is not 4, '05/04/2015' is a
date only when something says which number is the month.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from .frames import Refusal
from .matching import fold, nearest
from .study import ResponseSet

LONGEST_ANSWER = 2_000  # characters; no label is as long
_CODE = re.compile(r"-?\d+")
_CODE_DOT = re.compile(r"(-?\d+)\.0+")
_CODE_COMMA = re.compile(r"(-?\d+),0+")
_NUMBER = re.compile(r"[+-]?\d*[.,]\d+")
_WHOLE_COMMA = re.compile(r"\d+,0+")
_TWO = re.compile(r"-?\d+(?:\s*(?:[;,/|&\n]|\band\b|\bor\b)\s*-?\d+)+|\d-\d|\d(?: \d)+")
_BETWEEN_ANSWERS = re.compile(r"\s*[;,|/&\n]\s*|\s+(?:and|or)\s+")
_CODE_FIRST = re.compile(r"[(\[]?(-?\d+)[)\]]?\s*[-:.=)]?\s*(\D.*)")
_CODE_LAST = re.compile(r"(.*\D)\s*[(\[](-?\d+)[)\]]|(.*?[^\d\s=:-])\s*[=:-]\s*(\d+)")
_LIMESURVEY = re.compile(r"ao?0*(\d+)")
_EXCEL_ERRORS = frozenset(
    {"#n/a", "#ref!", "#value!", "#div/0!", "#name?", "#num!", "#null!", "#spill!", "#calc!"}
)
_DATE_LIKE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}( .*)?|\d{1,2}[-"
    r" ](jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*([- ]\d+)?"
    r"|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[- ]\d+"
)


@dataclass(frozen=True)
class Reading:
    """What a cell means.

    `kind` is blank, missing, label, spelling, alias, number, option (LimeSurvey's A4), code, codebook
    or unreadable; `code` is set for answers, `reason` for missing words and unreadable cells. Whether
    `direction` is set, the cell shows by itself which way the numbers run ('5 - Strongly agree').
    """

    kind: str
    code: int | None = None
    reason: str = ""
    direction: bool = False


def read_answer(text: str, responses: ResponseSet, *, labels: dict[str, str] | None = None,
                missing: dict[str, str] | None = None, decimal_comma: bool = False,
                limesurvey: bool = False, turned: bool = False) -> Reading:
    """The meaning of one answer cell, before the direction of bare numbers is settled.

    Parameters
    ----------
    text
        The cell as exported.
    responses
        Labels, codes, aliases and missing words of the item.
    labels, missing
        The column's own codebook: code to label, value to missing reason.
    decimal_comma
        Whether '4,0' is 4 (a file separated by semicolons).
    limesurvey
        Whether 'A4' is the fourth answer.
    turned
        Whether the export's numbers run against the instrument's, as in '1 - Strongly agree'.

    Returns
    -------
    Reading; kinds 'number' and 'option' are bare codes whose direction something else must give.

    Examples
    --------
    >>> agree = ResponseSet("agree", ("Disagree", "None", "Agree"), (1, 2, 3),
    ...                     missing={"N/A": "not_applicable"})
    >>> [read_answer(t, agree).kind for t in ("Agree", "none", "3.0", "3 - Agree", "n/a", "")]
    ['label', 'spelling', 'number', 'code', 'missing', 'blank']
    >>> read_answer("2;3", agree).reason
    'holds two answers'
    """
    if text == "" or fold(text) == "":
        return Reading("blank")
    if len(text) > LONGEST_ANSWER:
        return Reading("unreadable", reason=f"has {len(text):,} characters and is not an answer of the item")
    folded = fold(text)
    by_label = _by_label(responses)
    if text in responses.labels:
        return Reading("label", by_label[folded])
    for value, reason in (missing or {}).items():
        if _same(value, folded):
            return Reading("missing", reason=reason)
    number = _whole(folded, decimal_comma)
    if labels and (found := _from_codebook(folded, number, labels, responses)):
        return found
    if folded in by_label and folded not in _aliases(responses):
        return Reading("spelling", by_label[folded])
    if number is not None and str(number) in by_label:
        return Reading("spelling", by_label[str(number)])
    for word, reason in responses.missing.items():
        if _same(word, folded):
            return Reading("missing", reason=reason)
    if folded in by_label:
        return Reading("alias", by_label[folded])
    if limesurvey and (match := _LIMESURVEY.fullmatch(folded)) and 1 <= int(match[1]) <= len(responses.codes):
        return Reading("option", responses.codes[int(match[1]) - 1])
    if number is not None:
        if number in responses.codes:
            return Reading("number", number)
        return Reading("unreadable", reason=f"is outside {_span(responses)}")
    return _code_with_label(text, folded, responses, by_label, turned)


def _aliases(responses: ResponseSet) -> set[str]:
    return {fold(a) for a in responses.aliases} - {fold(x) for x in responses.labels}


def _by_label(responses: ResponseSet) -> dict[str, int]:
    """Code of every label and alias, folded; a label wins over an alias."""
    code_of = dict(zip(responses.labels, responses.codes, strict=True))
    found = {fold(alias): code_of[label] for alias, label in responses.aliases.items()}
    return found | {fold(label): code for label, code in code_of.items()}


def _same(word: str, folded: str) -> bool:
    if fold(word) == folded:
        return True
    return (number := _whole(fold(word), False)) is not None and number == _whole(folded, False)


def _whole(folded: str, decimal_comma: bool) -> int | None:
    """The whole number a cell holds; None for anything else, such as 3.5 or 007."""
    match = _CODE.fullmatch(folded) or _CODE_DOT.fullmatch(folded)
    if match is None and decimal_comma:
        match = _CODE_COMMA.fullmatch(folded)
    if match is None:
        return None
    digits = match[1] if match.re.groups else match[0]
    return int(digits) if str(int(digits)) == digits else None


def _span(responses: ResponseSet) -> str:
    codes = sorted(responses.codes)
    whole = codes == list(range(codes[0], codes[-1] + 1))
    return f"{codes[0]}-{codes[-1]}" if whole else f"the codes {', '.join(map(str, codes))}"


def _from_codebook(
    folded: str, number: int | None, labels: dict[str, str], responses: ResponseSet
) -> Reading | None:
    """A code through the column's codebook; a code it does not label takes the direction of those it does."""
    by_label = _by_label(responses)
    if number is None:
        label = next((fold(t) for code, t in labels.items() if fold(code) == folded), "")
        return Reading("codebook", by_label[label]) if label in by_label and label != folded else None
    by_code = {n: label for code, label in labels.items() if (n := _whole(fold(code), False)) is not None}
    if number in by_code:
        label = fold(by_code[number])
        if label in by_label:
            return Reading("codebook", by_label[label])
        for word, reason in responses.missing.items():
            if _same(word, label):
                return Reading("missing", reason=reason)
        if (whole := _whole(label, False)) is not None and whole in responses.codes and whole == number:
            return None
        return Reading(
            "unreadable", reason=f"is '{by_code[number]}' in the codebook, which is not an answer of the item"
        )
    known = {n: by_label[fold(label)] for n, label in by_code.items() if fold(label) in by_label}
    turned = dict(zip(responses.codes, responses.codes[::-1], strict=True))
    if number not in responses.codes or not known or all(turned.get(n) == n for n in known):
        return None
    if all(n == code for n, code in known.items()):
        return Reading("codebook", number)
    if all(turned.get(n) == code for n, code in known.items()):
        return Reading("codebook", turned[number])
    return Reading("unreadable", reason="is a code the codebook does not explain")


def _code_with_label(
    text: str, folded: str, responses: ResponseSet, by_label: dict[str, int], turned: bool
) -> Reading:
    number_of = dict(zip(responses.codes, responses.codes[::-1] if turned else responses.codes, strict=True))
    opposite = dict(zip(responses.codes, responses.codes[::-1], strict=True))
    first, last = _CODE_FIRST.fullmatch(folded), _CODE_LAST.fullmatch(folded)
    found = [(first[1], first[2])] if first else []
    found += [(last[2] or last[4], last[1] or last[3])] if last else []
    found += [
        (code, label.strip()[1:-1])
        for code, label in found
        if label.strip()[:1] + label.strip()[-1:] in ("()", "[]")
    ]
    for code, label in found:
        if label.strip() in by_label:
            label, code = label.strip(), int(code)
            wanted = number_of[by_label[label]]
            if wanted == code:
                return Reading("code", by_label[label], direction=opposite[code] != code)
            return Reading("unreadable", reason=f"gives the number {code} to a label whose code is {wanted}")
    return Reading("unreadable", reason=_why_unreadable(text, folded, responses))


def _why_unreadable(text: str, folded: str, responses: ResponseSet) -> str:
    pieces = [p.strip() for p in _BETWEEN_ANSWERS.split(folded)]
    if folded in _EXCEL_ERRORS:
        return "is a spreadsheet error"
    if text.lstrip()[:1] in ("=", "@") or re.match(r"[+-][a-z(]", folded):
        return "is a formula"
    if _DATE_LIKE.fullmatch(folded):
        return "is a date"
    if _WHOLE_COMMA.fullmatch(folded):
        return "has a decimal comma, which is read only where semicolons separate the cells"
    if _NUMBER.fullmatch(folded):
        return "lies between two answers"
    if _TWO.fullmatch(folded) or (len(pieces) > 1 and all(p in _by_label(responses) for p in pieces)):
        return "holds two answers"
    close = nearest(text, responses.labels, count=1)
    return "is not an answer of the item" + (f" (nearest: '{close[0]}')" if close else "")


# ----------------------------------------------------------------------------------------------- dates

_ISO = re.compile(
    r"(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?:[t ]+(?P<time>.*))?"
)
_PLAIN_ISO = re.compile(r"\d{4}-\d\d-\d\d[t ]\d\d:\d\d:\d\d([+-]\d\d:\d\d)?")
_NUMERIC = re.compile(r"(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<y>\d{4}|\d{2})(?:,?[t ]+(?P<time>.*))?")
_WORDS = re.compile(
    r"(?:[a-z]+,? )?(?:(?P<d>\d{1,2})(?:st|nd|rd|th)?[- ](?P<m>[a-z]{3,9})|(?P<m2>[a-z]{3,9})"
    r" (?P<d2>\d{1,2})(?:st|nd|rd|th)?)"
    r",?[- ](?P<y>\d{4})(?:,? (?:at )?(?P<time>\d.*))?"
)
_TIME = re.compile(
    r"(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2})(?:[.,]\d+)?)?\s*(?P<half>[ap]\.?m\.?)?"
    r"\s*(?P<zone>z|(?:utc|gmt)?\s*(?:[+-]\d{1,2}(?::?\d{2})?)?)?(?:\s*\(?(?:bst|gmt|utc)\)?)?"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# Platforms whose default has the month first; Google and Microsoft write it without leading zeros, so that
# '03/04/2015' in their exports shows another setting. A declaration overrides the habit.
MONTH_FIRST = frozenset({"googleforms", "surveymonkey", "msforms"})
_ZERO_IN_FRONT = frozenset({"surveymonkey"})


@dataclass(frozen=True)
class When:
    """A moment or, where the export gives no time, a day."""

    date: dt.date
    time: dt.datetime | None = None

    @property
    def text(self) -> str:
        """ISO 8601, with the offset from UTC where the time is known."""
        return self.time.isoformat(timespec="seconds") if self.time else self.date.isoformat()

    def before(self, other: When) -> bool:
        """Whether this lies before `other`; compared by day unless both have a time."""
        if self.time and other.time:
            return self.time < other.time
        return self.date < other.date


def read_dates(
    texts: Iterable[str], *, timezone: str, day_first: bool | None, format: str = ""
) -> dict[str, When | None]:
    """Each text as a moment in `timezone`; None where it is not a date.

    Year-first and written-out dates are read as they stand. For the others `day_first` decides, else
    the dates that allow one reading only, else the platform's habit.

    Raises
    ------
    Refusal
        When the dates contradict each other, or every one allows two readings and nothing is declared.

    Examples
    --------
    >>> found = read_dates(["3/9/2014 10:15", "25/9/2014"], timezone="Europe/London", day_first=None)
    >>> found["3/9/2014 10:15"].text
    '2014-09-03T10:15:00+01:00'
    """
    texts = [t for t in dict.fromkeys(texts) if fold(t)]
    numeric = {t: m for t in texts if (m := _NUMERIC.fullmatch(fold(t)))}
    first_is_day = _first_is_day(numeric, day_first, format)
    zone = ZoneInfo(timezone)
    return {t: _when(fold(t), numeric.get(t), first_is_day, zone) for t in texts}


def all_ambiguous(texts: Iterable[str]) -> bool:
    """Whether there are numeric dates and every one can be read with the day or the month first."""
    found = [m for t in texts if (m := _NUMERIC.fullmatch(fold(t)))]
    return (
        bool(found)
        and all(max(int(m["a"]), int(m["b"])) <= 12 for m in found)
        and any(m["a"] != m["b"] for m in found)
    )


def _first_is_day(numeric: dict[str, re.Match], day_first: bool | None, format: str) -> bool:
    if day_first is not None or not numeric:
        return bool(day_first)
    day = [t for t, m in numeric.items() if int(m["a"]) > 12 >= int(m["b"])]
    month = [t for t, m in numeric.items() if int(m["b"]) > 12 >= int(m["a"])]
    if day and month:
        raise Refusal(
            f"the dates contradict each other: '{day[0]}' has the day first, '{month[0]}' the month; "
            "set day_first = true or false for this source, or correct the dates"
        )
    if day or month:
        return bool(day)
    padded = any(m["a"].startswith("0") or m["b"].startswith("0") for m in numeric.values())
    if format in MONTH_FIRST and (not padded or format in _ZERO_IN_FRONT):
        return False
    unclear = [t for t, m in numeric.items() if m["a"] != m["b"]]
    if unclear:
        raise Refusal(f"all {len(numeric)} different dates can be read with the day or the month first "
                      f"(first: '{unclear[0]}'); set day_first = true or false for this source")
    return False


def _when(folded: str, numeric: re.Match | None, first_is_day: bool, zone: ZoneInfo) -> When | None:
    if _PLAIN_ISO.fullmatch(folded):
        try:
            return _moment(dt.datetime.fromisoformat(folded), zone, stated=len(folded) > 19)
        except ValueError:
            return None
    if match := numeric:
        day, month = (match["a"], match["b"]) if first_is_day else (match["b"], match["a"])
        year = int(match["y"]) + (2000 if len(match["y"]) == 2 else 0)
    elif match := _ISO.fullmatch(folded):
        year, month, day = int(match["y"]), match["m"], match["d"]
    elif match := _WORDS.fullmatch(folded):
        word = (match["m"] or match["m2"])[:3]
        if word not in _MONTHS:
            return None
        year, month, day = int(match["y"]), _MONTHS.index(word) + 1, match["d"] or match["d2"]
    else:
        return None
    try:
        date = dt.date(year, int(month), int(day))
        return _with_time(date, match["time"], zone) if match["time"] else When(date)
    except ValueError:
        return None


def _with_time(date: dt.date, text: str, zone: ZoneInfo) -> When | None:
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hour = int(match["h"])
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match["half"][0] == "p" else 0)
    time = dt.datetime.combine(date, dt.time(hour, int(match["m"]), int(match["s"] or 0)))
    stated = (match["zone"] or "").strip()
    return _moment(time.replace(tzinfo=_offset(stated)) if stated else time, zone, stated=bool(stated))


def _moment(time: dt.datetime, zone: ZoneInfo, *, stated: bool) -> When:
    """A time in the zone; midnight without a stated offset is a day, as spreadsheets store it."""
    if stated:
        time = time.astimezone(zone)
    elif time.time() == dt.time():
        return When(time.date())
    else:
        time = time.replace(tzinfo=zone)
    return When(time.date(), time)


def _offset(text: str) -> dt.timezone:
    match = re.fullmatch(r"(?:utc|gmt)?\s*([+-])(\d{1,2}):?(\d{2})?", text)
    if match is None:
        return dt.UTC
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    return dt.timezone(dt.timedelta(minutes=minutes if match[1] == "+" else -minutes))
