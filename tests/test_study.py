"""Configuration: the shipped study is valid; every fault is reported, all at once, with its cure."""

import pytest

from plresearch import study
from plresearch.frames import Refusal


def replace(folder, file, old, new):
    path = folder / "study" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def faults(folder):
    with pytest.raises(study.ConfigurationError) as caught:
        study.load(folder)
    return caught.value.faults


def test_the_shipped_study_is_synthetic_and_paired():
    shipped = study.load()
    assert shipped.synthetic and shipped.paired and shipped.unit == "pair"
    assert list(shipped.cohorts) == ["cohort-1", "cohort-2", "cohort-3"]
    assert list(shipped.outcomes) == ["preparedness", "role", "ethos", "collaboration"]
    assert shipped.scale == (1.0, 5.0)


def test_every_subscale_has_a_reversed_item_but_the_running():
    shipped = study.load()
    for subscale in shipped.outcomes:
        assert any(i.reversed for i in shipped.instrument.items_of(subscale))
    assert all(i.waves == ("post",) for i in shipped.instrument.items_of("running"))


def test_all_faults_of_all_files_come_at_once(study_folder):
    replace(study_folder, "study.toml", 'release = "programme"', 'release = "everybody"')
    replace(study_folder, "plan.toml", 'from = "pre"', 'from = "per"')
    replace(study_folder, "instruments/pl.toml", 'subscale = "preparedness"', 'subscale = "preparednes"')
    replace(study_folder, "cohorts/cohort-2.toml", "start = 2015-09-01", 'start = "2015-09-01"')
    found = faults(study_folder)
    assert len(found) >= 4
    for file in ("study/study.toml: release", "study/plan.toml: contrasts[1].from", "study/instruments/pl.toml",
                 "study/cohorts/cohort-2.toml: start"):
        assert any(f.startswith(file) for f in found), file
    assert any("did you mean 'pre'" in f for f in found)


@pytest.mark.parametrize(("file", "old", "new", "words"), [
    ("study.toml", "seed = 20180601", 'seed = "many"', "seed: is 'many'; it must be a whole number"),
    ("study.toml", "seed = 20180601", "sede = 20180601", "sede: is not a known key (did you mean 'seed'?)"),
    ("study.toml", 'timezone = "Europe/London"', 'timezone = "Lothian"', "'Lothian' is not a time zone"),
    ("study.toml", "synthetic = true", "synthetic = tru", "cannot be read as TOML"),
    ("study.toml", 'instrument = "pl"', 'instrument = "../pl"', "must be the plain name"),
    ("plan.toml", "primary = true", "primary = false", "exactly one contrast is primary"),
    ("plan.toml", '"preparedness", "role"', '"preparedness", "roll"', "'roll' is not a subscale or item"),
    ("instruments/pl.toml", "codes = [1, 2, 3, 4, 5]", "codes = [1, 2, 3, 4]", "5 labels for 4 codes"),
    ("instruments/pl.toml", "minimum = 3", "minimum = 9", "is 9 of 4 items"),
    ("instruments/pl.toml", 'id = "prep_2"', 'id = "prep_1"', "'prep_1' is used twice"),
    ("cohorts/cohort-1.toml", 'wave = "pre"', 'wave = "before"', "'before' is not a wave"),
    ("cohorts/cohort-1.toml", 'file = "pre.csv"', 'file = "../pre.csv"', "must be a file name inside data_raw/"),
    ("cohorts/cohort-1.toml", 'format = "csv"', 'format = "paper"', "'paper' is unknown"),
    ("cohorts/cohort-1.toml", "end = 2015-06-30", "end = 2013-06-30", "lies before start"),
    ("codebook.toml", 'subscale = "role"', 'subscale = "rule"', "'rule' is not a subscale (did you mean 'role'?)"),
])
def test_one_fault_names_file_key_and_cure(study_folder, file, old, new, words):
    replace(study_folder, file, old, new)
    assert any(f"study/{file}" in f and words in f or words in f for f in faults(study_folder))


def test_a_missing_instrument_file_is_named(study_folder):
    (study_folder / "study" / "instruments" / "pl.toml").unlink()
    assert any("study/instruments/pl.toml: file: is not there" in f for f in faults(study_folder))


def test_a_study_without_cohorts_is_told_how_to_add_one(study_folder):
    for path in (study_folder / "study" / "cohorts").glob("*.toml"):
        path.unlink()
    assert any("no cohort is declared; add one file per cohort" in f for f in faults(study_folder))


def test_an_unknown_cohort_lists_the_known_ones():
    with pytest.raises(Refusal, match="cohort-1, cohort-2, cohort-3 .did you mean 'cohort-1'"):
        study.load().cohort("cohort1")


def test_a_cohort_is_added_by_its_file_alone(study_folder):
    text = (study_folder / "study" / "cohorts" / "cohort-1.toml").read_text()
    (study_folder / "study" / "cohorts" / "north-2027.toml").write_text(text)
    assert "north-2027" in study.load(study_folder).cohorts


def test_a_file_name_that_is_no_plain_name_is_a_fault(study_folder):
    source = study_folder / "study" / "cohorts" / "cohort-1.toml"
    source.rename(source.with_name("Cohort One.toml"))
    assert any("small letters, digits" in f for f in faults(study_folder))
