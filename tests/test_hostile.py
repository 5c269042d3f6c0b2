"""Files made to do harm: each is refused, or read for what it is, in bounded time and memory.

All of them go through `take_in` in one process of their own whose address space is limited; a crash, an
exception other than a refusal, or ten seconds for one file fail the test.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import awkward as a
from plresearch import study as study_module

ADDRESS_SPACE = 3_000_000_000  # bytes; numpy and its threads take more than half a GB of it before any file
SECONDS = 10
LARGE = 2_000_000  # bytes from which a file is left to the slow run
NOISE = random.Random(13)
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
TESTS = Path(__file__).resolve().parent

CHILD = """
import json, pathlib, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, ({space}, {space}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
sys.path[:0] = [{tests!r}, {project!r}]
import awkward as a
from plresearch.clean import take_in
for path in sorted(pathlib.Path({folder!r}).iterdir()):
    options = {{"codebook": path}} if path.name.startswith("book") else {{}}
    start = time.monotonic()
    read = pathlib.Path({good!r}) if options else path
    done = take_in(read, instrument=a.INSTRUMENT, roster=a.ROSTER, wave="pre",
                   timezone="UTC", person="code", completed="when", today=a.TODAY, **options)
    seconds = time.monotonic() - start
    counts = done.accounting
    assert counts["rows_in"] == sum(counts.values()) - counts["rows_in"]
    print(json.dumps([path.name, done.outcome, done.refusal, seconds, len(done.quarantine)]), flush=True)
print(json.dumps(["memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]), flush=True)
"""


def sheet_xml(body: str, before: str = "", after: str = "") -> str:
    return f'{before}<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData>{after}</worksheet>'


def cells(rows: list[list[str]]) -> str:
    """Rows of inline strings."""
    return "".join(
        f'<row r="{n}">' + "".join(f'<c t="inlineStr"><is><t>{c}</t></is></c>' for c in row) + "</row>"
        for n, row in enumerate(rows, start=1)
    )


GOOD = cells([[c.replace("'", "&apos;") for c in row] for row in a.table()])


def book(
    path: Path, sheet: str, extra: dict[str, str | bytes] | None = None, packing=zipfile.ZIP_DEFLATED
) -> None:
    """A workbook from its sheet's XML."""
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    parts = {
        "xl/workbook.xml": (
            f'<workbook xmlns="{MAIN}" xmlns:r="{office}"><sheets><sheet name="S" sheetId="1" r:id="r1"/>'
            '</sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="r1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/>'
            '</Relationships>'
        ),
        "xl/worksheets/sheet1.xml": sheet,
    }
    with zipfile.ZipFile(path, "w", packing) as archive:
        for member, text in {**parts, **(extra or {})}.items():
            archive.writestr(member, text)


LAUGHS = "<!DOCTYPE x [" + '<!ENTITY l0 "ha">' + "".join(
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10)) + "]>"


def files(folder: Path) -> dict[str, tuple[str, str]]:
    """Write every hostile file; name -> (outcome, word of the refusal)."""
    made: dict[str, tuple[str, str]] = {}

    def add(name: str, content: bytes, outcome: str = "refused", word: str = "") -> None:
        (folder / name).write_bytes(content)
        made[name] = (outcome, word)

    def sheet(name: str, xml: str, outcome: str = "refused", word: str = "", extra=None,
              packing=zipfile.ZIP_STORED) -> None:
        book(folder / name, xml, extra, packing)
        made[name] = (outcome, word)

    with (folder / "sparse.csv").open("wb") as handle:
        handle.truncate(2_000_000_000)
    made["sparse.csv"] = ("refused", "2,000,000,000 bytes")
    add("endless_line.csv", b"x" * 40_000_000, word="a line of 40,000,000")
    add("endless_quote.csv", a.as_csv(a.table()) + b'"' + b"x\n" * 15_000_000, word="lines")
    add("quotes.csv", b'"' * 40_000_000, word="line")
    add("only_commas.csv", (b"," * 900_000 + b"\n") * 90, word="cells")
    add("newlines.csv", b"\n" * 40_000_000 + b"x", word="lines")
    add(
        "wide_header.csv",
        b",".join(b"q%d" % k for k in range(100_000))
        + b"\n"
        + b",".join(b"1" for _ in range(100_000))
        + b"\n",
    )
    add(
        "long_headings.csv",
        a.as_csv([["code", "when", *(("(" * 60_000) + t for t in a.TEXTS.values())], *a.table()[1:]]),
    )
    add(
        "dashes.csv",
        a.as_csv([["code", "when", *(" - " * 20_000 + t for t in a.TEXTS.values())], *a.table()[1:]]),
    )
    add(
        "brackets.csv",
        a.as_csv(
            [["code", "when", *("[" * 50_000 + t + "]" * 50_000 for t in a.TEXTS.values())], *a.table()[1:]]
        ),
    )
    add(
        "tags.csv",
        a.as_csv([["code", "when", *("<a" * 50_000 + t for t in a.TEXTS.values())], *a.table()[1:]]),
    )
    add(
        "long_answer.csv",
        a.as_csv(a.table({(1, "lead"): "1 - " * 30_000, (2, "help"): "Agree " * 20_000})),
        "quarantine",
    )
    add("long_id.csv", a.as_csv(a.table({(1, "code"): "PL-" + "1-a" * 40_000})), "quarantine")
    add(
        "long_date.csv",
        a.as_csv(a.table({(1, "when"): "1/" * 60_000, (2, "when"): "2015-03-02 " + "1" * 100_000})),
        "ok",
    )
    add(
        "free_text.csv",
        a.as_csv(
            a.table(
                extra={
                    "comment": [
                        "<" * 130_000,
                        "a@" * 60_000,
                        "+1 " * 40_000,
                        "&#" * 60_000,
                        "Dr " * 40_000,
                        "\u00e2" * 130_000,
                    ]
                }
            )
        ),
        "ok",
    )
    add("random.bin", NOISE.randbytes(5_000_000))
    add("random_utf16.csv", b"\xff\xfe" + NOISE.randbytes(1_000_000))
    add("ids.csv", b"code,when,lead,help,plan,voice,trust\n" + b"".join(
        b"P%d,2015-03-01,Agree,Agree,Agree,Agree,Agree\n" % k for k in range(3_000)), "quarantine")
    add("formulas.csv", a.as_csv(a.table({(1, "lead"): "=cmd|' /C calc'!A0", (2, "code"): "=1+1",
                                          (3, "when"): '=HYPERLINK("http://x/?"&A1)'})), "quarantine")
    add("damaged.sav", b"$FL2" + NOISE.randbytes(2_000_000), word="SPSS")
    add("zeros.sav", b"$FL2" + b"\x00" * 5_000_000, word="SPSS")
    add("book_deep.qsf", b"{" + b'"SurveyEntry":' + b"[" * 5_000_000, word="codebook")
    add(
        "book_wide.csv",
        b"column,value,label\n" + b"".join(b"q%d,%d,x\n" % (k, k) for k in range(300_000)),
        word="codebook",
    )

    sheet("bomb.xlsx", packing=zipfile.ZIP_DEFLATED, xml=sheet_xml(GOOD + " " * 60_000_000), word="zip bomb")
    sheet(
        "bomb_elsewhere.xlsx",
        packing=zipfile.ZIP_DEFLATED,
        xml=sheet_xml(GOOD),
        word="zip bomb",
        extra={"xl/media/image1.png": b"\x00" * 60_000_000},
    )
    sheet(
        "bomb_strings.xlsx",
        packing=zipfile.ZIP_DEFLATED,
        xml=sheet_xml(GOOD),
        word="zip bomb",
        extra={"xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">' + "<si><t>a</t></si>" * 1_000_000 + "</sst>"},
    )
    sheet(
        "laughs.xlsx",
        LAUGHS + sheet_xml("<row><c t='inlineStr'><is><t>&l9;</t></is></c></row>"),
        word="document type",
    )
    sheet("laughs_strings.xlsx", sheet_xml(GOOD), word="document type",
          extra={"xl/sharedStrings.xml": LAUGHS + f'<sst xmlns="{MAIN}"><si><t>&l9;</t></si></sst>'})
    sheet("external.xlsx", '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + sheet_xml(
        "<row><c t='inlineStr'><is><t>&f;</t></is></c></row>"), word="document type")
    sheet(
        "external_dtd.xlsx",
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">' + sheet_xml(GOOD),
        word="document type",
    )
    sheet(
        "slip.xlsx",
        sheet_xml(GOOD),
        "ok",
        extra={"../../../evil.txt": "x", "/etc/evil": "x", "xl/../../evil.txt": "x"},
    )
    sheet("deep.xlsx", sheet_xml("<row>" + "<c>" * 300_000 + "</c>" * 300_000 + "</row>"))
    sheet(
        "deep_book.xlsx",
        sheet_xml(GOOD),
        extra={
            "xl/styles.xml": (
                f'<styleSheet xmlns="{MAIN}">' + "<a>" * 300_000 + "</a>" * 300_000 + "</styleSheet>"
            )
        },
        outcome="any",
    )
    wide = "".join(f'<c t="inlineStr"><is><t>q{k}</t></is></c>' for k in range(16_384))
    sheet(
        "wide.xlsx",
        sheet_xml(f'<row r="1">{wide}</row>' + "".join(f'<row r="{n}">{wide}</row>' for n in range(2, 12))),
    )
    sheet("far.xlsx", sheet_xml(GOOD + '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'), word="stray")
    sheet(
        "beyond.xlsx",
        sheet_xml(
            '<row r="1"><c r="ZZZ1"><v>1</v></c><c r="XFE1"><v>1</v></c></row><row r="2"><c'
            ' r="ZZZ2"><v>1</v></c></row>'
        ),
    )
    sheet("attributes.xlsx", sheet_xml("<row " + " ".join(f'a{k}="1"' for k in range(100_000)) + "/>"))
    sheet("empty_cells.xlsx", sheet_xml("<row>" + "<c/>" * 11_000_000 + "</row>"))
    sheet(
        "numbers.xlsx",
        sheet_xml(
            cells([a.HEADER])
            + '<row r="2"><c t="inlineStr"><is><t>PL-001</t></is></c><c><v>1e308</v></c>'
            '<c><v>1e999</v></c><c><v>nan</v></c><c><v>-0</v></c><c><v>'
            + "9" * 5_000
            + "</v></c><c><v>0x4</v></c></row>"
        ),
    )
    sheet("formula.xlsx", sheet_xml(GOOD.replace("<c t=\"inlineStr\"><is><t>Agree</t></is></c>",
          '<c t="str"><f>WEBSERVICE("http://127.0.0.1:9/")</f><v>Agree</v></c>', 1)), "quarantine")
    sheet(
        "shared_formula.xlsx",
        sheet_xml(
            GOOD.replace(
                "<c t=\"inlineStr\"><is><t>Agree</t></is></c>",
                '<c r="C2"><f t="shared" si="0" ref="C2:C9">'
                + "SUM(" * 8_000
                + "A1"
                + ")" * 8_000
                + "</f></c>",
                1,
            )
        ),
        "any",
    )
    sheet(
        "hidden.xlsx",
        sheet_xml(GOOD, after="<cols>" + '<col min="1" max="16384" hidden="1"/>' * 5_000 + "</cols>"),
        "ok",
    )
    sheet(
        "merged.xlsx",
        sheet_xml(GOOD, after="<mergeCells>" + '<mergeCell ref="A1:XFD1048576"/>' * 20_000 + "</mergeCells>"),
        word="merged",
    )
    with zipfile.ZipFile(folder / "members.xlsx", "w") as archive:
        for k in range(10_500):
            archive.writestr(f"xl/{k}.xml", "")
    made["members.xlsx"] = ("refused", "members")
    return made


@pytest.mark.parametrize("large", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_hostile_files_are_refused_in_bounded_time_and_memory(tmp_path, large):
    folder, good = tmp_path / "files", tmp_path / "good.csv"
    folder.mkdir()
    good.write_bytes(a.as_csv(a.table(cell=str)))
    expected = files(folder)
    assert len(expected) >= 44
    for path in folder.iterdir():
        if (path.stat().st_size >= LARGE and path.name != "sparse.csv") != large:
            expected.pop(path.name)
            path.unlink()
    before = sorted(p.name for p in tmp_path.iterdir())
    child = CHILD.format(
        space=ADDRESS_SPACE, tests=str(TESTS), project=str(TESTS.parent), folder=str(folder), good=str(good)
    )
    done = subprocess.run(
        [sys.executable, "-c", child],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=400,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (lines[-1:], done.stderr[-2000:])
    *found, (_, peak) = lines
    assert {name for name, *_ in found} == set(expected) and len(expected) >= (10 if large else 28)
    for name, outcome, refusal, seconds, _ in found:
        assert outcome == expected[name][0] or expected[name][0] == "any", (name, outcome, refusal[:300])
        assert expected[name][1] in refusal, (name, refusal[:300])
        assert seconds < SECONDS, (name, seconds)
        assert len(refusal) < 3_000, name
    assert peak < 2_000_000  # kB
    assert (
        sorted(p.name for p in tmp_path.iterdir()) == before and not (tmp_path.parent / "evil.txt").exists()
    )


@pytest.mark.parametrize(
    "name", ["..", "../north", ".hidden", "north.toml.toml", "a b", "\u00e9", "CON/..", "-x"])
def test_a_cohort_id_is_a_plain_name(study_folder, name):
    path = study_folder / "study" / "cohorts" / f"{name.replace('/', '_').replace('..', 'dots.')}.toml"
    path.write_text((study_folder / "study" / "cohorts" / "cohort-1.toml").read_text())
    with pytest.raises(study_module.ConfigurationError, match="rename the file|cohort id"):
        study_module.load(study_folder)
    path.unlink()
    with pytest.raises(ValueError):
        study_module.load(study_folder).raw(name)


@pytest.mark.parametrize("value", ["../../etc/passwd", "/etc/passwd", "a/b.csv"])
def test_a_source_is_a_file_name(study_folder, value):
    path = study_folder / "study" / "cohorts" / "cohort-1.toml"
    text = path.read_text()
    path.write_text(text.replace('file = "pre.csv"', f'file = "{value}"'))
    assert path.read_text() != text
    with pytest.raises(study_module.ConfigurationError, match="not a path"):
        study_module.load(study_folder)
