"""The one door: nothing reaches `outputs/` except through `Door.save`.

A notebook opens the door of its part (a cohort, or 'combined'), looks at its tables through it
(`show`), and saves through it. Tables are screened by the release profile, figures and tables carry
the synthetic mark, every file is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from html import escape

import pandas as pd

from . import disclose, tables
from . import figures as figures_
from .figures import Plate
from .frames import (
    COUNTS, ESTIMATES, Refusal, Shape, conform, from_csv, round_significant, stack, store, to_csv_text, write_bytes, write_text,
)
from .study import Study

SCREEN_DPI = 90  # resolution of the copy shown inside a notebook


@dataclass(frozen=True)
class Shown:
    """A picture or a table as a notebook displays it; its text names the numbers, so that a changed one is seen."""

    text: str
    html: str = ""
    png: bytes = b""

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/plain": self.text}
        if self.html:
            bundle["text/html"] = self.html
        if self.png:
            bundle["image/png"] = self.png
        return bundle


@dataclass(frozen=True)
class Door:
    """The release door of one notebook of one part of a study."""

    study: Study
    part: str
    notebook: str

    def opening(self) -> Shown:
        """What stands at the head of every notebook: whose data these are, and what may be shown."""
        label = self.study.cohorts[self.part].label if self.part in self.study.cohorts else "All cohorts"
        kind = "SYNTHETIC DATA: no real participants" if self.study.synthetic else "real answers"
        text = f"{self.study.short_title} | {label} | {kind} | release profile {self.study.release}, at least {self.minimum} contributors"
        return Shown(text=text, html=f"<p><strong>{escape(text)}</strong></p>")

    def say(self, text: str) -> Shown:
        """A sentence made from computed numbers."""
        return Shown(text=text, html=f"<p>{escape(text)}</p>")

    def keep(self, **named: tuple[pd.DataFrame, Shape]) -> None:
        """Write rows about people into `data_processed/<part>/<name>.csv`, where they stay."""
        for name, (frame, shape) in named.items():
            store(frame, self.study.processed(self.part) / f"{name}.csv", shape)

    def kept(self, name: str, shape: Shape, *, comparison: bool = False) -> pd.DataFrame:
        """Rows about people that an earlier notebook kept: of this cohort, or of all cohorts for 'combined'.

        With `comparison`, those of the comparison cohorts (an empty table where there is none).
        """
        parts = self.study.cohort_names if self.part == "combined" else [self.part]
        parts = self.study.comparison_names if comparison else parts
        return stack([from_csv(self.study.processed(p) / f"{name}.csv", shape) for p in parts], shape)

    def released(self, notebook: str) -> pd.DataFrame:
        """The estimates that a notebook released for every cohort, one under the other."""
        files = [self.study.outputs(c) / "estimates" / f"{notebook}.csv" for c in self.study.cohort_names]
        return stack([from_csv(f, ESTIMATES) for f in files], ESTIMATES)

    def released_counts(self, notebook: str) -> pd.DataFrame:
        """The counts that a notebook released for every cohort, one under the other."""
        files = [self.study.outputs(c) / "counts" / f"{notebook}.csv" for c in self.study.cohort_names]
        return stack([from_csv(f, COUNTS) for f in files], COUNTS)

    @property
    def minimum(self) -> int:
        """Smallest number of contributors behind a released number."""
        return disclose.minimum_contributors(self.study.release)

    def screen(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table as it may leave: too small groups masked, analyses marked as planned or not.

        Raises
        ------
        Refusal
            When the table is of a shape that must stay.
        """
        if list(frame.columns) == list(ESTIMATES.columns):
            screened = disclose.screen_estimates(conform(frame, ESTIMATES), minimum=self.minimum)
            screened["planned"] = self._planned(screened)
            return screened
        if list(frame.columns) == list(COUNTS.columns):
            return disclose.screen_counts(conform(frame, COUNTS), minimum=self.minimum)
        raise Refusal(
            f"a table with the columns {', '.join(map(str, frame.columns))} may not leave; "
            "only estimates and counts pass the release door"
        )

    def show(self, thing: pd.DataFrame | Plate) -> Shown:
        """What a notebook may display: a figure, or a table of printed text (made from screened results).

        Raises
        ------
        Refusal
            For a table that holds numbers: those pass through `screen` and a function of `tables` first.
        """
        if isinstance(thing, Plate):
            digest = hashlib.sha256(_data_csv(thing).encode()).hexdigest()[:16]
            return Shown(text=f"{thing.alt} [numbers {digest}]", png=figures_.png(thing, dpi=SCREEN_DPI))
        if len(thing.select_dtypes("number").columns):
            raise Refusal("only printed tables are shown: screen the results, then print them with a function of plresearch.tables")
        mark = "<caption>Synthetic data</caption>" if self.study.synthetic else ""
        page = thing.to_html(index=False, border=0, escape=True).replace("<thead>", mark + "<thead>", 1)
        return Shown(text=thing.to_string(index=False, max_colwidth=60), html=page)

    def save(
        self,
        *,
        estimates: pd.DataFrame | None = None,
        counts: pd.DataFrame | None = None,
        figures: dict[str, Plate] | None = None,
        printed: dict[str, pd.DataFrame] | None = None,
    ) -> Shown:
        """Write this notebook's results into `outputs/<part>/` and tell what was written.

        Parameters
        ----------
        estimates, counts
            Results; screened before they are written to `estimates/<notebook>.csv`, `counts/<notebook>.csv`.
        figures
            Plates by name: `figures/<name>.png`, the drawn numbers beside it as CSV, and its alt text.
        printed
            Tables of printed text by name: `tables/<name>.csv`.

        Raises
        ------
        Refusal
            When an analysis that the plan assigns to this notebook has no result.
        """
        folder = self.study.outputs(self.part)
        lines = []
        if estimates is not None:
            self._check_plan(estimates)
            screened = self.screen(estimates)
            write_text(folder / "estimates" / f"{self.notebook}.csv", to_csv_text(screened, ESTIMATES))
            lines.append(_line("estimates", screened["estimate"].notna().sum(), len(screened)))
        if counts is not None:
            screened = self.screen(counts)
            write_text(folder / "counts" / f"{self.notebook}.csv", to_csv_text(screened, COUNTS))
            lines.append(_line("counts", screened["n"].notna().sum(), len(screened)))
        for name, plate in (figures or {}).items():
            write_bytes(folder / "figures" / f"{name}.png", figures_.png(plate))
            write_text(folder / "figures" / f"{name}.csv", _data_csv(plate))
            about = {"alt": plate.alt, "notebook": self.notebook, "synthetic": self.study.synthetic}
            write_text(folder / "figures" / f"{name}.json", json.dumps(about, indent=1, ensure_ascii=False) + "\n")
            lines.append(f"figure {name}")
        for name, table in (printed or {}).items():
            write_text(folder / "tables" / f"{name}.csv", tables.to_csv(table))
            lines.append(f"table {name}")
        return Shown(text=f"Saved for {self.part}: " + "; ".join(lines))

    def _planned(self, estimates: pd.DataFrame) -> list[str]:
        planned = {
            (a.analysis, a.term, o): "deviated" if a.deviation else "planned" for a in self.study.plan.analyses for o in a.outcomes
        }
        rows = zip(estimates["analysis"], estimates["term"], estimates["outcome"], estimates["planned"])
        return [given or planned.get((a, t, o), "exploratory") for a, t, o, given in rows]

    def _check_plan(self, estimates: pd.DataFrame) -> None:
        done = set(zip(estimates["analysis"], estimates["term"], estimates["outcome"]))
        for analysis in self.study.plan.analyses:
            lacking = [o for o in analysis.outcomes if (analysis.analysis, analysis.term, o) not in done]
            if analysis.notebook == self.notebook and lacking:
                raise Refusal(
                    f"the plan's analysis '{analysis.id}' has no result for {len(lacking)} of {len(analysis.outcomes)} "
                    f"outcomes (first: {lacking[0]}) in {self.part}; run it in {self.notebook}, or record the "
                    "deviation in study/plan.toml and remove the outcome there"
                )


def _line(what: str, shown: int, rows: int) -> str:
    masked = rows - int(shown)
    return f"{rows} {what}" + (f" ({masked} masked or without a number)" if masked else "")


def _data_csv(plate: Plate) -> str:
    data = plate.data.copy()
    for column in data.select_dtypes("number"):
        data[column] = round_significant(data[column])
    return data.to_csv(index=False, lineterminator="\n")
