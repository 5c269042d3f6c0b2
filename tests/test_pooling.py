"""Pooling: metafor and integrate() references, limits, traps, properties, coverage."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plresearch.pooling import bayes_half_normal, pool

REFERENCE = json.loads((Path(__file__).parent / "reference" / "pooling.json").read_text())
SETS = {s["name"]: (np.array(s["y"]), np.array(s["v"])) for s in REFERENCE["sets"]}
TESTS = {"z": "wald", "knha": "hk", "adhoc": "mhk"}


def test_the_grid_of_reference_cases_is_complete():
    assert len(SETS) == 34
    cases = {(c["set"], c["method"], c["test"]) for c in REFERENCE["cases"]}
    random = {(s, m, t) for s in SETS for m in ("REML", "PM", "DL") for t in TESTS}
    assert cases == random | {(s, "EE", "z") for s in SETS} and len(REFERENCE["cases"]) == 340
    assert len(REFERENCE["bayes"]) == 3 * len(SETS)
    assert {len(SETS[s][0]) for s in SETS} >= set(range(2, 13))
    assert sum(c["method"] == "REML" and c["tau2"] == 0 for c in REFERENCE["cases"]) >= 15
    assert {"R", "metafor"} <= set(REFERENCE["versions"])


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda c: f"{c['set']} {c['method']} {c['test']}")
def test_pool_equals_metafor(case):
    y, v = SETS[case["set"]]
    options = {"tau2": "FE" if case["method"] == "EE" else case["method"], "test": TESTS[case["test"]]}
    ours = pool(y, v, **options)
    for name in ("estimate", "se", "low", "high", "p", "tau2", "Q", "Q_p", "I2", "H2", "weights"):
        np.testing.assert_allclose(getattr(ours, name), case[name], rtol=1e-9, atol=1e-12, err_msg=name)
    if case["method"] == "EE":
        assert np.isnan(ours.prediction_low) and np.isnan(ours.prediction_high)
        return
    np.testing.assert_allclose((ours.tau2_low, ours.tau2_high), (case["tau2_low"], case["tau2_high"]),
                               rtol=1e-8, atol=1e-12)
    theirs = pool(y, v, prediction="k-1", **options)
    np.testing.assert_allclose((theirs.prediction_low, theirs.prediction_high),
                               (case["prediction_low"], case["prediction_high"]), rtol=1e-9, atol=1e-12)
    if y.size == 2:
        assert (ours.prediction_low, ours.prediction_high, ours.prediction_df) == (-np.inf, np.inf, 0)
    else:
        np.testing.assert_allclose((ours.prediction_low, ours.prediction_high),
                                   (case["riley_low"], case["riley_high"]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", REFERENCE["bayes"], ids=lambda c: f"{c['set']} scale {c['scale']}")
def test_bayes_equals_adaptive_integration_in_r(case):
    y, v = SETS[case["set"]]
    ours = bayes_half_normal(y, v, scale=case["scale"])
    for name in set(case) - {"set", "scale"}:
        np.testing.assert_allclose(getattr(ours, name), case[name], rtol=1e-8, atol=1e-9, err_msg=name)


def test_shrunken_intervals_hold_their_probability():
    """The quantiles of each cohort's effect, checked by sampling the posterior of (tau, mu, effect)."""
    y, v = np.array([0.1, 0.6, 1.4]), np.array([0.04, 0.03, 0.25])
    fit = bayes_half_normal(y, v, scale=0.5)
    rng = np.random.default_rng(5)
    grid = np.linspace(0.0005, 3, 6000)
    w = 1 / (v + grid[:, None] ** 2)
    mean = w @ y / w.sum(axis=1)
    log = 0.5 * (np.log(w).sum(axis=1) - np.log(w.sum(axis=1)) - (w * (y - mean[:, None]) ** 2).sum(axis=1)
                 - (grid / 0.5) ** 2)
    share = np.exp(log - log.max())
    pick = rng.choice(grid.size, 100_000, p=share / share.sum())
    mu = rng.normal(mean[pick], 1 / np.sqrt(w[pick].sum(axis=1)))
    precision = 1 / v + 1 / grid[pick, None] ** 2
    effect = rng.normal((y / v + mu[:, None] / grid[pick, None] ** 2) / precision, 1 / np.sqrt(precision))
    assert np.abs((effect < fit.shrunken_low).mean(axis=0) - 0.025).max() < 0.002
    assert np.abs((effect < fit.shrunken_high).mean(axis=0) - 0.975).max() < 0.002


def test_reml_takes_the_global_maximum():
    """Compare with a dense grid of the restricted likelihood, for unequal variances that make it bumpy."""
    rng = np.random.default_rng(8)
    for _ in range(40):
        k = int(rng.integers(2, 9))
        v = 10.0 ** rng.uniform(-4, 1, k)
        y = rng.normal(0, np.sqrt(v + 10.0 ** rng.uniform(-4, 1)))
        t = np.concatenate([[0], np.geomspace(1e-7, 1e3, 4000), [pool(y, v).tau2]])
        w = 1 / (v + t[:, None])
        mean = w @ y / w.sum(axis=1)
        likelihood = 0.5 * (np.log(w).sum(axis=1) - np.log(w.sum(axis=1))
                            - (w * (y - mean[:, None]) ** 2).sum(axis=1))
        assert likelihood[-1] >= likelihood[:-1].max() - 1e-9


effects = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 4)), min_size=2, max_size=9)


@settings(max_examples=60, deadline=None)
@given(effects, st.floats(0.1, 50), st.floats(-10, 10), st.sampled_from(["REML", "PM", "DL"]))
def test_pooling_follows_shift_and_scale(rows, factor, shift, method):
    y, v = np.array(rows).T
    one = pool(y, v, tau2=method, test="mhk")
    two = pool(factor * y + shift, factor ** 2 * v, tau2=method, test="mhk")
    assert two.estimate == pytest.approx(factor * one.estimate + shift, rel=1e-6, abs=1e-6)
    assert two.se == pytest.approx(factor * one.se, rel=1e-6)
    assert two.I2 == pytest.approx(one.I2, rel=1e-5, abs=1e-5)
    assert one.se >= pool(y, v, tau2=method, test="wald").se * (1 - 1e-12)
    assert y.min() - 1e-9 <= one.estimate <= y.max() + 1e-9 and one.weights.sum() == pytest.approx(1)
    assert one.tau2_low <= one.tau2_high


@settings(max_examples=25, deadline=None)
@given(effects, st.floats(0.1, 2))
def test_bayes_follows_order_and_sign(rows, scale):
    y, v = np.array(rows).T
    one, two = bayes_half_normal(y, v, scale=scale), bayes_half_normal(-y[::-1], v[::-1], scale=scale)
    assert two.mean == pytest.approx(-one.mean, abs=1e-9) and two.low == pytest.approx(-one.high, abs=1e-9)
    assert two.positive == pytest.approx(1 - one.positive, abs=1e-9)
    assert one.low < one.median < one.high and 0 < one.tau_low < one.tau_median < one.tau_high
    assert (one.shrunken >= min(y.min(), one.mean) - 1e-9).all() and (one.shrunken <= y.max() + 1e-9).all()


def test_tau_follows_the_prior_where_the_data_say_nothing():
    fit = bayes_half_normal([0.0, 0.0], [1e8, 1e8], scale=0.5)
    assert fit.tau_median == pytest.approx(0.5 * 0.6744897501960817, rel=1e-6)


def test_a_vanishing_prior_gives_the_fixed_effect():
    y, v = np.array([0.1, 0.6, 0.35]), np.array([0.04, 0.03, 0.05])
    fixed, bayes = pool(y, v, tau2="FE", test="wald"), bayes_half_normal(y, v, scale=1e-6)
    expected = pytest.approx((fixed.estimate, fixed.low, fixed.high), abs=1e-6)
    assert (bayes.mean, bayes.low, bayes.high) == expected


def test_many_cohorts_are_pooled_in_time_and_precisely():
    rng = np.random.default_rng(2)
    v = rng.uniform(0.05, 0.5, 1000)
    y = rng.normal(0.4, np.sqrt(v + 0.25))
    fit, bayes = pool(y, v), bayes_half_normal(y, v, scale=0.5)
    assert bayes.mean == pytest.approx(fit.estimate, abs=1e-4)
    assert bayes.tau_mean == pytest.approx(0.5, abs=0.06)
    assert bayes.sd == pytest.approx(fit.se, rel=0.02)


def test_heterogeneity_that_is_zero_is_exactly_zero():
    for method in ("REML", "PM", "DL"):
        fit = pool([0.30, 0.31, 0.32], [0.1, 0.1, 0.1], tau2=method)
        assert fit.tau2 == 0 and fit.I2 == 0 and fit.H2 == 1 and fit.tau2_low == 0


@pytest.mark.parametrize(("y", "v", "options", "words"), [
    ([0.1], [0.1], {}, "at least two"),
    ([0.1, np.nan], [0.1, 0.1], {}, "y holds 1 missing.*position 1"),
    ([0.1, 0.2], [0.1, np.inf], {}, "v holds 1"),
    ([0.1, 0.2], [0.1, 0.0], {}, "not positive"),
    ([0.1, 0.2], [0.1], {}, "same length"),
    ([0.2, 0.2], [0.1, 0.1], {}, "mhk"),
    ([0.1, 0.2], [0.1, 0.1], {"tau2": "FE"}, "wald"),
    ([0.1, 0.2], [0.1, 0.1], {"tau2": "ML"}, "tau2 must"),
    ([0.1, 0.2], [0.1, 0.1], {"test": "t"}, "test must"),
    ([0.1, 0.2], [0.1, 0.1], {"level": 95}, "level"),
    ([0.1, 0.2], [0.1, 0.1], {"prediction": "k"}, "prediction"),
])
def test_pool_refuses(y, v, options, words):
    with pytest.raises(ValueError, match=words):
        pool(y, v, **options)


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf])
def test_bayes_refuses_a_scale(scale):
    with pytest.raises(ValueError, match="scale"):
        bayes_half_normal([0.1, 0.2], [0.1, 0.1], scale=scale)


@pytest.mark.slow
def test_coverage_with_three_cohorts():
    """tau = 0.5 SD, 12 pairs a cohort: Wald .851, Hartung-Knapp .946, Bayes .945 at half its width."""
    rng = np.random.default_rng(1)
    covered, width, runs = np.zeros(3), np.zeros(3), 2000
    for _ in range(runs):
        changes = 0.3 + 0.5 * rng.normal(size=(3, 1)) + rng.normal(size=(3, 12))
        y, v = changes.mean(axis=1), changes.var(axis=1, ddof=1) / 12
        for i, fit in enumerate((pool(y, v, test="wald"), pool(y, v), bayes_half_normal(y, v, scale=0.5))):
            covered[i] += fit.low <= 0.3 <= fit.high
            width[i] += fit.high - fit.low
    expected = np.array([0.851, 0.946, 0.945])
    error = np.sqrt(expected * (1 - expected) / runs)
    assert (np.abs(covered / runs - expected) < 3.5 * error + 0.005).all(), covered / runs
    assert width[2] < 0.6 * width[1]
