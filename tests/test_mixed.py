"""REML, Kenward-Roger and Satterthwaite against lme4, pbkrtest, lmerTest, emmeans and nlme; properties.

Accuracy against R.  The R script polishes lme4's optimum with Newton steps, so estimates, standard errors,
degrees of freedom and F agree to 1e-6 relative or better in all 72 component cases, 23 of them at the
boundary.  Unstructured covariances are compared with a dense Kenward-Roger written out in R (1e-8), their
likelihood (1e-6) and estimates (2e-4) with nlme::gls, whose own optimiser stops about there.
"""

import json
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from plresearch.mixed import (
    changes,
    cohort_by_wave,
    contrast,
    covariance,
    emmeans,
    estimates,
    f_test,
    mixed_model,
    unstructured,
    variance_components,
    wave_tests,
)

REFERENCE = json.loads((Path(__file__).parent / "reference" / "mixed.json").read_text())
COLUMNS = ["estimate", "se", "df", "low", "high"]
TIGHT = {"rtol": 1e-6, "atol": 1e-8}
METHODS = {"kenward-roger": "kr", "satterthwaite": "sat"}


def _name(case):
    return f"{case['kind']}-{case['pairs']}-{case['cohorts']}-{len(case.get('waves', 'xx'))}w"


def _roles(case):
    return case["roles"] if isinstance(case["roles"], list) else [case["roles"]]


def _frame(case):
    frame = pd.DataFrame(case["data"])
    return frame if "roles" not in case or len(_roles(case)) > 1 else frame.assign(role=None)


def _groups(case):
    return ("pair", "person") if len(_roles(case)) > 1 else ("person",)


@cache
def _fit(index, interaction):
    case = REFERENCE["components"][index]
    return mixed_model(_frame(case), waves=case["waves"], groups=_groups(case), interaction=interaction)


def _components(test, *, cohorts=1):
    """Run `test` on the index of each component case with at least that many cohorts."""
    cases = [(i, c) for i, c in enumerate(REFERENCE["components"]) if c["cohorts"] >= cohorts]
    return pytest.mark.parametrize("index", [i for i, _ in cases], ids=[_name(c) for _, c in cases])(test)


def _treatment_design(case):
    """R's columns: (Intercept), cohorts, role, waves, role:waves."""
    frame = pd.DataFrame(case["data"])
    later = [(frame["wave"] == wave).to_numpy(float) for wave in case["waves"][1:]]
    columns = [np.ones(len(frame))]
    columns += [(frame["cohort"] == name).to_numpy(float) for name in sorted(frame["cohort"].unique())[1:]]
    if len(_roles(case)) > 1:
        role = (frame["role"] == case["roles"][1]).to_numpy(float)
        return np.column_stack([*columns, role, *later, *[role * wave for wave in later]])
    return np.column_stack([*columns, *later])


def _simulate(pairs, cohorts, seed, *, missing=0.0, pair_sd=0.6, person_sd=0.5):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "cohort": np.repeat([f"c{i * cohorts // pairs}" for i in range(pairs)], 4),
        "pair": np.repeat(np.arange(pairs), 4), "person": np.repeat(np.arange(2 * pairs), 2),
        "role": np.tile(["doctor", "doctor", "manager", "manager"], pairs),
        "wave": np.tile(["pre", "post"], 2 * pairs),
    })
    effect = rng.normal(0, pair_sd, pairs)[frame["pair"]]
    effect = effect + rng.normal(0, person_sd, 2 * pairs)[frame["person"]]
    frame["score"] = 3 + effect + 0.5 * (frame["wave"] == "post") + rng.normal(0, 0.5, 4 * pairs)
    return frame[rng.random(len(frame)) >= missing]


def test_reference_grid_is_complete():
    grid = {(c["pairs"], c["cohorts"], c["kind"]) for c in REFERENCE["components"][:60]}
    kinds = ("complete", "missing", "tied", "weak")
    assert grid == {(n, k, kind) for n in (6, 9, 12, 20, 30) for k in (1, 2, 3) for kind in kinds}
    extra = [(len(c["waves"]), len(_roles(c))) for c in REFERENCE["components"][60:]]
    assert sorted(extra) == [(2, 1)] * 6 + [(3, 2)] * 6
    assert sum(c["singular"] for c in REFERENCE["components"]) == 23
    grid = {(c["pairs"], c["cohorts"], c["kind"]) for c in REFERENCE["unstructured"]}
    assert grid == {(n, k, kind) for n in (12, 20, 30) for k in (1, 2, 3) for kind in ("complete", "missing")}
    assert {"R", "lme4", "lmerTest", "pbkrtest", "emmeans", "nlme"} <= set(REFERENCE["versions"])


@pytest.mark.parametrize("case", REFERENCE["components"], ids=_name)
def test_fit_equals_lme4(case):
    frame = pd.DataFrame(case["data"])
    groups = {name: frame[name] for name in _groups(case)}
    fit = variance_components(_treatment_design(case), frame["score"], groups=groups)
    expected = {name.lower(): value for name, value in case["variances"].items()}
    assert fit.loglik == pytest.approx(case["loglik"], abs=1e-8)
    assert fit.singular == case["singular"]
    np.testing.assert_allclose(fit.theta, [expected[name] for name in fit.parameters], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(fit.beta, case["beta"], **TIGHT)
    np.testing.assert_allclose(covariance(fit, adjusted=False), case["vcov"], **TIGHT)
    np.testing.assert_allclose(covariance(fit), case["vcov_kr"], **TIGHT)


@pytest.mark.parametrize("method", METHODS)
@_components
def test_means_and_changes_equal_emmeans(index, method):
    case = REFERENCE["components"][index]
    expected = {name: np.array(rows) for name, rows in case[method.replace("-", "_")].items()}
    model = _fit(index, False)
    later, roles = len(case["waves"]) - 1, len(_roles(case))
    cells = emmeans(model, method=method)[COLUMNS].to_numpy()
    if roles > 1:   # R lets the role vary fastest
        cells = cells.reshape(roles, later + 1, -1).swapaxes(0, 1).reshape(-1, len(COLUMNS))
    np.testing.assert_allclose(cells, expected["cells"], **TIGHT)
    waves = emmeans(model, by=["wave"], method=method)
    np.testing.assert_allclose(waves[COLUMNS], expected["wave_means"], **TIGHT)
    table = changes(model, method=method)
    by_wave = table[COLUMNS].to_numpy().reshape(later, -1, len(COLUMNS))
    np.testing.assert_allclose(by_wave[:, 0], expected["change"].reshape(later, -1), **TIGHT)
    if roles > 1:
        np.testing.assert_allclose(by_wave[:, 1:3].swapaxes(0, 1).reshape(-1, len(COLUMNS)),
                                   expected["change_by_role"], **TIGHT)
        np.testing.assert_allclose(by_wave[:, 3], expected["role_by_wave"].reshape(later, -1), **TIGHT)


@pytest.mark.parametrize("method", METHODS)
@partial(_components, cohorts=2)
def test_f_tests_equal_pbkrtest_and_lmertest(index, method):
    case = REFERENCE["components"][index]
    tests = [(cohort_by_wave(_fit(index, True), method=method), case["f_cohort_wave"])]
    if "f_role_wave" in case:
        tests.append((wave_tests(_fit(index, False), method=method)["role:wave"], case["f_role_wave"]))
    for test, expected in tests:
        ours = [test.f, test.df1, test.df2, test.scale, test.p]
        np.testing.assert_allclose(ours, expected[METHODS[method]], **TIGHT)


@pytest.mark.parametrize("case", REFERENCE["unstructured"], ids=_name)
def test_unstructured_equals_dense_kenward_roger_and_gls(case):
    frame = _frame(case)
    fit = unstructured(case["x"], frame["score"], cluster=frame["pair"], occasion=case["cell"])
    exact = {"rtol": 1e-8, "atol": 1e-10}
    np.testing.assert_allclose(fit.theta, case["theta"], **exact)
    np.testing.assert_allclose(fit.beta, case["beta"], **exact)
    np.testing.assert_allclose(covariance(fit, adjusted=False), case["vcov"], **exact)
    np.testing.assert_allclose(covariance(fit), case["vcov_kr"], **exact)
    assert fit.loglik == pytest.approx(case["loglik"], abs=1e-9)
    assert fit.loglik == pytest.approx(case["gls_loglik"], abs=1e-6)
    np.testing.assert_allclose(fit.beta, case["gls_beta"], atol=2e-4)
    for rows, expected in zip([case["rows"][0], case["rows"][1], case["rows"]], case["tests"], strict=True):
        test = f_test(fit, rows)
        np.testing.assert_allclose([test.f, test.df1, test.df2, test.scale], expected, **exact)
    front = changes(mixed_model(frame, structure="unstructured"))
    np.testing.assert_allclose(front["df"].iloc[[0, 3]], [case["tests"][0][2], case["tests"][1][2]], **exact)


def test_unstructured_complete_pairs_give_the_paired_t_test():
    frame = _simulate(9, 1, 4)
    wide = frame.pivot(index="pair", columns=["role", "wave"], values="score")
    change = sum(wide[role]["post"] - wide[role]["pre"] for role in ("doctor", "manager")) / 2
    expected = stats.ttest_1samp(change, 0)
    for method in METHODS:
        line = changes(mixed_model(frame, structure="unstructured"), method=method).iloc[0]
        assert line["t"] == pytest.approx(expected.statistic, rel=1e-9)
        assert line["df"] == pytest.approx(8, rel=1e-6)
        assert (line["low"], line["high"]) == pytest.approx(expected.confidence_interval(), rel=1e-7)


def test_log_likelihood_equals_statsmodels():
    frame = _simulate(20, 1, 3)
    X = np.column_stack([np.ones(80), (frame["wave"] == "post").to_numpy(float)])
    ours = variance_components(X, frame["score"], groups={"pair": frame["pair"]})
    model = MixedLM(frame["score"].to_numpy(), X, groups=frame["pair"].to_numpy())
    theirs = model.fit(reml=True, method="powell")
    assert ours.loglik == pytest.approx(theirs.llf, abs=1e-5)
    assert ours.loglik >= theirs.llf - 1e-8
    np.testing.assert_allclose(ours.beta, theirs.fe_params, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_absorbed_cohorts_equal_dummies(method):
    frame = _simulate(30, 10, 5, missing=0.15)
    later = (frame["wave"] == "post").to_numpy(float)
    role = (frame["role"] == "manager").to_numpy(float)
    dummies = pd.get_dummies(frame["cohort"], dtype=float).to_numpy()
    groups = {"pair": frame["pair"], "person": frame["person"]}
    shared = np.column_stack([role, later, role * later])
    plain = variance_components(np.hstack([dummies, shared]), frame["score"], groups=groups)
    absorbed = variance_components(shared, frame["score"], groups=groups, absorb=frame["cohort"])
    assert absorbed.loglik == pytest.approx(plain.loglik, abs=1e-9)
    np.testing.assert_allclose(absorbed.beta, plain.beta, rtol=1e-9)
    np.testing.assert_allclose(covariance(absorbed), covariance(plain), rtol=1e-8, atol=1e-12)
    rows = np.zeros((3, 13))
    rows[0, :11] = [*[0.1] * 10, 0.5]
    rows[1, :2] = [1, -1]
    rows[2, 11:] = [1, 0.5]
    one = estimates(absorbed, rows, terms="abc", method=method)
    two = estimates(plain, rows, terms="abc", method=method)
    np.testing.assert_allclose(one.iloc[:, 1:], two.iloc[:, 1:], rtol=1e-8)
    test, other = (f_test(fit, rows, method=method) for fit in (absorbed, plain))
    np.testing.assert_allclose([test.f, test.df2], [other.f, other.df2], rtol=1e-8)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(6, 12), st.floats(0, 1.2), st.floats(0, 1.2))
def test_no_nearby_or_random_variances_have_a_higher_likelihood(seed, pairs, pair_sd, person_sd):
    """The optimum beats a grid around it and far from it; at the boundary the gradient points outwards."""
    frame = _simulate(pairs, 2, seed, missing=0.1, pair_sd=pair_sd, person_sd=person_sd)
    X = np.column_stack([np.ones(len(frame)), frame["wave"] == "post"]).astype(float)
    y = frame["score"].to_numpy()
    fit = variance_components(X, y, groups={"pair": frame["pair"], "person": frame["person"]})
    same = [np.equal.outer(frame[name].to_numpy(), frame[name].to_numpy()) for name in ("pair", "person")]

    def loglik(theta):
        v = theta[0] * np.eye(len(y)) + theta[1] * same[0] + theta[2] * same[1]
        w = np.linalg.inv(v)
        xwx = X.T @ w @ X
        r = y - X @ np.linalg.solve(xwx, X.T @ w @ y)
        parts = np.linalg.slogdet(v)[1] + np.linalg.slogdet(xwx)[1] + r @ w @ r
        return -(parts + (len(y) - 2) * np.log(2 * np.pi)) / 2

    assert fit.loglik == pytest.approx(loglik(fit.theta), abs=1e-8)
    assert fit.score < 1e-6
    rng = np.random.default_rng(seed)
    total = fit.theta.sum()
    near = np.maximum(fit.theta + rng.normal(0, 0.01 * total, (15, 3)), [1e-3 * total, 0, 0])
    far = rng.dirichlet([1, 1, 1], 15) * total
    assert max(loglik(theta) for theta in np.vstack([near, far])) <= fit.loglik + 1e-9


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 50), st.floats(-20, 20))
def test_scale_shift_order_and_labels_do_not_matter(seed, scale, shift):
    frame = _simulate(8, 2, seed, missing=0.1)
    one = changes(mixed_model(frame))
    other = frame.assign(score=scale * frame["score"] + shift, pair="p" + frame["pair"].astype(str),
                         person=-frame["person"]).sample(frac=1, random_state=seed)
    two = changes(mixed_model(other))
    columns = ["estimate", "se"]
    np.testing.assert_allclose(two[columns], scale * one[columns], rtol=1e-6, atol=1e-9 * scale)
    np.testing.assert_allclose(two["df"], one["df"], rtol=1e-5)


def test_singular_fit_is_reported_and_both_methods_are_finite():
    """At the boundary Kenward-Roger keeps the component, Satterthwaite holds it at 0: here df 6 against 9."""
    frame = pd.DataFrame({
        "cohort": "A", "pair": np.repeat(list("abcd"), 4), "person": np.repeat(np.arange(8), 2),
        "role": np.tile(["doctor", "doctor", "manager", "manager"], 4), "wave": np.tile(["pre", "post"], 8),
        "score": [2.0, 3.0, 3.0, 3.5, 2.5, 4.0, 2.5, 4.0, 3.0, 3.5, 4.0, 4.0, 2.0, 3.5, 3.0, 4.5]})
    model = mixed_model(frame)
    assert model.fit.singular
    assert model.fit.boundary == ("person",)
    assert changes(model)["df"].iloc[0] == pytest.approx(6)
    assert changes(model, method="satterthwaite")["df"].iloc[0] == pytest.approx(9)


def test_estimated_means_weigh_cohorts_equally():
    frame = _simulate(9, 1, 8).assign(cohort=lambda d: np.where(d["pair"] < 2, "small", "large"))
    model = mixed_model(frame)
    by_cohort = emmeans(model, by=["cohort", "wave"])
    overall = emmeans(model, by=["wave"])
    means = by_cohort.groupby("wave", sort=False)["estimate"].mean()
    np.testing.assert_allclose(overall["estimate"], means.to_numpy(), rtol=1e-12)


def test_person_with_one_wave_and_pair_with_one_partner_are_used():
    frame = _simulate(8, 1, 2)
    partial = frame.drop(frame.index[[1, 6, 7]])
    model = mixed_model(partial)
    assert (model.fit.n, model.fit.clusters) == (29, 8)


def test_f_with_one_row_is_the_squared_t():
    model = mixed_model(_simulate(7, 1, 6, missing=0.1))
    for method in METHODS:
        line = changes(model, method=method).iloc[0]
        test = wave_tests(model, method=method)["wave"]
        assert (test.f, test.df2, test.p) == pytest.approx((line["t"] ** 2, line["df"], line["p"]), rel=1e-9)


def test_thousand_cohorts_in_one_fit():
    """80,000 rows with 1,000 cohort effects; balanced, so the change has its exact within-person form."""
    frame = _simulate(20_000, 1_000, 9)
    line = changes(mixed_model(frame)).iloc[0]
    wide = frame.pivot(index=["pair", "role"], columns="wave", values="score")
    change = wide["post"] - wide["pre"]
    centred = change - change.groupby("role").transform("mean")
    assert line["estimate"] == pytest.approx(change.mean(), rel=1e-9)
    assert line["se"] == pytest.approx(np.sqrt((centred**2).sum() / 39_998 / 40_000), rel=1e-9)
    assert line["df"] == pytest.approx(39_998, rel=1e-6)


BASE = _simulate(6, 1, 1).reset_index(drop=True)


@pytest.mark.parametrize(("frame", "options", "message"), [
    (BASE.assign(score=BASE["score"].where(BASE.index != 3)), {}, "1 rows of y are missing .*, first row 3"),
    (BASE.assign(wave=BASE["wave"].where(BASE.index != 2)), {}, "1 lines have no wave, first line number 2"),
    (BASE.assign(pair=None), {}, "24 lines have no pair"),
    (BASE.assign(role=BASE["role"].where(BASE.index > 0)), {}, "1 lines have no role"),
    (pd.concat([BASE, BASE.iloc[:2]]), {}, "2 lines repeat a person and wave"),
    (BASE, {"waves": ("pre", "later")}, "no line of wave 'later'"),
    (BASE, {"waves": ("pre",)}, "two or more different waves"),
    (BASE, {"structure": "toeplitz"}, "structure must be"),
    (BASE.drop(columns="pair"), {}, "lack the columns"),
    (BASE.assign(score=3.0), {}, "no variation to model"),
    (BASE.assign(score=BASE["person"] % 3 + (BASE["wave"] == "post") * 1.0), {}, "residual variance is zero"),
    (BASE[BASE["pair"] == 0], {}, "one cluster only"),
    (BASE.assign(cohort=BASE["pair"]), {}, "not identified"),
    (BASE[(BASE["role"] == "manager") | (BASE["wave"] == "pre")], {}, "first 'doctor post'"),
    (BASE.assign(pair=BASE.index % 3), {}, "person is not nested in pair"),
    (BASE[BASE["pair"] < 4], {"structure": "unstructured"}, "too few"),
    (BASE[(BASE["wave"] == "pre") == (BASE["pair"] % 2 == 0)], {}, "cannot be told from that of residual"),
    (BASE[(BASE["wave"] == "pre") == (BASE["pair"] % 2 == 0)], {"structure": "unstructured"}, "never occur"),
])
def test_refusals(frame, options, message):
    with pytest.raises(ValueError, match=message):
        mixed_model(frame, **options)


def test_refused_questions():
    model = mixed_model(BASE)
    with pytest.raises(ValueError, match="interaction=True"):
        cohort_by_wave(model)
    with pytest.raises(ValueError, match="by must name factors"):
        emmeans(model, by=["site"])
    with pytest.raises(ValueError, match="method must be one of"):
        changes(model, method="residual")
    with pytest.raises(ValueError, match="4 columns"):
        contrast(model.fit, [1, 0])
    with pytest.raises(ValueError, match="level"):
        contrast(model.fit, [1, 0, 0, 0], level=95)
    with pytest.raises(ValueError, match="dependent"):
        f_test(model.fit, [[0, 1, 0, 0], [0, 2, 0, 0]])
    with pytest.raises(ValueError, match="all zero"):
        contrast(model.fit, [0, 0, 0, 0])
    with pytest.raises(ValueError, match="name at least one"):
        variance_components(np.ones((4, 1)), [1.0, 2.0, 3.0, 5.0], groups={})


def test_a_maximum_that_only_rounding_keeps_moving_is_found():
    """Nearly dependent occasions: Newton's steps never get below rounding, yet the maximum is the paired t-test's."""
    quarters = np.array([
        [10, 13, 14, 18], [14, 19, 17, 14], [12, 6, 12, 4], [12, 10, 13, 9], [12, 10, 11, 10], [16, 15, 9, 7],
        [12, 13, 13, 13], [13, 14, 10, 13], [13, 15, 10, 13]]) / 4
    frame = _simulate(9, 1, seed=1).assign(score=quarters.ravel())
    line = changes(mixed_model(frame, structure="unstructured")).iloc[0]
    paired = stats.ttest_1samp((quarters[:, 1] - quarters[:, 0] + quarters[:, 3] - quarters[:, 2]) / 2, 0)
    assert line["t"] == pytest.approx(paired.statistic, rel=1e-6)
    assert line["df"] == pytest.approx(8, rel=1e-4)
