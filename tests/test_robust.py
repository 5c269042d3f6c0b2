"""CR2 against clubSandwich, actor-partner equations against lm, and the properties both must have."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from plresearch.robust import actor_partner, coefficients, dose_slope, ols_cr2, robust_test, wald_htz

HERE = Path(__file__).parent
REFERENCE = json.loads((HERE / "reference" / "robust.json").read_text())
COUPLES = HERE.parents[1] / "shared" / "real" / "dyadr" / "acipair.csv"
EXACT = {"rtol": 1e-9, "atol": 1e-12}


def _name(case):
    return f"{case['kind']}-{case['clusters']}-{case['cohorts']}"


def _design(case):
    cohort = np.array(case["cohort"])
    dummies = [(cohort == name) * 1.0 for name in sorted(set(cohort))[1:]]
    return np.column_stack([np.ones(len(cohort)), *dummies, case["x"], case["z"]])


def test_reference_grid_is_complete():
    cases = {(c["clusters"], c["cohorts"], c["kind"]) for c in REFERENCE["cr2"]}
    kinds = ("pairs", "waves", "level", "uneven")
    assert cases == {(n, k, kind) for n in (6, 9, 12, 20, 30) for k in (1, 2, 3) for kind in kinds}
    assert len(REFERENCE["cr2"]) == 60
    assert len(REFERENCE["partner"]) == 20
    assert sum(e["bounded"] for c in REFERENCE["partner"] for e in c["equations"]) in range(10, 40)
    assert set(REFERENCE["versions"]) == {"R", "clubSandwich"}


@pytest.mark.parametrize("case", REFERENCE["cr2"], ids=_name)
def test_cr2_equals_clubsandwich(case):
    fit = ols_cr2(_design(case), case["y"], cluster=case["cluster"])
    table = coefficients(fit)
    np.testing.assert_allclose(fit.beta, case["estimate"], **EXACT)
    np.testing.assert_allclose(fit.vcov, case["vcov"], **EXACT)
    for name in ("se", "df", "p"):
        np.testing.assert_allclose(table[name], case[name], **EXACT)
    test = wald_htz(fit, np.eye(len(fit.beta))[-2:])
    np.testing.assert_allclose([test.f, test.df1, test.df2, test.p], case["htz"], **EXACT)


@pytest.mark.parametrize("case", REFERENCE["cr2"], ids=_name)
def test_absorbed_cohorts_equal_dummies(case):
    fit = ols_cr2(np.column_stack([case["x"], case["z"]]), case["y"], cluster=case["cluster"],
                  absorb=case["cohort"])
    table = coefficients(fit)
    np.testing.assert_allclose(table["se"], case["se"][-2:], **EXACT)
    np.testing.assert_allclose(table["df"], case["df"][-2:], **EXACT)
    test = wald_htz(fit, np.eye(2))
    np.testing.assert_allclose([test.f, test.df1, test.df2, test.p], case["htz"], **EXACT)


def _compare_equations(result, equations, roles):
    for role, expected in zip(roles, equations, strict=True):
        effects = result.effects[result.effects["equation"] == role]
        ratio = result.ratios[result.ratios["equation"] == role].iloc[0]
        np.testing.assert_allclose(effects["estimate"], expected["estimate"], **EXACT)
        if result.errors == "cr2":
            for name in ("se", "df", "p"):
                np.testing.assert_allclose(effects[name], expected[f"cr2_{name}"], **EXACT)
            continue
        for name in ("se", "df", "p", "low", "high"):
            np.testing.assert_allclose(effects[name], expected[name], **EXACT)
        np.testing.assert_allclose([ratio["k"], ratio["se"]], [expected["k"], expected["k_se"]], **EXACT)
        interval = [ratio["fieller_low"], ratio["fieller_high"]]
        if expected["bounded"]:
            np.testing.assert_allclose(interval, expected["fieller"], rtol=1e-8)
        else:
            assert interval == [-np.inf, np.inf]


@pytest.mark.parametrize("errors", ["classical", "cr2"])
@pytest.mark.parametrize("case", REFERENCE["partner"], ids=lambda c: f"{c['n']}-{c['cohorts']}")
def test_actor_partner_equals_lm(case, errors):
    result = actor_partner(case["pre"], case["post"], cohort=case["cohort"], errors=errors)
    _compare_equations(result, case["equations"], ("doctor", "manager"))


@pytest.mark.skipif(not COUPLES.exists(), reason="shared/real/dyadr/acipair.csv is not here")
@pytest.mark.parametrize("errors", ["classical", "cr2"])
def test_actor_partner_on_148_couples(errors):
    """Acitelli's couples: satisfaction on how positively one sees the other, wives and husbands."""
    expected = REFERENCE["couples"]
    with COUPLES.open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["Partnum"] == "1"]
    names = (expected["predictor"], expected["outcome"])
    pair = [[[float(row[f"{name}_{who}"]) for who in "AP"] for row in rows] for name in names]
    assert len(rows) == expected["pairs"] == 148
    result = actor_partner(pair[0], pair[1], roles=expected["roles"], errors=errors)
    _compare_equations(result, expected["equations"], expected["roles"])


def test_one_row_clusters_with_an_intercept_are_the_one_sample_t_test():
    y = np.array([0.5, 1.0, 0.0, 1.5, 2.0, -0.5])
    test = robust_test(ols_cr2(np.ones((6, 1)), y, cluster=np.arange(6)), [1.0])
    expected = stats.ttest_1samp(y, 0)
    assert test.t == pytest.approx(expected.statistic, rel=1e-12)
    assert test.p == pytest.approx(expected.pvalue, rel=1e-12)
    assert (test.low, test.high) == pytest.approx(expected.confidence_interval(), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 15), st.floats(0.1, 100), st.floats(-5, 5))
def test_scaling_and_relabelling(seed, clusters, scale, shift):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), 3)
    X = np.column_stack([np.ones(len(cluster)), rng.normal(size=len(cluster))])
    y = rng.normal(size=len(cluster)) + rng.normal(size=clusters)[cluster]
    one = robust_test(ols_cr2(X, y, cluster=cluster), [0, 1])
    order = rng.permutation(len(y))
    labels = [f"c{-i}" for i in cluster[order]]
    two = robust_test(ols_cr2(X[order], scale * y[order] + shift, cluster=labels), [0, 1])
    assert two.se == pytest.approx(scale * one.se, rel=1e-9)
    assert two.df == pytest.approx(one.df, rel=1e-9)
    assert 0 < one.df <= clusters


def test_cr2_is_unbiased_under_the_working_model():
    """Mean of the robust variance over simulated errors equals the true variance within Monte Carlo error."""
    rng = np.random.default_rng(7)
    cluster = np.repeat(np.arange(6), [1, 2, 3, 4, 2, 2])
    x = rng.normal(size=14)
    X = np.column_stack([np.ones(14), x])
    truth = np.linalg.inv(X.T @ X)[1, 1]
    values = [ols_cr2(X, rng.normal(size=14), cluster=cluster).vcov[1, 1] for _ in range(800)]
    assert abs(np.mean(values) - truth) < 4 * np.std(values) / np.sqrt(len(values))


def test_fieller_contains_delta_centre_and_is_wider():
    case = REFERENCE["partner"][-1]
    ratios = actor_partner(case["pre"], case["post"]).ratios
    assert ((ratios["fieller_low"] < ratios["k"]) & (ratios["k"] < ratios["fieller_high"])).all()
    assert (ratios["fieller_high"] - ratios["fieller_low"] >= ratios["high"] - ratios["low"]).all()


def test_dose_slope_is_the_within_cohort_slope():
    dose, change = [1, 2, 3, 1, 2, 3, 4], [1.0, 1.5, 2.5, 5.0, 5.5, 6.0, 7.5]
    cohort = ["A"] * 3 + ["B"] * 4
    dummies = np.array([[name == "A", name == "B"] for name in cohort], dtype=float)
    X = np.column_stack([dummies, dose])
    expected = robust_test(ols_cr2(X, change, cluster=np.arange(7)), [0, 0, 1])
    test = dose_slope(dose, change, cohort=cohort)
    assert (test.estimate, test.se, test.df) == pytest.approx((expected.estimate, expected.se, expected.df))


def test_many_clusters_and_cohorts_are_linear_in_memory():
    rng = np.random.default_rng(1)
    n = 20_000
    row = np.arange(n)
    fit = ols_cr2(rng.normal(size=(n, 2)), rng.normal(size=n), cluster=row // 4, absorb=row // 80)
    test = robust_test(fit, [1, 0])
    assert fit.rank == 252
    assert test.se == pytest.approx(n**-0.5, rel=0.1)
    assert test.df > 1000


@pytest.mark.parametrize(("change", "message"), [
    ({"y": [1.0, np.nan, 2.0, 3.0]}, "1 rows of y are missing or not finite, first row 1"),
    ({"X": [[1.0], [np.inf], [1.0], [1.0]]}, "1 rows of X"),
    ({"cluster": [1, 1, 1, 1]}, "one cluster only"),
    ({"cluster": [1, None, 2, 2]}, "1 labels of cluster are missing"),
    ({"X": [[1.0, 2.0]] * 4}, "'x2' does not vary, or is a linear combination"),
    ({"y": [2.0, 2.0, 2.0, 2.0]}, "exactly"),
    ({"cluster": [1, 1, 2]}, "must have shape"),
    ({"absorb": ["A", "B", "A", "A"]}, "clusters must be nested"),
    ({"names": ["a", "b"]}, "2 names for 1 columns"),
    ({"X": [1.0, 1.0, 1.0, 1.0]}, r"X must be \(n, p\)"),
])
def test_refusals(change, message):
    arguments = {"X": [[1.0]] * 4, "y": [1.0, 2.0, 2.5, 4.0], "cluster": [1, 1, 2, 2], **change}
    X, y = arguments.pop("X"), arguments.pop("y")
    with pytest.raises(ValueError, match=message):
        ols_cr2(X, y, **arguments)


def test_refused_contrasts():
    fit = ols_cr2([[1, 0], [1, 1], [1, 2], [1, 3]], [1.0, 2.0, 2.0, 4.0], cluster=[1, 2, 3, 4])
    with pytest.raises(ValueError, match="2 columns"):
        robust_test(fit, [1, 0, 0])
    with pytest.raises(ValueError, match="all zero"):
        robust_test(fit, [0, 0])
    with pytest.raises(ValueError, match="one row of weights"):
        robust_test(fit, np.eye(2))
    with pytest.raises(ValueError, match="dependent"):
        wald_htz(fit, [[0, 1], [0, 2]])
    with pytest.raises(ValueError, match="level"):
        robust_test(fit, [0, 1], level=95)


def test_contrast_that_rests_on_fitted_clusters_is_refused():
    X = [[1, 0], [1, 0], [1, 0], [1, 0], [0, 1], [0, 1]]
    fit = ols_cr2(X, [1.0, 2.0, 2.0, 4.0, 3.0, 5.0], cluster=[1, 1, 2, 2, 3, 3])
    with pytest.raises(ValueError, match="zero|singular"):
        robust_test(fit, [0, 1])


@pytest.mark.parametrize(("change", "message"), [
    ({"outcomes": [[1.0, 2.0]] * 5}, r"must both be \(n, 2\)"),
    ({"errors": "hc3"}, "errors must be"),
    ({"roles": ("doctor", "doctor")}, "two different members"),
    ({"predictors": [[1, 2], [1, 3], [1, 1], [1, 5], [1, 2], [1, 4]]}, "'actor' does not vary"),
    ({"level": 1.5}, "level"),
])
def test_actor_partner_refusals(change, message):
    arguments = {"predictors": [[2, 3], [3, 3], [4, 2], [3, 5], [5, 4], [1, 2]],
                 "outcomes": [[3, 3], [3, 4], [5, 3], [4, 5], [6, 5], [2, 2]], **change}
    predictors, outcomes = arguments.pop("predictors"), arguments.pop("outcomes")
    with pytest.raises(ValueError, match=message):
        actor_partner(predictors, outcomes, **arguments)
