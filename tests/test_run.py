"""Running notebooks: parameters are checked, copies are normalised, failures are readable."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from plresearch import run, study
from plresearch.frames import Refusal


def notebook(parameters='cohort: str = "cohort-1"  # which cohort', *code):
    cell = new_code_cell(parameters)
    cell.metadata["tags"] = ["parameters"]
    made = new_notebook(cells=[new_markdown_cell("# Title"), cell, *(new_code_cell(c) for c in code)])
    made.metadata["language_info"] = {"name": "python"}
    return made


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(run, "NOTEBOOKS", folder)

    def put(name, content):
        nbformat.write(content, folder / f"{name}.ipynb")

    return put


def test_a_misspelt_parameter_is_refused():
    with pytest.raises(Refusal, match="'cohrt' is not a parameter of this notebook; it declares cohort"):
        run.checked_parameters(notebook(), {"cohrt": "x"})


@pytest.mark.parametrize(("declared", "value"), [('cohort: str = "a"', 7), ("level: float = 0.95", "0.9"), ("m: int = 20", 20.0), ("on: bool = True", 1)])
def test_a_parameter_of_another_type_is_refused(declared, value):
    name = declared.partition(":")[0]
    with pytest.raises(Refusal, match=f"parameter {name} is .* must be of type"):
        run.checked_parameters(notebook(declared), {name: value})


@pytest.mark.parametrize("cell", ["cohort = 'a'", "import os", "cohort: str = f'{1}'", "n: int = 1 + 1"])
def test_the_parameters_cell_holds_typed_literals_only(cell):
    with pytest.raises(Refusal, match="may hold only lines like"):
        run.declared_parameters(notebook(cell))


def test_a_notebook_without_parameters_cell_is_refused():
    with pytest.raises(Refusal, match="exactly one cell tagged 'parameters'"):
        run.declared_parameters(new_notebook(cells=[new_code_cell("1")]))


def test_two_runs_give_the_same_bytes_and_no_paths(study_folder, notebooks):
    notebooks("03_change", notebook('cohort: str = "cohort-1"', "print(cohort)"))
    loaded = study.load(study_folder)
    texts = [run.execute(loaded, "03_change", "cohort-2").read_text() for _ in range(2)]
    assert texts[0] == texts[1]
    assert "cohort-2" in texts[0] and str(study_folder) not in texts[0] and "papermill" not in texts[0]


def test_a_failing_cell_names_notebook_cell_and_cohort_and_leaves_no_result(study_folder, notebooks):
    notebooks("03_change", notebook('cohort: str = "cohort-1"', "1 / 0"))
    with pytest.raises(Refusal, match=r"03_change stopped for cohort-1, cell 4 of 4\n  ZeroDivisionError: division by zero\n.*03_change.failed.ipynb"):
        run.execute(study.load(study_folder), "03_change", "cohort-1")
    assert [p.name for p in (study_folder / "outputs" / "cohort-1").iterdir()] == ["03_change.failed.ipynb"]


def test_a_success_removes_the_failed_copy(study_folder, notebooks):
    failed = study_folder / "outputs" / "cohort-1" / "03_change.failed.ipynb"
    failed.parent.mkdir(parents=True)
    failed.write_text("{}")
    notebooks("03_change", notebook('cohort: str = "cohort-1"', "print(1)"))
    run.execute(study.load(study_folder), "03_change", "cohort-1")
    assert not failed.exists()


def test_a_notebook_that_needs_pairs_says_not_applicable_where_there_are_none(study_folder, notebooks):
    template = notebook()
    template.cells[0].metadata["tags"] = ["needs-pairs"]
    notebooks("04_pairs", template)
    text = (study_folder / "study" / "study.toml").read_text()
    (study_folder / "study" / "study.toml").write_text(text[: text.index("[[roles]]")])
    made = nbformat.read(run.execute(study.load(study_folder), "04_pairs", "cohort-1"), as_version=4)
    assert made.cells[1].outputs[0].text == "Not applicable: this study has no roles, and so no pairs.\n"


def test_unknown_notebook_and_unknown_cohort_are_named(study_folder):
    loaded = study.load(study_folder)
    with pytest.raises(Refusal, match="there is no notebook 99_more.ipynb"):
        run.execute(loaded, "99_more", "cohort-1")
    with pytest.raises(Refusal, match="there is no cohort 'cohort-7'"):
        run.execute(loaded, "03_change", "cohort-7")


def test_the_command_prints_one_message_and_no_traceback(study_folder, monkeypatch, capsys):
    monkeypatch.setenv("PLRESEARCH_STUDY", str(study_folder))
    assert run.main(["03_change", "cohort-7"]) == 1
    printed = capsys.readouterr()
    assert "STOPPED" in printed.err and "Traceback" not in printed.err
