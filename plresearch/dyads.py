"""How alike are the two members of a pair: correlations within pairs, gaps, variances, re-paired controls.

`doctor` and `manager` are two equally long lists of scores, one entry per pair, in the same order of pairs.
A pair with one partner missing is refused: leave it out and count it. Read every result beside the means and
the ceiling share, because a gap also shrinks when both members reach the top of the scale.
"""
from dataclasses import dataclass
from itertools import permutations
import math

import numpy as np
from scipy import stats

EXACT_PAIRS = 8  # 8! = 40,320 re-pairings are enumerated; 9! would be 362,880
ROUNDING = 9     # decimals: scores that tie on paper must tie in binary


@dataclass(frozen=True)
class Correlation:
    """A within-pair correlation with its interval and the two-sided p for zero.

    `f`, `df1`, `df2` are None for Pearson's r.
    """

    value: float
    low: float | None
    high: float | None
    p: float
    f: float | None
    df1: int | None
    df2: int | None
    n: int
    level: float


@dataclass(frozen=True)
class GapChange:
    """Absolute gap per pair before and after, and their difference (negative: the pair has come closer)."""

    pre: np.ndarray
    post: np.ndarray
    change: np.ndarray
    mean_pre: float
    mean_post: float
    mean_change: float
    n: int


@dataclass(frozen=True)
class VarianceTest:
    """Pitman-Morgan comparison of two paired variances; `ratio` is the doctors' over the managers'."""

    ratio: float
    low: float
    high: float
    t: float
    df: int
    p: float
    n: int
    level: float


@dataclass(frozen=True)
class PseudoPairs:
    """Actual pairs against the same people re-paired at random.

    `p_closer` is the share of re-pairings at least as alike as the actual pairs, `p` is two-sided;
    `p_closer_se` and `p_se` are Monte Carlo standard errors, 0 when all re-pairings were enumerated.
    """

    actual: float
    expected: float
    p_closer: float
    p: float
    p_closer_se: float
    p_se: float
    repairings: int
    exact: bool
    statistic: str
    n: int


def pairwise_icc(doctor, manager, *, level=0.95):
    """Intraclass correlation of distinguishable pairs: likeness after the roles' mean difference is removed.

    r = 2 cov(D, M) / (var D + var M): the double-entry (pairwise) correlation with the role means taken out,
    equal to the two-way consistency ICC(3,1). Below Pearson's r as far as the roles' variances differ.
    Interval and test from F = var(D + M) / var(D - M) on (n - 1, n - 1) degrees of freedom; exact for normal
    scores with equal variances (check with `pitman_morgan`). For an exact test without normality see
    `pseudo_pairs` with statistic "icc".

    Parameters
    ----------
    doctor, manager : scores of n pairs, at least three. Missing or non-finite scores raise.
    level : coverage of the interval.

    Returns
    -------
    Correlation
        When the two differ by a constant in every pair r is 1, its interval is [1, 1] and F is infinite; the
        mirror case gives -1.

    Raises
    ------
    ValueError
        Missing scores; unequal lengths; fewer than three pairs; no variation in either role.

    References
    ----------
    Kenny, Kashy & Cook 2006, Dyadic Data Analysis, Guilford, chapter 2. Gonzalez & Griffin 1999,
    doi:10.1111/j.1475-6811.1999.tb00203.x. Shrout & Fleiss 1979, doi:10.1037/0033-2909.86.2.420.

    Examples
    --------
    >>> c = pairwise_icc([3, 4, 2, 5, 4, 3], [3, 4, 3, 4, 5, 2])
    >>> round(c.value, 3), round(c.low, 3), round(c.high, 3)
    (0.636, -0.227, 0.94)
    """
    d, m = _scores(doctor, manager, least=3)
    _check_level(level)
    if np.ptp(d) == 0 and np.ptp(m) == 0:
        raise ValueError(f"no variation: all {len(d)} doctors and all managers score alike, so the "
                         "intraclass correlation is not defined")
    df = len(d) - 1
    between, within = (d + m).var(ddof=1), (d - m).var(ddof=1)
    return _intraclass(between, within, df, df, len(d), level)


def indistinguishable_icc(doctor, manager, *, level=0.95):
    """Intraclass correlation of pairs whose members are treated as interchangeable, by one-way ANOVA.

    ICC(1) = (MSB - MSW) / (MSB + MSW), MSB between pairs and MSW within. A difference between the roles'
    means counts as unlikeness here, unlike in `pairwise_icc`. Interval and test from F = MSB / MSW on
    (n - 1, n) degrees of freedom, exact for normal scores.

    Parameters
    ----------
    doctor, manager : scores of n pairs, at least two. Missing or non-finite scores raise.
    level : coverage of the interval.

    Returns
    -------
    Correlation
        Equal members in every pair give 1 with F infinite.

    Raises
    ------
    ValueError
        Missing scores; unequal lengths; fewer than two pairs; all scores alike.

    References
    ----------
    Shrout & Fleiss 1979, doi:10.1037/0033-2909.86.2.420. Kenny, Kashy & Cook 2006, Dyadic Data Analysis,
    chapter 2.

    Examples
    --------
    >>> c = indistinguishable_icc([3, 4, 2, 5, 4, 3], [3, 4, 3, 4, 5, 2])
    >>> round(c.value, 3), round(c.low, 3), round(c.high, 3)
    (0.688, -0.052, 0.948)
    """
    d, m = _scores(doctor, manager, least=2)
    _check_level(level)
    if np.ptp(np.concatenate([d, m])) == 0:
        raise ValueError(f"no variation: all {2 * len(d)} scores are {d[0]:g}, so the intraclass "
                         "correlation is not defined")
    n = len(d)
    between = (d + m).var(ddof=1) / 2
    within = ((d - m) ** 2).sum() / (2 * n)
    return _intraclass(between, within, n - 1, n, n, level)


def pearson(doctor, manager, *, level=0.95):
    """Pearson correlation within pairs, with Fisher's z interval and the t test.

    Estimand: the linear correlation of the doctors' with the managers' scores over pairs; blind to
    differences of the roles' means and variances.

    Parameters
    ----------
    doctor, manager : scores of n pairs, at least three. Missing or non-finite scores raise.
    level : coverage of the interval.

    Returns
    -------
    Correlation
        The interval is None with three pairs (Fisher's z needs four).

    Raises
    ------
    ValueError
        Missing scores; unequal lengths; fewer than three pairs; a role without variation.

    References
    ----------
    Fisher 1921, Metron 1:3-32. Kenny, Kashy & Cook 2006, Dyadic Data Analysis, chapter 2.

    Examples
    --------
    >>> c = pearson([3, 4, 2, 5, 4, 3], [3, 4, 3, 4, 5, 2])
    >>> round(c.value, 3), round(c.low, 3), round(c.high, 3)
    (0.636, -0.362, 0.955)
    """
    d, m = _scores(doctor, manager, least=3)
    _check_level(level)
    for role, x in (("doctors", d), ("managers", m)):
        if np.ptp(x) == 0:
            raise ValueError(f"no variation: all {len(x)} {role} score {x[0]:g}, so the correlation is not "
                             "defined")
    result = stats.pearsonr(d, m)
    low = high = None
    if len(d) > 3:
        low, high = map(float, result.confidence_interval(level))
    return Correlation(float(result.statistic), low, high, float(result.pvalue), None, None, None, len(d),
                       level)


def gap_change(doctor_pre, manager_pre, doctor_post, manager_post):
    """Absolute gap |doctor - manager| of every pair before and after, and the change.

    Estimand: by how much the two members of a pair came closer (negative) or moved apart. The per-pair
    changes, rounded to 9 decimals so that ties on paper stay ties, are meant for an exact sign-flip test over
    pairs.

    Parameters
    ----------
    doctor_pre, manager_pre, doctor_post, manager_post : scores of n pairs, in score points, same order of
        pairs.
        Missing or non-finite scores raise.

    Returns
    -------
    GapChange

    Raises
    ------
    ValueError
        Missing scores; unequal lengths; no pair.

    References
    ----------
    Kenny, Kashy & Cook 2006, Dyadic Data Analysis, chapter 12 (indexes of dissimilarity).

    Examples
    --------
    >>> gap = gap_change([3.0, 2.5, 4.0], [4.0, 4.0, 3.0], [4.0, 3.5, 4.0], [4.5, 4.0, 4.0])
    >>> gap.change.tolist(), round(gap.mean_change, 3)
    ([-0.5, -1.0, -1.0], -0.833)
    """
    d0, m0 = _scores(doctor_pre, manager_pre, least=1)
    d1, m1 = _scores(doctor_post, manager_post, least=1)
    if len(d0) != len(d1):
        raise ValueError(f"{len(d0)} pairs before and {len(d1)} after; give the pairs seen at both times")
    pre, post = np.abs(d0 - m0).round(ROUNDING), np.abs(d1 - m1).round(ROUNDING)
    change = (post - pre).round(ROUNDING)
    return GapChange(pre, post, change, float(pre.mean()), float(post.mean()), float(change.mean()), len(d0))


def pitman_morgan(doctor, manager, *, level=0.95):
    """Pitman-Morgan test that doctors and managers vary equally, for paired scores.

    Equal variances mean that D + M and D - M do not correlate: t = (F - 1) sqrt(n - 2) /
    (2 sqrt(F (1 - r^2))) on n - 2 degrees of freedom, F = var D / var M, r = Pearson's correlation of D with
    M. The interval for the ratio inverts the test: F (K -+ sqrt(K^2 - 1)),
    K = 1 + 2 (1 - r^2) t_crit^2 / (n - 2). Exact for bivariate normal scores; sensitive to long tails.

    Parameters
    ----------
    doctor, manager : scores of n pairs, at least three. Missing or non-finite scores raise.
    level : coverage of the interval.

    Returns
    -------
    VarianceTest

    Raises
    ------
    ValueError
        Missing scores; unequal lengths; fewer than three pairs; a role without variation; scores of one role
        that are an exact linear function of the other's.

    References
    ----------
    Pitman 1939, doi:10.1093/biomet/31.1-2.9. Morgan 1939, doi:10.1093/biomet/31.1-2.13.

    Examples
    --------
    >>> v = pitman_morgan([1, 5, 2, 4, 3, 5], [3, 4, 3, 4, 3, 3])
    >>> round(v.ratio, 2), v.df, round(v.p, 3)
    (10.0, 4, 0.027)
    """
    d, m = _scores(doctor, manager, least=3)
    _check_level(level)
    for role, x in (("doctors", d), ("managers", m)):
        if np.ptp(x) == 0:
            raise ValueError(f"no variation: all {len(x)} {role} score {x[0]:g}; a variance of zero cannot "
                             "be compared")
    n, df = len(d), len(d) - 2
    r = float(np.corrcoef(d, m)[0, 1])
    unexplained = 1 - r * r
    if unexplained < 1e-12:
        raise ValueError("one role's scores are an exact linear function of the other's; compare the "
                         "standard deviations as they are, there is nothing to test")
    ratio = float(d.var(ddof=1) / m.var(ddof=1))
    t = (ratio - 1) * math.sqrt(df) / (2 * math.sqrt(ratio * unexplained))
    k = 1 + 2 * unexplained * float(stats.t.isf((1 - level) / 2, df)) ** 2 / df
    spread = math.sqrt(k * k - 1)
    return VarianceTest(ratio, ratio / (k + spread), ratio * (k + spread), t, df,
                        float(2 * stats.t.sf(abs(t), df)), n, level)


def pseudo_pairs(doctor, manager, *, statistic="gap", draws=9999, seed):
    """Are actual pairs more alike than the same doctors and managers paired at random?

    The managers are permuted over the doctors: all n! re-pairings for n <= 8, else `draws` seeded ones with
    p = (1 + as extreme) / (1 + draws). What all doctors and managers share (programme, time, ceiling) is in
    every re-pairing too; only what belongs to the pair is not.

    Parameters
    ----------
    doctor, manager : scores of n pairs, at least three. Missing or non-finite scores raise.
    statistic : "gap", the mean absolute gap (closer: smaller), or "icc", the distinguishable intraclass
        correlation (closer: larger; Pearson's r gives the same p).
    draws : random re-pairings when n > 8.
    seed : whole number; not used when all re-pairings are enumerated.

    Returns
    -------
    PseudoPairs
        `expected` is the exact mean over all n! re-pairings; `p` is twice the smaller tail, at most 1.

    Raises
    ------
    ValueError
        Missing scores; unequal lengths; fewer than three pairs; a role without variation (every re-pairing is
        then the same); fewer than 99 draws.

    References
    ----------
    Kenny, Kashy & Cook 2006, Dyadic Data Analysis, chapter 12 (pseudo-couples). Phipson & Smyth 2010,
    doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> p = pseudo_pairs([1, 2, 3, 4, 5, 5], [1, 2, 3, 5, 4, 5], seed=1)
    >>> round(p.actual, 3), round(p.expected, 3), p.repairings, round(p.p_closer, 4), p.exact
    (0.333, 1.667, 720, 0.0167, True)
    """
    d, m = _scores(doctor, manager, least=3)
    if statistic not in ("gap", "icc"):
        raise ValueError(f"statistic is {statistic!r}; choose gap or icc")
    for role, x in (("doctors", d), ("managers", m)):
        if np.ptp(x) == 0:
            raise ValueError(f"no variation: all {len(x)} {role} score {x[0]:g}, so every re-pairing is "
                             "the same")
    if draws < 99:
        raise ValueError(f"draws is {draws}; use at least 99, better 9999")
    n = len(d)
    exact = n <= EXACT_PAIRS
    table = np.abs(np.subtract.outer(d, m)) / n if statistic == "gap" else _icc_shares(d, m)
    orders = (np.array(list(permutations(range(n)))) if exact else
              np.random.default_rng(seed).permuted(np.tile(np.arange(n), (draws, 1)), axis=1))
    values = table[np.arange(n), orders].sum(axis=1).round(ROUNDING)
    actual = float(np.trace(table))
    at_most = (values <= round(actual, ROUNDING)).sum()
    at_least = (values >= round(actual, ROUNDING)).sum()
    lower, upper = ((count + (not exact)) / (len(values) + (not exact)) for count in (at_most, at_least))
    closer = float(lower if statistic == "gap" else upper)
    tail = float(min(lower, upper))
    closer_se, tail_se = ((0.0 if exact else math.sqrt(q * (1 - q) / draws)) for q in (closer, tail))
    return PseudoPairs(actual=actual, expected=float(table.sum() / n), p_closer=closer, p=min(1.0, 2 * tail),
                       p_closer_se=closer_se, p_se=2 * tail_se, repairings=len(values), exact=exact,
                       statistic=statistic, n=n)


def _scores(doctor, manager, *, least):
    d, m = np.asarray(doctor, dtype=float), np.asarray(manager, dtype=float)
    if d.ndim != 1 or d.shape != m.shape:
        raise ValueError(f"doctor has shape {d.shape} and manager {m.shape}; give two lists with one score "
                         "per pair in the same order")
    bad = np.argwhere(~np.isfinite(np.column_stack([d, m])))
    if len(bad):
        pair, column = bad[0]
        raise ValueError(f"{len(bad)} missing or non-finite score(s), first of the "
                         f"{('doctor', 'manager')[column]} "
                         f"in pair {pair}; leave out pairs with one partner and report how many")
    if len(d) < least:
        raise ValueError(f"{len(d)} pair(s); at least {least} are needed")
    return d, m


def _check_level(level):
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie strictly between 0 and 1, for example 0.95")


def _intraclass(between, within, df1, df2, n, level):
    """ICC of pairs, (F - 1) / (F + 1), with its F interval and two-sided p."""
    tiny = 1e-12 * (between + within)
    if within <= tiny:
        return Correlation(1.0, 1.0, 1.0, 0.0, math.inf, df1, df2, n, level)
    if between <= tiny:
        return Correlation(-1.0, -1.0, -1.0, 0.0, 0.0, df1, df2, n, level)
    f = between / within
    tail = (1 - level) / 2
    low, high = f / stats.f.isf(tail, df1, df2), f / stats.f.ppf(tail, df1, df2)
    p = 2 * min(stats.f.sf(f, df1, df2), stats.f.cdf(f, df1, df2))
    return Correlation(float((f - 1) / (f + 1)), float((low - 1) / (low + 1)), float((high - 1) / (high + 1)),
                       float(min(1.0, p)), float(f), df1, df2, n, level)


def _icc_shares(d, m):
    """What each doctor-manager combination adds to 2 cov(D, M) / (var D + var M)."""
    d, m = d - d.mean(), m - m.mean()
    return 2 * np.outer(d, m) / (d @ d + m @ m)
