"""The door: what may leave, what is refused, what is written."""

import json

import pandas as pd
import pytest

from plresearch import figures, publish, study
from plresearch.frames import COUNTS, ESTIMATES, RESPONSES, SCORES, Refusal, from_csv, make


@pytest.fixture
def door(study_folder):
    return publish.Door(study.load(study_folder), "cohort-1", "02_score")


def plate(door):
    figures.setup(synthetic=door.study.synthetic)
    rows = [{"cohort": "c", "analysis": "delivery", "category": c, "n": n, "of": 12} for c, n in (("meetings", 7), ("contract", 12))]
    return figures.delivery_completion(make(rows, COUNTS), {"meetings": "Meetings", "contract": "Contracts"}, k=5)


@pytest.mark.parametrize("shape", [RESPONSES, SCORES])
def test_rows_about_people_do_not_pass(door, shape):
    with pytest.raises(Refusal, match="may not leave"):
        door.screen(make([], shape))


def test_a_table_with_numbers_is_not_shown_unscreened(door):
    with pytest.raises(Refusal, match="only printed tables are shown"):
        door.show(pd.DataFrame({"score": [3.25]}))


def test_small_groups_are_masked_on_the_way_out(door):
    rows = [{"cohort": "cohort-1", "analysis": "x", "outcome": "role", "term": "mean", "n": n, "estimate": 3.0} for n in (4, 6)]
    door.save(estimates=make(rows, ESTIMATES))
    written = from_csv(door.study.outputs("cohort-1") / "estimates" / "02_score.csv", ESTIMATES)
    assert written["estimate"].isna().tolist() == [True, False]


def test_rows_are_marked_as_planned_or_exploratory(door):
    rows = [{"analysis": "change", "term": t, "outcome": "role", "n": 6} for t in ("pair mean", "d_z")]
    assert door.screen(make(rows, ESTIMATES))["planned"].tolist() == ["planned", "exploratory"]


def test_a_deviation_from_the_plan_is_marked_and_listed(study_folder):
    path = study_folder / "study" / "plan.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('id = "pair-change"', 'id = "pair-change"\ndeviation = "one pair was added late"', 1), encoding="utf-8")
    door = publish.Door(study.load(study_folder), "cohort-1", "02_score")
    rows = [{"analysis": "change", "term": "pair mean", "outcome": "role", "n": 6}]
    assert door.screen(make(rows, ESTIMATES))["planned"].tolist() == ["deviated"]
    assert door.study.plan.all_deviations == ("pair-change: one pair was added late",)


def test_a_planned_analysis_without_a_result_fails(study_folder):
    door = publish.Door(study.load(study_folder), "cohort-1", "03_change")
    with pytest.raises(Refusal, match="the plan's analysis 'pair-change' has no result for 4 of 4 outcomes"):
        door.save(estimates=make([], ESTIMATES))


def test_a_figure_is_written_with_its_numbers_and_its_alt_text(door):
    door.save(figures={"delivery": plate(door)})
    folder = door.study.outputs("cohort-1") / "figures"
    assert (folder / "delivery.png").read_bytes().startswith(b"\x89PNG")
    assert "7" in (folder / "delivery.csv").read_text()
    about = json.loads((folder / "delivery.json").read_text())
    assert about["synthetic"] and about["alt"] and about["notebook"] == "02_score"


def test_a_shown_figure_names_its_numbers_so_that_a_changed_one_is_seen(door):
    shown = door.show(plate(door))
    assert shown._repr_mimebundle_()["image/png"] == shown.png and "[numbers " in shown.text


def test_shown_text_cannot_inject_html(door):
    shown = door.show(pd.DataFrame({"Theme": ["<script>alert(1)</script>"]}))
    assert "<script>" not in shown.html and "<script>" not in door.say("<script>x</script>").html


def test_synthetic_is_said_at_the_head_and_on_every_table(door):
    assert "SYNTHETIC DATA" in door.opening().text
    assert "Synthetic data" in door.show(pd.DataFrame({"a": ["b"]})).html


def test_kept_rows_come_back_for_a_cohort_and_for_all(study_folder):
    s = study.load(study_folder)
    for cohort in s.cohorts:
        rows = make([{"cohort": cohort, "person": "p", "subscale": "role", "score": 3.0}], SCORES)
        publish.Door(s, cohort, "02_score").keep(scores=(rows, SCORES))
    assert len(publish.Door(s, "cohort-2", "03_change").kept("scores", SCORES)) == 1
    assert len(publish.Door(s, "combined", "10_combined").kept("scores", SCORES)) == 3
