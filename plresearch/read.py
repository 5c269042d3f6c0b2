"""Read one survey export as cells: every value a string as exported, nothing guessed, nothing run.

`read` is the only entry. It decides what the file is from its content, refuses what it cannot read
safely, finds the header, and lets `exports` say what the platform's columns mean. Nothing is written
or extracted to disk, no formula is evaluated and no type is inferred.

Rows are numbered from 1 after the header block. A line without any character is no row; a row that
has only delimiters, or an empty row between others of a sheet, is one and is set aside as "empty row".
"""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from . import exports
from .exports import Codebook, Column, Layout
from .frames import CELLS, QUARANTINE, Refusal, Shape, make
from .matching import fold, question_forms
from .spss import read_spss
from .workbook import CELL_LIMIT, FIELD_LIMIT, read_workbook

SIZE_LIMIT = 100_000_000  # bytes of an export; a thousand times a cohort's
LINES_LIMIT = 5_000_000  # lines of a text file
LINE_LIMIT = 1_000_000  # characters of one line of text
HEADER_WITHIN = 10  # rows in which the header is searched
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass(frozen=True)
class Export:
    """One export as read.

    Attributes
    ----------
    source, format, encoding
        File name; format recognised or given; text encoding, or 'xlsx' or 'spss'.
    cells
        CELLS: one line per data cell of the rows that fit the header, empty cells too. Where a
        question is exported with one column per choice, one more column holds the choice.
    columns
        The columns in their order.
    rows
        Data rows after the header block, those set aside included.
    set_aside
        QUARANTINE: rows that could not be given to columns (ragged, empty).
    warnings
        What a person should know about the file.
    known
        Role -> column name, of completed, started, status, finished, progress, response_id, event,
        instance, language.
    administrative
        Name of a platform's own column -> why it is never an answer.
    timezone
        Time zone that the export itself states, or ''.
    delimiter
        Of a text file, as given or found; '' for a workbook or SPSS file.
    """

    source: str
    format: str
    encoding: str
    cells: pd.DataFrame
    columns: tuple[Column, ...]
    rows: int
    set_aside: pd.DataFrame
    warnings: tuple[str, ...]
    known: dict[str, str]
    administrative: dict[str, str]
    timezone: str = ""
    delimiter: str = ""


@dataclass
class _Grid:
    """A table as text before its header is known; row i of `rows` is physical row `first` + i."""

    rows: list[list[str]]
    kind: str  # text, xlsx or spss
    encoding: str
    warnings: list[str]
    first: int = 1
    merged: list[tuple[int, int, int, int, str]] = field(default_factory=list)
    delimiter: str = ""


def read(
    path: str | Path, *, format: str = "auto", delimiter: str = "", sheet: str = "",
    codebook: str | Path | None = None, expected: frozenset[str] = frozenset(), size_limit: int = SIZE_LIMIT,
) -> Export:
    """Read one export as cells.

    Parameters
    ----------
    path
        The file as received.
    format
        'auto' recognises it from its content; otherwise csv, xlsx, spss, qualtrics, msforms, jisc,
        redcap, surveymonkey, googleforms or limesurvey. csv and xlsx read one plain header row.
    delimiter
        Of a text file; without it the one of comma, semicolon, tab and bar that gives the same number
        of columns most often.
    sheet
        Of a workbook with more than one sheet that holds a table.
    codebook
        File with the labels of codes: a Qualtrics .qsf, a REDCap data dictionary, or a CSV or XLSX
        table with the columns column, value and label (optionally text and missing).
    expected
        Folded names and questions that the header should hold (`matching.header_words`). They tell the
        header of a plain table from title rows, and a question with one column per choice from one that
        allows several; without them both are told by their form.
    size_limit
        Largest size in bytes of the export and of the codebook.

    Raises
    ------
    Refusal
        When the file cannot be read whole, safely and without guessing; the message names the cure.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "pre.csv")
    ...     _ = file.write_text("Participant code;Ready\\n007;5 - Strongly agree\\n008;\\n", encoding="utf-8")
    ...     export = read(file)
    >>> export.format, export.rows, [c.name for c in export.columns]
    ('csv', 2, ['Participant code', 'Ready'])
    >>> list(export.cells["value"])
    ['007', '5 - Strongly agree', '008', '']
    """
    path = Path(path)
    allowed = ("auto", "csv", "xlsx", "spss", *exports.PLATFORMS)
    if format not in allowed:
        raise Refusal(f"format '{format}' is unknown for {path.name}; use {', '.join(allowed)}")
    if len(delimiter) > 1 or delimiter in ('"', "\n", "\r"):
        raise Refusal(f"delimiter {delimiter!r} for {path.name} is not one plain character; use , ; | or a "
                      "tab (\\t)")
    book = _codebook(Path(codebook), size_limit) if codebook else None
    data = _bytes(path, size_limit)
    kind = _kind(data, path.name)
    _agree(format, kind, path.name)
    if kind == "spss":
        return _spss(path, book, expected)
    if kind == "xlsx":
        grid = _sheet(data, path.name, sheet)
    else:
        grid = _text(data, path.name, delimiter)
    return _assemble(grid, path.name, format, book, expected)


# --------------------------------------------------------------------------------------- what a file is


def _bytes(path: Path, size_limit: int) -> bytes:
    """The bytes of an ordinary file no larger than the limit."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise Refusal(f"{path.name} is a folder, not a file; name the export inside it")
        if not stat.S_ISREG(status.st_mode):
            raise Refusal(
                f"{path.name} is not an ordinary file (a device or pipe); save the export as a file"
            )
        if status.st_size > size_limit:
            raise Refusal(
                f"{path.name} has {status.st_size:,} bytes, more than the {size_limit:,} allowed; it is "
                "unlikely to be one cohort's export: export this survey alone, without attachments"
            )
        with path.open("rb") as handle:
            data = handle.read(size_limit + 1)
    except FileNotFoundError as error:
        raise Refusal(f"{path.name} is not there ({path.parent}); put the export there or correct file in "
                      "the cohort file") from error
    except Refusal:
        raise
    except (OSError, ValueError) as error:
        raise Refusal(f"{path.name[:80]} cannot be opened ({getattr(error, 'strerror', None) or error}); "
                      "check the name and that you may read it") from error
    if len(data) > size_limit:
        raise Refusal(f"{path.name} grew beyond {size_limit:,} bytes while it was read; wait until it is "
                      "saved and try again")
    if not data.strip(b" \t\r\n\x00\xef\xbb\xbf\xff\xfe"):
        raise Refusal(f"{path.name} is empty; export it again")
    return data


_MAGIC = (
    (b"%PDF", "a PDF report; export the answers as CSV or XLSX instead"),
    (b"{\\rtf", "a text document (RTF); export the answers as CSV or XLSX instead"),
    (b"\x1f\x8b", "a compressed file (gzip); unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"PAR1", "a Parquet file; export the answers as CSV or XLSX instead"),
    (b"\x89PNG", "a picture; export the answers as CSV or XLSX instead"),
    (b"\xff\xd8\xff", "a picture; export the answers as CSV or XLSX instead"),
    (b"SQLite format 3", "a database; export the answers as CSV or XLSX instead"),
    (b"PK\x05\x06", "an empty archive; export it again"),
)


def _kind(data: bytes, name: str) -> str:
    """'text', 'xlsx' or 'spss', from the first bytes; what else is recognised is refused by name."""
    if data[:4] in (b"$FL2", b"$FL3"):
        return "spss"
    if data[:4] == b"PK\x03\x04":
        return "xlsx"
    if data[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise Refusal(f"{name} is protected by a password; open it, remove the password and save it as "
                          ".xlsx")
        raise Refusal(
            f"{name} is an old Excel file (.xls); open it and save it as .xlsx, or export it as CSV"
        )
    for magic, what in _MAGIC:
        if data.startswith(magic):
            raise Refusal(f"{name} is {what}")
    start = data[:2000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<table", b"<meta", b"<head", b"<body")):
        raise Refusal(f"{name} is a web page, whatever its name says; open it in a spreadsheet and save it "
                      "as .xlsx, or export CSV")
    if start.startswith(b"<?xml"):
        raise Refusal(f"{name} is an XML file; export the answers as CSV or XLSX instead")
    if re.match(rb'\{\s*"surveyentry"', start):
        raise Refusal(f'{name} is a survey definition (.qsf), not answers; name it with codebook = "{name}" '
                      'and export the data as CSV')
    return "text"


def _agree(format: str, kind: str, name: str) -> None:
    wanted = {"csv": "text", "xlsx": "xlsx", "spss": "spss"}.get(format, "")
    titles = {"text": "a text table (CSV)", "xlsx": "an Excel workbook (.xlsx)",
              "spss": "an SPSS file (.sav)"}
    if (wanted and wanted != kind) or (kind == "spss" and format not in ("auto", "spss")):
        right = {"text": "csv", "xlsx": "xlsx", "spss": "spss"}[kind]
        raise Refusal(f'{name} is {titles[kind]}, but format = "{format}" is set; use format = "{right}" or '
                      '"auto"')


# --------------------------------------------------------------------------------------- text


def _text(data: bytes, name: str, delimiter: str) -> _Grid:
    """Records of a delimited text file; blank lines are none."""
    text, encoding, warnings = _decode(data, name)
    lines = max(text.count("\n"), text.count("\r"))
    if lines > LINES_LIMIT:
        raise Refusal(f"{name} has {lines:,} lines (at most {LINES_LIMIT:,}); export one cohort at a time")
    longest = max((len(line) for line in io.StringIO(text, newline="")), default=0)
    if longest > LINE_LIMIT:
        raise Refusal(f"{name} has a line of {longest:,} characters (at most {LINE_LIMIT:,}); it is not a "
                      "table: export it again as CSV")
    declared = re.match(r"sep=(.)\r?\n?", text)
    if declared and declared.group(1) in DELIMITERS:
        text = text[declared.end():]
        delimiter = delimiter or declared.group(1)
    delimiter = delimiter or _sniff(text, name)
    count = text.count(delimiter) + lines
    if count > CELL_LIMIT:
        raise Refusal(f"{name} has about {count:,} cells (at most {CELL_LIMIT:,}); export fewer columns or "
                      "one cohort at a time")
    rows = _records(text, delimiter, name)
    return _Grid([row for row in rows if row], "text", encoding, warnings, delimiter=delimiter)


def _decode(data: bytes, name: str) -> tuple[str, str, list[str]]:
    """(text without byte order mark, encoding, warnings)."""
    cure = 'open it in a spreadsheet and save it as "CSV UTF-8"'
    warnings: list[str] = []
    if data[:4] in (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff"):
        raise Refusal(f"{name} is encoded in UTF-32; {cure}")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            text, encoding = data.decode("utf-16"), "utf-16"
        except UnicodeDecodeError as error:
            raise Refusal(f"{name} starts as UTF-16 but breaks at byte {error.start}; it was cut or mixed: "
                          "export it again") from error
    else:
        marked = data.startswith(b"\xef\xbb\xbf")
        try:
            text, encoding = data.decode("utf-8-sig"), "utf-8"
        except UnicodeDecodeError as error:
            text, encoding = _western(data, name, error, marked), "cp1252"
            warnings.append(f"{name} is not UTF-8; it was read as Western European (cp1252): check accents "
                            f"and quotes, or {cure}")
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        count = text.count("\x00")
        raise Refusal(f"{name} has {count:,} NUL characters, the first in line {line}; it is binary, damaged "
                      f"or UTF-16 without a mark: {cure}")
    return text.lstrip("\ufeff"), encoding, warnings


# Sequences that are UTF-8 for accented letters, quotes and dashes and next to never meant in cp1252.
_UTF8_LETTERS = re.compile(rb"[\xc2\xc3][\x80-\xbf]|\xe2\x80[\x80-\xbf]")


def _western(data: bytes, name: str, error: UnicodeDecodeError, marked: bool) -> str:
    """The bytes as cp1252; refused where they also hold UTF-8."""
    line = data.count(b"\n", 0, error.start) + 1
    mixed = len(_UTF8_LETTERS.findall(data))
    if marked or mixed:
        raise Refusal(
            f"{name} mixes encodings: it has {'a UTF-8 mark' if marked else f'{mixed:,} UTF-8 characters'} "
            "and bytes that are not "
            f"UTF-8, the first in line {line}; parts were pasted from another file: export it again from the "
            "survey tool"
        )
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError as second:
        line = data.count(b"\n", 0, second.start) + 1
        raise Refusal(
            f"{name} is neither UTF-8 nor Western European text (byte {data[second.start]:#04x} in line "
            f"{line}); export it again as CSV UTF-8"
        ) from second


def _records(text: str, delimiter: str, name: str) -> list[list[str]]:
    """All records, strictly: quotes must close, and close before a delimiter."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    same = {}.setdefault  # one string for all cells that hold it: a survey has few different answers
    try:
        for row in reader:
            rows.append([same(cell, cell) for cell in row])
    except csv.Error as error:
        again = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        for _ in range(len(rows)):
            next(again)
        start = again.line_num + 1
        if "unexpected end of data" in str(error):
            raise Refusal(f'{name} has a quotation mark (") that opens in the record at line {start} and '
                          'never closes; export it again, or double it') from error
        if "field larger" in str(error):
            raise Refusal(f"{name} has a cell of more than {FIELD_LIMIT:,} characters in the record at line "
                          f"{start}; a quotation mark is probably left open: export it again") from error
        raise Refusal(
            f"{name} cannot be read as a table at line {reader.line_num} (record from line {start}: "
            f"{error}); check its quotation marks, or set delimiter "
            f"(now {DELIMITERS.get(delimiter, repr(delimiter))})"
        ) from error
    return rows


def _sniff(text: str, name: str) -> str:
    """The delimiter that gives the most rows of one width, header included; a tie is refused."""
    sample = text[:200_000]
    whole = len(sample) == len(text)
    found = {}
    for delimiter in DELIMITERS:
        rows = []
        try:
            for row in itertools.islice(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter,
                                                   strict=True), 500):
                if row:
                    rows.append(row)
        except csv.Error:
            if whole or len(rows) < 2:
                continue
        rows = rows if whole or len(rows) < 2 else rows[:-1]
        widths = Counter(len(row) for row in rows if len(row) > 1)
        if not widths:
            continue
        width, times = max(widths.items(), key=lambda item: (item[1], item[0]))
        if any(len(row) == width for row in rows[:HEADER_WITHIN]):
            found[delimiter] = (times, width)
    if not found:
        return ","
    best = max(found.values())
    tied = [d for d, score in found.items() if score == best]
    if len(tied) > 1:
        raise Refusal(
            f"{name} can be split at {' or '.join(DELIMITERS[d] for d in tied)}, each giving {best[1]} "
            'columns; set delimiter = "," (or the right one) in the cohort file'
        )
    return tied[0]


# --------------------------------------------------------------------------------------- workbook and SPSS


def _sheet(data: bytes, name: str, sheet: str) -> _Grid:
    table = read_workbook(data, name, sheet)
    return _Grid(table.rows, "xlsx", "xlsx", table.warnings, table.first, table.merged)


def _spss(path: Path, book: Codebook | None, expected: frozenset[str]) -> Export:
    table = read_spss(path)
    grid = _Grid(table.rows, "spss", "spss", [])
    plan = exports.spss_columns(table.names, table.texts)
    return _finish(grid, path.name, "spss", plan, book, expected, table.labels, table.missing)


# --------------------------------------------------------------------------------------- header and cells


def _assemble(grid: _Grid, name: str, format: str, book: Codebook | None, expected: frozenset[str]) -> Export:
    """Find the header, ask the platform's conventions what it says, and make the export."""
    if not grid.rows:
        raise Refusal(f"{name} is empty; export it again")
    start, platform = _header(grid, name, format, expected)
    head = grid.rows[start:start + 3]
    plan = exports.layout(platform, head)
    if start:
        above = "; ".join(_short(" ".join(row)) for row in grid.rows[:start])
    if start and above.strip("; "):
        grid.warnings.append(f"{start} row{'s' * (start > 1)} above the header "
                             f"{'were' if start > 1 else 'was'} not read: {above}")
    body = grid.rows[start + plan.header_rows:]
    _refuse_merged(grid, start, len(plan.names), name)
    form = platform if platform in exports.PLATFORMS else ("xlsx" if grid.kind == "xlsx" else "csv")
    grid.rows = body
    return _finish(grid, name, form, plan, book, expected)


def _header(grid: _Grid, name: str, format: str, expected: frozenset[str]) -> tuple[int, str]:
    """(index of the first header row, platform or '').

    A platform's header is known by its names; a plain one is the row that holds most of the expected
    names, where one holds at least two, else the first that fills more than half of the table's width.
    """
    head = grid.rows[:HEADER_WITHIN + 2]
    widths = Counter(len(row) for row in grid.rows[:200])
    width = max(widths, key=lambda w: (w > 1, widths[w], w))
    filled = [sum(bool(cell.strip()) for cell in row) for row in head]
    first = next((i for i in range(min(HEADER_WITHIN, len(head))) if filled[i] > width / 2), None)
    if format not in ("csv", "xlsx"):
        last = first if first is not None else min(HEADER_WITHIN, len(head)) - 1
        for start in range(last + 1):
            platform = exports.recognise(head[start:start + 3])
            if platform and format in ("auto", platform):
                return start, platform
    if format in exports.PLATFORMS:
        title = exports.PLATFORMS[format].title
        wanted = " or ".join(" + ".join(sorted(s)) for s in exports.PLATFORMS[format].signatures[:2])
        raise Refusal(
            f'{name} has no {title} header in its first {HEADER_WITHIN} rows (looked for {wanted}); '
            'export it again without changing its header, or use format = "auto"'
        )
    named = [_named(row, expected) for row in head[:HEADER_WITHIN]] if expected else []
    if named and max(named) > 1:
        return named.index(max(named)), ""
    if first is None:
        raise Refusal(
            f"{name} has no header in its first {HEADER_WITHIN} rows: none fills more than half of the "
            f"{width} columns; delete the rows above the header, or set delimiter"
        )
    return first, ""


def _named(row: list[str], expected: frozenset[str]) -> int:
    """How many cells of a row are expected names or questions."""
    return sum(
        any(not forms.isdisjoint(expected) for forms in question_forms(cell)) for cell in row if cell.strip()
    )


def _short(text: str) -> str:
    """Text of the file on one line of a message."""
    text = " ".join(text[:200].split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse_merged(grid: _Grid, start: int, width: int, name: str) -> None:
    header = grid.first + start
    inside = [ref for low, high, left, right, ref in grid.merged if high >= header and left <= width
              and right >= 1]
    if inside:
        raise Refusal(
            f"{name} has {len(inside)} merged cells in its table, the first {inside[0]}; their answers "
            "cannot be told apart: "
            "unmerge them, fill each cell, and save it again"
        )


def _finish(
    grid: _Grid, name: str, form: str, plan: Layout, book: Codebook | None, expected: frozenset[str],
    labels: list[dict] | None = None, missing: list[dict] | None = None,
) -> Export:
    """Rows to columns: ragged rows set aside, names made distinct, labels added, cells laid out."""
    warnings = grid.warnings + list(plan.warnings)
    width = len(plan.names)
    raw_names = list(plan.names)
    body = grid.rows
    while grid.kind == "xlsx" and body and not any(cell.strip() for cell in body[-1]):
        body.pop()
    if not body:
        raise Refusal(f"{name} has a header and no rows; export it again, with all responses and not only "
                      "the finished ones")
    texts, ids = list(plan.texts), list(plan.import_ids)
    surplus = {len(row) for row in body if any(c.strip() for c in row)}
    if len(surplus) == 1 and (wide := surplus.pop()) > width and not any(
        c.strip() for row in body for c in row[width:]
    ):
        raw_names += [""] * (wide - width)
        texts += [""] * (wide - width)
        ids += [""] * (wide - width)
        width = wide
    numbers, good, aside = [], [], []
    for number, row in enumerate(body, start=1):
        if not any(map(str.strip, row)):
            aside.append((number, "empty row", "delete the row, or leave it: it holds no answer"))
        elif len(row) != width:
            aside.append((number, f"ragged row: {len(row)} cells for {width} columns",
                          "look for a delimiter or line end inside an answer that is not in quotation marks"))
        else:
            numbers.append(number)
            good.append(row)
    ragged = [a for a in aside if a[1].startswith("ragged")]
    if not good and not ragged:
        raise Refusal(f"{name} has a header and {len(body)} rows, all empty; export it again")
    if len(ragged) > len(good):
        raise Refusal(
            f"{name}: {len(ragged)} of {len(body)} rows do not have the header's {width} columns (row "
            f"{ragged[0][0]}: {ragged[0][1]}); "
            "set delimiter, or export it again"
        )
    names = _distinct(raw_names, set(plan.administrative), warnings, name)
    good, derived = _join_choices(good, names, plan, expected, warnings)
    _refuse_cut_question(good, plan, expected, name)
    columns = _columns(names, texts, ids, book, labels, missing, name)
    if derived:
        columns += [Column(n, exports.plain(n), {}, {}) for n, _ in derived]
    administrative = {names[p]: reason for p, reason in plan.administrative.items()}
    for question, members in derived:
        why = f"one choice of the question '{_short(question)}', whose column holds the answer"
        administrative |= {names[p]: why for p in members}
    if form == "limesurvey":
        _warn_undated(good, plan, names, warnings)
    return Export(
        source=name, format=form, encoding=grid.encoding,
        cells=_cells(name, numbers, [c.name for c in columns], good), columns=tuple(columns), rows=len(body),
        set_aside=make([{"source": name, "row": r, "reason": why, "suggestion": do} for r, why, do in aside],
                       QUARANTINE),
        warnings=tuple(warnings), known={role: names[p] for role, p in plan.known.items()},
        administrative=administrative, timezone=plan.timezone, delimiter=grid.delimiter,
    )


def _distinct(names: list[str], quiet: set[int], warnings: list[str], source: str) -> list[str]:
    """Names made distinct: '(unnamed 3)' for none, 'name (2)' for a repeated one."""
    taken = {name for name in names if name.strip()}
    seen: set[str] = set()
    out, repeated, unnamed = [], [], []
    for position, name in enumerate(names):
        made = name
        if not name.strip():
            made = f"(unnamed {position + 1})"
            unnamed.append(made)
        elif name in seen and position not in quiet:
            repeated.append(name)
        base, count = made, 2
        while made in seen or (made != name and made in taken):
            made, count = f"{base} ({count})", count + 1
        seen.add(made)
        out.append(made)
    if repeated:
        warnings.append(f"{source} has {len(repeated)} repeated column names, the first "
                        f"'{_short(repeated[0])}'; the later ones are called 'name (2)' and so on")
    if unnamed:
        warnings.append(f"{source} has {len(unnamed)} columns without a name; the first is called "
                        f"'{unnamed[0]}'")
    return out


def _join_choices(
    rows: list[list[str]], names: list[str], plan: Layout, expected: frozenset[str], warnings: list[str]
) -> tuple[list[list[str]], list[tuple[str, tuple[int, ...]]]]:
    """Join an expanded single-choice question (one column per choice, holding its label) into one column.

    Only where every filled cell repeats its column's choice, and at most one is filled in a row, unless
    the question is an expected one: there two choices are two answers to be set aside. A row with no
    choice takes the text of "Other". The choice columns stay in the cells.
    """
    derived, extra = [], []
    for question, (members, other) in plan.choices.items():
        chosen = [[row[p] for p in members if row[p].strip()] for row in rows]
        repeats = all(
            not row[p].strip() or fold(row[p]) == fold(plan.texts[p]) for row in rows for p in members
        )
        most = max(map(len, chosen), default=0)
        single = len(members) > 1 and (most == 1 or (most > 1 and _named([question], expected) > 0))
        if single and repeats and question.strip() and question not in names:
            derived.append((question, members))
            said = [[row[p] for p in other if row[p].strip()] for row in rows]
            extra.append(["; ".join(choice) or (text + [""])[0] for choice, text in zip(chosen, said)])
    if derived:
        warnings.append(f"{len(derived)} questions are exported with one column per choice "
                        f"('{_short(derived[0][0])}' first); each was joined into one column of its own")
        rows = [row + [column[i] for column in extra] for i, row in enumerate(rows)]
    return rows, derived


def _refuse_cut_question(
    rows: list[list[str]], plan: Layout, expected: frozenset[str], source: str
) -> None:
    """Refuse an expected question whose last choices stand under a heading of their own.

    They are known by their answers: other choices than the question's, each cell repeating its choice,
    never filled together with the question and sometimes instead of it.
    """
    starts = {members[0]: (question, members) for question, (members, _) in plan.choices.items() if members}
    for question, (members, _) in plan.choices.items():
        if not members or not _named([question], expected):
            continue
        other, beside = starts.get(members[-1] + 1, ("", ()))
        parts = {fold(plan.texts[p]) for p in members}
        if not beside or any(fold(plan.texts[p]) in parts for p in beside):
            continue
        filled = [(any(row[p].strip() for p in members), [row[p] for p in beside if row[p].strip()],
                   [plan.texts[p] for p in beside if row[p].strip()]) for row in rows]
        instead = [n for n, (here, said, _) in enumerate(filled, start=1) if said and not here]
        if instead and all(not (here and said) and list(map(fold, said)) == list(map(fold, choices))
                           for here, said, choices in filled):
            raise Refusal(
                f"{source}: the columns under '{_short(other)}' look like further choices of"
                f" '{_short(question)}' (first: row {instead[0]} has its answer there); correct the heading,"
                " or export the survey condensed"
            )


def _columns(
    names: list[str], texts: list[str], ids: list[str], book: Codebook | None,
    labels: list[dict] | None, missing: list[dict] | None, source: str,
) -> list[Column]:
    columns, found = [], 0
    for position, name in enumerate(names):
        text = texts[position]
        label = dict(labels[position]) if labels else {}
        reasons = dict(missing[position]) if missing else {}
        entry = book.entry(name, text, ids[position]) if book else None
        if entry is not None:
            found += 1
            label, reasons = label | entry.labels, reasons | entry.missing
            text = entry.text if entry.row_text else text or entry.text
        columns.append(Column(name, text, label, reasons))
    if book and not found:
        raise Refusal(f"the codebook names none of the {len(names)} columns of {source} (the first is "
                      f"'{_short(names[0])}'); give the codebook of this survey")
    return columns


def _warn_undated(rows: list[list[str]], plan: Layout, names: list[str], warnings: list[str]) -> None:
    """LimeSurvey writes 1980-01-01 where a survey was run without date stamps."""
    position = plan.known.get("completed")
    if position is None:
        return
    count = sum(row[position].startswith("1980-01-01") for row in rows)
    if count:
        warnings.append(f"{count} responses have 1980-01-01 in '{names[position]}': LimeSurvey writes it "
                        "where date stamps were off; it is no date")


def _cells(source: str, numbers: list[int], names: list[str], rows: list[list[str]]) -> pd.DataFrame:
    """CELLS, row by row in column order."""
    count, width = len(rows), len(names)
    return shaped({
        "source": repeated(source, count * width),
        "row": np.repeat(np.asarray(numbers, dtype="int64"), width),
        "column": np.tile(np.asarray(names, dtype=object), count),
        # not by assigning lists: numpy would make fixed-width text of them, and new strings of that
        "value": np.fromiter(itertools.chain.from_iterable(rows), dtype=object, count=count * width),
    }, CELLS)


def is_unnamed(name: str) -> bool:
    """Whether a column had no name in the export."""
    return re.fullmatch(r"\(unnamed \d+\)(?: \(\d+\))?", name) is not None


def repeated(text: str, count: int) -> np.ndarray:
    """One text many times over, as one string (`numpy.full` makes as many strings)."""
    return np.repeat(np.array([text], dtype=object), count)


def shaped(columns: dict[str, np.ndarray], shape: Shape) -> pd.DataFrame:
    """A table of the shape from arrays that fit it; each array is let go when its column is made."""
    types = {"string": "str", "integer": "Int64", "number": "float64"}
    return pd.DataFrame(
        {c: pd.Series(columns.pop(c), dtype=types[kind]) for c, kind in shape.columns.items()}, copy=False
    )


# --------------------------------------------------------------------------------------- codebook file


def _codebook(path: Path, size_limit: int) -> Codebook:
    """A codebook from a .qsf, CSV or XLSX file."""
    data = _bytes(path, size_limit)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and not data.startswith(b"{\\rtf"):
        return exports.qsf_codebook(_decode(data, path.name)[0], path.name)
    kind = _kind(data, path.name)
    if kind == "spss":
        raise Refusal(f"codebook {path.name} is SPSS data; an SPSS export carries its own labels: name the "
                      ".sav file as the export")
    grid = _sheet(data, path.name, "") if kind == "xlsx" else _text(data, path.name, "")
    return exports.table_codebook(grid.rows, path.name)
