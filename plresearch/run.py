"""Execute notebooks with papermill: checked parameters, normalised copies, one readable message on failure.

    python -m plresearch.run 03_change cohort-1     execute one notebook for one cohort
    python -m plresearch.run check                  re-execute every stored notebook and compare (nbval)
"""

from __future__ import annotations

import ast
import logging
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from .frames import Refusal, write_text
from .study import Study, load

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
START_TIMEOUT = 120  # seconds a kernel may take to start on a busy machine
CELL_TIMEOUT = 900  # seconds one cell may take


@dataclass(frozen=True)
class Parameter:
    """One declared parameter of a notebook."""

    name: str
    type: str
    default: object


def declared_parameters(notebook: nbformat.NotebookNode) -> dict[str, Parameter]:
    """The typed, literal assignments of the cell tagged 'parameters'.

    Raises
    ------
    Refusal
        When there is no such cell, or it holds anything but ``name: type = literal``.
    """
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise Refusal(f"a notebook needs exactly one cell tagged 'parameters'; this one has {len(cells)}")
    found = {}
    for statement in ast.parse(cells[0].source).body:
        literal = isinstance(statement, ast.AnnAssign) and isinstance(statement.value, ast.Constant)
        if not literal:
            raise Refusal('the parameters cell may hold only lines like: cohort: str = "cohort-1"')
        name = statement.target.id
        found[name] = Parameter(name, ast.unparse(statement.annotation), statement.value.value)
    return found


def checked_parameters(notebook: nbformat.NotebookNode, given: dict[str, object]) -> dict[str, object]:
    """The given parameters, refused when a name is not declared or a value has another type.

    Raises
    ------
    Refusal
        Naming the parameter, what was given and what is declared.
    """
    declared = declared_parameters(notebook)
    types = {"str": str, "int": int, "float": float, "bool": bool}
    for name, value in given.items():
        if name not in declared:
            raise Refusal(f"'{name}' is not a parameter of this notebook; it declares {', '.join(declared)}")
        wanted = types.get(declared[name].type)
        if wanted is None or type(value) is not wanted:
            raise Refusal(f"parameter {name} is {value!r} ({type(value).__name__}); it must be of type {declared[name].type}")
    return given


def normalised(notebook: nbformat.NotebookNode) -> str:
    """The executed notebook as text without anything that differs between two equal runs."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
         "language_info": {"name": "python"}}
    )
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        tags = [t for t in cell.metadata.get("tags", []) if not t.startswith("papermill-")]
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        for output in cell.get("outputs", []):
            output.get("metadata", {}).clear()
    return nbformat.writes(notebook, version=4) + "\n"


NEEDS = {
    "needs-pairs": lambda study, cohort: "" if study.paired else "this study has no roles, and so no pairs",
    "needs-events": lambda study, cohort: "" if cohort.events else "this cohort records no events",
    "needs-interviews": lambda study, cohort: "" if cohort.interviews else "this cohort has no coded interviews",
}


def not_applicable(template: nbformat.NotebookNode, study: Study, part: str) -> str:
    """Why a notebook does not apply to a part, by the needs tagged on its first cell; empty when it does.

    All cohorts together lack what each of them lacks.
    """
    cohorts = [study.cohort(c) for c in (study.cohort_names if part == "combined" else [part])]
    needs = [NEEDS[t] for t in template.cells[0].metadata.get("tags", []) if t in NEEDS]
    unmet = [[need(study, c) for c in cohorts] for need in needs]
    return next((reasons[0] for reasons in unmet if all(reasons)), "")


def _empty_copy(template: nbformat.NotebookNode, reason: str) -> nbformat.NotebookNode:
    """A copy that says why there is nothing, in a cell whose output a check can compare."""
    text = f"Not applicable: {reason}."
    cell = nbformat.v4.new_code_cell(f"print({text!r})", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text + "\n")]
    return nbformat.v4.new_notebook(cells=[template.cells[0], cell])


def execute(study: Study, name: str, part: str) -> Path:
    """Run `notebooks/<name>.ipynb` for a cohort (or 'combined') into `outputs/<part>/<name>.ipynb`.

    Raises
    ------
    Refusal
        When a parameter is wrong or a cell fails; the message names notebook, cell and cohort, and the
        failed copy stays beside the target as `<name>.failed.ipynb`.
    """
    source = NOTEBOOKS / f"{name}.ipynb"
    if not source.is_file():
        raise Refusal(f"there is no notebook {source.name} in notebooks/")
    parameters = {} if part == "combined" else {"cohort": study.cohort(part).id}
    template = nbformat.read(source, as_version=4)
    checked_parameters(template, parameters)
    target = study.outputs(part) / f"{name}.ipynb"
    failed = target.with_suffix(".failed.ipynb")
    reason = not_applicable(template, study, part)
    if reason:
        return write_text(target, normalised(_empty_copy(template, reason)))
    with tempfile.TemporaryDirectory(prefix="plr") as folder:
        executed = Path(folder) / "executed.ipynb"
        error = _papermill(source, executed, parameters)
        if error is not None:
            if executed.is_file():
                write_text(failed, normalised(nbformat.read(executed, as_version=4)))
            raise Refusal(_failure(error, name, part, template, failed))
        write_text(target, normalised(nbformat.read(executed, as_version=4)))
    failed.unlink(missing_ok=True)
    return target


class SocketKernelManager(AsyncKernelManager):
    """A kernel reached through files of its own instead of ports, which parallel runs could snatch from each other."""

    def __init__(self, **options):
        super().__init__(**options)
        self.transport = "ipc"
        self.ip = str(Path(tempfile.mkdtemp(prefix="plr"), "k"))

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart)
        if not restart:
            shutil.rmtree(Path(self.ip).parent, ignore_errors=True)

    cleanup_resources = _async_cleanup_resources


def _papermill(source: Path, executed: Path, parameters: dict) -> Exception | None:
    """Run papermill; the error it ended with, or None. A kernel that did not start is tried once more."""
    for attempt in (1, 2):
        try:
            papermill.execute_notebook(
                str(source), str(executed), parameters=parameters, kernel_name="python3", progress_bar=False,
                start_timeout=START_TIMEOUT, execution_timeout=CELL_TIMEOUT, cwd=str(executed.parent),
                kernel_manager_class="plresearch.run.SocketKernelManager", shutdown_kernel="immediate",
            )
        except PapermillExecutionError as error:
            return error
        except (DeadKernelError, RuntimeError, TimeoutError) as error:
            if attempt == 2:
                return error
            continue
        return None
    return None


def _failure(error: Exception, name: str, part: str, template, failed: Path) -> str:
    cells = len(template.cells)
    number = getattr(error, "cell_index", None)
    where = f"cell {number + 1} of {cells + 1}" if isinstance(number, int) else "before its first cell"
    reason = f"{getattr(error, 'ename', type(error).__name__)}: {getattr(error, 'evalue', '') or error}"
    kept = f"\n  What ran so far is kept in {failed.parent.name}/{failed.name}" if failed.is_file() else ""
    return f"{name} stopped for {part}, {where}\n  {reason}{kept}"


def title_of(name: str) -> str:
    """The notebook's title: the first heading of its first cell."""
    first = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells[0].source
    return first.splitlines()[0].lstrip("# ")


def _log_time(study: Study, name: str, part: str, seconds: float) -> None:
    log = study.root / "data_processed" / "timings.csv"
    log.parent.mkdir(parents=True, exist_ok=True)
    new = not log.exists()
    with log.open("a", encoding="utf-8") as handle:
        handle.write(("notebook,part,seconds\n" if new else "") + f"{name},{part},{seconds:.2f}\n")


def main(arguments: list[str]) -> int:
    """Run one notebook for one part; returns the exit status."""
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        name, part = arguments
    except ValueError:
        print(__doc__)
        return 2
    started = time.perf_counter()
    try:
        study = load()
        execute(study, name, part)
    except Refusal as refusal:
        print(f"\nSTOPPED  {refusal}\n", file=sys.stderr)
        return 1
    seconds = time.perf_counter() - started
    _log_time(study, name, part, seconds)
    print(f"  {part:<12} {name:<14} {title_of(name)}  ({seconds:.1f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
