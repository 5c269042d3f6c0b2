"""Cumulative-link mixed models: ordinal's values, brute force, gradients, separation, limits.

How closely ordinal can be met. Adaptive quadrature: log-likelihood to 1e-9, parameters to 5e-6. Laplace with
one grouping: ordinal's value lies up to 3e-6 below the Laplace approximation evaluated exactly and changes with
its inner tolerance; with two groupings its optimiser stops up to 2e-8 below the optimum. Parameters then agree
to 5e-5. Its covariance, from differences of the likelihood, agrees to 1e-4 (Laplace 2e-3) of the largest entry.
The tolerances below were set after seeing these differences.
"""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from scipy.special import expit

from plresearch import clmm as module
from plresearch.clmm import clmm, probabilities, proportional_odds

REFERENCE = json.loads((Path(__file__).parent / "reference" / "clmm.json").read_text())
SETS = {s["name"]: s for s in REFERENCE["sets"]}


def groups_of(case):
    data = SETS[case["set"]]
    return {"none": [], "person": [data["person"]], "both": [data["person"], data["item"]]}[case["groups"]]


def simulated(seed, persons=20, items=3, sds=(1.0, 0.6), effects=(1.0, 0.5)):
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(persons), 2 * items)
    item = np.tile(np.repeat(np.arange(items), 2), persons)
    x = np.column_stack([np.tile([0.0, 1.0], persons * items), rng.normal(size=person.size)])
    eta = x @ effects + sds[0] * rng.normal(size=persons)[person] + sds[1] * rng.normal(size=items)[item]
    return np.digitize(eta + rng.logistic(size=person.size), [-1, 0.3, 1.5]), x, person, item


def test_the_grid_of_reference_cases_is_complete():
    assert len(SETS) == 9
    assert {(c["set"], c["groups"], c["nodes"]) for c in REFERENCE["fits"]} == {
        (s, g, n) for s in SETS for g, n in (("person", 1), ("person", 7), ("person", 10), ("both", 1))}
    assert len(REFERENCE["fits"]) == 36 and len(REFERENCE["fixed"]) == 9 and len(REFERENCE["marginal"]) == 4
    assert len(REFERENCE["nominal"]) == 32      # 8 sets with 3 or more categories: two by clm, two by clmm2
    assert {"R", "ordinal"} <= set(REFERENCE["versions"])


@pytest.mark.parametrize("case", REFERENCE["fits"], ids=lambda c: f"{c['set']} {c['groups']} {c['nodes']}")
def test_clmm_equals_ordinal(case):
    data = SETS[case["set"]]
    fit = clmm(data["y"], data["x"], *groups_of(case), nodes=case["nodes"])
    assert fit.converged and fit.gradient < 1e-8
    above = fit.log_likelihood - case["log_likelihood"]
    assert -1e-9 < above < (5e-6 if case["nodes"] == 1 else 1e-9)
    tolerance = 5e-5 if case["nodes"] == 1 else 5e-6
    for name in ("thresholds", "beta", "sd"):
        np.testing.assert_allclose(getattr(fit, name), np.atleast_1d(case[name]), atol=tolerance,
                                   rtol=tolerance)
    for ours, name in zip(fit.modes, ("person", "item")):
        np.testing.assert_allclose(ours, case["modes"][name], atol=1e-4)
    if any(fit.boundary) or not case.get("vcov"):
        return
    k = fit.sd.size
    # with one grouping ordinal's parameter is the log of the standard deviation
    jacobian = np.append(np.ones(len(fit.vcov) - k), fit.sd if k == 1 else np.ones(k))
    theirs = np.array(case["vcov"]) * np.outer(jacobian, jacobian)
    if k == 2 and case["order"] == ["item", "person"]:
        swap = [*range(len(theirs) - 2), len(theirs) - 1, len(theirs) - 2]
        theirs = theirs[np.ix_(swap, swap)]
    worst = np.abs(theirs - fit.vcov).max() / np.abs(fit.vcov).max()
    assert worst < (2e-3 if case["nodes"] == 1 else 1e-4)


@pytest.mark.parametrize("case", REFERENCE["fixed"], ids=lambda c: c["set"])
def test_without_groups_it_equals_clm(case):
    data = SETS[case["set"]]
    fit = clmm(data["y"], data["x"])
    assert fit.log_likelihood == pytest.approx(case["log_likelihood"], abs=1e-10)
    np.testing.assert_allclose(fit.thresholds, np.atleast_1d(case["thresholds"]), atol=1e-8)
    np.testing.assert_allclose(fit.beta, case["beta"], atol=1e-8)
    np.testing.assert_allclose(fit.vcov, case["vcov"], atol=1e-9)
    predicted = probabilities(fit, case["x"])
    np.testing.assert_allclose(predicted.typical, case["probabilities"], atol=1e-8)
    np.testing.assert_allclose(predicted.marginal, predicted.typical, atol=1e-12)


@pytest.mark.parametrize("case", REFERENCE["nominal"],
                         ids=lambda c: f"{c['set']} {c['groups']} {c['column']} {c['nodes']}")
def test_proportional_odds_equals_ordinal(case):
    data = SETS[case["set"]]
    check = proportional_odds(data["y"], data["x"], *groups_of(case), columns=[case["column"]],
                              nodes=case["nodes"])
    assert check.df == case["df"]
    assert check.statistic == pytest.approx(case["statistic"], abs=5e-6)
    assert check.p == pytest.approx(stats.chi2.sf(case["statistic"], case["df"]), abs=5e-6)


@pytest.mark.parametrize("case", REFERENCE["marginal"], ids=lambda c: f"sd {c['sd']}")
def test_marginal_probabilities_equal_integrate(case):
    y, x, person, _ = simulated(1)
    fit = clmm(y, x, person)
    changed = module.ClmmFit(**{**{f: getattr(fit, f) for f in fit.__dataclass_fields__},
                                "thresholds": np.array(case["logit"]), "sd": np.array([case["sd"]])})
    cumulative = probabilities(changed, [[0, 0]]).marginal.cumsum()[:4]
    np.testing.assert_allclose(cumulative, case["cumulative"], atol=1e-10)


def joint(y, x, fit, codes):
    """Minus the joint log-density as a function of u, by differences of probabilities."""
    cut = np.concatenate([[-np.inf], fit.thresholds, [np.inf]])
    starts = np.cumsum([0] + [c.max() + 1 for c in codes])

    def value(u):
        eta = x @ fit.beta + sum(s * u[start + c] for s, start, c in zip(fit.sd, starts, codes))
        return 0.5 * u @ u - np.log(expit(cut[y + 1] - eta) - expit(cut[y] - eta)).sum()

    return value, starts[-1]


@pytest.mark.parametrize("two", [False, True])
def test_laplace_by_brute_force(two):
    """Mode by a general optimiser, log-determinant of a dense Hessian by differences."""
    y, x, person, item = simulated(2, persons=6, items=4)
    fit = clmm(y, x, *([person, item] if two else [person]))
    value, size = joint(y, x, fit, [person, item] if two else [person])
    mode = optimize.minimize(value, np.zeros(size), method="BFGS", options={"gtol": 1e-9}).x
    h, eye = 1e-3, np.eye(size)
    hessian = np.array([[(value(mode + h * (a + b)) - value(mode + h * (a - b)) - value(mode - h * (a - b))
                          + value(mode - h * (a + b))) / (4 * h * h) for a in eye] for b in eye])
    brute = -value(mode) - 0.5 * np.linalg.slogdet(hessian)[1]
    assert fit.log_likelihood == pytest.approx(brute, abs=2e-5)


def test_quadrature_converges_to_the_integral():
    y, x, person, _ = simulated(3, persons=8)
    fit = clmm(y, x, person, nodes=25)
    cut = np.concatenate([[-np.inf], fit.thresholds, [np.inf]])
    u = np.linspace(-10, 10, 4001)
    exact = 0.0
    for p in range(8):
        eta = (x[person == p] @ fit.beta)[:, None] + fit.sd[0] * u
        own = y[person == p]
        rows = expit(cut[own + 1, None] - eta) - expit(cut[own, None] - eta)
        exact += np.log(np.trapezoid(np.prod(rows, axis=0) * stats.norm.pdf(u), u))
    assert fit.log_likelihood == pytest.approx(exact, abs=1e-9)


def objectives(y, x, person, item, nominal=None):
    nominal = np.empty((y.size, 0)) if nominal is None else nominal
    design = module._design(y, x, nominal, y.max() + 1)
    return {"laplace": module._one_grouping(design, person, 1)[0],
            "nodes": module._one_grouping(design, person, 7)[0],
            "crossed": module._two_groupings(design, (person, item))[0],
            "swapped": module._two_groupings(design, (item, person))[0],
            "nested": module._two_groupings(design, (person, person // 4))[0],
            "blocks": module._two_groupings(design, (person, (person // 10) * 3 + item))[0]}


@pytest.mark.parametrize("name", ["laplace", "nodes", "crossed", "swapped", "nested", "blocks"])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), sd=st.floats(-2, 2), other=st.floats(0, 2))
def test_the_gradient_is_that_of_the_value(name, seed, sd, other):
    y, x, person, item = simulated(seed)
    y = np.unique(y, return_inverse=True)[1]
    if y.max() < 3:
        return
    objective = objectives(y, x, person, item)[name]
    point = np.array([-1, 0.4, 1.6, 0.9, 0.4] + ([sd] if name in ("laplace", "nodes") else [sd, other]))
    gradient = objective(point)[1]
    h = 1e-4
    numeric = [(8 * (objective(point + h * e)[0] - objective(point - h * e)[0])
                - objective(point + 2 * h * e)[0] + objective(point - 2 * h * e)[0]) / (12 * h)
               for e in np.eye(point.size)]
    np.testing.assert_allclose(gradient, numeric, atol=2e-7, rtol=1e-7)


def test_bordered_algebra_equals_dense_algebra():
    rng = np.random.default_rng(4)
    _, _, person, item = simulated(4)
    for second in (item, person // 4, (person // 10) * 3 + item, np.arange(person.size) % 12):
        first, c = module._crossing((person, second))
        assert first == 0
        weight, sd = rng.uniform(0.1, 0.5, person.size), np.array([0.8, 1.3])
        q1, q2 = c.component.size, c.start.size * c.width
        z = np.zeros((person.size, q1 + q2))
        z[np.arange(person.size), c.first] = sd[0]
        z[np.arange(person.size), q1 + c.second] = sd[1]
        dense = np.eye(q1 + q2) + z.T @ (weight[:, None] * z)
        system = module._Bordered(c, weight, sd)
        assert system.log_determinant == pytest.approx(np.linalg.slogdet(dense)[1])
        right = rng.normal(size=q1 + q2)
        np.testing.assert_allclose(np.concatenate(system.solve(right[:q1], right[q1:])),
                                   np.linalg.solve(dense, right))
        inverse, (own, other, cross) = np.linalg.inv(dense), system.inverse_elements()
        np.testing.assert_allclose(own, np.diag(inverse)[c.first])
        np.testing.assert_allclose(other, np.diag(inverse)[q1 + c.second])
        np.testing.assert_allclose(cross, inverse[c.first, q1 + c.second])


def test_vcov_is_the_inverse_of_second_differences():
    y, x, person, item = simulated(5)
    for fit, name in ((clmm(y, x, person), "laplace"), (clmm(y, x, person, item), "crossed")):
        objective = objectives(y, x, person, item)[name]
        point, h = np.concatenate([fit.thresholds, fit.beta, fit.sd]), 2e-3
        eye = np.eye(point.size)
        numeric = np.array([[(objective(point + h * (a + b))[0] - objective(point + h * (a - b))[0]
                              - objective(point - h * (a - b))[0] + objective(point - h * (a + b))[0])
                             / (4 * h * h)
                             for a in eye] for b in eye])
        np.testing.assert_allclose(np.linalg.inv(numeric), fit.vcov, rtol=1e-3, atol=1e-4)


def test_reversing_the_scale_reverses_the_effects():
    y, x, person, item = simulated(6)
    one, two = clmm(y, x, person, item), clmm(-y, x, item, person)
    np.testing.assert_allclose(one.beta, -two.beta, atol=1e-8)
    np.testing.assert_allclose(one.thresholds, -two.thresholds[::-1], atol=1e-8)
    np.testing.assert_allclose(one.sd, two.sd[::-1], atol=1e-8)
    np.testing.assert_allclose(one.modes[0], -two.modes[1], atol=1e-8)
    np.testing.assert_allclose(one.odds_ratio_low, 1 / two.odds_ratio_high, rtol=1e-6)


def test_the_unit_and_the_origin_of_x_do_not_matter():
    y, x, person, _ = simulated(7)
    one, two = clmm(y, x, person), clmm(y, np.column_stack([x[:, 0] + 2020, 1000 * x[:, 1]]), person)
    assert two.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-9)
    np.testing.assert_allclose(two.beta * [1, 1000], one.beta, rtol=1e-6)
    np.testing.assert_allclose(two.se[3:5] * [1, 1000], one.se[3:5], rtol=1e-5)


def test_labels_may_be_words_and_unused_categories_are_named():
    y, x, person, _ = simulated(8)
    codes = np.array([1, 2, 4, 5])[y]
    fit = clmm(codes, x, np.char.add("p", person.astype(str)), scale=(1, 2, 3, 4, 5))
    assert fit.categories == (1, 2, 4, 5) and fit.unused == (3,)
    assert fit.log_likelihood == clmm(y, x, np.char.add("p", person.astype(str))).log_likelihood
    predicted = probabilities(fit, x[:3])
    assert predicted.typical.shape == (3, 4)
    np.testing.assert_allclose(predicted.typical.sum(axis=1), 1)
    np.testing.assert_allclose(predicted.marginal.sum(axis=1), 1)


def test_a_variance_of_zero_is_the_model_without_groups():
    y = np.tile([1, 2, 3, 2, 1, 3], 10)
    x = np.tile([0.0, 0, 1, 1, 0, 0], 10)
    fit, plain = clmm(y, x, np.repeat(np.arange(10), 6)), clmm(y, x)
    assert fit.boundary == (True,) and fit.sd[0] == 0 and fit.converged and np.isnan(fit.vcov[-1, -1])
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-10)
    np.testing.assert_allclose(fit.vcov[:3, :3], plain.vcov, rtol=1e-5)


def test_a_model_may_have_no_effects():
    y, x, person, _ = simulated(9)
    fit = clmm(y, x[:, :0], person)
    assert fit.beta.size == 0 and fit.log_likelihood < clmm(y, x, person).log_likelihood


def test_the_score_test_agrees_with_the_likelihood_ratio_in_large_samples():
    y, x, person, item = simulated(10, persons=300)
    for groups in ([], [person], [person, item]):
        ratio = proportional_odds(y, x, *groups, columns=[0])
        score = proportional_odds(y, x, *groups, columns=[0], test="score")
        assert score.df == ratio.df == 2
        assert score.statistic == pytest.approx(ratio.statistic, rel=0.1, abs=0.1)


def test_the_score_test_works_with_an_empty_middle_category():
    y = np.repeat([1, 2, 3, 1, 3], [6, 5, 4, 5, 9])
    x = np.repeat([0.0, 1.0], [15, 14])
    score = proportional_odds(y, x, columns=[0], test="score")
    assert score.df == 1 and 0 < score.p < 0.05


def test_two_columns_have_twice_the_degrees_of_freedom():
    y, x, person, _ = simulated(11, persons=40)
    assert proportional_odds(y, x, person, columns=[0, 1]).df == 4


@pytest.mark.parametrize(("y", "x", "groups", "words"), [
    ([1, 2, 3, 1, 2, np.nan], [0, 1, 0, 1, 0, 1], [], "y holds 1 missing"),
    ([1, 1, 1, 1], [0, 1, 0, 1], [], "all 4 values"),
    ([1, 2, 3, 1], [0, 1, np.nan, 1], [], "x holds 1 missing.*row 2"),
    ([1, 2, 3, 1], [1, 1, 1, 1], [], "column 0 of x is constant"),
    ([1, 2, 3, 1], [[0, 1], [1, 0], [0, 1], [1, 0]], [], "column 1"),
    ([1, 2, 3, 1], [0, 1, 0], [], "one row for each"),
    ([1, 1, 2, 2, 3, 3], [0, 0, 1, 1, 1, 1], [], r"separation: column\(s\) \[0\]"),
    ([1, 2, 3, 1], [0, 1, 0, 1], [["a", None, "b", "b"]], "missing label"),
    ([1, 2, 3, 1], [0, 1, 0, 1], [["a"] * 4], "one level"),
    ([1, 2, 3, 1], [0, 1, 0, 1], [list("abcd")], "every row"),
    ([1, 2, 3, 1], [0, 1, 0, 1], [list("aabb"), list("ccdd")], "are the same"),
    ([1, 2, 3, 1], [0, 1, 0, 1], [list("aabb"), list("abab"), list("abba")], "at most two"),
    ([1, 1, 2, 2, 1, 1], [0, 1, 0, 1, 1, 0], [list("aabbcc")], "within every group"),
])
def test_clmm_refuses(y, x, groups, words):
    with pytest.raises(ValueError, match=words):
        clmm(y, x, *groups)


def test_quasi_separation_is_refused_with_groups_too():
    y, x, person, _ = simulated(12)
    hit = ((y == 3) & (np.arange(y.size) % 3 == 0)).astype(float)      # 1 only where y is highest
    with pytest.raises(ValueError, match=r"separation: column\(s\) \[1\]"):
        clmm(y, np.column_stack([x[:, 0], hit]), person)


def test_an_infinite_standard_deviation_is_flagged():
    person = np.repeat(np.arange(12), 20)
    y = np.repeat(np.tile([1, 2, 3], 4), 20)
    y[0] = 2
    x = np.tile([0.0, 1.0], 120)
    fit = clmm(y, x, person)
    assert not fit.converged and fit.sd[0] > 30 and "told from infinity" in fit.message


@pytest.mark.parametrize(("options", "words"), [({"level": 95}, "level"), ({"nodes": 0}, "nodes"),
                                                ({"scale": (1, 2)}, "not in the scale")])
def test_options_are_checked(options, words):
    with pytest.raises(ValueError, match=words):
        clmm([1, 2, 3, 1], [0, 1, 0, 1], **options)


def test_quadrature_needs_one_grouping():
    y, x, person, item = simulated(13)
    with pytest.raises(ValueError, match="exactly one grouping"):
        clmm(y, x, person, item, nodes=7)


@pytest.mark.slow
def test_the_cost_is_linear_in_the_rows():
    """Evaluations of the crossed likelihood: ten times the persons cost less than twenty times the time."""
    seconds = []
    for persons in (800, 8000):
        y, x, person, item = simulated(14, persons=persons, items=8)
        objective = objectives(y, x, person, item)["crossed"]
        point = np.array([-1, 0.4, 1.6, 0.9, 0.4, 0.9, 0.5])
        objective(point)
        start = time.perf_counter()
        for i in range(10):
            objective(point + 0.01 * i)
        seconds.append(time.perf_counter() - start)
    assert seconds[1] < 20 * seconds[0]
