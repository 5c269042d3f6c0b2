"""People as keyed tokens: HMAC-SHA-256 with a domain string and a key that lives outside the project.

    python -m plresearch.pseudonyms new-key

A plain hash of a study code is no protection: whoever has the twelve codes, or can try all of them,
finds each person again. With a key that stays with the data controller, nobody else can.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from .clean import Cleaned, CohortCleaned, restore
from .frames import Refusal
from .matching import fold, person_key
from .qda import read_qdpx
from .read import read
from .rules import TEST_IDS
from .study import Study

PROJECT = Path(__file__).resolve().parent.parent
VARIABLE = "PLRESEARCH_KEY"
SHORTEST_KEY = 32  # characters; 128 bits when written in hexadecimal
TOKEN_LENGTH = 16  # hexadecimal digits; 64 bits: no two of a million people share a token by chance
LONG_ID = 4  # characters from which an id with a letter is replaced wherever it stands in a text
LONG_NUMBER = 6  # digits from which this holds for a number


# ------------------------------------------------------------------------------------------- the key

def key_file() -> Path:
    """Where the key is kept: `plresearch/key` in the user's configuration folder."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "plresearch" / "key"


def key(study: Study) -> bytes:
    """The key of a study: the environment variable PLRESEARCH_KEY, else the key file.

    A synthetic study without either uses a key that everybody knows: it has nobody to protect.

    Raises
    ------
    Refusal
        When real answers have no key, the key is short, or its file lies inside the project or the study
        or can be read by others.
    """
    if given := os.environ.get(VARIABLE, "").strip():
        return _long_enough(given, f"the environment variable {VARIABLE}")
    path = key_file()
    if path.is_file():
        _outside(path, study.root)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise Refusal(f"the key file {path} can be read by others; run: chmod 600 {path}")
        return _long_enough(path.read_text(encoding="utf-8").strip(), f"the key file {path}")
    if study.synthetic:
        return b"the key of invented people is no secret"
    raise Refusal(
        f'this study holds real answers with identifiers = "keyed", and there is no key: set {VARIABLE}, or run '
        f"`python -m plresearch.pseudonyms new-key` once (it writes {path}); the same key is needed for every build"
    )


def new_key(study_root: Path) -> Path:
    """Write a new random key into the user's configuration folder, readable by its owner alone.

    Raises
    ------
    Refusal
        When there is a key already (a new one would change every token), or the folder lies inside the
        project or the study.
    """
    path = key_file()
    _outside(path, study_root)
    if path.exists():
        raise Refusal(f"there is a key already in {path}; keep it: with another key everybody would get another token")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
        handle.write(secrets.token_hex(32) + "\n")
    return path


def _outside(path: Path, study_root: Path) -> None:
    for folder in (PROJECT, study_root):
        if path.resolve().is_relative_to(folder.resolve()):
            raise Refusal(f"the key file {path} lies inside {folder}, beside the data it protects; move it out, for "
                          "example to ~/.config/plresearch/key (and unset XDG_CONFIG_HOME)")


def _long_enough(text: str, where: str) -> bytes:
    if len(text) < SHORTEST_KEY:
        raise Refusal(f"{where} holds {len(text)} characters; a key has at least {SHORTEST_KEY}: make one with "
                      "`python -m plresearch.pseudonyms new-key`")
    return text.encode("utf-8")


# ---------------------------------------------------------------------------------------- the tokens

def token(person: str, *, secret: bytes, domain: str) -> str:
    """The token of one person within a domain; the empty id stays empty.

    The id is normalised first, so that every spelling of it gives the same token.

    Examples
    --------
    >>> one = token("PL-007", secret=b"a", domain="study/cohort-1")
    >>> one == token("pl 7", secret=b"a", domain="study/cohort-1"), one == token("PL-007", secret=b"b", domain="study/cohort-1")
    (True, False)
    """
    if not person:
        return ""
    message = f"plresearch\x1f{domain}\x1f{person_key(person) or person}"
    return "p" + hmac.new(secret, message.encode("utf-8"), hashlib.sha256).hexdigest()[:TOKEN_LENGTH]


def marker(study: Study, cohort_id: str) -> Callable[[str], str]:
    """How the study writes a person down outside its raw data: as a token, or as the normalised study code."""
    if study.identifiers != "keyed":
        return person_key
    secret, domain = key(study), f"{study.title}\x1f{cohort_id}"
    return lambda person: token(person, secret=secret, domain=domain)


def apply(result: CohortCleaned, study: Study, cohort_id: str) -> CohortCleaned:
    """The cleaned cohort with every person as a token; unchanged where identifiers are pseudonymous.

    Tokens stand in the roster, responses, events and interviews, in the audit's cells of the person
    column, and wherever a message names an id. Labels of pairs and interviews that contain an id become
    tokens too. The exports themselves (`sources`) are not carried along.

    Raises
    ------
    Refusal
        When real answers have no key, or two people would share a token.
    """
    if study.identifiers != "keyed":
        return result
    ids = _Ids(marker(study, cohort_id), _spellings(result, study, cohort_id))
    columns = {label: _person_columns(cleaned) for label, cleaned in result.sources.items()}
    return replace(
        result,
        responses=_people(result.responses, ids), events=_people(result.events, ids),
        roster=None if result.roster is None else _people(result.roster, ids),
        interviews=_people(result.interviews, ids), codings=_people(result.codings, ids),
        audit=_audit(result.audit, ids, columns),
        quarantine=result.quarantine.assign(
            reason=result.quarantine["reason"].map(ids.in_reason),
            suggestion=result.quarantine["suggestion"].map(ids.in_message)),
        kept_records={name: (_people(frame, ids), shape) for name, (frame, shape) in result.kept_records.items()},
        warnings=tuple(ids.in_message(w) for w in result.warnings), sources={},
    )


class _Ids:
    """Every spelling under which the raw files name a person, and how each is replaced.

    An id of some length is replaced wherever it stands in a text, a short one only in messages and where
    it stands alone: "7" is also a row, an answer and a day.
    """

    def __init__(self, mark: Callable[[str], str], spellings: frozenset[str]):
        keys = {person_key(s) for s in spellings} - {""}
        if len({mark(k) for k in keys}) != len(keys):
            raise Refusal("two people of the cohort would share a token; use another key")
        every = sorted(spellings | keys, key=len, reverse=True)
        long = "|".join(re.escape(s) for s in every if _is_long(s)) or "(?!)"
        short = "|".join(re.escape(s) for s in every if not _is_long(s)) or "(?!)"
        self.mark, self._keys = mark, frozenset(keys)
        self._long_keys = frozenset(k for k in keys if _is_long(k))
        self._anywhere = re.compile(long, re.IGNORECASE)
        self._message = re.compile(rf"(?P<kept>\brows? \d+(?:, \d+)*)|{long}|(?<![\w-])(?:{short})(?![\w-])", re.IGNORECASE)

    def _replaced(self, match: re.Match) -> str:
        return match.group() if match.groupdict().get("kept") else self.mark(match.group())

    def in_cell(self, text: str) -> str:
        """A cell with the ids that cannot be mistaken for anything else replaced."""
        return self._anywhere.sub(self._replaced, text)

    def in_message(self, text: str) -> str:
        """A message of the program with every id replaced; row numbers stay."""
        return self._message.sub(self._replaced, text)

    def in_reason(self, text: str) -> str:
        """A reason of the quarantine; its kind, before the colon, stays."""
        kind, colon, rest = text.partition(":")
        return kind + colon + self.in_message(rest)

    def in_label(self, text: str) -> str:
        """The label of a pair or an interview; a token where it is or contains an id."""
        folded = person_key(text)
        named = folded in self._keys or any(k in folded for k in self._long_keys)
        return self.mark(text) if named else text


def _is_long(text: str) -> bool:
    bare = person_key(text)
    return len(bare) >= (LONG_NUMBER if bare.isdigit() else LONG_ID)


_HOW = {"pair": "in_label", "listed_pair": "in_label", "interview": "in_label", "segment": "in_label", "post": "in_cell",
        "kind": "in_cell", "status": "in_cell", "coder": "in_cell", "quotation": "in_cell", "topic": "in_cell",
        "reason": "in_message", "by": "in_cell"}


def _people(frame: pd.DataFrame, ids: _Ids) -> pd.DataFrame:
    """A table about people with tokens, and with no id in its labels and words."""
    changed = {c: frame[c].map(getattr(ids, _HOW[c])) for c in frame.columns if c in _HOW}
    if "person" in frame.columns:
        changed["person"] = frame["person"].map(ids.mark)
    return frame.assign(**{c: v.astype(frame[c].dtype) for c, v in changed.items()})


def _audit(audit: pd.DataFrame, ids: _Ids, columns: dict[str, set[str]]) -> pd.DataFrame:
    of_person = pd.Series([c in columns.get(s, ()) for s, c in zip(audit["source"], audit["column"], strict=True)],
                          index=audit.index, dtype=bool)
    changed = {c: audit[c].map(ids.in_cell).where(~of_person, audit[c].map(ids.mark)) for c in ("old", "new")}
    return audit.assign(**changed, reason=audit["reason"].map(ids.in_message))


def _person_columns(cleaned: Cleaned) -> set[str]:
    """The columns of an export that hold the person's id: what every row is known by."""
    named = cleaned.rows[cleaned.rows["person"] != ""]
    cells = cleaned.cells[cleaned.cells["row"].isin(named["row"])]
    people = cells["row"].map(dict(zip(named["row"], named["person"], strict=True)))
    same = (cells["value"] == people).groupby(cells["column"]).all()
    return set(same.index[same])


def _spellings(result: CohortCleaned, study: Study, cohort_id: str) -> frozenset[str]:
    """Every id in the roster, in the exports as received and as corrected, in events and interviews."""
    found: set[str] = set(result.responses["person"])
    if result.roster is not None:
        found |= set(result.roster["person"])
    for cleaned in result.sources.values():
        columns = _person_columns(cleaned)
        found |= set(cleaned.rows["person"])
        for cells in (cleaned.cells, restore(cleaned.cells, cleaned.audit)):
            found |= set(cells.loc[cells["column"].isin(columns), "value"])
    cohort = study.cohort(cohort_id)
    for name in filter(None, (cohort.roster, cohort.events, cohort.interviews, cohort.consent)):
        path = study.raw(cohort_id) / name
        export = read_qdpx(path, study.themes) if path.suffix.lower() == ".qdpx" else read(path)
        found |= set(export.cells.loc[export.cells["column"].map(fold) == "person", "value"])
    return frozenset(t for s in found if (t := " ".join(s.split())) and not _is_test(t))


def _is_test(text: str) -> bool:
    return re.sub(r"[\W\d_]+", "", fold(text)) in TEST_IDS


def main(arguments: list[str]) -> int:
    """Make a key; returns the exit status."""
    if arguments != ["new-key"]:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        path = new_key(Path(os.environ.get("PLRESEARCH_STUDY") or PROJECT))
    except Refusal as refusal:
        print(f"\nSTOPPED  {refusal}\n", file=sys.stderr)
        return 1
    print(f"A new key is in {path}. Keep a copy where the data controller keeps secrets: without it no later build\n"
          "gives the same tokens. Nobody who receives results needs it.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
