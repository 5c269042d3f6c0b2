"""Change: hand-worked pairs, the exact tests on the pair vectors, invariances, refusals, and what is withheld."""

import itertools
import shutil
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plresearch import change, effects, exact, publish, score, study, tables
from plresearch.frames import ESTIMATES, SCORES, Refusal, make

ROLES = ("nurse", "accountant")  # any two ids serve
OPTIONS = {"from_": "pre", "to": "post", "level": 0.95, "mid": 0.5}


@dataclass(frozen=True)
class Contrast:
    id: str
    from_: str
    to: str
    primary: bool = False


def scores_of(values, *, roles=ROLES, waves=("pre", "post"), subscale="ethos", cohort="c"):
    """SCORES from an array [pair, role, wave] (with roles) or [person, wave] (without)."""
    values = np.asarray(values, dtype=float)
    rows = []
    for unit, block in enumerate(values):
        for side, line in enumerate(block if roles else [block]):
            rows += [{"cohort": cohort, "person": f"{unit}-{side}", "pair": f"P{unit}" if roles else "",
                      "role": roles[side] if roles else "", "wave": w, "subscale": subscale, "score": v}
                     for w, v in zip(waves, line)]
    return make(rows, SCORES)


# nurse pre, post; accountant pre, post. Changes: 1, 0 | 0.5, 1.5 | 0, 0 | 2, -1 -> averages .5, 1, 0, .5
HAND = [[[3, 4], [2, 2]], [[2.5, 3], [2, 3.5]], [[4, 4], [5, 5]], [[2, 4], [3, 2]]]


def of(found, term):
    rows = found[found["term"] == term]
    assert len(rows) == 1, f"{len(rows)} rows of {term}"
    return rows.iloc[0]


# --- worked by hand -------------------------------------------------------------------------------

def test_worked_by_hand():
    found = change.change(scores_of(HAND), roles=ROLES, **OPTIONS)
    assert of(found, "pair mean")["estimate"] == 0.5
    assert of(found, "nurse")["estimate"] == 0.875
    assert of(found, "accountant")["estimate"] == 0.125
    assert of(found, "nurse minus accountant")["estimate"] == 0.75
    assert of(found, "pair mean")["se"] == pytest.approx(np.sqrt((0.25 + 0.25) / 3 / 4))
    assert of(found, "pair mean")["p"] == 2 / 8  # all three that changed rose: 2 of the 2^3 sign patterns
    assert of(found, "Hodges-Lehmann")["estimate"] == 0.5
    assert of(found, "share better")["estimate"] == 0.75
    assert of(found, "share same")["estimate"] == 0.25
    assert of(found, "share at least MID")["estimate"] == 0.75
    assert of(found, "probability of improvement")["estimate"] == 0.875
    assert of(found, "rank-biserial")["estimate"] == 1.0
    assert set(found["n"]) == {1, 4} and of(found, "leave-one-out")["n"] == 1
    assert "smallest attainable p 0.25" in of(found, "pair mean")["method"]


def test_leave_one_out_rests_on_one_unit_and_its_sign_does_not():
    found = change.change(scores_of([[[3, 3.5], [3, 3]], [[3, 3], [3, 2.5]], [[3, 4], [3, 4]]]), roles=ROLES, **OPTIONS)
    row = of(found, "leave-one-out")  # changes .25, -.25, 1: without one .375, .625, 0
    assert (row["low"], row["high"], row["n"]) == (0.0, 0.625, 1)
    assert of(found, "leave-one-out sign")["estimate"] == pytest.approx(2 / 3)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_numbers_are_those_of_the_mathematics_on_the_pair_vector(data):
    n = data.draw(st.integers(3, 9))
    quarter = st.integers(4, 20).map(lambda k: k / 4)
    values = np.array(data.draw(st.lists(quarter, min_size=4 * n, max_size=4 * n))).reshape(n, 2, 2)
    d = (values[:, :, 1] - values[:, :, 0]).mean(axis=1)
    found = change.change(scores_of(values), roles=ROLES, **OPTIONS)
    mean, exactly, hl = (of(found, t) for t in ("pair mean", "pair mean (sign-flip interval)", "Hodges-Lehmann"))
    ends = exact.sign_flip_interval(d, level=0.95)
    assert mean["estimate"] == pytest.approx(d.mean(), abs=1e-9)
    assert mean["p"] == exactly["p"] == exact.sign_flip(d).p
    assert (exactly["low"], exactly["high"]) == (ends.low, ends.high)
    walsh = exact.hodges_lehmann_interval(d, level=0.95)
    assert (hl["estimate"], hl["low"], hl["high"], hl["p"]) == (walsh.estimate, walsh.low, walsh.high, exact.signed_rank(d).p)
    t = effects.t_interval(d, level=0.95)
    assert (mean["low"], mean["high"]) == pytest.approx((t.low, t.high))
    before, after = values[:, :, 0].mean(axis=1), values[:, :, 1].mean(axis=1)
    try:
        wanted = effects.d_av(before, after, level=0.95).value
    except ValueError:
        assert np.isnan(of(found, "d_av")["estimate"]) and "not defined" in of(found, "d_av")["method"]
    else:
        assert of(found, "d_av")["estimate"] == pytest.approx(wanted)
    assert of(found, "nurse")["p"] == exact.sign_flip(values[:, 0, 1] - values[:, 0, 0]).p


# --- invariances ----------------------------------------------------------------------------------

quarters = st.lists(st.integers(4, 20).map(lambda k: k / 4), min_size=24, max_size=24)


def by_term(frame):
    return frame.set_index("term")[["estimate", "low", "high", "p"]].astype(float)


@settings(max_examples=15, deadline=None)
@given(quarters, st.randoms(use_true_random=False))
def test_order_of_rows_and_names_of_pairs_do_not_matter(values, random):
    scores = scores_of(np.reshape(values, (6, 2, 2)))
    order = list(range(len(scores)))
    random.shuffle(order)
    names = {f"P{k}": f"Q{j}" for k, j in enumerate(random.sample(range(6), 6))}
    mixed = scores.iloc[order].assign(pair=lambda f: f["pair"].map(names))
    pd.testing.assert_frame_equal(by_term(change.change(scores, roles=ROLES, **OPTIONS)),
                                  by_term(change.change(mixed, roles=ROLES, **OPTIONS)), rtol=1e-9, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(quarters, st.integers(-8, 8))
def test_a_shift_after_moves_the_means_and_no_spread(values, quarter):
    scores = scores_of(np.reshape(values, (6, 2, 2)))
    moved = scores.assign(score=scores["score"] + np.where(scores["wave"] == "post", quarter / 4, 0))
    one, two = (by_term(change.change(s, roles=ROLES, **OPTIONS)) for s in (scores, moved))
    for term in ("pair mean", "nurse", "accountant", "Hodges-Lehmann"):
        assert two.loc[term, "estimate"] == pytest.approx(one.loc[term, "estimate"] + quarter / 4)
    assert two.loc["nurse minus accountant"].tolist() == pytest.approx(one.loc["nurse minus accountant"].tolist())
    width = one["high"] - one["low"], two["high"] - two["low"]
    assert width[1]["pair mean"] == pytest.approx(width[0]["pair mean"])


@settings(max_examples=15, deadline=None)
@given(quarters)
def test_time_reversed_the_signs_turn_and_p_stays(values):
    scores = scores_of(np.reshape(values, (6, 2, 2)))
    turned = scores.assign(wave=scores["wave"].map({"pre": "post", "post": "pre"}))
    one, two = (by_term(change.change(s, roles=ROLES, **OPTIONS)) for s in (scores, turned))
    for term in ("pair mean", "Hodges-Lehmann", "nurse", "nurse minus accountant", "rank-biserial", "pair mean (sign-flip interval)"):
        assert two.loc[term, "estimate"] == pytest.approx(-one.loc[term, "estimate"], abs=1e-9)
        assert np.isclose(two.loc[term, "p"], one.loc[term, "p"], equal_nan=True)
        assert np.isclose(two.loc[term, "low"], -one.loc[term, "high"], equal_nan=True)
    assert two.loc["share better", "estimate"] == one.loc["share worse", "estimate"]


# --- shapes of the study --------------------------------------------------------------------------

def test_without_roles_the_unit_is_the_person():
    found = change.change(scores_of([[2, 3], [3, 3], [1, 4]], roles=()), roles=(), **OPTIONS)
    assert of(found, "person mean")["estimate"] == pytest.approx(4 / 3)
    assert not found["term"].str.contains("pair|minus").any()


@pytest.mark.parametrize("after", [3.5, 3.0])
def test_all_equal_differences_have_no_width_and_say_so(after):
    found = change.change(scores_of([[[3, after], [3, after]]] * 4), roles=ROLES, **OPTIONS)
    row = of(found, "pair mean")
    assert row["low"] == row["high"] == row["estimate"] == after - 3 and "no width" in row["method"]
    assert "not defined" in of(found, "d_z")["method"] and np.isnan(of(found, "d_z")["estimate"])
    assert row["p"] == (1.0 if after == 3 else 2 / 16)


def test_two_pairs_can_be_described_and_not_tested():
    found = change.change(scores_of(HAND[:2]), roles=ROLES, **OPTIONS)
    assert of(found, "pair mean")["p"] == 0.5
    assert of(found, "Hodges-Lehmann")["low"] == -np.inf
    assert "not defined" in of(found, "d_av")["method"]


def test_one_pair_is_refused():
    with pytest.raises(Refusal, match="two are needed"):
        change.change(scores_of(HAND[:1]), roles=ROLES, **OPTIONS)


def test_wide_refuses_what_is_missing_and_what_is_double():
    scores = scores_of(HAND)
    with pytest.raises(Refusal, match=r"1 of 4 pairs lack .*first: P0.*score\.complete"):
        change.wide(scores.drop(index=0), waves=("pre", "post"), roles=ROLES)
    with pytest.raises(Refusal, match="1 scores are there twice .*pair P0, role nurse, wave pre"):
        change.wide(pd.concat([scores, scores.head(1)]), waves=("pre", "post"), roles=ROLES)
    with pytest.raises(Refusal, match="twice"):
        change.wide(pd.concat([scores, scores.assign(cohort="d")]), waves=("pre", "post"), roles=ROLES)
    with pytest.raises(Refusal, match="0 of 0"):
        change.wide(scores.head(0), waves=("pre", "post"), roles=ROLES)
    with pytest.raises(Refusal, match="lack a score"):
        change.wide(scores.assign(score=scores["score"].where(scores.index != 3)), waves=("pre", "post"), roles=ROLES)


def test_two_partners_of_one_role_never_pass_for_a_pair():
    scores = scores_of(HAND).assign(role="nurse")
    with pytest.raises(Refusal, match="twice"):
        change.wide(scores, waves=("pre", "post"), roles=ROLES)


# --- several contrasts, and what is withheld ------------------------------------------------------

CONTRASTS = (Contrast("main", "pre", "post", True), Contrast("later", "pre", "year"), Contrast("never", "pre", "decade"))


def three_waves(pairs, *, absent=0):
    """Scores at pre, post and year; the last `absent` pairs did not answer the last wave."""
    values = np.random.default_rng(3).integers(4, 21, (pairs, 2, 3)) / 4
    scores = scores_of(values, waves=("pre", "post", "year"))
    lost = {f"P{k}" for k in range(pairs - absent, pairs)}
    return scores[~((scores["wave"] == "year") & scores["pair"].isin(lost))]


def all_contrasts(scores, minimum=5):
    wholes = score.complete_by_contrast(scores, CONTRASTS, roles=ROLES)
    return change.changes(wholes, CONTRASTS, cohort="c", outcomes=("ethos", "role"), roles=ROLES, level=0.95, mid=0.5, minimum=minimum)


def test_every_contrast_is_computed_under_its_name():
    scores = three_waves(9)
    found = all_contrasts(scores)
    ethos = found[found["outcome"] == "ethos"]
    alone = change.change(score.complete(scores, waves=("pre", "year"), roles=ROLES), roles=ROLES, **OPTIONS | {"to": "year"})
    assert of(ethos, "pair mean: later")["estimate"] == of(alone, "pair mean")["estimate"]
    assert of(ethos, "pair mean: never")["method"].startswith("not defined: 0 pairs")
    terms = set(change.change(scores, roles=ROLES, **OPTIONS)["term"])
    assert set(ethos["term"]) == {f"{t}{end}" for t in terms for end in ("", ": later", ": never")}
    assert found[found["outcome"] == "role"]["estimate"].isna().all()  # an outcome nobody scored has its rows too
    assert (found["planned"] == "").all() and list(found.columns) == list(ESTIMATES.columns)


@pytest.mark.parametrize(("absent", "minimum", "shown"), [
    (0, 5, True), (1, 5, False), (2, 5, False), (3, 5, True), (1, 1, True), (4, 10, False), (5, 10, True)])
def test_a_contrast_over_nearly_the_same_people_is_withheld(absent, minimum, shown):
    found = all_contrasts(three_waves(12, absent=absent), minimum)
    row = of(found[found["outcome"] == "ethos"], "pair mean: later")
    assert pd.notna(row["estimate"]) == shown
    assert row["method"].startswith("withheld") != shown
    assert pd.notna(of(found[found["outcome"] == "ethos"], "pair mean")["estimate"])


def test_what_is_shown_differs_by_nobody_or_by_enough_people():
    """The rule behind the last test, over every pattern of who answered which wave."""
    values = np.random.default_rng(5).integers(4, 21, (8, 2, 3)) / 4
    for gone in itertools.product((0, 1), repeat=4):
        scores = scores_of(values, waves=("pre", "post", "year"))
        for k, wave in enumerate(gone):
            scores = scores[~((scores["pair"] == f"P{k}") & (scores["wave"] == ("post", "year")[wave]))]
        wholes = score.complete_by_contrast(scores, CONTRASTS[:2], roles=ROLES)
        found = change.changes(wholes, CONTRASTS[:2], cohort="c", outcomes=("ethos",), roles=ROLES, level=0.95, mid=0.5, minimum=5)
        shown = [set(wholes[c.id]["person"]) for c, t in zip(CONTRASTS, ("pair mean", "pair mean: later"))
                 if pd.notna(of(found, t)["estimate"])]
        for one, two in itertools.permutations(shown, 2):
            assert len(one - two) == 0 or len(one - two) >= 5


def test_the_extremes_of_few_pairs_do_not_leave_as_bounds():
    scores = scores_of(np.random.default_rng(1).integers(4, 21, (6, 2, 2)) / 4)
    d = change.pair_contrasts(change.wide(scores, waves=("pre", "post"), roles=ROLES), from_="pre", to="post", roles=ROLES)["average"]
    free, held = (change.changes({"main": scores}, CONTRASTS[:1], cohort="c", outcomes=("ethos",), roles=ROLES, level=0.95, mid=0.5,
                                 minimum=m) for m in (1, 5))
    for term in ("Hodges-Lehmann", "pair mean (sign-flip interval)"):
        assert (of(free, term)["low"], of(free, term)["high"]) == (d.min(), d.max())  # six pairs: the interval is the range
        assert np.isnan(of(held, term)["low"]) and np.isnan(of(held, term)["high"]) and "withheld" in of(held, term)["method"]
        assert of(held, term)["estimate"] == of(free, term)["estimate"]
    shown = held[(held["n"] >= 5)][["estimate", "low", "high"]].to_numpy(float)
    assert len(shown) > 10 and not np.isclose(shown, d.max()).any() and not np.isclose(shown, d.min()).any()


def test_the_family_shows_the_estimate_of_all_pairs():
    one = scores_of(np.random.default_rng(2).integers(4, 21, (8, 2, 2)) / 4)
    two = scores_of(np.random.default_rng(4).integers(4, 21, (7, 2, 2)) / 4, subscale="role")
    both = pd.concat([one, two], ignore_index=True)
    found = change.adjusted(both, from_="pre", to="post", roles=ROLES, seed=1)
    alone = change.change(one, roles=ROLES, **OPTIONS)
    ethos = found[found["outcome"] == "ethos"].iloc[0]
    assert ethos["n"] == 7 and ethos["estimate"] == pytest.approx(of(alone, "pair mean")["estimate"])
    assert (found["p"] >= 2 / 2**7).all()


# --- descriptives ---------------------------------------------------------------------------------

def test_quantiles_are_of_type_7_and_rest_on_their_smaller_side():
    people = [[v, v] for v in (1, 2, 2.5, 3, 4.5, 5)]
    found = change.descriptives(scores_of(people, roles=()), waves=("pre", "post"), roles=(), level=0.95)
    values = {t: of(found, f"all|pre|{t}") for t in ("q1", "median", "q3")}
    assert [values[t]["estimate"] for t in ("q1", "median", "q3")] == [2.125, 2.75, 4.125]  # R: quantile(x, type = 7)
    assert [values[t]["n"] for t in ("q1", "median", "q3")] == [1, 3, 1]
    mean = of(found, "all|pre|mean")
    assert (mean["estimate"], mean["n"]) == (3.0, 6)
    assert of(found, "all|pre|sd")["estimate"] == pytest.approx(np.std([1, 2, 2.5, 3, 4.5, 5], ddof=1))
    half = 2.570581835636314 * np.std([1, 2, 2.5, 3, 4.5, 5], ddof=1) / np.sqrt(6)  # qt(.975, 5)
    assert (mean["low"], mean["high"]) == pytest.approx((3 - half, 3 + half))


def test_descriptives_by_role_and_of_one_person():
    found = change.descriptives(scores_of(HAND[:1]), waves=("pre", "post"), roles=ROLES, level=0.95)
    assert of(found, "nurse|post|mean")["estimate"] == 4 and np.isnan(of(found, "nurse|post|mean")["low"])
    assert "not defined" in of(found, "nurse|post|sd")["method"]


# --- thresholds -----------------------------------------------------------------------------------

def used(value, method="external, declared by the instrument"):
    return make([{"cohort": "c", "analysis": "reliability", "outcome": "ethos", "term": "reliability used", "estimate": value,
                  "method": method}], ESTIMATES)


def test_thresholds_worked_by_hand():
    scores = scores_of(HAND)
    before = np.array([3, 2, 2.5, 2, 4, 5, 2, 3])
    sd = before.std(ddof=1)
    found = change.important_change(scores, used(0.75), from_="pre", to="post", roles=ROLES, level=0.95)
    assert of(found, "MID half SD")["estimate"] == pytest.approx(sd / 2) and of(found, "MID half SD")["n"] == 8
    assert of(found, "MID one SEM")["estimate"] == pytest.approx(sd * 0.5)
    assert "external" in of(found, "MID one SEM")["method"]
    assert of(found, "reliable change")["estimate"] == pytest.approx(1.959963985 * np.sqrt(2) * sd * 0.5)
    assert of(found, "share at least half SD")["estimate"] == 0.25 and of(found, "share at least half SD")["n"] == 4
    counts = change.reliable_counts(scores, used(0.75), from_="pre", to="post").set_index("category")
    wanted = effects.reliable_change(before, before + [1, 0, 0.5, 1.5, 0, 0, 2, -1], reliability=0.75)
    assert counts["n"].tolist() == [wanted.improved, wanted.unchanged, wanted.worsened]
    assert set(counts["of"]) == {8}


@pytest.mark.parametrize(("reliability", "reason"), [
    (used(np.nan, "not defined: a single item"), "no reliability .a single item"), (used(-0.2), "at least 0"),
    (used(1.0), "below 1"), (make([], ESTIMATES), "none given")])
def test_without_a_reliability_the_rows_say_why(reliability, reason):
    found = change.important_change(scores_of(HAND), reliability, from_="pre", to="post", roles=ROLES, level=0.95)
    for term in ("MID one SEM", "share at least one SEM", "reliable change"):
        assert np.isnan(of(found, term)["estimate"])
        assert of(found, term)["method"].startswith("not defined") and pd.Series([of(found, term)["method"]]).str.contains(reason).all()
    assert pd.notna(of(found, "MID half SD")["estimate"])
    assert change.reliable_counts(scores_of(HAND), reliability, from_="pre", to="post").empty


# --- all cohorts, and the comparison group --------------------------------------------------------

def test_combined_change_weighs_cohorts_alike():
    both = pd.concat([scores_of(HAND, cohort="a"), scores_of(HAND[:2], cohort="b")])
    row = change.combined_change(both, from_="pre", to="post", roles=ROLES, level=0.95).iloc[0]
    assert (row["estimate"], row["n"]) == (pytest.approx((0.5 + 0.75) / 2), 6)


def test_difference_in_change_is_the_permutation_test_of_pairs():
    rng = np.random.default_rng(8)
    programme = pd.concat([scores_of(rng.integers(4, 21, (5, 2, 2)) / 4, cohort=c) for c in ("a", "b")])
    waiting = scores_of(rng.integers(4, 21, (6, 2, 2)) / 4, cohort="w")
    x = np.concatenate([change.pair_contrasts(change.wide(programme[programme["cohort"] == c], waves=("pre", "post"), roles=ROLES),
                                              from_="pre", to="post", roles=ROLES)["average"] for c in ("a", "b")])
    y = change.pair_contrasts(change.wide(waiting, waves=("pre", "post"), roles=ROLES), from_="pre", to="post", roles=ROLES)["average"]
    found = change.difference_in_change(programme, waiting, from_="pre", to="post", roles=ROLES, level=0.95)
    row, ends = of(found, "difference in change"), exact.difference_interval(x, y, level=0.95)
    assert row["estimate"] == pytest.approx(x.mean() - y.mean()) and row["p"] == exact.two_sample_permutation(x, y).p
    assert (row["low"], row["high"], row["n"]) == (ends.low, ends.high, 6)
    assert of(found, "change, programme")["n"] == 10 and of(found, "change, comparison")["estimate"] == pytest.approx(y.mean())
    back = change.difference_in_change(waiting, programme, from_="pre", to="post", roles=ROLES, level=0.95)
    assert of(back, "difference in change")["estimate"] == pytest.approx(-row["estimate"])
    assert of(back, "difference in change")["p"] == pytest.approx(row["p"])


def test_difference_in_change_without_a_group_or_with_one_pair():
    none = change.difference_in_change(scores_of(HAND), scores_of(HAND).head(0), from_="pre", to="post", roles=ROLES, level=0.95)
    assert none.empty
    one = change.difference_in_change(scores_of(HAND), scores_of(HAND[:1], cohort="w"), from_="pre", to="post", roles=ROLES, level=0.95)
    assert one["estimate"].isna().all() and one["method"].str.startswith("not defined: 4 programme and 1 comparison").all()


# --- the waves and groups a study declares --------------------------------------------------------

THEN = '\n[[waves]]\nid = "then"\nlabel = "Then"\nmonth = 9\nretrospective = true\n\n[[waves]]\nid = "year"\nlabel = "Year"\nmonth = 21\n'
YEAR = '\n[[contrasts]]\nid = "{id}"\nfrom = "{from_}"\nto = "{to}"\nlabel = "More"\n'


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(study.load().root / "study", tmp_path / "study")
    return tmp_path


def append(path, text):
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_a_retrospective_wave_brings_its_two_contrasts(folder):
    append(folder / "study/study.toml", THEN)
    append(folder / "study/plan.toml", YEAR.format(id="year", from_="pre", to="year"))
    found = [(c.id, c.from_, c.to, c.primary) for c in study.load(folder).contrasts]
    assert found == [("change", "pre", "post", True), ("year", "pre", "year", False),
                     ("then-shift", "then", "pre", False), ("then-change", "then", "post", False)]
    append(folder / "study/plan.toml", YEAR.format(id="shift", from_="then", to="pre"))
    assert [c.id for c in study.load(folder).contrasts] == ["change", "year", "shift", "then-change"]


@pytest.mark.parametrize(("id", "to", "fault"), [("change", "year", "used twice"), ("again", "pre", "two different waves")])
def test_a_contrast_that_is_none_is_a_fault(folder, id, to, fault):
    append(folder / "study/study.toml", THEN)
    append(folder / "study/plan.toml", YEAR.format(id=id, from_="pre", to=to))
    with pytest.raises(study.ConfigurationError, match=fault):
        study.load(folder)


def test_comparison_cohorts_are_kept_apart(folder):
    third = folder / "study/cohorts/cohort-3.toml"
    third.write_text("comparison = true\n" + third.read_text(encoding="utf-8"), encoding="utf-8")
    s = study.load(folder)
    assert list(s.cohort_names) == ["cohort-1", "cohort-2"] and list(s.comparison_names) == ["cohort-3"]
    door = publish.Door(s, "combined", "10_combined")
    for cohort in s.cohorts:
        publish.Door(s, cohort, "02_score").keep(scores=(scores_of(HAND, cohort=cohort), SCORES))
    assert set(door.kept("scores", SCORES)["cohort"]) == {"cohort-1", "cohort-2"}
    assert set(door.kept("scores", SCORES, comparison=True)["cohort"]) == {"cohort-3"}
    for name in ("cohort-1", "cohort-2"):
        path = folder / f"study/cohorts/{name}.toml"
        path.write_text("comparison = true\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(study.ConfigurationError, match="every cohort is a comparison"):
        study.load(folder)


def test_ceiling_stands_beside_every_change():
    printed = pd.DataFrame({"Outcome": ["Ethos", "Ethos", "Role"], "Estimate": ["0.50", "0.40", "0.10"]})
    limits = make([{"analysis": "limits", "outcome": "ethos", "term": f"ceiling {w}", "n": 12, "estimate": e, "unit": "share"}
                   for w, e in (("pre", 0.25), ("post", 0.5))], ESTIMATES)
    shown = tables.with_ceiling(printed, limits, {"ethos": "Ethos", "role": "Role"}, waves=("pre", "post"))
    assert shown["Ceiling"].tolist() == ["25%→50%", "25%→50%", ""]


def test_reliable_change_is_printed_by_outcome():
    counts = change.reliable_counts(scores_of(HAND), used(0.75), from_="pre", to="post")
    shown = tables.reliable_change(counts, {"ethos": "Ethos", "role": "Role"})
    assert shown.loc[0].tolist() == ["Ethos", "8", *map(str, counts["n"])]
    assert shown.loc[1].tolist() == ["Role", "", "not defined", "not defined", "not defined"]
