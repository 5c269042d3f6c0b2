"""The data dictionary: every item, answer, subscale and table, written from the study and the shapes.

    python -m plresearch.dictionary        writes outputs/dictionary.html and outputs/dictionary.csv
"""

from __future__ import annotations

import sys

import jinja2
import pandas as pd

from .frames import SHAPES, Refusal, Shape, write_text
from .render import MARK, PAPER
from .study import Instrument, Item, Study, load
from .tables import to_csv

MEANING = {  # column of a table -> what it holds
    "source": "file that the row comes from (with the wave where one file serves several)",
    "row": "data row of that file, counted from 1 after the header",
    "column": "column of the export, as the export spells it",
    "value": "RESPONSES: the answer as its code, before reversing; CELLS: the cell as exported",
    "rule": "rule of cleaning that made the edit", "old": "what the cell held before", "new": "what it holds since",
    "reason": "why, in words", "suggestion": "what might resolve it; never applied by the program",
    "cohort": "id of the cohort", "person": "study code, or keyed token of the person", "pair": "label of the pair; empty without one",
    "role": "id of the role; empty where nobody has one", "wave": "id of the wave", "instrument": "id of the instrument",
    "item": "id of the item", "post": "post that the person held, where the roster says", "withdrawn": "day of withdrawal; empty for most",
    "subscale": "id of the subscale", "score": "mean of the answered items, reversed ones turned round; empty below the minimum",
    "answered": "items of the subscale answered", "items": "items of the subscale asked at the wave",
    "kind": "contract, meeting, shadowing, reflection, workshop or forum", "date": "day, as 2015-03-31",
    "minutes": "length in minutes", "status": "what became of it, as recorded", "interview": "label of the interview",
    "segment": "label of the passage", "coder": "who coded it", "theme": "id of the theme; empty: read, none applied",
    "analysis": "id of the analysis", "outcome": "id of the subscale or theme", "term": "what is estimated",
    "n": "contributing people, pairs or events", "estimate": "the number", "se": "its standard error",
    "low": "lower end of its interval", "high": "upper end of its interval", "p": "p value",
    "method": "how exactly it was computed, or why there is none",
    "start": "first character of the passage in the interview", "end": "character after its last", "quotation": "the words",
    "scope": "how far the person's words may travel: none, internal or public",
    "decision": "what the coders decided together: present or absent", "by": "who decided", "topic": "what was raised at the forum",
    "unit": "ESTIMATES: unit of the estimate; DOSE: the pair or person that received it",
    "component": "part of the programme", "done": "how often, or how much, it took place",
    "planned": "ESTIMATES: planned, exploratory, sensitivity or deviated; DOSE: how often it was agreed", "category": "what is counted", "of": "out of how many",
}
ABOUT = {  # table -> what it is
    "cells": "Every value of an export as exported", "audit": "Every edit of cleaning, in order; clean cells and audit give the raw cells back",
    "quarantine": "Rows set aside, with the reason", "people": "Everyone who started", "responses": "One row per answer asked",
    "scores": "One row per person, wave and subscale", "events": "What happened in the programme", "codings": "Themes given to passages of interviews",
    "quotations": "Passages with their place, their words and the theme given", "consent": "How far each person may be quoted",
    "reconciled": "What the coders decided together where they differed", "released_quotes": "Passages that somebody has read and cleared for print",
    "topics": "Topics of the forum", "dose": "What each pair or person received of the programme, beside what was agreed",
    "estimates": "Every released estimate", "counts": "Every released count",
}
COLUMNS = ("kind", "of", "name", "text", "type", "subscale", "reversed", "answers", "missing", "waves", "minimum", "may_leave")


def items(study: Study) -> pd.DataFrame:
    """One row per item: id, text, subscale, whether reversed, answers with codes, missing words, waves."""
    return pd.DataFrame([_item(study, i) for i in study.instrument.items.values()])


def _item(study: Study, item: Item) -> dict[str, str]:
    answers = study.instrument.response_sets[item.responses]
    return {
        "name": item.id, "text": item.text, "subscale": item.subscale, "reversed": "yes" if item.reversed else "no",
        "answers": "; ".join(f"{code} = {label}" for code, label in zip(answers.codes, answers.labels, strict=True)),
        "missing": "; ".join(f"{word} = {reason}" for word, reason in answers.missing.items()),
        "waves": ", ".join(item.waves or study.waves),
    }


def subscales(instrument: Instrument) -> pd.DataFrame:
    """One row per subscale: id, label, number of items, how many must be answered."""
    return pd.DataFrame([
        {"name": s.id, "text": s.label, "items": str(len(instrument.items_of(s.id))), "minimum": str(s.minimum)}
        for s in instrument.subscales.values()
    ])


def columns(shape: Shape) -> pd.DataFrame:
    """One row per column of a table: name, type, what it holds."""
    return pd.DataFrame([{"name": c, "type": kind, "text": MEANING.get(c, "")} for c, kind in shape.columns.items()])


def table(study: Study) -> pd.DataFrame:
    """The whole dictionary as one table of text, as written to CSV; `kind` is item, subscale, table or column."""
    instrument = study.instrument
    parts = [
        items(study).assign(kind="item", of=instrument.id), subscales(instrument).assign(kind="subscale", of=instrument.id),
    ]
    for shape in SHAPES.values():
        leaves = "yes" if shape.may_leave else "no"
        parts.append(pd.DataFrame([{"kind": "table", "name": shape.name, "text": ABOUT.get(shape.name, ""), "may_leave": leaves}]))
        parts.append(columns(shape).assign(kind="column", of=shape.name, may_leave=leaves))
    return pd.concat(parts, ignore_index=True).reindex(columns=list(COLUMNS)).fillna("")


def page(study: Study) -> str:
    """The dictionary as one HTML page that needs no other file."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    tables = [{"name": s.name, "about": ABOUT.get(s.name, ""), "may_leave": s.may_leave, "columns": columns(s).to_dict("records")}
              for s in SHAPES.values()]
    return environment.from_string((PAPER / "dictionary.html").read_text(encoding="utf-8")).render(
        study=study, mark=MARK, style=(PAPER / "style.css").read_text(encoding="utf-8"), items=items(study).to_dict("records"),
        subscales=subscales(study.instrument).to_dict("records"), tables=tables,
    )


def main() -> int:
    """Write the dictionary; returns the exit status."""
    try:
        study = load()
        folder = study.root / "outputs"
        write_text(folder / "dictionary.csv", to_csv(table(study)))
        path = write_text(folder / "dictionary.html", page(study))
    except Refusal as refusal:
        print(f"\nSTOPPED  {refusal}\n", file=sys.stderr)
        return 1
    print(f"  dictionary   {len(study.instrument.items)} items and {len(SHAPES)} tables in {path.relative_to(study.root).as_posix()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
