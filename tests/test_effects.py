"""effects.py against R (tests/reference/effects.R), printed examples, and its traps."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from plresearch import effects
from plresearch.effects import (
    d_av, d_rm, d_z, floor_ceiling, grim, hedges_j, minimal_detectable_dz, minimal_important_difference,
    probability_of_improvement, reliable_change, smallest_p, smcr, standardised_difference, t_interval)
from plresearch.exact import rank_biserial

R = json.loads((Path(__file__).parent / "reference" / "effects.json").read_text())
TIGHT = {"rel": 1e-9, "abs": 1e-10}


def numbers(effect):
    return [effect.value, effect.low, effect.high, effect.se]


def test_the_reference_grid_is_complete():
    sizes = [*range(3, 13), 16, 20, 34, 50]
    cells = [(case["n"], case["kind"], case["level"]) for case in R["change"]]
    assert cells == list(itertools.product(sizes, ("half", "thirds", "zeros", "none"), (0.9, 0.95)))
    assert sum(bool(case["effectsize_d"]) for case in R["change"]) == 107
    assert len(R["groups"]) == 28 and len(R["power"]) == 20 * 3 * 2
    assert len(R["reliable"]) == 10 and len(R["hedges"]) == 11
    assert set(R["versions"]) == {"R", "metafor", "effectsize", "jsonlite"}


@pytest.mark.parametrize("case", R["change"], ids=lambda c: f"{c['kind']}-{c['n']}-{c['level']}")
def test_change_equals_r(case):
    pre, post, level = np.array(case["pre"]), np.array(case["post"]), case["level"]
    mean = t_interval(post - pre, level=level)
    assert [mean.mean, mean.low, mean.high] == pytest.approx(case["t"], **TIGHT)
    assert numbers(d_av(pre, post, level=level)) == pytest.approx(case["d_av"], **TIGHT)
    assert numbers(d_rm(pre, post, level=level)) == pytest.approx(case["d_rm"], **TIGHT)
    assert numbers(smcr(pre, post, level=level)) == pytest.approx(case["smcr"], **TIGHT)
    assert numbers(smcr(pre, post, level=level, correct=False)) == pytest.approx(case["smcr_raw"], **TIGHT)
    z = d_z(post - pre, level=level)
    assert [z.value, z.low, z.high] == pytest.approx(case["d_z"], rel=1e-7, abs=1e-8)
    g = d_z(post - pre, level=level, correct=True)
    assert g.j == pytest.approx(case["j"], rel=1e-11)
    if case["effectsize_d"]:  # its non-centralities come from an optimiser, good to four decimals
        assert [z.value, z.low, z.high] == pytest.approx(case["effectsize_d"], abs=1e-4)
        assert [g.value, g.low, g.high] == pytest.approx(case["effectsize_g"], abs=1e-4)
    ranks = rank_biserial(post - pre, zeros="wilcox").value
    assert ranks == pytest.approx(case["rank_biserial"], **TIGHT)
    shares = probability_of_improvement(post - pre, level=level)
    for ours, theirs in ((shares.better, case["better"]), (shares.same, case["same"])):
        assert [ours.count, ours.low, ours.high] == pytest.approx(theirs, **TIGHT)
    assert shares.value == pytest.approx(shares.better.share + shares.same.share / 2)


@pytest.mark.parametrize("case", R["groups"])
def test_two_groups_equal_r(case):
    ours = standardised_difference(case["x"], case["y"])
    assert numbers(ours) == pytest.approx([case["d"], case["low"], case["high"], case["se"]], **TIGHT)
    corrected = standardised_difference(case["x"], case["y"], correct=True)
    assert corrected.value == pytest.approx(case["j"] * case["d"], **TIGHT)


def test_detectable_change_equals_power_t_test():
    for case in R["power"]:
        ours = minimal_detectable_dz(case["n"], power=case["power"], alpha=case["alpha"])
        assert ours == pytest.approx(case["delta"], rel=1e-7)


def test_non_central_t_where_the_series_of_scipy_fails(monkeypatch):
    points = [(2.2, 5, 1.0), (-1.0, 3, 2.0), (0.0, 11, 1.5), (12.0, 5, 9.0), (-5.8, 3, 8.0), (3.0, 49, -1.0)]
    series = [stats.nct.cdf(*point) for point in points]
    monkeypatch.setattr(effects.stats.nct, "cdf", lambda *point: math.nan)
    assert [effects._noncentral_t(*point) for point in points] == pytest.approx(series, abs=1e-12)


def test_hedges_j_equals_r():
    assert [hedges_j(c["df"]) for c in R["hedges"]] == pytest.approx([c["j"] for c in R["hedges"]], rel=1e-11)


def test_reliable_change_equals_r():
    for case in R["reliable"]:
        ours = reliable_change(case["pre"], case["post"], reliability=case["reliability"], sd=case.get("sd"))
        assert (ours.improved, ours.worsened) == (case["improved"], case["worsened"])
        assert ours.unchanged == ours.n - ours.improved - ours.worsened
        assert ours.sem == pytest.approx(case["sem"], rel=1e-12)
        assert ours.index == pytest.approx(case["index"], **TIGHT)


# ---------------------------------------------------------------- printed examples

def test_methods_figures():
    assert [round(minimal_detectable_dz(n), 2) for n in (6, 12, 20, 34)] == [1.43, 0.89, 0.66, 0.50]
    assert [round(smallest_p(n), 3) for n in (1, 6)] == [1.0, 0.031]


def test_jacobson_and_truax_1991():
    result = reliable_change([47.5], [32.5], reliability=0.80, sd=7.5)
    assert round(result.sem, 2) == 3.35 and round(-result.index[0], 2) == 3.16
    assert (result.improved, result.unchanged, result.worsened) == (0, 0, 1)


def test_hedges_1981_approximation():
    for df in (5, 11, 40):
        assert hedges_j(df) == pytest.approx(1 - 3 / (4 * df - 1), abs=1.5e-3)
    assert hedges_j(2) == pytest.approx(1 / math.sqrt(math.pi))


def test_brown_and_heathers_2017():
    assert not grim("5.19", 28).consistent
    assert grim("5.18", 28).consistent and grim("5.21", 28).consistent
    assert not grim("3.45", 150).informative


# ---------------------------------------------------------------- properties

SCORES = st.lists(st.integers(4, 20), min_size=3, max_size=15)


@given(SCORES, st.data())
def test_equal_variances_make_the_raw_scale_measures_agree(pre, data):
    post = np.array(data.draw(st.permutations(pre))) + 3
    pre = np.array(pre)
    if np.ptp(pre) == 0 or np.ptp(post - pre) == 0:
        return
    raw = smcr(pre, post, correct=False).value
    assert d_av(pre, post).value == pytest.approx(raw)
    assert d_rm(pre, post).value == pytest.approx(raw)


@given(SCORES)
def test_intervals_contain_the_estimate_and_turn_with_the_sign(d):
    d = np.array(d) - 9.0
    if np.ptp(d) == 0:
        return
    up, down = d_z(d), d_z(-d)
    assert up.low < up.value < up.high or up.value == pytest.approx(0, abs=1e-9)
    assert (down.low, down.high) == pytest.approx((-up.high, -up.low), rel=1e-6, abs=1e-8)
    shares, turned = probability_of_improvement(d), probability_of_improvement(-d)
    assert shares.value + turned.value == pytest.approx(1)
    assert shares.better == turned.worse and shares.same == turned.same
    assert shares.better.count + shares.same.count + shares.worse.count == len(d)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.integers(1, 4), st.integers(1, 3))
def test_grim_accepts_every_true_mean(answers, items, decimals):
    n, rest = divmod(len(answers), items)
    if n and not rest:
        mean = np.mean(answers)
        assert grim(f"{mean:.{decimals}f}", n, items=items, decimals=decimals).consistent


@given(st.integers(2, 60), st.integers(0, 500))
def test_grim_is_the_search_over_all_sums(n, hundredths):
    printed = hundredths / 100
    # every attainable mean, rounded with halves going either way, on whole thousandths
    attainable = any(abs(2 * (100 * total - hundredths * n)) <= n for total in range(0, 6 * n))
    assert grim(f"{printed:.2f}", n).consistent == attainable


# ---------------------------------------------------------------- traps

def test_float_noise_is_no_change():
    d = np.array([3.3 - 3.0, 0.1 + 0.2 - 0.3, 2.3 - 2.0 - 0.3])
    assert np.count_nonzero(d) == 3
    shares = probability_of_improvement(d)
    assert (shares.better.count, shares.same.count, shares.worse.count) == (1, 2, 0)


def test_steps_of_half_a_point():
    assert grim("2.25", 2, step=0.5).consistent and not grim("2.30", 2, step=0.5).consistent
    assert not grim("2.2", 2, step=0.5, decimals=2).consistent
    assert grim(3.5, 4).consistent


def test_floor_and_ceiling_of_prorated_means():
    result = floor_ceiling([5 - 1e-12, 5, 4.75, 1], low=1, high=5)
    assert (result.floor.count, result.ceiling.count) == (1, 2)


def test_all_equal_changes():
    constant = t_interval([0.5, 0.5, 0.5])
    assert (constant.low, constant.high, constant.se) == (0.5, 0.5, 0.0)
    with pytest.raises(ValueError, match="does not vary.*0.5.*scale points"):
        d_z([0.5, 0.5, 0.5])
    with pytest.raises(ValueError, match="post - pre does not vary"):
        d_rm([1, 2, 3.5], [2, 3, 4.5])
    moved = d_av([1, 2, 3.5], [2, 3, 4.5])
    assert moved.low < moved.value < moved.high


def test_all_unchanged_is_a_share_of_one_half():
    shares = probability_of_improvement([0, 0, 0, 0])
    assert shares.value == 0.5 and shares.same.share == 1
    assert shares.better.low == pytest.approx(0, abs=1e-12) and shares.better.high > 0.3


def test_large_d_z_has_a_finite_interval():
    result = d_z([1.0, 1.01, 0.99, 1.0, 1.02, 1.0])
    assert result.low < result.value < result.high and result.value > 90


@pytest.mark.parametrize("call, message", [
    (lambda: t_interval([1.0]), "d has 1 value.*2 are needed"),
    (lambda: t_interval([1.0, math.nan]), "d has 1 missing.*position 1"),
    (lambda: t_interval([1.0, 2.0], level=95), "level"),
    (lambda: d_z([1.0, 2.0]), "at least 3"),
    (lambda: d_av([1, 2], [1, 2]), "at least 3"),
    (lambda: d_av([1, 2, 3], [1, 2, 3, 4]), "3 values and post 4"),
    (lambda: d_av([2, 2, 2], [3, 3, 3]), "do not vary"),
    (lambda: smcr([2, 2, 2], [3, 4, 3]), "pre does not vary"),
    (lambda: standardised_difference([1], [1, 2, 3]), "x has 1 value"),
    (lambda: standardised_difference([1, 1], [2, 2]), "do not vary"),
    (lambda: hedges_j(1), "more than 1"),
    (lambda: reliable_change([1, 2], [2, 3], reliability=1.0), "reliability"),
    (lambda: reliable_change([1, 1], [2, 3], reliability=0.8), "pre does not vary"),
    (lambda: reliable_change([1, 2], [2, 3], reliability=0.8, sd=0), "sd must be a positive"),
    (lambda: minimal_important_difference(math.nan, reliability=0.8), "sd_pre"),
    (lambda: minimal_important_difference(1.0, reliability=-0.1), "reliability"),
    (lambda: floor_ceiling([1, 6], low=1, high=5), "6 at position 1"),
    (lambda: floor_ceiling([1, 5], low=5, high=1), "below high"),
    (lambda: smallest_p(0), "whole number"),
    (lambda: minimal_detectable_dz(1), "at least 2"),
    (lambda: minimal_detectable_dz(6, power=0.01), "alpha"),
    (lambda: grim("three", 5), "printed decimal"),
    (lambda: grim("1e2", 5), "printed decimal"),
    (lambda: grim("3.2", 0), "whole number"),
    (lambda: grim("3.2", 5, step=0), "step"),
    (lambda: probability_of_improvement([]), "at least 1"),
])
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_reliable_level_is_the_usual_one():
    assert effects.RELIABLE == 0.95
    improved = reliable_change([10, 10, 10], [10 + 1.95, 10 + 1.97, 10], reliability=0.5, sd=1).improved
    assert improved == 1
