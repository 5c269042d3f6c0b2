"""What the reader makes of one file, before it counts for anything.

    python -m plresearch.preview FILE [--wave pre] [--codebook FILE] [--codes as-instrument|reversed]
                                 [--day-first|--month-first]

A file that a cohort of the study declares is read as declared there, with its roster and corrections; any
other file as `proposal` guesses. Ends with 0 (ok or repaired), 1 (rows would be set aside) or 2 (refused).
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from .clean import Cleaned, source_labels, take_in
from .frames import Refusal
from .intake import CORRECTION_COLUMNS
from .matching import header_words, plan_columns
from .proposal import OWN_TABLES, Proposal, look, own_table, propose
from .read import Export, read
from .records import check_roster, wide
from .study import Cohort, Source, Study, load

WIDTH = 100  # characters of a line
LISTED = 12  # rows set aside, warnings and columns spelled out
ANSWERS = 3  # first rows shown
EXIT = {"ok": 0, "repaired": 0, "quarantine": 1, "refused": 2}
COLOURS = {"ok": "32", "repaired": "36", "quarantine": "33", "refused": "31", "heading": "1", "quiet": "2"}
OWN_WORDS = {"roster": "its people (roster)", "events": "events", "interviews": "coded interviews", "codebook": "codes and labels",
             "consent": "consent to quoting", "topics": "topics of the forum"}
CURE = {
    "ok": "Nothing to do.",
    "repaired": "Nothing to do; every change is in the audit when the cohort is cleaned.",
    "quarantine": "Decide on each row: correct a cell or drop the row in study/cohorts/<cohort>_corrections.csv (its columns: "
                  + ", ".join(CORRECTION_COLUMNS) + "), or complete the roster. The other rows are used meanwhile.",
}


@dataclass(frozen=True)
class Given:
    """How a file is to be read, and where that is known from."""

    source: Source
    how: dict[str, str]
    roster: pd.DataFrame | None = None
    corrections: pd.DataFrame | None = None
    proposal: Proposal | None = None


# ------------------------------------------------------------------------------------------ the settings

def declared(path: Path, study: Study, wave: str) -> Given | None:
    """The settings of a cohort that lists the file; None where no cohort does."""
    for cohort in study.cohorts.values():
        if path.resolve().parent != study.raw(cohort.id).resolve():
            continue
        labels = {label: s for label, s in source_labels(cohort).items() if s.file == path.name and wave in ("", s.wave)}
        for label, source in labels.items():
            where = f"declared in study/cohorts/{cohort.id}.toml"
            return Given(source, {"wave": where}, roster_of(cohort, study), _corrections(cohort, label, path.name))
    return None


def roster_of(cohort: Cohort, study: Study) -> pd.DataFrame | None:
    """The roster of a cohort, checked; None where it has none."""
    if not cohort.roster:
        return None
    return check_roster(wide(read(study.raw(cohort.id) / cohort.roster).cells), roles=study.roles, source=cohort.roster)[0]


def _corrections(cohort: Cohort, label: str, file: str) -> pd.DataFrame | None:
    if not cohort.corrections.is_file():
        return None
    table = pd.read_csv(cohort.corrections, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    return table[table["source"] == label].assign(source=file) if "source" in table.columns else table


def guessed(export: Export, path: Path, study: Study, wave: str) -> Given:
    """Settings as proposed, with a roster that lies beside the file."""
    beside = next((p for p in sorted(path.resolve().parent.glob("roster.*"))), None)
    roster = None if beside is None else check_roster(wide(read(beside).cells), roles=study.roles, source=beside.name)[0]
    proposal = propose(export, study, roster=roster, wave=wave)[0]
    found = {column: item for item, (column, _) in proposal.matches.items()}
    return Given(replace(proposal.source, columns=found), proposal.how, roster, None, proposal)


def take(path: Path, given: Given, study: Study) -> Cleaned:
    """The file through the whole of reading and cleaning, with the settings given."""
    s = given.source
    codebook = (path.parent / s.codebook) if s.codebook else None
    return take_in(
        path, instrument=study.instrument, roster=given.roster, wave=s.wave, timezone=s.timezone or study.timezone,
        format=s.format, codebook=codebook, person=s.person, completed=s.completed, consent=s.consent,
        consent_given=s.consent_given, day_first=s.day_first, codes=s.codes, delimiter=s.delimiter, sheet=s.sheet,
        columns=s.columns, ignore=s.ignore, corrections=given.corrections, roles=study.roles,
    )


# ------------------------------------------------------------------------------------------ the words

class Page:
    """Lines for a terminal: wrapped, coloured where that helps, and without control characters of the file."""

    def __init__(self, colour: bool):
        self.colour, self.lines = colour, []

    def paint(self, text: str, kind: str) -> str:
        return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if self.colour else text

    def heading(self, text: str) -> None:
        self.lines += ["", self.paint(printable(text), "heading")]

    def add(self, text: str, *, indent: int = 2, kind: str = "") -> None:
        wrapped = textwrap.wrap(printable(text), WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2),
                                break_on_hyphens=False)
        self.lines += [self.paint(line, kind) if kind else line for line in wrapped or [""]]

    def some(self, texts: list[str], what: str) -> None:
        for text in texts[:LISTED]:
            self.add(text)
        if len(texts) > LISTED:
            self.add(f"and {len(texts) - LISTED} more {what}", kind="quiet")

    @property
    def text(self) -> str:
        return "\n".join(self.lines).lstrip("\n")


def printable(text: str) -> str:
    """Text of a file without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)


def describe(path: Path, export: Export | None, given: Given | None, cleaned: Cleaned, study: Study, page: Page) -> None:
    """Write the whole preview of a file onto the page."""
    page.lines.append(f"{printable(path.name)}: {page.paint(cleaned.outcome.upper(), cleaned.outcome)}")
    if export is not None:
        counts = cleaned.accounting
        used = "" if cleaned.outcome == "refused" else (
            f" = {counts['rows_out']} used + {counts['rows_quarantined']} set aside + "
            f"{counts['rows_dropped_as_exact_duplicates']} exact duplicates + "
            f"{counts['rows_of_other_instruments']} of other instruments")
        page.add(f"format    {export.format}, {export.encoding}")
        page.add(f"rows      {export.rows}{used}")
        page.add(f"columns   {len(export.columns)}")
    if given is not None:
        page.add(f"wave      {given.source.wave} ({given.how['wave']})")
        _columns(export, given, study, page)
    if len(cleaned.quarantine):
        page.heading(f"Set aside ({len(cleaned.quarantine)} rows)")
        page.some([f"row {q.row}: {q.reason}" + (f" [{q.suggestion}]" if q.suggestion else "")
                   for q in cleaned.quarantine.itertuples()], "rows")
    if cleaned.warnings:
        page.heading("Warnings")
        page.some(list(cleaned.warnings), "warnings")
    if len(cleaned.responses):
        _first_answers(cleaned, page)
    page.heading("What to do")
    page.add(cleaned.refusal or CURE[cleaned.outcome], kind=cleaned.outcome)


def _columns(export: Export, given: Given, study: Study, page: Page) -> None:
    """Every column and what it is taken for."""
    page.heading("Columns")
    source, what, unknown = given.source, {}, "nobody knows it: map it, or list it under ignore with the reason"
    try:
        plan = plan_columns(export.columns, study.instrument, source, known=export.known, administrative=export.administrative,
                            texts_must_agree=export.format == "qualtrics")
        what = {m.column: (m.item, m.how) for m in plan.items} | {c: ("not used", why) for c, why in plan.unused.items()}
        named = {role: getattr(plan, role) for role in ("person", "completed", "consent", "role", "pair")}
    except Refusal:
        named = {role: getattr(source, role) for role in ("person", "completed", "consent")}
        unknown = ""  # the refusal below says more
    if given.proposal is not None:
        what |= {column: (item, how) for item, (column, how) in given.proposal.matches.items()}
    what |= {column: (role, given.how.get(role, "")) for role, column in named.items() if column}
    what |= {c: ("not used", why) for c, why in export.administrative.items() if c not in what}
    for column in export.columns:
        item, how = what.get(column.name, ("?", unknown))
        page.add(f"{item:<12} {_short(column.name)}" + (f"  ({how})" if how else ""), kind="quiet" if item == "not used" else "")
    for item, near in ({} if given.proposal is None else given.proposal.missing).items():
        page.add(f"{item:<12} no column" + (f"; nearest: {_short(near)}" if near else ""), kind="refused")


def _first_answers(cleaned: Cleaned, page: Page) -> None:
    people = list(dict.fromkeys(cleaned.responses["person"]))[:ANSWERS]
    page.heading(f"First answers as they are read ({len(people)} of {cleaned.responses['person'].nunique()} people)")
    for person in people:
        rows = cleaned.responses[cleaned.responses["person"] == person]
        answers = ", ".join(f"{i} {v:g}" if pd.notna(v) else f"{i} -" for i, v in zip(rows["item"], rows["value"], strict=True))
        page.add(f"{person}: {answers}")


def _short(text: str, size: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= size else text[:size - 3] + "..."


# ------------------------------------------------------------------------------------------ the command

def preview(path: Path, study: Study, page: Page, options: dict) -> str:
    """Describe one file on the page; returns the outcome."""
    wave, export = options.pop("wave"), None
    given = declared(path, study, wave)
    try:
        settings = {k: v for k, v in options.items() if v not in ("", None)}
        export = _as_declared(path, given.source, study) if given else look(path, study)
        if not given and (kind := own_table(export, study)):
            return _own(kind, path, export, page)
        given = given or guessed(export, path, study, wave)
        given = replace(given, source=replace(given.source, **settings))
        cleaned = take(path, given, study)
    except (Refusal, OSError) as refusal:
        cleaned = Cleaned("refused", refusal=str(refusal))
    describe(path, export, given, cleaned, study, page)
    return cleaned.outcome


def _as_declared(path: Path, source: Source, study: Study) -> Export:
    return read(path, format=source.format, delimiter=source.delimiter, sheet=source.sheet,
                expected=header_words(study.instrument, source.wave),
                codebook=path.parent / source.codebook if source.codebook else None)


def _own(kind: str, path: Path, export: Export, page: Page) -> str:
    """A table of the programme's own: it is no export, and is checked together with its cohort."""
    page.lines.append(f"{printable(path.name)}: {page.paint('OK', 'ok')}")
    page.add(f"format    {export.format}, {export.encoding}")
    page.add(f"rows      {export.rows}")
    page.add(f"It is the programme's own table of {OWN_WORDS[kind]}, known by its columns "
             f"{', '.join(sorted(OWN_TABLES[kind][0]))}; it is not an export of a survey.")
    page.add(f'Name it in the cohort file as {kind} = "{path.name}"; it is checked together with its cohort.')
    return "ok"


def in_colour(stream) -> bool:
    """Whether a stream is a terminal that shows colours and nobody asked for none."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def main(arguments: list[str]) -> int:
    """Preview one file; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m plresearch.preview", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--wave", default="", help="the wave of the study that the file belongs to")
    parser.add_argument("--codebook", default="", help="a file beside it with the labels of codes")
    parser.add_argument("--codes", default="", choices=("as-instrument", "reversed"), help="direction of bare numbers")
    parser.add_argument("--day-first", dest="day_first", action="store_true", default=None)
    parser.add_argument("--month-first", dest="day_first", action="store_false")
    options = vars(parser.parse_args(arguments))
    path, page = options.pop("file"), Page(in_colour(sys.stdout))
    try:
        outcome = preview(path, load(), page, options)
    except Refusal as refusal:
        print(f"\nSTOPPED  {refusal}\n", file=sys.stderr)
        return EXIT["refused"]
    except Exception as error:  # whatever a file holds, a researcher is told in words
        print(f"\nSTOPPED  {printable(path.name)} could not be previewed: {type(error).__name__}: {printable(str(error))}\n"
              "This is a fault of the program; please report it with the file, or with one that shows the same and names "
              "nobody.\n", file=sys.stderr)
        return EXIT["refused"]
    try:
        print(page.text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT[outcome]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
