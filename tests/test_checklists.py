"""Reporting guidelines: complete, in our own words, and claimed only for what exists."""

import shutil
import tomllib

import pytest

from plresearch import checklists
from plresearch import study as study_module
from plresearch.frames import Refusal

STUDY = study_module.load()
SIZES = {"coreq": 32, "srqr": 21, "gramms": 6}


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_every_item_of_a_guideline_is_there(name, size):
    found = checklists.checklist(STUDY, name)
    assert len(found) == size and found["No"].str.removeprefix("S").tolist() == [str(k) for k in range(1, size + 1)]
    assert (found["Item"].str.len() > 5).all()
    absent = found[found["Status"] == checklists.ABSENT]
    assert (absent["Note"] != "").all()  # what is not reported says what to do


def test_all_checklists_are_known():
    assert checklists.names() == sorted(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_every_place_is_a_heading_of_a_document(name):
    places = {i["place"] for i in tomllib.loads((checklists.PAPER / "checklists" / f"{name}.toml").read_text())["items"] if i.get("place")}
    assert not [p for p in places if not checklists._has_heading(STUDY, p)]


def test_an_item_is_reported_only_while_its_artefact_exists(tmp_path):
    shutil.copytree(STUDY.root / "study", tmp_path / "study")
    study = study_module.load(tmp_path)

    def status(number):
        return checklists.checklist(study, "coreq").set_index("No").loc[number, "Status"]

    assert status("22") == checklists.MISSING and status("25") == checklists.REPORTED and status("1") == checklists.ABSENT
    for cohort in list(study.cohort_names):
        assert status("22") == checklists.MISSING  # not before every cohort has it
        target = tmp_path / "outputs" / cohort / "figures" / "saturation.png"
        target.parent.mkdir(parents=True)
        target.write_bytes(b"x")
    assert status("22") == checklists.REPORTED
    (tmp_path / "study" / "evaluation.md").write_text("# Another text\n")
    assert status("22") == checklists.MISSING  # the study's own document has no such heading


def test_what_was_learned_is_not_claimed_before_a_person_has_judged(tmp_path):
    shutil.copytree(STUDY.root / "study", tmp_path / "study")
    for judgement, status in (("", checklists.MISSING), ("expands", checklists.REPORTED)):
        (tmp_path / "study" / "joint_display.csv").write_text(f"theme,judgement,comment\ntime_pressure,{judgement},\n")
        assert checklists.checklist(study_module.load(tmp_path), "gramms").set_index("No").loc["6", "Status"] == status


def test_a_wrong_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checklists, "PAPER", tmp_path)
    folder = tmp_path / "checklists"
    folder.mkdir()
    for text, words in (('[[items]]\nnumber = "1"\nitem = "x"\nplaces = "y"\n', "'places' is missing or no known key"),
                        ('[[items]]\nnumber = "1"\n', "'item' is missing"),
                        ('[[items]]\nnumber = "1"\nitem = "x"\n[[items]]\nnumber = "1"\nitem = "y"\n', "used twice")):
        (folder / "x.toml").write_text(text)
        with pytest.raises(Refusal, match=words):
            checklists.checklist(STUDY, "x")
    with pytest.raises(Refusal, match="no checklist 'z'"):
        checklists.checklist(STUDY, "z")
