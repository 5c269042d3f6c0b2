"""Pairs against psych, cor.test and full enumeration in R; exact cases, properties and traps."""
import csv
from itertools import permutations
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from scipy import stats

from plresearch.dyads import (gap_change, indistinguishable_icc, pairwise_icc, pearson, pitman_morgan,
                              pseudo_pairs)

REFERENCE = json.loads((Path(__file__).parent / "reference" / "dyads.json").read_text())
CASES = REFERENCE["cases"]
WITH_PSEUDO = [case for case in CASES if "pseudo" in case]
ACIPAIR = Path(__file__).parents[2] / "shared" / "real" / "dyadr" / "acipair.csv"
FUNCTIONS = [pairwise_icc, indistinguishable_icc, pearson, pitman_morgan,
             lambda d, m: pseudo_pairs(d, m, seed=1), lambda d, m: gap_change(d, m, d, m)]


def close(actual, expected, tolerance=1e-8):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def compare(result, expected, fields, tolerance=1e-8):
    close([getattr(result, field) for field in fields], [expected[field] for field in fields], tolerance)


def test_the_grid_of_reference_cases_is_complete():
    assert set(REFERENCE["versions"]) == {"R", "psych"}
    assert len(CASES) == 60 and len(WITH_PSEUDO) == 36
    assert {len(case["doctor"]) for case in CASES} == {4, 6, 7, 12, 34}
    assert {case["level"] for case in CASES} == {0.9, 0.95}
    assert REFERENCE["acipair"]["n"] == 148


@pytest.mark.parametrize("case", CASES)
def test_correlations_and_variances_agree_with_r(case):
    scores, level = (case["doctor"], case["manager"]), case["level"]
    icc = ("value", "low", "high", "f", "df1", "df2", "p")
    compare(pairwise_icc(*scores, level=level), case["distinguishable"], icc)
    compare(indistinguishable_icc(*scores, level=level), case["indistinguishable"], icc)
    compare(pearson(*scores, level=level), case["pearson"], ("value", "low", "high", "p"))
    test = pitman_morgan(*scores, level=level)
    compare(test, case["variances"], ("ratio", "t", "df", "p"))
    compare(test, case["variances"], ("low", "high"), 1e-6)


@pytest.mark.parametrize("statistic", ["gap", "icc"])
@pytest.mark.parametrize("case", WITH_PSEUDO)
def test_re_pairing_agrees_with_enumeration_in_r(case, statistic):
    result = pseudo_pairs(case["doctor"], case["manager"], statistic=statistic, seed=1)
    compare(result, case["pseudo"][statistic], ("actual", "expected", "p_closer", "p", "repairings"))
    assert result.exact and result.p_se == result.p_closer_se == 0


@pytest.mark.skipif(not ACIPAIR.exists(), reason="the couples' data (acipair) are not beside the repository")
def test_148_couples_satisfaction():
    with open(ACIPAIR, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["Gender_A"].strip() == "Wife"]
    wife, husband = ([float(row[f"Satisfaction_{who}"]) for row in rows] for who in "AP")
    expected = REFERENCE["acipair"]
    icc = ("value", "low", "high", "f", "df1", "df2", "p")
    compare(pairwise_icc(wife, husband), expected["distinguishable"], icc)
    compare(indistinguishable_icc(wife, husband), expected["indistinguishable"], icc)
    compare(pearson(wife, husband), expected["pearson"], ("value", "low", "high", "p"))
    variance = ("ratio", "t", "df", "p", "low", "high")
    compare(pitman_morgan(wife, husband), expected["variances"], variance, 1e-6)
    actual = pseudo_pairs(wife, husband, draws=999, seed=1)
    close([actual.actual, actual.expected], [expected["mean_gap"], expected["expected_gap"]])
    assert not actual.exact and actual.p_closer == 1 / 1000


def test_pairwise_icc_is_the_double_entry_correlation_with_role_means_removed():
    d, m = (np.array(CASES[4][role]) for role in ("doctor", "manager"))
    first = np.concatenate([d - d.mean(), m - m.mean()])
    second = np.concatenate([m - m.mean(), d - d.mean()])
    close(pairwise_icc(d, m).value, np.corrcoef(first, second)[0, 1])
    assert abs(pairwise_icc(d, m).value) <= abs(pearson(d, m).value)


def test_pitman_morgan_is_the_correlation_of_sum_and_difference():
    d, m = (np.array(CASES[4][role]) for role in ("doctor", "manager"))
    close(pitman_morgan(d, m).p, stats.pearsonr(d + m, d - m).pvalue)


scores = st.integers(3, 7).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(3, 15), min_size=n, max_size=n)] * 2))


@given(scores)
@settings(max_examples=50, deadline=None)
def test_who_is_called_first_and_where_zero_lies_do_not_matter(pair):
    d, m = (np.array(x) / 3 for x in pair)
    assume(np.ptp(d) > 0 and np.ptp(m) > 0)
    for icc in (pairwise_icc, indistinguishable_icc, pearson):
        close(icc(d, m).value, icc(m, d).value)
        close(icc(d, m).value, icc(d + 2, m + 2).value)
    close(pairwise_icc(d, m).value, pairwise_icc(d, m + 5).value)
    one, other = pseudo_pairs(d, m, seed=1), pseudo_pairs(m, d, seed=1)
    close([one.actual, one.expected, one.p_closer, one.p],
          [other.actual, other.expected, other.p_closer, other.p])
    if abs(np.corrcoef(d, m)[0, 1]) < 1 - 1e-9:
        v, w = pitman_morgan(d, m), pitman_morgan(m, d)
        close([v.ratio, v.low, v.high, v.p], [1 / w.ratio, 1 / w.high, 1 / w.low, w.p])


@given(scores)
@settings(max_examples=25, deadline=None)
def test_exact_p_counts_all_re_pairings_in_whole_numbers(pair):
    """Thirds tie on paper; counting in whole numbers knows no rounding."""
    d, m = pair
    assume(len(set(d)) > 1 and len(set(m)) > 1)
    totals = [sum(abs(a - b) for a, b in zip(d, order)) for order in permutations(m)]
    actual = sum(abs(a - b) for a, b in zip(d, m))
    result = pseudo_pairs(np.array(d) / 3, np.array(m) / 3, seed=1)
    close(result.p_closer, np.mean([total <= actual for total in totals]), 1e-12)
    close(result.expected, np.mean(totals) / 3 / len(d), 1e-12)


def test_sampled_re_pairings_approach_the_enumerated_ones():
    rng = np.random.default_rng(3)
    d = rng.integers(3, 16, 9) / 3
    m = np.clip(d + rng.integers(-4, 5, 9) / 3, 1, 5)
    sampled = pseudo_pairs(d, m, draws=20_000, seed=5)
    cost = np.abs(np.subtract.outer(d, m))
    orders = np.array(list(permutations(range(9))), dtype=np.int8)
    exact = (cost[np.arange(9), orders].sum(axis=1).round(9) <= round(np.trace(cost), 9)).mean()
    assert abs(sampled.p_closer - exact) < 4 * sampled.p_closer_se
    assert (sampled.repairings, sampled.exact) == (20_000, False)
    again = pseudo_pairs(d, m, draws=20_000, seed=5)
    assert again == sampled and pseudo_pairs(d, m, draws=20_000, seed=6) != sampled
    assert pseudo_pairs(d, m, draws=99, seed=1).p_closer >= 1 / 100


def test_gap_change_keeps_ties_of_thirds():
    third = 1 / 3
    gap = gap_change([3 + third, 2 + 2 * third], [3, 3], [4, 3 + third], [4 + third, 3])
    assert gap.change.tolist() == [0.0, 0.0]
    assert gap.n == 2 and gap.mean_change == 0
    close([gap.mean_pre, gap.mean_post], [third, third])


def test_limits_are_documented_not_nan():
    ladder = np.array([1, 2, 3, 4.0])
    same, mirror = pairwise_icc(ladder, ladder + 1), pairwise_icc(ladder, -ladder)
    assert (same.value, same.low, same.high, same.p, same.f) == (1, 1, 1, 0, math.inf)
    assert (mirror.value, mirror.f) == (-1, 0)
    assert indistinguishable_icc(ladder, ladder).value == 1
    assert indistinguishable_icc(ladder, ladder + 1).value < 1
    assert pearson([1, 2, 4], [1, 3, 3]).low is None
    assert pearson(ladder, ladder).value == 1


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("d, m, message", [
    ([1, 2, 3, 4], [1, math.nan, 3, 4], "1 missing.* of the manager in pair 1"),
    ([1, 2, 3, 4], [1, 2, 3], "same order"),
    ([], [], "at least"),
])
def test_a_pair_with_one_partner_is_refused(function, d, m, message):
    with pytest.raises(ValueError, match=message):
        function(d, m)


@pytest.mark.parametrize("function", [pairwise_icc, pearson, pitman_morgan, FUNCTIONS[4]])
def test_two_pairs_and_no_variation_are_refused(function):
    with pytest.raises(ValueError, match="2 pair"):
        function([1, 2], [2, 3])
    with pytest.raises(ValueError, match="no variation"):
        function([3, 3, 3, 3], [4, 4, 4, 4])


def test_other_refusals():
    with pytest.raises(ValueError, match="no variation"):
        indistinguishable_icc([3, 3], [3, 3])
    with pytest.raises(ValueError, match="exact linear function"):
        pitman_morgan([1, 2, 3, 4], [2, 4, 6, 8])
    with pytest.raises(ValueError, match="gap or icc"):
        pseudo_pairs([1, 2, 3], [1, 2, 4], statistic="mean", seed=1)
    with pytest.raises(ValueError, match="draws"):
        pseudo_pairs([1, 2, 3], [1, 2, 4], draws=10, seed=1)
    with pytest.raises(ValueError, match="level"):
        pearson([1, 2, 3], [1, 2, 4], level=95)
    with pytest.raises(ValueError, match="2 pairs before and 1 after"):
        gap_change([1, 2], [2, 2], [1], [1])
