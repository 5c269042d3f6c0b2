"""Workbooks (.xlsx) as text: one sheet's cells as stored, within size limits, nothing evaluated.

Text is as it stands; whole numbers have no ".0", others are Python's shortest exact form; TRUE and
FALSE; dates, times and durations by the cell's number format in ISO form; a formula is kept as
"=..." whatever result is stored with it; an error is its name ("#N/A"). Members are read in memory,
sizes are checked before and while they are unpacked, and no part may declare a document type.
"""

from __future__ import annotations

import datetime as dt
import io
import itertools
import math
import re
import xml.sax.handler
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError
from xml.sax import SAXException

import defusedxml.ElementTree
import defusedxml.expatreader
from defusedxml.common import DefusedXmlException
from openpyxl.formula.tokenizer import TokenizerError
from openpyxl.formula.translate import Translator, TranslatorError
from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_datetime, is_timedelta_format

from .frames import Refusal
from .matching import fold

MEMBER_LIMIT = 200_000_000  # bytes of one unpacked member
RATIO_LIMIT = 200  # unpacked : packed; sheets reach 10 to 60, zip bombs 1000 and more
RATIO_FROM = 1_000_000  # bytes from which the ratio counts; small members of equal cells reach any ratio
MEMBERS_LIMIT = 10_000  # members of one workbook
CELL_LIMIT = 20_000_000  # cells of one export, so that memory stays within a few GB
SHEET_CELL_LIMIT = 10_000_000  # cells of a sheet, empty ones too; about a minute to read
MOSTLY_EMPTY_FROM = 1_000_000  # cells from which at least one in fifty must hold something
STRINGS_LIMIT = 5_000_000  # shared strings
MERGED_LIMIT = 10_000  # merged ranges of a sheet
ROWS, COLUMNS = 1_048_576, 16_384  # size of a sheet
FIELD_LIMIT = 131_072  # characters of one cell; four times what a spreadsheet can hold
_PEEK = 20  # rows that show whether a sheet holds a table
_GAP = 1000  # empty rows in a stretch, beyond which the next cell is a stray one
_CHUNK = 1 << 16

_XML_FAULTS = (SAXException, ParseError, DefusedXmlException, UnicodeError, LookupError, ValueError)
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError,
               ValueError, OverflowError)


class _Archive:
    """Members of a workbook, read in memory within the limits."""

    def __init__(self, data: bytes, name: str):
        self.name = name
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _ZIP_FAULTS as error:
            raise Refusal(f"{name} is a damaged archive ({error}); export it again") from error
        members = self._zip.infolist()
        if len(members) > MEMBERS_LIMIT:
            raise Refusal(f"{name} holds {len(members):,} members (at most {MEMBERS_LIMIT:,}); it is not an "
                          "ordinary workbook: export it again")
        repeated = [n for n, times in Counter(m.filename for m in members).items() if times > 1]
        if repeated:
            raise Refusal(f"{name} holds {len(repeated)} members twice, the first '{repeated[0]}'; it was "
                          "tampered with or damaged: export it again")
        self.names = {m.filename: m for m in members}
        for member in members:
            self._check(member.filename, member.file_size, member.compress_size)

    def _check(self, member: str, size: int, packed: int) -> None:
        if size > MEMBER_LIMIT or (size > RATIO_FROM and size > RATIO_LIMIT * max(packed, 1)):
            raise Refusal(
                f"{self.name}: member '{member}' unpacks from {packed:,} to {size:,} bytes or more (at most "
                f"{MEMBER_LIMIT:,}, and "
                f"{RATIO_LIMIT} to 1); it is a zip bomb or mostly formatting: copy the table into a new "
                "workbook"
            )

    def chunks(self, member: str):
        """The unpacked member in pieces; sizes are checked again as they come, for headers can lie."""
        info = self.names[member]
        if info.flag_bits & 1:
            raise Refusal(f"{self.name} is protected by a password; remove the password and save it again")
        size = 0
        try:
            with self._zip.open(info) as handle:
                while piece := handle.read(_CHUNK):
                    size += len(piece)
                    self._check(member, size, info.compress_size)
                    yield piece
        except Refusal:
            raise
        except _ZIP_FAULTS as error:
            raise Refusal(f"{self.name}: member '{member}' is damaged ({error}); export it again") from error

    def tree(self, member: str) -> Element:
        """A small XML part, without document type or entities."""
        data = b"".join(self.chunks(member))
        try:
            return defusedxml.ElementTree.fromstring(data, forbid_dtd=True)
        except _XML_FAULTS as error:
            raise _bad_xml(self.name, member, error) from error

    def parse(self, member: str, handler: xml.sax.handler.ContentHandler) -> None:
        """Stream an XML part through a handler that may stop early."""
        parser = defusedxml.expatreader.create_parser(forbid_dtd=True)
        parser.setContentHandler(handler)
        try:
            for piece in self.chunks(member):
                parser.feed(piece)
                if getattr(handler, "stopped", False):
                    return
            parser.close()
        except Refusal:
            raise
        except _XML_FAULTS as error:
            raise _bad_xml(self.name, member, error) from error


def _bad_xml(name: str, member: str, error: Exception) -> Refusal:
    if isinstance(error, DefusedXmlException):
        return Refusal(f"{name}: member '{member}' declares a document type or entities, which no "
                       "spreadsheet does; do not use the file: export it again")
    return Refusal(f"{name}: member '{member}' is damaged ({type(error).__name__}: {error}); open it in a "
                   "spreadsheet and save it again, or export CSV")


def _local(tag: str) -> str:
    return tag.rpartition("}")[2].rpartition(":")[2]


@dataclass(frozen=True)
class _Book:
    """What all sheets of a workbook share."""

    sheets: list[tuple[str, str, bool]]  # title, member, hidden
    strings: list[str]
    dates: list[str]  # per cell style: '' or date, time, datetime, duration
    base_1904: bool


@dataclass(frozen=True)
class SheetTable:
    """The table of one sheet: `rows` begin at sheet row `first`.

    `merged` holds (first row, last row, first column, last column, reference) per merged range; rows
    count in the sheet, columns in the table.
    """

    rows: list[list[str]]
    first: int
    merged: list[tuple[int, int, int, int, str]]
    warnings: list[str]


def read_workbook(data: bytes, name: str, sheet: str = "") -> SheetTable:
    """The table of the sheet asked for, or of the only visible one that holds a table.

    Raises
    ------
    Refusal
        When the file is no ordinary workbook, is damaged or unsafe, or two sheets hold a table.
    """
    archive = _Archive(data, name)
    book = _book(archive)
    warnings = []
    hidden = [title for title, _, is_hidden in book.sheets if is_hidden]
    if hidden:
        warnings.append(f"{name} has {len(hidden)} hidden sheet{'s' * (len(hidden) > 1)} "
                        f"({', '.join(hidden[:3])}); not read unless named with sheet")
    if sheet:
        chosen = next((s for s in book.sheets if s[0] == sheet), None)
        chosen = chosen or next((s for s in book.sheets if fold(s[0]) == fold(sheet)), None)
        if chosen is None:
            raise Refusal(f"{name} has no sheet '{sheet}'; it has "
                          f"{', '.join(repr(s[0]) for s in book.sheets)}")
    else:
        chosen = _only_table(archive, book, name)
    handler = _Sheet(book, name)
    archive.parse(chosen[1], handler)
    rows, first = handler.table()
    if handler.hidden_rows:
        warnings.append(f"sheet '{chosen[0]}' has {len(handler.hidden_rows)} hidden rows (the first is row "
                        f"{handler.hidden_rows[0]}); they were read")
    if handler.hidden_columns:
        warnings.append(f"sheet '{chosen[0]}' has {len(handler.hidden_columns)} hidden columns (the first is "
                        f"{_letters(min(handler.hidden_columns))}); they were read")
    return SheetTable(rows, first, handler.merged, warnings)


def _only_table(archive: _Archive, book: _Book, name: str) -> tuple[str, str, bool]:
    """The visible sheet that holds a table: a row of at least two cells, and another row."""
    tables, lists = [], []
    for entry in book.sheets:
        if entry[2]:
            continue
        peek = _Sheet(book, name, stop_after=_PEEK)
        archive.parse(entry[1], peek)
        filled = [row for row in peek.table()[0] if any(cell.strip() for cell in row)]
        if len(filled) > 1 and max(sum(bool(c.strip()) for c in row) for row in filled) > 1:
            tables.append(entry)
        elif filled:
            lists.append(entry)
    found = tables or lists
    if not found:
        raise Refusal(f'{name} has no visible sheet with cells in it; if the table is hidden, name it with '
                      f'sheet = "{book.sheets[0][0]}"')
    if len(found) > 1:
        raise Refusal(
            f"{name} has {len(found)} sheets that hold a table ({', '.join(repr(s[0]) for s in found[:5])}); "
            f'say which with sheet = "{found[0][0]}" in the cohort file'
        )
    return found[0]


def _book(archive: _Archive) -> _Book:
    names = archive.names
    if "xl/workbook.bin" in names:
        raise Refusal(f"{archive.name} is a binary workbook (.xlsb); save it as .xlsx")
    if "xl/workbook.xml" not in names:
        kind = "an archive, not a workbook"
        if "mimetype" in names:
            kind = "an OpenDocument file (.ods)"
        elif "word/document.xml" in names:
            kind = "a Word document"
        raise Refusal(f"{archive.name} is {kind}; save the table as .xlsx or CSV (an archive: unpack it "
                      "first)")
    root = archive.tree("xl/workbook.xml")
    targets = {}
    if "xl/_rels/workbook.xml.rels" in names:
        for relation in archive.tree("xl/_rels/workbook.xml.rels"):
            if relation.get("Type", "").endswith("/worksheet") and relation.get("TargetMode") != "External":
                target = relation.get("Target", "")
                inside = target.lstrip("/") if target.startswith("/") else f"xl/{target.removeprefix('./')}"
                targets[relation.get("Id")] = inside
    sheets, base_1904 = [], False
    for element in root.iter():
        if _local(element.tag) == "sheet":
            relation = next((v for k, v in element.attrib.items() if _local(k) == "id" and k != "sheetId"),
                            None)
            member = targets.get(relation)
            if member in names:
                sheets.append((element.get("name", ""), member, element.get("state", "visible") != "visible"))
        elif _local(element.tag) == "workbookPr":
            base_1904 = element.get("date1904", "0") in ("1", "true")
    if not sheets:
        raise Refusal(f"{archive.name} has no worksheet in it; export it again or save the table as CSV")
    shared = _Strings(archive.name)
    if "xl/sharedStrings.xml" in names:
        archive.parse("xl/sharedStrings.xml", shared)
    dates = _date_styles(archive.tree("xl/styles.xml")) if "xl/styles.xml" in names else []
    return _Book(sheets, shared.strings, dates, base_1904)


def _date_styles(root: Element) -> list[str]:
    """Per cell style, whether its number format shows a date, a time, both or a duration."""
    codes = dict(BUILTIN_FORMATS)
    styles = []
    for element in root:
        if _local(element.tag) == "numFmts":
            codes |= {int(f.get("numFmtId", "-1")): f.get("formatCode", "") for f in element
                      if f.get("numFmtId", "").isdecimal()}
    for element in root:
        if _local(element.tag) == "cellXfs":
            for style in element:
                code = codes.get(int(style.get("numFmtId", "0")) if style.get("numFmtId", "0").isdecimal()
                                 else 0, "General") or "General"
                styles.append("duration" if is_timedelta_format(code) else (is_datetime(code) or "")
                              if is_date_format(code) else "")
    return styles


_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")


def _unescape(text: str) -> str:
    """Characters that a workbook writes as _xHHHH_ (a line end inside a cell is often _x000D_)."""
    if "_x" not in text:
        return text

    def character(match):
        code = int(match.group(1), 16)
        return match.group(0) if code == 0 or 0xD800 <= code <= 0xDFFF else chr(code)

    return _ESCAPED.sub(character, text)


class _Strings(xml.sax.handler.ContentHandler):
    """The shared strings; runs of formatted text are joined, phonetic notes left out."""

    def __init__(self, source: str):
        super().__init__()
        self.source = source
        self.strings: list[str] = []
        self._parts: list[str] = []
        self._inside = False
        self._phonetic = 0

    def startElement(self, name, attrs):
        tag = name.rpartition(":")[2]
        if tag == "si":
            self._parts = []
        elif tag == "rPh":
            self._phonetic += 1
        self._inside = tag == "t" and not self._phonetic

    def characters(self, content):
        if self._inside:
            self._parts.append(content)

    def endElement(self, name):
        tag = name.rpartition(":")[2]
        self._inside = False
        if tag == "rPh":
            self._phonetic -= 1
        elif tag == "si":
            self.strings.append(_unescape("".join(self._parts)))
            if len(self.strings) > STRINGS_LIMIT:
                raise Refusal(f"{self.source} has more than {STRINGS_LIMIT:,} shared strings; export one "
                              "cohort at a time")


_REFERENCE = re.compile(r"([A-Z]{1,3})(\d+)\Z")


class _Sheet(xml.sax.handler.ContentHandler):
    """The cells of one sheet as text, with what is hidden or merged."""

    def __init__(self, book: _Book, source: str, stop_after: int = 0):
        super().__init__()
        self.book, self.source, self.stop_after, self.stopped = book, source, stop_after, False
        self.rows: dict[int, dict[int, str]] = {}
        self.hidden_rows: list[int] = []
        self.hidden_columns: set[int] = set()
        self.merged: list[tuple[int, int, int, int, str]] = []
        self._row = self._column = self._cells = self._seen = self._phonetic = 0
        self._attrs = None
        self._collect: list[str] | None = None
        self._value = self._inline = ""
        self._formula: str | None = None
        self._shared: dict[str, tuple[str, str]] = {}
        self._formula_attrs: dict[str, str] = {}

    def startElement(self, name, attrs):
        tag = name.rpartition(":")[2]
        if tag == "c":
            self._start_cell(attrs)
        elif tag in ("v", "f") or (tag == "t" and not self._phonetic):
            self._collect = []
            if tag == "f":
                self._formula_attrs = dict(attrs)
        elif tag == "row":
            self._start_row(attrs)
        elif tag == "rPh":
            self._phonetic += 1
        elif tag == "col" and attrs.get("hidden") in ("1", "true"):
            self._hide(int(attrs.get("min", "1")), int(attrs.get("max", "1")))
        elif tag == "mergeCell":
            self._merge(attrs.get("ref", ""))

    def characters(self, content):
        if self._collect is not None:
            self._collect.append(content)

    def endElement(self, name):
        tag = name.rpartition(":")[2]
        if tag == "v":
            self._value = "".join(self._collect or [])
        elif tag == "f":
            self._formula = "".join(self._collect or [])
        elif tag == "t" and not self._phonetic:
            self._inline += "".join(self._collect or [])
        elif tag == "rPh":
            self._phonetic -= 1
        elif tag == "c":
            self._end_cell()
        if tag in ("v", "f", "t"):
            self._collect = None

    def _hide(self, low: int, high: int) -> None:
        if len(self.hidden_columns) < COLUMNS:
            self.hidden_columns |= set(range(max(low, 1), min(high, COLUMNS) + 1))

    def _start_row(self, attrs):
        number = int(attrs.get("r", self._row + 1))
        if number > ROWS:
            raise Refusal(f"{self.source}: a sheet has a row {number}, beyond the last possible; export it "
                          "again")
        if number <= self._row:
            raise Refusal(f"{self.source}: row {number} of a sheet comes after row {self._row}; open it in a "
                          "spreadsheet and save it again")
        self._row, self._column = number, 0
        if attrs.get("hidden") in ("1", "true"):
            self.hidden_rows.append(number)
        self.stopped = bool(self.stop_after) and len(self.rows) >= self.stop_after

    def _start_cell(self, attrs):
        reference = _REFERENCE.match(attrs.get("r", ""))
        self._column = _number(reference.group(1)) if reference else self._column + 1
        if reference and int(reference.group(2)) != self._row:
            raise Refusal(f"{self.source}: cell {attrs['r']} stands in row {self._row}; open it in a "
                          "spreadsheet and save it again")
        self._attrs, self._value, self._inline, self._formula = attrs, "", "", None
        self._seen += 1
        if self._seen > MOSTLY_EMPTY_FROM and self._cells < self._seen / 50:
            raise Refusal(
                f"{self.source} has a sheet of more than {MOSTLY_EMPTY_FROM:,} cells of which {self._cells:,}"
                " hold something; copy the table into a new workbook"
            )
        if self._seen > SHEET_CELL_LIMIT:
            raise Refusal(f"{self.source} has a sheet of more than {SHEET_CELL_LIMIT:,} cells; export CSV, "
                          "or one "
                          "cohort at a time")

    def _end_cell(self):
        value = self._content()
        if value == "":
            return
        row = self.rows.setdefault(self._row, {})
        if self._column in row:
            raise Refusal(f"{self.source}: cell {_letters(self._column)}{self._row} occurs twice; open it in "
                          "a spreadsheet and save it again")
        if len(value) > FIELD_LIMIT:
            raise Refusal(f"{self.source}: cell {_letters(self._column)}{self._row} has {len(value):,} "
                          f"characters (at most {FIELD_LIMIT:,}); export it again")
        row[self._column] = value
        self._cells += 1

    def _content(self) -> str:
        kind, value = self._attrs.get("t", "n"), self._value
        if self._formula is not None:
            return self._formula_text()
        if kind == "s":
            return self._shared_string(value)
        if kind == "inlineStr":
            return _unescape(self._inline)
        if kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(value, value)
        if kind in ("str", "e", "d"):
            return _unescape(value)
        style = int(self._attrs.get("s", "0"))
        shown = self.book.dates[style] if 0 <= style < len(self.book.dates) else ""
        return number_text(value, shown, self.book.base_1904)

    def _shared_string(self, index: str) -> str:
        if not index:
            return ""
        if not index.isdecimal() or int(index) >= len(self.book.strings):
            raise Refusal(f"{self.source}: cell {_letters(self._column)}{self._row} points to shared text "
                          f"{index[:20]}, which is not there; the file is damaged: export it again")
        return self.book.strings[int(index)]

    def _formula_text(self) -> str:
        """The formula itself; a shared one is shifted to its cell. The stored result is not the answer."""
        here = f"{_letters(self._column)}{self._row}"
        index = self._formula_attrs.get("si", "") if self._formula_attrs.get("t") == "shared" else ""
        if index and self._formula:
            self._shared[index] = (self._formula, here)
        elif index and index in self._shared:
            formula, origin = self._shared[index]
            try:
                return Translator(f"={formula}", origin=origin).translate_formula(here)
            except (TokenizerError, TranslatorError, ValueError, IndexError):
                return f"={formula}"
        return f"={self._formula or '(formula without text)'}"

    def _merge(self, reference: str) -> None:
        if len(self.merged) >= MERGED_LIMIT:
            raise Refusal(f"{self.source} has more than {MERGED_LIMIT:,} merged cells; unmerge them and save "
                          "it again")
        match = re.fullmatch(r"([A-Z]{1,3})(\d+):([A-Z]{1,3})(\d+)", reference)
        if match:
            self.merged.append((int(match.group(2)), int(match.group(4)), _number(match.group(1)),
                                _number(match.group(3)), reference))

    def table(self) -> tuple[list[list[str]], int]:
        """Rows from the first to the last with content, all as wide as the widest; and the first's number."""
        if not self.rows:
            return [], 1
        low, high = min(map(min, self.rows.values())), max(map(max, self.rows.values()))
        first, last = min(self.rows), max(self.rows)
        gap = max((b - a for a, b in itertools.pairwise(sorted(self.rows))), default=1)
        area = (last - first + 1) * (high - low + 1)
        if gap > _GAP or area > CELL_LIMIT or (area > 1_000_000 and self._cells < area / 50):
            raise Refusal(
                f"{self.source}: a sheet reaches as far as {_letters(high)}{last} but only {self._cells:,} "
                f"of its {area:,} cells are "
                "filled; delete stray cells far from the table and save it again"
            )
        self.merged = [(a, b, c - low + 1, d - low + 1, ref) for a, b, c, d, ref in self.merged]
        columns = range(low, high + 1)
        return [[row.get(c, "") for c in columns] for row in (self.rows.get(r, {})
                                                              for r in range(first, last + 1))], first


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def _letters(number: int) -> str:
    text = ""
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(65 + rest) + text
    return text


def number_text(value: str, shown: str = "", base_1904: bool = False) -> str:
    """A number as a workbook stores it, written as text: whole numbers bare, dates in ISO form.

    Parameters
    ----------
    value
        The stored text.
    shown
        '' for a number, or date, time, datetime, duration, as the cell's format shows it.
    base_1904
        Whether days count from 1904-01-01, as old Macintosh workbooks do.

    Examples
    --------
    >>> number_text("5.0"), number_text("0.1"), number_text("45000", "date"), number_text("45000.5", "date")
    ('5', '0.1', '2023-03-15', '2023-03-15 12:00:00')
    """
    try:
        number = float(value)
    except ValueError:
        return value
    if shown:
        return _moment(number, shown, base_1904) or plain_number(number, value)
    return plain_number(number, value)


def plain_number(number: float, value: str) -> str:
    """A number as text: whole without a fraction, else the shortest exact form, or `value` if safer."""
    if not math.isfinite(number) or (re.fullmatch(r"-?\d{16,}", value)):
        return value
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _moment(number: float, shown: str, base_1904: bool) -> str:
    """Date, time or duration of a day count, to the millisecond; '' where it is none."""
    if not math.isfinite(number) or number < 0 or number >= 2_958_466:
        return ""
    if shown == "duration":
        return duration_text(number * 86_400)
    days, rest = divmod(round(number * 86_400_000), 86_400_000)
    clock = duration_text(rest / 1000)
    if shown == "time" and days == 0:
        return clock
    if base_1904:
        start = dt.date(1904, 1, 1)
    elif days >= 61:
        start = dt.date(1899, 12, 30)
    elif 1 <= days < 60:
        start = dt.date(1899, 12, 31)
    else:
        return ""  # day 0 and day 60 (29 February 1900) are no dates
    try:
        date = (start + dt.timedelta(days=days)).isoformat()
    except OverflowError:
        return ""
    return date if shown == "date" and not rest else f"{date} {clock}"


def duration_text(seconds: float) -> str:
    """Seconds as hours:minutes:seconds, with milliseconds where there are any.

    Examples
    --------
    >>> duration_text(93784.5), duration_text(0)
    ('26:03:04.500', '00:00:00')
    """
    whole, part = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}" + (f".{part:03d}" if part else "")
