"""The notebooks as stored: essays without outputs, definitions, loops or paths."""

import ast
from pathlib import Path

import nbformat
import pytest

from plresearch import run

FILES = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
LONGEST = 10  # lines of a cell


def code(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def test_the_notebooks_are_there():
    assert [f.stem for f in FILES] == ["01_clean", "02_score", "03_change", "04_pairs", "05_delivery", "06_interviews",
                                       "10_combined", "11_mixed", "12_questions", "20_planning"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_stored_without_outputs(path):
    assert all(not c.outputs and c.execution_count is None for c in code(path))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_title_and_question_first_one_typed_parameter_bottom_line_second(path):
    cells = nbformat.read(path, as_version=4).cells
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ") and "?" in cells[0].source.splitlines()[0]
    assert len(run.declared_parameters(nbformat.read(path, as_version=4))) == 1
    headings = [line for c in cells if c.cell_type == "markdown" for line in c.source.splitlines() if line.startswith("## ")]
    assert headings[0] == "## The bottom line" and headings[-1] == "## Save"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_cells_are_short_and_define_and_loop_over_nothing(path):
    for cell in code(path):
        assert len(cell.source.splitlines()) <= LONGEST
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef, ast.For, ast.While)), cell.source


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_no_path_is_typed_and_no_digit_stands_in_the_prose(path):
    for cell in code(path):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert "/" not in node.value or " " in node.value, node.value


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_prose_and_code_are_balanced(path):
    cells = nbformat.read(path, as_version=4).cells
    assert sum(c.cell_type == "markdown" for c in cells) >= 0.4 * sum(c.cell_type == "code" for c in cells)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_everything_shown_passes_the_door(path):
    for cell in code(path):
        last = ast.parse(cell.source).body[-1]
        if isinstance(last, ast.Expr):
            shown = ast.unparse(last.value)
            assert shown.startswith("door."), shown
