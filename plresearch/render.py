"""From a Markdown template and the saved results to HTML, Word and PDF.

A template holds prose and names, never numbers: a name that no result answers stops the build. The
same formatters serve text and tables, so the two cannot disagree.

    python -m plresearch.render evaluation cohort-1
    python -m plresearch.render paper combined
    python -m plresearch.render index
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import docx
import jinja2
import pandas as pd
import pypandoc
import typst
from docx.shared import Pt
from PIL import Image

from . import checklists, disclose, tables
from .frames import COUNTS, ESTIMATES, Refusal, from_csv, stack, write_bytes, write_text
from .study import Study, load

PAPER = Path(__file__).resolve().parent.parent / "paper"
MARK = "Synthetic data: no real participants"
MARKDOWN = "markdown+smart-markdown_in_html_blocks"
FORMATS = ("html", "docx", "pdf")
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
HERE = "CAPTION"  # stands for a caption while the table around it is escaped


def slug(text: str) -> str:
    """A term as a name that a template can write: small letters, digits and underscores.

    Examples
    --------
    >>> slug("REML + Hartung-Knapp")
    'reml_hartung_knapp'
    """
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _width(png: Path) -> str:
    """The width at which a figure is to be printed, from its pixels and its resolution."""
    with Image.open(png) as picture:
        return f"{picture.width / picture.info['dpi'][0] * 25.4:.0f}mm"


def _attribute(text: str) -> str:
    """Text inside the quotes of a pandoc attribute."""
    return re.sub(r'[\\"{}<>]', " ", text)


@dataclass(frozen=True)
class Number:
    """One row of results as a template sees it: every property is formatted text that tells where it came from."""

    row: dict
    source: str

    def _text(self, text: str) -> str:
        about = f"{self.row['analysis']}, {self.row.get('outcome') or self.row.get('category', '')}"
        if self.row.get("term"):
            about += f", {self.row['term']}"
        about += f" | n = {self.row['n']} | {self.row.get('method', 'count')} | {self.source}"
        return f'[{text}]{{.number title="{_attribute(about)}"}}'

    @property
    def estimate(self) -> str:
        return self._text(tables.number(self.row["estimate"]))

    @property
    def signed(self) -> str:
        return self._text(tables.signed(self.row["estimate"]))

    @property
    def interval(self) -> str:
        return self._text(tables.interval(self.row["low"], self.row["high"]))

    @property
    def p(self) -> str:
        return self._text(tables.p_statement(self.row["p"]))

    @property
    def percent(self) -> str:
        return self._text(tables.share(self.row["estimate"]))

    @property
    def n(self) -> str:
        return self._text(tables.count(self.row["n"]))

    @property
    def of(self) -> str:
        return self._text(tables.count(self.row["of"]))

    @property
    def method(self) -> str:
        return tables.escape(self.row["method"])


class Names:
    """Nested names of results; a name that is not there is undefined, and the build stops."""

    def __init__(self, where: str, entries: dict):
        self._where = where
        self._entries = entries

    def __getattr__(self, name: str):
        if name.startswith("__") or name not in self._entries:
            raise AttributeError(f"{self._where} has no '{name}'; it has {', '.join(list(self._entries)[:12])}")
        return self._entries[name]

    def __getitem__(self, name: str):
        return getattr(self, slug(name))

    def __contains__(self, name: str) -> bool:
        return slug(name) in self._entries


def results(study: Study, part: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(estimates, counts) saved by all notebooks of a part, each with the notebook's name in column `notebook`."""
    found = []
    for folder, shape in (("estimates", ESTIMATES), ("counts", COUNTS)):
        files = sorted((study.outputs(part) / folder).glob("*.csv"))
        frames = [from_csv(f, shape).assign(notebook=f.stem) for f in files]
        found.append(pd.concat(frames, ignore_index=True) if frames else stack([], shape).assign(notebook=""))
    return found[0], found[1]


def names(study: Study, part: str) -> Names:
    """All results of a part as nested names: ``change.preparedness.pair_mean`` or ``flow.complete_preparedness``."""
    estimates, counts = results(study, part)
    tree: dict = {}
    for row in estimates.to_dict("records"):
        number = Number(row, f"outputs/{part}/{row['notebook']}.ipynb")
        branch = tree.setdefault(slug(row["analysis"]), {})
        leaf = branch.setdefault(slug(row["outcome"]) or "overall", {})
        if row["cohort"] != part:
            leaf = leaf.setdefault(slug(row["cohort"]), {})
        leaf[slug(row["term"])] = number
    for row in counts.to_dict("records"):
        leaf = tree.setdefault(slug(row["analysis"]), {})
        if row["cohort"] != part:
            leaf = leaf.setdefault(slug(row["cohort"]), {})
        leaf[slug(row["category"])] = Number(row, f"outputs/{part}/{row['notebook']}.ipynb")
    return _names(f"{part}", tree)


def _names(where: str, tree: dict) -> Names:
    return Names(where, {k: _names(f"{where}.{k}", v) if isinstance(v, dict) else v for k, v in tree.items()})


class Exhibits:
    """Numbers figures and tables in the order in which the text shows them."""

    def __init__(self, study: Study, folder: Path, numbers: dict[tuple[str, str], int]):
        self._study = study
        self._folder = folder
        self._known = numbers
        self.numbers: dict[tuple[str, str], int] = {}

    def figure(self, name: str, caption: str) -> str:
        """A numbered figure with its caption and its alt text."""
        about = self._folder / "figures" / f"{name}.json"
        if not about.is_file():
            raise Refusal(f"the text shows figure '{name}', but {self._folder.name}/figures/{name}.png was not saved")
        alt = json.loads(about.read_text(encoding="utf-8"))["alt"]
        label = self._take("figure", name)
        return (f'\n![**{label}.** {caption}{self._mark()}](figures/{name}.png){{#fig-{name} '
                f'alt="{_attribute(alt)}" width={_width(about.with_suffix(".png"))}}}\n')

    def table(self, name: str, caption: str, footnotes: tuple[str, ...] = ()) -> str:
        """A numbered table with its caption and footnotes; a masked number explains itself."""
        path = self._folder / "tables" / f"{name}.csv"
        if not path.is_file():
            raise Refusal(f"the text shows table '{name}', but {self._folder.name}/tables/{name}.csv was not saved")
        printed = tables.from_csv(path.read_text(encoding="utf-8"))
        minimum = disclose.minimum_contributors(self._study.release)
        masked = (printed == tables.MASK).to_numpy().any()
        notes = [*footnotes, *([tables.mask_note(minimum)] if masked else [])]
        label = self._take("table", name)
        body = tables.to_markdown(tables.once(printed), caption=HERE, label=f"tbl-{name}", footnotes=notes)
        return "\n" + body.replace(HERE, f"**{label}.** {caption}{self._mark()}") + "\n"

    def checklist(self, name: str, caption: str) -> str:
        """A reporting guideline as a numbered table, each item with its place and the artefact that proves it."""
        label = self._take("table", f"checklist_{name}")
        body = tables.to_markdown(checklists.checklist(self._study, name), caption=HERE, label=f"tbl-checklist-{name}")
        return "\n" + body.replace(HERE, f"**{label}.** {caption}{self._mark()}") + "\n"

    def see(self, kind: str, name: str) -> str:
        """A reference such as 'Figure 2' to an exhibit shown anywhere in the text."""
        return self._label(kind, self._known.get((kind, name), 0))

    def _take(self, kind: str, name: str) -> str:
        if (kind, name) in self.numbers:
            raise Refusal(f"{kind} '{name}' is shown twice in the text; refer to it with see() the second time")
        self.numbers[kind, name] = 1 + sum(k == kind for k, _ in self.numbers)
        return self._label(kind, self.numbers[kind, name])

    def _label(self, kind: str, number: int) -> str:
        return f"{kind.capitalize()}\u00a0{number or '?'}"

    def _mark(self) -> str:
        return " *Synthetic data.*" if self._study.synthetic else ""


def fill(study: Study, template: str, part: str) -> str:
    """The Markdown of a document: the template with every name answered.

    Raises
    ------
    Refusal
        When the template uses a name, figure or table that no notebook has saved, or refers to an
        exhibit it does not show.
    """
    numbers: dict[tuple[str, str], int] = {}
    for _ in range(2):  # once to number the exhibits, once to refer to them
        exhibits = Exhibits(study, study.outputs(part), numbers)
        seen: list[tuple[str, str]] = []

        def see(kind: str, name: str, exhibits=exhibits, seen=seen) -> str:
            seen.append((kind, name))
            return exhibits.see(kind, name)

        text = _environment().from_string(template).render(
            **_context(study, part), figure=exhibits.figure, table=exhibits.table, checklist=exhibits.checklist, see=see
        )
        numbers = exhibits.numbers
    lost = [f"{kind} '{name}'" for kind, name in seen if (kind, name) not in numbers]
    if lost:
        raise Refusal(f"the text refers to {len(lost)} exhibits it does not show (first: {lost[0]})")
    return text


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False,
    )


def _context(study: Study, part: str) -> dict:
    found = names(study, part)
    context = {
        "study": study, "part": part, "r": found, "plan": study.plan, "instrument": study.instrument,
        "outcomes": [study.instrument.subscales[o] for o in study.outcomes], "unit_mean": f"{study.unit} mean",
        "cohorts": list(study.cohorts.values()), "waves": study.waves, "roles": study.roles,
        "small": tables.small_sample_note, "shown": lambda kind, name: (study.outputs(part) / ("figures" if kind == "figure" else "tables") / f"{name}.csv").is_file(),
    }
    if part in study.cohorts:
        first = next(iter(study.outcomes))
        units = found["change"][first][context["unit_mean"]].row["n"]
        context |= {"cohort": study.cohorts[part], "n_units": units, "delivery": "delivery" in found, "interviews": "themes" in found}
    else:
        context["by_cohort"] = {c: names(study, c) for c in study.cohort_names}
    return context


def document(study: Study, name: str, part: str) -> list[Path]:
    """Write `outputs/<part>/<name>.html`, `.docx` and `.pdf` from `paper/<name>.md`.

    Raises
    ------
    Refusal
        As `fill`, or when the converter reports a warning (a missing citation, a lost image).
    """
    own = study.root / "study" / f"{name}.md"
    source = own if own.is_file() else PAPER / f"{name}.md"
    folder = study.outputs(part)
    try:
        text = fill(study, source.read_text(encoding="utf-8"), part)
    except jinja2.UndefinedError as error:
        raise Refusal(f"{source.name} uses a name that no result of {part} answers: {error.message}") from error
    except jinja2.TemplateSyntaxError as error:
        raise Refusal(f"{source.name}, line {error.lineno}: {error.message}") from error
    written = [write_text(folder / f"{name}.md", text)]
    with tempfile.TemporaryDirectory(prefix="plr") as temporary:
        for kind in FORMATS:
            written.append(write_bytes(folder / f"{name}.{kind}", _convert(study, text, folder, kind, Path(temporary))))
    return written


def _convert(study: Study, text: str, folder: Path, kind: str, temporary: Path) -> bytes:
    made = temporary / f"document.{'typ' if kind == 'pdf' else kind}"
    options = [f"--defaults={kind}.yaml", f"--resource-path={folder}{os.pathsep}.",
               "--bibliography=references.bib", "--csl=bmj.csl",
               f"--metadata=synthetic-mark:{MARK if study.synthetic else ''}"]
    if kind == "html":
        options.append("--css=style.css")
    if kind == "docx":
        options.append(f"--reference-doc={_word_reference(study, temporary)}")
    if kind == "pdf":
        options.append("--template=page.typ")
    command = [pypandoc.get_pandoc_path(), "-f", MARKDOWN, *options, "--citeproc", "--fail-if-warnings", "-o", str(made)]
    done = subprocess.run(command, input=text, text=True, capture_output=True, cwd=PAPER)
    if done.returncode:
        raise Refusal(f"{folder.name}: the {kind} could not be made: {done.stderr.strip()[-600:]}")
    if kind == "docx":
        return _fixed_times(made.read_bytes())
    if kind == "html":
        return made.read_bytes()
    source = made.read_text(encoding="utf-8")
    with tempfile.NamedTemporaryFile("w", suffix=".typ", dir=folder, encoding="utf-8", prefix=".page") as page:
        page.write(source)
        page.flush()
        return typst.compile(
            page.name, root=str(folder), ignore_system_fonts=True, timestamp=int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
        )


def _fixed_times(archive: bytes) -> bytes:
    """The zip archive with one fixed time on every member, so that its bytes do not tell when it was made."""
    rewritten = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(rewritten, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(zipfile.ZipInfo(member.filename, ZIP_TIME), old.read(member), zipfile.ZIP_DEFLATED)
    return rewritten.getvalue()


def _word_reference(study: Study, temporary: Path) -> Path:
    """Pandoc's Word styles with a quiet typeface and, for a synthetic study, the mark in every page's header."""
    target = temporary / "reference.docx"
    made = subprocess.run(
        [pypandoc.get_pandoc_path(), "--print-default-data-file", "reference.docx"], capture_output=True, check=True
    )
    target.write_bytes(made.stdout)
    reference = docx.Document(str(target))
    for style in ("Normal", "Body Text", "First Paragraph", "Compact"):
        reference.styles[style].font.size = Pt(10.5)
    if study.synthetic:
        reference.sections[0].header.paragraphs[0].text = MARK
    reference.save(str(target))
    return target


def index(study: Study) -> Path:
    """Write `outputs/index.html`, which links every document and notebook."""
    template = (PAPER / "index.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    parts = [p for p in (*study.cohorts, "combined") if study.outputs(p).is_dir()]
    entries = [
        {"id": part, "label": study.cohorts[part].label if part in study.cohorts else "All cohorts together",
         "description": study.cohorts[part].description if part in study.cohorts else "The combined analysis and the paper",
         "documents": [f.name for name in ("paper", "evaluation", "checklists") for kind in FORMATS
                       if (f := study.outputs(part) / f"{name}.{kind}").is_file()],
         "notebooks": [f.name for f in sorted(study.outputs(part).glob("*.ipynb")) if "failed" not in f.name],
         "figures": [{"name": f.stem, "alt": json.loads(f.with_suffix(".json").read_text(encoding="utf-8"))["alt"]}
                     for f in sorted((study.outputs(part) / "figures").glob("*.png"))]}
        for part in parts
    ]
    style = (PAPER / "style.css").read_text(encoding="utf-8")
    page = environment.from_string(template).render(study=study, parts=entries, style=style, mark=MARK)
    return write_text(study.root / "outputs" / "index.html", page)


def main(arguments: list[str]) -> int:
    """Render one document, or the index; returns the exit status."""
    try:
        study = load()
        if arguments == ["index"]:
            print(f"  index        {index(study).relative_to(study.root)}")
            return 0
        name, part = arguments
        written = document(study, name, part)
    except Refusal as refusal:
        print(f"\nSTOPPED  {refusal}\n", file=sys.stderr)
        return 1
    print(f"  {part:<12} {name}: " + ", ".join(str(w.relative_to(study.root)) for w in written[1:]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
