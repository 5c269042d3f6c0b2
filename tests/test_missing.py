"""Pooling against mice, imputation against mice's distribution and known truth, tipping points, traps."""
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from plresearch.missing import Imputed, delta_adjust, impute, rubin, tipping_point

REFERENCE = json.loads((Path(__file__).parent / "reference" / "missing.json").read_text())
POOLING = REFERENCE["pooling"]
IMPUTATION = REFERENCE["imputation"]


def close(actual, expected, tolerance=1e-9):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def degrees(case):
    return math.inf if case["df_complete"] == "infinite" else case["df_complete"]


def example(n=14, seed=1, gaps=((0, 0), (3, 1), (7, 0))):
    rng = np.random.default_rng(seed)
    pair = rng.normal(0, 0.4, (n, 1))
    pre = 3 + pair + rng.normal(0, 0.4, (n, 2))
    post = 0.9 + 0.8 * pre + rng.normal(0, 0.3, (n, 2))
    for gap in gaps:
        post[gap] = np.nan
    return pre, post


def mean_change_from(pre):
    def analyse(completed):
        change = (completed - pre).mean(axis=1)
        return change.mean(), change.var(ddof=1) / len(change)
    return analyse


def test_the_grid_of_reference_cases_is_complete():
    assert set(REFERENCE["versions"]) == {"R", "mice"}
    grid = {(len(case["estimates"]), degrees(case)) for case in POOLING}
    assert len(POOLING) == 48
    assert grid == {(m, df) for m in (2, 5, 20, 50) for df in (6, 11, 33, math.inf)}


@pytest.mark.parametrize("case", POOLING)
def test_pooling_agrees_with_mice(case):
    """All fields. Where next to nothing is missing mice raises lambda to 1e-4 before it computes the degrees
    of freedom, the formula does not: there its df is what our formula gives for lambda = 1e-4."""
    r = rubin(case["estimates"], case["variances"], df_complete=degrees(case))
    for field in ("estimate", "within", "between", "total", "relative_increase"):
        close(getattr(r, field), case[field])
    if (1 + 1 / r.m) * r.between / r.total > 1e-4:
        for field in ("df", "fraction_missing", "low", "high", "p"):
            close(getattr(r, field), case[field])
    else:
        v, old = degrees(case), (r.m - 1) / 1e-8
        observed = (v + 1) / (v + 3) * v * (1 - 1e-4)
        close(case["df"], old if math.isinf(v) else old * observed / (old + observed))
        close([r.low, r.high], [case["low"], case["high"]], 5e-5)


def test_pooling_by_hand():
    """Q = 2, W = 1, B = 1, T = 1 + 4/3: r = 4/3, lambda = 4/7, old df = 2 / (16/49) = 6.125."""
    r = rubin([1, 2, 3], [1, 1, 1])
    close([r.estimate, r.within, r.between, r.total, r.df], [2, 1, 1, 7 / 3, 6.125])
    close(r.fraction_missing, (4 / 3 + 2 / 9.125) / (7 / 3))


def test_without_variance_between_imputations_the_complete_data_result_returns():
    r = rubin([0.4] * 5, [0.01] * 5, df_complete=11)
    close([r.estimate, r.se, r.df], [0.4, 0.1, 12 / 14 * 11])
    assert rubin([0.4] * 5, [0.01] * 5).df == math.inf


numbers = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 5)), min_size=2, max_size=30)


@given(numbers, st.floats(1, 200))
@settings(max_examples=60, deadline=None)
def test_degrees_of_freedom_never_exceed_those_of_complete_data(results, df_complete):
    q, u = zip(*results)
    r = rubin(q, u, df_complete=df_complete)
    assert 0 < r.df <= df_complete and r.df <= rubin(q, u).df
    assert r.total >= r.within and r.low <= r.estimate <= r.high
    flipped = rubin([-value for value in q], u, df_complete=df_complete)
    close([flipped.low, flipped.high, flipped.p], [-r.high, -r.low, r.p])


@pytest.mark.parametrize("estimates, variances, options, message", [
    ([1], [1], {}, "at least two"),
    ([1, 2], [1], {}, "2 estimates and 1 variances"),
    ([1, math.nan], [1, 1], {}, "estimates: 1 missing.*position 1"),
    ([1, 2], [1, 0], {}, "not above 0.* data set 1"),
    ([1, 2], [1, 1], {"df_complete": 0}, "df_complete"),
    ([1, 2], [1, 1], {"level": 95}, "level"),
    ([], [], {}, "non-empty"),
])
def test_pooling_refusals(estimates, variances, options, message):
    with pytest.raises(ValueError, match=message):
        rubin(estimates, variances, **options)


@pytest.mark.parametrize("method", ["norm", "pmm"])
def test_imputation_fills_only_the_gaps_and_repeats_with_its_seed(method):
    pre, post = example()
    before = post.copy()
    first, again, other = (impute(pre, post, method=method, m=4, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(post, before)
    np.testing.assert_array_equal(first.post, again.post)
    assert (first.post != other.post).any()
    assert np.isfinite(first.post).all() and first.post.shape == (4, 14, 2)
    np.testing.assert_array_equal(first.missing, np.isnan(before))
    for completed in first.post:
        np.testing.assert_array_equal(completed[~first.missing], before[~first.missing])
    if method == "pmm":
        for column in (0, 1):
            donated = first.post[:, first.missing[:, column], column]
            assert np.isin(donated, before[~first.missing[:, column], column]).all()


def test_both_partners_may_be_missing_and_one_role_may_be_complete():
    pre, post = example(gaps=((2, 0), (2, 1)))
    assert np.isfinite(impute(pre, post, m=3, seed=1).post).all()
    pre, post = example(gaps=((2, 0), (5, 0)))
    assert np.isfinite(impute(pre, post, cohort=["a"] * 7 + ["b"] * 7, m=3, seed=1).post).all()


@pytest.mark.parametrize("change, options, message", [
    (lambda pre, post: (pre[:9], post[:9]), {}, "9 pairs: too few"),
    (lambda pre, post: (pre, np.nan_to_num(post, nan=3.0)), {}, "no post score is missing"),
    (lambda pre, post: (np.where(np.arange(14)[:, None] == 4, [np.nan, 3], pre), post), {},
     "doctor in pair 4"),
    (lambda pre, post: (pre, np.where(np.arange(14)[:, None] == 4, [3, np.inf], post)), {},
     "infinite.*pair 4"),
    (lambda pre, post: (pre[:, :1], post), {}, "shape"),
    (lambda pre, post: (np.full_like(pre, 3), post), {}, "not identified"),
    (lambda pre, post: (pre, np.where(np.arange(14)[:, None] < 10, [np.nan, 3], post)), {}, "4 doctors with"),
    (lambda pre, post: (pre, post), {"cohort": ["a"] * 13}, "13 labels for 14 pairs"),
    (lambda pre, post: (pre, post), {"cohort": ["b"] + ["a"] * 13}, "not identified"),
    (lambda pre, post: (pre, post), {"method": "mean"}, "norm or pmm"),
    (lambda pre, post: (pre, post), {"m": 1}, "m is 1"),
])
def test_imputation_refusals(change, options, message):
    with pytest.raises(ValueError, match=message):
        impute(*change(*example()), **{"seed": 1, **options})


def test_shifts_touch_imputed_scores_of_the_named_role_only():
    imputed = impute(*example(), m=3, seed=1)
    moved = delta_adjust(imputed, doctor=-1) - imputed.post
    expected = np.zeros((14, 2))
    expected[imputed.missing[:, 0], 0] = -1
    close(moved, np.broadcast_to(expected, moved.shape))
    with pytest.raises(ValueError, match="shift"):
        delta_adjust(imputed, doctor=math.nan)


def test_tipping_points_in_both_directions_by_hand():
    """Two identical data sets of 3 pairs, so B = 0: the first pair changes by 1 + delta, the others by 1. The
    mean is 1 + delta / 3, the half-width 1.96 * 0.2 = .392: it includes 0 from delta = -1.824 down; against
    .7 the interval lies below from -2.076 down and above from .276 up."""
    post = np.array([[2.0, 2], [2, 2], [2, 2]])
    missing = np.array([[True, True], [False, False], [False, False]])
    imputed = Imputed(np.stack([post, post]), missing, "norm", 1)

    def analyse(completed):
        return (completed - 1).mean(), 0.04

    tip = tipping_point(imputed, analyse, deltas=np.arange(-4, 4.5, 0.5), df_complete=math.inf)
    assert tip.conclusion == "above" and tip.up is None
    assert tip.down == -2.0
    assert [point.conclusion for point in tip.grid if point.delta == -1.5] == ["above"]
    mid = tipping_point(imputed, analyse, deltas=np.arange(-4, 4.5, 0.5), df_complete=math.inf, reference=0.7)
    assert (mid.conclusion, mid.down, mid.up) == ("includes", -2.5, 0.5)
    close([point.estimate for point in tip.grid], [1 + point.delta / 3 for point in tip.grid])


def test_role_wise_shifts_and_refusals():
    pre, post = example(n=20, gaps=((0, 0), (1, 0), (2, 0), (3, 0)))
    imputed = impute(pre, post, m=5, seed=2)
    analyse = mean_change_from(pre)
    tip = tipping_point(imputed, analyse, deltas=[-1, 1], roles=("doctor",), df_complete=19)
    assert [point.delta for point in tip.grid] == [-1, 0, 1]
    estimates = [point.estimate for point in tip.grid]
    close(np.diff(estimates), [4 / 40, 4 / 40])
    with pytest.raises(ValueError, match="no imputed score among manager"):
        tipping_point(imputed, analyse, deltas=[-1], roles=("manager",), df_complete=19)
    with pytest.raises(ValueError, match="roles"):
        tipping_point(imputed, analyse, deltas=[-1], roles=("nurse",), df_complete=19)
    with pytest.raises(ValueError, match="deltas"):
        tipping_point(imputed, analyse, deltas=[], df_complete=19)


def pooled_moments(method, m, seed):
    pre = np.array(IMPUTATION["pre"], float)
    post = np.array(IMPUTATION["post"], float)
    imputed = impute(pre, post, cohort=IMPUTATION["cohort"], method=method, m=m, cycles=5, seed=seed)
    changes, variances = zip(*map(mean_change_from(pre), imputed.post))
    cells = np.concatenate([imputed.post[:, imputed.missing[:, column], column] for column in (0, 1)], axis=1)
    return (np.mean(changes), np.var(changes, ddof=1), np.mean(variances),
            cells.mean(axis=0), cells.std(axis=0, ddof=1))


@pytest.mark.slow
def test_normal_imputations_have_the_distribution_of_mice():
    """Other random numbers, same law: means, spreads and pooled moments within 4.5 Monte Carlo errors."""
    m = 2000
    estimate, between, within, cell_mean, cell_sd = pooled_moments("norm", m, 8)
    r = IMPUTATION["distribution"]["norm"]
    both = math.sqrt(1 / m + 1 / r["m"])
    assert abs(estimate - r["estimate"]) < 4.5 * both * math.sqrt(r["between"])
    assert abs(math.log(between / r["between"])) < 4.5 * both * math.sqrt(2)
    assert abs(within / r["within"] - 1) < 0.02
    sd = np.array(r["cell_sd"])
    assert (np.abs(cell_mean - r["cell_mean"]) < 4.5 * both * sd).all()
    assert (np.abs(np.log(cell_sd / sd)) < 4.5 * both).all()


@pytest.mark.slow
def test_matched_imputations_have_nearly_the_distribution_of_mice():
    """mice matches with another variant of the distance, so only the pooled mean is held, within a tenth of
    its standard error."""
    estimate, between, within, _, _ = pooled_moments("pmm", 1000, 8)
    r = IMPUTATION["distribution"]["pmm"]
    assert abs(estimate - r["estimate"]) < 0.1 * math.sqrt(r["within"] + r["between"])
    assert 0.6 < between / r["between"] < 1.6 and abs(within / r["within"] - 1) < 0.05


@pytest.mark.slow
def test_intervals_cover_the_truth_where_complete_pairs_are_biased():
    """Post scores go missing the lower the pre score (missing at random), 30 pairs, true mean change .4 with
    post on pre at slope .5: imputed intervals keep their 95 %, complete pairs are off."""
    rng = np.random.default_rng(9)
    runs, truth, hits, complete, estimates = 300, 0.4, 0, [], []
    for _ in range(runs):
        pre = 3 + rng.normal(0, 0.5, (30, 1)) + rng.normal(0, 0.5, (30, 2))
        post = 3 + truth + 0.5 * (pre - 3) + rng.normal(0, 0.2, (30, 1)) + rng.normal(0, 0.3, (30, 2))
        post[rng.random((30, 2)) < 1 / (1 + np.exp(1 + 4 * (pre - 3)))] = np.nan
        both = ~np.isnan(post).any(axis=1)
        complete.append((post - pre)[both].mean())
        completed = impute(pre, post, m=10, cycles=4, seed=int(rng.integers(1e9))).post
        pooled = rubin(*zip(*map(mean_change_from(pre), completed)), df_complete=29)
        hits += pooled.low <= truth <= pooled.high
        estimates.append(pooled.estimate)
    assert abs(np.mean(estimates) - truth) < 0.03 < abs(np.mean(complete) - truth)
    assert abs(hits / runs - 0.95) < 3.3 * math.sqrt(0.95 * 0.05 / runs)
