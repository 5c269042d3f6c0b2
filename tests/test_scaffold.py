"""A new cohort from its exports, as a researcher does it: the command, on a copy of the study."""

import csv
import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from plresearch import proposal, readiness, scaffold, study
from plresearch.clean import validate
from plresearch.frames import RESPONSES, Refusal, make
from plresearch.intake import CORRECTION_COLUMNS


def run(project, folder, *words):
    """The command in a process of its own, with the study in `folder`."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PLRESEARCH")}
    return subprocess.run([sys.executable, "-m", "plresearch.scaffold", *words], cwd=project, capture_output=True, text=True,
                          env=variables | {"PLRESEARCH_STUDY": str(folder)}, stdin=subprocess.DEVNULL)


def cohort_file(folder, name):
    return tomllib.loads((folder / "study" / "cohorts" / f"{name}.toml").read_text(encoding="utf-8"))


def correct(folder, name, *rows):
    with (folder / "study" / "cohorts" / f"{name}_corrections.csv").open("a", encoding="utf-8", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows([*row, "it was found out", "a test"] for row in rows)


def test_from_a_folder_of_exports_to_ready(project, study_folder):
    exports = study_folder / "from survey tool"
    shutil.copytree(project / "data_raw" / "cohort-2", exports)
    first = run(project, study_folder, "2027-north", str(exports))
    assert first.returncode == 1 and "Traceback" not in first.stderr
    assert "not ready yet: 3 things to do" in first.stderr and "SYN-M1O" in first.stderr and "same person twice" in first.stderr
    assert sorted(p.name for p in exports.iterdir()) == sorted(p.name for p in (study_folder / "data_raw" / "2027-north").iterdir())
    settings = cohort_file(study_folder, "2027-north")
    known = cohort_file(study_folder, "cohort-2")
    for proposed, declared in zip(settings["sources"], known["sources"], strict=True):
        for key in ("file", "wave", "format", "person", "consent", "consent_given"):
            assert proposed[key] == declared[key]
        assert proposed["columns"] == {i: i for i in proposed["columns"]}
    assert [len(s["columns"]) for s in settings["sources"]] == [16, 20]
    for key in ("roster", "events", "interviews"):
        assert settings[key] == known[key]
    written = (study_folder / "study" / "cohorts" / "2027-north_corrections.csv").read_text()
    assert written == ",".join(CORRECTION_COLUMNS) + "\n"
    assert "I agree to take part" in (study_folder / "study" / "cohorts" / "2027-north_data-protection.md").read_text()

    correct(study_folder, "2027-north", ["pre_qualtrics.csv", 21, "code", "SYN-M1O", "SYN-M10"],
            ["pre_qualtrics.csv", 15, "(row)", "", "drop"])
    toml = study_folder / "study" / "cohorts" / "2027-north.toml"
    edited = toml.read_text(encoding="utf-8").replace('label = "2027-north"', 'label = "North"')
    toml.write_text(edited, encoding="utf-8")
    second = run(project, study_folder, "2027-north")
    assert second.returncode == 0, second.stderr
    assert "Ready: run `make 2027-north`" in second.stdout
    assert toml.read_text(encoding="utf-8") == edited


def test_a_later_export_is_proposed_and_nothing_edited_is_overwritten(project, study_folder):
    raw = project / "data_raw" / "cohort-3"
    begun = study_folder / "begun"
    begun.mkdir()
    for name in ("roster.csv", "pre_forms.xlsx"):
        shutil.copy(raw / name, begun / name)
    assert scaffold.scaffold(study_folder, "new", begun)
    missing, notes = readiness.faults(study_folder, "new")
    assert missing == [] and any("only wave 'pre'" in n for n in notes)
    before = (study_folder / "study" / "cohorts" / "new.toml").read_bytes()
    done = scaffold.scaffold(study_folder, "new", raw / "post_forms.xlsx")
    assert (study_folder / "study" / "cohorts" / "new.toml").read_bytes() == before
    block = tomllib.loads(next(d for d in done if "[[sources]]" in d).split("\n\n", 1)[1])
    assert block["sources"][0]["wave"] == "post" and len(block["sources"][0]["columns"]) == 20
    assert any("post_forms.xlsx is not named" in n for n in readiness.faults(study_folder, "new")[1])
    (begun / "pre_forms.xlsx").write_bytes(b"another")
    with pytest.raises(Refusal, match="raw data are never overwritten"):
        scaffold.scaffold(study_folder, "new", begun)


@pytest.mark.parametrize("name", ["../x", "a/b", "North", "", "x" * 41, "all", "combined", "-x", ".toml"])
def test_an_id_is_a_plain_name_that_make_does_not_know(study_folder, name):
    before = sorted(study_folder.rglob("*"))
    with pytest.raises(Refusal):
        scaffold.scaffold(study_folder, name, None)
    assert sorted(study_folder.rglob("*")) == before


def test_without_exports_it_says_where_they_go_and_the_study_stays_whole(study_folder):
    with pytest.raises(Refusal, match="not ready yet: data_raw/2027-north/ holds no export"):
        scaffold.scaffold(study_folder, "2027-north", None)
    assert (study_folder / "data_raw" / "2027-north").is_dir()
    assert "2027-north" not in study.load(study_folder).cohorts
    with pytest.raises(Refusal, match="is not there"):
        scaffold.scaffold(study_folder, "2027-north", study_folder / "nowhere")


def test_a_renamed_question_and_a_damaged_file_are_shown_in_the_cohort_file(project, study_folder):
    exports = study_folder / "exports"
    exports.mkdir()
    text = (project / "data_raw" / "cohort-1" / "pre.csv").read_text(encoding="utf-8-sig")
    odd = 'I am ready to lead a change in "our" service'
    (exports / "baseline.csv").write_text(
        text.replace("1. I feel ready to lead a change in my service", '"' + odd.replace('"', '""') + '"'), encoding="utf-8")
    (exports / "zipped.csv").write_bytes(b"\x1f\x8b rest")
    shutil.copy(project / "data_raw" / "cohort-1" / "roster.csv", exports)
    scaffold.scaffold(study_folder, "odd", exports)
    written = (study_folder / "study" / "cohorts" / "odd.toml").read_text(encoding="utf-8")
    assert '# "I am ready to lead a change in \\"our\\" service" = "prep_1"' in written
    assert "# zipped.csv was not read" in written and "gzip" in written
    missing, _ = readiness.faults(study_folder, "odd")
    assert len(missing) == 1 and missing[0].startswith("schema: ") and "prep_1" in missing[0]
    toml = study_folder / "study" / "cohorts" / "odd.toml"
    toml.write_text(written.replace('# "I am ready', '"I am ready'), encoding="utf-8")
    missing, _ = readiness.faults(study_folder, "odd")
    assert [m[:4] for m in missing] == ["ids:"] and "SYN-D77" in missing[0]


def test_too_few_people_and_a_study_of_real_answers_without_its_page(project, study_folder):
    exports = study_folder / "exports"
    exports.mkdir()
    lines = (project / "data_raw" / "cohort-1" / "pre.csv").read_text(encoding="utf-8-sig").splitlines(keepends=True)
    (exports / "pre.csv").write_text("".join(lines[:4]), encoding="utf-8")
    shutil.copy(project / "data_raw" / "cohort-1" / "roster.csv", exports)
    scaffold.scaffold(study_folder, "few", exports)
    assert "day or the month first" in readiness.faults(study_folder, "few")[0][0]
    toml = study_folder / "study" / "cohorts" / "few.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("# day_first = true", "day_first = true"), encoding="utf-8")
    assert readiness.faults(study_folder, "few")[0] == [
        "n: 3 people answered at pre; release profile programme needs 5 before any number may leave"]
    top = study_folder / "study" / "study.toml"
    top.write_text(top.read_text().replace("synthetic = true", "synthetic = false"))
    assert any("data protection" in m for m in readiness.faults(study_folder, "few")[0])
    page = study_folder / "study" / "cohorts" / "few_data-protection.md"
    page.write_text(page.read_text().replace(": fill in", ": known"))
    assert not any("data protection" in m for m in readiness.faults(study_folder, "few")[0])


def test_a_roster_is_asked_for_where_people_are_paired(project, study_folder):
    scaffold.scaffold(study_folder, "alone", project / "data_raw" / "cohort-1" / "post.csv")
    assert any(m.startswith("ids: the study has pairs, and no roster") for m in readiness.faults(study_folder, "alone")[0])


@pytest.mark.parametrize(("file", "wave"), [
    ("pre.csv", "pre"), ("Follow-up 2027 post.csv", "post"), ("baseline_export.xlsx", "pre"), ("Before.csv", "pre"),
    ("pre-post.csv", ""), ("prepared.csv", ""), ("answers.csv", ""),
])
def test_the_wave_that_a_file_name_names(file, wave):
    assert proposal.wave_in_name(file, study.load()) == wave


def test_how_sure_the_wave_is(project):
    s = study.load()
    folder = project / "data_raw" / "cohort-1"
    for name, copied, expected in (("pre.csv", "pre.csv", "sure"), ("pre.csv", "answers.csv", "likely"), ("pre.csv", "post.csv", "unsure")):
        export = proposal.look(folder / name, s)
        made = proposal.propose(export.__class__(**{**vars(export), "source": copied}), s)
        assert len(made) == 1 and made[0].source.wave == "pre" and made[0].how["wave"].startswith(expected)


def test_one_file_for_two_waves_gives_two_proposals(real, project):
    s = study.load(project / "tests" / "studies" / "bucknell")
    made = proposal.propose(proposal.look(real / "bucknell_cure" / "Year1.NoInstructor.tsv", s), s)
    assert [p.source.wave for p in made] == ["pre", "post"]
    assert all(len(p.matches) == 15 and not p.missing for p in made)


def test_corrupted_responses_are_reported_whole():
    s = study.load()
    good = [{"cohort": "c", "person": f"p{n}", "pair": "", "role": "doctor", "wave": "pre", "instrument": "pl", "item": "prep_1",
             "value": 3.0} for n in range(8)]
    validate(make(good, RESPONSES), RESPONSES, study=s)
    bad = [dict(r) for r in good]
    bad[0]["value"], bad[1]["value"] = 6.0, 2.5
    bad[2]["wave"], bad[3]["role"], bad[4]["item"], bad[5]["person"] = "during", "nurse", "prep_9", ""
    bad[6]["person"] = bad[7]["person"]
    with pytest.raises(Refusal) as caught:
        validate(make(bad, RESPONSES), RESPONSES, study=s)
    said = str(caught.value)
    for word in ("during", "nurse", "prep_9", "person", "value is one of the item's codes"):
        assert word in said, said
    assert "multiple_fields_uniqueness" in said or "unique" in said, said
    for row in ("row 0", "row 2", "row 3", "row 4", "row 5", "row 6"):
        assert row in said, (row, said)
