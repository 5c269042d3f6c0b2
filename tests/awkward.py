"""Builders of awkward exports for the tests: one small table, written as every survey tool writes it.

Not a test module: `test_awkward` and `test_fuzz` share it.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pyreadstat

from plresearch.study import Instrument, Item, ResponseSet, Role, Subscale

LABELS = ("Strongly disagree", "Disagree", "Neutral", "Agree", "Strongly agree")
AGREE = ResponseSet(
    "agree", LABELS, (1, 2, 3, 4, 5), aliases={"Neither": "Neutral", "SA": "Strongly agree"},
    missing={"N/A": "not_applicable", "Not applicable": "not_applicable", "-99": "seen_unanswered",
             "NA": "blank", "Prefer not to say": "prefer_not_to_say"},
)
AMOUNT = ResponseSet("amount", ("None", "Some", "Much"), (0, 1, 2),
                     missing={"N.A./Prefer not to answer": "prefer_not_to_say", "NA": "blank"})
TEXTS = {
    "lead": "I feel ready to lead", "help": "I know whom to ask for help",
    "plan": "I can't plan without my manager", "voice": "My voice is heard",
    "trust": "I trust the other group",
}
ITEMS = tuple(TEXTS)
INSTRUMENT = Instrument(
    "mini", "Mini", "here", "CC0-1.0", {"agree": AGREE, "amount": AMOUNT}, {"all": Subscale("all", "All", 1)},
    {i: Item(i, t, "all", "agree", reversed=i == "plan",
             fields={"follow": f"Q{6 + n}", "wide": f"{i}_wide"} if n < 5 else {})
     for n, (i, t) in enumerate(TEXTS.items())}
    | {"time": Item("time", "Time given to you", "all", "amount", waves=("post",))},
)
ROLES = {"doctor": Role("doctor", "Doctor", "Doctors"), "manager": Role("manager", "Manager", "Managers")}
PEOPLE = ("PL-001", "PL-002", "PL-003", "PL-004", "PL-005", "PL-006")
ROSTER = pd.DataFrame({
    "person": PEOPLE, "pair": ["A", "A", "B", "B", "C", "C"], "role": ["doctor", "manager"] * 3,
    "withdrawn": ["", "", "", "", "", "2015-03-10"],
})
TODAY = dt.date(2016, 1, 1)
DATE = "2015-03-0{}"
# Answers of six people; every column holds more than one label and no row is a straight line.
CODES = {
    "PL-001": (4, 4, 3, 4, 2), "PL-002": (5, 3, 2, 4, 1), "PL-003": (2, 2, 4, 3, 5),
    "PL-004": (1, 5, 1, 5, 3), "PL-005": (3, 4, 5, 2, 4), "PL-006": (4, 1, 2, 1, 5),
}
HEADER = ["code", "when", *ITEMS]


def label(code: int) -> str:
    return LABELS[code - 1]


def dates(n: int = 6) -> list[str]:
    return [DATE.format(k) for k in range(1, n + 1)]


def table(changes: dict | None = None, *, cell=label, header=None, when=None, extra: dict | None = None
          ) -> list[list[str]]:
    """Header and six rows; `changes` maps (row, column) to a cell, or a row to more or fewer cells."""
    head = list(header or HEADER)
    rows = [head] + [[p, d, *(cell(c) for c in CODES[p])]
                     for p, d in zip(PEOPLE, when or dates(), strict=True)]
    for name, values in (extra or {}).items():
        rows[0].append(name)
        for row, value in zip(rows[1:], values, strict=True):
            row.append(value)
    for (row, column), value in (changes or {}).items():
        rows[row][HEADER.index(column) if column in HEADER else rows[0].index(column)] = value
    return rows


def as_csv(rows, delimiter=",", quoting=csv.QUOTE_MINIMAL, end="\r\n", encoding="utf-8") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(rows)
    return out.getvalue().encode(encoding)


def as_xlsx(sheets: dict[str, list[list]], edit=None) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    if edit:
        edit(book)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


# ------------------------------------------------------------------------------------------- platforms

_OWN = ["StartDate", "EndDate", "Status", "IPAddress", "Progress", "Duration (in seconds)", "Finished",
        "RecordedDate", "ResponseId", "DistributionChannel", "UserLanguage"]
_OWN_TEXT = ["Start Date", "End Date", "Response Type", "IP Address", "Progress", "Duration (in seconds)",
             "Finished", "Recorded Date", "Response ID", "Distribution Channel", "User Language"]


def qualtrics(cell=label, *, tags=None, texts=None, status="IP Address", zone="Europe/London", changes=None,
              finished="True") -> list[list[str]]:
    """The new export: tag, text and ImportId rows."""
    tags = tags or ITEMS
    texts = texts or list(TEXTS.values())
    ids = [{"ImportId": n[0].lower() + n[1:]} for n in _OWN]
    for place in (0, 1, 7):
        ids[place]["timeZone"] = zone
    head = [*_OWN, "code", *tags, "comment"]
    rows = [
        head, [*_OWN_TEXT, "Your participant code", *texts, "Anything else?"],
        [json.dumps(i) for i in ids] + [json.dumps({"ImportId": f"QID{k}"}) for k in range(len(tags) + 2)],
    ]
    for n, person in enumerate(PEOPLE, start=1):
        own = [f"2015-03-0{n} 09:00:00", f"2015-03-0{n} 09:10:00", status, "10.0.0.1", "100", "600", finished,
               f"2015-03-0{n} 09:10:01", f"R_{n}", "anonymous", "EN"]
        rows.append([*own, person, *(cell(c) for c in CODES[person]), "thanks"])
    for (row, column), value in (changes or {}).items():
        rows[2 + row][head.index(column)] = value
    return rows


def qualtrics_legacy(cell=label) -> list[list[str]]:
    """The legacy export: V1..V10 over their names, tags over question texts."""
    own = [
        "ResponseID",
        "ResponseSet",
        "Name",
        "ExternalDataReference",
        "EmailAddress",
        "IPAddress",
        "Status",
        "StartDate",
        "EndDate",
        "Finished",
    ]
    rows = [
        [*(f"V{k}" for k in range(1, 11)), "code", *ITEMS],
        [*own, "Your participant code", *TEXTS.values()],
    ]
    for n, person in enumerate(PEOPLE, start=1):
        rows.append([f"R_{n}", "Default Response Set", "Anonymous", "", "", "10.0.0.1", "0",
                     f"2015-03-0{n} 09:00:00", f"2015-03-0{n} 09:10:00", "1", person,
                     *(cell(c) for c in CODES[person])])
    return rows


def qsf(order=LABELS, recode: dict | None = None) -> bytes:
    """A survey definition whose questions list their choices in this order."""
    questions = [{"SurveyID": "SV_1", "Element": "SQ", "PrimaryAttribute": f"QID{k}", "Payload": {
        "QuestionID": f"QID{k}", "DataExportTag": item, "QuestionType": "MC", "Selector": "SAVR",
        "QuestionText": f"<b>{text}</b>",
        "Choices": {str(n): {"Display": d} for n, d in enumerate(order, start=1)},
        **({"RecodeValues": recode} if recode else {})}}
        for k, (item, text) in enumerate(TEXTS.items(), start=1)]
    return json.dumps({"SurveyEntry": {"SurveyID": "SV_1"}, "SurveyElements": questions}).encode()


def msforms(cell=label) -> list[list]:
    rows = [["ID", "Start time", "Completion time", "Email", "Name", "Your participant code\u00a0",
             *(f"{t}\u00a0" for t in TEXTS.values())]]
    for n, person in enumerate(PEOPLE, start=1):
        rows.append([n, dt.datetime(2015, 3, n, 9), dt.datetime(2015, 3, n, 9, 10), "anonymous", None, person,
                     *(cell(c) for c in CODES[person])])
    return rows


def jisc(cell=label, *, heads=None) -> list[list[str]]:
    heads = heads or [f"2.1.{'abcde'[k]}. {t}" for k, t in enumerate(TEXTS.values())]
    rows = [["Unique Response Number", "1. Your participant code", *heads, "Completion date"]]
    for n, person in enumerate(PEOPLE, start=1):
        rows.append([f"100-{n}", person, *(cell(c) for c in CODES[person]), f"2015-03-0{n} 09:10"])
    return rows


def codebook(order=LABELS, names=ITEMS, extra=()) -> bytes:
    rows = [["column", "value", "label", "missing"]]
    for name in names:
        rows += [[name, str(n), text, ""] for n, text in enumerate(order, start=1)]
        rows += [[name, *line] for line in extra]
    return as_csv(rows)


def redcap(cell=label, *, raw: bool) -> list[list[str]]:
    head = ["record_id", "survey_timestamp", "code", *ITEMS, "survey_complete"] if raw else [
        "Record ID", "Survey Timestamp", "Participant code", *TEXTS.values(), "Complete?"]
    rows = [head]
    for n, person in enumerate(PEOPLE, start=1):
        rows.append([str(n), f"2015-03-0{n} 09:10:00", person, *(cell(c) for c in CODES[person]),
                     "2" if raw else "Complete"])
    return rows


def dictionary(order=LABELS) -> bytes:
    choices = " | ".join(f"{n}, {text}" for n, text in enumerate(order, start=1))
    rows = [
        [
            "Variable / Field Name",
            "Form Name",
            "Section Header",
            "Field Type",
            "Field Label",
            "Choices, Calculations, OR Slider Labels",
        ],
        ["record_id", "survey", "", "text", "Record ID", ""],
        ["code", "survey", "", "text", "Participant code", ""],
    ]
    return as_csv(rows + [[i, "survey", "", "radio", t, choices] for i, t in TEXTS.items()])


_MONKEY = ["Respondent ID", "Collector ID", "Start Date", "End Date", "IP Address", "Email Address",
           "First Name", "Last Name", "Custom Data 1"]


def _monkey_own(n: int) -> list[str]:
    return [
        f"10{n}",
        "42",
        f"03/0{n}/2015 09:00:00 AM",
        f"03/{12 + n}/2015 09:10:00 AM",
        "10.0.0.1",
        "",
        "",
        "",
        "",
    ]


def surveymonkey(cell=label) -> list[list[str]]:
    """Condensed: a matrix question over its rows."""
    rows = [[*_MONKEY, "Your participant code", "How far do you agree?", "", "", "", ""],
            [""] * 9 + ["Open-Ended Response", *TEXTS.values()]]
    return rows + [
        [*_monkey_own(n), p, *(cell(c) for c in CODES[p])] for n, p in enumerate(PEOPLE[:5], start=1)
    ]


def surveymonkey_expanded() -> list[list[str]]:
    """Expanded: one column per choice, holding its label."""
    head, under = [*_MONKEY, "Participant code"], [""] * 9 + ["Open-Ended Response"]
    for text in TEXTS.values():
        head += [text, "", "", "", ""]
        under += list(LABELS)
    rows = [head, under]
    for n, person in enumerate(PEOPLE[:5], start=1):
        rows.append([*_monkey_own(n), person] + [
            text if c == k else "" for c in CODES[person] for k, text in enumerate(LABELS, start=1)])
    return rows


def googleforms(cell=label) -> list[list[str]]:
    rows = [["Timestamp", "Participant code", *(f"How far do you agree? [{t}]" for t in TEXTS.values())]]
    for n, person in enumerate(PEOPLE, start=1):
        rows.append([f"2015/03/0{n} 9:10:00 am GMT", person, *(cell(c) for c in CODES[person])])
    return rows


def limesurvey(cell=label, *, heads=None) -> list[list[str]]:
    heads = heads or [
        f"agree[SQ00{k}]. How far do you agree? [{t}]" for k, t in enumerate(TEXTS.values(), start=1)
    ]
    rows = [["id. Response ID", "submitdate. Date submitted", "lastpage. Last page",
             "startlanguage. Start language", "seed. Seed", "code. Participant code", *heads]]
    for n, person in enumerate(PEOPLE, start=1):
        rows.append(
            [str(n), f"2015-03-0{n} 09:10:00", "3", "en", "77", person, *(cell(c) for c in CODES[person])]
        )
    return rows


def spss(folder: Path, *, labels: dict | None, missing: dict | None = None, cell=float,
         changes: dict | None = None) -> bytes:
    frame = pd.DataFrame([[p, dt.datetime(2015, 3, n, 9, 10), *(cell(c) for c in CODES[p])]
                          for n, p in enumerate(PEOPLE, start=1)], columns=HEADER)
    for (row, column), value in (changes or {}).items():
        frame.loc[row - 1, column] = value
    path = folder / "made.sav"
    pyreadstat.write_sav(frame, path, column_labels=TEXTS, missing_ranges=missing or {},
                         variable_value_labels=dict.fromkeys(ITEMS, labels) if labels else {})
    return path.read_bytes()


def repack(data: bytes, edit: dict[str, object]) -> bytes:
    """A workbook with members replaced: member -> function of its text."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as source,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for member in source.namelist():
            text = source.read(member)
            target.writestr(member, edit[member](text.decode()).encode() if member in edit else text)
    return out.getvalue()
