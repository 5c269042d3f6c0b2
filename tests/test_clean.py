"""Cleaning: nothing is lost, nothing is guessed, everything is counted."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from plresearch import study as study_module
from plresearch.answers import read_answer, read_dates
from plresearch.clean import (
    RULES,
    apply,
    check_corrections,
    clean_cohort,
    clean_export,
    restore,
    source_labels,
    take_in,
    validate,
)
from plresearch.exports import Column
from plresearch.frames import AUDIT, CELLS, CODINGS, EVENTS, QUARANTINE, RESPONSES, Refusal, conform, make
from plresearch.matching import fold, match_people, person_key, plan_columns
from plresearch.read import Export
from plresearch.records import check_events, check_interviews, check_roster
from plresearch.study import Instrument, Item, ResponseSet, Source, Subscale
from plresearch.synthetic import DEFECTS, shipped

AGREE = ResponseSet(
    "agree",
    ("Strongly disagree", "Disagree", "Neutral", "Agree", "Strongly agree"),
    (1, 2, 3, 4, 5),
    aliases={"Neither": "Neutral"},
    missing={"N/A": "not_applicable", "-99": "seen_unanswered", "NA": "blank"},
)
AMOUNT = ResponseSet(
    "amount",
    ("None", "Some", "Much"),
    (0, 1, 2),
    missing={"N.A./Prefer not to answer": "prefer_not_to_say", "NA": "blank"},
)
TEXTS = {
    "lead": "I feel ready to lead",
    "help": "I know whom to ask for help",
    "plan": "I can't plan without my manager",
    "voice": "My voice is heard",
    "trust": "I trust the other group",
}
INSTRUMENT = Instrument(
    "mini",
    "Mini",
    "here",
    "CC0-1.0",
    {"agree": AGREE, "amount": AMOUNT},
    {"all": Subscale("all", "All", 1)},
    {i: Item(i, t, "all", "agree") for i, t in TEXTS.items()}
    | {"time": Item("time", "Time given to you", "all", "amount", waves=("post",))},
)
ROSTER = pd.DataFrame(
    {
        "person": ["PL-001", "PL-002", "PL-003", "PL-004"],
        "pair": ["A", "A", "B", "B"],
        "role": ["doctor", "manager", "doctor", "manager"],
        "withdrawn": ["", "", "", "2015-03-10"],
    }
)
NO_CORRECTIONS = check_corrections(None, {})
TODAY = dt.date(2016, 1, 1)


def export(
    rows: list[dict],
    *,
    texts: dict[str, str] | None = None,
    labels: dict[str, dict] | None = None,
    format: str = "csv",
    known: dict | None = None,
    administrative: dict | None = None,
) -> Export:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [
        {"source": "a.csv", "row": number, "column": name, "value": row.get(name, "")}
        for number, row in enumerate(rows, start=1)
        for name in names
    ]
    columns = tuple(Column(n, (texts or {}).get(n, ""), (labels or {}).get(n, {}), {}) for n in names)
    return Export(
        "a.csv",
        format,
        "utf-8",
        make(cells, CELLS),
        columns,
        len(rows),
        make([], QUARANTINE),
        (),
        known or {},
        administrative or {},
    )


def answers(person: str = "PL-001", when: str = "2015-03-01", **given_answers: str) -> dict:
    return {"code": person, "when": when, **{i: given_answers.get(i, "Agree") for i in TEXTS}}


def clean(rows: list[dict] | Export, *, roster=ROSTER, corrections=NO_CORRECTIONS, **source):
    data = rows if isinstance(rows, Export) else export(rows)
    declared = Source(**({"file": "a.csv", "wave": "pre", "person": "code", "completed": "when"} | source))
    return clean_export(
        data,
        source=declared,
        instrument=INSTRUMENT,
        roster=roster,
        corrections=corrections,
        cohort_id="c1",
        timezone="Europe/London",
        today=TODAY,
    )


def corrections(*rows: dict) -> pd.DataFrame:
    default = {"source": "a.csv", "old": "", "new": "", "reason": "seen on paper", "by": "AB"}
    return check_corrections(pd.DataFrame([default | r for r in rows]).astype(str), {"a.csv": "a.csv"})


def value(result, person: str, item: str) -> float:
    r = result.responses
    return float(r.loc[(r["person"] == person) & (r["item"] == item), "value"].iloc[0])


# ----------------------------------------------------------------------------------------- properties

READABLE = [
    "",
    " ",
    "Agree",
    "agree ",
    "Strongly\u00a0Agree",
    "Neither",
    "N/A",
    "-99",
    "5",
    "5.0",
    "5 - Strongly agree",
    "Agree\u200b",
]
UNREADABLE = ["3.5", "4;5", "6", "=1+1", "#REF!", "None", "\x00"]
CELL = st.sampled_from(READABLE * 8 + UNREADABLE)
ROW = st.fixed_dictionaries(
    {
        "code": st.one_of(
            st.sampled_from(["PL-001", "pl1", "2", "PL 003", "PL-004", "TEST", ""]), st.text(max_size=5)
        ),
        "when": st.sampled_from(["", "2015-03-01", "21/03/2015 10:00", "25/03/2015", "2030-01-01", "soon"]),
        **{i: CELL for i in TEXTS},
        "comment": st.text(max_size=12),
    }
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.lists(ROW, min_size=1, max_size=8), st.booleans())
def test_the_audit_restores_every_export_and_the_rows_add_up(rows, with_roster):
    raw = export(rows)
    try:
        result = clean(raw, roster=ROSTER if with_roster else None)
    except Refusal as refusal:
        assert "this is a fault of the program" not in str(refusal)
        reject()
    pd.testing.assert_frame_equal(restore(result.cells, result.audit), raw.cells)
    pd.testing.assert_frame_equal(apply(raw.cells, result.audit), result.cells)
    counts = result.accounting
    assert (
        counts["rows_in"]
        == len(rows)
        == (
            counts["rows_out"]
            + counts["rows_quarantined"]
            + counts["rows_dropped_as_exact_duplicates"]
            + counts["rows_of_other_instruments"]
        )
    )
    kept = result.rows[result.rows["fate"] == "kept"]
    assert len(result.responses) == len(kept) * len(TEXTS) and kept["person"].is_unique
    assert result.responses["value"].dropna().isin(AGREE.codes).all()
    assert (
        not result.quarantine.duplicated(["source", "row"]).any()
        and (result.quarantine["reason"] != "").all()
    )


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_run_of_edits_is_undone(data):
    cells = make(
        [
            {"source": "a", "row": r, "column": c, "value": data.draw(st.text(max_size=3))}
            for r in (1, 2, 3)
            for c in ("x", "y")
        ],
        CELLS,
    )
    done, edits = cells, []
    for _ in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(cells) - 1))
        cell = done.iloc[at]
        edit = {
            "source": "a",
            "row": cell["row"],
            "column": cell["column"],
            "rule": "r",
            "old": cell["value"],
            "new": data.draw(st.text(max_size=3)),
        }
        edits.append(edit)
        done = apply(done, make([edit], AUDIT))
    audit = make(edits, AUDIT)
    pd.testing.assert_frame_equal(apply(cells, audit), done)
    pd.testing.assert_frame_equal(restore(done, audit), cells)


def test_a_rule_changes_nothing():
    raw = export([answers(lead="agree "), answers("PL-002", help="N/A")])
    before = raw.cells.copy()
    clean(raw)
    pd.testing.assert_frame_equal(raw.cells, before)
    assert RULES[0].__name__ == "correct"


# --------------------------------------------------------------------------------------- corrections


def test_a_correction_is_applied_first_and_named_in_the_audit():
    result = clean(
        [answers(lead="6"), answers("PL-002")],
        corrections=corrections({"row": 1, "column": "lead", "old": "6", "new": "Strongly agree"}),
    )
    assert value(result, "PL-001", "lead") == 5 and result.outcome == "repaired"
    assert result.audit.iloc[0].to_dict() == {
        "source": "a.csv",
        "row": 1,
        "column": "lead",
        "rule": "correction",
        "old": "6",
        "new": "Strongly agree",
        "reason": "seen on paper (AB)",
    }


def test_a_stale_correction_is_refused_with_both_values():
    with pytest.raises(
        Refusal, match=r"a.csv, row 1, column 'lead' holds 'Agree', the correction expects '6'"
    ):
        clean([answers()], corrections=corrections({"row": 1, "column": "lead", "old": "6", "new": "5"}))
    with pytest.raises(Refusal, match="no cell in row 9"):
        clean([answers()], corrections=corrections({"row": 9, "column": "lead", "old": "6", "new": "5"}))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"row": 0, "column": "lead", "old": "6", "new": "5"}, "row '0'"),
        ({"row": "", "column": "lead", "old": "6", "new": "5"}, "row ''"),
        ({"row": 1, "column": "lead", "old": "6", "new": "5", "source": "b.csv"}, "source 'b.csv'"),
        ({"row": 1, "column": "lead", "old": "6", "new": "5", "by": ""}, "reason or by"),
        ({"row": 1, "column": "lead", "old": "6", "new": "6"}, "the same"),
        ({"row": 1, "column": "(row)", "new": "keep"}, "new = drop"),
    ],
)
def test_incomplete_corrections_are_refused(row, fault):
    with pytest.raises(Refusal, match="line 2") as caught:
        corrections(row)
    assert fault in str(caught.value)


# ------------------------------------------------------------------------------------------- columns


def columns(*names_and_texts):
    return [
        Column(n, t, {}, {}) for n, t in (x if isinstance(x, tuple) else (x, "") for x in names_and_texts)
    ]


def plan(*given_columns, **source):
    return plan_columns(
        columns("code", *given_columns),
        INSTRUMENT,
        Source(**({"file": "a.csv", "wave": "pre", "person": "code"} | source)),
    )


OTHERS = ("help", "plan", "voice", "trust")


@pytest.mark.parametrize(
    "header",
    [
        "lead",
        "LEAD ",
        "I feel ready to lead",
        "I\u00a0feel ready  to lead",
        "\ufeffI feel ready to lead",
        "3. I feel ready to lead",
        "Q3: I feel ready to lead",
        "3) I feel ready to lead",
        "Q3 I feel ready to lead",
        "Q12_1 - I feel ready to lead",
        "I feel ready to lead [1 = no]",
        "How far do you agree? [I feel ready to lead]",
        "How far do you agree? - I feel ready to lead",
        "5. How far do you agree? - 5.1 - I feel ready to lead",
        "I feel re\u200bady to lead",
        "I feel ready to lead (tick one)",
        "I feel ready to lead *",
    ],
)
def test_a_column_is_known_by_name_or_text(header):
    assert plan(header, *OTHERS).items[0].column == header


def test_quotes_and_markup_do_not_matter():
    found = plan("lead", "help", ("Q9", "<b>I can\u2019t</b> plan&nbsp;without my manager"), "voice", "trust")
    assert found.items[2].column == "Q9" and found.items[2].how == "text"


@pytest.mark.parametrize(
    ("given_columns", "message"),
    [
        (("lead", "I feel ready to lead", *OTHERS), "item lead has 2 columns"),
        (("I feel ready to lead", "I feel ready to lead (2)", *OTHERS), "item lead has 2 columns"),
        (("I felt ready to lead", *OTHERS), "no column: lead .*nearest: 'I felt ready to lead'"),
        (
            (("lead", "I trust the other group"), *OTHERS),
            "named as item lead but asks the question of item trust",
        ),
    ],
)
def test_missing_double_and_contradicting_columns_are_refused(given_columns, message):
    with pytest.raises(Refusal, match=message):
        plan(*given_columns)


def test_declarations_win_and_every_other_column_is_accounted_for():
    found = plan(
        "Q1",
        *OTHERS,
        "note",
        "time",
        "I feel ready to lead",
        columns={"Q1": "lead"},
        ignore={"no*": "free text"},
    )
    assert found.items[0].column == "Q1" and found.items[0].how == "declared"
    assert found.unused["note"] == "free text" and "not asked at pre" in found.unused["time"]
    assert any("I feel ready to lead" in w and "declared" in w for w in found.warnings)
    warned = plan("lead", *OTHERS, "shoe size")
    assert warned.free == ("shoe size",) and "'shoe size'" in warned.warnings[0]
    assert plan("lead", *OTHERS, "Q8", ignore={"*": "other questions"}).unused == {"Q8": "other questions"}
    with pytest.raises(Refusal, match="listed under ignore"):
        plan("lead", *OTHERS, ignore={"lead": "why not"})
    with pytest.raises(Refusal, match="columns names the column 'Q7'"):
        plan("lead", *OTHERS, columns={"Q7": "lead"})


def test_fields_of_another_wave_never_match():
    """A wide table: question 10 before is question 9 after, and question 10 after is another one."""
    items = {
        i: Item(i, t, "all", "amount", fields={"pre": i, "post": o})
        for i, t, o in (
            ("Q10_1_pre", "work alone", "Q9_1_post"),
            ("Q11_1_pre", "work together", "Q10_1_post"),
        )
    }
    wide = replace(INSTRUMENT, items=items)
    table = columns("id", "Q10_1_pre", "Q11_1_pre", "Q9_1_post", "Q10_1_post")
    post = plan_columns(table, wide, Source("a.tsv", "post", "id"))
    assert [m.column for m in post.items] == ["Q9_1_post", "Q10_1_post"] and not post.warnings
    assert set(post.unused) == {"Q10_1_pre", "Q11_1_pre"}


# ------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("Agree", "label", 4),
        ("agree", "spelling", 4),
        (" Agree\u00a0", "spelling", 4),
        ("neither", "alias", 3),
        ("5", "number", 5),
        ("5.0", "number", 5),
        ("5 - Strongly agree", "code", 5),
        ("5. Strongly agree", "code", 5),
        ("Strongly agree (5)", "code", 5),
        ("", "blank", None),
        ("  ", "blank", None),
        ("n/a", "missing", None),
        ("-99.0", "missing", None),
        ("\u221299", "missing", None),
    ],
)
def test_answers_that_are_read(text, kind, code):
    reading = read_answer(text, AGREE)
    assert (reading.kind, reading.code) == (kind, code)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("3.5", "between two answers"),
        ("4;5", "two answers"),
        ("4, 5", "two answers"),
        ("Agree;Neutral", "two answers"),
        ("6", "outside 1-5"),
        ("0", "outside 1-5"),
        ("4,0", "decimal comma"),
        ("5\u00b2", "not an answer"),
        ("=A1", "formula"),
        ("+SUM(A1)", "formula"),
        ("#N/A", "spreadsheet error"),
        ("2015-03-04", "a date"),
        ("4-May", "a date"),
        ("Agre", "nearest: 'Agree'"),
        ("05", "not an answer"),
        ("4 - Strongly agree", "whose code is 5"),
        ("\uff15", "not an answer"),
        ("None", "not an answer"),
    ],
)
def test_answers_that_are_not_guessed(text, why):
    reading = read_answer(text, AGREE)
    assert reading.kind == "unreadable" and why in reading.reason


def test_options_of_reading_an_answer():
    assert read_answer("4,0", AGREE, decimal_comma=True).code == 4
    assert (
        read_answer("A4", AGREE, limesurvey=True).code == 4 and read_answer("A4", AGREE).kind == "unreadable"
    )
    assert read_answer("None", AMOUNT).code == 0 and read_answer("NA", AMOUNT).reason == "blank"
    assert read_answer("9", AGREE, missing={"9": "refused"}) == replace(
        read_answer("N/A", AGREE), reason="refused"
    )
    turned = {str(n): label for n, label in zip((5, 4, 3, 2, 1), AGREE.labels, strict=True)}
    assert (
        read_answer("1", AGREE, labels=turned).code == 5
        and read_answer("1.0", AGREE, labels=turned).code == 5
    )
    ends = {"1": "Strongly agree", "5": "Strongly disagree"}
    assert read_answer("2", AGREE, labels=ends).code == 4
    assert read_answer("5", AGREE, labels={"5": "Don't know", "1": "Agree"}).kind == "unreadable"
    rating = ResponseSet("r", ("0", "1", "2"), (0, 1, 2))
    assert [read_answer(t, rating).kind for t in ("2", "2.0", "3")] == ["label", "spelling", "unreadable"]


def test_bare_numbers_need_a_direction():
    coded = [answers(p, **dict.fromkeys(TEXTS, "2")) for p in ("PL-001", "PL-002")]
    with pytest.raises(
        Refusal, match=r'10 answers in 5 columns are bare numbers \(first: lead, row 1, .2.\)'
    ):
        clean(coded)
    assert value(clean(coded, codes="as-instrument"), "PL-001", "lead") == 2
    turned = clean(coded, codes="reversed")
    assert (
        value(turned, "PL-001", "lead") == 4
        and set(turned.audit["rule"]) == {"reversed"}
        and turned.outcome == "ok"
    )
    book = {
        i: {"1": "Strongly agree", "2": "Agree", "3": "Neutral", "4": "Disagree", "5": "Strongly disagree"}
        for i in TEXTS
    }
    assert value(clean(export(coded, labels=book)), "PL-001", "lead") == 4
    with pytest.raises(Refusal, match="bare numbers"):  # a codebook of one column says nothing of the others
        clean(export(coded, labels={"lead": book["lead"]}))
    assert value(clean([*coded[:1], answers("PL-002")]), "PL-001", "lead") == 2
    labelled = clean([answers(lead="1 - Strongly agree", **dict.fromkeys(OTHERS, "2"))], codes="reversed")
    assert value(labelled, "PL-001", "lead") == 5 and value(labelled, "PL-001", "help") == 4
    with pytest.raises(Refusal, match='codes = "upside-down"'):
        clean(coded, codes="upside-down")


def test_missing_words_keep_their_reason_and_valid_none_stays():
    rows = [
        answers(lead="N/A", help="-99") | {"time": "None"},
        answers("PL-002", help="") | {"time": "N.A./Prefer not to answer"},
    ]
    result = clean(rows, wave="post")
    assert value(result, "PL-001", "time") == 0
    emptied = result.audit[result.audit["rule"] == "missing_word"][["row", "column", "old", "new", "reason"]]
    assert emptied.to_numpy().tolist() == [
        [1, "lead", "N/A", "", "not_applicable"],
        [1, "help", "-99", "", "seen_unanswered"],
        [2, "time", "N.A./Prefer not to answer", "", "prefer_not_to_say"],
    ]
    assert np.isnan(value(result, "PL-002", "help")) and len(result.responses) == 12


def test_unreadable_answers_set_the_row_aside_and_name_the_cure():
    result = clean([answers(), answers("PL-002"), answers("PL-003", lead="6", trust="4;5")])
    assert result.outcome == "quarantine" and result.accounting["rows_out"] == 2
    row = result.quarantine.iloc[0]
    assert (
        row["row"] == 3
        and "'6' in column 'lead' is outside 1-5" in row["reason"]
        and "'4;5' in column 'trust'" in row["reason"]
    )
    assert "mini.toml" in row["suggestion"]
    assert any(w.startswith("1 of 3 answers in lead cannot be read (first: row 3") for w in result.warnings)


def test_more_than_half_outside_refuses_the_file():
    with pytest.raises(
        Refusal, match=r"2 of 3 answers in lead \(item lead\) cannot be read \(first: row 1, '6'"
    ):
        clean([answers(lead="6"), answers("PL-002", lead="7"), answers("PL-003")])
    half = clean([answers(lead="6"), answers("PL-002")])
    assert half.outcome == "quarantine"


# -------------------------------------------------------------------------------------------- people


@pytest.mark.parametrize(
    "text",
    [
        "PL-001",
        "pl1",
        "PL 01",
        "pl_001 ",
        "1",
        "001",
        "1.0",
        "ID: PL001",
        "Participant code 1",
        "PL\u2013001",
    ],
)
def test_ids_that_mean_one_person(text):
    assert match_people([text], ROSTER["person"])[text].person == "PL-001"


@pytest.mark.parametrize("text", ["PL-01O", "PL-l", "PL-005", "XX-001", "", "PL-0011", "P-1-1"])
def test_ids_that_mean_nobody_are_never_merged(text):
    assert match_people([text], ROSTER["person"])[text].person == ""


def test_an_id_that_fits_two_people_is_refused_with_both():
    found = match_people(["7", "D7"], ["SYN-D07", "SYN-M07"])
    assert (
        found["D7"].person == "SYN-D07"
        and found["7"].problem == "fits 2 roster entries"
        and "SYN-M07" in found["7"].suggestion
    )
    with pytest.raises(Refusal, match="names one person twice: 'PL-1' and 'pl01'"):
        match_people([], ["PL-1", "pl01"])
    assert person_key("a-1-10") != person_key("a-11-0") and fold("5\u00b2") != "52"


def test_unknown_people_are_set_aside_with_a_suggestion():
    result = clean([answers(), answers("PL-O02")])
    assert result.quarantine["reason"].iloc[0].startswith("unknown person: the id 'PL-O02'")
    assert "PL-002" in result.quarantine["suggestion"].iloc[0]


def test_role_and_pair_must_agree_with_the_roster():
    rows = [
        answers() | {"role": "Doctor", "pair": "a"},
        answers("PL-002") | {"role": "doctor", "pair": "A"},
        answers("PL-003") | {"role": "", "pair": "A"},
    ]
    result = clean(rows)
    assert (
        result.quarantine["row"].tolist() == [2, 3]
        and result.quarantine["reason"].str.startswith("roster disagreement").all()
    )


def test_without_a_roster_people_are_their_normalised_ids():
    result = clean([answers("R_Ab1"), answers("r_02")], roster=None)
    assert (
        sorted(set(result.responses["person"])) == ["r2", "rab1"]
        and result.outcome == "ok"
        and set(result.responses["role"]) == {""}
    )


def test_the_same_person_twice():
    same = clean([answers(), answers(), answers("PL-002")])
    assert same.accounting["rows_dropped_as_exact_duplicates"] == 1 and same.outcome == "repaired"
    assert any("byte for byte" in w for w in same.warnings)
    differ = clean([answers(), answers(lead="Disagree"), answers("PL-002")])
    assert differ.quarantine["row"].tolist() == [1, 2] and set(differ.responses["person"]) == {"PL-002"}
    spelled = clean([answers(), answers("pl1"), answers("PL-002")])  # same answers, but not the same bytes
    assert spelled.quarantine["row"].tolist() == [1, 2]
    both = clean([answers(lead="6"), answers(lead="6"), answers("PL-002"), answers("PL-003")])
    assert list(both.accounting.values()) == [4, 2, 1, 1, 0]
    three = clean([answers(), answers(), answers(lead="Disagree")])
    assert three.quarantine["row"].tolist() == [1, 2, 3]
    chosen = clean(
        [answers(), answers(lead="Disagree")],
        corrections=corrections({"row": 1, "column": "(row)", "new": "drop"}),
    )
    assert value(chosen, "PL-001", "lead") == 2 and chosen.quarantine["reason"].tolist() == [
        "correction: seen on paper (AB)"
    ]


# ---------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("texts", "options", "first"),
    [
        (["03/04/2015", "25/04/2015"], {}, "2015-04-03"),
        (["03/04/2015", "04/25/2015"], {}, "2015-03-04"),
        (["03/04/2015"], {"day_first": True}, "2015-04-03"),
        (["3/4/2015 9:05:00"], {"format": "googleforms"}, "2015-03-04T09:05:00+00:00"),
        (["04/03/2015 09:05 PM"], {"format": "surveymonkey"}, "2015-04-03T21:05:00+01:00"),
        (["2015-04-03 00:00:00"], {}, "2015-04-03"),
        (["2015-04-03T10:00:00Z"], {}, "2015-04-03T11:00:00+01:00"),
        (["2015/04/03 9:05:00 am GMT+1"], {}, "2015-04-03T09:05:00+01:00"),
        (["3 April 2015"], {}, "2015-04-03"),
        (["Apr 3, 2015 9:05 PM"], {}, "2015-04-03T21:05:00+01:00"),
        (["4/4/15"], {}, "2015-04-04"),
    ],
)
def test_dates(texts, options, first):
    found = read_dates(texts, timezone="Europe/London", **({"day_first": None} | options))
    assert found[texts[0]].text == first


def test_dates_that_are_not_guessed():
    with pytest.raises(Refusal, match="all 2 different dates can be read"):
        read_dates(["03/04/2015", "04/05/2015"], timezone="UTC", day_first=None)
    with pytest.raises(Refusal, match="contradict"):
        read_dates(["25/04/2015", "04/25/2015"], timezone="UTC", day_first=None)
    assert read_dates(["31/02/2015", "42064", "soon"], timezone="UTC", day_first=True) == {
        "31/02/2015": None,
        "42064": None,
        "soon": None,
    }
    american = clean(export([answers(when="3/4/2015 9:00:00")], format="googleforms"))
    assert american.rows["when"].iloc[0].startswith("2015-03-04") and any(
        "month first" in w for w in american.warnings
    )
    for form in ("csv", "googleforms"):  # a zero in front is not how Google writes its American dates
        with pytest.raises(Refusal, match="column 'when'"):
            clean(export([answers(when="03/04/2015 9:00:00")], format=form))


def test_rows_at_impossible_times_are_set_aside():
    result = clean(
        [
            answers(when="2016-01-02"),
            answers("PL-002", when="2016-01-01"),
            answers("PL-004", when="2015-03-10"),
            answers("PL-003", when="soon"),
        ]
    )
    assert dict(
        zip(result.quarantine["row"], result.quarantine["reason"].str.split(":").str[0], strict=True)
    ) == {1: "future", 3: "withdrawn"}
    assert result.flags[["row", "flag"]].to_numpy().tolist()[-1] == [4, "time_unknown"]
    assert clean([answers("PL-004", when="2015-03-09")]).outcome == "ok"
    assert clean([answers("PL-004", when=""), answers()]).quarantine["reason"].iloc[0].startswith("withdrawn")


def test_previews_tests_and_refusals_are_set_aside():
    rows = [
        answers() | {"Status": "Survey Preview", "ok": "Yes"},
        answers("PL-001") | {"Status": "0", "ok": " YES"},
        answers("PL-002") | {"Status": "1", "ok": "Yes"},
        answers("PL-003") | {"Status": "0", "ok": "No"},
        answers("test 2") | {"Status": "0", "ok": "Yes"},
        answers("PL-004") | {"Status": "0", "ok": ""},
    ]
    raw = export(rows, format="qualtrics", known={"status": "Status"})
    result = clean(raw, consent="ok", consent_given=("Yes",))
    assert result.quarantine["reason"].str.split(":").str[0].tolist() == ["preview or test"] * 2 + [
        "no consent",
        "preview or test",
        "no consent",
    ]
    assert set(result.responses["person"]) == {"PL-001"}
    with pytest.raises(Refusal, match="consent_given"):
        clean(raw, consent="ok")


def test_rows_of_other_instruments_are_counted():
    rows = [
        answers() | {"ev": "pre_arm_1"},
        answers(**dict.fromkeys(TEXTS, "Disagree")) | {"ev": "post_arm_1"},
        {"code": "PL-001", "when": "", "ev": "visit_arm_1"},
    ]
    result = clean(export(rows, format="redcap", known={"event": "ev"}), ignore={"ev": "event"})
    assert result.accounting == {
        "rows_in": 3,
        "rows_out": 1,
        "rows_quarantined": 0,
        "rows_dropped_as_exact_duplicates": 0,
        "rows_of_other_instruments": 2,
    }
    assert value(result, "PL-001", "lead") == 4
    repeated = [
        answers() | {"redcap_repeat_instrument": ""},
        {"code": "", "when": "", "redcap_repeat_instrument": "diary"},
        {"code": "PL-002", "when": "2015-03-01", "redcap_repeat_instrument": ""},
    ]
    result = clean(
        export(repeated, format="redcap", administrative={"redcap_repeat_instrument": "which form"})
    )
    assert list(result.accounting.values()) == [3, 2, 0, 0, 1] and "no_answers" in set(result.flags["flag"])
    with pytest.raises(Refusal, match="2 events hold answers"):
        clean(export([r | {"ev": r["ev"].replace("p", "q")} for r in rows], known={"event": "ev"}))


# --------------------------------------------------------------------------------------------- flags


def test_flags_keep_the_row():
    words = [
        "<b>bold</b>",
        "=HYPERLINK(1)",
        "write to a@b.org",
        "ring 020 7946 0018",
        "Dr Smith was kind",
        "It\u00e2\u20ac\u2122s fine",
        "all good",
    ]
    names = [f"PL-{n:03d}" for n in range(1, 8)]
    people = ROSTER.reindex(columns=["person"]).iloc[:0].assign(person=[])
    people = pd.concat([people, pd.DataFrame({"person": names})])
    rows = [answers(p, lead="Neutral") | {"comment": w} for p, w in zip(names, words, strict=True)]
    rows[6] |= dict.fromkeys(TEXTS, "")
    result = clean(rows, roster=people, ignore={"comment": "free text"})
    flags = result.flags.groupby("row")["flag"].agg(list).to_dict()
    assert flags == {
        1: ["html_in_text"],
        2: ["formula_like_text"],
        3: ["email_in_text"],
        4: ["phone_in_text"],
        5: ["possible_name"],
        6: ["mojibake_suspect"],
        7: ["no_answers"],
    }
    assert result.outcome == "ok" and result.accounting["rows_out"] == 7
    assert (result.cells.loc[result.cells["column"] == "comment", "value"] == words).all()
    assert clean([answers()]).flags["flag"].tolist() == ["straight_line"]
    assert clean([answers(lead="Neutral", voice="", trust="")]).flags["flag"].tolist() == ["partial"]


# -------------------------------------------------------------------------------------- outcomes, files


def test_the_four_outcomes_of_a_file(tmp_path):
    def file(*lines: str):
        path = tmp_path / "a.csv"
        path.write_text("\n".join(["code,when," + ",".join(TEXTS.values()), *lines]) + "\n", encoding="utf-8")
        return take_in(
            path,
            instrument=INSTRUMENT,
            roster=ROSTER,
            wave="pre",
            timezone="Europe/London",
            completed="when",
            today=TODAY,
        )

    good = "PL-001,2015-03-01,Agree,Agree,Neutral,Agree,Disagree"
    assert file(good).outcome == "ok"
    assert file(good.replace("Neutral", "neutral ")).outcome == "repaired"
    assert file(good, "PL-009,2015-03-01,Agree,Agree,Neutral,Agree,Disagree").outcome == "quarantine"
    refused = file("PL-001,2015-03-01,1,2,3,4,5")
    assert refused.outcome == "refused" and "bare numbers" in refused.refusal and not len(refused.responses)
    ragged = file(good, "PL-002,2015-03-01,Agree")
    assert ragged.outcome == "quarantine" and ragged.quarantine["reason"].iloc[0].startswith("ragged row")
    assert ragged.accounting["rows_in"] == 2
    gone = take_in(tmp_path / "none.csv", instrument=INSTRUMENT, wave="pre", timezone="UTC")
    assert gone.outcome == "refused" and "none.csv" in gone.refusal


# ------------------------------------------------------------------------------------------- records


def test_roster_checks():
    roles = {r: study_module.Role(r, r.title(), r + "s") for r in ("doctor", "manager")}
    table, warnings = check_roster(
        pd.DataFrame(
            {
                "Person": ["A1", "A2", "B1", "C1", "C2"],
                "pair": ["A", "A", "B", "C", "C"],
                "shoe": "9",
                "role": ["Doctor", "managers", "doctor", "doctor", "doctor"],
                "withdrawn": ["", "31/03/2015", "", "", ""],
            }
        ),
        roles=roles,
    )
    assert table["pair"].tolist() == ["A", "A", "", "", ""] and table["listed_pair"].tolist() == [
        "A",
        "A",
        "B",
        "C",
        "C",
    ]
    assert table["role"].tolist()[:2] == ["doctor", "manager"] and table["withdrawn"].iloc[1] == "2015-03-31"
    assert len(warnings) == 3 and any("pair B" in w and "without partner" in w for w in warnings)
    for column, values, message in (
        ("role", ["nurse", "manager"], "no role the study knows"),
        ("withdrawn", ["soon", ""], "cannot be read"),
        ("person", ["A1", "a-1"], "twice"),
    ):
        with pytest.raises(Refusal, match=message):
            check_roster(
                pd.DataFrame(
                    {"person": ["A1", "A2"], "role": ["doctor", "manager"], "withdrawn": ""}
                    | {column: values}
                ),
                roles=roles,
            )


def test_events_are_checked_row_by_row():
    roster, _ = check_roster(ROSTER)
    table = pd.DataFrame(
        [
            ("pl1", "", "meeting", "2015-03-01", "60", "done"),
            ("", "a", "contract", "2015-03-01", "", "signed"),
            ("PL-002", "B", "meeting", "2015-03-01", "60", "done"),
            ("PL-009", "", "meeting", "2015-03-01", "60", "done"),
            ("PL-001", "", "party", "2015-03-01", "60", "done"),
            ("PL-001", "", "meeting", "2015-03-01", "-5", "done"),
            ("PL-001", "", "meeting", "soon", "5", "done"),
            ("", "", "meeting", "2015-03-01", "5", "done"),
            ("", "Z", "meeting", "2015-03-01", "5", "done"),
            ("PL-003", "B", "shadowing_chairman", "2015-03-01", "5", "done"),
        ],
        columns=["person", "pair", "kind", "date", "minutes", "status"],
        index=range(1, 11),
    )
    found = check_events(table, cohort_id="c1", roster=roster, source="events.csv")
    assert found.accounting == {
        "rows_in": 10,
        "rows_out": 3,
        "rows_quarantined": 7,
        "rows_dropped_as_exact_duplicates": 0,
        "rows_of_other_instruments": 0,
    }
    assert found.rows[["person", "pair"]].to_numpy().tolist() == [["PL-001", "A"], ["", "A"], ["PL-003", "B"]]
    assert found.quarantine["reason"].str.split(":").str[0].tolist() == [
        "roster disagreement",
        "unknown person",
        "unknown kind",
        "unreadable minutes",
        "unreadable date",
        "no person",
        "unknown pair",
    ]


def test_interviews_are_checked_row_by_row():
    roster, _ = check_roster(ROSTER)
    themes = {"t": study_module.Theme("t", "Trust", "d")}
    table = pd.DataFrame(
        [
            ("I1", "pl1", "1", "0", "9", "A", "Trust", "quotation"),
            ("I1", "pl1", "1", "0", "9", "A", "Trust", "quotation"),
            ("I1", "PL-001", "1", "0", "9", "B", "", "quotation"),
            ("I1", "PL-001", "2", "9", "5", "A", "t", "q"),
            ("I1", "PL-001", "2", "", "", "", "t", "q"),
            ("I1", "PL-001", "3", "", "", "A", "u", "q"),
            ("I2", "PL-002", "1", "", "", "A", "t", "q"),
            ("I2", "PL-003", "1", "", "", "A", "t", "q"),
        ],
        columns=["interview", "person", "segment", "start", "end", "coder", "theme", "quotation"],
        index=range(1, 9),
    )
    found = check_interviews(table, cohort_id="c1", roster=roster, themes=themes, source="i.csv")
    assert list(found.accounting.values()) == [8, 2, 5, 1, 0]
    assert found.rows["theme"].tolist() == ["t", ""] and found.people.to_numpy().tolist() == [
        ["I1", "PL-001", "doctor"]
    ]
    assert conform(found.rows, CODINGS).equals(found.rows)


# ------------------------------------------------------------------------------------------- cohorts

STUDY = study_module.load()


@pytest.fixture
def folder(tmp_path):
    """The shipped study with the first cohort alone, to be changed by a test."""
    shutil.copytree(STUDY.root / "study", tmp_path / "study")
    shutil.copytree(STUDY.raw("cohort-1"), tmp_path / "data_raw" / "cohort-1")
    for path in (tmp_path / "data_raw" / "cohort-1").iterdir():
        path.chmod(0o644)
    for name in ("cohort-2", "cohort-3"):
        for suffix in (".toml", "_corrections.csv"):
            (tmp_path / "study" / "cohorts" / f"{name}{suffix}").unlink()
    return tmp_path


def edit(path, old: str, new: str, count: int = 1):
    text = path.read_text(encoding="utf-8-sig")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


@pytest.mark.parametrize("cohort_id", ["cohort-1", "cohort-2", "cohort-3"])
def test_the_shipped_cohorts_give_back_the_true_answers(cohort_id):
    result = clean_cohort(STUDY, cohort_id, today=dt.date(2020, 1, 1))
    key = ["person", "wave", "item"]
    truth = shipped(STUDY, cohort_id).responses.set_index(key)
    found = result.responses.set_index(key)
    assert found.index.is_unique and found.index.isin(truth.index).all()
    both = found.join(truth.add_suffix("_true"))
    differ = both[(both["value"] != both["value_true"]) & ~(both["value"].isna() & both["value_true"].isna())]
    stopped = result.flags.loc[result.flags["flag"] == "partial"]
    assert (
        len(differ) == 2 * len(stopped) and differ["value"].isna().all()
    )  # `partial` empties the last two answers
    assert (both["role"] == both["role_true"]).all() and (both["pair"] == both["pair_true"]).all()
    planted = DEFECTS[cohort_id]
    reasons = result.quarantine["reason"].str.split(":").str[0].value_counts().to_dict()
    wanted = {
        "unknown person": planted.get("unknown_code", 0),
        "preview or test": planted.get("preview", 0) + planted.get("test_response", 0),
        "same person twice": 2 * planted.get("differing_double", 0),
        "no consent": planted.get("no_consent", 0),
        "unreadable answer": planted.get("half_point", 0),
        "withdrawn": planted.get("answered_withdrawn", 0),
    }
    assert reasons == {k: n for k, n in wanted.items() if n}
    assert result.accounting["rows_dropped_as_exact_duplicates"].sum() == planted.get("identical_double", 0)
    for cleaned in result.sources.values():
        raw = restore(cleaned.cells, cleaned.audit)
        assert len(raw) == len(cleaned.cells) and (cleaned.audit.empty or not raw.equals(cleaned.cells))


def test_the_flow_adds_up_and_the_tables_hold_their_shapes():
    result = clean_cohort(STUDY, "cohort-2", today=dt.date(2020, 1, 1))
    n = result.flow.set_index("category")["n"]
    assert n["on the roster"] == n["on the roster|doctor"] + n["on the roster|manager"] == 20
    for wave in ("pre", "post"):
        assert n[f"answered|{wave}"] + n[f"did not answer|{wave}"] == 20
    rows = {c: v for c, v in n.items() if c.startswith("rows|pre_qualtrics.csv|")}
    assert sum(rows.values()) == 2 * rows["rows|pre_qualtrics.csv|received"] == 42
    assert n["complete pairs"] == 8 and result.flow["of"].notna().all()
    counts = result.accounting.set_index("source")
    assert (counts["rows_in"] == counts.drop(columns="rows_in").sum(axis=1)).all() and len(counts) == 4
    assert set(result.interviews["role"]) == {"doctor", "manager"}


def test_a_row_in_the_wrong_order_is_set_aside(folder):
    raw = folder / "data_raw" / "cohort-1" / "post.csv"
    line = next(x for x in raw.read_text(encoding="utf-8-sig").splitlines() if "SYN-D01" in x)
    edit(raw, line, "01/01/2013 10:00" + line[16:])
    result = clean_cohort(study_module.load(folder), "cohort-1", today=dt.date(2020, 1, 1))
    wrong = result.quarantine[result.quarantine["reason"].str.startswith("wrong order")]
    assert len(wrong) == 1 and "SYN-D01" in wrong["reason"].iloc[0]
    assert not ((result.responses["person"] == "SYN-D01") & (result.responses["wave"] == "post")).any()
    assert any("half a year outside" in w for w in result.warnings)


def test_one_person_in_two_files_of_a_wave(folder):
    raw = folder / "data_raw" / "cohort-1"
    lines = (raw / "post.csv").read_text(encoding="utf-8-sig").splitlines()
    (raw / "late.csv").write_text(
        "\n".join([lines[0], lines[1], lines[2].replace("Agree", "Disagree", 1)]) + "\n", encoding="utf-8"
    )
    path = folder / "study" / "cohorts" / "cohort-1.toml"
    text = path.read_text()
    path.write_text(text + text[text.rindex("[[sources]]") :].replace('"post.csv"', '"late.csv"'))
    result = clean_cohort(study_module.load(folder), "cohort-1", today=dt.date(2020, 1, 1))
    late = result.sources["late.csv"].rows
    assert late["fate"].tolist() == ["exact duplicate", "quarantined"]
    assert result.sources["post.csv"].rows["fate"].tolist()[:2] == ["kept", "quarantined"]
    assert not result.responses.duplicated(["person", "wave", "item"]).any()


def test_stale_corrections_and_empty_cohorts_are_refused(folder):
    file = folder / "study" / "cohorts" / "cohort-1_corrections.csv"
    before = file.read_text()
    file.write_text(before.rstrip("\n") + "\npost.csv,1,Participant code,nobody,SYN-D01,typed wrongly,AB\n")
    with pytest.raises(Refusal, match="post.csv, row 1, column 'Participant code' holds .* expects 'nobody'"):
        clean_cohort(study_module.load(folder), "cohort-1")
    file.write_text(before)
    edit(
        folder / "study" / "cohorts" / "cohort-1.toml",
        'consent_given = ["Yes", "I agree"]',
        'consent_given = ["Never"]',
        2,
    )
    with pytest.raises(Refusal, match="no usable row: pre.csv: .*quarantined"):
        clean_cohort(study_module.load(folder), "cohort-1")


def test_a_cohort_with_one_wave_is_allowed_and_warned_about(folder):
    path = folder / "study" / "cohorts" / "cohort-1.toml"
    text = path.read_text()
    path.write_text(text[: text.rindex("[[sources]]")])
    lines = (folder / "study" / "cohorts" / "cohort-1_corrections.csv").read_text().splitlines()
    (folder / "study" / "cohorts" / "cohort-1_corrections.csv").write_text(
        "\n".join(x for x in lines if not x.startswith("post")) + "\n"
    )
    result = clean_cohort(study_module.load(folder), "cohort-1", today=dt.date(2020, 1, 1))
    assert any("not applicable" in w for w in result.warnings) and set(result.responses["wave"]) == {"pre"}


def test_one_wide_file_can_be_two_sources_without_roster_or_roles(tmp_path):
    (tmp_path / "study").mkdir()
    shutil.copytree(STUDY.root / "study" / "instruments", tmp_path / "study" / "instruments")
    shutil.copy(STUDY.root / "study" / "plan.toml", tmp_path / "study" / "plan.toml")
    top = (STUDY.root / "study" / "study.toml").read_text()
    (tmp_path / "study" / "study.toml").write_text(
        top[: top.index("[[roles]]")].replace('instrument = "pl"', 'instrument = "wide"')
    )
    (tmp_path / "study" / "plan.toml").write_text(
        'date = 2026-01-01\nregistration = ""\nmissing = "x"\nlevel = 0.95\nmid = 0.5\n'
        '[[contrasts]]\nid = "change"\nfrom = "pre"\nto = "post"\nlabel = "Change"\nprimary = true\n'
    )
    items = "".join(
        f'[[items]]\nid = "q{k}"\ntext = "Question {k}"\nsubscale = "s"\nresponses = "amount"\n'
        f'fields = {{ pre = "Q{9 + k}_pre", post = "Q{8 + k}_post" }}\n'
        for k in (1, 2)
    )
    (tmp_path / "study" / "instruments" / "wide.toml").write_text(
        'id = "wide"\ntitle = "Wide"\nsource = "x"\nlicence = "CC0-1.0"\n[response_sets.amount]\nlabels ='
        ' ["None", "Some", "Much"]\ncodes = [1, 2, 3]\n[response_sets.amount.missing]\n"NA" ='
        ' "blank"\n"N.A./Prefer not to answer" = "prefer_not_to_say"\n[subscales.s]\nlabel = "S"\nminimum'
        ' = 1\n'
        + items
    )
    source = (
        '[[sources]]\nfile = "wide.tsv"\nwave = "{w}"\nformat = "csv"\nperson = "ResponseId_pre"\nconsent ='
        ' "Q1_pre"\nconsent_given = ["Agree"]\n'
    )
    (tmp_path / "study" / "cohorts").mkdir()
    (tmp_path / "study" / "cohorts" / "y1.toml").write_text(
        'label = "Year 1"\nstart = 2021-08-01\nend = 2022-06-01\n'
        + source.format(w="pre")
        + source.format(w="post")
    )
    (tmp_path / "study" / "cohorts" / "y1_corrections.csv").write_text(
        "source,row,column,old,new,reason,by\n"
    )
    raw = tmp_path / "data_raw" / "y1"
    raw.mkdir(parents=True)
    (raw / "wide.tsv").write_text(
        "ResponseId_pre\tQ1_pre\tQ10_pre\tQ11_pre\tQ9_post\tQ10_post\n"
        "R_1\tAgree\tNone\tMuch\tSome\tNA\nR_2\tAgree\tN.A./Prefer not to answer\tMuch\tMuch\tNone\n"
    )
    study = study_module.load(tmp_path)
    assert list(source_labels(study.cohort("y1"))) == ["wide.tsv (pre)", "wide.tsv (post)"]
    result = clean_cohort(study, "y1")
    table = result.responses.pivot(index="person", columns=["wave", "item"], values="value")
    np.testing.assert_array_equal(
        table[[("pre", "q1"), ("pre", "q2"), ("post", "q1"), ("post", "q2")]].to_numpy(),
        [[1, 3, 2, np.nan], [np.nan, 3, 3, 1]],
    )
    assert result.roster is None and "complete pairs" not in set(result.flow["category"])
    assert set(result.flags["flag"]) <= {"time_unknown", "partial"}
    with pytest.raises(Refusal, match=r"use wide.tsv \(pre\) or wide.tsv \(post\)"):
        (tmp_path / "study" / "cohorts" / "y1_corrections.csv").write_text(
            "source,row,column,old,new,reason,by\nwide.tsv,1,Q10_pre,None,Some,paper,AB\n"
        )
        clean_cohort(study, "y1")


# -------------------------------------------------------------------------------------------- schema


def test_the_schema_reports_every_failure_and_drops_nothing():
    good = clean_cohort(STUDY, "cohort-1", today=dt.date(2020, 1, 1)).responses
    assert validate(good, RESPONSES, study=STUDY).equals(good)
    bad = pd.concat([good, good.iloc[:1]], ignore_index=True)
    bad.loc[1, "value"], bad.loc[2, "wave"], bad.loc[3, "role"] = 2.5, "later", "nurse"
    with pytest.raises(Refusal) as caught:
        validate(bad, RESPONSES, study=STUDY)
    for part in ("one of the item's codes", "wave", "role", "later", "nurse"):
        assert part in str(caught.value)
    with pytest.raises(Refusal, match="minutes"):
        validate(make([{"kind": "meeting", "minutes": -1.0}], EVENTS), EVENTS, study=STUDY)
    with pytest.raises(Refusal, match="no schema"):
        validate(make([], AUDIT), AUDIT, study=STUDY)
