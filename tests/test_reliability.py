"""Reliability against psych and lavaan, known truths, properties and traps."""
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from plresearch.reliability import cronbach_alpha, guttman, mcdonald_omega, standard_error_of_measurement

REFERENCE = json.loads((Path(__file__).parent / "reference" / "reliability.json").read_text())
CONSISTENCY = REFERENCE["consistency"]
OMEGA = REFERENCE["omega"]


def close(actual, expected, tolerance=1e-6):
    actual, expected = np.array(actual, float), np.array(expected, float)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def test_the_grid_of_reference_cases_is_complete():
    assert set(REFERENCE["versions"]) == {"R", "psych", "lavaan"}
    shapes = {np.shape(case["items"]) for case in CONSISTENCY}
    assert len(CONSISTENCY) == 108
    assert shapes == {(n, k) for n in (6, 12, 24, 60) for k in (2, 3, 5)}
    assert {case["level"] for case in CONSISTENCY} == {0.9, 0.95}
    assert sum(case["alpha"] < 0 for case in CONSISTENCY) >= 5
    assert len(OMEGA) == 54
    assert {np.shape(case["items"])[1] for case in OMEGA} == {3, 4, 6, 9}
    fitted = [case for case in OMEGA if not case["no_maximum"]]
    assert len(fitted) == 52
    assert sum(min(case["uniquenesses"]) <= 0 for case in fitted) == 8


@pytest.mark.parametrize("case", CONSISTENCY)
def test_alpha_and_its_company_agree_with_psych(case):
    a = cronbach_alpha(case["items"], level=case["level"])
    for field in ("alpha", "low", "high", "standardised", "item_rest"):
        close(getattr(a, field), case[field], 1e-10)
    if case["alpha_if_dropped"] is None:
        assert a.alpha_if_dropped == (None, None)
    else:
        close(a.alpha_if_dropped, case["alpha_if_dropped"], 1e-10)
    if case["sem"] is None:
        assert a.alpha < 0 and a.sem is None
    else:
        close(a.sem, case["sem"], 1e-10)


@pytest.mark.parametrize("case", CONSISTENCY)
def test_lambdas_agree_with_psych_and_with_regressions(case):
    g = guttman(case["items"])
    close(g.lambda2, case["lambda2"], 1e-10)
    for field in ("lambda6", "lambda6_standardised"):
        if case["lambda6"] is None:
            assert getattr(g, field) is None
    if case["lambda6"] is not None:
        close(g.lambda6, case["lambda6"], 1e-8)
        close(g.lambda6_standardised, case["g6_psych_alpha"], 1e-8)
    if case["lambda2_standardised"] is not None:
        close(g.lambda2_standardised, case["lambda2_standardised"], 1e-10)
    if case["lambda6_standardised"] is not None:
        close(g.lambda6_standardised, case["lambda6_standardised"], 1e-8)


@pytest.mark.parametrize("case", [case for case in OMEGA if not case["no_maximum"]])
def test_omega_agrees_with_lavaan(case):
    """Omega, its error and intervals to 1e-6; lavaan's optimiser leaves single parameters at about 4e-6."""
    o = mcdonald_omega(case["items"])
    for field in ("omega", "se", "low", "high"):
        close(getattr(o, field), case[field])
    for field in ("logit_low", "logit_high", "p"):
        assert (getattr(o, field) is None) == (case[field] is None)
        if case[field] is not None:
            close(getattr(o, field), case[field])
    close(o.loadings, case["loadings"], 1e-5)
    close(o.uniquenesses, case["uniquenesses"], 1e-5)
    close(o.chi2, case["chi2"], 1e-8)
    assert o.df == case["df"]
    assert o.heywood == tuple(i for i, u in enumerate(case["uniquenesses"]) if u <= 0)


@pytest.mark.parametrize("case", [case for case in OMEGA if case["no_maximum"]])
def test_a_likelihood_without_maximum_is_refused_where_lavaan_claims_convergence(case):
    with pytest.raises(ValueError, match="no interior maximum"):
        mcdonald_omega(case["items"])


def test_parallel_items_make_all_coefficients_equal():
    """Equal variances and covariances: alpha = lambda-2 = omega = k r / (1 + (k - 1) r), Spearman-Brown."""
    target = 0.4 + 0.6 * np.eye(4)
    x = with_covariance(target, 80)
    expected = 4 * 0.4 / (1 + 3 * 0.4)
    alpha = cronbach_alpha(x)
    close([alpha.alpha, alpha.standardised, guttman(x).lambda2, mcdonald_omega(x).omega],
          [expected] * 4, 1e-9)


def with_covariance(target, n, seed=0):
    z = np.random.default_rng(seed).standard_normal((n, len(target)))
    z = z - z.mean(axis=0)
    return z @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T @ np.linalg.cholesky(target).T


def test_omega_exceeds_alpha_when_loadings_differ():
    loading = np.array([0.9, 0.7, 0.5, 0.2])
    x = with_covariance(np.outer(loading, loading) + np.diag(1 - loading ** 2), 100)
    omega = mcdonald_omega(x)
    close(omega.omega, loading.sum() ** 2 / (loading.sum() ** 2 + (1 - loading ** 2).sum()), 1e-9)
    assert omega.chi2 < 1e-9 and cronbach_alpha(x).alpha < omega.omega


def test_feldt_interval_is_the_set_of_alphas_not_rejected():
    """Feldt: (1 - alpha) / (1 - estimate) is F; at each limit the tail is (1 - level) / 2."""
    from scipy.stats import f
    a = cronbach_alpha(CONSISTENCY[10]["items"], level=0.8)
    n, k = a.n, a.items
    close(f.cdf((1 - a.low) / (1 - a.alpha), n - 1, (n - 1) * (k - 1)), 0.9, 1e-10)
    close(f.cdf((1 - a.high) / (1 - a.alpha), n - 1, (n - 1) * (k - 1)), 0.1, 1e-10)


answers = st.integers(4, 15).flatmap(lambda n: st.integers(2, 6).flatmap(
    lambda k: arrays(np.int64, (n, k), elements=st.integers(1, 5))))


@given(answers, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_shift_and_bounds(x, random):
    assume(np.ptp(x.sum(axis=1)) > 0)
    a, g = cronbach_alpha(x), guttman(x)
    people, items = list(range(len(x))), list(range(x.shape[1]))
    random.shuffle(people), random.shuffle(items)
    moved = cronbach_alpha(x[people][:, items] * 2.0 + 7)
    close(moved.alpha, a.alpha, 1e-9)
    assert a.low <= a.alpha <= a.high <= 1
    assert g.lambda2 >= a.alpha - 1e-9
    for item, value in enumerate(a.item_rest):
        if value is None:
            assert item in a.constant_items or np.ptp(x.sum(axis=1) - x[:, item]) == 0
        else:
            assert -1 - 1e-12 <= value <= 1 + 1e-12
    if x.shape[1] > 2:
        for item, value in enumerate(a.alpha_if_dropped):
            rest = np.delete(x, item, axis=1)
            assert (value is None) == (np.ptp(rest.sum(axis=1)) == 0)
            if value is not None:
                close(value, cronbach_alpha(rest).alpha, 1e-8)


def test_an_item_all_answer_alike_is_named_and_alpha_still_given():
    x = np.array([[3, 4, 5], [2, 2, 5], [4, 4, 5], [1, 2, 5.0]])
    a = cronbach_alpha(x)
    assert a.constant_items == (2,) and a.standardised is None and a.item_rest[2] is None
    close(a.alpha, 3 / 2 * (1 - x.var(axis=0, ddof=1).sum() / x.sum(axis=1).var(ddof=1)), 1e-12)
    assert guttman(x).lambda6 is None and guttman(x).lambda2_standardised is None
    with pytest.raises(ValueError, match="without variation, first at position 2"):
        mcdonald_omega(np.vstack([x, x + [[0.5, 1, 0]]]))


@pytest.mark.parametrize("function", [cronbach_alpha, guttman, mcdonald_omega])
def test_missing_answers_are_refused_with_the_first_culprit(function):
    x = np.ones((5, 3))
    x[2, 1] = x[4, 0] = math.nan
    with pytest.raises(ValueError, match="2 missing or non-finite answer.* first at row 2, column 1"):
        function(x)


@pytest.mark.parametrize("function", [cronbach_alpha, guttman, mcdonald_omega])
@pytest.mark.parametrize("x, message", [
    (np.ones((2, 3)), "2 people"), (np.ones((6, 1)), "1 item"), (np.ones(6), "1 dimension"),
])
def test_too_little_is_refused(function, x, message):
    with pytest.raises(ValueError, match=message):
        function(x)


@pytest.mark.parametrize("x", [np.full((6, 3), 4), [[1, 5], [5, 1], [2, 4], [3, 3]]])
def test_a_total_without_variation_is_refused(x):
    with pytest.raises(ValueError, match="same for all"):
        cronbach_alpha(x)
    with pytest.raises(ValueError, match="same for all"):
        guttman(x)


def test_omega_refuses_what_cannot_be_fitted():
    rng = np.random.default_rng(5)
    with pytest.raises(ValueError, match="at least three"):
        mcdonald_omega(rng.normal(size=(30, 2)))
    with pytest.raises(ValueError, match="more people than items"):
        mcdonald_omega(rng.normal(size=(5, 5)))
    x = rng.normal(size=(30, 3))
    with pytest.raises(ValueError, match="singular"):
        mcdonald_omega(np.column_stack([x, x[:, 0]]))


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_is_a_proportion(level):
    with pytest.raises(ValueError, match="level"):
        cronbach_alpha(CONSISTENCY[0]["items"], level=level)


def test_measurement_error_limits_and_refusals():
    assert standard_error_of_measurement(0.7, 1) == 0
    assert standard_error_of_measurement(0.7, 0) == 0.7
    for sd, reliability in ((-1, 0.8), (math.nan, 0.8), (1, -0.2), (1, math.nan)):
        with pytest.raises(ValueError):
            standard_error_of_measurement(sd, reliability)


@pytest.mark.slow
def test_feldt_and_omega_intervals_cover_the_truth():
    """Parallel items, reliability 8/11 with four of them at r = .4; both 95 % intervals within 3.3 MC SE."""
    truth, runs = 4 * 0.4 / (1 + 3 * 0.4), 1000
    rng = np.random.default_rng(2)
    root = np.linalg.cholesky(0.4 + 0.6 * np.eye(4))
    feldt = sum(a.low <= truth <= a.high for a in
                (cronbach_alpha(rng.standard_normal((12, 4)) @ root.T) for _ in range(runs))) / runs
    logit = sum(o.logit_low <= truth <= o.logit_high for o in
                (mcdonald_omega(rng.standard_normal((200, 4)) @ root.T) for _ in range(runs))) / runs
    tolerance = 3.3 * math.sqrt(0.95 * 0.05 / runs)
    assert abs(feldt - 0.95) < tolerance and abs(logit - 0.95) < tolerance
