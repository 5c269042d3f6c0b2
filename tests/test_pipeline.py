"""The whole pipeline as its users run it: make, twice; a changed export; a failing cell; the check."""

import json
import os
import re
import shutil
import subprocess
import time

import nbformat
import pytest


def make(project, *words, study):
    """Run make in the project for a study folder, with the environment of a user."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PLRESEARCH")}
    return subprocess.run(["make", *words, f"STUDY={study}"], cwd=project, env=variables, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(project, tmp_path_factory):
    """Two shipped cohorts, built once; tests that spoil it put it right again."""
    folder = tmp_path_factory.mktemp("study")
    for name in ("study", "data_raw"):
        shutil.copytree(project / name, folder / name)
    for path in (folder / "study" / "cohorts").glob("cohort-3*"):
        path.unlink()
    done = make(project, "-j2", "all", study=folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def outputs(folder):
    return {p.relative_to(folder): p.read_bytes() for p in (folder / "outputs").rglob("*") if p.is_file()}


def test_every_cohort_has_its_evaluation_and_the_paper_is_there(built):
    for name in ("cohort-1/evaluation", "cohort-2/evaluation", "combined/paper"):
        for kind in ("html", "docx", "pdf"):
            assert (built / "outputs" / f"{name}.{kind}").stat().st_size > 10_000
    index = (built / "outputs" / "index.html").read_text()
    for link in re.findall(r'(?:href|src)="([^"#]+)"', index):
        assert (built / "outputs" / link).exists(), link


def test_nothing_about_a_person_leaves(built):
    roster = (built / "data_raw" / "cohort-1" / "roster.csv").read_text().splitlines()[1:]
    people = [line.split(",")[0] for line in roster]
    for path, content in outputs(built).items():
        if path.suffix in (".csv", ".json", ".ipynb", ".html", ".md"):
            text = content.decode("utf-8")
            assert not [p for p in people if p in text], path
            assert str(built) not in text, path


def test_the_manifest_lists_every_output_with_its_hash(built):
    import hashlib

    manifest = json.loads((built / "outputs" / "manifest.json").read_text())
    made = {str(p): hashlib.sha256(b).hexdigest() for p, b in outputs(built).items() if p.name != "manifest.json"}
    assert manifest["outputs"] == made and manifest["synthetic"] and manifest["seed"]
    assert "data_raw/cohort-1/pre.csv" in manifest["inputs"] and "study/plan.toml" in manifest["inputs"]


def test_a_second_make_does_nothing_and_returns_at_once(project, built):
    started = time.perf_counter()
    done = make(project, "all", study=built)
    assert done.returncode == 0 and time.perf_counter() - started < 5
    assert "cohort-1" not in done.stdout and "10_combined" not in done.stdout


def test_editing_one_export_rebuilds_that_cohort_and_what_pools_it(project, built):
    export = built / "data_raw" / "cohort-1" / "post.csv"
    original = export.read_bytes()
    try:
        export.write_bytes(original + b"\n")
        planned = make(project, "-n", "all", study=built).stdout
    finally:
        export.write_bytes(original)
    assert "01_clean cohort-1" in planned and "10_combined combined" in planned and "paper combined" in planned
    assert "cohort-2" not in planned


def test_an_altered_number_and_an_emptied_notebook_fail_the_check(project, built):
    path = built / "outputs" / "cohort-1" / "03_change.ipynb"
    original = path.read_bytes()
    notebook = nbformat.reads(original.decode(), as_version=4)
    try:
        for cell in notebook.cells:
            cell.pop("outputs", None) if cell.cell_type != "code" else cell.update(outputs=[])
        path.write_text(nbformat.writes(notebook))
        emptied = make(project, "check", study=built)
    finally:
        path.write_bytes(original)
    assert emptied.returncode != 0 and "has no stored outputs" in emptied.stderr


@pytest.mark.slow
def test_the_check_passes_and_fails_for_one_altered_digit(project, built):
    passed = make(project, "check", study=built)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    path = built / "outputs" / "cohort-1" / "02_score.ipynb"
    original = path.read_text()
    altered = re.sub(r"(\d)\.(\d)(\d)", lambda m: f"{m[1]}.{m[2]}{(int(m[3]) + 1) % 10}", original[original.index("Cronbach"):], count=1)
    try:
        path.write_text(original[: original.index("Cronbach")] + altered)
        failed = make(project, "check", study=built)
    finally:
        path.write_text(original)
    assert failed.returncode != 0 and "DIFFERS" in failed.stderr and "02_score" in failed.stderr


def test_a_refused_export_stops_with_one_readable_message(project, built, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(built, folder)
    (folder / "data_raw" / "cohort-1" / "pre.csv").write_text("a,b\n1,2\n")
    done = make(project, "cohort-1", study=folder)
    assert done.returncode != 0 and "STOPPED  01_clean stopped for cohort-1" in done.stderr
    assert "Traceback" not in done.stderr and "pre.csv" in done.stderr
    again = make(project, "cohort-1", study=folder)
    assert again.returncode != 0 and "STOPPED  01_clean" in again.stderr, "what stood there before is not taken for a result"


@pytest.mark.slow
def test_the_shipped_record_is_reproduced_byte_for_byte(project, tmp_path):
    for name in ("study", "data_raw"):
        shutil.copytree(project / name, tmp_path / name)
    done = make(project, "-j2", "all", study=tmp_path)
    assert done.returncode == 0, done.stderr
    stored = {p: b for p, b in outputs(project).items() if ".failed." not in p.name}
    made = outputs(tmp_path)
    assert sorted(str(p) for p in stored if p not in made) == []
    assert [str(p) for p in stored if made[p] != stored[p]] == [], "the manifest among them covers every document and picture"


BUCKNELL = {"unknown_outcome": (2.3363, 4.0224, 223), "proposal": (2.6154, 4.1403, 221), "exams": (4.0263, 2.1158, 190)}


@pytest.mark.slow
def test_a_real_survey_without_roles_runs_to_its_paper(project, real, tmp_path):
    """Independent figures of the public Bucknell survey: means before and after of three single items."""
    from plresearch import frames, score, study

    shutil.copytree(project / "tests" / "studies" / "bucknell" / "study", tmp_path / "study")
    for year in (1, 2, 3):
        folder = tmp_path / "data_raw" / f"year-{year}"
        folder.mkdir(parents=True)
        (folder / f"Year{year}.NoInstructor.tsv").symlink_to(real / "bucknell_cure" / f"Year{year}.NoInstructor.tsv")
    done = make(project, "-j2", "all", study=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert (tmp_path / "outputs" / "combined" / "paper.pdf").is_file()
    loaded = study.load(tmp_path)
    scores = frames.stack([frames.from_csv(loaded.processed(c) / "scores.csv", frames.SCORES) for c in loaded.cohorts], frames.SCORES)
    whole = score.complete(scores, waves=("pre", "post"), roles=())
    means = whole.groupby(["subscale", "wave"])["score"].agg(["mean", "size"])
    for item, (before, after, n) in BUCKNELL.items():
        assert means.loc[(item, "pre"), "mean"] == pytest.approx(before, abs=5e-5)
        assert means.loc[(item, "post"), "mean"] == pytest.approx(after, abs=5e-5)
        assert means.loc[(item, "pre"), "size"] == n
