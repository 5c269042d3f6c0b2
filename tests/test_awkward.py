"""A table of awkward files: what each is, and what must become of it, cell by cell.

Every case names the outcome, the answers of every person kept, the rows set aside with a word of their
reason, and words of the warnings or of the refusal. Nothing is compared loosely: a person or an answer
that is not expected fails the case, and so does a warning on a file that deserves none.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import awkward as a
from awkward import CODES, ITEMS, LABELS, PEOPLE, TEXTS, as_csv, as_xlsx, table
from plresearch.clean import restore, take_in
from plresearch.matching import header_words
from plresearch.read import read

NUMBERS = {"cell": str}
INSTRUMENT_WAY = {"codes": "as-instrument"}
PLATFORM = {"person": "code", "completed": ""}
LABELLED = {"person": "Participant code", "completed": ""}
BACKWARDS = LABELS[::-1]


@dataclass
class Case:
    """One file and what must become of it."""

    name: str
    content: bytes | Callable[[Path], bytes]
    outcome: str
    want: dict = field(default_factory=dict)  # (row, item) -> code or None, where it differs from CODES
    aside: dict = field(default_factory=dict)  # row -> word of the reason
    says: tuple = ()  # words of warnings; without them there may be none
    refusal: tuple = ()
    flags: set | None = None  # (row, flag)
    file: str = "x.csv"
    gone: tuple = ()  # rows that are not used without being set aside
    rows: int = 6
    options: dict = field(default_factory=dict)
    suggests: dict = field(default_factory=dict)


CASES: list[Case] = []


def case(name, content, outcome, /, **given):
    known = set(Case.__dataclass_fields__)
    own = {k: v for k, v in given.items() if k in known}
    CASES.append(
        Case(name, content, outcome, options={k: v for k, v in given.items() if k not in known}, **own)
    )


def csv_case(
    name, outcome, changes=None, /, *, header=None, cell=a.label, when=None, extra=None, text=None, **given
):
    rows = table(changes, header=header, cell=cell, when=when, extra=extra)
    case(name, as_csv(rows, **(text or {})), outcome, **given)


def item_header(change: dict | Callable[[str], str]) -> list[str]:
    """The header with questions in full, changed one by one or all alike."""
    change = change if callable(change) else (lambda t, c=change: c.get(t, t))
    return ["code", "when", *map(change, TEXTS.values())]


# ---------------------------------------------------------------------------------- rule 1: columns

csv_case("field names", "ok")
csv_case("question texts", "ok", header=item_header({}))
for number, change in {
    "upper case": str.upper,
    "leading numbers": lambda t: f"7. {t}",
    "Q numbers": lambda t: f"Q12: {t}",
    "deep numbers": lambda t: f"2.1.a. {t}",
    "number in parentheses": lambda t: f"(3) {t}",
    "trailing bracket": lambda t: f"{t} (please tick one)",
    "trailing square bracket": lambda t: f"{t} [1 = no, 5 = yes]",
    "non-breaking spaces": lambda t: t.replace(" ", "\u00a0"),
    "narrow spaces": lambda t: t.replace(" ", "\u202f"),
    "zero width": lambda t: t[:4] + "\u200b" + t[4:],
    "soft hyphen": lambda t: t[:6] + "\u00ad" + t[6:],
    "curly quotes": lambda t: t.replace("'", "\u2019"),
    "double spaces": lambda t: t.replace(" ", "  ") + " ",
    "line end in a heading": lambda t: t.replace(" ", "\n", 1),
    "full stop at the end": lambda t: f"{t}.",
    "asterisk of a required question": lambda t: f"{t} *",
    "markup": lambda t: f"<p><b>{t}</b></p>",
    "entities": lambda t: t.replace("'", "&#39;").replace(" ", "&nbsp;", 1),
    "a stem before a dash": lambda t: f"How far do you agree? - {t}",
    "a stem with an en dash": lambda t: f"How far do you agree? \u2013 {t}",
    "grid brackets": lambda t: f"How far do you agree? [{t}]",
    "number, stem and row": lambda t: f"5. How far? - 5.2 - {t}",
}.items():
    csv_case(f"heading with {number}", "ok", header=item_header(change))
csv_case(
    "byte order mark inside the heading of a later column", "ok", header=item_header(lambda t: "\ufeff" + t)
)
case("columns in another order", as_csv([[r[k] for k in (4, 0, 6, 2, 1, 5, 3)] for r in table()]), "ok")
case("renumbered questions between waves are known by their text", as_csv(table(
    header=["code", "when", *(f"Q{9 - k}. {t}" for k, t in enumerate(TEXTS.values()))])), "ok")
case(
    "numbers alone identify nothing",
    as_csv(table(header=["code", "when", "Q1", "Q2", "Q3", "Q4", "Q5"])),
    "refused",
    refusal=("5 of 5 items", "lead", "no column"),
)
case("numbers identify where the instrument declares them for the wave",
     as_csv(table(header=["code", "when", "Q6", "Q7", "Q8", "Q9", "Q10"])), "ok", wave="follow")
case("the other wave's names are no columns of this wave",
     as_csv(table(header=["code", "when", "Q6", "Q7", "Q8", "Q9", "Q10"])), "refused", refusal=("no column",))
case("a missing column", as_csv([r[:-1] for r in table()]), "refused", refusal=("1 of 5 items", "trust"))
case("a repeated question", as_csv([[*r, r[2]] for r in table(header=item_header({}))]), "refused",
     refusal=("lead", "2 columns"))
case("a repeated field name", as_csv([[*r, r[2]] for r in table()]), "refused", refusal=("lead", "2 columns"))
case(
    "a field name and its question",
    as_csv([[*r, "Agree" if n else TEXTS["lead"]] for n, r in enumerate(table())]),
    "refused",
    refusal=("lead", "2 columns"),
)
case("a repeated field name, one of them ignored", as_csv([[*r, "Agree" if n else TEXTS["lead"]]
     for n, r in enumerate(table())]), "ok", ignore={TEXTS["lead"]: "asked twice by mistake"})
csv_case("an unknown column is warned about by name", "ok", extra={"shoe size": "3 4 5 6 7 8".split()},
         says=("shoe size",))
csv_case(
    "an ignored column is not",
    "ok",
    extra={"shoe size": "3 4 5 6 7 8".split()},
    ignore={"shoe*": "not wanted"},
)
csv_case(
    "a reworded question is not guessed",
    "refused",
    header=item_header({TEXTS["lead"]: "I felt ready to lead"}),
    refusal=("lead", "I felt ready to lead"),
)
csv_case(
    "a reworded question that is declared",
    "ok",
    header=item_header({TEXTS["lead"]: "I felt ready to lead"}),
    columns={"I felt ready to lead": "lead"},
)
csv_case("a declared column that is not there", "refused", columns={"Q77": "lead"}, refusal=("Q77",))
csv_case(
    "an empty heading over answers", "refused", header=["code", "when", "", *ITEMS[1:]], refusal=("lead",)
)
csv_case("an unnamed column of row numbers, as pandas writes it", "ok", extra={"": "0 1 2 3 4 5".split()},
         says=("without a name", "(unnamed 8)"))
csv_case("no person column", "refused", header=["x1", "when", *ITEMS], person="", refusal=("person",))
csv_case(
    "two person columns", "refused", extra={"participant id": list(PEOPLE)}, person="", refusal=("person",)
)
for heading in (
    "Participant code",
    "ID",
    "Your participant code:",
    "1. Please enter your participant code",
    "record_id",
):
    csv_case(
        f"person column found by its heading: {heading}", "ok", header=[heading, "when", *ITEMS], person=""
    )
csv_case(
    "comments beside a question",
    "ok",
    header=item_header({}),
    ignore={f"{TEXTS['lead']}*": "read by the lead"},
    extra={f"{TEXTS['lead']} [Comment]": ["a"] * 6, f"{TEXTS['lead']} (Other)": ["b"] * 6},
)
csv_case(
    "a question of another wave in this one", "ok", extra={"Time given to you": ["Some"] * 6}, says=("time",)
)

# ---------------------------------------------------------------------------------- rule 2: answers

for name, cell, outcome in (
    ("lower case", lambda c: a.label(c).lower(), "repaired"),
    ("upper case", lambda c: a.label(c).upper(), "repaired"),
    ("white space", lambda c: f"  {a.label(c)}\t", "repaired"),
    ("non-breaking space", lambda c: a.label(c).replace(" ", "\u00a0") + "\u00a0", "repaired"),
    ("zero width", lambda c: a.label(c) + "\u200b", "repaired"),
    ("code and label", lambda c: f"{c} - {a.label(c)}", "repaired"),
    ("code, en dash, label", lambda c: f"{c} \u2013 {a.label(c)}", "repaired"),
    ("code. label", lambda c: f"{c}. {a.label(c)}", "repaired"),
    ("code) label", lambda c: f"{c}) {a.label(c)}", "repaired"),
    ("code = label", lambda c: f"{c} = {a.label(c)}", "repaired"),
    ("code: label", lambda c: f"{c}: {a.label(c)}", "repaired"),
    ("label (code)", lambda c: f"{a.label(c)} ({c})", "repaired"),
    ("code (label)", lambda c: f"{c} ({a.label(c)})", "repaired"),
    ("[code] label", lambda c: f"[{c}] {a.label(c)}", "repaired"),
    ("label - code", lambda c: f"{a.label(c)} - {c}", "repaired"),
):
    csv_case(f"labels in other form: {name}", outcome, cell=cell)
csv_case("bare codes with a declared direction", "ok", **INSTRUMENT_WAY, **NUMBERS)
csv_case("bare codes declared reversed", "ok", cell=lambda c: str(6 - c), codes="reversed")
csv_case("codes with .0", "repaired", cell=lambda c: f"{c}.0", **INSTRUMENT_WAY)
csv_case("codes with .00", "repaired", cell=lambda c: f"{c}.00", **INSTRUMENT_WAY)
for delimiter in (";",):
    csv_case(
        "decimal commas in a semicolon file",
        "repaired",
        cell=lambda c: f"{c},0",
        text={"delimiter": ";"},
        **INSTRUMENT_WAY,
    )
csv_case(
    "decimal commas in a semicolon file whose delimiter is declared",
    "repaired",
    cell=lambda c: f"{c},0",
    text={"delimiter": ";"},
    delimiter=";",
    **INSTRUMENT_WAY,
)
csv_case(
    "decimal commas in a comma file",
    "refused",
    cell=lambda c: f"{c},0",
    refusal=("more than half",),
    **INSTRUMENT_WAY,
)
csv_case(
    "one decimal comma in a comma file",
    "quarantine",
    {(3, "lead"): "2,0"},
    cell=str,
    aside={3: "unreadable answer"},
    says=("lead",),
    **INSTRUMENT_WAY,
)
for bad, word in {
    "3.5": "between two answers",
    "3,5": "between two answers",
    "4;5": "two answers",
    "4, 5": "two answers",
    "4/5": "two answers",
    "Agree;Neutral": "two answers",
    "Agree, Neutral": "two answers",
    "4 and 5": "two answers",
    "Agree or Neutral": "two answers",
    "6": "outside",
    "0": "outside",
    "-1": "outside",
    "55": "outside",
    "Agreee": "nearest: 'Agree'",
    "Yes": "not an answer",
    "=B2": "formula",
    "+SUM(A1)": "formula",
    "@cmd": "formula",
    "=HYPERLINK(\"http://x\")": "formula",
    "#N/A": "error",
    "#REF!": "error",
    "#DIV/0!": "error",
    "#VALUE!": "error",
    "#NAME?": "error",
    "04-May": "date",
    "May-04": "date",
    "2015-03-04": "date",
    "04/05/2015": "date",
    "4 - Strongly agree": "code is 5",
    "?": "not an answer",
    "\u00bd": "not an answer",
    "4\u00bd": "not an answer",
    "5\u00b2": "not an answer",
    "05": "not an answer",
    "4+": "not an answer",
    "-": "not an answer",
    "TRUE": "not an answer",
    "None": "not an answer",
    "nan": "not an answer",
    "NULL": "not an answer",
    "A4": "not an answer",
    "\uff14": "not an answer",
    "Str\ufffdngly agree": "not an answer",
}.items():
    csv_case(
        f"an answer that is none: {bad}", "quarantine", {(2, "help"): bad}, aside={2: word}, says=("help",)
    )
csv_case(
    "two bad answers in one row name both",
    "quarantine",
    {(2, "help"): "6", (2, "voice"): "4;5"},
    aside={2: "'4;5' in column 'voice'"},
    says=("help",),
)
csv_case(
    "an alias", "repaired", {(2, "plan"): "neither", (1, "lead"): "SA"}, want={(2, "plan"): 3, (1, "lead"): 5}
)
csv_case("half of an item's answers bad are set aside", "quarantine", {(r, "lead"): "9" for r in (1, 3, 5)},
         aside={1: "outside 1-5", 3: "outside 1-5", 5: "outside 1-5"}, says=("3 of 6 answers in lead",))
csv_case(
    "more than half of an item's answers bad refuse the file",
    "refused",
    {(r, "lead"): "9" for r in (1, 2, 3, 5)},
    refusal=("4 of 6 answers in lead", "more than half"),
)
csv_case(
    "more than half of the answered, blanks not counted",
    "refused",
    {(r, "lead"): "9" for r in (1, 2)} | {(r, "lead"): "" for r in (3, 4, 5)},
    refusal=("2 of 3 answers in lead",),
)
case(
    "a shifted export",
    as_csv([[*r[:2], "x" if n else "lead", *(r[2:-1] if n else r[3:])] for n, r in enumerate(table())]),
    "refused",
    refusal=("more than half",),
)
case("two columns swapped but for their headings are known by the headings", as_csv(table(
    header=["code", "when", "help", "lead", "plan", "voice", "trust"])), "ok",
    want={(n, i): CODES[p][k] for n, p in enumerate(PEOPLE, start=1) for i, k in (("lead", 1), ("help", 0))})

# ---------------------------------------------------------------------------------- rule 3: missing words

csv_case(
    "missing words become empty and keep their reason",
    "ok",
    {
        (1, "lead"): "N/A",
        (2, "help"): "-99",
        (3, "plan"): "NA",
        (4, "voice"): "Prefer not to say",
        (5, "trust"): "not applicable",
    },
    want={(1, "lead"): None, (2, "help"): None, (3, "plan"): None, (4, "voice"): None, (5, "trust"): None},
)
csv_case(
    "minus ninety-nine with a fraction or a true minus",
    "ok",
    {(1, "lead"): "-99.0", (2, "help"): "\u221299"},
    want={(1, "lead"): None, (2, "help"): None},
)
csv_case(
    "blank cells, spaces and invisible characters are blank",
    "ok",
    {(1, "lead"): "", (2, "help"): "  ", (3, "plan"): "\u200b\u00a0"},
    want={(1, "lead"): None, (2, "help"): None, (3, "plan"): None},
)
csv_case(
    "undeclared missing words are no answers",
    "quarantine",
    {(1, "lead"): "-88", (2, "help"): "n.a.", (3, "plan"): "missing"},
    aside={1: "outside", 2: "not an answer", 3: "not an answer"},
    says=("lead", "help", "plan"),
)
csv_case(
    "the label None is an answer where it is one",
    "ok",
    extra={"time": ["None", "Some", "Much", "None", "NA", "Some"]},
    wave="post",
    want={(n, "time"): c for n, c in enumerate((0, 1, 2, 0, None, 1), start=1)},
)
csv_case(
    "a long missing word with a slash",
    "ok",
    extra={"time": ["N.A./Prefer not to answer", *["Some"] * 5]},
    wave="post",
    want={(n, "time"): c for n, c in enumerate((None, 1, 1, 1, 1, 1), start=1)},
)
csv_case("free text is never missing", "ok", extra={"comment": ["NA", "None", "N/A", "-99", "null", "nan"]},
         ignore={"comment": "read by the lead"})

# ---------------------------------------------------------------------------------- rule 4: direction

csv_case("bare codes without a direction", "refused", refusal=("bare numbers", "codes ="), **NUMBERS)
csv_case(
    "bare codes without a direction or a roster", "refused", refusal=("bare numbers",), roster=None, **NUMBERS
)
csv_case(
    "one coded column among labels has no direction",
    "refused",
    {(n, "help"): str(CODES[p][1]) for n, p in enumerate(PEOPLE, start=1)},
    refusal=("bare numbers", "help"),
)
csv_case(
    "a number typed among labels is read and warned about",
    "ok",
    {(2, "help"): "3"},
    says=("help", "among labels"),
)
csv_case(
    "labels beside numbers in the column's other cells show the way",
    "repaired",
    {(1, "lead"): "4 - Agree"},
    cell=str,
    refusal=(),
    says=(),
)
csv_case(
    "labels beside numbers that run the other way",
    "refused",
    cell=lambda c: f"{6 - c} - {a.label(c)}",
    refusal=("more than half",),
)
csv_case(
    "the same, declared reversed", "repaired", cell=lambda c: f"{6 - c} - {a.label(c)}", codes="reversed"
)
case("codes with a codebook", as_csv(table(cell=str)), "ok", codebook=a.codebook())
case(
    "codes with a codebook that runs the other way: very likely is 1",
    as_csv(table(cell=lambda c: str(6 - c))),
    "ok",
    codebook=a.codebook(BACKWARDS),
)
case(
    "a codebook of other columns",
    as_csv(table(cell=str)),
    "refused",
    codebook=a.codebook(names=("q8", "q9")),
    refusal=("codebook",),
)
case(
    "a codebook of one column says nothing of the others",
    as_csv(table(cell=str)),
    "refused",
    codebook=a.codebook(names=("lead",)),
    refusal=("bare numbers",),
)
case("a codebook with a missing value", as_csv(table({(1, "lead"): "9"}, cell=str)), "ok",
     codebook=a.codebook(extra=[("9", "Prefer not to say", "Prefer not to say")]), want={(1, "lead"): None})
case("a codebook whose label is a missing word", as_csv(table({(1, "lead"): "9"}, cell=str)), "ok",
     codebook=a.codebook(extra=[("9", "Not applicable", "")]), want={(1, "lead"): None})
case(
    "a codebook with labels the instrument does not know",
    as_csv(table(cell=str)),
    "refused",
    codebook=a.codebook(("never", "seldom", "at times", "often", "always")),
    refusal=("more than half", "codebook"),
)
case(
    "a codebook against the declared direction",
    as_csv(table(cell=str)),
    "refused",
    codebook=a.codebook(BACKWARDS),
    codes="as-instrument",
    refusal=("codebook", "lead"),
)
case(
    "a codebook with the declared direction",
    as_csv(table(cell=lambda c: str(6 - c))),
    "ok",
    codebook=a.codebook(BACKWARDS),
    codes="reversed",
)
case(
    "ends labelled, numbers between",
    as_csv(table(cell=lambda c: f"{c} - {a.label(c)}" if c in (1, 5) else str(c))),
    "repaired",
)
case(
    "codes = reversed turns bare numbers only",
    as_csv(table({(1, "lead"): "Agree"}, cell=lambda c: str(6 - c))),
    "ok",
    codes="reversed",
)
csv_case("an unknown word for the direction", "refused", codes="upside-down", refusal=("upside-down",))

# ---------------------------------------------------------------------------------- rule 6: people

for text, person in {
    "pl-001": 1,
    "PL001": 1,
    "PL 1": 1,
    "1": 1,
    "001": 1,
    "1.0": 1,
    " PL-001 ": 1,
    "PL\u2013001": 1,
    "ID: PL-001": 1,
    "Pl_001": 1,
    "PL-001.": 1,
    "PL\u00a0001": 1,
    '="PL-001"': 1,
    "PL-001\u200b": 1,
}.items():
    csv_case(f"an id spelled {text!r}", "repaired", {(person, "code"): text})
for text in (
    "PL-007",
    "PL-O01",
    "XX-001",
    "PL-0011",
    "",
    " ",
    "PL-001 PL-002",
    "=A1",
    "#N/A",
    "PL-l",
    "1.5",
    "-1e2",
    "Anna",
):
    csv_case(
        f"an id that is nobody's: {text!r}",
        "quarantine",
        {(1, "code"): text},
        aside={1: "unknown person"},
        **({"suggests": {1: "PL-001"}} if text in ("PL-O01", "PL-0011") else {}),
    )
csv_case(
    "test ids",
    "quarantine",
    {(1, "code"): "TEST", (2, "code"): "test 2"},
    aside={1: "preview or test", 2: "preview or test"},
)
csv_case(
    "an identical row is dropped",
    "repaired",
    {(2, c): v for c, v in zip(a.HEADER, table()[1], strict=True)},
    gone=(2,),
    says=("byte for byte",),
)
csv_case(
    "one person twice with another answer",
    "quarantine",
    {(2, c): v for c, v in zip(a.HEADER[:-1], table()[1][:-1], strict=True)},
    aside={1: "same person twice", 2: "rows 1, 2"},
)
csv_case(
    "one person twice, spelled in two ways",
    "quarantine",
    {(2, c): v for c, v in zip(a.HEADER, ["pl1", *table()[1][1:]], strict=True)},
    aside={1: "same person twice", 2: "same person twice"},
)
csv_case(
    "one person three times, two rows alike",
    "quarantine",
    {(r, c): v for r in (2, 3) for c, v in zip(a.HEADER, table()[1], strict=True)}
    | {(3, "lead"): "Disagree"},
    aside={1: "same person twice", 2: "same person twice", 3: "same person twice"},
)
csv_case(
    "one person twice, differing in free text alone",
    "quarantine",
    {(2, c): v for c, v in zip(a.HEADER, table()[1], strict=True)},
    extra={"comment": ["a", "b", "", "", "", ""]},
    ignore={"comment": "x"},
    aside={1: "same person twice", 2: "same person twice"},
)
csv_case(
    "role and pair agree",
    "ok",
    extra={"role": ["Doctor", "managers", "doctor", "MANAGER", "Doctors", ""], "pair": list("AaBBC") + [""]},
)
csv_case(
    "a role that disagrees",
    "quarantine",
    extra={"role": ["Manager", *[""] * 5]},
    aside={1: "roster disagreement"},
)
csv_case(
    "a role nobody has", "quarantine", extra={"role": ["Nurse", *[""] * 5]}, aside={1: "roster disagreement"}
)
csv_case(
    "a pair that disagrees",
    "quarantine",
    extra={"pair": ["A", "A", "C", "B", "C", "C"]},
    aside={3: "roster disagreement"},
)
csv_case(
    "role and pair in columns of other names",
    "quarantine",
    extra={"I am a": ["Manager", *["", "Doctor"] * 2, ""], "Team": ["A", "B", *[""] * 4]},
    columns={"I am a": "role", "Team": "pair"},
    aside={1: "role", 2: "pair"},
)
case(
    "a roster that names one person twice",
    as_csv(table()),
    "refused",
    roster=pd.DataFrame({"person": ["PL-1", "pl01"]}),
    refusal=("twice",),
)
case("no roster: ids mean themselves", as_csv(table()), "ok", roster=None)
case(
    "ids with a prefix for the year fit one entry only",
    as_csv(table({(1, "code"): "2015-PL-001"})),
    "quarantine",
    aside={1: "unknown person"},
    suggests={1: "PL-001"},
)

# ---------------------------------------------------------------------------------- rule 7: time

csv_case(
    "day first is seen from one date",
    "ok",
    when=["13/03/2015", "14/03/2015", "03/04/2015", "04/03/2015", "05/03/2015", "06/03/2015"],
)
csv_case(
    "month first is seen from one date",
    "ok",
    when=["03/13/2015", "03/14/2015", "03/04/2015", "03/04/2015", "03/05/2015", "03/06/2015"],
)
csv_case(
    "every date ambiguous",
    "refused",
    when=["03/04/2015", "04/03/2015", "05/03/2015", "06/03/2015", "07/03/2015", "08/03/2015"],
    refusal=("day or the month first", "day_first"),
)
csv_case(
    "every date ambiguous, declared",
    "ok",
    when=["03/04/2015", "04/03/2015", "05/03/2015", "06/03/2015", "07/03/2015", "08/03/2015"],
    day_first=True,
)
csv_case(
    "dates that contradict each other",
    "refused",
    when=["13/03/2015", "03/14/2015", *dates] if (dates := a.dates(4)) else [],
    refusal=("contradict",),
)
csv_case(
    "an unreadable date is kept and flagged",
    "ok",
    when=["soon", *a.dates(5)],
    says=("no readable date",),
    flags={(1, "time_unknown")},
)
csv_case(
    "no date at all",
    "ok",
    when=[""] * 6,
    gone=(),
    aside={},
    roster=a.ROSTER.assign(withdrawn=""),
    says=("no readable date",),
)
csv_case(
    "no date column",
    "ok",
    completed="",
    says=("no column holds the date", "when"),
    roster=a.ROSTER.assign(withdrawn=""),
)
csv_case("an answer in the future", "quarantine", when=["2016-01-02", *a.dates(5)], aside={1: "future"})
csv_case("answered today", "ok", when=["2016-01-01", *a.dates(5)])
csv_case(
    "answered on the day of withdrawal",
    "quarantine",
    when=[*a.dates(5), "2015-03-10"],
    aside={6: "withdrawn"},
)
csv_case(
    "answered after withdrawal", "quarantine", when=[*a.dates(5), "2015-03-11 10:00"], aside={6: "withdrawn"}
)
csv_case("answered the day before withdrawal", "ok", when=[*a.dates(5), "2015-03-09 23:59"])
csv_case("withdrawn, and no date says when", "quarantine", when=[*a.dates(5), ""], aside={6: "withdrawn"})
csv_case(
    "a stated zone decides the day",
    "quarantine",
    when=[*a.dates(5), "2015-03-09T23:30:00-02:00"],
    aside={6: "withdrawn"},
)
csv_case("the same without a zone", "ok", when=[*a.dates(5), "2015-03-09T23:30:00"])
csv_case(
    "a thirty-first of February is no date",
    "ok",
    when=["31/02/2015", "13/03/2015", *a.dates(4)],
    says=("no readable date",),
)
csv_case(
    "written-out dates",
    "ok",
    when=["1 March 2015", "2 Mar 2015 10:00", "March 3, 2015", "Wed, 4 Mar 2015", "5-Mar-2015", "2015.03.06"],
)
for word in ("Survey Preview", "Preview", "Survey Test"):
    case(
        f"a {word} response",
        as_csv(a.qualtrics(changes={(1, "Status"): word})),
        "quarantine",
        aside={1: "preview or test"},
        says=("comment",),
        **PLATFORM,
    )
case(
    "a preview response by its code",
    as_csv(a.qualtrics(changes={(1, "Status"): "1"}, status="0")),
    "quarantine",
    aside={1: "preview or test"},
    says=("comment",),
    **PLATFORM,
)
csv_case(
    "no consent",
    "quarantine",
    extra={"consent": ["Yes", "No", "", "yes ", "YES", "I agree"]},
    consent="consent",
    consent_given=("Yes",),
    aside={2: "no consent", 3: "no consent", 6: "no consent"},
)
csv_case(
    "consent declared without its answers",
    "refused",
    extra={"consent": ["Yes"] * 6},
    consent="consent",
    refusal=("consent_given",),
)
csv_case(
    "a consent column that is not there",
    "refused",
    consent="consent",
    consent_given=("Yes",),
    refusal=("consent",),
)

# ---------------------------------------------------------------------------------- rule 8: text files

for delimiter, word in {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}.items():
    for end, line in {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}.items():
        csv_case(f"{word} and {line}", "ok", text={"delimiter": delimiter, "end": end})
csv_case("everything quoted", "ok", text={"quoting": csv.QUOTE_ALL})
csv_case("UTF-8 with a byte order mark", "ok", text={"encoding": "utf-8-sig"})
csv_case("two byte order marks", "ok", text={"encoding": "utf-8-sig"}, header=["\ufeffcode", "when", *ITEMS])
csv_case("UTF-16, little end first", "ok", text={"encoding": "utf-16", "delimiter": "\t"})
case("UTF-16, big end first", codecs.BOM_UTF16_BE + as_csv(table(), encoding="utf-16-be"), "ok")
csv_case("UTF-16 without a mark", "refused", text={"encoding": "utf-16-le"}, refusal=("NUL",))
csv_case(
    "Western European",
    "ok",
    extra={"comment": ["na\u00efve", "caf\u00e9", "\u2019", "\u20ac", "", ""]},
    text={"encoding": "cp1252"},
    ignore={"comment": "x"},
    says=("cp1252",),
)
case(
    "mixed encodings",
    as_csv(table(extra={"comment": ["\u00e9"] * 6})) + "PL-001,,,,,,,\u00e9\r\n".encode("cp1252"),
    "refused",
    refusal=("mixes encodings",),
)
case("a NUL byte", as_csv(table()).replace(b"Neutral", b"Neu\x00tral", 1), "refused", refusal=("NUL",))
case(
    "a quotation mark that never closes",
    as_csv(table()).replace(b"Neutral", b'"Neutral', 1),
    "refused",
    refusal=("never closes",),
)
case(
    "a ragged row",
    as_csv([*table()[:3], table()[3][:-1], *table()[4:]]),
    "quarantine",
    aside={3: "ragged row"},
)
case(
    "a row with a cell too many",
    as_csv([*table()[:3], [*table()[3], "x"], *table()[4:]]),
    "quarantine",
    aside={3: "ragged row"},
)
case(
    "mostly ragged",
    as_csv([table()[0], *(r[:-1] for r in table()[1:6]), table()[6]]),
    "refused",
    refusal=("5 of 6 rows",),
)
case("empty lines between rows", as_csv(table()).replace(b"\r\nPL-003", b"\r\n\r\nPL-003"), "ok")
case(
    "a row of delimiters alone",
    as_csv([*table()[:3], [""] * 7, *table()[4:]]),
    "quarantine",
    aside={3: "empty row"},
)
case(
    "a title and a date above the header",
    as_csv([["Paired Learning, wave 1"] + [""] * 6, ["exported 2015-04-01"] + [""] * 6, *table()]),
    "ok",
    says=("2 rows above the header",),
)
case(
    "a wide title row above the header",
    as_csv([["Survey", "Wave", "1", "Trust", "North", "made", "2015"], *table()]),
    "ok",
    says=("above the header",),
)
case("a header in row 11", as_csv([["note"] + [""] * 6] * 10 + table()), "refused", refusal=("header",))
case("a file without a header", as_csv(table()[1:]), "refused")
case("a header and nothing else", as_csv(table()[:1]), "refused", refusal=("no rows",))
case("an empty file", b"", "refused", refusal=("empty",))
case("a separator line as Excel writes it", b"sep=;\r\n" + as_csv(table(), ";"), "ok")
case(
    "a web page named .xls",
    b"<html><table><tr><td>code</td></tr></table></html>",
    "refused",
    file="x.xls",
    refusal=("web page",),
)
case("a JSON file", b'[{"code": "PL-001"}]', "refused")
csv_case(
    "a line end inside an answer of free text",
    "ok",
    extra={"comment": ["two\nlines", "a, b", 'a "b"', "", "", ""]},
    ignore={"comment": "x"},
)
csv_case(
    "a tab in free text of a comma file",
    "ok",
    extra={"comment": ["a\tb", "x; y; z", "p | q", "", "", ""]},
    ignore={"comment": "x"},
)

# ---------------------------------------------------------------------------------- rule 8: workbooks


def sheet(*changes, rows=None, edit=None, more=None, **options) -> bytes:
    return as_xlsx({"S": rows or table(*changes, **options), **(more or {})}, edit)


def xlsx(name, content, outcome, /, **given):
    case(name, content, outcome, file="x.xlsx", **given)


def edited(change):
    return lambda book: change(book["S"])


def hide_row(sheet):
    sheet.row_dimensions[3].hidden = True


def hide_column(sheet):
    sheet.column_dimensions["C"].hidden = True


xlsx("workbook of labels", sheet(), "ok")
xlsx("workbook of numbers", sheet(cell=int), "ok", **INSTRUMENT_WAY)
xlsx("workbook of numbers without a direction", sheet(cell=int), "refused", refusal=("bare numbers",))
xlsx("numbers stored as text", sheet(cell=str), "ok", **INSTRUMENT_WAY)
xlsx("numbers with a fraction of nothing", sheet(cell=float), "ok", **INSTRUMENT_WAY)
xlsx(
    "a half point",
    sheet({(2, "lead"): 4.5}, cell=int),
    "quarantine",
    aside={2: "between two answers"},
    says=("lead",),
    **INSTRUMENT_WAY,
)
xlsx(
    "a decimal comma as text",
    sheet({(2, "lead"): "4,0"}, cell=int),
    "quarantine",
    aside={2: "unreadable"},
    says=("lead",),
    **INSTRUMENT_WAY,
)
xlsx("real dates", sheet(when=[pd.Timestamp(2015, 3, n, 10).to_pydatetime() for n in range(1, 7)]), "ok")
xlsx(
    "an answer that became a date",
    sheet({(2, "lead"): pd.Timestamp(2015, 5, 4).to_pydatetime()}),
    "quarantine",
    aside={2: "is a date"},
    says=("lead",),
)
xlsx(
    "a formula in an answer", sheet({(2, "lead"): "=1+3"}), "quarantine", aside={2: "formula"}, says=("lead",)
)
xlsx(
    "a formula in an id",
    sheet({(2, "code"): '=CONCATENATE("PL-","002")'}),
    "quarantine",
    aside={2: "unknown person"},
)
xlsx(
    "a formula in an ignored column",
    sheet(extra={"sum": ["=SUM(C2:D2)", *[1] * 5]}),
    "ok",
    ignore={"sum": "x"},
)
xlsx("an error in an answer", sheet({(2, "lead"): "#N/A"}), "quarantine", aside={2: "error"}, says=("lead",))
xlsx(
    "a truth value in an answer",
    sheet({(2, "lead"): True}),
    "quarantine",
    aside={2: "not an answer"},
    says=("lead",),
)
xlsx(
    "a hidden sheet",
    sheet(more={"Old": table()}, edit=lambda b: setattr(b["Old"], "sheet_state", "hidden")),
    "ok",
    says=("hidden sheet", "Old"),
)
xlsx("hidden rows are read", sheet(edit=edited(hide_row)), "ok", says=("hidden row",))
xlsx("hidden columns are read", sheet(edit=edited(hide_column)), "ok", says=("hidden column",))
xlsx("two candidate sheets", sheet(more={"Post": table()}), "refused", refusal=("'S'", "'Post'"))
xlsx(
    "two candidate sheets, one named",
    sheet(more={"Post": table({(1, "lead"): "Disagree"})}),
    "ok",
    sheet="Post",
    want={(1, "lead"): 2},
)
xlsx("a sheet of notes", sheet(more={"Notes": [["read me"], ["please"]]}), "ok")
xlsx(
    "a merged title above the table",
    sheet(rows=[["Our survey"] + [None] * 6, *table()], edit=edited(lambda s: s.merge_cells("A1:G1"))),
    "ok",
    says=("above the header",),
)
xlsx(
    "merged answers",
    sheet(edit=edited(lambda s: s.merge_cells("C2:C3"))),
    "refused",
    refusal=("merged", "C2:C3"),
)
xlsx(
    "a merged header",
    sheet(edit=edited(lambda s: s.merge_cells("C1:D1"))),
    "refused",
    refusal=("merged", "C1:D1"),
)
xlsx(
    "a table that begins at C4",
    sheet(edit=edited(lambda s: (s.insert_cols(1, 2), s.insert_rows(1, 3)))),
    "ok",
)
xlsx(
    "an empty row in the middle",
    sheet(edit=edited(lambda s: s.insert_rows(4))),
    "quarantine",
    rows=7,
    aside={3: "empty row"},
    gone=(),
    want={},
)
xlsx(
    "formatted empty rows at the end",
    sheet(edit=edited(lambda s: setattr(s["A40"], "number_format", "0.00"))),
    "ok",
)
xlsx("a comma file named as a workbook", as_csv(table()), "ok")
case("a workbook named as a comma file", sheet(), "ok")
xlsx("a workbook declared as text", sheet(), "refused", format="csv", refusal=("format",))
xlsx("text with line ends as a workbook writes them", sheet({(1, "code"): "PL-001\r\n"}), "repaired")

# ---------------------------------------------------------------------------------- platforms

COMMENT = ("comment",)
case("Qualtrics, labels", as_csv(a.qualtrics()), "ok", says=COMMENT, **PLATFORM)
case(
    "Qualtrics, tabs in UTF-16",
    as_csv(a.qualtrics(), "\t", encoding="utf-16"),
    "ok",
    says=COMMENT,
    file="q.tsv",
    **PLATFORM,
)
case(
    "Qualtrics, numbers without a direction",
    as_csv(a.qualtrics(str)),
    "refused",
    refusal=("bare numbers",),
    **PLATFORM,
)
case(
    "Qualtrics, numbers and a direction",
    as_csv(a.qualtrics(str)),
    "ok",
    says=COMMENT,
    **PLATFORM,
    **INSTRUMENT_WAY,
)
case(
    "Qualtrics, numbers and its definition",
    as_csv(a.qualtrics(str)),
    "ok",
    says=COMMENT,
    codebook=a.qsf(),
    **PLATFORM,
)
case(
    "Qualtrics, numbers and a definition that runs the other way",
    as_csv(a.qualtrics(lambda c: str(6 - c))),
    "ok",
    says=COMMENT,
    codebook=a.qsf(BACKWARDS),
    **PLATFORM,
)
case("Qualtrics, recoded numbers", as_csv(a.qualtrics(lambda c: str(c + 10))), "ok", says=COMMENT,
     codebook=a.qsf(recode={str(n): str(n + 10) for n in range(1, 6)}), **PLATFORM)
case("Qualtrics, legacy", as_csv(a.qualtrics_legacy()), "ok", **PLATFORM)
case(
    "Qualtrics, tags Q1 to Q5 and texts",
    as_csv(a.qualtrics(tags=[f"Q{k}" for k in range(1, 6)])),
    "ok",
    says=COMMENT,
    **PLATFORM,
)
case(
    "Qualtrics, matrix texts",
    as_csv(
        a.qualtrics(
            tags=[f"Q7_{k}" for k in range(1, 6)],
            texts=[f"How far do you agree? - {t}" for t in TEXTS.values()],
        )
    ),
    "ok",
    says=COMMENT,
    **PLATFORM,
)
case(
    "Qualtrics, tag and text of two items",
    as_csv(a.qualtrics(texts=[TEXTS["help"], TEXTS["lead"], *list(TEXTS.values())[2:]])),
    "refused",
    refusal=("lead", "help"),
    **PLATFORM,
)
case(
    "Qualtrics, a tag whose text is another question",
    as_csv(a.qualtrics(texts=["How old are you?", *list(TEXTS.values())[1:]])),
    "refused",
    refusal=("lead", "How old are you?"),
    **PLATFORM,
)
case(
    "Qualtrics, unfinished responses",
    as_csv(a.qualtrics(changes={(2, "Finished"): "False", (2, "Progress"): "60", (2, "trust"): ""})),
    "ok",
    want={(2, "trust"): None},
    flags={(2, "partial")},
    says=COMMENT,
    **PLATFORM,
)
case(
    "Qualtrics, -99 for seen and not answered",
    as_csv(a.qualtrics(changes={(2, "trust"): "-99"})),
    "ok",
    want={(2, "trust"): None},
    says=COMMENT,
    **PLATFORM,
)
case(
    "Microsoft Forms",
    as_xlsx({"Form1": a.msforms()}),
    "ok",
    file="f.xlsx",
    person="Your participant code",
    completed="",
)
case(
    "Microsoft Forms, person found",
    as_xlsx({"Form1": a.msforms()}),
    "ok",
    file="f.xlsx",
    person="",
    completed="",
)
case("Jisc, labels", as_csv(a.jisc()), "ok", person="1. Your participant code", completed="")
case(
    "Jisc, codes and a codebook",
    as_csv(a.jisc(str, heads=[f"Q2_1_{x}" for x in "abcde"])),
    "ok",
    person="1. Your participant code",
    completed="",
    codebook=as_csv(
        [
            ["Question number", "Question text", "Answer code", "Answer text"],
            *(
                [f"Q2_1_{x}" if k == 1 else "", t if k == 1 else "", str(k), w]
                for x, t in zip("abcde", TEXTS.values(), strict=True)
                for k, w in enumerate(LABELS, start=1)
            ),
        ]
    ),
)
case(
    "Jisc, codes alone",
    as_csv(a.jisc(str)),
    "refused",
    person="1. Your participant code",
    completed="",
    refusal=("bare numbers",),
)
case(
    "REDCap, raw with its dictionary",
    as_csv(a.redcap(str, raw=True)),
    "ok",
    codebook=a.dictionary(),
    **PLATFORM,
)
case(
    "REDCap, raw with a dictionary that runs the other way",
    as_csv(a.redcap(lambda c: str(6 - c), raw=True)),
    "ok",
    codebook=a.dictionary(BACKWARDS),
    **PLATFORM,
)
case("REDCap, raw alone", as_csv(a.redcap(str, raw=True)), "refused", refusal=("bare numbers",), **PLATFORM)
case("REDCap, labels", as_csv(a.redcap(raw=False)), "ok", **LABELLED)
case(
    "SurveyMonkey, condensed",
    as_csv(a.surveymonkey()),
    "ok",
    rows=5,
    person="Your participant code",
    completed="",
)
case(
    "SurveyMonkey, expanded",
    as_csv(a.surveymonkey_expanded()),
    "ok",
    rows=5,
    says=("one column per choice",),
    **LABELLED,
)
case(
    "SurveyMonkey, expanded with two ticks",
    as_csv(
        [
            *a.surveymonkey_expanded()[:2],
            [*a.surveymonkey_expanded()[2][:10], *LABELS[:2], "", "", "", *a.surveymonkey_expanded()[2][15:]],
            *a.surveymonkey_expanded()[3:],
        ]
    ),
    "quarantine",
    rows=5,
    aside={1: "two answers"},
    says=("one column per choice", "lead"),
    **LABELLED,
)
case("Google Forms", as_csv(a.googleforms()), "ok", **LABELLED)
case(
    "Google Forms, numbers of a linear scale",
    as_csv(a.googleforms(str)),
    "refused",
    refusal=("bare numbers",),
    **LABELLED,
)
case(
    "Google Forms, two ticks in a grid",
    as_csv(
        [
            *a.googleforms()[:2],
            [*a.googleforms()[2][:2], "Agree;Neutral", *a.googleforms()[2][3:]],
            *a.googleforms()[3:],
        ]
    ),
    "quarantine",
    aside={2: "two answers"},
    says=("lead",),
    **LABELLED,
)
case("LimeSurvey, labels", as_csv(a.limesurvey()), "ok", **LABELLED)
case(
    "LimeSurvey, codes A1 to A5 with a direction",
    as_csv(a.limesurvey(lambda c: f"A{c}")),
    "ok",
    **LABELLED,
    **INSTRUMENT_WAY,
)
case(
    "LimeSurvey, codes AO01 to AO05 with a direction",
    as_csv(a.limesurvey(lambda c: f"AO0{c}")),
    "ok",
    **LABELLED,
    **INSTRUMENT_WAY,
)
case(
    "LimeSurvey, codes reversed",
    as_csv(a.limesurvey(lambda c: f"A{6 - c}")),
    "ok",
    codes="reversed",
    **LABELLED,
)
case(
    "LimeSurvey, codes alone",
    as_csv(a.limesurvey(lambda c: f"A{c}")),
    "refused",
    refusal=("bare numbers",),
    **LABELLED,
)
case(
    "LimeSurvey, codes and a codebook",
    as_csv(a.limesurvey(lambda c: f"A{c}", heads=[f"agree[SQ00{k}]" for k in range(1, 6)])),
    "ok",
    columns={f"agree[SQ00{k}]": i for k, i in enumerate(ITEMS, start=1)},
    codebook=as_csv(
        [
            ["column", "value", "label"],
            *([f"agree[SQ00{k}]", f"A{n}", w] for k in range(1, 6) for n, w in enumerate(LABELS, start=1)),
        ]
    ),
    **LABELLED,
)
case(
    "LimeSurvey, not submitted",
    as_csv(
        [*a.limesurvey()[:2], [a.limesurvey()[2][0], "", "2", *a.limesurvey()[2][3:]], *a.limesurvey()[3:]]
    ),
    "ok",
    says=("no readable date",),
    flags={(2, "partial"), (2, "time_unknown")},
    **LABELLED,
)
case(
    "LimeSurvey, code A6",
    as_csv(
        [*a.limesurvey()[:2], [*a.limesurvey()[2][:6], "A6", *a.limesurvey()[2][7:]], *a.limesurvey()[3:]]
    ),
    "quarantine",
    aside={2: "not an answer"},
    says=("lead",),
    **LABELLED,
)
CODED = {float(n): w for n, w in enumerate(LABELS, start=1)}
TURNED = {float(n): w for n, w in enumerate(BACKWARDS, start=1)}
case("SPSS with labels", lambda folder: a.spss(folder, labels=CODED), "ok", file="x.sav")
case(
    "SPSS with labels that run the other way",
    lambda folder: a.spss(folder, labels=TURNED, cell=lambda c: float(6 - c)),
    "ok",
    file="x.sav",
)
case(
    "SPSS without labels",
    lambda folder: a.spss(folder, labels=None),
    "refused",
    file="x.sav",
    refusal=("bare numbers",),
)
case(
    "SPSS, user-missing and system-missing",
    lambda folder: a.spss(
        folder,
        labels={**CODED, -9.0: "Prefer not to say"},
        missing={"lead": [-9.0]},
        changes={(1, "lead"): -9.0, (2, "help"): None},
    ),
    "ok",
    file="x.sav",
    want={(1, "lead"): None, (2, "help"): None},
)
case(
    "SPSS, damaged",
    lambda folder: a.spss(folder, labels=CODED)[:200],
    "refused",
    file="x.sav",
    refusal=("SPSS",),
)


def longitudinal(events, *, raw=True, cell=a.label):
    """Every person at every event; answers of another event are their opposite."""
    rows = [
        [
            "record_id" if raw else "Record ID",
            "redcap_event_name" if raw else "Event Name",
            *(ITEMS if raw else TEXTS.values()),
        ]
    ]
    for n, person in enumerate(PEOPLE, start=1):
        for event, filled in events:
            rows.append(
                [
                    person,
                    event,
                    *(cell(c if filled == "same" else 6 - c) if filled else "" for c in CODES[person]),
                ]
            )
    return rows


EVENT = {
    "person": "record_id",
    "completed": "",
    "roster": a.ROSTER.assign(withdrawn=""),
    "says": ("date of the answers",),
}
case(
    "REDCap, longitudinal",
    as_csv(longitudinal([("pre_arm_1", "same"), ("post_arm_1", "other")])),
    "ok",
    rows=12,
    gone=(2, 4, 6, 8, 10, 12),
    **EVENT,
)
case(
    "REDCap, longitudinal, one event empty",
    as_csv(longitudinal([("baseline_arm_1", "same"), ("visit_arm_1", "")])),
    "ok",
    rows=12,
    gone=(2, 4, 6, 8, 10, 12),
    **(EVENT | {"says": ("date of the answers", "baseline")}),
)
case(
    "REDCap, longitudinal, no event is the wave",
    as_csv(longitudinal([("t1_arm_1", "same"), ("t2_arm_1", "other")])),
    "refused",
    refusal=("events", "t1"),
    **{k: v for k, v in EVENT.items() if k != "says"},
)


def repeating(*, in_base: bool):
    rows = [["record_id", "redcap_repeat_instrument", "redcap_repeat_instance", *ITEMS, "minutes"]]
    for person in PEOPLE:
        answers = [a.label(c) for c in CODES[person]]
        rows.append([person, "", "", *(answers if in_base else [""] * 5), ""])
        rows.append(
            [
                person,
                "meeting" if in_base else "survey",
                "1",
                *([""] * 5 if in_base else answers),
                "60" if in_base else "",
            ]
        )
    return rows


REPEAT = EVENT | {"says": ("date of the answers", "minutes")}
case(
    "REDCap, a repeating form of another kind",
    as_csv(repeating(in_base=True)),
    "ok",
    rows=12,
    gone=(2, 4, 6, 8, 10, 12),
    **REPEAT,
)
case(
    "REDCap, the questionnaire repeats",
    as_csv(repeating(in_base=False)),
    "ok",
    rows=12,
    gone=(1, 3, 5, 7, 9, 11),
    **REPEAT,
)

WITHOUT_ID = [r[1:] for r in a.surveymonkey_expanded()]
case("SurveyMonkey, expanded, without its first column", as_csv(WITHOUT_ID), "ok", rows=5,
     says=("one column per choice",), **LABELLED)
CUT = a.surveymonkey_expanded()
for place in (11, 14):
    case(f"SurveyMonkey, expanded, with a heading over choice {place - 9}",
         as_csv([[*CUT[0][:place], "Extra", *CUT[0][place + 1:]], *CUT[1:]]), "refused",
         refusal=("'Extra'", "further choices"), **LABELLED)
case(
    "expanded choices that no platform explains",
    as_csv([[r[9], *r[10:]] for r in a.surveymonkey_expanded()]),
    "refused",
    refusal=("without a name beside it", "lead"),
    **LABELLED,
)

# ---------------------------------------------------------------------------------- rule 9: flags

csv_case(
    "all answers alike",
    "ok",
    {(2, i): "Agree" for i in ITEMS},
    want={(2, i): 4 for i in ITEMS},
    flags={(2, "straight_line")},
)
csv_case(
    "no answers",
    "ok",
    {(2, i): "" for i in ITEMS},
    want={(2, i): None for i in ITEMS},
    flags={(2, "no_answers")},
)
csv_case(
    "the last answers blank",
    "ok",
    {(2, i): "" for i in ITEMS[3:]},
    want={(2, i): None for i in ITEMS[3:]},
    flags={(2, "partial")},
)
csv_case(
    "what free text may hold",
    "ok",
    extra={
        "comment": [
            "<b>good</b>",
            "=cmd|' /C calc'!A0",
            "write to anna@example.org",
            "ring 020 7946 0018",
            "Dr Smith was kind",
            "it\u00c3\u00a2\u20ac\u2122s fine",
        ]
    },
    says=("comment",),
    flags={
        (1, "html_in_text"),
        (2, "formula_like_text"),
        (3, "email_in_text"),
        (4, "phone_in_text"),
        (5, "possible_name"),
        (6, "mojibake_suspect"),
    },
)
csv_case(
    "what free text may hold without being odd",
    "ok",
    extra={
        "comment": [
            "3 < 4 and 5 > 2",
            "20 %",
            "at 10:30 on 2015-03-04",
            "In 2015 we met 12 times",
            "The Doctor is in",
            "na\u00efve caf\u00e9",
        ]
    },
    says=("comment",),
    flags=set(),
)
csv_case(
    "minus before a word looks like a formula to a spreadsheet",
    "ok",
    extra={"comment": ["-great", "+1 from me", "@team", "", "", ""]},
    says=("comment",),
    flags={(1, "formula_like_text"), (2, "formula_like_text"), (3, "formula_like_text")},
)


# ---------------------------------------------------------------------------------- the proof

@pytest.mark.parametrize("given", CASES, ids=lambda c: re.sub(r"[^\x20-\x7e]", "?", c.name))
def test_awkward_file(tmp_path, given):
    path = tmp_path / given.file
    path.write_bytes(given.content(tmp_path) if callable(given.content) else given.content)
    options = {
        "person": "code",
        "completed": "when",
        "roster": a.ROSTER,
        "wave": "pre",
        "roles": a.ROLES,
    } | given.options
    if isinstance(options.get("codebook"), bytes):
        (tmp_path / "book.csv").write_bytes(options["codebook"])
        options["codebook"] = tmp_path / "book.csv"
    done = take_in(path, instrument=a.INSTRUMENT, timezone="Europe/London", today=a.TODAY, **options)
    assert done.outcome == given.outcome, (
        done.refusal,
        done.quarantine["reason"].tolist(),
        done.audit.head(),
    )
    for word in given.refusal:
        assert word in done.refusal
    if given.outcome == "refused":
        assert given.file in done.refusal or "roster" in done.refusal or "codebook" in done.refusal
        assert not len(done.responses) and not len(done.cells) and done.accounting["rows_in"] == 0
        return
    warned = "\n".join(done.warnings)
    for word in given.says:
        assert word in warned, warned
    assert bool(done.warnings) == bool(given.says), warned
    assert (
        dict(zip(done.quarantine["row"], done.quarantine["reason"], strict=True)).keys() == given.aside.keys()
    )
    for row, word in given.aside.items():
        assert word in done.quarantine.set_index("row").loc[row, "reason"]
    for row, word in given.suggests.items():
        assert word in done.quarantine.set_index("row").loc[row, "suggestion"]
    assert answers_of(done) == expected(given, done)
    assert_flags(given, done)
    assert_nothing_lost(path, done, options)


def answers_of(done) -> dict:
    """(row, item) -> code or None, of the rows kept."""
    kept = done.rows[done.rows["fate"] == "kept"]
    row_of = dict(zip(kept["person"], kept["row"], strict=True))
    assert len(row_of) == len(kept)
    return {(row_of[p], i): None if np.isnan(v) else v
            for p, i, v in done.responses[["person", "item", "value"]].itertuples(index=False)}


def expected(given: Case, done) -> dict:
    """What the table of people says, with the case's own changes."""
    total = done.accounting["rows_in"]
    kept = [n for n in range(1, total + 1) if n not in given.aside and n not in given.gone]
    if given.name == "an empty row in the middle":
        people = dict(zip(kept, PEOPLE, strict=True))
    elif given.rows == 12:
        people = {n: PEOPLE[(n - 1) // 2] for n in kept}
    else:
        people = {n: PEOPLE[n - 1] for n in kept}
    assert total == given.rows
    base = {(n, i): CODES[p][k] for n, p in people.items() for k, i in enumerate(ITEMS)}
    return base | {key: v for key, v in given.want.items() if key[0] in people}


def assert_flags(given: Case, done) -> None:
    if given.flags is not None:
        assert {(r, f) for r, f in done.flags[["row", "flag"]].itertuples(index=False)} == given.flags


def assert_nothing_lost(path, done, options) -> None:
    """The identity of rows, and the export restored from cleaned cells and audit."""
    counts = done.accounting
    assert counts["rows_in"] == sum(n for name, n in counts.items() if name != "rows_in")
    assert sorted(done.rows["row"]) == list(range(1, counts["rows_in"] + 1))
    again = read(path, expected=header_words(a.INSTRUMENT, options["wave"]),
                 **{k: options[k] for k in ("format", "delimiter", "sheet", "codebook") if k in options})
    raw = restore(done.cells, done.audit)
    assert raw["value"].tolist() == again.cells["value"].tolist()
    assert raw["row"].tolist() == again.cells["row"].tolist()


def test_the_table_of_cases_cannot_shrink():
    assert len(CASES) >= 300 and len({c.name for c in CASES}) == len(CASES)
    outcomes = [c.outcome for c in CASES]
    assert all(
        outcomes.count(o) >= n
        for o, n in (("ok", 100), ("repaired", 30), ("quarantine", 80), ("refused", 50))
    )


def test_an_answer_before_the_earlier_wave_is_set_aside(tmp_path):
    pre, post = tmp_path / "pre.csv", tmp_path / "post.csv"
    pre.write_bytes(as_csv(table()))
    post.write_bytes(
        as_csv(
            table(
                when=["2015-02-28", "2015-03-02 09:00", "2015-04-01", "soon", "2015-04-01", "2015-03-07"],
                extra={"time": ["Some"] * 6},
            )
        )
    )
    given = {
        "instrument": a.INSTRUMENT,
        "roster": a.ROSTER,
        "timezone": "UTC",
        "person": "code",
        "completed": "when",
        "today": a.TODAY,
    }
    before = take_in(pre, wave="pre", **given)
    done = take_in(post, wave="post", earlier=before.rows, **given)
    assert done.quarantine["row"].tolist() == [1] and done.quarantine["reason"].iloc[0].startswith(
        "wrong order: PL-001"
    )


def test_corrections_of_one_file(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(as_csv(table({(2, "lead"): "6"})))
    given = {
        "instrument": a.INSTRUMENT,
        "roster": a.ROSTER,
        "wave": "pre",
        "timezone": "UTC",
        "person": "code",
        "completed": "when",
        "today": a.TODAY,
    }
    right = {
        "source": "x.csv",
        "row": "2",
        "column": "lead",
        "old": "6",
        "new": "Agree",
        "reason": "paper",
        "by": "AB",
    }
    done = take_in(path, corrections=pd.DataFrame([right]), **given)
    assert done.outcome == "repaired" and answers_of(done)[2, "lead"] == 4
    stale = take_in(path, corrections=pd.DataFrame([right | {"old": "7"}]), **given)
    assert stale.outcome == "refused" and "holds '6'" in stale.refusal and "expects '7'" in stale.refusal
