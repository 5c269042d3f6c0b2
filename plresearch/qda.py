"""Coded interviews as qualitative software exchanges them: REFI-QDA projects (.qdpx) and codebooks (.qdc).

NVivo, ATLAS.ti, MAXQDA and QualCoder write these files. A project becomes the plain table that a programme
may also keep by hand: interview, person, segment, start, end, coder, theme, quotation, one row per coding.
Members of the archive are read in memory, within limits, and nothing is extracted; no part may declare a
document type. Positions are counted in Unicode characters from 0, `end` is the place after the last one.

    python -m plresearch.qda codebook themes.qdc      write the study's codebook for the coding software
    python -m plresearch.qda cohort-1 project.qdpx    write a cohort's cleaned codings as a project

References
----------
REFI-QDA Standard 1.5 (2019), Rotterdam Exchange Format Initiative: schemas Project and Codebook 1.0.
"""

from __future__ import annotations

import io
import re
import sys
import uuid
import zipfile
import zlib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import defusedxml.ElementTree
import pandas as pd
from defusedxml.common import DefusedXmlException

from .exports import Column
from .frames import CELLS, QUARANTINE, QUOTATIONS, Refusal, from_csv, make, write_bytes
from .matching import fold, nearest
from .read import Export
from .study import Theme, load

INTERVIEW_COLUMNS = ("interview", "person", "segment", "start", "end", "coder", "theme", "quotation")

PROJECT = "urn:QDA-XML:project:1.0"
CODEBOOK = "urn:QDA-XML:codebook:1.0"
ORIGIN = "plresearch"
NAMESPACE = uuid.UUID("5d0a1c52-2a5e-5c0e-9d1b-0f6d3f1f6c7e")  # of every GUID written here

ARCHIVE_LIMIT = 4_000_000_000  # bytes; recordings may be inside, and stay packed
XML_LIMIT = 200_000_000  # bytes of the project's or codebook's XML; a hundred times a programme's
TEXT_LIMIT = 20_000_000  # bytes of one transcript
RATIO_LIMIT = 200  # unpacked : packed; text reaches 3 to 20, zip bombs 1000 and more
RATIO_FROM = 1_000_000  # bytes from which the ratio counts
MEMBERS_LIMIT = 10_000
DEPTH_LIMIT = 100  # codes inside codes
TELLING = 12  # characters from which a stored text can be told from a title
_EPOCH = (1980, 1, 1, 0, 0, 0)
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, OverflowError)
_HOLDERS = ("TextSource", "Representation", "TextDescription", "Transcript")
_NOT_TEXT = ("PictureSelection", "PDFSelection", "AudioSelection", "VideoSelection")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")  # not allowed in XML 1.0


@dataclass(frozen=True)
class Code:
    """One code of an exported codebook; `path` names its ancestors and itself, outermost first."""

    guid: str
    name: str
    description: str
    path: tuple[str, ...]


def theme_guid(theme: str) -> str:
    """The GUID under which a theme is exported; the same for every export.

    Examples
    --------
    >>> theme_guid("shared_purpose") == theme_guid("shared_purpose") != theme_guid("time_pressure")
    True
    """
    return _guid("theme", theme)


def _guid(*parts: str) -> str:
    return str(uuid.uuid5(NAMESPACE, "\x1f".join(parts)))


# ------------------------------------------------------------------------------------------ codebooks

def read_qdc(path: str | Path, themes: Mapping[str, Theme]) -> pd.DataFrame:
    """A codebook beside ours: one row per code, with the theme it means.

    Parameters
    ----------
    path
        A .qdc file.
    themes
        The study's themes. A code means a theme by its GUID, where we exported it, or by its name
        (id or label, after folding case, spaces and quotes).

    Returns
    -------
    Columns guid, name, description, parent (the enclosing code's name), theme (id, or empty) and
    suggestion (the nearest themes of a code that means none).

    Raises
    ------
    Refusal
        When the file is too large, is no codebook, or declares a document type.
    """
    path = Path(path)
    root = _root(_whole(path, XML_LIMIT), path.name, path.name, "CodeBook")
    codes = _codes(root, path.name)
    meaning = _meanings(codes, themes)
    return pd.DataFrame(
        [{"guid": c.guid, "name": c.name, "description": c.description, "parent": c.path[-2] if len(c.path) > 1 else "",
          "theme": meaning[c.guid] if meaning[c.guid] in themes else "",
          "suggestion": "" if meaning[c.guid] in themes else ", ".join(nearest(c.name, _names(themes)))} for c in codes],
        columns=["guid", "name", "description", "parent", "theme", "suggestion"], dtype="str",
    )


def write_qdc(themes: Mapping[str, Theme]) -> bytes:
    """The study's codebook as a .qdc file, children inside their parents; the same bytes every time.

    Raises
    ------
    Refusal
        When there is no theme, a parent is unknown or themes are their own ancestors.

    Examples
    --------
    >>> book = write_qdc({"t": Theme("t", "Trust", "Trusts the other side.")})
    >>> b'name="Trust"' in book and b"<Description>Trusts the other side.</Description>" in book
    True
    """
    root = Element(f"{{{CODEBOOK}}}CodeBook", {"origin": ORIGIN})
    _write_codes(SubElement(root, f"{{{CODEBOOK}}}Codes"), themes, CODEBOOK)
    return _xml(root, CODEBOOK)


def _write_codes(parent: Element, themes: Mapping[str, Theme], space: str) -> None:
    if not themes:
        raise Refusal("the study has no theme to export; declare them in study/codebook.toml")
    children: dict[str, list[Theme]] = defaultdict(list)
    for theme in themes.values():
        if theme.parent and theme.parent not in themes:
            raise Refusal(f"theme '{theme.id}' has the unknown parent '{theme.parent}'; correct study/codebook.toml")
        children[theme.parent].append(theme)
    waiting, written = [(parent, t) for t in children[""]], 0
    while waiting:
        above, theme = waiting.pop(0)
        written += 1
        code = SubElement(above, f"{{{space}}}Code", {
            "guid": theme_guid(theme.id), "name": _legal(theme.label, f"the label of theme '{theme.id}'"), "isCodable": "true",
        })
        if theme.definition:
            SubElement(code, f"{{{space}}}Description").text = _legal(theme.definition, f"the definition of theme '{theme.id}'")
        waiting += [(code, child) for child in children[theme.id]]
    if written < len(themes):
        raise Refusal(f"{len(themes) - written} themes are their own ancestors; correct `parent` in study/codebook.toml")


def _codes(root: Element, name: str) -> list[Code]:
    """Every code, parents first; GUIDs must be there and differ."""
    found: list[Code] = []
    holder = next((e for e in root if _local(e.tag) == "Codes"), None)
    waiting = [(e, ()) for e in _children(holder, "Code")] if holder is not None else []
    while waiting:
        element, above = waiting.pop(0)
        path = (*above, " ".join(element.get("name", "").split()))
        if len(path) > DEPTH_LIMIT:
            raise Refusal(f"{name}: codes are nested more than {DEPTH_LIMIT} deep; it was tampered with or damaged")
        guid = _plain_guid(element.get("guid", ""))
        if not guid:
            raise Refusal(f"{name}: the code '{path[-1]}' has no GUID; export it again")
        described = next(_children(element, "Description"), None)
        found.append(Code(guid, path[-1], (described.text or "").strip() if described is not None else "", path))
        waiting += [(e, path) for e in _children(element, "Code")]
    repeated = [g for g, n in Counter(c.guid for c in found).items() if n > 1]
    if repeated:
        raise Refusal(f"{name}: {len(repeated)} codes have the GUID of another (first: {repeated[0]}); export it again")
    return found


def _names(themes: Mapping[str, Theme]) -> list[str]:
    return [name for t in themes.values() for name in (t.id, t.label)]


def _meanings(codes: Iterable[Code], themes: Mapping[str, Theme]) -> dict[str, str]:
    """GUID of a code -> the theme's id, or the words by which the code can be recognised.

    A name that several codes share names no theme by itself; such a code is called by its path.
    """
    codes = list(codes)
    ours = {theme_guid(t): t for t in themes}
    known = {fold(name): t.id for t in themes.values() for name in (t.id, t.label)}
    shared = {n for n, times in Counter(fold(c.name) for c in codes).items() if times > 1}
    return {
        c.guid: ours.get(c.guid) or (" / ".join(c.path) if fold(c.name) in shared else known.get(fold(c.name), c.name))
        for c in codes
    }


# ------------------------------------------------------------------------------------------- projects

@dataclass(frozen=True)
class _Text:
    """A transcript, or why it cannot be read."""

    text: str = ""
    problem: str = ""


def read_qdpx(path: str | Path, themes: Mapping[str, Theme]) -> Export:
    """A REFI-QDA project as the plain table of codings.

    One row per coding of a passage; a passage without a coding is a row without theme (its coder read it
    and applied none). The interview is the source's name, the person the one case that refers to the
    source, the coder the user of the coding (else of its passage). Segments are named only in projects
    written here; elsewhere the extents stand for them, see `interviews.units`.

    Tools store the coded words, or their beginning, as a passage's name or description. Where such a text
    occurs in the transcript, the positions must point at it. When none of a transcript's stored texts fit
    because the tool counted otherwise (line breaks as one character, the byte order mark, UTF-16 units)
    and all fit when counted so, the positions are read so, with a warning.

    Parameters
    ----------
    path
        A .qdpx file.
    themes
        The study's themes; see `read_qdc`. Unknown codes keep their name, and `check_interviews` sets
        their rows aside.

    Returns
    -------
    Export
        Its `set_aside` has the codings that cannot become a row: of pictures, recordings or whole
        sources, with positions outside the transcript, with a quotation elsewhere, with a lost code.

    Raises
    ------
    Refusal
        When the archive is damaged, encrypted, too large, has unsafe names or no project; when no coding
        can be used.
    """
    path = Path(path)
    with _Archive(path) as archive:
        member = archive.project()
        root = _root(archive.bytes(member, XML_LIMIT), path.name, member, "Project")
        book = next(_children(root, "CodeBook"), None)
        codes = _codes(book, path.name) if book is not None else []
        rows, set_aside, warnings = _Reader(root, archive, _meanings(codes, themes), path.name).codings()
    if not rows and not set_aside:
        raise Refusal(f"{path.name} holds no coded passage; export the project with its codings")
    if not rows:
        raise Refusal(f"{path.name}: none of its {len(set_aside)} codings can be used (first: {set_aside[0]['reason']})")
    cells = [{"source": path.name, "row": number, "column": column, "value": value}
             for number, row in rows for column, value in row.items()]
    return Export(
        source=path.name, format="qdpx", encoding="utf-8", cells=make(cells, CELLS),
        columns=tuple(Column(c, c, {}, {}) for c in INTERVIEW_COLUMNS), rows=len(rows) + len(set_aside),
        set_aside=make(set_aside, QUARANTINE), warnings=tuple(warnings), known={}, administrative={},
    )


@dataclass(frozen=True)
class _Passage:
    """A passage's place in characters and its words."""

    start: int
    end: int
    words: str


Reading = Callable[[int, int], "_Passage | None"]  # positions as a tool counted them -> the passage, if there is one


class _Reader:
    """Walks through the sources of one project; every coding gets the next row number."""

    def __init__(self, root: Element, archive: _Archive, meaning: dict[str, str], name: str):
        self.root, self.archive, self.meaning, self.name = root, archive, meaning, name
        self.ours = root.get("origin") == ORIGIN
        self.users = {_plain_guid(u.get("guid", "")): " ".join((u.get("name") or u.get("id") or "").split())
                      for u in root.iter() if _local(u.tag) == "User"}
        self.sole = next(iter(self.users.values())) if len(self.users) == 1 else ""
        self.cases = _cases(root)
        self.rows: list[tuple[int, dict[str, str]]] = []
        self.set_aside: list[dict] = []
        self.warnings: list[str] = []
        self.number = 0

    def codings(self):
        """Numbered rows, rows set aside and warnings."""
        sources = next(_children(self.root, "Sources"), None)
        for source in list(sources) if sources is not None else []:
            interview = " ".join((source.get("name") or source.get("guid") or "").split())
            people = self.cases.get(_plain_guid(source.get("guid", "")), [])
            if len(people) > 1:
                self.warnings.append(f"{self.name}: source '{interview}' belongs to {len(people)} cases; its person is left open")
            person = people[0] if len(people) == 1 else ""
            for holder in [e for e in source.iter() if _local(e.tag) in _HOLDERS]:
                self._passages(holder, interview, person)
            self._without_text(source, interview)
        return self.rows, self.set_aside, self.warnings

    def _without_text(self, source: Element, interview: str) -> None:
        """Codings of whole sources, pictures and recordings: counted and set aside."""
        for element in source.iter():
            kind = _local(element.tag)
            whole = element is source or kind in _HOLDERS
            if not whole and kind not in _NOT_TEXT:
                continue
            what = "a whole source" if whole else f"a {kind.removesuffix('Selection').lower()}"
            for _ in _children(element, "Coding"):
                self._aside(f"no passage of text: interview {interview} has a coding of {what}",
                            "code the passage in the transcript and export again")

    def _passages(self, holder: Element, interview: str, person: str) -> None:
        selections = [*_children(holder, "PlainTextSelection"), *_children(holder, "TranscriptSelection")]
        if not selections:
            return
        found = self._text(holder)
        places = [_span(s, holder) for s in selections]
        passages = [(p, _stored(s, self.ours)) for p, s in zip(places, selections, strict=True) if p]
        read_at, counted = _reading(found.text, passages)
        if counted:
            self.warnings.append(f"{self.name}: interview '{interview}': positions are read with {counted}, "
                                 "because only so they point at the stored quotations")
        for selection, place in zip(selections, places, strict=True):
            self._selection(selection, place, found, read_at, interview, person)

    def _selection(self, selection, place, found: _Text, read_at: Reading, interview: str, person: str) -> None:
        """The rows of one passage, or why they are set aside."""
        read_here = read_at(*place) if place and not found.problem else None
        reason, suggestion = found.problem, ""
        if not reason and place is None:
            reason = "no positions: the passage does not say where it starts and ends"
        elif not reason and read_here is None:
            reason = (f"outside the text: positions {place[0]} to {place[1]} do not lie in the transcript "
                      f"({len(found.text)} characters)")
        elif not reason:
            reason, suggestion = _mismatch(read_here.words, _stored(selection, self.ours), found.text)
        for coding in list(_children(selection, "Coding")) or [None]:
            theme, lost = self._theme(coding)
            if reason or lost:
                self._aside(f"{reason or lost} (interview {interview})", suggestion)
                continue
            self.number += 1
            coder = self._coder(coding.get("creatingUser", "") if coding is not None else "", selection.get("creatingUser", ""))
            values = (interview, person, " ".join((selection.get("name") or "").split()) if self.ours else "",
                      str(read_here.start), str(read_here.end), coder, theme, read_here.words)
            self.rows.append((self.number, dict(zip(INTERVIEW_COLUMNS, values, strict=True))))

    def _theme(self, coding: Element | None) -> tuple[str, str]:
        """(theme or code name, what is wrong)."""
        if coding is None:
            return "", ""
        reference = next(_children(coding, "CodeRef"), None)
        guid = _plain_guid(reference.get("targetGUID", "")) if reference is not None else ""
        return (self.meaning[guid], "") if guid in self.meaning else ("", f"lost code: no code has the GUID '{guid}'")

    def _coder(self, *guids: str) -> str:
        named = next((self.users[g] for g in map(_plain_guid, guids) if g in self.users), "")
        return named or ("" if any(guids) else self.sole)

    def _text(self, holder: Element) -> _Text:
        content = next(_children(holder, "PlainTextContent"), None)
        if content is not None and content.text:
            return _Text(content.text)
        address = holder.get("plainTextPath", "")
        if not address:
            return _Text(problem="no transcript: the source has no plain text")
        if not address.startswith("internal://"):
            return _Text(problem=f"no transcript: '{address}' lies outside the archive and is not opened; export with sources")
        member = self.archive.find(address.removeprefix("internal://"))
        if not member:
            return _Text(problem=f"no transcript: the archive has no '{address}'")
        return _Text(_decoded(self.archive.bytes(member, TEXT_LIMIT), f"{self.name}: member '{member}'"))

    def _aside(self, reason: str, suggestion: str) -> None:
        self.number += 1
        self.set_aside.append({"source": self.name, "row": self.number, "reason": reason, "suggestion": suggestion})


def _cases(root: Element) -> dict[str, list[str]]:
    """Source GUID -> names of the cases that refer to it."""
    found: dict[str, list[str]] = defaultdict(list)
    for holder in _children(root, "Cases"):
        for case in _children(holder, "Case"):
            for reference in _children(case, "SourceRef"):
                found[_plain_guid(reference.get("targetGUID", ""))].append(" ".join((case.get("name") or "").split()))
    return found


def _span(selection: Element, holder: Element) -> tuple[int, int] | None:
    """Where a passage starts and ends: by its positions, or by the transcript's sync points it names."""
    low, high = selection.get("startPosition"), selection.get("endPosition")
    if low is None and high is None:
        points = {_plain_guid(p.get("guid", "")): p.get("position") for p in _children(holder, "SyncPoint")}
        low, high = (points.get(_plain_guid(selection.get(key, ""))) for key in ("fromSyncPoint", "toSyncPoint"))
    try:
        return int(low), int(high)
    except (TypeError, ValueError):
        return None


def _stored(selection: Element, ours: bool) -> tuple[str, ...]:
    """What the tool stored of the passage's words: its description and, in projects of other tools, its
    name."""
    described = next(_children(selection, "Description"), None)
    texts = [described.text or "" if described is not None else "", "" if ours else selection.get("name", "")]
    return tuple(t for t in (re.sub(r"(\u2026|\.\.\.)\s*\Z", "", _squeezed(t)) for t in texts) if len(t) >= (1 if ours else TELLING))


def _squeezed(text: str) -> str:
    return " ".join(text.replace("\ufeff", "").split())


def _fits(found: _Passage | None, stored: Iterable[str], *, strictly: bool = False) -> bool:
    """Whether a passage begins with its stored texts; spaces before it count only strictly."""
    if found is None:
        return False
    words = re.sub(r"\s+", " ", found.words) if strictly else _squeezed(found.words)
    return all(words.startswith(s) for s in stored)


def _reading(text: str, passages: list[tuple[tuple[int, int], tuple[str, ...]]]) -> tuple[Reading, str]:
    """How positions are to be read, and the words for it where it is not the standard's way."""
    squeezed = _squeezed(text)
    telling = [(place, kept) for place, stored in passages if (kept := tuple(s for s in stored if s in squeezed))]
    bare = text.removeprefix("\ufeff")
    one_break = bare.replace("\r\n", "\n")
    ways = {
        "": _characters(bare), "line breaks counted as one character": _characters(one_break),
        "line breaks counted as two characters": _characters(one_break.replace("\n", "\r\n")),
        "UTF-16 units counted": _utf16(bare),
    }
    if text != bare:
        ways["the byte order mark counted"] = _characters(text)
    for strictly in (True, False):
        for words, read_at in ways.items():
            if telling and all(_fits(read_at(*place), stored, strictly=strictly) for place, stored in telling):
                return read_at, words
    return ways[""], ""


def _characters(text: str) -> Reading:
    return lambda low, high: _Passage(low, high, text[low:high]) if 0 <= low < high <= len(text) else None


def _utf16(text: str) -> Reading:
    """Positions that count a character beyond the basic plane as two."""
    edges = [0]
    for character in text:
        edges.append(edges[-1] + (2 if ord(character) > 0xFFFF else 1))

    def read_at(low: int, high: int) -> _Passage | None:
        if not 0 <= low < high <= edges[-1]:
            return None
        start, end = bisect_left(edges, low), bisect_left(edges, high)
        return _Passage(start, end, text[start:end]) if (edges[start], edges[end]) == (low, high) else None

    return read_at


def _mismatch(words: str, stored: tuple[str, ...], text: str) -> tuple[str, str]:
    """(reason, suggestion) when a stored quotation stands elsewhere in the transcript than the positions
    say."""
    squeezed = _squeezed(text)
    for quotation in stored:
        if not _squeezed(words).startswith(quotation) and quotation in squeezed:
            at = text.find(quotation)
            return ("quotation mismatch: the stored quotation is not what stands at the positions",
                    f"it stands at {at}" if at >= 0 else "")
    return "", ""


# ------------------------------------------------------------------------------------------- writing

def write_qdpx(table: pd.DataFrame, themes: Mapping[str, Theme], *, name: str, texts: Mapping[str, str] | None = None) -> bytes:
    """The plain table as a REFI-QDA project that `read_qdpx` gives back row for row.

    Parameters
    ----------
    table
        The columns of the plain table as text; start and end are needed in every row.
    themes
        The study's themes; they become the project's codebook.
    name
        Name of the project.
    texts
        Transcript of each interview. Without it a transcript is made of the quotations alone, each at its
        place, with spaces between them.

    Raises
    ------
    Refusal
        When a row has no place, a theme is unknown, a quotation does not stand at its place, or two
        quotations claim the same place with different words.
    """
    rows = _writable(table, themes)
    sources = {i: (texts or {}).get(i) or _made_of_quotations(part, i) for i, part in rows.groupby("interview", sort=False)}
    wrong = [r for r in rows.itertuples() if r.quotation and not sources[r.interview][r.start:r.end] == r.quotation]
    if wrong:
        raise Refusal(f"{len(wrong)} quotations do not stand at their place in the transcript (first: interview "
                      f"{wrong[0].interview}, {wrong[0].start} to {wrong[0].end}); correct the positions")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "project.qde", _project_xml(rows, themes, name))
        for interview, text in sources.items():
            _add(archive, f"sources/{_guid('source', interview)}.txt", text.encode("utf-8"))
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, member: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(member, _EPOCH), content, zipfile.ZIP_DEFLATED)


def _writable(table: pd.DataFrame, themes: Mapping[str, Theme]) -> pd.DataFrame:
    """Rows with numbers for places and theme ids, each of them possible."""
    absent = [c for c in INTERVIEW_COLUMNS if c not in table.columns and c not in ("person", "quotation")]
    if absent:
        raise Refusal(f"the table of codings lacks {', '.join(absent)}; its columns are {', '.join(INTERVIEW_COLUMNS)}")
    rows = table.reindex(columns=INTERVIEW_COLUMNS).astype(object).where(lambda t: t.notna(), "").reset_index(drop=True)
    known = {fold(n): t.id for t in themes.values() for n in (t.id, t.label)}
    places = [(_whole_number(r.start), _whole_number(r.end)) for r in rows.itertuples()]
    for number, (row, (low, high)) in enumerate(zip(rows.to_dict("records"), places, strict=True), start=1):
        if low is None or high is None or not 0 <= low < high:
            raise Refusal(f"row {number} has no place (start '{row['start']}', end '{row['end']}'); a project needs the "
                          "positions of every passage")
        if row["theme"] and fold(str(row["theme"])) not in known:
            raise Refusal(f"row {number}: theme '{row['theme']}' is not in study/codebook.toml; add it or correct the row")
    rows["start"], rows["end"] = [low for low, _ in places], [high for _, high in places]
    rows["theme"] = [known[fold(str(t))] if t else "" for t in rows["theme"]]
    return rows


def _whole_number(value: object) -> int | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return int(number) if number == int(number) else None


def _made_of_quotations(part: pd.DataFrame, interview: str) -> str:
    letters = [" "] * int(part["end"].max())
    for row in part[part["quotation"] != ""].drop_duplicates(["start", "end", "quotation"]).itertuples():
        if len(row.quotation) != row.end - row.start:
            raise Refusal(f"interview {interview}: the quotation at {row.start} to {row.end} has {len(row.quotation)} characters; "
                          "correct the positions, or give the transcript")
        here = letters[row.start:row.end]
        if any(old not in (" ", new) for old, new in zip(here, row.quotation, strict=True)):
            raise Refusal(f"interview {interview}: two quotations differ where they overlap ({row.start} to {row.end}); "
                          "correct the positions")
        letters[row.start:row.end] = row.quotation
    return "".join(letters)


def _project_xml(rows: pd.DataFrame, themes: Mapping[str, Theme], name: str) -> bytes:
    def add(parent: Element, tag: str, **attributes: str) -> Element:
        return SubElement(parent, f"{{{PROJECT}}}{tag}", {k: _legal(v, f"{tag} {k}") for k, v in attributes.items() if v != ""})

    root = Element(f"{{{PROJECT}}}Project", {"name": _legal(name, "the project's name"), "origin": ORIGIN})
    coders = [c for c in dict.fromkeys(rows["coder"]) if c]
    if coders:
        users = add(root, "Users")
        for coder in coders:
            add(users, "User", guid=_guid("user", coder), name=coder)
    _write_codes(add(add(root, "CodeBook"), "Codes"), themes, PROJECT)
    spoken = rows[rows["person"] != ""].groupby("person", sort=False)["interview"].unique()
    if len(spoken):
        cases = add(root, "Cases")
        for person, interviews in spoken.items():
            case = add(cases, "Case", guid=_guid("case", person), name=person)
            for interview in interviews:
                add(case, "SourceRef", targetGUID=_guid("source", interview))
    sources = add(root, "Sources")
    for interview, part in rows.groupby("interview", sort=False):
        guid = _guid("source", interview)
        source = add(sources, "TextSource", guid=guid, name=interview, plainTextPath=f"internal://{guid}.txt")
        bare = part["theme"].eq("").rename("bare")  # read and given no theme: a passage without a coding
        for key, passage in part.groupby(["segment", "start", "end", "coder", "quotation", bare], sort=False):
            segment, start, end, coder, quotation, _ = key
            user = _guid("user", coder) if coder else ""
            selection = add(source, "PlainTextSelection", guid=_guid("passage", interview, *map(str, key)), name=segment,
                            startPosition=str(start), endPosition=str(end), creatingUser=user)
            if quotation:
                add(selection, "Description").text = _legal(quotation, "a quotation")
            for turn, theme in enumerate(t for t in passage["theme"] if t):
                coding = add(selection, "Coding", guid=_guid("coding", interview, *map(str, key), theme, str(turn)),
                             creatingUser=user)
                add(coding, "CodeRef", targetGUID=theme_guid(theme))
    return _xml(root, PROJECT)


def _legal(text: object, what: str) -> str:
    found = _ILLEGAL.search(str(text))
    if found:
        raise Refusal(f"{what} holds the character U+{ord(found.group()):04X}, which XML cannot carry; remove it")
    return str(text)


def _xml(root: Element, space: str) -> bytes:
    ElementTree.register_namespace("", space)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


# ------------------------------------------------------------------------------------ safe reading

class _Archive:
    """Members of a project, unpacked in memory one at a time and within the limits."""

    def __init__(self, path: Path):
        self.name = path.name
        if not path.is_file():
            raise Refusal(f"{path.name} is not there; put it into the cohort's data_raw folder")
        if path.stat().st_size > ARCHIVE_LIMIT:
            raise Refusal(f"{path.name} has more than {ARCHIVE_LIMIT:,} bytes; export the project without recordings")
        try:
            self._zip = zipfile.ZipFile(path)
        except _ZIP_FAULTS as error:
            raise Refusal(f"{path.name} is not a readable archive ({error}); export it again as a REFI-QDA project") from error
        try:
            self.members = self._checked()
        except Refusal:
            self._zip.close()
            raise

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *error) -> None:
        self._zip.close()

    def _checked(self) -> dict[str, zipfile.ZipInfo]:
        infos = self._zip.infolist()
        if len(infos) > MEMBERS_LIMIT:
            raise Refusal(f"{self.name} holds {len(infos):,} members (at most {MEMBERS_LIMIT:,}); export the project again")
        found: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            member = info.filename.replace("\\", "/")
            if member.startswith("/") or ".." in member.split("/") or re.match(r"[A-Za-z]:", member) or "\x00" in info.orig_filename:
                raise Refusal(f"{self.name}: member '{info.filename}' points outside the archive; it was tampered with: "
                              "do not open it")
            if member.casefold() in found:
                raise Refusal(f"{self.name} holds '{info.filename}' twice; it was tampered with or damaged: export it again")
            found[member.casefold()] = info
        return found

    def project(self) -> str:
        """The one member that describes the project."""
        named = [i.filename for key, i in self.members.items() if key.endswith(".qde")]
        if len(named) != 1:
            raise Refusal(f"{self.name} holds {len(named)} project files (.qde) instead of one; export it as a REFI-QDA project")
        return named[0]

    def find(self, name: str) -> str:
        """The member that an internal address means, in the folder `sources` or beside it; empty when there
        is none."""
        name = name.replace("\\", "/").strip("/").casefold()
        for candidate in (f"sources/{name}", name):
            if candidate in self.members:
                return self.members[candidate].filename
        return ""

    def bytes(self, member: str, limit: int) -> bytes:
        """The unpacked member.

        Raises
        ------
        Refusal
            When it is larger than the limit, unpacks far beyond its packed size, is encrypted or damaged.
        """
        info = self.members[member.replace("\\", "/").casefold()]
        if info.flag_bits & 1:
            raise Refusal(f"{self.name}: member '{member}' is encrypted; export it without a password")
        try:
            with self._zip.open(info) as handle:
                content = handle.read(min(limit, max(RATIO_FROM, RATIO_LIMIT * info.compress_size)) + 1)
        except _ZIP_FAULTS as error:
            raise Refusal(f"{self.name}: member '{member}' is damaged ({error}); export it again") from error
        if len(content) > limit or len(content) > max(RATIO_FROM, RATIO_LIMIT * info.compress_size):
            raise Refusal(f"{self.name}: member '{member}' unpacks from {info.compress_size:,} to more than "
                          f"{len(content) - 1:,} bytes (at most {limit:,}, and {RATIO_LIMIT} to 1); it is too large or a zip bomb")
        return content


def _whole(path: Path, limit: int) -> bytes:
    if not path.is_file():
        raise Refusal(f"{path.name} is not there")
    with path.open("rb") as handle:
        content = handle.read(limit + 1)
    if len(content) > limit:
        raise Refusal(f"{path.name} has more than {limit:,} bytes; it is no codebook")
    return content


def _root(content: bytes, name: str, member: str, expected: str) -> Element:
    try:
        root = defusedxml.ElementTree.fromstring(content, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except DefusedXmlException as error:
        raise Refusal(f"{name}: '{member}' declares a document type or entities, which are not read; export it again") from error
    except (ElementTree.ParseError, UnicodeError, LookupError, ValueError) as error:
        raise Refusal(f"{name}: '{member}' is not well-formed XML ({error}); export it again") from error
    if _local(root.tag) != expected:
        raise Refusal(f"{name}: '{member}' is a <{_local(root.tag)}>, not a <{expected}>; export "
                      + ("a REFI-QDA project (.qdpx)" if expected == "Project" else "a REFI-QDA codebook (.qdc)"))
    return root


def _decoded(content: bytes, what: str) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise Refusal(f"{what} is not UTF-8 text ({error}); export it again") from error


def _local(tag: object) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _children(element: Element, name: str) -> Iterator[Element]:
    return (e for e in element if _local(e.tag) == name)


def _plain_guid(text: str) -> str:
    return text.strip().strip("{}").casefold()


def main(arguments: list[str]) -> int:
    """Write the codebook or a cohort's coded interviews for the coding software; returns the exit status."""
    if len(arguments) != 2:
        print(__doc__)
        return 2
    what, target = arguments
    try:
        study = load()
        if what == "codebook":
            content = write_qdc(study.themes)
        else:
            table = from_csv(study.processed(what) / "quotations.csv", QUOTATIONS)
            content = write_qdpx(table, study.themes, name=study.cohort(what).label)
        write_bytes(target, content)
    except Refusal as refusal:
        print(f"\nSTOPPED  {refusal}\n", file=sys.stderr)
        return 1
    print(f"  wrote {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
