"""The specification curve: every row is the estimate its term names, and none tells about a few people."""

import numpy as np
import pandas as pd
import pytest

from plresearch import combine, exact, figures, labels, models, multiverse
from plresearch.change import change
from plresearch.disclose import screen_estimates
from plresearch.frames import ESTIMATES
from plresearch.score import complete

from test_models import LEVEL, PAIRED, ROLES, WAVES, drawn

SETTINGS = {"minimum": 5, "m": 5, "seed": 3}
PEOPLE = {"waves": WAVES, "roles": (), "level": LEVEL}


def curve(scores, options=PAIRED, **settings):
    return multiverse.specifications(scores, **options, **(SETTINGS | settings))


def pick(rows, **choices):
    made = figures.specifications(rows)
    for name, option in choices.items():
        made = made[made[f"choice: {name}"] == option]
    assert len(made) == 1, made["term"].tolist()
    return made.iloc[0]


@pytest.fixture(scope="module")
def scores():
    """Two cohorts; a fifth of the people lack post, a third of the scores lack an item."""
    rows = drawn({"a": 16, "b": 14}, lost=0.2)
    skipped = np.random.default_rng(4).random(len(rows)) < 0.15
    return rows.assign(answered=rows["answered"].where(~skipped, 3))


@pytest.fixture(scope="module")
def rows(scores):
    return curve(scores)


PLAIN = {"answered": "minimum", "people": "complete pairs", "cohorts": "all cohorts"}


def test_the_planned_row_is_the_pooled_change_of_the_plan(scores, rows):
    whole = complete(scores, waves=WAVES, roles=ROLES)
    by_cohort = change(whole, from_="pre", to="post", roles=ROLES, level=LEVEL, mid=0.5)
    pooled = combine.pooled_changes(by_cohort, term="pair mean", sd={"role": 0.5}, prior=0.5, level=LEVEL)
    expected = pooled.set_index("term").loc["REML + Hartung-Knapp"]
    planned = rows[rows["planned"] == "planned"]
    assert len(planned) == 1 and set(rows["planned"]) == {"planned", "sensitivity"}
    np.testing.assert_allclose(planned[["estimate", "low", "high", "p"]].iloc[0].astype(float),
                               expected[["estimate", "low", "high", "p"]].astype(float))
    assert "weights=random effects" in planned["term"].iloc[0]


def test_rows_are_the_estimates_that_their_terms_name(scores, rows):
    whole = complete(scores, waves=WAVES, roles=ROLES)
    table = models.by_pair(whole, waves=WAVES, roles=ROLES)
    d = (table.xs("post", axis=1, level=1) - table.xs("pre", axis=1, level=1)).mean(axis=1).to_numpy().round(9)
    n = len(d)
    units = pick(rows, estimator="mean, sign-flip", weights="units alike", **PLAIN)
    interval = exact.sign_flip_interval(d, level=LEVEL)
    assert (units["estimate"], units["low"], units["high"], units["p"]) == pytest.approx(
        (d.mean(), interval.low, interval.high, exact.sign_flip(d).p))
    for zeros in ("pratt", "wilcox"):
        row = pick(rows, estimator=f"Hodges-Lehmann, {zeros}", **PLAIN)
        ranked = exact.hodges_lehmann_interval(d, level=LEVEL, zeros=zeros)
        assert (row["estimate"], row["low"], row["high"]) == pytest.approx((ranked.estimate, ranked.low, ranked.high))
    cohort = table.index.get_level_values("cohort")
    alike = pick(rows, unit="pair", estimator="mean, t", weights="cohorts alike", **PLAIN)
    assert alike["estimate"] == pytest.approx(np.mean([d[cohort == c].mean() for c in "ab"]))
    assert alike["se"] == pytest.approx(np.sqrt(sum(d[cohort == c].var(ddof=1) / (cohort == c).sum() for c in "ab")) / 2)
    assert alike["n"] == n


def test_models_of_everybody_are_those_of_the_models_module(scores, rows):
    row = pick(rows, estimator="mixed model", answered="minimum", cohorts="all cohorts")
    expected = models.mixed_change(scores, **PAIRED).set_index("term").loc["wave change"]
    assert (row["estimate"], row["low"], row["n"]) == pytest.approx((expected["estimate"], expected["low"], expected["n"]))
    row = pick(rows, estimator="imputation", answered="minimum", cohorts="all cohorts")
    expected = models.imputed(scores, **PAIRED, m=5, seed=3).set_index("term").loc["multiple imputation"]
    assert row["estimate"] == pytest.approx(expected["estimate"])


def test_every_item_and_leaving_a_cohort_out_change_who_enters(scores, rows):
    strict = scores[scores["answered"] == scores["items"]]
    row = pick(rows, unit="pair", estimator="Hodges-Lehmann, pratt", answered="every item", cohorts="all cohorts")
    assert row["n"] == complete(strict, waves=WAVES, roles=ROLES)["pair"].groupby(strict["cohort"]).nunique().sum()
    alone = pick(rows, unit="pair", estimator="mean, t", answered="minimum", cohorts="without a")
    only_b = scores[scores["cohort"] == "b"]
    expected = models.cluster_robust(complete(only_b, waves=WAVES, roles=ROLES), **PAIRED).set_index("term").loc["wave change"]
    assert alone["estimate"] == pytest.approx(expected["estimate"])


def test_there_are_fewer_than_a_hundred_specifications_and_no_two_alike(rows):
    three = curve(drawn({"a": 12, "b": 9, "c": 8}, lost=0.2))
    assert len(three) < 100 and len(rows) < 100
    assert not three["term"].duplicated().any() and not rows["term"].duplicated().any()
    assert three["estimate"].notna().sum() > 25


# --- what may not be told -------------------------------------------------------------------------

def test_people_who_differ_from_the_pairs_by_a_few_are_withheld():
    whole = drawn({"a": 12, "b": 12})
    one = whole[~((whole["person"] == "manager0") & (whole["cohort"] == "a"))]  # doctor0 of a is left alone
    row = pick(curve(one), unit="person", weights="cohorts alike", answered="minimum", cohorts="all cohorts")
    assert np.isnan(row["estimate"]) and np.isnan(row["low"]) and row["method"].startswith("withheld")
    many = one[~((one["role"] == "manager") & one["person"].isin([f"manager{k}" for k in range(1, 6)]) & (one["cohort"] == "a"))]
    assert np.isfinite(pick(curve(many), unit="person", weights="cohorts alike", answered="minimum", cohorts="all cohorts")["estimate"])
    same = pick(curve(whole), unit="person", weights="cohorts alike", answered="minimum", cohorts="all cohorts")
    assert np.isfinite(same["estimate"])  # nobody is left alone, so the people are those of the pairs


def test_shown_sets_of_units_are_equal_or_differ_by_enough():
    scores = drawn({"a": 14, "b": 13}, lost=0.25, seed=8)
    for chance in (0.02, 0.2):
        few = scores.assign(answered=scores["answered"].where(np.random.default_rng(1).random(len(scores)) > chance, 3))
        made = figures.specifications(curve(few))
        shown = made[made["estimate"].notna() & made["choice: people"].isin(["complete pairs", "both waves"])]
        sizes = shown[(shown["choice: cohorts"] == "all cohorts") & (shown["choice: unit"] == "pair")]["n"].unique()
        assert all(abs(int(x) - int(y)) >= 5 for k, x in enumerate(sizes) for y in sizes[:k])


def test_a_cohort_too_small_to_be_shown_is_never_left_out_alone():
    made = figures.specifications(curve(drawn({"a": 12, "b": 9, "c": 4})))
    assert set(made["choice: cohorts"]) == {"all cohorts", "without a", "without b"}


# --- other studies --------------------------------------------------------------------------------

def test_a_study_without_pairs_has_no_choices_about_pairs():
    made = figures.specifications(curve(drawn({"a": 9, "b": 8}, roles=()), PEOPLE))
    assert set(made["choice: unit"]) == {"person"} and set(made["choice: people"]) == {"both waves", "any wave"}
    assert made["estimate"].notna().all() and (made["planned"] == "planned").sum() == 1


@pytest.mark.parametrize("options", [PAIRED, PEOPLE], ids=["pairs", "people"])
def test_one_cohort_has_no_choices_about_cohorts(options):
    made = figures.specifications(curve(drawn({"a": 12}, roles=options["roles"], lost=0.2), options))
    assert set(made["choice: cohorts"]) == {"all cohorts"} and "random effects" not in set(made["choice: weights"])
    planned = made[made["planned"] == "planned"]
    assert len(planned) == 1 and planned["choice: estimator"].iloc[0] == "mean, t"


@pytest.mark.parametrize("options", [PAIRED, PEOPLE], ids=["pairs", "people"])
@pytest.mark.parametrize("sizes", [{"a": 1}, {"a": 2, "b": 1}, {"a": 6, "b": 6}])
def test_small_and_equal_data_never_stop_it(sizes, options):
    few = drawn(sizes, roles=options["roles"], lost=0.3)
    for data in (few, few.assign(score=4.0), few[few["wave"] == "pre"]):
        made = curve(data, options)
        assert made[made["estimate"].isna()]["method"].str.startswith(("not defined: ", "withheld: ")).all()


# --- the figure and its summary -------------------------------------------------------------------

def test_the_figure_names_every_choice(rows):
    figures.setup(synthetic=True)
    plate = figures.specification_curve(rows, labels.choices({"a": "First", "b": "Second"}), level=LEVEL, mid=0.5, k=5)
    assert plate.alt.startswith(f"{len(rows)} specifications") and "Planned analysis" in plate.alt


def test_the_summary_counts_what_may_be_seen(rows):
    found = multiverse.summary(screen_estimates(rows, minimum=5)).set_index("term")
    known = rows["estimate"].dropna()
    extent = found.loc["range of estimates"]
    assert (extent["estimate"], extent["low"], extent["high"]) == pytest.approx((known.median(), known.min(), known.max()))
    assert found.loc["intervals above zero", "estimate"] == pytest.approx((rows["low"] > 0).sum() / len(known))
    nothing = multiverse.summary(rows.assign(estimate=np.nan))
    assert list(nothing.columns) == list(ESTIMATES.columns) and nothing["method"].str.startswith("not defined").all()
    assert pd.isna(nothing["estimate"]).all()
