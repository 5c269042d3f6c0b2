"""exact.py against R (tests/reference/exact.R), against enumeration, and against its traps."""

import itertools
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import rankdata

from plresearch import exact
from plresearch.exact import (
    difference_interval, hodges_lehmann, hodges_lehmann_interval, max_t, mcnemar_exact, rank_biserial,
    rank_sum, sign_flip, sign_flip_interval, sign_test, signed_rank, spearman_exact, stuart_maxwell,
    two_sample_permutation)

R = json.loads((Path(__file__).parent / "reference" / "exact.json").read_text())
ALTERNATIVES = {"two.sided": "two-sided", "greater": "greater", "less": "less"}
TIGHT = {"rel": 1e-9, "abs": 1e-12}


def differences(case):
    """As they arise from two subscale means: with the float noise of the subtraction."""
    return np.array(case["post"]) / case["q"] - np.array(case["pre"]) / case["q"]


def end(value):
    return float(str(value).replace("Inf", "inf"))


# ---------------------------------------------------------------- R

def test_the_reference_grid_is_complete():
    sizes = {(case["n"], case["kind"]) for case in R["paired"]}
    kinds = ("untied", "half", "thirds", "mean12", "unchanged", "equal")
    assert sizes == set(itertools.product([*range(1, 21), 50], kinds))
    assert sum("pratt" in case for case in R["paired"]) == 124
    assert sum("flips" in case for case in R["paired"]) == 15 * 6
    assert sum("base" in case for case in R["paired"]) == 16
    assert len(R["intervals"]) == 7 * 3 * 2 and sum("flip" in case for case in R["intervals"]) == 30
    assert len(R["groups"]) == 45 and sum("interval" in case for case in R["groups"]) == 15
    assert len(R["mcnemar"]) == 120 and len(R["stuart_maxwell"]) == 41
    assert len(R["spearman"]) == 15 and len(R["max_t"]) == 12
    assert set(R["versions"]) == {"R", "coin", "exactRankTests", "jsonlite"}


@pytest.mark.parametrize("case", R["paired"], ids=lambda c: f"{c['kind']}-{c['n']}")
def test_paired_tests_equal_r(case):
    d = differences(case)
    assert hodges_lehmann(d) * case["q"] == pytest.approx(case["hodges_lehmann"], **TIGHT)
    if "flips" in case:
        assert sign_flip(d, alternative="less").p == pytest.approx(case["flips"]["less"], **TIGHT)
        assert sign_flip(d, alternative="greater").p == pytest.approx(case["flips"]["greater"], **TIGHT)
    if "pratt" not in case:
        assert not np.any(np.array(case["pre"]) - np.array(case["post"]))
        return
    assert signed_rank(d, zeros="wilcox").statistic == case["v_wilcox"]
    assert signed_rank(d).statistic == case["v_pratt"]
    for theirs, ours in ALTERNATIVES.items():
        assert signed_rank(d, alternative=ours).p == pytest.approx(case["pratt"][theirs], **TIGHT)
        dropped = signed_rank(d, zeros="wilcox", alternative=ours).p
        assert dropped == pytest.approx(case["wilcox_coin"][theirs], **TIGHT)
        assert dropped == pytest.approx(case["wilcox_exact"][theirs], **TIGHT)
        assert sign_test(d, alternative=ours).p == pytest.approx(case["sign"][theirs], **TIGHT)
        assert sign_flip(d, alternative=ours).p == pytest.approx(case["perm_test"][theirs], **TIGHT)


@pytest.mark.parametrize("case", [c for c in R["paired"] if "base" in c], ids=lambda c: c["n"])
def test_interval_of_untied_differences_equals_base_r(case):
    d = differences(case)
    for base in case["base"]:
        interval = hodges_lehmann_interval(d, level=base["level"])
        ends = np.array([interval.estimate, interval.low, interval.high]) * case["q"]
        assert ends == pytest.approx([base["estimate"], base["low"], base["high"]], **TIGHT)
        if case["n"] < 50:  # base R turns to the normal approximation at 50
            assert signed_rank(d).p == pytest.approx(base["p"], **TIGHT)


@pytest.mark.parametrize("case", R["intervals"], ids=lambda c: f"{c['kind']}-{c['n']}-{c['level']}")
def test_intervals_with_ties_and_zeros_equal_inversion_in_r(case):
    d, q, level = differences(case), case["q"], case["level"]
    for zeros in ("pratt", "wilcox"):
        ours = hodges_lehmann_interval(d, level=level, zeros=zeros)
        theirs = [end(case[zeros]["low"]), end(case[zeros]["high"])]
        assert [ours.low * q, ours.high * q] == pytest.approx(theirs, **TIGHT)
    if "flip" in case:
        ours = sign_flip_interval(d, level=level)
        theirs = [end(case["flip"]["low"]), end(case["flip"]["high"])]
        assert [ours.low * q, ours.high * q] == pytest.approx(theirs, **TIGHT)


@pytest.mark.parametrize("case", R["groups"], ids=lambda c: f"{c['kind']}-{len(c['x'])}-{len(c['y'])}")
def test_two_groups_equal_r(case):
    x, y = np.array(case["x"]) / case["q"], np.array(case["y"]) / case["q"]
    assert rank_sum(x, y).statistic == case["u"]
    for test, coin in ((rank_sum, "rank_coin"), (two_sample_permutation, "mean_coin")):
        both = test(x, y)
        assert both.p_distance == pytest.approx(case[coin]["two.sided"], **TIGHT)
        tails = [case[coin][side] for side in ("less", "greater")]
        assert both.p == pytest.approx(min(1, 2 * min(tails)), **TIGHT)
        ours = [test(x, y, alternative=side).p for side in ("less", "greater")]
        assert ours == pytest.approx(tails, **TIGHT)
    for theirs, ours in ALTERNATIVES.items():
        if theirs != "two.sided":
            assert rank_sum(x, y, alternative=ours).p == pytest.approx(case["rank_exact"][theirs], **TIGHT)
        if "rank_base" in case:
            assert rank_sum(x, y, alternative=ours).p == pytest.approx(case["rank_base"][theirs], **TIGHT)
    for theirs in case.get("interval", []):
        ours = difference_interval(x, y, level=theirs["level"])
        assert np.array([ours.low, ours.high]) * case["q"] == pytest.approx(
            [end(theirs["low"]), end(theirs["high"])], **TIGHT)


def test_mcnemar_equals_r():
    for case in R["mcnemar"]:
        ours = mcnemar_exact(case["b"], case["c"])
        assert ours.p == pytest.approx(case["p"], **TIGHT)
        for share, odds in ((case["share_low"], ours.low), (case["share_high"], ours.high)):
            assert odds == pytest.approx(share / (1 - share) if share < 1 else math.inf, rel=1e-8)


@pytest.mark.parametrize("case", R["stuart_maxwell"])
def test_stuart_maxwell_equals_r(case):
    ours = stuart_maxwell(case["table"])
    assert (ours.statistic, ours.df, ours.p) == pytest.approx(
        (case["statistic"], case["df"], case["p"]), rel=1e-8, abs=1e-9)
    assert ours.statistic == pytest.approx(case["coin_statistic"], rel=1e-8, abs=1e-9)
    assert ours.p == pytest.approx(case["coin_p"], rel=1e-8, abs=1e-9)


def test_spearman_equals_r():
    for case in R["spearman"]:
        ours = spearman_exact(case["x"], case["y"])
        assert (ours.rho, ours.p, ours.p_distance) == pytest.approx(
            (case["rho"], case["p"], case["p_distance"]), **TIGHT)
        if "cor_test" in case:
            assert ours.p == pytest.approx(case["cor_test"], **TIGHT)


@pytest.mark.parametrize("case", R["max_t"])
def test_max_t_equals_r(case):
    ours = max_t(case["d"])
    assert ours.exact
    assert ours.t == pytest.approx(case["t"], **TIGHT)
    assert ours.p == pytest.approx(case["p"], **TIGHT)
    assert ours.p_adjusted == pytest.approx(case["adjusted"], **TIGHT)


# ---------------------------------------------------------------- worked examples

UNCHANGED = [-1, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_twelve_people_of_whom_four_are_unchanged():
    assert signed_rank(UNCHANGED).p == 10 / 256
    interval = hodges_lehmann_interval(UNCHANGED)
    assert (interval.estimate, interval.low, interval.high) == (1.0, 0.0, 1.5)
    rival = R["rival"]  # R up to 4.5
    assert rival["p"] == pytest.approx(0.0326, abs=5e-5)
    ends = [rival["estimate"], rival["low"], rival["high"]]
    assert ends == pytest.approx([1.49994, 0.00003, 2.5], abs=2e-5)


def test_darwins_maize():
    darwin = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]) / 8
    assert sign_flip(darwin).p == 1726 / 2**15
    interval = sign_flip_interval(darwin)
    assert interval.low < 0 < interval.high  # p = .0527


def test_darwins_interval_is_where_the_p_value_crosses():
    darwin = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]) / 8
    interval = sign_flip_interval(darwin)
    for inside, outside in ((interval.low + 1e-7, interval.low - 1e-7),
                            (interval.high - 1e-7, interval.high + 1e-7)):
        assert sign_flip(darwin - inside).p > 0.05 >= sign_flip(darwin - outside).p


def test_mid_p_of_fagerland_lydersen_and_laake():
    assert mcnemar_exact(7, 1).p == pytest.approx(2 * 9 / 256)
    assert mcnemar_exact(7, 1).mid_p == pytest.approx(2 * 9 / 256 - 8 / 256)
    assert mcnemar_exact(2, 2).p == 1 and mcnemar_exact(2, 2).mid_p == pytest.approx(1 - 6 / 16 / 2)


# ---------------------------------------------------------------- enumeration

DENOMINATORS = st.sampled_from([1, 2, 3, 4, 7, 12, 24, 60])


@st.composite
def scaled(draw, *, least=1, most=8):
    q = draw(DENOMINATORS)
    whole = draw(st.lists(st.integers(-9, 9), min_size=least, max_size=most))
    return [Fraction(value, q) for value in whole]


def floats(fractions):
    """post - pre of means around 3: ties on paper, not in binary."""
    return [float(3 + value) - 3.0 for value in fractions]


def enumerated_flips(scores):
    """P(T <= t), P(T >= t) of the signed sum, by all signs, in exact arithmetic."""
    observed = sum(scores)
    sums = [sum(sign * abs(s) for sign, s in zip(signs, scores))
            for signs in itertools.product((1, -1), repeat=len(scores))]
    return (sum(t <= observed for t in sums) / len(sums), sum(t >= observed for t in sums) / len(sums))


def fraction_ranks(d, zeros):
    """Signed midranks in exact arithmetic."""
    if zeros == "wilcox":
        d = [value for value in d if value]
    sizes = [abs(value) for value in d]
    ranks = [Fraction(2 * sum(o < s for o in sizes) + sum(o == s for o in sizes) + 1, 2) for s in sizes]
    return [rank if value > 0 else -rank for rank, value in zip(ranks, d) if value]


def two_sided(tails):
    return min(1.0, 2 * min(tails))


@given(scaled())
def test_sign_flip_is_the_enumeration(d):
    lower, upper = enumerated_flips(d)
    assert sign_flip(floats(d)).p == pytest.approx(two_sided((lower, upper)), **TIGHT)
    assert sign_flip(floats(d), alternative="less").p == pytest.approx(lower, **TIGHT)
    assert sign_flip(floats(d), alternative="greater").p == pytest.approx(upper, **TIGHT)


@given(scaled(), st.sampled_from(["pratt", "wilcox"]))
def test_signed_rank_is_the_enumeration(d, zeros):
    tails = enumerated_flips(fraction_ranks(d, zeros)) if any(d) else (1.0, 1.0)
    result = signed_rank(floats(d), zeros=zeros)
    assert result.p == pytest.approx(two_sided(tails), **TIGHT)
    assert result.p >= result.smallest_p
    assert result.n_zero == sum(value == 0 for value in d)


@given(scaled(most=7), st.lists(st.integers(1, 4), min_size=7, max_size=7))
def test_weighted_sign_flip_is_the_enumeration(d, weights):
    weights = weights[:len(d)]
    tails = enumerated_flips([w * value for w, value in zip(weights, d)])
    assert sign_flip(floats(d), weights=np.array(weights) / 12).p == pytest.approx(two_sided(tails), **TIGHT)


def inverted(candidates, p_of, level):
    """Closure of { shift : p > 1 - level } over the candidates and the gaps between them."""
    candidates = sorted(set(candidates))
    gaps = [candidates[0] - 1, *((a + b) / 2 for a, b in zip(candidates, candidates[1:])), candidates[-1] + 1]
    alpha = 1 - level
    lows, highs = [-math.inf, *candidates], [*candidates, math.inf]
    kept = [i for i, gap in enumerate(gaps) if p_of(gap) > alpha]
    points = [float(c) for c in candidates if p_of(c) > alpha]
    return (min([*points, *(float(lows[i]) for i in kept)]), max([*points, *(float(highs[i]) for i in kept)]))


def flip_p(d):
    return two_sided(enumerated_flips(d))


def rank_p(d, zeros):
    return two_sided(enumerated_flips(fraction_ranks(d, zeros))) if any(d) else 1.0


LEVELS = st.sampled_from([0.5, 0.75, 0.8, 0.9, 0.95, 0.99])


@settings(deadline=None, max_examples=40)
@given(scaled(most=5), LEVELS)
def test_sign_flip_interval_is_the_inverted_test(d, level):
    means = [Fraction(sum(part), len(part)) for size in range(1, len(d) + 1)
             for part in itertools.combinations(d, size)]
    expected = inverted(means, lambda m: flip_p([value - m for value in d]), level)
    ours = sign_flip_interval(floats(d), level=level)
    assert (ours.low, ours.high) == pytest.approx(expected, **TIGHT)


@settings(deadline=None, max_examples=40)
@given(scaled(most=5), st.lists(st.integers(1, 4), min_size=5, max_size=5), LEVELS)
def test_weighted_interval_is_the_inverted_test(d, weights, level):
    pairs = list(zip(weights, d))
    means = [sum(w * value for w, value in part) / Fraction(sum(w for w, _ in part))
             for size in range(1, len(d) + 1) for part in itertools.combinations(pairs, size)]
    expected = inverted(means, lambda m: flip_p([w * (value - m) for w, value in pairs]), level)
    ours = sign_flip_interval(floats(d), level=level, weights=weights[:len(d)])
    assert (ours.low, ours.high) == pytest.approx(expected, **TIGHT)


@settings(deadline=None, max_examples=60)
@given(scaled(most=6), LEVELS, st.sampled_from(["pratt", "wilcox"]))
def test_hodges_lehmann_interval_is_the_inverted_test(d, level, zeros):
    walsh = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(d, 2)]
    expected = inverted(walsh, lambda m: rank_p([value - m for value in d], zeros), level)
    ours = hodges_lehmann_interval(floats(d), level=level, zeros=zeros)
    assert (ours.low, ours.high) == pytest.approx(expected, **TIGHT)
    assert ours.estimate == pytest.approx(float(np.median([float(w) for w in walsh])), **TIGHT)
    assert ours.low <= ours.estimate <= ours.high


@settings(deadline=None)
@given(scaled(least=2, most=12))
def test_the_pratt_p_value_is_monotone_in_the_shift(d):
    walsh = sorted({(a + b) / 2 for a, b in itertools.combinations_with_replacement(d, 2)})
    shifts = sorted([*walsh, *((a + b) / 2 for a, b in zip(walsh, walsh[1:])), walsh[0] - 1, walsh[-1] + 1])
    upper = [signed_rank([float(v - m) for v in d], alternative="greater").p for m in shifts]
    lower = [signed_rank([float(v - m) for v in d], alternative="less").p for m in shifts]
    assert all(b >= a - 1e-12 for a, b in zip(upper, upper[1:]))
    assert all(b <= a + 1e-12 for a, b in zip(lower, lower[1:]))


def test_dropping_zeros_is_not_monotone():
    d = np.array([0, 2, 3, 3])
    assert signed_rank(d - 2, zeros="wilcox", alternative="greater").p == 0.625
    assert signed_rank(d - 2.25, zeros="wilcox", alternative="greater").p == 0.5625
    assert signed_rank(d - 2, alternative="greater").p <= 0.5625


def enumerated_groups(x, y):
    pooled, observed = [*x, *y], sum(x)
    sums = [sum(part) for part in itertools.combinations(pooled, len(x))]
    return (sum(t <= observed for t in sums) / len(sums), sum(t >= observed for t in sums) / len(sums))


@given(scaled(most=4), scaled(most=5))
def test_two_sample_permutation_is_the_enumeration(x, y):
    tails = enumerated_groups(x, y)
    result = two_sample_permutation(floats(x), floats(y))
    assert result.p == pytest.approx(two_sided(tails), **TIGHT)
    assert result.p >= result.smallest_p - 1e-12


@settings(deadline=None, max_examples=40)
@given(scaled(most=3), scaled(most=4), LEVELS)
def test_difference_interval_is_the_inverted_test(x, y, level):
    candidates = [Fraction(sum(a), k) - Fraction(sum(b), k) for k in range(1, min(len(x), len(y)) + 1)
                  for a in itertools.combinations(x, k) for b in itertools.combinations(y, k)]
    expected = inverted(candidates, lambda m: two_sided(enumerated_groups([v - m for v in x], y)), level)
    ours = difference_interval(floats(x), floats(y), level=level)
    assert (ours.low, ours.high) == pytest.approx(expected, **TIGHT)


@given(scaled(most=4), scaled(most=5))
def test_rank_sum_is_the_enumeration(x, y):
    pooled = [*x, *y]
    ranks = [2 * sum(o < v for o in pooled) + sum(o == v for o in pooled) for v in pooled]
    tails = enumerated_groups(ranks[:len(x)], ranks[len(x):])
    assert rank_sum(floats(x), floats(y)).p == pytest.approx(two_sided(tails), **TIGHT)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 4).flatmap(lambda k: st.lists(
    st.lists(st.integers(0, 2), min_size=k, max_size=k), min_size=k, max_size=k)))
def test_stuart_maxwell_exact_is_the_enumeration_of_each_move(table):
    moves = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row)
             for _ in range(count) if i != j][:6]
    counts = np.zeros((len(table), len(table)), dtype=int)
    for i, j in moves:
        counts[i, j] += 1
    result = stuart_maxwell(counts)
    hits = 0
    for turned in itertools.product((False, True), repeat=len(moves)):
        other = np.zeros_like(counts)
        for (i, j), turn in zip(moves, turned):
            other[(j, i) if turn else (i, j)] += 1
        hits += stuart_maxwell(other).statistic >= result.statistic - 1e-9
    assert result.p_exact == pytest.approx(hits / 2 ** len(moves), **TIGHT)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3).flatmap(lambda k: st.lists(
    st.lists(st.integers(-4, 6), min_size=k, max_size=k), min_size=2, max_size=7)))
def test_max_t_is_at_least_the_single_p_and_at_most_their_sum(rows):
    """The largest t is exceeded by column j no more often than its own t is: at most p_j (union bound)."""
    result = max_t(rows)
    single = [sign_flip(column).p for column in np.array(rows).T]
    assert result.p == pytest.approx(single, **TIGHT)
    assert (result.p_adjusted >= result.p - 1e-12).all()
    assert (result.p_adjusted <= np.minimum(1, len(single) * max(single)) + 1e-12).all()
    assert result.p_adjusted.min() <= min(1, sum(single)) + 1e-12


@given(st.integers(0, 9), st.integers(0, 9))
def test_two_categories_are_mcnemar(b, c):
    if b + c:
        assert stuart_maxwell([[3, b], [c, 2]]).p_exact == pytest.approx(mcnemar_exact(b, c).p, **TIGHT)


# ---------------------------------------------------------------- traps

def test_ties_on_paper_are_ties():
    """Subscale means whose differences are equal on paper and not in binary."""
    pre = np.array([7, 8, 10, 11, 7, 13, 8, 10]) / 3
    post = pre + np.array([1, 1, 1, -1, 2, 2, 1, 1]) / 3
    assert len(np.unique(post - pre)) > 3
    whole = [1, 1, 1, -1, 2, 2, 1, 1]
    assert signed_rank(post - pre) == signed_rank(whole)
    assert sign_flip(post - pre).p == sign_flip(whole).p


@pytest.mark.parametrize("n", [1, 2, 6, 12])
def test_all_zero(n):
    d = np.zeros(n)
    assert sign_flip(d).p == signed_rank(d).p == signed_rank(d, zeros="wilcox").p == sign_test(d).p == 1
    assert signed_rank(d).smallest_p == 1 and signed_rank(d).n_zero == n
    assert rank_biserial(d).value == 0 and hodges_lehmann(d) == 0
    assert max_t(np.zeros((n, 2))).p_adjusted.tolist() == [1, 1]


@pytest.mark.parametrize("value", [0.75, 1 / 3, math.pi])
def test_all_equal(value):
    d = np.full(7, value)
    assert sign_flip(d).p == signed_rank(d).p == 2.0**-6
    for interval in (sign_flip_interval(d), hodges_lehmann_interval(d)):
        assert (interval.low, interval.high) == pytest.approx((value, value), abs=1e-9)
    assert np.isinf(max_t(d[:, None]).t).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_unattainable_confidence_is_infinite(n):
    d = np.arange(1.0, n + 1)
    for interval in (sign_flip_interval(d), hodges_lehmann_interval(d),
                     hodges_lehmann_interval(d, zeros="wilcox")):
        assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert signed_rank(d).smallest_p == sign_flip(d).smallest_p == 2.0 ** (1 - n)
    assert sign_flip_interval(np.arange(1.0, 7)).low == 1 and sign_flip_interval(np.arange(1.0, 7)).high == 6
    assert difference_interval([1, 2], [3, 4]).low == -math.inf


def test_one_value_against_one():
    assert rank_sum([1], [2]).p == two_sample_permutation([1], [2]).p == 1
    assert rank_sum([1], [2]).smallest_p == 1
    assert rank_sum([1], [2], alternative="less").p == 0.5


def test_no_common_grid():
    """Halves of all subsets matched, against the enumeration of the same values in exact arithmetic."""
    d = np.random.default_rng(3).normal(0.4, 1, 10)
    as_fractions = [Fraction(round(value * 10**9), 10**9) for value in d]
    assert sign_flip(d).p == pytest.approx(flip_p(as_fractions), **TIGHT)
    x, y = d[:4], d[4:]
    tails = enumerated_groups(as_fractions[:4], as_fractions[4:])
    assert two_sample_permutation(x, y).p == pytest.approx(two_sided(tails), **TIGHT)
    interval = sign_flip_interval(d)
    assert sign_flip(d - interval.low - 1e-6).p > 0.05 >= sign_flip(d - interval.low + 1e-6).p
    between = difference_interval(x, y, level=0.9)
    assert (two_sample_permutation(x - between.low - 1e-6, y).p > 0.1
            >= two_sample_permutation(x - between.low + 1e-6, y).p)


def test_the_three_ways_to_an_interval_agree(monkeypatch):
    d = np.random.default_rng(5).normal(0.4, 1, 14)
    listed = sign_flip_interval(d)
    on_grid = sign_flip_interval(np.round(d, 4))
    monkeypatch.setattr(exact, "LARGEST_LISTING", 5)
    searched = sign_flip_interval(d)
    monkeypatch.setattr(exact, "LARGEST_SPLIT", 5)
    rounded = sign_flip_interval(d)
    assert (searched.low, searched.high) == pytest.approx((listed.low, listed.high), abs=1e-7)
    assert (rounded.low, rounded.high) == pytest.approx((listed.low, listed.high), abs=1e-4)
    assert (on_grid.low, on_grid.high) == pytest.approx((listed.low, listed.high), abs=1e-4)
    assert searched.exact and not rounded.exact


def test_the_fallbacks_of_the_p_values_agree(monkeypatch):
    rng = np.random.default_rng(6)
    d, x, y = rng.normal(0.3, 1, 16), rng.normal(0.5, 1, 8), rng.normal(0, 1, 9)
    split = sign_flip(d), two_sample_permutation(x, y), difference_interval(x, y)
    monkeypatch.setattr(exact, "LARGEST_SPLIT", 5)
    grid = sign_flip(d), two_sample_permutation(x, y)
    assert split[0].exact and split[1].exact and not grid[0].exact and not grid[1].exact
    assert grid[0].p == pytest.approx(split[0].p, rel=1e-3)
    assert grid[1].p == pytest.approx(split[1].p, rel=1e-3)
    assert grid[1].p_distance == pytest.approx(split[1].p_distance, rel=1e-3)


def test_cohort_weights_of_three_cohorts():
    rng = np.random.default_rng(8)
    d, weights = rng.integers(-6, 14, 36) / 12, np.repeat([1 / 7, 1 / 12, 1 / 17], [7, 12, 17])
    interval = sign_flip_interval(d, weights=weights)
    assert interval.exact and interval.estimate == pytest.approx(np.average(d, weights=weights))
    for inside, outside in ((1e-6, -1e-6), (-1e-6, 1e-6)):
        at = interval.low if inside > 0 else interval.high
        assert sign_flip(d - at - inside, weights=weights).p > 0.05
        assert sign_flip(d - at - outside, weights=weights).p <= 0.05


def test_a_thousand_tied_pairs():
    d = np.round(np.random.default_rng(1).normal(0.1, 1, 1000), 1)
    result = signed_rank(d)
    assert result.exact and result.statistic == 263394.0 and 0 < result.p < 1
    ranks = rankdata(np.abs(np.rint(d * 10)))[d != 0]
    z = (result.statistic - ranks.sum() / 2) / math.sqrt((ranks**2).sum() / 4)
    assert result.p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), rel=0.01)


def test_stuart_maxwell_keeps_its_table_and_needs_no_shift():
    table = np.array([[4, 3, 0, 0], [0, 2, 0, 0], [0, 0, 1, 2], [0, 0, 0, 0]])
    before = table.copy()
    result = stuart_maxwell(table)
    assert (table == before).all()
    assert result.df == 2  # two groups of categories without moves between them
    assert result.statistic == pytest.approx(3 + 2)
    empty = stuart_maxwell(np.diag([3, 4, 5]))
    assert (empty.statistic, empty.df, empty.p, empty.p_exact) == (0, 0, 1, 1)


def test_no_changes_at_all():
    result = mcnemar_exact(0, 0)
    assert result.p == result.smallest_p == 1 and math.isnan(result.odds_ratio)
    assert (result.low, result.high) == (0, math.inf)
    assert mcnemar_exact(3, 0).odds_ratio == math.inf and mcnemar_exact(0, 3).low == 0


def test_drawn_permutations_need_a_seed_and_repeat():
    rng = np.random.default_rng(2)
    D, x, y = rng.integers(-3, 5, (25, 3)), rng.integers(0, 5, 12), rng.integers(0, 5, 12)
    with pytest.raises(ValueError, match="seed"):
        max_t(D)
    with pytest.raises(ValueError, match="seed"):
        spearman_exact(x, y)
    first, second = max_t(D, seed=1, draws=20_000), max_t(D, seed=1, draws=20_000)
    assert (first.p_adjusted == second.p_adjusted).all() and not first.exact
    assert first.p == pytest.approx([sign_flip(column).p for column in D.T], abs=0.015)
    drawn = spearman_exact(x, y, seed=1, draws=20_000)
    assert drawn == spearman_exact(x, y, seed=1, draws=20_000) and 0 < drawn.se < 0.01


def test_drawn_p_values_agree_with_all_orders(monkeypatch):
    rng = np.random.default_rng(4)
    x, y, D = rng.integers(0, 5, 7), rng.integers(0, 6, 7), rng.integers(-3, 5, (9, 3))
    full, joint = spearman_exact(x, y), max_t(D)
    monkeypatch.setattr(exact, "EXHAUSTIVE_ORDERS", 5)
    monkeypatch.setattr(exact, "EXHAUSTIVE_FLIPS", 5)
    drawn = spearman_exact(x, y, seed=3)
    assert drawn.p == pytest.approx(full.p, abs=4 * drawn.se)
    assert max_t(D, seed=3).p_adjusted == pytest.approx(joint.p_adjusted, abs=0.008)


@pytest.mark.parametrize("test", [sign_flip, sign_flip_interval, signed_rank, hodges_lehmann,
                                  hodges_lehmann_interval, rank_biserial, sign_test])
def test_missing_and_empty_are_refused(test):
    with pytest.raises(ValueError, match="d has 2 missing or infinite value.*position 1"):
        test([1, float("nan"), 2, float("inf")])
    with pytest.raises(ValueError, match="empty"):
        test([])
    with pytest.raises(ValueError, match="one-dimensional"):
        test([[1, 2], [3, 4]])


@pytest.mark.parametrize("call, message", [
    (lambda: signed_rank([1], zeros="zsplit"), "zeros"),
    (lambda: signed_rank([1], alternative="two.sided"), "alternative"),
    (lambda: sign_flip_interval([1, 2], level=95), "level"),
    (lambda: sign_flip([1, 2], weights=[1]), "one weight per pair"),
    (lambda: sign_flip([1, 2], weights=[1, 0]), "positive"),
    (lambda: sign_flip([1e9]), "larger unit"),
    (lambda: rank_sum([1, 2], [np.nan]), "y has 1 missing"),
    (lambda: max_t([[1, 2], [np.nan, 1]], seed=1), "position 1, 0"),
    (lambda: max_t(np.zeros((3, 0))), "columns"),
    (lambda: spearman_exact([1, 1, 1], [1, 2, 3]), "does not vary"),
    (lambda: spearman_exact([1], [1]), "two pairs"),
    (lambda: spearman_exact([1, 2], [1]), "one of each"),
    (lambda: mcnemar_exact(-1, 2), "b must be"),
    (lambda: mcnemar_exact(1, 2.5), "c must be"),
    (lambda: stuart_maxwell([[1, 2, 3], [1, 2, 3]]), "square"),
    (lambda: stuart_maxwell([[1, -2], [0, 1]]), "row 0, column 1"),
    (lambda: rank_sum(np.arange(400), np.arange(400)), "asymptotic"),
])
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
