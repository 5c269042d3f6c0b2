"""Reading exports: each platform's conventions, hostile files, and that only Refusal is raised."""

import csv
import datetime as dt
import io
import json
import os
import random
import time
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pyreadstat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plresearch import exports, frames, spss
from plresearch import workbook as workbook_module
from plresearch.frames import Refusal
from plresearch.read import Column, Export, read
from plresearch.workbook import number_text


def write(folder: Path, name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def csv_text(rows, delimiter=",", quoting=csv.QUOTE_MINIMAL, end="\r\n") -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(rows)
    return out.getvalue()


def table(export: Export) -> list[list[str]]:
    """The cells row by row, without names."""
    width = len(export.columns)
    values = list(export.cells["value"])
    return [values[i:i + width] for i in range(0, len(values), width)]


def names(export: Export) -> list[str]:
    return [c.name for c in export.columns]


def texts(export: Export) -> dict[str, str]:
    return {c.name: c.text for c in export.columns}


def column(export: Export, name: str) -> Column:
    return next(c for c in export.columns if c.name == name)


def refused(path, *words, **options) -> str:
    with pytest.raises(Refusal) as caught:
        read(path, **options)
    message = str(caught.value)
    for word in words:
        assert word in message, message
    assert "\n" not in message and len(message) < 700
    return message


def workbook(folder: Path, name: str, sheets: dict[str, list[list]], edit=None) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    if edit:
        edit(book)
    path = folder / name
    book.save(path)
    return path


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def raw_workbook(folder: Path, name: str, sheet: str, *, strings="", styles="", prolog="", extra=(),
                 prefix="") -> Path:
    """A workbook from its XML parts, for what no library would write."""
    parts = {
        "[Content_Types].xml": "<Types/>",
        "xl/workbook.xml": f'{prolog}<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets><sheet name="Form1" '
                           'sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}"><Relationship Id="rId1" '
                                      f'Type="{OFFICE}/worksheet" '
                                      'Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": sheet,
    }
    if strings:
        parts["xl/sharedStrings.xml"] = strings
    if styles:
        parts["xl/styles.xml"] = styles
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in {**parts, **dict(extra)}.items():
            archive.writestr(member, text)
    return path


def sheet_xml(body: str, after: str = "") -> str:
    return f'<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData>{after}</worksheet>'


ROWS = ('<row r="1"><c r="A1" t="str"><v>id</v></c><c r="B1" t="str"><v>q1</v></c></row>'
        '<row r="2"><c r="A2"><v>7</v></c><c r="B2"><v>5</v></c></row>')

# ------------------------------------------------------------------------------------------- plain text


def test_cells_are_the_frame_the_contract_promises(tmp_path):
    export = read(write(tmp_path, "pre.csv", "id,q1,q2\n007,5,\n8, 4 ,None\n"))
    assert (export.format, export.encoding, export.rows, export.source) == ("csv", "utf-8", 2, "pre.csv")
    assert list(export.cells.columns) == list(frames.CELLS.columns)
    assert export.cells.values.tolist() == [
        ["pre.csv", 1, "id", "007"], ["pre.csv", 1, "q1", "5"], ["pre.csv", 1, "q2", ""],
        ["pre.csv", 2, "id", "8"], ["pre.csv", 2, "q1", " 4 "], ["pre.csv", 2, "q2", "None"]]
    pd.testing.assert_frame_equal(frames.conform(export.cells, frames.CELLS), export.cells)
    assert export.known == {} and export.administrative == {} and export.warnings == ()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(tmp_path, delimiter, end):
    rows = [["id", "q1", "comment"], ["a", "4,0", "x; y | z"], ["b", "3,5", "two\nlines"],
            ["c", "", 'a "quote"']]
    path = write(tmp_path, "x.csv", csv_text(rows, delimiter, csv.QUOTE_ALL, end))
    assert table(read(path)) == rows[1:]
    assert table(read(path, delimiter=delimiter)) == rows[1:]


def test_decimal_commas_do_not_make_commas_the_delimiter(tmp_path):
    path = write(tmp_path, "x.csv", "id;q1;q2;q3\na;4,0;3,5;2,1\nb;1,0;2,0;3,0\n")
    assert names(read(path)) == ["id", "q1", "q2", "q3"]


def test_ambiguous_delimiter_is_refused_and_can_be_given(tmp_path):
    path = write(tmp_path, "x.csv", "id;a,b\n1;2,3\n4;5,6\n")
    refused(path, "comma or semicolon", "set delimiter")
    assert table(read(path, delimiter=";")) == [["1", "2,3"], ["4", "5,6"]]
    refused(path, "not one plain character", delimiter="::")


def test_excel_separator_line(tmp_path):
    export = read(write(tmp_path, "x.csv", "sep=;\r\nid;q1\r\na;1,5\r\n"))
    assert names(export) == ["id", "q1"] and table(export) == [["a", "1,5"]]


def test_one_column_file(tmp_path):
    export = read(write(tmp_path, "x.csv", "id\na\nb\n"))
    assert table(export) == [["a"], ["b"]]


@pytest.mark.parametrize("encoding, found", [
    ("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-16-be-bom", "utf-16"),
    ("cp1252", "cp1252")])
def test_encodings(tmp_path, encoding, found):
    text = "id,naïve – “q”\nZoë,€5\n"
    data = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "utf-16-be-bom" else text.encode(encoding)
    export = read(write(tmp_path, "x.csv", data))
    assert export.encoding == found and names(export)[0] == "id" and table(export) == [["Zoë", "€5"]]
    assert any("cp1252" in w for w in export.warnings) == (found == "cp1252")


@pytest.mark.parametrize("data, words", [
    ("id,q\nZoë,1\n".encode() + "Zoë,2\n".encode("cp1252"), ("mixes encodings", "line 3")),
    (b"\xef\xbb\xbfid,q\nZo\xeb,1\n", ("mixes encodings", "UTF-8 mark")),
    (b"id,q\na\x8d,1\n", ("neither UTF-8", "0x8d", "line 2")),
    (b"id,q\na,1\x00\n", ("1 NUL", "line 2")),
    ("id,q\na,1\n".encode("utf-16-le"), ("NUL",)),
    (b"\xff\xfe\x00\x00" + "id".encode("utf-32-le"), ("UTF-32",)),
    (b"\xff\xfe" + "id,q\n".encode("utf-16-le") + b"a", ("UTF-16", "cut")),
    (b'id,q\na,"open\nb,2\n', ("never closes", "line 2")),
    (b'id,q\na,"x"y\n', ("line 2", "quotation")),
    (b"id,q\na," + b"x" * 200_000 + b"\n", ("131,072",)),
    (b"", ("empty",)), (b"\xef\xbb\xbf\r\n", ("empty",)), (b"   \n\n", ("empty",)),
    (b"id,q1\n", ("no rows",)),
    (b"id,q1\n,\n,\n", ("all empty",)),
], ids=lambda v: str(v)[:30])
def test_broken_text_is_refused(tmp_path, data, words):
    refused(write(tmp_path, "x.csv", data), "x.csv", *words)


@pytest.mark.parametrize("data, words", [
    (b"%PDF-1.7\n", ("PDF",)), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 100, ("old Excel", ".xlsx")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 64 + "EncryptedPackage".encode("utf-16-le"),
     ("password",)),
    (b"<html><table><tr><td>1</td></tr></table></html>", ("web page",)),
    (b"\r\n<!DOCTYPE html>", ("web page",)), (b'<?xml version="1.0"?><Workbook/>', ("XML",)),
    (b"\x1f\x8b\x08\x00", ("gzip",)), (b"{\\rtf1}", ("RTF",)), (b"PK\x03\x04garbage", ("damaged",)),
    (b'{"SurveyEntry": {}}', ("codebook =",)), (b"$FL2 garbage", ("SPSS",)),
], ids=lambda v: str(v)[:25])
def test_wrong_kinds_of_file_are_refused_by_name(tmp_path, data, words):
    refused(write(tmp_path, "x.xls", data), "x.xls", *words)


def test_missing_folder_pipe_and_unreadable(tmp_path):
    refused(tmp_path / "no.csv", "is not there")
    refused(tmp_path, "is a folder")
    refused(tmp_path / ("x" * 300 + ".csv"), "cannot be opened")
    refused("a\x00b.csv", "cannot be opened")
    os.mkfifo(tmp_path / "pipe.csv")
    refused(tmp_path / "pipe.csv", "not an ordinary file")
    target = write(tmp_path, "x.csv", "id,q\na,1\n")
    (tmp_path / "link.csv").symlink_to(target)
    assert table(read(tmp_path / "link.csv")) == [["a", "1"]]
    refused(target, "unknown", format="excel")


def test_sizes_are_bounded_in_time(tmp_path):
    start = time.monotonic()
    with (tmp_path / "sparse.csv").open("wb") as handle:
        handle.truncate(2_000_000_000)
    refused(tmp_path / "sparse.csv", "2,000,000,000")
    with (tmp_path / "zeros.csv").open("wb") as handle:
        handle.truncate(20_000_000)
    refused(tmp_path / "zeros.csv", "empty")
    refused(write(tmp_path, "line.csv", b"x" * 20_000_000), "a line of 20,000,000")
    refused(write(tmp_path, "commas.csv", b"," * 20_000_000), "a line of")
    refused(write(tmp_path, "small.csv", "id,q\n" * 10), "more than the 20", size_limit=20)
    assert time.monotonic() - start < 20


def test_counts_are_bounded(tmp_path, monkeypatch):
    refused(write(tmp_path, "lines.csv", b"\n" * 5_000_001 + b"x"), "5,000,001 lines")
    refused(write(tmp_path, "cells.csv", (b"," * 999_000 + b"\n") * 21), "cells")
    monkeypatch.setattr(workbook_module, "SHEET_CELL_LIMIT", 3)
    refused(raw_workbook(tmp_path, "x.xlsx", sheet_xml(ROWS)), "more than 3 cells")
    monkeypatch.setattr(workbook_module, "STRINGS_LIMIT", 1)
    refused(raw_workbook(tmp_path, "y.xlsx", sheet_xml(ROWS),
                         strings=f'<sst xmlns="{MAIN}"><si/><si/></sst>'), "shared")
    monkeypatch.undo()
    many = '<mergeCells>' + '<mergeCell ref="Z90:Z91"/>' * 10_001 + '</mergeCells>'
    refused(raw_workbook(tmp_path, "z.xlsx", sheet_xml(ROWS, many)), "10,000 merged")
    columns = '<cols>' + '<col min="1" max="999999999" hidden="1"/>' * 1000 + '</cols>'
    assert read(raw_workbook(tmp_path, "w.xlsx", sheet_xml(ROWS, columns))).rows == 1
    refused(raw_workbook(tmp_path, "v.xlsx", sheet_xml(ROWS + '<row r="1048577"/>')), "row 1048577")


def test_ragged_rows_are_set_aside_with_their_physical_number(tmp_path):
    export = read(write(tmp_path, "x.csv", "id,q1,q2\na,1,2\n\nb,1\nc,1,2,3\n,,\nd,3,4\n"))
    assert export.rows == 5
    assert export.set_aside[["row", "reason"]].values.tolist() == [
        [2, "ragged row: 2 cells for 3 columns"], [3, "ragged row: 4 cells for 3 columns"], [4, "empty row"]]
    assert all(export.set_aside["suggestion"]) and set(export.cells["row"]) == {1, 5}
    assert export.rows == export.cells["row"].nunique() + len(export.set_aside)


def test_mostly_ragged_is_refused(tmp_path):
    refused(write(tmp_path, "x.csv", "id,q1,q2\na,1\nb,1\nc,1,2\n"), "2 of 3 rows", "row 1", delimiter=",")


def test_a_shifted_row_that_ends_empty_is_not_trimmed_into_place(tmp_path):
    export = read(write(tmp_path, "x.csv", "id,q1,q2\na,1,2\nSmith, J,1,\nb,2,3\n"))
    assert list(export.set_aside["row"]) == [2]


def test_delimiter_at_the_end_of_every_row_is_an_unnamed_column(tmp_path):
    export = read(write(tmp_path, "x.csv", "id,q1\na,1,\nb,2,\n"))
    assert names(export) == ["id", "q1", "(unnamed 3)"] and table(export) == [["a", "1", ""], ["b", "2", ""]]


def test_names_are_made_distinct(tmp_path):
    export = read(write(tmp_path, "x.csv", "id,q,,q,q (2),q\na,1,2,3,4,5\n"))
    assert names(export) == ["id", "q", "(unnamed 3)", "q (3)", "q (2)", "q (4)"]
    assert any("2 repeated" in w and "'q'" in w for w in export.warnings)
    assert any("without a name" in w for w in export.warnings)


def test_header_below_title_rows(tmp_path):
    text = "Paired Learning survey,,,\nExported 3 May 2026,,,\n\nid,q1,q2,q3\na,1,2,3\nb,,,\n"
    export = read(write(tmp_path, "x.csv", text))
    assert names(export) == ["id", "q1", "q2", "q3"] and export.rows == 2
    assert any("2 rows above the header" in w and "Paired Learning" in w for w in export.warnings)
    bare = read(write(tmp_path, "y.csv", "My survey\n\nid,q1\na,1\nb,2\n"))
    assert names(bare) == ["id", "q1"]
    refused(write(tmp_path, "z.csv", "note,,,,\n" * 11 + "id,q1,q2,q3,q4\na,1,2,3,4\n" * 3),
            "no header in its first 10")


def test_twenty_thousand_rows_are_read_in_seconds(tmp_path):
    head, line = ",".join(f"q{i}" for i in range(29)), ",".join(["5"] * 29)
    path = write(tmp_path, "big.csv", f"id,{head}\n" + "".join(f"p{i},{line}\n" for i in range(20_000)))
    start = time.monotonic()
    export = read(path)
    assert len(export.cells) == 600_000 and time.monotonic() - start < 8


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00\ufeff"), max_size=12)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 5).flatmap(lambda w: st.lists(st.lists(TEXT, min_size=w, max_size=w), min_size=1,
                                                      max_size=6)),
    # csv quotes a line end inside a cell only where it is part of its own
    delimiter=st.sampled_from(",;\t|"),
    style=st.sampled_from([(csv.QUOTE_MINIMAL, "\r\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_ALL, "\n"),
                           (csv.QUOTE_ALL, "\r")]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_table_of_text_comes_back_cell_by_cell(tmp_path, rows, delimiter, style, encoding):
    header = [f"column {i}" for i in range(len(rows[0]))]
    path = write(tmp_path, "any.csv", csv_text([header, *rows], delimiter, *style), encoding)
    full = {i for i, row in enumerate(rows, start=1) if any(c.strip() for c in row)}
    if not full:
        return refused(path, "all empty", format="csv", delimiter=delimiter) and None
    export = read(path, format="csv", delimiter=delimiter)
    assert names(export) == header and export.rows == len(rows)
    assert table(export) == [row for i, row in enumerate(rows, start=1) if i in full]
    assert set(export.cells["row"]) == full
    assert set(export.set_aside["row"]) == set(range(1, len(rows) + 1)) - full


@pytest.mark.parametrize("cell", [" " * 130_000, "[" * 130_000, "<!--" * 30_000, "<a" * 60_000, "1." * 60_000,
                                  "a[" * 60_000, '{"' * 60_000])
@pytest.mark.parametrize("first", ["Timestamp", "id. Response ID", "Unique Response Number", "x"])
def test_no_heading_takes_long(tmp_path, first, cell):
    path = write(tmp_path, "x.csv", csv_text([[first, "1. q", cell, cell + "]"], ["1", "2", "3", "4"]]))
    start = time.monotonic()
    assert read(path).rows == 1
    assert time.monotonic() - start < 5


def test_two_byte_order_marks(tmp_path):
    assert names(read(write(tmp_path, "x.csv", '\ufeff\ufeff"id","q"\n1,2\n'))) == ["id", "q"]


# ------------------------------------------------------------------------------------------- Qualtrics

QUALTRICS = [
    ["StartDate", "EndDate", "Status", "IPAddress", "Progress", "Duration (in seconds)", "Finished",
     "RecordedDate",
     "ResponseId", "RecipientEmail", "UserLanguage", "Code", "Q5_1", "Q5_2", "Q6", "Q6_4_TEXT",
     "Q7_Page Submit"],
    ["Start Date", "End Date", "Response Type", "IP Address", "Progress", "Duration (in seconds)", "Finished",
     "Recorded Date",
     "Response ID", "Recipient Email", "User Language", "Your code",
     "How far do you agree? - I feel ready to <b>lead</b>",
     "How far do you agree? - I know&nbsp;how, and why", "Rate the day", "Rate the day - Other - Text",
     "Timing - Page Submit"],
    ['{"ImportId":"startDate","timeZone":"Europe/London"}',
     '{"ImportId":"endDate","timeZone":"Europe/London"}',
     '{"ImportId":"status"}', '{"ImportId":"ipAddress"}', '{"ImportId":"progress"}',
     '{"ImportId":"duration"}',
     '{"ImportId":"finished"}', '{"ImportId":"recordedDate","timeZone":"Europe/London"}',
     '{"ImportId":"_recordId"}',
     '{"ImportId":"recipientEmail"}', '{"ImportId":"userLanguage"}', '{"ImportId":"QID1_TEXT"}',
     '{"ImportId":"QID5_1"}',
     '{"ImportId":"QID5_2"}', '{"ImportId":"QID6"}', '{"ImportId":"QID6_4_TEXT"}',
     '{"ImportId":"QID7_PAGE_SUBMIT"}'],
    ["2026-05-01 09:00:00", "2026-05-01 09:05:10", "IP Address", "10.0.0.1", "100", "310", "True",
     "2026-05-01 09:05:11",
     "R_1", "", "EN", "PL007", "5", "1", "2", "", "3.2"],
    ["2026-05-02 09:00:00", "2026-05-02 09:05:10", "Survey Preview", "", "50", "310", "False",
     "2026-05-02 09:05:11",
     "R_2", "", "EN", "PL008", "-99", "", "1", "line 1\nline 2", ""],
]
QSF = {"SurveyEntry": {"SurveyID": "SV_1"}, "SurveyElements": [
    {"Element": "BL", "Payload": []},
    {"Element": "SQ", "Payload": {"QuestionID": "QID1", "DataExportTag": "Code", "QuestionType": "TE",
                                  "QuestionText": "Your code"}},
    {"Element": "SQ", "Payload": {
        "QuestionID": "QID5", "DataExportTag": "Q5", "QuestionType": "Matrix", "Selector": "Likert",
        "QuestionText": "How far do you agree?",
        "Choices": {"1": {"Display": "I feel ready to <b>lead</b>"}, "2": {"Display": "I know how"}},
        "ChoiceDataExportTags": False,
        "Answers": {"1": {"Display": "Strongly agree"}, "2": {"Display": "Agree"},
                    "3": {"Display": "Disagree"}},
        "RecodeValues": {"1": "5", "2": "4", "3": "1"}}},
    {"Element": "SQ", "Payload": {
        "QuestionID": "QID6", "DataExportTag": "Q6", "QuestionType": "MC", "Selector": "SAVR",
        "QuestionText": "Rate the day",
        "Choices": {"1": {"Display": "Good"}, "2": {"Display": "Poor"},
                    "4": {"Display": "Other", "TextEntry": "true"}}, "RecodeValues": []}},
]}


def check_qualtrics(export, time_zone="Europe/London"):
    assert export.format == "qualtrics" and export.rows == 2 and export.timezone == time_zone
    assert names(export) == QUALTRICS[0] and table(export) == QUALTRICS[3:]
    assert export.known == {"completed": "EndDate", "started": "StartDate", "status": "Status",
                            "finished": "Finished",
                            "progress": "Progress", "response_id": "ResponseId", "language": "UserLanguage"}
    assert {"IPAddress", "RecipientEmail", "RecordedDate", "Q7_Page Submit",
            "StartDate"} <= set(export.administrative)
    assert not {"Code", "Q5_1", "Q5_2", "Q6", "Q6_4_TEXT"} & set(export.administrative)


def test_qualtrics_three_rows(tmp_path):
    export = read(write(tmp_path, "q.csv", csv_text(QUALTRICS, quoting=csv.QUOTE_ALL, end="\n"), "utf-8-sig"))
    check_qualtrics(export)
    assert texts(export)["Q5_1"] == "I feel ready to lead" and texts(export)["Q5_2"] == "I know how, and why"
    assert texts(export)["Q6_4_TEXT"] == "Rate the day - Other - Text"
    assert column(export, "Q5_1").labels == {}


def test_qualtrics_tab_separated_in_utf_16_and_workbook(tmp_path):
    check_qualtrics(read(write(tmp_path, "q.tsv", csv_text(QUALTRICS, "\t"), "utf-16")))
    check_qualtrics(read(workbook(tmp_path, "q.xlsx", {"Sheet0": QUALTRICS}), format="qualtrics"))


def test_qualtrics_without_import_ids_and_bare(tmp_path):
    two = read(write(tmp_path, "q.csv", csv_text([*QUALTRICS[:2], *QUALTRICS[3:]])))
    check_qualtrics(two, "")
    assert texts(two)["Q6"] == "Rate the day"
    bare = read(write(tmp_path, "q1.csv", csv_text([QUALTRICS[0], *QUALTRICS[3:]])))
    check_qualtrics(bare, "")
    assert texts(bare)["Q6"] == ""


def test_qualtrics_with_text_row_removed(tmp_path):
    export = read(write(tmp_path, "q.csv", csv_text([QUALTRICS[0], *QUALTRICS[2:]])))
    check_qualtrics(export)
    assert texts(export)["Q6"] == ""


def test_qualtrics_legacy(tmp_path):
    rows = [["V1", "V2", "V6", "V7", "V8", "V9", "V10", "Q1", "Q2_1"],
            ["ResponseID", "ResponseSet", "IPAddress", "Status", "StartDate", "EndDate", "Finished",
             "Your code", "Agree?-I feel ready"],
            ["R_1", "Default Response Set", "10.0.0.1", "0", "2014-09-01 10:00:00", "2014-09-01 10:04:00",
             "1", "PL1", "4"]]
    export = read(write(tmp_path, "q.csv", csv_text(rows)))
    assert export.format == "qualtrics" and export.rows == 1
    assert export.known == {"response_id": "V1", "status": "V7", "started": "V8", "completed": "V9",
                            "finished": "V10"}
    assert {"V2", "V6"} <= set(export.administrative) and texts(export)["Q2_1"] == "Agree?-I feel ready"


@pytest.mark.parametrize("rows", [QUALTRICS, [*QUALTRICS[:2], *QUALTRICS[3:]]],
                         ids=["by import id", "by tag"])
def test_qualtrics_definition_gives_labels_with_recoded_values(tmp_path, rows):
    book = write(tmp_path, "s.qsf", json.dumps(QSF))
    export = read(write(tmp_path, "q.csv", csv_text(rows)), codebook=book)
    assert column(export, "Q5_1").labels == {"5": "Strongly agree", "4": "Agree", "1": "Disagree"}
    assert column(export, "Q5_2").labels == column(export, "Q5_1").labels
    assert column(export, "Q5_1").text == "I feel ready to lead" and column(export,
                                                                            "Q5_2").text == "I know how"
    assert column(export, "Q6").labels == {"1": "Good", "2": "Poor", "4": "Other"}
    assert column(export, "Q6_4_TEXT").labels == {} and column(export, "Code").labels == {}


@pytest.mark.parametrize("content, word", [
    ('{"SurveyElements": []}', "no question"), ('{"a": 1}', "not a Qualtrics"),
    ('{"SurveyElements": [1]}', "not a Qualtrics"),
    ("{" * 100_000, "not a Qualtrics"), ('{"a":' * 100_000, "not a Qualtrics"), ("x,y\n1,2\n", "no header"),
    (json.dumps({"SurveyElements": [{"Element": "SQ", "Payload": {"QuestionID": "QID99", "DataExportTag": "Z",
                                                                  "Choices": []}}]}), "names none"),
])
def test_bad_codebooks(tmp_path, content, word):
    path = write(tmp_path, "q.csv", csv_text(QUALTRICS))
    refused(path, word, codebook=write(tmp_path, "s.qsf", content))
    refused(path, "is not there", codebook=tmp_path / "none.qsf")


def test_declared_platform_must_be_there(tmp_path):
    path = write(tmp_path, "x.csv", "id,q\na,1\n")
    for platform in exports.PLATFORMS:
        refused(path, exports.PLATFORMS[platform].title, format=platform)
    refused(path, "text table", 'format = "csv"', format="xlsx")
    refused(workbook(tmp_path, "x.xlsx", {"S": [["id", "q"], ["a", 1]]}), 'format = "xlsx"', format="csv")
    plain = read(write(tmp_path, "q.csv", csv_text(QUALTRICS)), format="csv")
    assert plain.format == "csv" and plain.rows == 4 and plain.known == {}


# ------------------------------------------------------------------------------------------- Microsoft Forms


def forms_rows():
    likert = "How far do you agree?\n"
    return [
        ["ID", "Start time", "Completion time", "Email", "Name", "Last modified time", "Your code",
         likert + "I feel ready to lead",
         likert + "I know how\u00a0decisions are made", "Which days?", "Rate it\n\n1 - poor\n5 - good"],
        [1, dt.datetime(2026, 5, 1, 9, 0, 3), dt.datetime(2026, 5, 1, 9, 5, 59), "anonymous", None, None,
         "007", "Strongly agree", "5", "Mon;Tue;", 4],
        [2, dt.datetime(2026, 5, 2, 0, 0, 0), dt.datetime(2026, 5, 2, 0, 5, 0, 250_000), "anonymous", None,
         None, "008", None, "=1+1", "Mon;", 4.5],
    ]


def test_microsoft_forms(tmp_path):
    export = read(workbook(tmp_path, "f.xlsx", {"Form1": forms_rows()}))
    assert export.format == "msforms" and export.encoding == "xlsx"
    assert export.known == {"completed": "Completion time", "started": "Start time", "response_id": "ID"}
    assert {"Email", "Name", "Last modified time", "ID"} <= set(export.administrative)
    assert table(export)[0] == ["1", "2026-05-01 09:00:03", "2026-05-01 09:05:59", "anonymous", "", "", "007",
                                "Strongly agree", "5", "Mon;Tue;", "4"]
    assert table(export)[1][1:3] == ["2026-05-02 00:00:00", "2026-05-02 00:05:00.250"]
    assert table(export)[1][-3:] == ["=1+1", "Mon;", "4.5"]
    assert list(texts(export).values())[6:] == ["Your code", "I feel ready to lead",
                                                "I know how decisions are made", "Which days?",
                                                "Rate it 1 - poor 5 - good"]
    assert names(export)[7].startswith("How far do you agree?\n")


def test_microsoft_forms_as_text_and_with_points(tmp_path):
    text = ("ID,Start time,Completion time,Email,Name,Total points,Quiz feedback,Grade posted time,"
            "Q\u00a0one,Points - Q\u00a0one\n1,7/27/26 19:06:23,7/27/26 19:17:10,anonymous,,4,,,A,1\n")
    export = read(write(tmp_path, "f.csv", text))
    assert export.format == "msforms" and "Points - Q\u00a0one" in export.administrative
    assert "Q\u00a0one" not in export.administrative


# ------------------------------------------------------------------------------------------- workbook


@pytest.mark.parametrize("value, shown, base, text", [
    ("5", "", False, "5"), ("5.0", "", False, "5"), ("4.5", "", False, "4.5"), ("0.1", "", False, "0.1"),
    ("-99", "", False, "-99"),
    ("1E-3", "", False, "0.001"), ("12345678901234567890", "", False, "12345678901234567890"),
    ("1e400", "", False, "1e400"),
    ("x", "", False, "x"), ("", "", False, ""), ("45000", "date", False, "2023-03-15"),
    ("45000.25", "date", False, "2023-03-15 06:00:00"),
    ("45000", "datetime", False, "2023-03-15 00:00:00"), ("0.75", "time", False, "18:00:00"),
    ("1.5", "duration", False, "36:00:00"),
    ("60", "date", False, "60"), ("59", "date", False, "1900-02-28"), ("61", "date", False, "1900-03-01"),
    ("0", "date", True, "1904-01-01"),
    ("-1", "date", False, "-1"), ("99999999", "date", False, "99999999"),
    ("2958465", "date", False, "9999-12-31"),
    ("2958465", "date", True, "2958465"), ("nan", "date", False, "nan"),
])
def test_numbers_of_a_workbook(value, shown, base, text):
    assert number_text(value, shown, base) == text


def test_every_kind_of_cell(tmp_path):
    def edit(book):
        sheet = book["S"]
        sheet["D2"].number_format = "dd/mm/yyyy"
        sheet["D3"].number_format = "hh:mm"
    rows = [["id", "answer", "formula", "date", "free"], ["007", True, "=SUM(A1:A2)", 45000, "  two\nlines "],
            [12, False, "#N/A", 0.5, "_x005F_x000D_ <b>&"], [1.0, 2.5, "=B2", "01/02/2026", None]]
    export = read(workbook(tmp_path, "x.xlsx", {"S": rows}, edit))
    assert export.format == "xlsx" and table(export) == [
        ["007", "TRUE", "=SUM(A1:A2)", "2023-03-15", "  two\nlines "],
        ["12", "FALSE", "#N/A", "12:00:00", "_x000D_ <b>&"], ["1", "2.5", "=B2", "01/02/2026", ""]]


def test_cells_as_only_some_tools_write_them(tmp_path):
    strings = (f'<x:sst xmlns:x="{MAIN}"><x:si><x:t>id</x:t></x:si>'
               '<x:si><x:r><x:t>I feel </x:t></x:r><x:r><x:t>ready</x:t></x:r>'
               '<x:rPh sb="0" eb="1"><x:t>no</x:t></x:rPh></x:si>'
               '<x:si><x:t>a_x000D_b</x:t></x:si></x:sst>')
    body = ('<x:row><x:c t="s"><x:v>0</x:v></x:c><x:c t="s"><x:v>1</x:v></x:c><x:c '
            't="inlineStr"><x:is><x:t>q2</x:t></x:is></x:c></x:row>'
            '<x:row><x:c t="s"><x:v>2</x:v></x:c><x:c><x:f t="shared" ref="B2:B3" '
            'si="0">A1+1</x:f><x:v>9</x:v></x:c><x:c t="d"><x:v>2026-05-01T09:00:00</x:v></x:c></x:row>'
            '<x:row r="3"><x:c r="A3" t="b"><x:v>1</x:v></x:c><x:c r="B3"><x:f t="shared" '
            'si="0"/><x:v>9</x:v></x:c><x:c r="C3" t="e"><x:v>#REF!</x:v></x:c></x:row>')
    path = raw_workbook(tmp_path, "x.xlsx",
                        f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData>{body}</x:sheetData></x:worksheet>',
                        strings=strings)
    export = read(path)
    assert names(export) == ["id", "I feel ready", "q2"]
    assert table(export) == [["a\rb", "=A1+1", "2026-05-01T09:00:00"], ["TRUE", "=A2+1", "#REF!"]]


def test_empty_rows_and_columns_of_a_sheet(tmp_path):
    def edit(book):
        book["S"].insert_cols(1)
        book["S"].insert_rows(1, 2)
        book["S"]["B30"].number_format = "0.00"
    export = read(workbook(tmp_path, "x.xlsx", {"S": [["id", "q"], ["a", 1], [], ["b", 2], ["", ""]]}, edit))
    assert names(export) == ["id", "q"] and table(export) == [["a", "1"], ["b", "2"]] and export.rows == 3
    assert export.set_aside[["row", "reason"]].values.tolist() == [[2,
                                                                    "empty row"]] and list(
                                                                        export.cells["row"]) == [1, 1, 3, 3
                                                                    ]


def test_hidden_rows_columns_and_sheets_are_warned_about(tmp_path):
    def edit(book):
        book["S"].row_dimensions[3].hidden = True
        book["S"].column_dimensions["B"].hidden = True
        book["Secret"].sheet_state = "veryHidden"
    sheets = {"S": [["id", "q"], ["a", 1], ["b", 2]], "Secret": [["id", "q"], ["z", 9]], "Empty": []}
    path = workbook(tmp_path, "x.xlsx", sheets, edit)
    export = read(path)
    assert table(export) == [["a", "1"], ["b", "2"]]
    for words in (("1 hidden rows", "row 3"), ("1 hidden columns", "is B"), ("hidden sheet", "Secret")):
        assert any(all(w in warning for w in words) for warning in export.warnings), words
    assert table(read(path, sheet="secret")) == [["z", "9"]]


def test_two_candidate_sheets(tmp_path):
    path = workbook(tmp_path, "x.xlsx", {"Pre": [["id", "q"], ["a", 1]], "Post": [["id", "q"], ["a", 2]],
                                         "Notes": [["read me"]]})
    refused(path, "'Pre', 'Post'", 'sheet = "Pre"')
    assert table(read(path, sheet="Post")) == [["a", "2"]]
    refused(path, "no sheet 'Mid'", "'Notes'", sheet="Mid")


def test_merged_cells(tmp_path):
    def merge(where):
        return lambda book: book["S"].merge_cells(where)
    rows = [["Our survey", None, None], ["id", "q1", "q2"], ["a", 1, 2], ["b", 1, 2]]
    refused(workbook(tmp_path, "x.xlsx", {"S": rows}, merge("B3:C3")), "1 merged", "B3:C3", "unmerge")
    refused(workbook(tmp_path, "y.xlsx", {"S": rows}, merge("A2:A4")), "A2:A4")
    assert read(workbook(tmp_path, "z.xlsx", {"S": rows}, merge("A1:C1"))).rows == 2
    assert read(workbook(tmp_path, "w.xlsx", {"S": rows}, merge("F3:G3"))).rows == 2


def test_zip_bombs(tmp_path):
    start = time.monotonic()
    bomb = raw_workbook(tmp_path, "x.xlsx", sheet_xml(ROWS + " " * 30_000_000))
    refused(bomb, "zip bomb", "sheet1.xml")
    lying = bytearray(raw_workbook(tmp_path, "y.xlsx", sheet_xml(ROWS + " " * 30_000_000)).read_bytes())
    size = (30_000_000 + len(sheet_xml(ROWS))).to_bytes(4, "little")
    assert lying.count(size) == 2
    refused(write(tmp_path, "y.xlsx", bytes(lying).replace(size, (900_000).to_bytes(4, "little"))), "damaged")
    with zipfile.ZipFile(tmp_path / "many.xlsx", "w") as archive:
        for i in range(10_001):
            archive.writestr(f"xl/{i}.xml", "")
    refused(tmp_path / "many.xlsx", "10,001 members")
    assert time.monotonic() - start < 20


DOCTYPE = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("where", ["workbook", "sheet", "strings", "styles", "utf-16"])
def test_document_types_are_refused_in_every_part(tmp_path, where):
    sheet = sheet_xml(ROWS)
    if where == "utf-16":
        path = raw_workbook(tmp_path, "x.xlsx",
                            ('<?xml version="1.0" encoding="UTF-16"?>' + DOCTYPE + sheet).encode("utf-16"))
    else:
        path = raw_workbook(
            tmp_path, "x.xlsx", DOCTYPE * (where == "sheet") + sheet, prolog=DOCTYPE * (where == "workbook"),
            strings=(DOCTYPE + f'<sst xmlns="{MAIN}"><si><t>&f;</t></si></sst>') * (where == "strings"),
            styles=(DOCTYPE + f'<styleSheet xmlns="{MAIN}"/>') * (where == "styles"))
    refused(path, "document type")


@pytest.mark.parametrize("body, word", [
    ('<row r="1"><c r="A1"><v>1</v></c><c r="A1"><v>2</v></c></row>', "twice"),
    ('<row r="2"><c r="A2"><v>1</v></c></row><row r="1"/>', "comes after"),
    ('<row r="1"><c r="A9"><v>1</v></c></row>', "A9"),
    ('<row r="1"><c r="A1" t="s"><v>7</v></c></row>', "damaged"),
    ('<row r="x"/>', "damaged"), ("<row>", "damaged"),
    (ROWS + '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>', "stray"),
    (ROWS + '<row r="900"><c r="XFD900"><v>1</v></c></row>', "stray"),
    ("", "no visible sheet"),
])
def test_damaged_sheets(tmp_path, body, word):
    refused(raw_workbook(tmp_path, "x.xlsx", sheet_xml(body)), word)


def test_other_archives(tmp_path):
    def archive(name, members):
        with zipfile.ZipFile(tmp_path / name, "w") as out:
            for member in members:
                out.writestr(member, "x")
        return tmp_path / name
    refused(archive("a.ods", ["mimetype", "content.xml"]), "OpenDocument")
    refused(archive("a.docx", ["word/document.xml"]), "Word")
    refused(archive("a.xlsb", ["xl/workbook.bin"]), ".xlsb")
    refused(archive("a.zip", ["../../etc/evil.csv"]), "unpack it first")
    with pytest.warns(UserWarning):
        refused(archive("b.xlsx", ["xl/workbook.xml", "xl/workbook.xml"]), "twice")
    assert not (tmp_path.parent / "etc").exists()


def test_encrypted_member(tmp_path):
    data = bytearray(raw_workbook(tmp_path, "x.xlsx", sheet_xml(ROWS)).read_bytes())
    place = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)  # second member: the workbook
    data[place + 8] |= 1
    refused(write(tmp_path, "x.xlsx", bytes(data)), "password")


# ------------------------------------------------------------------------------------------- Jisc


def test_jisc_labels(tmp_path):
    rows = [["Unique Response Number", "1. Your code", "5.1.a. I feel ready to lead",
             "5.2 I know how - agree", "6.", "Completion date"],
            ["123-456-789", "PL1", "Strongly agree", "Agree", "x", "01/05/2026 09:05"]]
    export = read(write(tmp_path, "j.csv", csv_text(rows), "utf-8-sig"))
    assert export.format == "jisc" and export.known == {"response_id": "Unique Response Number",
                                                        "completed": "Completion date"}
    assert list(texts(export).values())[1:5] == ["Your code", "I feel ready to lead", "I know how - agree",
                                                 ""]


def test_a_reference_number_alone_is_not_jisc(tmp_path):
    assert read(write(tmp_path, "x.csv", "URN,status,prep\n1,a,2\n")).format == "csv"


def test_jisc_codes_with_codebook(tmp_path):
    rows = [["responseid", "Q1", "Q5_1_a", "Q5_1_b"], ["1", "PL1", "1", "-1"], ["2", "PL2", "5", "2"]]
    book = csv_text([["Question number", "Question text", "Answer code", "Answer text", "Reason"],
                     ["Q5_1_a", "I feel ready", "1", "Strongly agree", ""],
                     ["", "", "5", "Strongly disagree", ""],
                     ["Q5_1_b", "I know how", "1", "Yes", ""], ["", "", "2", "No", ""],
                     ["", "", "-1", "Skipped", "N/A"]])
    export = read(write(tmp_path, "j.csv", csv_text(rows)), codebook=write(tmp_path, "book.csv", book))
    assert column(export, "Q5_1_a") == Column("Q5_1_a", "I feel ready",
                                              {"1": "Strongly agree", "5": "Strongly disagree"}, {})
    assert column(export, "Q5_1_b") == Column(
        "Q5_1_b", "I know how", {"1": "Yes", "2": "No"}, {"-1": "not_applicable"})
    twice = write(tmp_path, "twice.csv", "column,value,label\nQ1,1,Yes\nQ1,1,No\n")
    refused(tmp_path / "j.csv", "two labels", "'Yes' and 'No'", codebook=twice)
    sheet = workbook(tmp_path, "book.xlsx", {"S": [["Column", "Value", "Label"],
                                                   ["Q5_1_a", 1, "Strongly agree"]]})
    assert column(read(tmp_path / "j.csv", codebook=sheet), "Q5_1_a").labels == {"1": "Strongly agree"}


# ------------------------------------------------------------------------------------------- REDCap

DICTIONARY = csv_text([
    ["Variable / Field Name", "Form Name", "Section Header", "Field Type", "Field Label",
     "Choices, Calculations, OR Slider Labels", "Field Note"],
    ["record_id", "baseline", "", "text", "Record ID", "", ""],
    ["prep_1", "baseline", "", "radio", "<div>I feel <b>ready</b> to lead</div>",
     "1, Strongly disagree | 2, Disagree, mostly | 5, Strongly agree", ""],
    ["met", "baseline", "", "yesno", "Have you met?", "", ""],
    ["days", "baseline", "", "checkbox", "Which days?", "1, Monday | -99, None", ""],
    ["total", "baseline", "", "calc", "Total", "[prep_1] + 1, 2", ""]])


def test_redcap_raw_longitudinal_repeating_with_dictionary(tmp_path):
    rows = [["record_id", "redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance",
             "redcap_survey_identifier",
             "baseline_timestamp", "prep_1", "met", "days___1", "days____99", "total", "baseline_complete"],
            ["1", "pre_arm_1", "", "", "", "2026-05-01 09:05:00", "5", "1", "0", "1", "6", "2"],
            ["1", "pre_arm_1", "meeting", "1", "", "[not completed]", "", "", "", "", "", ""]]
    export = read(write(tmp_path, "r.csv", csv_text(rows)), codebook=write(tmp_path, "d.csv", DICTIONARY,
                                                                           "utf-8-sig"))
    assert export.format == "redcap" and table(export) == rows[1:]
    assert export.known == {"event": "redcap_event_name", "instance": "redcap_repeat_instance",
                            "response_id": "record_id",
                            "finished": "baseline_complete", "completed": "baseline_timestamp"}
    assert {"redcap_repeat_instrument", "redcap_survey_identifier", "baseline_complete",
            "baseline_timestamp"} <= set(export.administrative)
    assert column(export, "prep_1") == Column(
        "prep_1", "I feel ready to lead", {"1": "Strongly disagree", "2": "Disagree, mostly",
                                           "5": "Strongly agree"}, {})
    assert column(export, "met").labels == {"1": "Yes", "0": "No"} and column(export, "total").labels == {}
    assert column(export, "days____99") == Column(
        "days____99", "Which days? (choice=None)", {"0": "Unchecked", "1": "Checked"}, {})


def test_redcap_labels(tmp_path):
    rows = [["Record ID", "Event Name", "Survey Timestamp", "I feel ready to lead", "Complete?",
             "Have you met?", "Complete?"],
            ["1", "Before", "2026-05-01 09:05:00", "Strongly agree", "Complete", "Yes", "Complete"]]
    export = read(write(tmp_path, "r.csv", csv_text(rows)), codebook=write(tmp_path, "d.csv", DICTIONARY))
    assert export.format == "redcap" and export.known["event"] == "Event Name"
    assert export.known["completed"] == "Survey Timestamp"
    assert "finished" not in export.known and {"Complete?", "Complete? (2)"} <= set(export.administrative)
    assert column(export, "I feel ready to lead").labels["5"] == "Strongly agree"
    assert not any("repeated" in w for w in export.warnings)


def test_redcap_simple_and_what_only_looks_like_it(tmp_path):
    text = "study_id,prep_1,pre_timestamp,pre_complete,post_timestamp,post_complete\n1,5,,2,,0\n"
    simple = read(write(tmp_path, "r.csv", text))
    assert simple.format == "redcap" and "completed" not in simple.known and "finished" not in simple.known
    assert any("2 columns hold a survey time" in w for w in simple.warnings)
    assert read(write(tmp_path, "x.csv", "Participant code,training_complete,q1\n1,yes,2\n")).format == "csv"


# ------------------------------------------------------------------------------------------- SurveyMonkey

MONKEY = ["Respondent ID", "Collector ID", "Start Date", "End Date", "IP Address", "Email Address",
          "First Name", "Last Name", "Custom Data 1"]
PERSON = ["118", "42", "05/01/2026 09:00:00 AM", "05/01/2026 09:05:00 AM", "10.0.0.1", "", "", "", ""]


def test_surveymonkey_condensed(tmp_path):
    rows = [MONKEY + ["Your code", "How far do you agree?", "", "How was it?", "Comments"],
            [""] * 9 + ["Open-Ended Response", "I feel ready to lead", "I know how", "Response",
                        "Open-Ended Response"],
            PERSON + ["PL1", "Strongly agree", "Agree", "Good", "a, b"]]
    export = read(write(tmp_path, "s.csv", csv_text(rows), "utf-8-sig"))
    assert export.format == "surveymonkey" and export.rows == 1
    assert export.known == {"completed": "End Date", "started": "Start Date", "response_id": "Respondent ID"}
    assert set(MONKEY) <= set(export.administrative)
    assert names(export)[9:] == ["Your code", "How far do you agree? [I feel ready to lead]",
                                 "How far do you agree? [I know how]", "How was it?", "Comments"]
    assert list(texts(export).values())[10:12] == ["I feel ready to lead", "I know how"]


def test_surveymonkey_expanded_single_choice_is_joined(tmp_path):
    rows = [MONKEY + ["I feel ready to lead", "", "", "", "Which days?", ""],
            [""] * 9 + ["Disagree", "Neither", "Agree", "Other (please specify)", "Mon", "Tue"],
            PERSON + ["", "", "Agree", "", "Mon", "Tue"], PERSON + ["Disagree", "", "", "", "", "Tue"],
            PERSON + ["", "", "", "it depends", "", ""]]
    export = read(write(tmp_path, "s.csv", csv_text(rows)))
    assert names(export)[-1] == "I feel ready to lead"
    assert [row[-1] for row in table(export)] == ["Agree", "Disagree", "it depends"]
    assert [row[9:15] for row in table(export)] == [row[9:] for row in rows[2:]]
    assert "I feel ready to lead [Agree]" in export.administrative
    assert "Which days? [Mon]" not in export.administrative
    assert any("one column per choice" in w for w in export.warnings)


# ------------------------------------------------------------------------------- Google Forms, LimeSurvey


def test_google_forms(tmp_path):
    rows = [["Timestamp", "Email Address", "Your code", "How far do you agree? [I feel ready]",
             "How far do you agree? [I know how]", "Only one [bracket]"],
            ["2026/05/01 9:05:00 am GMT+1", "a@b.org", "PL1", "Strongly agree", "4", "x"]]
    export = read(write(tmp_path, "g.csv", csv_text(rows)))
    assert export.format == "googleforms" and export.known == {"completed": "Timestamp"}
    assert "Email Address" in export.administrative
    assert list(texts(export).values())[3:] == ["I feel ready", "I know how", "Only one [bracket]"]
    assert read(write(tmp_path, "h.csv", "id,Timestamp\na,1\n")).format == "csv"


@pytest.mark.parametrize("head, own, expected", [
    (["id", "submitdate", "lastpage", "startlanguage", "seed", "token", "prep1[SQ001]", "q2"],
     {"response_id": "id", "completed": "submitdate", "progress": "lastpage", "language": "startlanguage"},
     ["", ""]),
    (["id. Response ID", "submitdate. Date submitted", "lastpage. Last page", "startlanguage. Start language",
      "seed. Seed", "token. Access code",
      "prep1[SQ001]. How far? [I feel ready]", "prep1[SQ002]. How far? [I know how]"],
     {"response_id": "id. Response ID", "completed": "submitdate. Date submitted",
      "progress": "lastpage. Last page",
      "language": "startlanguage. Start language"}, ["I feel ready", "I know how"]),
    (["Response ID", "Date submitted", "Last page", "Start language", "Seed", "Access code",
      "How far? [I feel ready]", "How far? [I know how]"],
     {"response_id": "Response ID", "completed": "Date submitted", "progress": "Last page",
      "language": "Start language"}, ["I feel ready", "I know how"]),
])
def test_limesurvey_headings(tmp_path, head, own, expected):
    rows = [head, ["1", "2026-05-01 09:05:00", "3", "en", "99", "PL1", "A5", "A1"],
            ["2", "", "1", "en", "98", "PL2", "", ""]]
    export = read(write(tmp_path, "l.csv", csv_text(rows, ";", csv.QUOTE_ALL)))
    assert export.format == "limesurvey" and export.known == own
    assert list(texts(export).values())[6:] == expected
    assert {head[4], head[5]} <= set(export.administrative) and not {head[6],
                                                                     head[7]} & set(export.administrative)


def test_limesurvey_without_dates_and_with_codebook(tmp_path):
    path = write(tmp_path, "l.csv", "id,submitdate,lastpage,q1\n1,1980-01-01 00:00:00,3,A1\n")
    book = write(tmp_path, "b.csv",
                 "question code,answer code,answer\nq1,A1,Strongly disagree\nq1,A5,Strongly agree\n")
    export = read(path, codebook=book)
    assert any("1980-01-01" in w for w in export.warnings)
    assert column(export, "q1").labels == {"A1": "Strongly disagree", "A5": "Strongly agree"}


# ------------------------------------------------------------------------------------------- SPSS


def test_spss_values_labels_and_missing(tmp_path):
    frame = pd.DataFrame({
        "code": ["PL1", "pl 2", ""], "prep_1": [1.0, -99.0, 5.0], "prep_2": [2.5, None, 97.0],
        "when": [dt.datetime(2026, 5, 1, 9, 5), dt.datetime(2026, 5, 2), None],
        "day": [dt.date(2026, 5, 1), None, dt.date(1999, 12, 31)]})
    path = tmp_path / "s.sav"
    pyreadstat.write_sav(
        frame, path, column_labels={"prep_1": "I feel ready to lead"},
        missing_ranges={"prep_1": [-99], "prep_2": [{"lo": 90, "hi": 99}]},
        variable_value_labels={"prep_1": {1: "Strongly agree", 5: "Strongly disagree",
                                          -99: "Prefer not to say"}})
    export = read(path)
    assert export.format == "spss" and export.encoding == "spss"
    assert names(export) == ["code", "prep_1", "prep_2", "when", "day"]
    assert table(export) == [["PL1", "1", "2.5", "2026-05-01 09:05:00", "2026-05-01"],
                             ["pl 2", "-99", "", "2026-05-02 00:00:00", ""],
                             ["", "5", "97", "", "1999-12-31"]]
    assert column(export, "prep_1") == Column(
        "prep_1", "I feel ready to lead", {"1": "Strongly agree", "5": "Strongly disagree"},
        {"-99": "prefer_not_to_say"})
    assert column(export, "prep_2").missing == {"97": "user_missing"}
    refused(path, 'format = "spss"', format="csv")


def test_spss_written_by_a_platform_and_damaged(tmp_path):
    frame = pd.DataFrame({"StartDate": ["2026-05-01"], "EndDate": ["2026-05-01"], "Status": [0.0],
                          "ResponseId": ["R_1"], "Q1": [4.0]})
    path = tmp_path / "q.sav"
    pyreadstat.write_sav(frame, path)
    export = read(path)
    assert export.known == {"completed": "EndDate", "started": "StartDate", "status": "Status",
                            "response_id": "ResponseId"}
    data = path.read_bytes()
    refused(write(tmp_path, "cut.sav", data[:300]), "SPSS")


def decode(path, cells, memory):
    """Stands in for a decoder that crashes, as ReadStat does on some damaged files."""
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_crash_of_the_spss_decoder_is_a_refusal(tmp_path, monkeypatch):
    path = tmp_path / "f.sav"
    pyreadstat.write_sav(pd.DataFrame({"q1": [1.0]}), path)
    assert table(read(path)) == [["1"]]
    monkeypatch.setattr(spss, "decode", decode)
    refused(path, "decoder failed", "damaged")


# ------------------------------------------------------------------------------------------- anything at all


def mutate(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        place, kind = rng.randrange(len(out)), rng.randrange(6)
        if kind == 0:
            out[place] = rng.randrange(256)
        elif kind == 1:
            del out[place:place + rng.randint(1, 30)]
        elif kind == 2:
            out[place:place] = rng.randbytes(rng.randint(1, 20))
        elif kind == 3:
            out[place:place] = rng.choice([b'"', b"\r", b"\n", b",", b";", b"\t", b"\x00", b"\xff\xfe",
                                           b"\xef\xbb\xbf", b"=", b'""', b"{", b"PK"])
        elif kind == 4:
            other = rng.randrange(len(out))
            out[place:place] = out[other:other + rng.randint(1, 200)]
        else:
            out = out[:place + 1]
        if not out:
            out = bytearray(b"x")
    return bytes(out)


def samples(folder: Path) -> list[Path]:
    """One good file of each kind; workbooks stored unpacked, too, so that mutations reach their XML."""
    forms = workbook(folder, "f.xlsx", {"Form1": forms_rows()})
    stored = folder / "stored.xlsx"
    with zipfile.ZipFile(forms) as source, zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as out:
        for member in source.namelist():
            out.writestr(member, source.read(member))
    return [
        write(folder, "q.csv", csv_text(QUALTRICS)), write(folder, "q.tsv", csv_text(QUALTRICS, "\t"),
                                                           "utf-16"), forms, stored,
        write(folder, "w.csv", "id;q1;Zoë\n1;2;é\n", "cp1252"),
        write(folder, "s.csv", csv_text([MONKEY + ["A", ""], [""] * 9 + ["x", "y"], PERSON + ["x", ""]])),
    ]


def reseal(data: bytes) -> bytes:
    """A stored archive whose mutated members have right sums, so that the parser behind is reached."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    return out.getvalue()


def only_refusals(folder: Path, seed: int, times: int) -> tuple[int, int]:
    rng = random.Random(seed)
    good = samples(folder)
    books = [write(folder, "s.qsf", json.dumps(QSF)), write(folder, "d.csv", DICTIONARY)]
    members = {}
    with zipfile.ZipFile(good[2]) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    passed = failed = 0
    for _ in range(times):
        source = rng.choice(good)
        options = {}
        if rng.random() < 0.25:  # one member of a workbook, with right check sums
            victim = rng.choice([m for m in members if m.startswith("xl/")])
            path = folder / "fuzz.xlsx"
            with zipfile.ZipFile(path, "w") as archive:
                for name, data in members.items():
                    archive.writestr(name, mutate(data, rng) if name == victim else data)
        else:
            path = write(folder, "fuzz" + source.suffix, mutate(source.read_bytes(), rng))
        if rng.random() < 0.2:
            options["codebook"] = write(folder, "fuzz.book", mutate(rng.choice(books).read_bytes(), rng))
        try:
            export = read(path, **options)
            passed += 1
            assert export.rows == export.cells["row"].nunique() + len(export.set_aside)
            assert len({c.name for c in export.columns}) == len(export.columns)
            assert set(export.known.values()) | set(export.administrative) <= {c.name for c in export.columns}
        except Refusal as refusal:
            failed += 1
            assert str(refusal)
    return passed, failed


def test_only_refusals_are_raised(tmp_path):
    passed, failed = only_refusals(tmp_path, 20180601, 200)
    assert passed > 20 and failed > 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_only_refusals_are_raised_by_thousands_of_files(tmp_path, seed):
    passed, failed = only_refusals(tmp_path, seed, 2000)
    assert passed > 200 and failed > 200


@pytest.mark.slow
def test_only_refusals_are_raised_by_damaged_spss_files(tmp_path):
    rng = random.Random(7)
    frame = pd.DataFrame({"id": ["a", "b"], "q1": [1.0, -99.0]})
    path = tmp_path / "f.sav"
    pyreadstat.write_sav(frame, path, variable_value_labels={"q1": {1: "SD", -99: "no"}},
                         missing_ranges={"q1": [-99]})
    for _ in range(40):
        try:
            read(write(tmp_path, "g.sav", path.read_bytes()[:4] + mutate(path.read_bytes()[4:], rng)))
        except Refusal:
            pass
