"""Exact inference for small paired samples: tests, intervals and Hodges-Lehmann estimates.

Every p-value here is computed from the complete permutation distribution (all signs, all
groupings, all orders), never from a normal approximation. Where that is impossible (values without
a common grid and many pairs), the result says so in its field `exact`.

Conventions
-----------
* Ranks and sums are taken over integers. Values are read at nine decimals; when they are multiples
  of a common fraction (subscale means are: 1/4, 1/3, 1/12, ...) they become exact integers, so what
  ties on paper ties in the computation. Values nearer to each other than 1e-9 are equal.
* A two-sided p is twice the smaller tail, at most 1. Data without any change give p = 1. Tests whose
  permutation distribution need not be symmetric carry a second field, `p_distance`, the probability
  of a statistic at least as far from its expectation (what R's coin and exactRankTests print).
* `smallest_p` is the smallest p-value attainable with this sample's size, zeros and ties.
* An interval is the closure of the set of values the two-sided test does not reject (p > 1 - level);
  an end is infinite where the level cannot be attained with so few pairs. A rank test is discrete,
  so it may reject the end point itself: the interval is closed all the same.
* Zeros (unchanged pairs) are handled by `zeros`: "pratt" ranks them with the others and then drops
  their ranks, "wilcox" drops them before ranking. Only with "pratt" is the p-value monotone in the
  shift, so that the inverted test is an interval.
* Missing values are refused with a ValueError. They are a decision of the caller.

Differences from other programs
-------------------------------
For 12 pairs of whom 4 are unchanged, d = (-1, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3), the exact test, the
Hodges-Lehmann estimate and the interval are p = .0391, 1.0 and [0, 1.5]. R up to 4.5 (`wilcox.test`),
rstatix, JASP and jamovi drop the zeros and use a normal approximation as soon as there are ties or
zeros: they print p = .0326, 1.49994 and [.00003, 2.5]. R 4.6 makes the p-value exact with ties.
scipy's `wilcoxon` is exact only without ties and zeros.

References
----------
Hartigan (1969) doi:10.1080/01621459.1969.10501057; Hodges & Lehmann (1963)
doi:10.1214/aoms/1177704172; Pratt (1959) doi:10.1080/01621459.1959.10501526; Streitberg & Röhmel
(1986) Statistical Software Newsletter 12, 10-17; Westfall & Young (1993) Resampling-Based Multiple
Testing, Wiley.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from scipy import optimize, signal, stats

UNIT = 10**9  # values are read at nine decimals
LARGEST_VALUE = 1e7  # keeps every integer sum far inside 64 bits
LARGEST_DENOMINATOR = 10_000  # finest common fraction searched for
LARGEST_COST = 1_000_000_000  # additions in one dynamic programme: a second or so
COARSE_STEPS = 4_000_000  # steps of the grid that replaces a missing common grid
LARGEST_CELLS = 20_000_000  # cells of its two-dimensional table: 160 MB
LARGEST_SPLIT = 40  # pairs up to which two halves of all subsets are matched
LARGEST_LISTING = 20  # pairs up to which all subset means are listed
LARGEST_OUTCOMES = 200_000  # outcomes up to which stuart_maxwell gives an exact p
EXHAUSTIVE_FLIPS = 20  # rows up to which max_t takes all signs
EXHAUSTIVE_ORDERS = 8  # persons up to which spearman_exact takes all orders
ALTERNATIVES = ("two-sided", "greater", "less")
ZEROS = ("pratt", "wilcox")


# ---------------------------------------------------------------- results

@dataclass(frozen=True)
class ExactTest:
    """One exact paired test. `n` counts all pairs, `n_zero` the unchanged ones."""

    statistic: float
    p: float
    smallest_p: float
    n: int
    n_zero: int
    alternative: str
    exact: bool = True


@dataclass(frozen=True)
class TwoSampleTest:
    """One exact test of two independent groups; `p_distance` is two-sided whatever the alternative."""

    statistic: float
    p: float
    p_distance: float
    smallest_p: float
    n_x: int
    n_y: int
    alternative: str
    exact: bool = True


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval at `level`; an end may be infinite."""

    estimate: float
    low: float
    high: float
    level: float
    exact: bool = True


@dataclass(frozen=True)
class RankBiserial:
    """Matched-pairs rank-biserial correlation with its two rank sums."""

    value: float
    favourable: float
    unfavourable: float
    n: int
    n_zero: int


@dataclass(frozen=True)
class SignTest:
    """Exact sign test: counts of positive, negative and zero differences."""

    p: float
    smallest_p: float
    positive: int
    negative: int
    zero: int
    alternative: str


@dataclass(frozen=True)
class McNemar:
    """Exact conditional McNemar test with the conditional odds ratio b / c."""

    p: float
    mid_p: float
    smallest_p: float
    odds_ratio: float
    low: float
    high: float
    level: float
    discordant: int


@dataclass(frozen=True)
class StuartMaxwell:
    """Marginal homogeneity of a square table; `p_exact` is None where it was not enumerated."""

    statistic: float
    df: int
    p: float
    p_exact: float | None
    n: int
    discordant: int
    differences: tuple[float, ...]


@dataclass(frozen=True)
class MaxT:
    """Step-down maxT: one entry per column, in the order of the columns."""

    t: np.ndarray
    p: np.ndarray
    p_adjusted: np.ndarray
    n: int
    flips: int
    exact: bool


@dataclass(frozen=True)
class Spearman:
    """Spearman's rho with a permutation p; `se` is the Monte Carlo error of p (0 if exact)."""

    rho: float
    p: float
    p_distance: float
    smallest_p: float | None
    se: float
    n: int
    permutations: int
    exact: bool


# ---------------------------------------------------------------- checks

def _numbers(values, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: at least one value is needed")
    _refuse_gaps(array, name)
    return array


def _refuse_gaps(array: np.ndarray, name: str) -> None:
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = ", ".join(str(int(i)) for i in bad[0])
        raise ValueError(f"{name} has {len(bad)} missing or infinite value(s), the first at position "
                         f"{where}: drop or impute them before the test")
    if np.abs(array).max() > LARGEST_VALUE:
        raise ValueError(f"{name} has a value beyond {LARGEST_VALUE:g}: express it in a larger unit")


def _choice(value: str, allowed: tuple[str, ...], name: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def _alpha(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level!r}")
    return 1 - level


# ---------------------------------------------------------------- integers

def _integers(values: np.ndarray) -> tuple[np.ndarray, int, bool]:
    """Values as integers, the denominator they were multiplied by, and whether a grid was found."""
    denominators = np.arange(1, LARGEST_DENOMINATOR + 1)
    for value in np.unique(np.abs(values)):
        scaled = denominators * value
        denominators = denominators[np.abs(scaled - np.rint(scaled)) <= denominators / UNIT]
        if denominators.size == 0:
            return np.rint(values * UNIT).astype(np.int64), UNIT, False
    denominator = int(denominators[0])
    return np.rint(values * denominator).astype(np.int64), denominator, True


def _doubled_midranks(values: np.ndarray) -> np.ndarray:
    """Twice the average ranks of integers: integers again."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (2 * np.cumsum(counts) - counts + 1)[inverse]


def _reduced(values: np.ndarray) -> np.ndarray:
    """Non-negative integers divided by their greatest common divisor."""
    divisor = int(np.gcd.reduce(values)) if values.size else 0
    return values // divisor if divisor > 1 else values


# ---------------------------------------------------------------- distributions

def _subset_sums(scores: np.ndarray, bound: int) -> np.ndarray:
    """P(sum of a random subset = s) for s = 0..bound: the shift algorithm, vectorised."""
    weight, spare, top = np.zeros(bound + 1), np.zeros(bound + 1), 0
    weight[0] = 1.0
    for step, score in enumerate(np.sort(scores).tolist(), start=1):
        if score <= bound:
            top = min(top + score, bound)
            spare[:score] = weight[:score]
            np.add(weight[score:top + 1], weight[:top + 1 - score], out=spare[score:top + 1])
            weight, spare = spare, weight
        if step % 512 == 0:  # counts of subsets would leave the range of floats after 1023 scores
            weight *= 2.0**-512
    return weight * 2.0 ** -(len(scores) % 512)


def _all_subset_sums(values: np.ndarray) -> np.ndarray:
    sums = np.zeros(1, dtype=values.dtype)
    for value in values:
        sums = np.concatenate([sums, sums + value])
    return sums


def _sorted_subset_sums(scores: np.ndarray) -> np.ndarray:
    sums = np.zeros(1, dtype=scores.dtype)
    for score in scores:
        sums = np.sort(np.concatenate([sums, sums + score]), kind="stable")  # merges two sorted runs
    return sums


def _subset_share(scores: np.ndarray, bound: int) -> float:
    """P(sum of a random subset <= bound) by matching the subsets of two halves."""
    left, right = _sorted_subset_sums(scores[::2]), _sorted_subset_sums(scores[1::2])
    return int(np.searchsorted(right, bound - left, side="right").sum()) / 2 ** len(scores)


def _flip_tails(scores: np.ndarray, positive: np.ndarray, *, fuzz: int = 0) -> tuple[float, float, bool]:
    """P(T <= t) and P(T >= t) for T = sum of the scores that keep a positive sign, t as observed."""
    keep = scores > 0
    scores, positive = scores[keep], positive[keep]
    if not fuzz:
        scores = _reduced(scores)
    n, total, observed = len(scores), int(scores.sum()), int(scores[positive].sum())
    if n == 0:
        return 1.0, 1.0, True
    small, exact = min(observed, total - observed), True
    if fuzz or np.minimum(np.cumsum(np.sort(scores)), small).sum() > LARGEST_COST:
        if n <= LARGEST_SPLIT:
            return (_subset_share(scores, observed + fuzz),
                    _subset_share(scores, total - observed + fuzz), True)
        scores = np.rint(scores * (min(COARSE_STEPS, LARGEST_COST / n) / total)).astype(np.int64)
        total, observed, exact = int(scores.sum()), int(scores[positive].sum()), False
        small = min(observed, total - observed)
    chance = _subset_sums(scores, small)
    tail, rest = min(1.0, float(chance.sum())), min(1.0, 1 - float(chance[:-1].sum()))
    return (tail, rest, exact) if observed == small else (rest, tail, exact)


def _joint_sums(weights: np.ndarray, values: np.ndarray, rows: int) -> np.ndarray:
    """Number of subsets by (sum of weights, sum of values); weight sums above `rows` are dropped."""
    count = np.zeros((rows + 1, int(values.sum()) + 1))
    count[0, 0] = 1.0
    for weight, value in zip(weights.tolist(), values.tolist()):
        if weight <= rows:
            count[weight:, value:] += count[:rows + 1 - weight, :count.shape[1] - value]
    return count


def _grouped_share(values: np.ndarray, size: int, bounds: tuple[int, ...]) -> list[float]:
    """P(sum of a random subset of that size <= bound), for each bound, by matching two halves."""
    halves = [(_all_subset_sums(half), _all_subset_sums(np.ones_like(half)))
              for half in (values[::2], values[1::2])]
    counts = [0] * len(bounds)
    for first in range(size + 1):
        left = np.sort(halves[0][0][halves[0][1] == first])
        right = np.sort(halves[1][0][halves[1][1] == size - first])
        for i, bound in enumerate(bounds):
            counts[i] += int(np.searchsorted(right, bound - left, side="right").sum())
    return [count / math.comb(len(values), size) for count in counts]


def _p_value(lower: float, upper: float, alternative: str) -> float:
    return {"two-sided": min(1.0, 2 * min(lower, upper)), "greater": upper, "less": lower}[alternative]


def _smallest_flip_p(changed: int, alternative: str) -> float:
    return min(1.0, 2.0 ** (-changed) * (2 if alternative == "two-sided" else 1))


# ---------------------------------------------------------------- sign-flip test

def sign_flip(d, *, weights=None, alternative: str = "two-sided") -> ExactTest:
    """Exact sign-flip (Fisher-Pitman) test that the differences are symmetric about zero.

    The statistic is the (weighted) mean difference; its distribution takes every one of the 2^n
    signs as equally likely. It is found by dynamic programming over integer scores when the values
    share a grid (any n); otherwise by matching the subset sums of two halves (n <= 40), with sums
    nearer than n * 1e-9 taken as equal; beyond that the values are rounded to a fine grid and
    `exact` is False.

    Parameters
    ----------
    d : differences, one per pair, in scale points; missing values are refused.
    weights : positive weights, one per pair (for instance 1 / pairs in the cohort); default equal.
    alternative : "two-sided", "greater" (mean above 0) or "less".

    Raises
    ------
    ValueError : empty, missing or infinite values; weights that are not positive.

    References
    ----------
    Fisher (1935) The Design of Experiments, section 21; Pitman (1937) doi:10.2307/2984124.

    Examples
    --------
    Darwin's maize data (eighths of an inch), as analysed by Fisher: 1726 of 32768 sign patterns.

    >>> darwin = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    >>> round(sign_flip(darwin).p * 2**15)
    1726
    """
    d = _numbers(d, "d")
    _choice(alternative, ALTERNATIVES, "alternative")
    w = _weights(weights, len(d))
    scores, _, on_grid = _integers(d * w / w.max())
    lower, upper, exact = _flip_tails(np.abs(scores), scores > 0, fuzz=0 if on_grid else len(d))
    changed = int(np.count_nonzero(scores))
    return ExactTest(float(np.average(d, weights=w)), _p_value(lower, upper, alternative),
                     _smallest_flip_p(changed, alternative), len(d), len(d) - changed, alternative, exact)


def _weights(weights, n: int) -> np.ndarray:
    if weights is None:
        return np.ones(n)
    w = _numbers(weights, "weights")
    if len(w) != n:
        raise ValueError(f"weights has {len(w)} values for {n} differences: give one weight per pair")
    if (w <= 0).any():
        raise ValueError(f"weights must be positive, position {int(np.argmax(w <= 0))} is not: "
                         "drop the pair instead")
    return w


def sign_flip_interval(d, *, level: float = 0.95, weights=None) -> Interval:
    """Confidence interval of the mean difference by inverting the two-sided sign-flip test.

    The set of shifts m for which `sign_flip(d - m)` has p > 1 - level. By Hartigan's argument a
    flipped sample reaches the observed mean exactly when the mean of the flipped values is <= m, so
    the ends are order statistics of the 2^n - 1 subset means: the k-th from either side, where k is
    the integer part of 2^n (1 - level) / 2. If k = 0 (n <= 5 at 95 %) the interval is infinite.

    The ends are exact where the values share a grid or n <= 20; otherwise they are found by root
    search to 1e-9 of the range (and `exact` is False where the test itself had to be rounded).

    Parameters
    ----------
    d : differences, one per pair, in scale points; missing values are refused.
    level : confidence level between 0 and 1.
    weights : positive weights, one per pair; default equal.

    Raises
    ------
    ValueError : empty, missing or infinite values; level outside (0, 1).

    References
    ----------
    Hartigan (1969) doi:10.1080/01621459.1969.10501057.

    Examples
    --------
    With six pairs the interval is the range: 1 of 64 sign patterns lies beyond either end.

    >>> interval = sign_flip_interval([0.25, 0.5, 0.5, 1.0, -0.25, 0.75])
    >>> interval.low, interval.high
    (-0.25, 1.0)
    """
    d, half = _numbers(d, "d"), _alpha(level) / 2
    w, n = _weights(weights, len(d)), len(d)
    mean = float(np.average(d, weights=w))
    if 2.0**-n > half:
        return Interval(mean, -math.inf, math.inf, level)
    if np.ptp(d) < 1 / UNIT:
        return Interval(mean, mean, mean, level)
    listed = _subset_means(d, w)
    if listed is None:
        low, exact_low = _searched_end(d, w, half)
        high, exact_high = _searched_end(-d, w, half)
        return Interval(mean, low, -high, level, exact_low and exact_high)
    means, counts = listed
    share = np.cumsum(counts) * 2.0**-n + 2.0**-n
    share_above = np.cumsum(counts[::-1])[::-1] * 2.0**-n + 2.0**-n
    return Interval(mean, float(means[share > half][0]), float(means[share_above > half][-1]), level)


def _subset_means(d: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Distinct means of all non-empty subsets in order, with their numbers; None if too many."""
    scores, denominator, d_grid = _integers(d)
    parts, _, w_grid = _integers(w / w.min())
    values = (scores - scores.min()) * parts
    rows = int(parts.sum())
    cells = (rows + 1) * (int(values.sum()) + 1)
    if d_grid and w_grid and cells * len(d) <= LARGEST_COST and cells <= LARGEST_CELLS:
        count = _joint_sums(parts, values, rows)
        weight, total = np.nonzero(count)
        weight, total = weight[1:], total[1:]  # without the empty subset
        means = (total + weight * scores.min()) / (weight * denominator)
        counts = count[weight, total]
    elif len(d) <= LARGEST_LISTING:
        means = np.round(_all_subset_sums(d * w)[1:] / _all_subset_sums(w)[1:], 12)
        counts = np.ones(len(means))
    else:
        return None
    means, inverse = np.unique(means, return_inverse=True)
    return means, np.bincount(inverse, weights=counts)


def _searched_end(d: np.ndarray, w: np.ndarray, half: float) -> tuple[float, bool]:
    """The shift at which the upper tail passes `half`, by root search."""
    all_exact = True

    def excess(shift):
        nonlocal all_exact
        scores = np.rint((d - shift) * w / w.max() * UNIT).astype(np.int64)
        tail, exact = _upper_tail(np.abs(scores), scores > 0)
        all_exact = all_exact and exact
        return math.log(tail / half)

    span = np.ptp(d)
    end = optimize.brentq(excess, d.min() - 0.01 * span, np.average(d, weights=w), xtol=1e-9 * span)
    return float(end), all_exact


def _upper_tail(scores: np.ndarray, positive: np.ndarray) -> tuple[float, bool]:
    if len(scores) <= LARGEST_SPLIT:
        return _subset_share(scores, int(scores[~positive].sum()) + len(scores)), True
    _, upper, exact = _flip_tails(scores, positive, fuzz=len(scores))
    return upper, exact


# ---------------------------------------------------------------- signed-rank test

def signed_rank(d, *, zeros: str = "pratt", alternative: str = "two-sided") -> ExactTest:
    """Exact Wilcoxon signed-rank test with ties and zeros, for any n.

    Absolute differences get average ranks; V is the sum of the ranks of the positive ones. Its
    distribution over all signs of the non-zero differences comes from the shift algorithm on
    doubled ranks.

    Parameters
    ----------
    d : differences, one per pair; missing values are refused.
    zeros : "pratt" (zeros are ranked, then dropped) or "wilcox" (zeros are dropped before ranking).
    alternative : "two-sided", "greater" (differences tend to be positive) or "less".

    Raises
    ------
    ValueError : empty, missing or infinite values.

    References
    ----------
    Pratt (1959) doi:10.1080/01621459.1959.10501526; Streitberg & Röhmel (1986).

    Examples
    --------
    >>> d = [-1, 0, 0, 0, 0, 0.5, 0.5, 1, 2, 2, 2, 3]
    >>> round(signed_rank(d).p, 4), round(signed_rank(d, zeros="wilcox").p, 4)
    (0.0391, 0.0469)
    """
    d = _numbers(d, "d")
    _choice(zeros, ZEROS, "zeros")
    _choice(alternative, ALTERNATIVES, "alternative")
    ranks, positive = _signed_ranks(_integers(d)[0], zeros)
    lower, upper, exact = _flip_tails(ranks, positive)
    return ExactTest(float(ranks[positive].sum()) / 2, _p_value(lower, upper, alternative),
                     _smallest_flip_p(len(ranks), alternative), len(d), len(d) - len(ranks),
                     alternative, exact)


def _signed_ranks(scores: np.ndarray, zeros: str) -> tuple[np.ndarray, np.ndarray]:
    """Doubled ranks of the non-zero scores and which of them are positive."""
    if zeros == "wilcox":
        scores = scores[scores != 0]
    ranks, changed = _doubled_midranks(np.abs(scores)), scores != 0
    return ranks[changed], scores[changed] > 0


def _walsh_sums(scores: np.ndarray) -> np.ndarray:
    first, second = np.triu_indices(len(scores))
    return scores[first] + scores[second]


def hodges_lehmann(d) -> float:
    """Hodges-Lehmann estimate of the centre of symmetry of the differences.

    The median of all n (n + 1) / 2 Walsh averages (d_i + d_j) / 2, i <= j, unchanged pairs kept.

    Parameters
    ----------
    d : differences, one per pair; missing values are refused.

    Raises
    ------
    ValueError : empty, missing or infinite values.

    References
    ----------
    Hodges & Lehmann (1963) doi:10.1214/aoms/1177704172.

    Examples
    --------
    >>> hodges_lehmann([-1, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3])
    1.0
    """
    scores, denominator, _ = _integers(_numbers(d, "d"))
    return float(np.median(_walsh_sums(scores)) / (2 * denominator))


def hodges_lehmann_interval(d, *, level: float = 0.95, zeros: str = "pratt") -> Interval:
    """Hodges-Lehmann estimate with the interval that inverts the two-sided signed-rank test.

    The p-value of `signed_rank(d - m)` changes only at the Walsh averages, where shifted values tie
    or vanish. It is evaluated on the closed grid: at each Walsh average and inside each gap between
    two of them. The interval is the closure of the shifts with p > 1 - level.

    With "pratt" this set is an interval: for a set A of pairs let g(A, m) be the sum over A of signed
    ranks of d - m. Written as a sum over pairs of observations, each term (the sign of
    (d_i + d_j) / 2 - m if both are in A, or the half step at d_i and at (d_i + d_j) / 2 if one is) is
    non-increasing in m, and P(V >= v) is the share of sets A with g(A, m) <= 0. With "wilcox" the p-value
    jumps where m equals an observation; the interval returned is then the smallest one that contains
    every shift not rejected.

    Parameters
    ----------
    d : differences, one per pair; missing values are refused.
    level : confidence level between 0 and 1.
    zeros : "pratt" or "wilcox", as in `signed_rank`. The estimate always keeps the zeros.

    Raises
    ------
    ValueError : empty, missing or infinite values; level outside (0, 1).

    References
    ----------
    Hodges & Lehmann (1963) doi:10.1214/aoms/1177704172; Pratt (1959)
    doi:10.1080/01621459.1959.10501526.

    Examples
    --------
    >>> interval = hodges_lehmann_interval([-1, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3])
    >>> interval.estimate, interval.low, interval.high
    (1.0, 0.0, 1.5)
    """
    d, half = _numbers(d, "d"), _alpha(level) / 2
    _choice(zeros, ZEROS, "zeros")
    scores, denominator, _ = _integers(d)
    all_sums = _walsh_sums(scores)
    sums = np.unique(all_sums)
    # place 2k + 1 is the k-th distinct Walsh average, place 2k the gap before it
    places = np.arange(2 * len(sums) + 1)
    shifts = np.empty(len(places), dtype=np.int64)  # in units of 1 / (4 * denominator)
    shifts[1::2] = 2 * sums
    shifts[2:-1:2] = sums[:-1] + sums[1:]
    shifts[0], shifts[-1] = 2 * sums[0] - 1, 2 * sums[-1] + 1

    exact = []

    def tails(place, zeros):
        lower, upper, place_exact = _flip_tails(*_signed_ranks(4 * scores - shifts[place], zeros))
        exact.append(place_exact)
        return lower, upper

    irregular = 2 * np.searchsorted(sums, 2 * np.unique(scores)) + 1
    if zeros == "wilcox":
        places = np.setdiff1d(places, irregular)
    first = bisect_left(places, True, key=lambda place: tails(place, "pratt")[1] > half)
    last = bisect_left(places, True, key=lambda place: tails(place, "pratt")[0] <= half) - 1
    ends = [int(places[first]), int(places[last])]
    if zeros == "wilcox":
        kept = [int(place) for place in irregular if min(tails(place, zeros)) > half]
        ends = [min([ends[0], *kept]), max([ends[1], *kept])]
    low = sums[(ends[0] - 1) // 2] / (2 * denominator) if ends[0] > 0 else -math.inf
    high = sums[ends[1] // 2] / (2 * denominator) if ends[1] < 2 * len(sums) else math.inf
    estimate = float(np.median(all_sums) / (2 * denominator))
    return Interval(estimate, float(low), float(high), level, all(exact))


def rank_biserial(d, *, zeros: str = "pratt") -> RankBiserial:
    """Matched-pairs rank-biserial correlation: favourable minus unfavourable share of the rank sum.

    (R+ - R-) / (R+ + R-), with the ranks of `signed_rank`; 0 when no pair changed. From -1 (every
    change is negative) to 1.

    Parameters
    ----------
    d : differences, one per pair; missing values are refused.
    zeros : "pratt" or "wilcox". Unchanged pairs are never in the denominator.

    Raises
    ------
    ValueError : empty, missing or infinite values.

    References
    ----------
    Kerby (2014) doi:10.2466/11.IT.3.1; King, Rosopa & Minium (2011) Statistical Reasoning in the
    Behavioral Sciences, 6th ed., Wiley.

    Examples
    --------
    >>> rank_biserial([1, 2, 3, -1.5], zeros="wilcox").value
    0.6
    """
    d = _numbers(d, "d")
    _choice(zeros, ZEROS, "zeros")
    ranks, positive = _signed_ranks(_integers(d)[0], zeros)
    plus, minus = float(ranks[positive].sum()) / 2, float(ranks[~positive].sum()) / 2
    value = (plus - minus) / (plus + minus) if len(ranks) else 0.0
    return RankBiserial(value, plus, minus, len(d), len(d) - len(ranks))


# ---------------------------------------------------------------- counts

def sign_test(d, *, alternative: str = "two-sided") -> SignTest:
    """Exact sign test: is a change upwards as likely as a change downwards?

    Binomial(1/2) on the pairs that changed.

    Parameters
    ----------
    d : differences, one per pair or person; missing values are refused.
    alternative : "two-sided", "greater" (more changes upwards) or "less".

    Raises
    ------
    ValueError : empty, missing or infinite values.

    Examples
    --------
    >>> sign_test([1, 1, 1, 2, 1, 3, 0, 0]).p
    0.03125
    """
    scores = _integers(_numbers(d, "d"))[0]
    _choice(alternative, ALTERNATIVES, "alternative")
    positive, negative = int((scores > 0).sum()), int((scores < 0).sum())
    changed = positive + negative
    lower, upper = stats.binom.cdf(positive, changed, 0.5), stats.binom.sf(positive - 1, changed, 0.5)
    return SignTest(float(_p_value(lower, upper, alternative)), _smallest_flip_p(changed, alternative),
                    positive, negative, len(scores) - changed, alternative)


def mcnemar_exact(b: int, c: int, *, level: float = 0.95) -> McNemar:
    """Exact McNemar test of two paired yes/no answers, with the conditional odds ratio b / c.

    Given b + c changes, b is Binomial(b + c, 1/2). `mid_p` subtracts half the probability of
    |b - c| as observed. The interval of the odds ratio is the Clopper-Pearson interval of
    b / (b + c), as odds.

    Parameters
    ----------
    b : number who changed from no to yes.
    c : number who changed from yes to no.
    level : confidence level of the odds ratio's interval.

    Raises
    ------
    ValueError : counts that are negative or not whole.

    References
    ----------
    Fagerland, Lydersen & Laake (2013) doi:10.1186/1471-2288-13-91.

    Examples
    --------
    Airway hyper-responsiveness before and after stem cell transplantation (Bentur et al. 2009, in
    Fagerland et al.): 1 against 7.

    >>> result = mcnemar_exact(1, 7)
    >>> round(result.p, 4), round(result.mid_p, 4)
    (0.0703, 0.0391)
    """
    for name, count in (("b", b), ("c", c)):
        if not float(count).is_integer() or count < 0:
            raise ValueError(f"{name} must be a whole number of persons, 0 or more, not {count!r}")
    alpha, b, c = _alpha(level), int(b), int(c)
    n = b + c
    p = min(1.0, 2 * float(stats.binom.cdf(min(b, c), n, 0.5)))
    same_distance = float(stats.binom.pmf(b, n, 0.5)) * (1 if b == c else 2)
    low = float(stats.beta.ppf(alpha / 2, b, c + 1)) if b else 0.0
    high = float(stats.beta.ppf(1 - alpha / 2, b + 1, c)) if c else 1.0
    return McNemar(p, p - same_distance / 2, min(1.0, 2.0 ** (1 - n)), _odds(b, c),
                   _odds(low, 1 - low), _odds(high, 1 - high), level, n)


def _odds(share: float, rest: float) -> float:
    if rest == 0:
        return math.inf if share else math.nan
    return share / rest


def stuart_maxwell(table) -> StuartMaxwell:
    """Stuart-Maxwell test that the answers' distribution is the same at both waves.

    chi2 = x' V^- x with x the row minus column totals, V_ii = row + column total - 2 n_ii and
    V_ij = -(n_ij + n_ji). V is the Laplacian of the graph of who moved where, so its rank (the df) is
    the number of categories minus the number of groups of categories connected by moves: categories
    nobody entered or left drop out, and empty cells need no added constant. `p_exact` takes, for each
    pair of categories, n_ij as Binomial(n_ij + n_ji, 1/2) and sums the probability of every outcome
    with a chi2 at least as large (None above 200 000 outcomes, where the chi2 approximation is good); for
    two categories it is the exact McNemar test.

    Parameters
    ----------
    table : square table of counts, rows = first wave, columns = second; it is not changed.

    Raises
    ------
    ValueError : a table that is not square, negative or fractional counts.

    References
    ----------
    Stuart (1955) doi:10.2307/2333387; Maxwell (1970) doi:10.1192/bjp.116.535.651.

    Examples
    --------
    Unaided distance vision of 7477 women, right by left eye (Stuart 1955):

    >>> eyes = [[1520, 266, 124, 66], [234, 1512, 432, 78], [117, 362, 1772, 205], [36, 82, 179, 492]]
    >>> result = stuart_maxwell(eyes)
    >>> round(result.statistic, 2), result.df
    (11.96, 3)
    """
    counts = np.array(table, dtype=float)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.shape[0] < 2:
        raise ValueError(f"table must be square with two or more categories, got shape {counts.shape}")
    bad = np.argwhere(~np.isfinite(counts) | (counts < 0) | (counts != np.rint(counts)))
    if len(bad):
        raise ValueError(f"table has {len(bad)} cell(s) that are not counts, the first at row {bad[0][0]}, "
                         f"column {bad[0][1]}: give whole numbers of persons")
    moved = counts + counts.T
    np.fill_diagonal(moved, 0)
    laplacian = np.diag(moved.sum(axis=1)) - moved
    x = counts.sum(axis=1) - counts.sum(axis=0)
    discordant = int(moved.sum() / 2)
    if not discordant:
        return StuartMaxwell(0.0, 0, 1.0, 1.0, int(counts.sum()), 0, tuple(x.tolist()))
    inverse = np.linalg.pinv(laplacian, hermitian=True)
    df = int(np.linalg.matrix_rank(laplacian, hermitian=True))
    statistic = float(x @ inverse @ x)
    return StuartMaxwell(statistic, df, float(stats.chi2.sf(statistic, df)),
                         _enumerated_homogeneity(moved, inverse, statistic),
                         int(counts.sum()), discordant, tuple(x.tolist()))


def _enumerated_homogeneity(moved: np.ndarray, inverse: np.ndarray, statistic: float) -> float | None:
    """P(chi2 >= observed) over all directions of the moves; the vector x is kept as one whole number."""
    most, k = int(moved.sum() / 2), len(moved)
    base = 2 * most + 1
    if base**k > 2**62:
        return None
    place = base ** np.arange(k)
    states, chance = np.array([most * place.sum()]), np.ones(1)
    for i, j in zip(*np.triu_indices(k, 1)):
        number = int(moved[i, j])
        if not number:
            continue
        if len(states) * (number + 1) > LARGEST_OUTCOMES:
            return None
        forward = np.arange(number + 1)
        moves = (2 * forward - number) * (place[i] - place[j])
        both = np.outer(chance, stats.binom.pmf(forward, number, 0.5))
        states, where = np.unique(np.add.outer(states, moves).ravel(), return_inverse=True)
        chance = np.bincount(where, weights=both.ravel())
    x = states[:, None] // place % base - most
    values = np.einsum("si,ij,sj->s", x, inverse, x, optimize=True)
    return float(min(1.0, chance[values >= statistic - 1e-9 * max(1.0, statistic)].sum()))


# ---------------------------------------------------------------- several outcomes

def max_t(D, *, draws: int = 100_000, seed: int | None = None) -> MaxT:
    """Westfall-Young step-down maxT p-values for several outcomes of the same pairs.

    The sign of a whole row (pair) is flipped at once, which keeps the correlation of the outcomes. Each
    column has its one-sample t; the columns are taken from the largest |t| down, and the adjusted p
    of a column is the share of sign patterns whose largest |t| over it and the columns after it
    reaches its own, made monotone. All 2^n patterns up to 20 rows; above that `draws` random ones, counting
    the observed pattern, (1 + hits) / (1 + draws).

    Parameters
    ----------
    D : differences, rows = pairs, columns = outcomes; missing values are refused.
    draws : number of random sign patterns above 20 rows.
    seed : seed of the random patterns; required above 20 rows.

    Raises
    ------
    ValueError : missing or infinite values, no column, no seed where one is needed.

    References
    ----------
    Westfall & Young (1993) Resampling-Based Multiple Testing, Wiley, algorithm 2.8.

    Examples
    --------
    Six pairs: the smallest p is 2/64, so a second outcome that copies the first costs nothing, unlike Holm.

    >>> d = [0.5, 1, 0.25, 0.75, 1.5, 0.5]
    >>> max_t([[value, value] for value in d]).p_adjusted.tolist()
    [0.03125, 0.03125]
    """
    D = np.asarray(D, dtype=float)
    if D.ndim != 2 or 0 in D.shape:
        raise ValueError(f"D must have rows (pairs) and columns (outcomes), got shape {D.shape}")
    _refuse_gaps(D, "D")
    n, columns = D.shape
    exact = n <= EXHAUSTIVE_FLIPS
    if not exact and seed is None:
        raise ValueError(f"D has {n} rows: above {EXHAUSTIVE_FLIPS} the signs are drawn, give a seed")
    scores = np.column_stack([_integers(D[:, j])[0] for j in range(columns)]).astype(float)
    squares = (scores**2).sum(axis=0)
    squares[squares == 0] = 1.0  # a column without change: its sum is 0 under every pattern
    # |t| is an increasing function of sum^2 / sum of squares, which is the same for all columns
    observed = scores.sum(axis=0) ** 2 / squares
    order = np.argsort(-observed, kind="stable")
    singly, jointly, flips = np.zeros(columns), np.zeros(columns), 0
    for signs in _row_signs(n, draws, seed):
        values = (signs @ scores) ** 2 / squares
        largest = np.maximum.accumulate(values[:, order[::-1]], axis=1)[:, ::-1]
        singly += (values >= observed * (1 - 1e-9)).sum(axis=0)
        jointly[order] += (largest >= observed[order] * (1 - 1e-9)).sum(axis=0)
        flips += len(signs)
    extra = 0 if exact else 1
    adjusted = np.empty(columns)
    adjusted[order] = np.maximum.accumulate((jointly[order] + extra) / (flips + extra))
    return MaxT(_one_sample_t(D), (singly + extra) / (flips + extra), adjusted, n, flips, exact)


def _row_signs(n: int, draws: int, seed: int | None):
    """Blocks of sign patterns: all with the first row fixed (|t| ignores a common flip), or drawn."""
    block = 1 << 14
    if n <= EXHAUSTIVE_FLIPS:
        patterns = 1 << (n - 1)
        for start in range(0, patterns, block):
            codes = np.arange(start, min(start + block, patterns))
            yield 1.0 - 2.0 * ((codes[:, None] >> np.arange(n)) & 1)
    else:
        rng = np.random.default_rng(seed)
        for start in range(0, draws, block):
            yield rng.integers(0, 2, size=(min(block, draws - start), n)) * 2.0 - 1.0


def _one_sample_t(D: np.ndarray) -> np.ndarray:
    n, mean = len(D), D.mean(axis=0)
    spread = D.std(axis=0, ddof=1) if n > 1 else np.zeros(D.shape[1])
    constant = np.ptp(D, axis=0) < 1 / UNIT
    moved = np.abs(mean) >= 1 / UNIT
    t = np.where(moved, np.copysign(np.inf, mean), 0.0)
    t[~constant] = mean[~constant] / (spread[~constant] / math.sqrt(n))
    return t


# ---------------------------------------------------------------- two groups

def rank_sum(x, y, *, alternative: str = "two-sided") -> TwoSampleTest:
    """Exact Wilcoxon rank-sum (Mann-Whitney) test with ties.

    The statistic is U: the number of (x, y) pairs with x above y, ties counting half. Its distribution
    over all groupings of the pooled ranks comes from the two-dimensional shift algorithm.

    Parameters
    ----------
    x, y : the two independent groups; missing values are refused.
    alternative : "two-sided", "greater" (x tends to be larger) or "less". Two-sided p is twice the
        smaller tail; with ties the distribution can be skewed and `p_distance` differ from it.

    Raises
    ------
    ValueError : empty, missing or infinite values; groups too large for the exact distribution.

    References
    ----------
    Mann & Whitney (1947) doi:10.1214/aoms/1177730491; Streitberg & Röhmel (1986).

    Examples
    --------
    >>> result = rank_sum([1, 2, 2, 3], [3, 4, 4, 5, 5])
    >>> result.statistic, round(result.p, 4)
    (0.5, 0.0317)
    """
    x, y = _numbers(x, "x"), _numbers(y, "y")
    _choice(alternative, ALTERNATIVES, "alternative")
    pooled = _doubled_midranks(_integers(np.concatenate([x, y]))[0])
    u = (float(pooled[:len(x)].sum()) - len(x) * (len(x) + 1)) / 2
    tails, cost = _grouping_tails(pooled, len(x))
    if tails is None:
        raise ValueError(f"x and y have {len(pooled)} values, the exact distribution would take {cost:.1g} "
                         "steps: use scipy.stats.mannwhitneyu(method='asymptotic')")
    return _two_sample(u, tails, pooled, x, y, alternative)


def two_sample_permutation(x, y, *, alternative: str = "two-sided") -> TwoSampleTest:
    """Exact permutation test of the difference of two means, mean(x) - mean(y).

    For changes of programme and comparison pairs this tests the difference in change. Every grouping of
    the pooled values is equally likely. Values with a common grid are counted by dynamic programming,
    others by matching two halves (up to 40 values, sums nearer than n * 1e-9 equal), beyond that on
    a fine grid with `exact` False.

    Parameters
    ----------
    x, y : the two independent groups (changes, one value per pair); missing values are refused.
    alternative : "two-sided" (twice the smaller tail), "greater" (mean of x above y) or "less".

    Raises
    ------
    ValueError : empty, missing or infinite values.

    References
    ----------
    Pitman (1937) doi:10.2307/2984124.

    Examples
    --------
    >>> two_sample_permutation([1, 2, 3], [4, 5, 6]).p
    0.1
    """
    x, y = _numbers(x, "x"), _numbers(y, "y")
    _choice(alternative, ALTERNATIVES, "alternative")
    pooled, _, on_grid = _integers(np.concatenate([x, y]))
    difference, exact = float(x.mean() - y.mean()), True
    tails = _grouping_tails(pooled, len(x))[0] if on_grid else None
    if tails is None and len(pooled) <= LARGEST_SPLIT:
        tails = _matched_tails(pooled, len(x), fuzz=0 if on_grid else len(pooled))
    elif tails is None:
        exact = False
        tails = _grouping_tails(_coarse(pooled, len(x), len(y)), len(x))[0]
    return _two_sample(difference, tails, pooled, x, y, alternative, exact)


def _two_sample(statistic, tails, pooled, x, y, alternative, exact=True) -> TwoSampleTest:
    lower, upper, distance = tails
    least = [_extreme_share(values, len(x)) for values in (pooled, -pooled)]  # lower, upper tail
    smallest = _p_value(*least, alternative)
    return TwoSampleTest(statistic, _p_value(lower, upper, alternative), distance, smallest,
                         len(x), len(y), alternative, exact)


def _extreme_share(pooled: np.ndarray, size: int) -> float:
    """Share of groupings in which the first group has the smallest possible sum."""
    ordered = np.sort(pooled)
    edge = ordered[size - 1]
    ties, inside = int((pooled == edge).sum()), int((ordered[:size] == edge).sum())
    return math.comb(ties, inside) / math.comb(len(pooled), size)


def _coarse(pooled: np.ndarray, n_x: int, n_y: int) -> np.ndarray:
    """Values rounded to a grid on which the grouping distribution stays affordable."""
    above = pooled - pooled.min()
    steps = min(LARGEST_COST / len(pooled), LARGEST_CELLS) / (min(n_x, n_y) + 1) - len(pooled) - 1
    return np.rint(above * (max(steps, 1.0) / max(int(above.sum()), 1))).astype(np.int64)


def _grouping_tails(pooled: np.ndarray, n_x: int) -> tuple[tuple[float, float, float] | None, float]:
    """Lower tail, upper tail and distance p of the first group's sum; None where too costly."""
    values = _reduced(pooled - pooled.min())
    n, total, observed = len(values), int(values.sum()), int(values[:n_x].sum())
    size, flipped = min(n_x, n - n_x), 2 * n_x > n
    cells = float(size + 1) * (total + 1)
    if cells * n > LARGEST_COST or cells > LARGEST_CELLS:
        return None, cells * n
    count = _joint_sums(np.ones(n, dtype=np.int64), values, size)[size]
    if flipped:
        count = count[::-1]  # sum of the first group = total - sum of the second
    ways = math.comb(n, n_x)
    centre = np.abs(n * np.arange(total + 1) - n_x * total)
    far = count[centre >= abs(n * observed - n_x * total)].sum()
    return tuple(min(1.0, float(part) / ways)
                 for part in (count[:observed + 1].sum(), count[observed:].sum(), far)), cells * n


def _matched_tails(pooled: np.ndarray, n_x: int, *, fuzz: int) -> tuple[float, float, float]:
    values = pooled - pooled.min()
    n, total, observed = len(values), int(values.sum()), int(values[:n_x].sum())
    mirror = (2 * n_x * total) / n - observed  # as far from the expectation on the other side
    low, high = min(observed, mirror), max(observed, mirror)
    bounds = (observed + fuzz, observed - fuzz - 1, math.floor(low + fuzz), math.ceil(high - fuzz) - 1)
    at_most, below, low_side, under_high = _grouped_share(values, n_x, bounds)
    return at_most, 1 - below, min(1.0, low_side + 1 - under_high)


def difference_interval(x, y, *, level: float = 0.95) -> Interval:
    """Difference of two means with the interval that inverts the two-sided permutation test.

    The shifts m for which `two_sample_permutation(x - m, y)` has p > 1 - level. A grouping that swaps k
    values of x with k of y reaches the observed difference exactly when the difference of the means of
    the swapped values is <= m, so the ends are order statistics of those differences over all swaps.
    Exact where the values share a grid or there are at most 5 million groupings; otherwise values
    are rounded to a fine grid and `exact` is False.

    Parameters
    ----------
    x, y : the two independent groups; missing values are refused.
    level : confidence level between 0 and 1.

    Raises
    ------
    ValueError : empty, missing or infinite values; level outside (0, 1).

    References
    ----------
    Pitman (1937) doi:10.2307/2984124; Hartigan (1969) doi:10.1080/01621459.1969.10501057.

    Examples
    --------
    >>> interval = difference_interval([3, 4, 4, 5, 6], [1, 2, 2, 3, 3])
    >>> round(interval.estimate, 4), interval.low, interval.high
    (2.2, 1.0, 4.0)
    """
    x, y, half = _numbers(x, "x"), _numbers(y, "y"), _alpha(level) / 2
    estimate, ways = float(x.mean() - y.mean()), math.comb(len(x) + len(y), len(x))
    if 1 / ways > half:
        return Interval(estimate, -math.inf, math.inf, level)
    values, counts, exact = _swap_differences(x, y)
    values, inverse = np.unique(values, return_inverse=True)
    counts = np.bincount(inverse, weights=counts)
    share = (np.cumsum(counts) + 1) / ways
    share_above = (np.cumsum(counts[::-1])[::-1] + 1) / ways
    low, high = values[share > half][0], values[share_above > half][-1]
    return Interval(estimate, float(low), float(high), level, exact)


def _swap_differences(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Differences of means over all swaps of k values of x with k of y, with their numbers."""
    pooled, denominator, exact = _integers(np.concatenate([x, y]))
    rows = min(len(x), len(y))
    origin, step = int(pooled.min()), 1.0
    above = pooled - origin
    affordable = LARGEST_CELLS / 4 / (rows + 1)
    if not exact or int(above.sum()) > affordable:
        if math.comb(len(pooled), len(x)) <= 5_000_000:
            return *_listed_swaps(x, y), True
        step = max(1.0, int(above.sum()) / affordable)
        above, exact = np.rint(above / step).astype(np.int64), False
    first, second = above[:len(x)], above[len(x):]
    ones = np.ones(len(pooled), dtype=np.int64)
    count_x = _joint_sums(ones[:len(x)], first, rows)
    count_y = _joint_sums(ones[:len(y)], second, rows)
    values, counts = [], []
    for k in range(1, rows + 1):
        both = np.rint(signal.fftconvolve(count_x[k], count_y[k][::-1]))
        at = np.flatnonzero(both > 0)
        values.append((at - (count_y.shape[1] - 1)) * step / (k * denominator))
        counts.append(both[at])
    return np.concatenate(values), np.concatenate(counts), exact


def _listed_swaps(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sums_x, sums_y = _all_subset_sums(x), _all_subset_sums(y)
    size_x, size_y = _all_subset_sums(np.ones_like(x)), _all_subset_sums(np.ones_like(y))
    values = np.concatenate([np.subtract.outer(sums_x[size_x == k], sums_y[size_y == k]).ravel() / k
                             for k in range(1, min(len(x), len(y)) + 1)])
    return np.round(values, 12), np.ones(len(values))


# ---------------------------------------------------------------- association

def spearman_exact(x, y, *, seed: int | None = None, draws: int = 100_000) -> Spearman:
    """Spearman's rank correlation with a permutation p-value.

    Average ranks for ties. All n! orders up to n = 8; above that `draws` random orders, counting the
    observed one, (1 + hits) / (1 + draws), with the Monte Carlo standard error of p.

    Parameters
    ----------
    x, y : paired measurements; missing values are refused.
    seed : seed of the random orders; required above n = 8.
    draws : number of random orders above n = 8.

    Raises
    ------
    ValueError : fewer than two pairs, unequal lengths, no variation, no seed where one is needed.

    References
    ----------
    Spearman (1904) doi:10.2307/1412159; Phipson & Smyth (2010) doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> result = spearman_exact([1, 2, 3, 4, 5], [2, 1, 4, 3, 5])
    >>> round(result.rho, 4), round(result.p, 4)
    (0.8, 0.1333)
    """
    x, y = _numbers(x, "x"), _numbers(y, "y")
    n = len(x)
    if len(y) != n:
        raise ValueError(f"x has {n} values and y {len(y)}: give one of each per pair")
    if n < 2:
        raise ValueError("a correlation needs at least two pairs")
    ranks_x, ranks_y = (_doubled_midranks(_integers(v)[0]) for v in (x, y))
    for name, ranks in (("x", ranks_x), ("y", ranks_y)):
        if np.ptp(ranks) == 0:
            raise ValueError(f"{name} does not vary: the rank correlation is not defined")
    exact = n <= EXHAUSTIVE_ORDERS
    if not exact and seed is None:
        raise ValueError(f"n is {n}: above {EXHAUSTIVE_ORDERS} the orders are drawn, give a seed")
    centred_x, centred_y = (r - (n + 1) for r in (ranks_x, ranks_y))  # integers: mean rank is n + 1
    observed = int(centred_x @ centred_y)
    lower = upper = far = total = 0
    smallest_tail = math.inf
    for orders in _orders(n, draws, seed):
        values = centred_y[orders] @ centred_x
        lower += int((values <= observed).sum())
        upper += int((values >= observed).sum())
        far += int((np.abs(values) >= abs(observed)).sum())
        total += len(values)
        smallest_tail = min((values == values.min()).sum(), (values == values.max()).sum())
    extra = 0 if exact else 1
    p = min(1.0, 2 * (min(lower, upper) + extra) / (total + extra))
    rho = observed / math.sqrt(int(centred_x @ centred_x) * int(centred_y @ centred_y))
    smallest = min(1.0, 2 * float(smallest_tail) / total) if exact else None
    error = 0.0 if exact else 2 * math.sqrt(p / 2 * (1 - p / 2) / total)
    return Spearman(rho, p, (far + extra) / (total + extra), smallest, error, n, total, exact)


def _orders(n: int, draws: int, seed: int | None):
    if n <= EXHAUSTIVE_ORDERS:
        yield np.array(list(itertools.permutations(range(n))))
    else:
        rng = np.random.default_rng(seed)
        block = 10_000
        for start in range(0, draws, block):
            yield rng.permuted(np.tile(np.arange(n), (min(block, draws - start), 1)), axis=1)
