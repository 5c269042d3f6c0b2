"""The running of the programme: what was done of what was planned, dose by pair, dose and change, the forum."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from plresearch import delivery, exact, labels, robust
from plresearch import study as study_module
from plresearch.clean import clean_cohort
from plresearch.frames import COUNTS, DOSE, ESTIMATES, EVENTS, PEOPLE, SCORES, TOPICS, Refusal, conform, make
from plresearch.protocol import people as everyone
from plresearch.records import check_topics

ROLES = ("doctor", "manager")
TARGETS = {"meetings_target": 4, "shadowing_target": 2}


def roster(pairs: int) -> pd.DataFrame:
    return make([{"cohort": "c", "person": f"{r[0].upper()}{k}", "pair": f"P{k}", "role": r, "post": f"{r} {k % 2}"}
                 for k in range(1, pairs + 1) for r in ROLES], PEOPLE)


def events(*rows) -> pd.DataFrame:
    """EVENTS from (kind, pair, person, date, minutes, status)."""
    return make([dict(zip(("kind", "pair", "person", "date", "minutes", "status"), r, strict=True)) | {"cohort": "c"} for r in rows], EVENTS)


RAN = events(
    ("contract_confidentiality", "P1", "", "2026-01-05", np.nan, "signed"), ("contract_goals", "P1", "", "2026-01-05", np.nan, "signed"),
    ("contract", "P2", "", "2026-02-05", np.nan, "done"), ("contract_goals", "P3", "", "2026-02-05", np.nan, "planned"),
    *[("meeting", "P1", "", f"2026-03-{d:02d}", 60, "done") for d in range(1, 7)], ("meeting", "P2", "", "2026-03-09", np.nan, "done"),
    ("meeting", "P2", "", "2026-03-10", np.nan, "cancelled"),
    ("shadowing", "P1", "D1", "2026-04-01", 120, "done"), ("shadowing", "P1", "M1", "2026-04-02", 90, "done"),
    ("shadowing", "P2", "D2", "2026-04-03", 60, "done"), ("shadowing", "P2", "D2", "2026-04-04", 60, "done"),
    ("shadowing_chairman", "P2", "M2", "2026-04-05", 30, "done"),
    ("reflection", "P1", "D1", "2026-05-01", np.nan, "done"), ("reflection", "P1", "D1", "2026-05-02", np.nan, "done"),
    ("workshop", "P1", "D1", "2026-05-03", 180, "done"), ("workshop", "P1", "M1", "2026-05-03", np.nan, "missed"),
    ("forum", "P1", "D1", "2026-05-10", 90, "done"), ("forum", "P1", "D1", "2026-06-10", 90, "done"), ("forum", "P1", "M1", "2026-05-10", 90, "done"),
    ("forum", "P2", "D2", "2026-05-10", np.nan, "missed"), ("forum", "", "", "2026-05-10", 90, "done"), ("forum", "P3", "D3", "2026-05-10", np.nan, "cancelled"),
)
PEOPLE3 = roster(3)


def counted(found) -> dict:
    return {r.category: (r.n, r.of) for r in found.itertuples()}


def row(estimates, outcome, term):
    found = estimates[(estimates["outcome"] == outcome) & (estimates["term"] == term)]
    assert len(found) == 1
    return found.iloc[0]


def test_what_was_done_of_what_was_planned():
    done = delivery.completion(RAN, PEOPLE3, roles=ROLES, **TARGETS)
    assert counted(done) == {
        "contract": (2, 3), "contract term|confidentiality": (1, 2), "contract term|goals": (1, 2),
        "meetings": (5, 12),  # six of a pair count as its four
        "shadowing": (4, 6), "shadowing|doctor": (2, 3), "shadowing|manager": (1, 3), "both ways": (1, 3), "visited|chairman": (1, 6),
        "reflections": (1, 6), "workshops": (1, 2), "forum": (4, 5), "came again": (1, 2), "came again|doctor": (1, 1),
        "came again|manager": (0, 1), "length recorded": (16, 17)}
    assert set(done["analysis"]) == {"delivery"} and conform(done, COUNTS).equals(done)


def test_labels_name_what_a_cohort_has():
    done = delivery.completion(RAN, PEOPLE3, roles=ROLES, **TARGETS)
    named = labels.components(done, {"doctor": "Doctors", "manager": "Managers"}) | labels.fidelity(done, {"doctor": "Doctors", "manager": "Managers"})
    assert set(named) == set(done["category"])
    assert labels.components(delivery.completion(events(), PEOPLE3, roles=ROLES, meetings_target=0, shadowing_target=0), {}) \
        == {"contract": "Contracts signed (pairs)", "reflections": "Wrote a reflection (people)"}


def test_the_month_counts_a_session_and_a_contract_once():
    assert counted(delivery.timeline(RAN)) == {
        "2026-01|contract": (1, 2), "2026-02|contract": (1, 2), "2026-03|meeting": (7, 7), "2026-04|shadowing": (5, 5),
        "2026-05|forum": (1, 2), "2026-05|reflection": (2, 2), "2026-05|workshop": (1, 1), "2026-06|forum": (1, 2)}


def test_hours_are_own_events_and_the_pairs_meetings():
    found = delivery.hours(RAN, PEOPLE3, roles=ROLES, level=0.95)
    doctors = np.array([6 + 2 + 3 + 3, 2, 0])  # meetings, shadowing, workshop, two forums; two visits; nothing
    whole = row(found, "hours", "hours|doctor")
    half = stats.t.ppf(0.975, 2) * doctors.std(ddof=1) / math.sqrt(3)
    assert whole["estimate"] == pytest.approx(doctors.mean()) and whole["high"] == pytest.approx(doctors.mean() + half)
    assert whole["low"] == 0 and whole["unit"] == "hours"  # nobody gives less than nothing
    assert row(found, "shadowing", "hours|manager")["estimate"] == pytest.approx((1.5 + 0.5) / 3)
    parts = found[found["outcome"] != "hours"].groupby("term")["estimate"].sum()
    assert parts["hours|doctor"] == pytest.approx(whole["estimate"])
    alone = delivery.hours(RAN, PEOPLE3.assign(role=""), roles=(), level=0.95)
    assert set(alone["term"]) == {"hours|all"} and set(alone["n"]) == {6}
    assert "not defined" in delivery.hours(RAN, PEOPLE3[:1], roles=("doctor",), level=0.95)["method"].iloc[0]


def test_the_forum_by_role_and_by_grade():
    assert counted(delivery.forum(RAN, PEOPLE3)) == {"2026-05-10|": (1, 1), "2026-05-10|doctor": (1, 2), "2026-05-10|manager": (1, 1), "2026-06-10|doctor": (1, 1)}
    assert counted(delivery.forum(RAN, PEOPLE3, by="post")) == {
        "2026-05-10|": (1, 1), "2026-05-10|doctor 0": (0, 1), "2026-05-10|doctor 1": (1, 1), "2026-05-10|manager 1": (1, 1), "2026-06-10|doctor 1": (1, 1)}


def test_topics_are_raised_and_resolved_once():
    rows = [("2026-05-10", "Rota gaps", "raised"), ("2026-06-10", "rota  GAPS", "Resolved"), ("2026-06-10", "Parking", "resolved"), ("2026-06-11", "Beds", "raised")]
    table = check_topics(pd.DataFrame(rows, columns=["date", "topic", "status"], index=range(1, 5)), cohort_id="c", source="t.csv")
    assert conform(table, TOPICS).equals(table)
    assert counted(delivery.topics(table)) == {"raised": (3, 3), "resolved": (2, 3)}
    assert labels.topics(delivery.topics(table)) == "Topics raised at the forum: 3; resolved by the end: 2."
    assert "No list" in labels.topics(delivery.topics(make([], TOPICS)))
    for line in (("soon", "x", "raised"), ("2026-05-10", "", "raised"), ("2026-05-10", "x", "open")):
        with pytest.raises(Refusal, match="row 1: a topic needs a date"):
            check_topics(pd.DataFrame([line], columns=["date", "topic", "status"], index=[1]), cohort_id="c", source="t.csv")


# ------------------------------------------------------------------------------------------------ dose

def test_dose_is_told_pair_by_pair_and_fidelity_is_the_mean_of_shares():
    doses = delivery.dose(RAN, PEOPLE3, roles=ROLES, **TARGETS)
    assert conform(doses, DOSE).equals(doses) and list(dict.fromkeys(doses["unit"])) == ["P1", "P2", "P3"]
    told = {(r.unit, r.component): (r.planned, r.done, r.minutes) for r in doses.itertuples()}
    assert told["P1", "contract"] == (1, 1, 0) and told["P1", "meetings"] == (4, 6, 360) and told["P1", "shadowing|manager"] == (1, 1, 90)
    assert told["P2", "shadowing|doctor"] == (1, 2, 120) and told["P2", "shadowing elsewhere"] == (0, 1, 30)
    assert told["P1", "reflections"] == (2, 1, 0) and told["P1", "workshops"] == (2, 1, 180) and told["P1", "forum"] == (3, 3, 270)
    assert told["P3", "forum"] == (0, 0, 0)
    received = delivery.fidelity(doses, level=0.95)
    p1 = np.mean([1, 1, 1, 1, 0.5, 0.5, 1])
    p2 = np.mean([1, 0.25, 1, 0, 0, 0])  # no workshop place was offered to it
    assert row(received, "all", "share")["estimate"] == pytest.approx(np.mean([p1, p2, 0]))
    assert row(received, "meetings", "done")["estimate"] == pytest.approx(7 / 3) and row(received, "meetings", "share")["estimate"] == pytest.approx(1.25 / 3)
    assert received["low"].min() >= 0 and received.loc[received["unit"] == "share", "high"].max() <= 1


def test_where_nobody_is_paired_the_person_is_the_unit():
    people = PEOPLE3.assign(pair="", role="")
    doses = delivery.dose(RAN.assign(pair=""), people, roles=(), meetings_target=0, shadowing_target=2)
    told = {(r.unit, r.component): r.done for r in doses.itertuples()}
    assert told["D1", "shadowing"] == 1 and told["D2", "shadowing"] == 2 and set(doses["unit"]) == set(people["person"])


def scored(changes: dict[str, list[float]]) -> pd.DataFrame:
    return make([{"cohort": c, "pair": f"P{k}", "person": f"{c}{r[0]}{k}", "role": r, "wave": w, "subscale": "role", "score": 3 + d * (w == "post")}
                 for c, ds in changes.items() for k, d in enumerate(ds, 1) for r in ROLES for w in ("pre", "post")], SCORES)


def dosed(meetings: dict[str, list[float]]) -> pd.DataFrame:
    return make([{"cohort": c, "unit": f"P{k}", "component": "meetings", "planned": 6, "done": m, "minutes": 50.0 * m}
                 for c, ms in meetings.items() for k, m in enumerate(ms, 1)], DOSE)


RESPONSE = {"waves": ("pre", "post"), "roles": ROLES, "level": 0.95, "seed": 7}


def test_in_one_cohort_a_rank_correlation_with_p_from_twelve_pairs_on():
    rng = np.random.default_rng(1)
    for n in (11, 12):
        meetings, change = rng.integers(0, 7, n).tolist(), rng.integers(-3, 5, n).tolist()
        found = delivery.dose_response(dosed({"c": meetings}), scored({"c": change}), **RESPONSE)
        expected = exact.spearman_exact(meetings, change, seed=7)
        one = row(found, "role", "Spearman meetings")
        assert one["estimate"] == expected.rho and one["n"] == n and one["cohort"] == "c"
        assert row(found, "role", "Spearman hours")["estimate"] == expected.rho  # hours are proportional here
        assert math.isnan(one["p"]) if n < 12 else one["p"] == expected.p
        assert ("no p below 12 pairs" in one["method"]) == (n < 12)
    assert conform(found, ESTIMATES).equals(found)


def test_over_cohorts_a_slope_within_them():
    meetings = {"c": [1, 2, 3, 4, 5, 6], "d": [2, 2, 4, 5, 6, 1, 3]}
    change = {"c": [0.0, 0.5, 0.25, 1, 1.5, 1], "d": [2, 2.5, 3, 3.25, 3, 2, 2.5]}
    found = delivery.dose_response(dosed(meetings), scored(change), **RESPONSE)
    stacked = [np.concatenate([x["c"], x["d"]]) for x in (meetings, change)]
    expected = robust.dose_slope(*stacked, cohort=["c"] * 6 + ["d"] * 7, level=0.95)
    one = row(found, "role", "slope meetings")
    assert one[["estimate", "se", "low", "high", "p"]].tolist() == pytest.approx(
        [expected.estimate, expected.se, expected.low, expected.high, expected.p], abs=1e-12)
    assert (one["cohort"], one["n"], one["unit"]) == ("combined", 13, "points")


@settings(max_examples=25, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3))
def test_a_shift_of_a_whole_cohort_leaves_the_slope(up, across):
    meetings = {"c": [1, 2, 3, 4, 5, 6], "d": [2, 2, 4, 5, 6, 1]}
    change = {"c": [0.0, 0.5, 0.25, 1, 1.5, 1], "d": [2, 2.5, 3, 3.25, 3, 2]}
    moved = {"c": change["c"], "d": [x + up for x in change["d"]]}
    wider = {"c": meetings["c"], "d": [x + across for x in meetings["d"]]}
    slopes = [row(delivery.dose_response(dosed(m), scored(c), **RESPONSE), "role", "slope meetings")["estimate"]
              for m, c in ((meetings, change), (wider, moved))]
    assert slopes[0] == pytest.approx(slopes[1], abs=1e-8)


def test_what_the_data_do_not_define_says_why():
    flat = delivery.dose_response(dosed({"c": [3] * 5}), scored({"c": [1, 2, 3, 4, 5]}), **RESPONSE)
    assert flat["method"].str.contains("not defined: x does not vary").all() and flat["estimate"].isna().all()
    apart = delivery.dose_response(dosed({"c": [3] * 5, "d": [2] * 4}), scored({"c": [1, 2, 3, 4, 5], "d": [1, 2, 3, 4]}), **RESPONSE)
    assert apart["method"].str.startswith("not defined").all()


def test_a_pair_without_scores_or_without_a_dose_is_left_out():
    found = delivery.dose_response(dosed({"c": [1, 2, 3, 4, 5, 6]}), scored({"c": [1, 2, 3, 4]}), **RESPONSE)
    assert set(found["n"]) == {4}


STUDY = study_module.load()


@pytest.mark.parametrize("cohort", list(STUDY.cohorts))
def test_the_shipped_cohorts_add_up(cohort):
    result = clean_cohort(STUDY, cohort)
    people, planned = everyone(result, cohort), {"meetings_target": STUDY.cohorts[cohort].meetings_target, "shadowing_target": STUDY.cohorts[cohort].shadowing_target}
    done = counted(delivery.completion(result.events, people, roles=tuple(STUDY.roles), **planned))
    assert done["shadowing"][0] == done["shadowing|doctor"][0] + done["shadowing|manager"][0]
    assert all(n <= of for n, of in done.values())
    doses = delivery.dose(result.events, people, roles=tuple(STUDY.roles), **planned)
    held = result.events[result.events["status"].isin(delivery.HELD)]
    of_pairs = doses.loc[doses["unit"].isin(people["pair"]), "minutes"].sum()
    assert of_pairs == held.loc[held["pair"].ne("") | held["person"].isin(people["person"]), "minutes"].sum()
    assert done["meetings"][0] == doses.loc[doses["component"] == "meetings", "done"].clip(upper=planned["meetings_target"]).sum()
