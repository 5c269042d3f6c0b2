"""Withdrawal: recorded once, left out everywhere, and told number by number."""

import datetime as dt
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest

from plresearch import forget, pseudonyms, study, withdrawal
from plresearch.clean import clean_cohort
from plresearch.frames import AUDIT, EVENTS, QUARANTINE, RESPONSES, Refusal, to_csv_text

DAY = dt.date(2027, 1, 31)


def command(project, folder, *words):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PLRESEARCH")}
    return subprocess.run([sys.executable, "-m", *words], cwd=project, capture_output=True, text=True,
                          env=kept | {"PLRESEARCH_STUDY": str(folder)})


def text_of(result):
    tables = [to_csv_text(f, s) for f, s in ((result.responses, RESPONSES), (result.audit, AUDIT), (result.quarantine, QUARANTINE),
                                             (result.events, EVENTS))]
    further = [f.to_csv() for f in (result.roster, result.codings, result.interviews, *(f for f, _ in result.kept_records.values()))]
    return "\n".join(tables + further) + "\n".join(result.warnings)


def sha(folder):
    return {p: p.read_bytes() for p in (folder / "data_raw").rglob("*") if p.is_file()}


# ------------------------------------------------------------------------------------------ leaving out

@pytest.mark.parametrize(("cohort", "person", "partner"), [
    ("cohort-1", "SYN-D01", "SYN-M01"), ("cohort-2", "SYN-M10", "SYN-D10"),
    pytest.param("cohort-3", "SYN-M20", "SYN-D20", marks=pytest.mark.slow),
])
def test_the_person_is_nowhere_and_everybody_else_is_as_before(study_folder, cohort, person, partner):
    s = study.load(study_folder)
    before, raw = withdrawal.clean_present(s, cohort), sha(study_folder)
    withdrawal.record(s, cohort, person, DAY)
    after = withdrawal.clean_present(s, cohort)
    assert sha(study_folder) == raw
    assert person in text_of(before) and person not in text_of(after)
    others = before.responses[before.responses["person"] != person].reset_index(drop=True)
    pair = others.loc[others["person"] == partner, "pair"].iloc[0]
    expected = others.assign(pair=others["pair"].where(others["person"] != partner, ""))
    pd.testing.assert_frame_equal(after.responses, expected)
    assert list(after.roster["person"]) == [p for p in before.roster["person"] if p != person]
    theirs = before.events[(before.events["person"] != person) & ~((before.events["person"] == "") & (before.events["pair"] == pair))]
    assert list(after.events["date"]) == list(theirs["date"])
    flow = after.flow.set_index("category")["n"]
    assert flow["on the roster"] == len(before.roster) - 1
    assert flow["pairs"] == before.flow.set_index("category")["n"]["pairs"] - 1


def test_without_a_record_it_is_cleaning_itself(study_folder):
    s = study.load(study_folder)
    one, two = clean_cohort(s, "cohort-1"), withdrawal.clean_present(s, "cohort-1")
    pd.testing.assert_frame_equal(one.responses, two.responses)
    pd.testing.assert_frame_equal(one.audit, two.audit)


def test_once_the_rows_are_deleted_by_hand_the_same_people_are_left(study_folder):
    s = study.load(study_folder)
    withdrawal.record(s, "cohort-1", "SYN-M03", DAY)
    recorded = withdrawal.clean_present(s, "cohort-1")
    rows = withdrawal.places(s, "cohort-1", "SYN-M03")
    for file, part in rows.groupby("file"):
        path = study_folder / "data_raw" / "cohort-1" / file
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(line for n, line in enumerate(lines) if n not in set(part["row"])), encoding="utf-8")
        assert "SYN-M03" not in path.read_text(encoding="utf-8").upper().replace(" ", "-").replace("SYN-M3", "SYN-M03")
    # the correction of a later row of the shortened export has to move up with it
    corrections = study_folder / "study" / "cohorts" / "cohort-1_corrections.csv"
    table = pd.read_csv(corrections, dtype=str, keep_default_na=False)
    for index, c in table.iterrows():
        above = rows[(rows["file"] == c["source"]) & (rows["row"] < int(c["row"]))]
        table.loc[index, "row"] = str(int(c["row"]) - len(above))
    table.to_csv(corrections, index=False)
    deleted = withdrawal.clean_present(s, "cohort-1")
    key = ["person", "wave", "item"]
    pd.testing.assert_frame_equal(recorded.responses.sort_values(key, ignore_index=True), deleted.responses.sort_values(key, ignore_index=True))
    pd.testing.assert_frame_equal(recorded.events, deleted.events)
    assert not len(withdrawal.places(s, "cohort-1", "SYN-M03"))


def test_recording_twice_changes_nothing_and_spellings_are_one_person(study_folder):
    s = study.load(study_folder)
    path = withdrawal.record(s, "cohort-2", "SYN-D07", DAY)
    assert path.read_text() == "person,recorded\nSYN-D07,2027-01-31\n"
    withdrawal.record(s, "cohort-2", "syn d7", DAY)
    assert len(path.read_text().splitlines()) == 2
    withdrawal.record(s, "cohort-2", "SYN-M10", DAY)
    assert withdrawal.withdrawn(s, "cohort-2") == {"synd7", "synm10"}
    path.write_text("who\nSYN-D07\n")
    with pytest.raises(Refusal, match="no column 'person'"):
        withdrawal.withdrawn(s, "cohort-2")


def test_a_keyed_study_records_the_token(study_folder, monkeypatch):
    monkeypatch.setenv("PLRESEARCH_KEY", "k" * 40)
    s = replace(study.load(study_folder), identifiers="keyed")
    path = withdrawal.record(s, "cohort-2", "SYN-D07", DAY)
    token = pseudonyms.marker(s, "cohort-2")("SYN-D07")
    assert path.read_text() == f"person,recorded\n{token},2027-01-31\n"
    assert token not in text_of(pseudonyms.apply(withdrawal.clean_present(s, "cohort-2"), s, "cohort-2"))


def test_a_consent_list_and_an_interview_named_after_the_person(study_folder):
    raw = study_folder / "data_raw" / "cohort-1"
    roster = pd.read_csv(raw / "roster.csv", dtype=str)
    roster.assign(scope="public", withdrawn="")[["person", "scope", "withdrawn"]].to_csv(raw / "consent.csv", index=False)
    toml = study_folder / "study" / "cohorts" / "cohort-1.toml"
    toml.write_text(toml.read_text().replace('events = "events.csv"', 'events = "events.csv"\nconsent = "consent.csv"'))
    s = study.load(study_folder)
    withdrawal.record(s, "cohort-1", "SYN-D01", DAY)
    result = withdrawal.clean_present(s, "cohort-1")
    assert len(result.kept_records["consent"][0]) == 11 and "SYN-D01" not in text_of(result)


# ------------------------------------------------------------------------------------------ the command

def test_one_person_must_be_meant(study_folder):
    s = study.load(study_folder)
    assert forget.identify(s, "cohort-2/syn-d7") == ("cohort-2", "SYN-D07")
    for name, said in (("SYN-D07", "write cohort/person"), ("cohort-2/", "write cohort/person"), ("cohort-9/SYN-D07", "there is no cohort"),
                       ("cohort-2/SYN-D99", "is not on the roster")):
        with pytest.raises(Refusal, match=said):
            forget.identify(s, name)


def test_differences_are_told_number_by_number():
    key = ("cohort-1", "03_change", "estimates", "cohort-1 | change | role | mean")
    old = {(*key, "n"): "6", (*key, "p"): "0.03", (*key, "se"): ""}
    new = {(*key, "n"): "5", (*key, "p"): "0.03", (*key, "low"): "0.1"}
    assert forget.changes(old, new)[["number", "old", "new"]].to_numpy().tolist() == [
        ["n", "6", "5"], ["se", "", "(not there)"], ["low", "(not there)", "0.1"]]
    assert not len(forget.changes(old, old))


def test_nothing_published_is_said_so(study_folder, monkeypatch, capsys):
    monkeypatch.setenv("PLRESEARCH_STUDY", str(study_folder))
    assert forget.main(["cohort-1/SYN-D01"]) == 1
    assert "run `make all` first" in capsys.readouterr().err


def test_what_is_left_to_delete_by_hand(study_folder):
    s = study.load(study_folder)
    lines = forget.left_by_hand(s, "cohort-2", "SYN-M10")
    assert "data_raw/cohort-2/pre_qualtrics.csv: row 21" in lines and any("roster.csv: row 14" in line for line in lines)
    assert any(line.startswith("study/cohorts/cohort-2_corrections.csv: line ") for line in lines)


@pytest.mark.slow
def test_report_apply_and_the_next_build_agree(project, tmp_path):
    for name in ("study", "data_raw"):
        shutil.copytree(project / name, tmp_path / name)
    for path in (tmp_path / "study" / "cohorts").glob("cohort-3*"):
        path.unlink()
    s = study.load(tmp_path)
    steps = [(n, c) for c in s.cohorts for n in forget._notebooks(r"0\d_")] + [(n, "combined") for n in forget._notebooks(r"[1-9]\d_")]
    for name, part in steps:
        assert (done := command(project, tmp_path, "plresearch.run", name, part)).returncode == 0, done.stderr
    before, raw = forget.published(tmp_path), sha(tmp_path)
    done = command(project, tmp_path, "plresearch.forget", "cohort-2/SYN-D07", "--apply")
    assert done.returncode == 0, done.stderr
    report = pd.read_csv(tmp_path / "data_processed" / "cohort-2" / "forget.csv", dtype=str, keep_default_na=False)
    assert f"{len(report)} of {len(before)} published numbers would change" in done.stdout
    assert "data_raw/cohort-2/roster.csv: row 1" in done.stdout and sha(tmp_path) == raw
    assert forget.published(tmp_path) == before
    assert set(report["part"]) == {"cohort-2", "combined"}
    again = ["01_clean", "02_score", "03_change"]
    for name in again:
        assert (done := command(project, tmp_path, "plresearch.run", name, "cohort-2")).returncode == 0, done.stderr
    expected = report[(report["part"] == "cohort-2") & report["notebook"].isin(again)].reset_index(drop=True)
    assert set(expected["notebook"]) == set(again)
    pd.testing.assert_frame_equal(forget.changes(before, forget.published(tmp_path)), expected)
    for path in (tmp_path / "data_processed" / "cohort-2").glob("*.csv"):
        assert "SYN-D07" not in path.read_text(encoding="utf-8"), path
