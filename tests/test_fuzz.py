"""What holds for any file: no row lost, no answer changed silently, raw cells restored, only refusals.

`meaning` reads an answer a second time, written apart from the package. The short runs are part of every
test run; the long ones, marked slow, damage every format thousands of times from fixed seeds.
"""

from __future__ import annotations

import csv
import io
import random
import re
import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import awkward as a
from awkward import AGREE, ITEMS, LABELS, TEXTS, as_csv, as_xlsx
from plresearch.clean import apply, restore, take_in
from plresearch.matching import header_words
from plresearch.read import read

OUTCOMES = {"ok", "repaired", "quarantine", "refused"}
WORDS = header_words(a.INSTRUMENT, "pre")


# ---------------------------------------------------------------------------------- a second reading


def meaning(text: str, *, turned: bool, comma: bool) -> set[int | None]:
    """The codes that a cell may stand for; None is a missing answer; nothing is none of both."""
    plain = unicodedata.normalize("NFC", "".join(c for c in text if unicodedata.category(c) != "Cf"))
    plain = re.sub("[\u2010-\u2014\u2212]", "-", plain).replace("\u2019", "'").strip().casefold()
    plain = re.sub(r"\s+", " ", plain)
    if plain == "" or plain in {w.casefold() for w in AGREE.missing} | {"-99.0"}:
        return {None}
    codes = {label.casefold(): n for n, label in enumerate(LABELS, start=1)} | {"neither": 3, "sa": 5}
    if plain in codes:
        return {codes[plain]}
    whole = re.fullmatch(r"([1-5])(?:\.0+)?" if not comma else r"([1-5])(?:[.,]0+)?", plain)
    if whole:
        return {6 - int(whole[1]) if turned else int(whole[1])}
    pair = re.fullmatch(
        r"\(?(?P<n>[1-5])\)?\s*[-:.=)]?\s*(?P<t>\D+)|(?P<t2>\D+?)\s*[(\[=:-]\s*(?P<n2>[1-5])[)\]]?", plain
    )
    if pair:
        number, label = int(pair["n"] or pair["n2"]), (pair["t"] or pair["t2"]).strip(" -=:")
        if codes.get(label) == (6 - number if turned else number):
            return {codes[label]}
    return set()


def assert_sound(path: Path, done, options: dict) -> None:
    """Rows add up; raw cells come back; every answer is what its cell says."""
    counts = done.accounting
    assert done.outcome in OUTCOMES and counts["rows_in"] == sum(counts.values()) - counts["rows_in"]
    if done.outcome == "refused":
        assert (
            done.refusal
            and "fault of the program" not in done.refusal
            and not len(done.responses)
            and not len(done.cells)
        )
        return
    assert sorted(done.rows["row"]) == list(range(1, counts["rows_in"] + 1))
    assert counts["rows_quarantined"] == len(done.quarantine) == done.quarantine["row"].nunique()
    assert (done.quarantine["reason"] != "").all()
    again = read(
        path,
        expected=WORDS,
        **{k: options[k] for k in ("format", "delimiter", "sheet", "codebook") if k in options},
    )
    raw = restore(done.cells, done.audit)
    for name in ("source", "row", "column", "value"):
        assert raw[name].tolist() == again.cells[name].tolist()
    assert apply(again.cells, done.audit)["value"].tolist() == done.cells["value"].tolist()
    kept = done.rows[done.rows["fate"] == "kept"]
    assert kept["person"].is_unique and len(done.responses) == len(kept) * len(done.matches)
    texts = {
        (r, c): v
        for r, c, v in zip(again.cells["row"], again.cells["column"], again.cells["value"], strict=True)
    }
    row_of = dict(zip(kept["person"], kept["row"], strict=True))
    turned, comma = options.get("codes") == "reversed", again.delimiter == ";"
    if (
        "codebook" in options
        or options.get("format") == "limesurvey"
        or again.format in ("limesurvey", "spss")
    ):
        return
    for person, item, value in done.responses[["person", "item", "value"]].itertuples(index=False):
        text = texts[row_of[person], done.matches[item][0]]
        assert (None if np.isnan(value) else int(value)) in meaning(text, turned=turned, comma=comma), (
            person,
            item,
            text,
            value,
        )


def taken(path: Path, **options):
    given_options = {"person": "code", "completed": "when", "roster": a.ROSTER} | options
    done = take_in(
        path,
        instrument=a.INSTRUMENT,
        wave="pre",
        timezone="Europe/London",
        today=a.TODAY,
        roles=a.ROLES,
        **given_options,
    )
    assert_sound(path, done, options)
    return done


# ---------------------------------------------------------------------------------- any table

GOOD = [
    "Agree",
    "Disagree",
    "agree ",
    "Neither",
    "SA",
    "N/A",
    "",
    " ",
    "4",
    "2.0",
    "5 - Strongly agree",
    "2 - Disagree",
    "Strongly\u00a0agree",
    "Agree\u200b",
    "-99",
    "NA",
    "(4) Agree",
    "Agree (4)",
]
BAD = [
    "3.5",
    "4;5",
    "=1+1",
    "#N/A",
    "6",
    "04-May",
    "4 - Strongly agree",
    "Agre",
    "None",
    "4,0",
    "\uff14",
    "\n",
    "\"",
    ";",
]
CELL = st.one_of(
    st.sampled_from(GOOD * 6 + BAD),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=6),
)
PERSON = st.one_of(
    st.sampled_from([*a.PEOPLE * 3, "pl1", "1", "PL-O01", "", "TEST", '="PL-002"', "=A1"]),
    st.text(max_size=4).filter(lambda t: "\x00" not in t and t.isprintable()),
)
WHEN = st.sampled_from([*a.dates(), "13/03/2015 10:00", "2015-03-12", "2030-01-01", "soon", ""])
ROW = st.tuples(
    PERSON,
    WHEN,
    *[CELL] * len(ITEMS),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=8),
)
FORM = st.tuples(
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["", "as-instrument", "reversed"]),
)
HEADS = st.sampled_from(
    [list(ITEMS), list(TEXTS.values()), [f"Q{9 - n}. {t}" for n, t in enumerate(TEXTS.values())]]
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(ROW, min_size=1, max_size=7), form=FORM, heads=HEADS, roster=st.booleans())
def test_any_table(tmp_path, rows, form, heads, roster):
    check_any_table(tmp_path, rows, form, heads, roster)


@pytest.mark.slow
@settings(
    max_examples=800,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(ROW, min_size=1, max_size=9), form=FORM, heads=HEADS, roster=st.booleans())
def test_any_table_at_length(tmp_path, rows, form, heads, roster):
    check_any_table(tmp_path, rows, form, heads, roster)


def check_any_table(folder, rows, form, heads, roster) -> None:
    delimiter, encoding, codes = form
    path = folder / "any.csv"
    path.write_bytes(
        as_csv([["code", "when", *heads, "comment"], *rows], delimiter, csv.QUOTE_ALL, encoding=encoding)
    )
    taken(path, delimiter=delimiter, codes=codes, roster=a.ROSTER if roster else None)


def test_the_second_reading_agrees_with_itself():
    assert meaning("5 - Strongly agree", turned=False, comma=False) == {5} and meaning(
        "N/A", turned=False, comma=False
    ) == {None}
    assert meaning("4,0", turned=False, comma=False) == set() and meaning("4,0", turned=True, comma=True) == {
        2
    }
    assert (
        meaning("4 - Strongly agree", turned=False, comma=False) == set()
        and meaning("3.5", turned=False, comma=True) == set()
    )


# ---------------------------------------------------------------------------------- damage


@dataclass(frozen=True)
class Kind:
    """A good file of one format, and how it is to be read."""

    name: str
    data: bytes
    options: dict
    encoding: str = "utf-8"


def kinds(folder: Path) -> list[Kind]:
    """One good file of every format that is text or a workbook."""
    (folder / "book.csv").write_bytes(a.codebook())
    (folder / "dictionary.csv").write_bytes(a.dictionary())
    (folder / "survey.qsf").write_bytes(a.qsf())
    text = as_csv(a.table(extra={"comment": ["x, y", 'a "b"', "two\nlines", "", "\u00e9", "z"]}))
    platform, labelled = {"person": "code", "completed": ""}, {"person": "Participant code", "completed": ""}
    return [
        Kind("plain.csv", text, {"ignore": {"comment": "x"}}),
        Kind("semicolon.csv", as_csv(a.table(cell=lambda c: f"{c},0"), ";"), {"codes": "as-instrument"}),
        Kind("western.csv", text.decode().encode("cp1252"), {"ignore": {"comment": "x"}}, "cp1252"),
        Kind("reversed.csv", as_csv(a.table(cell=lambda c: str(6 - c)), "\t"), {"codes": "reversed"}),
        Kind("book.csv", as_csv(a.table(cell=str)), {"codebook": folder / "book.csv"}),
        Kind("qualtrics.csv", as_csv(a.qualtrics()), platform),
        Kind("qualtrics.tsv", as_csv(a.qualtrics(), "\t", encoding="utf-16"), platform, "utf-16"),
        Kind("legacy.csv", as_csv(a.qualtrics_legacy()), platform),
        Kind("qsf.csv", as_csv(a.qualtrics(str)), platform | {"codebook": folder / "survey.qsf"}),
        Kind("jisc.csv", as_csv(a.jisc()), {"person": "1. Your participant code", "completed": ""}),
        Kind(
            "redcap.csv", as_csv(a.redcap(str, raw=True)), platform | {"codebook": folder / "dictionary.csv"}
        ),
        Kind("redcap_labels.csv", as_csv(a.redcap(raw=False)), labelled),
        Kind("monkey.csv", as_csv(a.surveymonkey()), {"person": "Your participant code", "completed": ""}),
        Kind("expanded.csv", as_csv(a.surveymonkey_expanded()), labelled),
        Kind("google.csv", as_csv(a.googleforms()), labelled),
        Kind("lime.csv", as_csv(a.limesurvey(lambda c: f"A{c}")), labelled | {"codes": "as-instrument"}),
        Kind(
            "forms.xlsx",
            as_xlsx({"Form1": a.msforms()}),
            {"person": "Your participant code", "completed": ""},
        ),
        Kind("plain.xlsx", as_xlsx({"S": a.table(cell=int)}), {"codes": "as-instrument"}),
    ]


SPICE = [
    b'"',
    b"\r",
    b"\n",
    b",",
    b";",
    b"\t",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"=",
    b'""',
    b"{",
    b"\xc3\xa9",
    b" ",
    b"\xc2\xa0",
    b"Agree",
    b"5",
    b"3.5",
    b"#N/A",
    b"PL-002",
    b"N/A",
    b"0",
    b"-",
]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, dropped, put in, repeated, or the end cut off."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        place, kind = rng.randrange(len(out) or 1), rng.randrange(7)
        if kind == 0 and out:
            out[place] = rng.randrange(256)
        elif kind == 1:
            del out[place : place + rng.randint(1, 12)]
        elif kind == 2:
            out[place:place] = rng.randbytes(rng.randint(1, 6))
        elif kind in (3, 4):
            out[place:place] = rng.choice(SPICE)
        elif kind == 5:
            other = rng.randrange(len(out) or 1)
            out[place:place] = out[other : other + rng.randint(1, 60)]
        elif rng.random() < 0.3:
            out = out[: place + 1]
    return bytes(out) or b"x"


def damage_line(kind: Kind, rng: random.Random) -> tuple[bytes, set[str]]:
    """One line of a text file damaged; and the people whose lines are as they were."""
    mark = b"\xff\xfe" if kind.encoding == "utf-16" else b""
    step = "utf-16-le" if mark else kind.encoding
    end = "\r\n".encode(step)
    lines = kind.data[len(mark) :].split(end)
    victim = rng.randrange(len(lines) - 1)
    lines[victim] = damaged(lines[victim], rng)
    untouched = {
        p
        for n, line in enumerate(lines)
        for p in a.PEOPLE
        if n != victim and p in line.decode(step, "replace")
    }
    return mark + end.join(lines), untouched


def damage_member(kind: Kind, rng: random.Random) -> bytes:
    """A workbook one of whose members is damaged, with right check sums; or damaged as a file."""
    if rng.random() < 0.2:
        return damaged(kind.data, rng)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(kind.data)) as source, zipfile.ZipFile(out, "w") as target:
        members = [m for m in source.namelist() if m.startswith("xl/")]
        victim = rng.choice([m for m in members if "sheet" in m or "String" in m] * 4 + members)
        for member in source.namelist():
            data = source.read(member)
            target.writestr(member, damaged(data, rng) if member == victim else data)
    return out.getvalue()


def answers(done) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for person, item, value in done.responses[["person", "item", "value"]].itertuples(index=False):
        table.setdefault(person, {})[item] = -1.0 if np.isnan(value) else value
    return table


def batter(folder: Path, kind: Kind, seed: int, times: int) -> dict[str, int]:
    """Damage one file many times; what became of it, counted by outcome."""
    rng = random.Random(f"{kind.name} {seed}")
    clean_path = folder / f"clean_{kind.name}"
    clean_path.write_bytes(kind.data)
    clean = taken(clean_path, **kind.options)
    assert clean.outcome in ("ok", "repaired") and not len(clean.quarantine), clean.refusal
    truth, path = answers(clean), folder / f"damaged_{kind.name}"
    seen = dict.fromkeys(OUTCOMES, 0)
    for _ in range(times):
        if kind.name.endswith(".xlsx"):
            data, untouched = damage_member(kind, rng), set()
        elif rng.random() < 0.15:
            data, untouched = damaged(kind.data, rng), set()
        else:
            data, untouched = damage_line(kind, rng)
        path.write_bytes(data)
        done = taken(path, **kind.options)
        seen[done.outcome] += 1
        for person, found in answers(done).items():
            if person in untouched:
                assert found == truth[person], (person, found, truth[person])
    return seen


@pytest.mark.parametrize("index", range(18))
def test_damage_changes_no_answer_silently(tmp_path, index):
    kind = kinds(tmp_path)[index]
    seen = batter(tmp_path, kind, 2018, 4)
    assert sum(seen.values()) == 4


@pytest.mark.slow
@pytest.mark.parametrize("index", range(18))
def test_damage_changes_no_answer_silently_thousands_of_times(tmp_path, index):
    assert len(kinds(tmp_path)) == 18
    kind = kinds(tmp_path)[index]
    seen = batter(tmp_path, kind, 1, 300)
    assert seen["refused"] >= 20 and seen["ok"] + seen["repaired"] + seen["quarantine"] >= 20, seen


@pytest.mark.slow
def test_damage_of_spss_files(tmp_path):
    data = a.spss(tmp_path, labels={float(n): w for n, w in enumerate(LABELS, start=1)})
    rng, path = random.Random(5), tmp_path / "damaged.sav"
    path.write_bytes(data)
    truth = answers(taken(path))
    assert len(truth) == 6
    for _ in range(60):
        path.write_bytes(data[:4] + damaged(data[4:], rng))
        taken(path)


@pytest.mark.slow
def test_damaged_codebooks(tmp_path):
    rng, path = random.Random(6), tmp_path / "coded.csv"
    path.write_bytes(as_csv(a.table(cell=str)))
    for name, data in (
        ("b.csv", a.codebook()),
        ("d.csv", a.dictionary()),
        ("b.xlsx", as_xlsx({"S": list(csv.reader(io.StringIO(a.codebook().decode())))})),
    ):
        for _ in range(150):
            (tmp_path / name).write_bytes(damaged(data, rng))
            done = take_in(
                path,
                instrument=a.INSTRUMENT,
                roster=a.ROSTER,
                wave="pre",
                timezone="UTC",
                person="code",
                completed="when",
                today=a.TODAY,
                codebook=tmp_path / name,
            )
            for person, found in answers(done).items():
                wrong = [c for c, v in zip(a.CODES[person], found.values(), strict=True) if v not in (c, -1)]
                assert not wrong, (
                    person,
                    found,
                )  # a damaged label may become a missing word, never another code
