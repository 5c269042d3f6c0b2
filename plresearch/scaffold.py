"""A new cohort from its exports: proposed settings to look at, and a check that says what is still missing.

    python -m plresearch.scaffold 2027-north exports/       make cohort ID=2027-north FROM=exports/
    python -m plresearch.scaffold 2027-north                check again; nothing that a person wrote is changed

The first run copies the exports to `data_raw/<id>/` and writes `study/cohorts/<id>.toml`, an empty corrections
file and a page on consent and data protection. Every run ends with "ready" (0) or with what to do next (1).
"""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path


from .answers import read_dates
from .frames import Refusal, write_text
from .intake import CORRECTION_COLUMNS
from .preview import Given, take
from .proposal import Proposal, look, own_table, propose
from .read import Export, read
from .readiness import FILL, faults
from .records import check_roster, wide
from .study import PLAIN_NAME, Study, default_root, load

PROJECT = Path(__file__).resolve().parent.parent
LONGEST_ID = 40
STUB = """# {id}: consent and data protection

Complete the lines marked "{fill}"; they are asked for before real answers are processed. How the program treats
answers is described in docs/data-protection.md.

- Data controller (organisation, contact): {fill}
- Lawful basis, or ethics approval and its number: {fill}
- What people were told, and the version and date of the information sheet: {fill}
- The exact words with which consent was given, and the answers that count as consent: {words}
- Who may see data_raw/ and data_processed/, and on which computer they lie: {fill}
- Who keeps the list that links names and codes, and where (never in this project): {fill}
- Until when somebody can withdraw, and how (`make forget ID={id}/<person>`): {fill}
- Day on which data_raw/{id}/ will be deleted: {fill}
- What may leave (release profile): {release}
"""


@dataclass(frozen=True)
class Found:
    """What lies in a cohort's raw folder."""

    exports: dict[str, Export]
    own: dict[str, str]
    unread: dict[str, str]


# ------------------------------------------------------------------------------------------- the files

def checked_id(cohort_id: str) -> str:
    """The id, refused unless it is a plain name that no make target has."""
    if not PLAIN_NAME.match(cohort_id) or len(cohort_id) > LONGEST_ID:
        raise Refusal(f"'{cohort_id[:LONGEST_ID]}' cannot be a cohort's id: use at most {LONGEST_ID} small letters, digits, - and _, "
                      "beginning with a letter or digit, for example 2027-north; it is a name, not a path")
    makefile = PROJECT / "Makefile"
    targets = set(re.findall(r"^([a-z-]+):", makefile.read_text(encoding="utf-8"), re.MULTILINE)) if makefile.is_file() else set()
    if cohort_id in targets | {"combined"}:
        raise Refusal(f"'{cohort_id}' is taken: `make {cohort_id}` means something else; choose another id")
    return cohort_id


def copy_exports(given: Path, raw: Path) -> list[str]:
    """Copy the files of a folder (or one file) into the raw folder; the names of those that were new.

    Raises
    ------
    Refusal
        When there is nothing to copy, or a file of that name with other bytes is there already.
    """
    if not given.exists():
        raise Refusal(f"{given} is not there; FROM is the folder that holds the exports of this cohort")
    files = [given] if given.is_file() else sorted(p for p in given.iterdir() if p.is_file() and not p.name.startswith("."))
    if not files:
        raise Refusal(f"{given} holds no file; put the exports there as the survey tool gave them")
    new = [p for p in files if not (raw / p.name).exists()]
    changed = [p.name for p in files if (raw / p.name).exists() and (raw / p.name).read_bytes() != p.read_bytes()]
    if changed:
        raise Refusal(f"data_raw/{raw.name}/{changed[0]} is there with other content ({len(changed)} files differ); raw data are "
                      "never overwritten: give the newer export another name")
    raw.mkdir(parents=True, exist_ok=True)
    for path in new:
        shutil.copyfile(path, raw / path.name)
    return [p.name for p in new]


def found_in(raw: Path, study: Study) -> Found:
    """Read every file of a raw folder: exports, the programme's own tables, and what cannot be read."""
    exports, own, unread = {}, {}, {}
    for path in sorted(p for p in raw.iterdir() if p.is_file() and not p.name.startswith(".")):
        if path.suffix.lower() == ".qdpx":
            own.setdefault("interviews", path.name)
        elif path.suffix.lower() == ".qsf":
            own.setdefault("codebook", path.name)
        else:
            try:
                export = look(path, study)
            except Refusal as refusal:
                unread[path.name] = str(refusal)
                continue
            kind = own_table(export, study)
            if kind and kind not in own:
                own[kind] = path.name
            else:
                exports[path.name] = export
    return Found(exports, own, unread)


# ---------------------------------------------------------------------------------------- the proposals

def proposals(found: Found, raw: Path, study: Study) -> list[Proposal]:
    """A proposal per export and wave, in the order of the waves."""
    roster = None
    if "roster" in found.own:
        roster = check_roster(wide(read(raw / found.own["roster"]).cells), roles=study.roles, source=found.own["roster"])[0]
    made = [p for export in found.exports.values() for p in propose(export, study, roster=roster)]
    made = [p for p in made if p.matches]
    order = list(study.waves)
    return sorted(_by_date(made, study), key=lambda p: (order.index(p.source.wave), p.source.file))


def _by_date(made: list[Proposal], study: Study) -> list[Proposal]:
    """Where neither items nor names tell the waves of the files apart, the earlier file is the earlier wave."""
    unsure = [p for p in made if "ask the same items and the file name says nothing" in p.how["wave"]]
    dated = sorted(((day, p) for p in unsure if (day := _days(p, study)[:1])), key=lambda pair: pair[0])
    order = sorted(study.waves.values(), key=lambda w: w.month)
    if len(dated) != len(order) or len(made) != len(order):
        return made
    return [replace(p, source=replace(p.source, wave=w.id), how={**p.how, "wave": f"likely: answered first on {day[0]}"})
            for (day, p), w in zip(dated, order, strict=True)]


def _days(proposal: Proposal, study: Study) -> list[dt.date]:
    """The days on which an export was answered, in order; empty where no date can be read."""
    column = proposal.source.completed or proposal.export.known.get("completed", "")
    cells = proposal.export.cells
    values = [v for v in cells.loc[cells["column"] == column, "value"] if v.strip()]
    try:
        read_as = read_dates(values, timezone=study.timezone, day_first=None, format=proposal.export.format)
    except Refusal:
        return []
    return sorted(when.date for when in read_as.values() if when)


# ---------------------------------------------------------------------------------------- the cohort file

def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _line(text: str) -> str:
    """Text of a file in a comment: one line, nothing invisible."""
    return "".join(c if c.isprintable() else " " for c in text)


def cohort_toml(cohort_id: str, made: list[Proposal], found: Found, study: Study, raw: Path) -> str:
    """The text of a proposed `study/cohorts/<id>.toml`."""
    days = sorted(day for p in made for day in _days(p, study))
    start, end = (days[0], days[-1]) if days else _year_of(cohort_id)
    guessed = "first and last answer" if days else "the id"
    lines = [
        "# One cohort: its dates, its exports and what their columns mean (docs/study-folder.md).",
        f'# Proposed from the files in data_raw/{cohort_id}/; look at every line. "{FILL}" marks what no file says.',
        f"label = {_toml(cohort_id)}                # {FILL}: its name in tables and figures",
        f"start = {start}              # {FILL}: first day of the cohort (guessed from {guessed})",
        f"end = {end}                # {FILL}: last day of the cohort (guessed from {guessed})",
        f'description = ""               # {FILL}: who takes part, in a few words',
    ]
    for kind, what in (("roster", "people, their pair and role"), ("events", "meetings, shadowing and so on"),
                       ("interviews", "coded interviews"), ("consent", "how far each person's words may travel"),
                       ("topics", "topics of the forum")):
        lines.append(f"{kind} = {_toml(found.own[kind])}" if kind in found.own
                     else f'# {kind} = "{kind}.csv"  # {FILL} if there is one: {what}')
    lines += [f"# meetings_target = 6    # {FILL} if agreed: meetings per pair",
              f"# shadowing_target = 2   # {FILL} if agreed: shadowing visits per pair"]
    lines += [f"# {name} was not read: {_line(why)}" for name, why in found.unread.items()]
    for proposal in made:
        lines += ["", *source_block(proposal, found, study, raw)]
    return "\n".join(lines) + "\n"


def _year_of(cohort_id: str) -> tuple[dt.date, dt.date]:
    year = re.search(r"(19|20)\d\d", cohort_id)
    first = int(year.group()) if year else dt.date.today().year
    return dt.date(first, 1, 1), dt.date(first, 12, 31)


def source_block(proposal: Proposal, found: Found, study: Study, raw: Path) -> list[str]:
    """The lines of one [[sources]] table, each with what it rests on."""
    s, how = proposal.source, proposal.how
    lines = [
        "[[sources]]", f"file = {_toml(s.file)}", f"wave = {_toml(s.wave)}  # {how['wave']}",
        f"format = {_toml(s.format)}  # recognised from its content",
        f"person = {_toml(s.person)}  # {how['person'] if s.person else FILL + ': ' + how['person']}",
        f"completed = {_toml(s.completed)}  # {how['completed']}",
    ]
    if s.consent:
        lines += [f"consent = {_toml(s.consent)}  # a question of consent",
                  f"consent_given = [{', '.join(map(_toml, s.consent_given))}]  # {FILL}: are these the answers that give consent?"]
    else:
        lines += [f'# consent = ""             # {FILL}: {how["consent"]}; without it every row counts as consented',
                  '# consent_given = ["Yes"]']
    if "day and month" in how["completed"]:
        lines.append(f"# day_first = true         # {FILL}: every date could be read both ways")
    lines += _codes(proposal, found, study, raw)
    lines += ["", "[sources.columns]  # column of the export = item"]
    lines += [f"{_toml(column)} = {_toml(item)}  # {'known by its ' + by}" for item, (column, by) in proposal.matches.items()]
    lines += [f"# {_toml(near) if near else '...'} = {_toml(item)}  # {FILL}: no column was found for this item"
              + ("; this one is the nearest" if near else "") for item, near in proposal.missing.items()]
    lines += ["", "[sources.ignore]  # column = why it is not used"]
    lines += [f'# {_toml(column)} = "..."  # {FILL}: nobody knows this column; say why it is not used'
              for column in proposal.unknown if column not in set(proposal.missing.values())]
    return lines


def _codes(proposal: Proposal, found: Found, study: Study, raw: Path) -> list[str]:
    """A codebook that fits, and a question where bare numbers have no direction."""
    s, book = proposal.source, found.own.get("codebook", "")
    if book:
        try:
            read(raw / s.file, format=s.format, codebook=raw / book)
            return [f"codebook = {_toml(book)}"]
        except Refusal:
            pass  # the codebook is of another export of this cohort
    columns = {column: item for item, (column, _) in proposal.matches.items()}
    tried = take(raw / s.file, Given(replace(s, columns=columns), {}), study)
    if "nothing says which end" in tried.refusal:
        return [f'# codes = "as-instrument"  # {FILL}: bare numbers; "reversed" if the first label of the instrument is the last code']
    return []


# ------------------------------------------------------------------------------------------- the command

def scaffold(root: Path, cohort_id: str, given: Path | None) -> list[str]:
    """Write what is not there yet; what was done, one line each."""
    settings = root / "study" / "cohorts" / f"{checked_id(cohort_id)}.toml"
    raw, done = root / "data_raw" / cohort_id, []
    if settings.is_file():  # the rest of the study may be at fault: that is for the check to say
        if given is not None and (new := copy_exports(given, raw)):
            done.append(f"copied to data_raw/{cohort_id}/: {', '.join(new)}")
            done += _to_add(load(root), cohort_id, raw, new)
        return done + _companions(settings, FILL, "")
    study = load(root)
    if given is not None:
        done.append(f"copied to data_raw/{cohort_id}/: {', '.join(copy_exports(given, raw)) or 'nothing new'}")
    raw.mkdir(parents=True, exist_ok=True)
    found = found_in(raw, study)
    made = proposals(found, raw, study)
    done += [f"{name} was not read: {why}" for name, why in found.unread.items()]
    done += [f"{name}: the {kind}" for kind, name in found.own.items()]
    if not made:
        odd = ", ".join(found.exports)
        raise Refusal("\n".join([
            f"not ready yet: data_raw/{cohort_id}/ holds no export with a question of instrument {study.instrument.id}"
            + (f" ({odd}: no item was recognised; look with `make preview FILE=...`)" if odd else ""), *done,
            f"Put the exports there as the survey tool gave them, and the roster (person, pair, role), and run `make cohort "
            f"ID={cohort_id}` again; or name their folder: make cohort ID={cohort_id} FROM=folder"]))
    for p in made:
        asked = len(p.matches) + len(p.missing)
        done.append(f"{p.source.file}: {p.export.format}, {p.export.rows} rows, wave {p.source.wave} ({p.how['wave']}); "
                    f"{len(p.matches)} of {asked} items matched")
    write_text(settings, cohort_toml(cohort_id, made, found, study, raw))
    words = "; ".join(sorted({f'"{g}" in "{p.source.consent}"' for p in made for g in p.source.consent_given})) or FILL
    done.append(f'wrote study/cohorts/{settings.name}: look at every line, above all those with "{FILL}"')
    return done + _companions(settings, words, study.release)


def _companions(settings: Path, words: str, release: str) -> list[str]:
    """Write the corrections file and the page on data protection where they are not there."""
    cohort_id, written = settings.stem, []
    for name, text in ((f"{cohort_id}_corrections.csv", ",".join(CORRECTION_COLUMNS) + "\n"),
                       (f"{cohort_id}_data-protection.md",
                        STUB.format(id=cohort_id, fill=FILL, words=words, release=release or "as in study/study.toml"))):
        if not settings.with_name(name).exists():
            write_text(settings.with_name(name), text)
            written.append(f"wrote study/cohorts/{name}")
    return written


def _to_add(study: Study, cohort_id: str, raw: Path, new: list[str]) -> list[str]:
    """For files that came later: the lines to paste into the cohort file, which a person has edited by now."""
    found = found_in(raw, study)
    made = [p for p in proposals(found, raw, study) if p.source.file in new]
    blocks = ["\n".join(source_block(p, found, study, raw)) for p in made]
    return [f"add this to study/cohorts/{cohort_id}.toml:\n\n{block}\n" for block in blocks]


def main(arguments: list[str]) -> int:
    """Scaffold or check a cohort; returns the exit status."""
    if not 1 <= len(arguments) <= 2:
        print(__doc__, file=sys.stderr)
        return 2
    root, cohort_id = default_root(), arguments[0]
    try:
        for line in scaffold(root, cohort_id, Path(arguments[1]) if len(arguments) == 2 else None):
            print(f"  {line}", flush=True)
    except Refusal as refusal:
        print(f"\nSTOPPED  {refusal}\n", file=sys.stderr)
        return 1
    missing, notes = faults(root, cohort_id)
    for note in notes:
        print(f"  note: {note}")
    sys.stdout.flush()
    if missing:
        print(f"\nnot ready yet: {len(missing)} {'thing' if len(missing) == 1 else 'things'} to do", file=sys.stderr)
        for fault in missing:
            print(f"  - {fault}", file=sys.stderr)
        print(f"Then run `make cohort ID={cohort_id}` again; it never overwrites what you edited.", file=sys.stderr)
        return 1
    print(f"\nReady: run `make {cohort_id}` for its evaluation, `make all` for everything.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
