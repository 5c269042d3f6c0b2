"""REFI-QDA projects and codebooks: round trips, files as four tools write them, and files meant to do harm."""

import io
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from plresearch import interviews, qda
from plresearch import study as study_module
from plresearch.clean import clean_cohort
from plresearch.frames import Refusal
from plresearch.read import read
from plresearch.records import check_interviews, wide
from plresearch.study import Theme

STUDY = study_module.load()
COLUMNS = list(qda.INTERVIEW_COLUMNS)
THEMES = {t.id: t for t in (Theme("work", "Working together", "Joint work."), Theme("last", "Lasting contact", "Will call.", parent="work"),
                            Theme("time", "Finding the time", "Duties.", subscale="running"))}
TEXT = "We planned the clinic together. I would pick up the phone and ask. There was never an afternoon."
U1, U2 = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
SOURCE, CODE, CHILD, OTHER = (f"{c * 8}-0000-0000-0000-000000000000" for c in "abcd")


def project(selections, *, text=TEXT, member="Sources/one.txt", address="internal://one.txt", users=True, origin="ATLAS.ti Scientific",
            extra="", encoding="utf-8", codes=None, name="project.qde", cases="", head='<?xml version="1.0" encoding="utf-8"?>'):
    """A project of another tool as bytes: nested codes, two users, one transcript, the given passages."""
    listed = codes if codes is not None else (
        f'<Code guid="{CODE}" name=" working  TOGETHER" isCodable="true" color="#ff0000"><Description>d</Description>'
        f'<Code guid="{{{CHILD.upper()}}}" name="Lasting contact" isCodable="true"/></Code>'
        f'<Code guid="{OTHER}" name="Weather" isCodable="true"/>')
    people = f'<Users><User guid="{U1}" name="Anna"/><User guid="{U2}" id="bo"/></Users>' if users is True else users
    xml = (f'{head}<Project xmlns="urn:QDA-XML:project:1.0" name="p" origin="{origin}">{people}'
           f'<CodeBook><Codes>{listed}</Codes></CodeBook>{cases}<Sources><TextSource guid="{SOURCE}" name="Interview 1" '
           f'plainTextPath="{address}">{selections}</TextSource>{extra}</Sources></Project>')
    return packed({name: xml.encode(), member: text.encode(encoding) if isinstance(text, str) else text})


def packed(members) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def passage(start, end, *codings, name="", description="", user=U1):
    inside = f"<Description>{description}</Description>" if description else ""
    inside += "".join(f'<Coding guid="{SOURCE}"{f" creatingUser=" + chr(34) + who + chr(34) if who else ""}><CodeRef targetGUID="{code}"/></Coding>'
                      for code, who in codings)
    creator = f' creatingUser="{user}"' if user else ""
    return f'<PlainTextSelection guid="{SOURCE}" name="{name}" startPosition="{start}" endPosition="{end}"{creator}>{inside}</PlainTextSelection>'


@pytest.fixture
def opened(tmp_path):
    def read_bytes(content, themes=THEMES):
        path = tmp_path / "p.qdpx"
        path.write_bytes(content)
        return qda.read_qdpx(path, themes)
    return read_bytes


def rows(export) -> pd.DataFrame:
    return wide(export.cells)[COLUMNS]


# ------------------------------------------------------------------------------------------ round trips

@pytest.mark.parametrize("cohort", list(STUDY.cohorts))
def test_the_round_trip_of_a_cohort_loses_nothing(cohort, opened):
    table = wide(read(STUDY.raw(cohort) / "interviews.csv").cells)[COLUMNS]
    written = qda.write_qdpx(table, STUDY.themes, name=cohort)
    assert written == qda.write_qdpx(table, STUDY.themes, name=cohort)
    again = opened(written, STUDY.themes)
    assert rows(again).to_numpy().tolist() == table.to_numpy().tolist()
    assert len(table) > 200 and not len(again.set_aside) and not again.warnings


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp", "Co", "Cn")), min_size=1, max_size=8)
quotation = st.lists(words, min_size=1, max_size=5).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(quotation, st.integers(0, 30), st.sampled_from(["A", "B & <C>"]),
                          st.one_of(st.just([""]), st.lists(st.sampled_from(list(THEMES)), min_size=1, unique=True))), min_size=1, max_size=6),
       st.sampled_from(["I1", 'Interview "2" \u00e9\U0001f600']))
def test_the_round_trip_of_any_table_loses_nothing(tmp_path_factory, passages, interview):
    made, place = [], 0
    for number, (text, gap, coder, themes) in enumerate(passages):
        start, place = place + gap, place + gap + len(text)
        made += [(interview, "PL-1", f"s {number}", str(start), str(place), coder, t, text) for t in themes]
    table = pd.DataFrame(made, columns=COLUMNS)
    path = tmp_path_factory.mktemp("q") / "t.qdpx"
    path.write_bytes(qda.write_qdpx(table, THEMES, name="x"))
    assert rows(qda.read_qdpx(path, THEMES)).to_numpy().tolist() == table.to_numpy().tolist()


def test_our_codebook_comes_back_with_its_tree(tmp_path):
    path = tmp_path / "themes.qdc"
    path.write_bytes(qda.write_qdc(THEMES))
    assert path.read_bytes() == qda.write_qdc(THEMES)
    book = qda.read_qdc(path, THEMES).set_index("name")
    assert book["theme"].to_dict() == {"Working together": "work", "Finding the time": "time", "Lasting contact": "last"}
    assert book.loc["Lasting contact", ["parent", "description"]].tolist() == ["Working together", "Will call."]
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", g) for g in book["guid"])


def test_a_codebook_of_another_tool_is_set_beside_ours(tmp_path):
    path = tmp_path / "other.qdc"
    path.write_text(f'<CodeBook xmlns="urn:QDA-XML:codebook:1.0" origin="NVivo"><Codes><Code guid="{CODE}" name="finding the TIME" isCodable="true"/>'
                    f'<Code guid="{CHILD}" name="Workin together" isCodable="true"/><Code guid="{qda.theme_guid("last")}" name="Renamed" isCodable="true"/>'
                    "</Codes></CodeBook>")
    book = qda.read_qdc(path, THEMES)
    assert book["theme"].tolist() == ["time", "", "last"]
    assert book["suggestion"].tolist()[1].split(", ")[0] == "Working together"


# --------------------------------------------------------------------------------- as other tools write

def test_nested_codes_two_coders_and_a_coding_of_several_themes(opened):
    found = rows(opened(project(passage(0, 31, (CODE, U1), (CHILD, U2)) + passage(32, 66, (OTHER, ""), user=U2) + passage(67, len(TEXT), user=U2))))
    assert found[["start", "end", "coder", "theme", "quotation"]].to_numpy().tolist() == [
        ["0", "31", "Anna", "work", TEXT[:31]], ["0", "31", "bo", "last", TEXT[:31]],
        ["32", "66", "bo", "Weather", TEXT[32:66]], ["67", str(len(TEXT)), "bo", "", TEXT[67:]]]
    assert set(found["segment"]) == {""} and set(found["interview"]) == {"Interview 1"}


def test_a_guid_of_ours_means_the_theme_whatever_the_code_is_called_now(opened):
    codes = f'<Code guid="{{{qda.theme_guid("time").upper()}}}" name="Zeit" isCodable="true"/>'
    export = opened(project(passage(0, 31, (qda.theme_guid("time"), U1)), codes=codes))
    assert rows(export)["theme"].tolist() == ["time"]


def test_a_name_that_two_codes_share_means_neither(opened):
    codes = (f'<Code guid="{CODE}" name="Doctors" isCodable="true"><Code guid="{CHILD}" name="Finding the time" isCodable="true"/></Code>'
             f'<Code guid="{OTHER}" name="finding the time" isCodable="true"/>')
    export = opened(project(passage(0, 31, (CHILD, U1)), codes=codes))
    assert rows(export)["theme"].tolist() == ["Doctors / Finding the time"]


@pytest.mark.parametrize(("member", "address"), [
    ("Sources/one.txt", "internal://one.txt"), ("sources\\one.txt", "internal://one.txt"), ("one.txt", "internal://one.txt"),
    ("Sources/ONE.txt", "internal://one.TXT"), ("Sources/one.txt", "internal:///Sources/one.txt"),
])
def test_the_transcript_is_found_where_tools_put_it(opened, member, address):
    assert rows(opened(project(passage(0, 31, (CODE, U1)), member=member, address=address)))["quotation"].tolist() == [TEXT[:31]]


def test_text_inside_the_project_a_pdf_and_a_transcript_are_read(opened):
    pdf = (f'<PDFSource guid="{U1}" name="Scan"><Representation guid="{U2}" plainTextPath="internal://one.txt">'
           f'{passage(0, 31, (CODE, U2))}</Representation></PDFSource>')
    audio = (f'<AudioSource guid="{CHILD}" name="Tape"><Transcript guid="{OTHER}"><PlainTextContent>{TEXT}</PlainTextContent>'
             f'<SyncPoint guid="{U1}" position="0" timeStamp="0"/><SyncPoint guid="{U2}" position="31" timeStamp="9"/>'
             f'<TranscriptSelection guid="{CODE}" fromSyncPoint="{U1}" toSyncPoint="{U2}" creatingUser="{U1}"><Coding guid="{CODE}">'
             f'<CodeRef targetGUID="{CODE}"/></Coding></TranscriptSelection></Transcript></AudioSource>')
    found = rows(opened(project(passage(0, 31, (CODE, U1)), extra=pdf + audio)))
    assert found["interview"].tolist() == ["Interview 1", "Scan", "Tape"] and set(found["quotation"]) == {TEXT[:31]}


def test_a_case_names_the_person_and_two_cases_leave_it_open(opened):
    one = f'<Cases><Case guid="{U1}" name="PL-001"><SourceRef targetGUID="{SOURCE}"/></Case></Cases>'
    assert rows(opened(project(passage(0, 31, (CODE, U1)), cases=one)))["person"].tolist() == ["PL-001"]
    two = one.replace("</Cases>", f'<Case guid="{U2}" name="Hospital"><SourceRef targetGUID="{{{SOURCE.upper()}}}"/></Case></Cases>')
    export = opened(project(passage(0, 31, (CODE, U1)), cases=two))
    assert rows(export)["person"].tolist() == [""] and "2 cases" in export.warnings[0]


# -------------------------------------------------------------------------------------------- positions

LINES = "Hello.\r\nWe planned it \U0001f600 together.\r\nI would pick up the phone."
QUOTE = "I would pick up the phone."


@pytest.mark.parametrize(("counted", "shift"), [
    ("", 0), ("line breaks counted as one character", -2), ("UTF-16 units counted", 1), ("the byte order mark counted", 1),
])
def test_positions_are_read_as_the_tool_counted_them(opened, counted, shift):
    text = LINES if counted != "the byte order mark counted" else "\ufeff" + LINES.replace("\U0001f600", "x")
    bare = text.removeprefix("\ufeff")
    at = bare.index(QUOTE)
    export = opened(project(passage(at + shift, at + shift + len(QUOTE), (CODE, U1), name=QUOTE[:18] + "..."), text=text))
    assert rows(export)["quotation"].tolist() == [QUOTE] and not len(export.set_aside)
    assert (counted in export.warnings[0]) if counted else not export.warnings
    checked = check_interviews(wide(export.cells), cohort_id="c", roster=None, themes=THEMES, source="p")
    assert checked.accounting["rows_out"] == 1


def test_line_breaks_counted_as_two_though_stored_as_one(opened):
    text = LINES.replace("\r\n", "\n").replace("\U0001f600", "x")
    at = LINES.replace("\U0001f600", "x").index(QUOTE)
    export = opened(project(passage(at, at + len(QUOTE), (CODE, U1), description=QUOTE), text=text))
    assert rows(export)["quotation"].tolist() == [QUOTE] and "as two characters" in export.warnings[0]


def test_utf16_transcripts_are_read(opened):
    export = opened(project(passage(0, 31, (CODE, U1)), text=TEXT, encoding="utf-16"))
    assert rows(export)["quotation"].tolist() == [TEXT[:31]]


# ------------------------------------------------------------------------------- messy: what becomes of it

def test_every_coding_is_a_row_or_set_aside_with_a_reason(opened):
    messy = (
        passage(0, 31, (CODE, U1), name="We planned the cli")  # ok
        + passage(1, 30, (CODE, U1), description="I would pick up the phone")  # its words stand elsewhere
        + passage(90, 500, (CODE, U1)) + passage(9, 9, (CODE, U1)) + passage(-4, 9, (CODE, U1))  # no such place
        + passage("x", 9, (CODE, U1))  # no place
        + passage(32, 66, (U2, U1), (CHILD, U1))  # a lost code beside a good one
        + passage(0, 31, (CODE, U1), name="a title of the coder's own")  # a title is no quotation
        + f'<Coding guid="{U1}"><CodeRef targetGUID="{CODE}"/></Coding>'  # the whole source
    )
    picture = (f'<PictureSource guid="{U1}" name="Map"><PictureSelection guid="{U1}" firstX="0" firstY="0" secondX="1" secondY="1">'
               f'<Coding guid="{U1}"><CodeRef targetGUID="{CODE}"/></Coding></PictureSelection></PictureSource>')
    export = opened(project(messy, extra=picture))
    assert export.set_aside["reason"].str.split(":").str[0].tolist() == [
        "quotation mismatch", "outside the text", "outside the text", "outside the text", "no positions", "lost code",
        "no passage of text", "no passage of text"]
    assert export.set_aside["suggestion"].iloc[0] == "it stands at 32"
    kept = rows(export)
    assert len(kept) == 3 and export.rows == 11
    numbers = sorted([*kept.index, *export.set_aside["row"]])
    assert numbers == list(range(1, 12))


@pytest.mark.parametrize(("address", "reason"), [
    ("internal://two.txt", "the archive has no"), ("relative://../one.txt", "is not opened"), ("absolute:///etc/passwd", "is not opened"),
    ("", "has no plain text"),
])
def test_a_project_without_its_transcript_is_refused_and_nothing_outside_is_read(opened, address, reason):
    with pytest.raises(Refusal, match=f"none of its 1 codings can be used.*{reason}"):
        opened(project(passage(0, 31, (CODE, U1)), address=address))


def test_coder_missing_and_theme_unknown_are_quarantined_rows(opened):
    export = opened(project(passage(0, 31, (CODE, ""), user="") + passage(32, 66, (OTHER, U1)) + passage(32, 66, (CODE, U1))))
    found = check_interviews(wide(export.cells), cohort_id="c", roster=None, themes=THEMES, source="p.qdpx")
    assert found.quarantine["reason"].str.split(":").str[0].tolist() == ["no coder", "unknown theme"]
    assert found.accounting == {"rows_in": 3, "rows_out": 1, "rows_quarantined": 2, "rows_dropped_as_exact_duplicates": 0,
                                "rows_of_other_instruments": 0}
    alone = opened(project(passage(0, 31, (CODE, ""), user=""), users=f'<Users><User guid="{U1}" name="Anna"/></Users>'))
    assert rows(alone)["coder"].tolist() == ["Anna"]


def test_a_cohort_is_cleaned_from_a_project_as_from_the_plain_table(tmp_path):
    plain = clean_cohort(STUDY, "cohort-1")
    shutil.copytree(STUDY.root / "study", tmp_path / "study")
    shutil.copytree(STUDY.raw("cohort-1"), tmp_path / "data_raw" / "cohort-1")
    for other in ("cohort-2", "cohort-3"):
        (tmp_path / "study" / "cohorts" / f"{other}.toml").unlink()
    table = wide(read(STUDY.raw("cohort-1") / "interviews.csv").cells)[COLUMNS]
    (tmp_path / "data_raw" / "cohort-1" / "interviews.qdpx").write_bytes(qda.write_qdpx(table, STUDY.themes, name="c"))
    toml = tmp_path / "study" / "cohorts" / "cohort-1.toml"
    toml.write_text(toml.read_text().replace('"interviews.csv"', '"interviews.qdpx"'))
    found = clean_cohort(study_module.load(tmp_path), "cohort-1")
    assert found.codings.equals(plain.codings) and found.interviews.equals(plain.interviews)
    line = found.accounting[found.accounting["source"] == "interviews.qdpx"].iloc[0]
    assert line["rows_in"] == line["rows_out"] + line["rows_quarantined"] + line["rows_dropped_as_exact_duplicates"] == len(table)
    before, after = plain.kept_records["quotations"][0], found.kept_records["quotations"][0]
    assert after.equals(before)


def test_extents_alone_give_the_same_units_as_named_segments(opened):
    table = wide(read(STUDY.raw("cohort-1") / "interviews.csv").cells)[COLUMNS]
    export = opened(qda.write_qdpx(table, STUDY.themes, name="c"), STUDY.themes)
    quotations = check_interviews(rows(export), cohort_id="c", roster=None, themes=STUDY.themes, source="x").quotations
    named, unnamed = interviews.coded(quotations), interviews.coded(quotations.assign(segment=""))
    assert named.groupby(["interview", "segment"]).ngroups == unnamed.groupby(["interview", "segment"]).ngroups


# ------------------------------------------------------------------------------------------------ harm

def refused(opened, content, words):
    with pytest.raises(Refusal, match=words):
        opened(content)


def test_unsafe_archives_are_refused(opened, tmp_path):
    good = project(passage(0, 31, (CODE, U1)))
    for name in ("../evil.txt", "/etc/evil", "a/../../evil", "C:\\evil.txt", "..\\evil.txt"):
        buffer = io.BytesIO(good)
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr(name, "x")
        refused(opened, buffer.getvalue(), "points outside the archive")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.qdpx"]
    refused(opened, b"PK\x03\x04 not a zip", "not a readable archive")
    refused(opened, packed({"a.txt": "x"}), "0 project files")
    refused(opened, packed({"project.qde": "<Project/>", "b.QDE": "<Project/>"}), "2 project files")
    refused(opened, packed({"project.qde": "<Project"}), "not well-formed")
    refused(opened, packed({"project.qde": "<CodeBook/>"}), "not a <Project>")
    refused(opened, packed({"project.qde": "<Project/>"}), "holds no coded passage")
    refused(opened, packed({"project.qde": "<Project/>", "Project.QDE": "x"}), "twice")


def test_document_types_and_entities_are_refused(opened):
    lol = '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>'
    refused(opened, project(passage(0, 31, (CODE, U1)), head=lol), "declares a document type")
    refused(opened, project(passage(0, 31, (CODE, U1)), head='<!DOCTYPE p SYSTEM "file:///etc/passwd">'), "declares a document type")


def test_zip_bombs_are_refused_before_they_fill_the_memory(opened):
    refused(opened, packed({"project.qde": b"<Project>" + b" " * 40_000_000 + b"</Project>"}), "zip bomb")
    refused(opened, project(passage(0, 31, (CODE, U1)), text=b"a" * 30_000_000), "too large or a zip bomb")
    recording = packed({"project.qde": zipfile.ZipFile(io.BytesIO(project(passage(0, 31, (CODE, U1))))).read("project.qde"),
                        "Sources/one.txt": TEXT, "Sources/tape.wav": b"\0" * 50_000_000})
    assert len(opened(recording).cells)  # a member that is never unpacked harms nobody


def test_encrypted_and_damaged_members_are_refused(opened):
    good = project(passage(0, 31, (CODE, U1)))
    encrypted = bytearray(good)
    for at in (m.start() for m in re.finditer(b"PK\x01\x02", good)):
        encrypted[at + 8] |= 1
    for at in (m.start() for m in re.finditer(b"PK\x03\x04", good)):
        encrypted[at + 6] |= 1
    refused(opened, bytes(encrypted), "encrypted")
    damaged = bytearray(good)
    damaged[60:70] = b"\xff" * 10
    refused(opened, bytes(damaged), "damaged|not a readable")
    refused(opened, project(passage(0, 31, (CODE, U1)), text=b"caf\xe9 \xff\xfe zzz"), "is not UTF-8")


def test_codes_without_identity_or_nested_without_end_are_refused(opened):
    refused(opened, project(passage(0, 31, (CODE, U1)), codes='<Code name="x" isCodable="true"/>'), "has no GUID")
    refused(opened, project(passage(0, 31, (CODE, U1)), codes=f'<Code guid="{CODE}" name="x"/><Code guid="{CODE}" name="y"/>'), "GUID of another")
    deep = "".join(f'<Code guid="{i}" name="x">' for i in range(150)) + "</Code>" * 150
    refused(opened, project(passage(0, 31, (CODE, U1)), codes=deep), "nested more than 100")


# -------------------------------------------------------------------------------------------- refusals

def table(**changes) -> pd.DataFrame:
    row = dict(zip(COLUMNS, ("I1", "P1", "s", "0", "5", "A", "work", "abcde"), strict=True))
    return pd.DataFrame([row | changes])


@pytest.mark.parametrize(("changes", "words"), [
    ({"start": ""}, "row 1 has no place"), ({"end": "0"}, "no place"), ({"end": "x"}, "no place"), ({"theme": "zzz"}, "'zzz' is not in study"),
    ({"quotation": "abc"}, "has 3 characters"), ({"quotation": "abc\x01e"}, "U\\+0001"), ({"interview": "I\x0c1"}, "U\\+000C"),
])
def test_a_table_that_no_project_can_hold_is_refused(changes, words):
    with pytest.raises(Refusal, match=words):
        qda.write_qdpx(table(**changes), THEMES, name="x")


def test_quotations_that_contradict_each_other_or_the_transcript_are_refused():
    two = pd.concat([table(), table(start="3", end="8", quotation="xxxxx")])
    with pytest.raises(Refusal, match="two quotations differ"):
        qda.write_qdpx(two, THEMES, name="x")
    with pytest.raises(Refusal, match="do not stand at their place"):
        qda.write_qdpx(table(), THEMES, name="x", texts={"I1": "zzzzz"})
    assert qda.write_qdpx(table(), THEMES, name="x", texts={"I1": "abcde and more"})


def test_a_codebook_that_is_no_tree_is_refused():
    for themes, words in (({}, "no theme"), ({"a": Theme("a", "A", "", parent="b")}, "unknown parent"),
                          ({"a": Theme("a", "A", "", parent="b"), "b": Theme("b", "B", "", parent="a")}, "their own ancestors")):
        with pytest.raises(Refusal, match=words):
            qda.write_qdc(themes)


def test_the_command_writes_codebook_and_project(tmp_path, capsys, monkeypatch):
    target = tmp_path / "book.qdc"
    assert qda.main(["codebook", str(target)]) == 0 and target.read_bytes() == qda.write_qdc(STUDY.themes)
    quotations = clean_cohort(STUDY, "cohort-1").kept_records["quotations"][0]
    monkeypatch.setattr(qda, "load", lambda: replace(STUDY, root=tmp_path))
    folder = tmp_path / "data_processed" / "cohort-1"
    folder.mkdir(parents=True)
    quotations.to_csv(folder / "quotations.csv", index=False)
    made = tmp_path / "c.qdpx"
    assert qda.main(["cohort-1", str(made)]) == 0
    assert len(rows(qda.read_qdpx(made, STUDY.themes))) == len(quotations)
    assert qda.main(["cohort-9", str(made)]) == 1 and "no cohort 'cohort-9'" in capsys.readouterr().err
    assert qda.main([]) == 2


def test_reading_leaves_nothing_behind(opened, tmp_path):
    opened(project(passage(0, 31, (CODE, U1))))
    assert [p.name for p in Path(tmp_path).iterdir()] == ["p.qdpx"]
