"""Effect sizes of paired and independent groups, reliable change, and checks of printed means.

Every standardised difference says which standard deviation it is standardised by; they differ by design,
not by accident. With d = post - pre, s1 and s2 the standard deviations of pre and post, s_d that of d
and r the correlation of pre and post:

    d_av  mean(d) / sqrt((s1^2 + s2^2) / 2)        size of the change in scale units of both waves
    d_z   mean(d) / s_d                            what the power of a paired test depends on
    d_rm  mean(d) / s_d * sqrt(2 (1 - r))          d_z put back on the raw scale
    smcr  mean(d) / s1                             standardised by the first wave only

With `correct`, the small-sample factor J = gamma(m/2) / (sqrt(m/2) gamma((m-1)/2)), m = n - 1, is
applied (Hedges 1981). Missing values are refused with a ValueError; so is a sample without the
variation the statistic divides by.

Differences from other programs: pingouin's interval of d_z is not a non-central t interval (off by up
to .56) and its intervals are rounded; its "CLES" is another estimand than `probability_of_improvement`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy import integrate, optimize, special, stats
from statsmodels.stats.proportion import proportion_confint

SAME = 1e-9  # values nearer than this are equal
RELIABLE = 0.95  # confidence of a reliable change: |RCI| > 1.96


# ---------------------------------------------------------------- results

@dataclass(frozen=True)
class Share:
    """A count, its share of n and the Wilson interval of the share."""

    count: int
    n: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Improvement:
    """P(d > 0) + .5 P(d = 0) with the shares behind it."""

    value: float
    better: Share
    same: Share
    worse: Share


@dataclass(frozen=True)
class StandardisedDifference:
    """A standardised difference; `j` is the small-sample factor, applied if `corrected`."""

    value: float
    low: float
    high: float
    se: float | None
    j: float
    corrected: bool
    level: float


@dataclass(frozen=True)
class MeanChange:
    """Mean with its t interval."""

    mean: float
    low: float
    high: float
    sd: float
    se: float
    df: int
    level: float


@dataclass(frozen=True)
class ReliableChange:
    """Counts of reliable change, the smallest reliable change in points, each person's index."""

    improved: int
    unchanged: int
    worsened: int
    n: int
    threshold: float
    sem: float
    index: tuple[float, ...]


@dataclass(frozen=True)
class MinimalImportantDifference:
    """Two distribution-based thresholds, in scale points."""

    half_sd: float
    one_sem: float


@dataclass(frozen=True)
class FloorCeiling:
    """Shares of persons at the lowest and at the highest possible score."""

    floor: Share
    ceiling: Share


@dataclass(frozen=True)
class Grim:
    """Consistency of a printed mean: nearest attainable means, and whether the check can fail at all."""

    consistent: bool
    below: float
    above: float
    informative: bool


# ---------------------------------------------------------------- checks

def _numbers(values, name: str, *, least: int = 1) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(f"{name} has {bad.size} missing or infinite value(s), the first at position "
                         f"{bad[0]}: drop or impute them first")
    if array.size < least:
        raise ValueError(f"{name} has {array.size} value(s), at least {least} are needed")
    return array


def _waves(pre, post, *, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    pre, post = _numbers(pre, "pre", least=least), _numbers(post, "post", least=least)
    if len(pre) != len(post):
        raise ValueError(f"pre has {len(pre)} values and post {len(post)}: "
                         "give both waves of the same persons")
    return pre, post


def _spread(values: np.ndarray, name: str) -> float:
    if np.ptp(values) < SAME:
        raise ValueError(f"{name} does not vary (all {len(values)} values are {values[0]:g}): "
                         "a difference cannot be standardised by it, report it in scale points")
    return float(values.std(ddof=1))


def _z(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level!r}")
    return float(stats.norm.ppf((1 + level) / 2))


def _reliability(value: float) -> float:
    if not 0 <= value < 1:
        raise ValueError(f"reliability must be at least 0 and below 1, not {value!r}")
    return float(value)


def _share(count: int, n: int, level: float) -> Share:
    low, high = proportion_confint(count, n, alpha=1 - level, method="wilson")
    return Share(int(count), n, count / n, float(low), float(high))


# ---------------------------------------------------------------- change without a unit

def probability_of_improvement(d, *, level: float = 0.95) -> Improvement:
    """Probability that a pair improves, unchanged pairs counting half: P(d > 0) + .5 P(d = 0).

    Parameters
    ----------
    d : differences post - pre, one per pair; missing values are refused.
    level : confidence level of the Wilson intervals of the three shares.

    Raises
    ------
    ValueError : empty or missing values.

    References
    ----------
    Grissom & Kim (2012) Effect Sizes for Research, 2nd ed., Routledge; Wilson (1927)
    doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> result = probability_of_improvement([1, 2, 0, -1])
    >>> result.value, result.better.share, round(result.better.low, 3), round(result.better.high, 3)
    (0.625, 0.5, 0.15, 0.85)
    """
    d = _numbers(d, "d")
    _z(level)
    better, worse, n = int((d > SAME / 2).sum()), int((d < -SAME / 2).sum()), len(d)
    same = n - better - worse
    return Improvement((better + same / 2) / n, _share(better, n, level), _share(same, n, level),
                       _share(worse, n, level))


def t_interval(d, *, level: float = 0.95) -> MeanChange:
    """Mean difference with the one-sample t interval, mean +- t(n - 1) s / sqrt(n).

    Parameters
    ----------
    d : differences, one per pair, in scale points; missing values are refused. If all are equal the
        interval is the limit, a single point.
    level : confidence level between 0 and 1.

    Raises
    ------
    ValueError : fewer than two values, missing values.

    References
    ----------
    Student (1908) doi:10.1093/biomet/6.1.1.

    Examples
    --------
    Student's sleep data, extra hours with the second drug over the first:

    >>> result = t_interval([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    >>> round(result.mean, 2), round(result.low, 4), round(result.high, 4)
    (1.58, 0.7001, 2.4599)
    """
    d = _numbers(d, "d", least=2)
    _z(level)
    mean, df = float(d.mean()), len(d) - 1
    sd = float(d.std(ddof=1)) if np.ptp(d) >= SAME else 0.0
    se = sd / math.sqrt(len(d))
    margin = float(stats.t.ppf((1 + level) / 2, df)) * se
    return MeanChange(mean, mean - margin, mean + margin, sd, se, df, level)


# ---------------------------------------------------------------- standardised

def hedges_j(df: float) -> float:
    """Small-sample factor of a standardised mean difference, exact.

    J = gamma(df / 2) / (sqrt(df / 2) gamma((df - 1) / 2)); 1 - 3 / (4 df - 1) approximates it.

    Parameters
    ----------
    df : degrees of freedom of the standard deviation, above 1.

    Raises
    ------
    ValueError : df of 1 or less, where the expectation does not exist.

    References
    ----------
    Hedges (1981) doi:10.3102/10769986006002107.

    Examples
    --------
    >>> round(hedges_j(11), 3)
    0.93
    """
    if not df > 1:
        raise ValueError(f"the small-sample factor needs more than 1 degree of freedom, not {df!r}")
    return math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2) - math.log(df / 2) / 2)


def _corrected(value: float, low: float, high: float, se: float | None, df: int, correct: bool,
               level: float) -> StandardisedDifference:
    j = hedges_j(df)
    by = j if correct else 1.0
    return StandardisedDifference(by * value, by * low, by * high, None if se is None else by * se, j,
                                  correct, level)


def d_av(pre, post, *, correct: bool = False, level: float = 0.95) -> StandardisedDifference:
    """Mean change in units of the average of both waves' variances, with Bonett's interval.

    d = mean(post - pre) / s, s^2 = (s1^2 + s2^2) / 2, and with m = n - 1
    se^2 = d^2 (s1^4 + s2^4 + 2 r^2 s1^2 s2^2) / (8 m s^4) + s_d^2 / (m s^2); interval d +- z se.
    It does not assume equal variances.

    Parameters
    ----------
    pre, post : both waves' scores, one value per pair (or person); missing values are refused.
    correct : multiply value, interval and se by Hedges' J(n - 1).
    level : confidence level between 0 and 1.

    Raises
    ------
    ValueError : fewer than three pairs, unequal lengths, missing values, no variation at either wave.

    References
    ----------
    Bonett (2008) doi:10.1037/1082-989X.13.2.99.

    Examples
    --------
    >>> result = d_av([1, 2, 3, 4, 5], [2, 2, 4, 5, 6])
    >>> round(result.value, 4), round(result.se, 4)
    (0.4739, 0.2118)
    """
    pre, post = _waves(pre, post, least=3)
    z, change, df = _z(level), post - pre, len(pre) - 1
    (v1, cov), (_, v2) = np.cov(pre, post)
    average = (v1 + v2) / 2
    if average < SAME**2:
        raise ValueError(f"pre and post do not vary over {len(pre)} pairs: report the change in scale points")
    value = float(change.mean() / math.sqrt(average))
    se = math.sqrt(value**2 * (v1**2 + v2**2 + 2 * cov**2) / (8 * df * average**2)
                   + max(v1 + v2 - 2 * cov, 0.0) / (df * average))
    return _corrected(value, value - z * se, value + z * se, se, df, correct, level)


def d_z(d, *, correct: bool = False, level: float = 0.95) -> StandardisedDifference:
    """Mean change in units of the standard deviation of the changes, with the non-central t interval.

    d_z = mean(d) / s_d = t / sqrt(n). The ends are the non-centralities at which the observed t is the upper
    and the lower (1 - level) / 2 quantile of t(n - 1), divided by sqrt(n). No standard error is given:
    the interval is not symmetric.

    Parameters
    ----------
    d : differences, one per pair; missing values are refused.
    correct : multiply value and interval by Hedges' J(n - 1).
    level : confidence level between 0 and 1.

    Raises
    ------
    ValueError : fewer than three values, missing values, differences that do not vary.

    References
    ----------
    Cumming & Finch (2001) doi:10.1177/0013164401614002; Hedges (1981)
    doi:10.3102/10769986006002107.

    Examples
    --------
    Student's sleep data:

    >>> result = d_z([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    >>> round(result.value, 4), round(result.low, 4), round(result.high, 4)
    (1.2846, 0.4146, 2.118)
    """
    d = _numbers(d, "d", least=3)
    _z(level)
    n = len(d)
    value = float(d.mean()) / _spread(d, "d")
    low, high = (ncp / math.sqrt(n) for ncp in _noncentralities(value * math.sqrt(n), n - 1, level))
    return _corrected(value, low, high, None, n - 1, correct, level)


def _noncentralities(t: float, df: int, level: float) -> tuple[float, float]:
    """Non-centralities whose t distribution has the observed t as upper and lower quantile."""
    tail, step = (1 - level) / 2, 1 + abs(t)

    def end(chance, direction):
        def excess(ncp):
            return _noncentral_t(t, df, ncp) - chance
        inner, outer = t, t + direction * step
        while excess(outer) * direction > 0:
            inner, outer = outer, outer + direction * step
        while excess(inner) * direction < 0:  # the quantile can lie on the other side of t
            inner -= direction * step
        return optimize.brentq(excess, inner, outer, xtol=1e-12, rtol=1e-14)

    return end(1 - tail, -1), end(tail, 1)


def _noncentral_t(t: float, df: int, ncp: float) -> float:
    """P(T <= t); by integration over the standard deviation where scipy's series does not converge."""
    value = float(stats.nct.cdf(t, df, ncp))
    if math.isfinite(value):
        return value
    spread = stats.chi(df, scale=1 / math.sqrt(df))
    low, high = spread.ppf(1e-16), spread.isf(1e-16)
    step = float(np.clip(ncp / t if t else low, low, high))
    return float(integrate.quad(lambda s: special.ndtr(t * s - ncp) * spread.pdf(s), low, high,
                                points=[step], epsabs=1e-14, limit=200)[0])


def d_rm(pre, post, *, correct: bool = False, level: float = 0.95) -> StandardisedDifference:
    """Repeated-measures d: d_z rescaled by the correlation of the waves to the raw-score scale.

    d = mean(d) / s_d * sqrt(2 (1 - r)); se^2 = (1/n + d^2 / (2 n)) 2 (1 - r); interval d +- z se. It equals
    d_av when both waves have the same variance.

    Parameters
    ----------
    pre, post : both waves' scores, one value per pair (or person); missing values are refused.
    correct : multiply value, interval and se by Hedges' J(n - 1).
    level : confidence level between 0 and 1.

    Raises
    ------
    ValueError : fewer than three pairs, unequal lengths, missing values, no variation of pre, post or
        of their difference.

    References
    ----------
    Morris & DeShon (2002) doi:10.1037/1082-989X.7.1.105; Borenstein (2009) in Cooper, Hedges &
    Valentine, The Handbook of Research Synthesis, 2nd ed., chapter 12; Lakens (2013)
    doi:10.3389/fpsyg.2013.00863.

    Examples
    --------
    >>> result = d_rm([1, 2, 3, 4, 5], [2, 2, 4, 5, 6])
    >>> round(result.value, 4), round(result.se, 4)
    (0.4213, 0.1099)
    """
    pre, post = _waves(pre, post, least=3)
    z, n = _z(level), len(pre)
    r = _correlation(pre, post)
    scale = 2 * (1 - r)
    value = float((post - pre).mean()) / _spread(post - pre, "post - pre") * math.sqrt(scale)
    se = math.sqrt((1 / n + value**2 / (2 * n)) * scale)
    return _corrected(value, value - z * se, value + z * se, se, n - 1, correct, level)


def _correlation(pre: np.ndarray, post: np.ndarray) -> float:
    _spread(pre, "pre")
    _spread(post, "post")
    return float(np.clip(np.corrcoef(pre, post)[0, 1], -1, 1))


def smcr(pre, post, *, correct: bool = True, level: float = 0.95) -> StandardisedDifference:
    """Standardised mean change with raw-score standardisation: mean change in units of the pre SD.

    g = J(n - 1) mean(post - pre) / s1, se^2 = 2 (1 - r) / n + g^2 / (2 n), interval g +- z se: what
    metafor's `escalc(measure = "SMCR")` gives.

    Parameters
    ----------
    pre, post : both waves' scores, one value per pair (or person); missing values are refused.
    correct : apply J (the default of metafor); without it g is replaced by the raw ratio everywhere.
    level : confidence level between 0 and 1.

    Raises
    ------
    ValueError : fewer than three pairs, unequal lengths, missing values, no variation.

    References
    ----------
    Becker (1988) doi:10.1111/j.2044-8317.1988.tb00901.x.

    Examples
    --------
    >>> result = smcr([1, 2, 3, 4, 5], [2, 2, 4, 5, 6])
    >>> round(result.value, 4), round(result.se, 4)
    (0.4037, 0.1655)
    """
    pre, post = _waves(pre, post, least=3)
    z, n = _z(level), len(pre)
    r, j = _correlation(pre, post), hedges_j(n - 1)
    value = float((post - pre).mean()) / float(pre.std(ddof=1)) * (j if correct else 1.0)
    se = math.sqrt(2 * (1 - r) / n + value**2 / (2 * n))
    return StandardisedDifference(value, value - z * se, value + z * se, se, j, correct, level)


def standardised_difference(x, y, *, correct: bool = False, level: float = 0.95) -> StandardisedDifference:
    """Difference of two independent groups' means in units of their average variance.

    d = (mean(x) - mean(y)) / s, s^2 = (sx^2 + sy^2) / 2: the balance measure for those who stayed and those
    who left, free of the groups' sizes. Bonett's interval d +- z se with
    se^2 = d^2 (sx^4 / (nx - 1) + sy^4 / (ny - 1)) / (8 s^4) + (sx^2 / (nx - 1) + sy^2 / (ny - 1)) / s^2.

    Parameters
    ----------
    x, y : the two groups' values; missing values are refused.
    correct : multiply value, interval and se by Hedges' J(nx + ny - 2).
    level : confidence level between 0 and 1.

    Raises
    ------
    ValueError : fewer than two values in a group, missing values, no variation in both groups.

    References
    ----------
    Bonett (2008) doi:10.1037/1082-989X.13.2.99; Austin (2009) doi:10.1002/sim.3697.

    Examples
    --------
    >>> result = standardised_difference([1, 2, 3], [3, 4, 5])
    >>> round(result.value, 4), round(result.se, 4)
    (-2.0, 1.2247)
    """
    x, y = _numbers(x, "x", least=2), _numbers(y, "y", least=2)
    z = _z(level)
    vx, vy, mx, my = x.var(ddof=1), y.var(ddof=1), len(x) - 1, len(y) - 1
    average = (vx + vy) / 2
    if average < SAME**2:
        raise ValueError(f"x and y do not vary ({len(x)} and {len(y)} values): "
                         "report the difference in scale points")
    value = float((x.mean() - y.mean()) / math.sqrt(average))
    se = math.sqrt(value**2 * (vx**2 / mx + vy**2 / my) / (8 * average**2) + (vx / mx + vy / my) / average)
    return _corrected(value, value - z * se, value + z * se, se, mx + my, correct, level)


# ---------------------------------------------------------------- what a person would notice

def reliable_change(pre, post, *, reliability: float, sd: float | None = None) -> ReliableChange:
    """Jacobson-Truax reliable change index: changes larger than the measurement error would produce.

    RCI = (post - pre) / (sqrt(2) SEM), SEM = sd sqrt(1 - reliability); |RCI| > 1.96 is reliable.

    Parameters
    ----------
    pre, post : scores of the same persons; missing values are refused.
    reliability : of the score, 0 to below 1; an external one (test-retest or a norm sample) rather than
        the alpha of this sample.
    sd : standard deviation of the same population as the reliability, in scale points; by default that of
        `pre`.

    Raises
    ------
    ValueError : unequal lengths, missing values, a reliability outside [0, 1), an sd that is not
        positive.

    References
    ----------
    Jacobson & Truax (1991) doi:10.1037/0022-006X.59.1.12.

    Examples
    --------
    Their example: 47.5 before and 32.5 after, sd 7.5, reliability .80, RC = 3.16 in size.

    >>> result = reliable_change([47.5], [32.5], reliability=0.80, sd=7.5)
    >>> round(result.index[0], 2), result.worsened
    (-3.16, 1)
    """
    pre, post = _waves(pre, post, least=1 if sd is not None else 2)
    spread = _spread(pre, "pre") if sd is None else _positive_sd(sd, "sd")
    sem = spread * math.sqrt(1 - _reliability(reliability))
    index = (post - pre) / (math.sqrt(2) * sem)
    bound = _z(RELIABLE)
    improved, worsened = int((index > bound).sum()), int((index < -bound).sum())
    return ReliableChange(improved, len(pre) - improved - worsened, worsened, len(pre),
                          bound * math.sqrt(2) * sem, sem, tuple(index.tolist()))


def _positive_sd(sd: float, name: str) -> float:
    if not (math.isfinite(sd) and sd > 0):
        raise ValueError(f"{name} must be a positive standard deviation in scale points, not {sd!r}")
    return float(sd)


def minimal_important_difference(sd_pre: float, *, reliability: float) -> MinimalImportantDifference:
    """Distribution-based thresholds of an important change: half the pre SD, and one SEM.

    SEM = sd_pre sqrt(1 - reliability). They are conventions, not measurements: an anchor, where one
    was asked, comes first.

    Parameters
    ----------
    sd_pre : standard deviation before the programme, in scale points.
    reliability : of the score, 0 to below 1.

    Raises
    ------
    ValueError : an sd that is not positive, a reliability outside [0, 1).

    References
    ----------
    Norman, Sloan & Wyrwich (2003) doi:10.1097/01.MLR.0000062554.74615.4C; Wyrwich, Tierney & Wolinsky
    (1999) doi:10.1016/S0895-4356(99)00071-2.

    Examples
    --------
    >>> minimal_important_difference(0.8, reliability=0.75)
    MinimalImportantDifference(half_sd=0.4, one_sem=0.4)
    """
    sd = _positive_sd(sd_pre, "sd_pre")
    return MinimalImportantDifference(0.5 * sd, sd * math.sqrt(1 - _reliability(reliability)))


def floor_ceiling(scores, *, low: float, high: float, level: float = 0.95) -> FloorCeiling:
    """Shares of persons at the lowest and at the highest score the scale allows.

    A ceiling share matters because nobody there can improve, and gaps within pairs shrink.

    Parameters
    ----------
    scores : one per person; missing values are refused.
    low, high : ends of the scale.
    level : confidence level of the Wilson intervals.

    Raises
    ------
    ValueError : empty or missing values, a score outside the scale, low not below high.

    References
    ----------
    Terwee et al. (2007) doi:10.1016/j.jclinepi.2006.03.012 (15 % at an end as the usual limit).

    Examples
    --------
    >>> result = floor_ceiling([1, 4.5, 5, 5], low=1, high=5)
    >>> result.floor.share, result.ceiling.share
    (0.25, 0.5)
    """
    scores = _numbers(scores, "scores")
    _z(level)
    if not low < high:
        raise ValueError(f"low must be below high, got {low!r} and {high!r}")
    outside = np.flatnonzero((scores < low - SAME) | (scores > high + SAME))
    if outside.size:
        raise ValueError(f"scores has {outside.size} value(s) outside {low:g} to {high:g}, the first is "
                         f"{scores[outside[0]]:g} at position {outside[0]}: check the scoring or the ends")
    n = len(scores)
    return FloorCeiling(_share(int((scores <= low + SAME).sum()), n, level),
                        _share(int((scores >= high - SAME).sum()), n, level))


# ---------------------------------------------------------------- what so few pairs can show

def smallest_p(n: int) -> float:
    """Smallest two-sided p an exact sign-flip or signed-rank test of n pairs can give: 2^(1 - n).

    Parameters
    ----------
    n : number of pairs that changed.

    Raises
    ------
    ValueError : n that is not a whole number of at least 1.

    References
    ----------
    Fisher (1935) The Design of Experiments, section 21.

    Examples
    --------
    >>> smallest_p(6)
    0.03125
    """
    return 2.0 ** (1 - _pairs(n, least=1))


def minimal_detectable_dz(n: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest true d_z a two-sided paired t test of n pairs detects with the given power.

    Solves P(|t(n - 1; d_z sqrt(n))| > critical value) = power.

    Parameters
    ----------
    n : number of pairs, at least 2.
    power : between alpha and 1.
    alpha : two-sided level of the test.

    Raises
    ------
    ValueError : fewer than two pairs, a power not between alpha and 1.

    References
    ----------
    Cohen (1988) Statistical Power Analysis for the Behavioral Sciences, 2nd ed., chapter 2.

    Examples
    --------
    >>> [round(minimal_detectable_dz(n), 2) for n in (6, 12, 20, 34)]
    [1.43, 0.89, 0.66, 0.5]
    """
    n = _pairs(n, least=2)
    if not 0 < alpha < power < 1:
        raise ValueError(f"0 < alpha < power < 1 is needed, got alpha {alpha!r} and power {power!r}")
    critical = stats.t.isf(alpha / 2, n - 1)

    def excess(dz):
        ncp = dz * math.sqrt(n)
        return 1 - _noncentral_t(critical, n - 1, ncp) + _noncentral_t(-critical, n - 1, ncp) - power

    upper = 1.0
    while excess(upper) < 0:
        upper *= 2
    return float(optimize.brentq(excess, 1e-9, upper, xtol=1e-12))


def _pairs(n: int, *, least: int) -> int:
    if not float(n).is_integer() or n < least:
        raise ValueError(f"n must be a whole number of pairs, at least {least}, not {n!r}")
    return int(n)


# ---------------------------------------------------------------- printed means

def grim(mean: str | float, n: int, *, items: int = 1, step: float = 1, decimals: int | None = None) -> Grim:
    """Could this printed mean come from n persons who answered on a scale with whole steps?

    Every attainable mean is a multiple of step / (n * items). The printed one is consistent if some
    attainable mean rounds to it, halves going either way. When n * items / step reaches 10^decimals
    every mean is attainable and the check says nothing (`informative` False).

    Parameters
    ----------
    mean : the mean as printed; a string keeps trailing zeros ("3.50").
    n : number of persons.
    items : number of items averaged into the score.
    step : distance between two neighbouring answers of an item, in points.
    decimals : decimals printed; by default counted from `mean`.

    Raises
    ------
    ValueError : a mean that is not a finite number, n, items or step not positive.

    References
    ----------
    Brown & Heathers (2017) doi:10.1177/1948550616673876.

    Examples
    --------
    Their example: 28 whole numbers cannot have the mean 5.19.

    >>> grim("5.19", 28)
    Grim(consistent=False, below=5.178571428571429, above=5.214285714285714, informative=True)
    """
    text = str(mean).strip()
    try:
        printed = Fraction(text)
    except ValueError:
        raise ValueError(f"mean must be a printed decimal number, not {mean!r}") from None
    if decimals is None:
        decimals = len(text.partition(".")[2])
    if "/" in text or "e" in text.lower() or decimals < 0:
        raise ValueError(f"mean must be a printed decimal number with 0 or more decimals, not {mean!r}")
    exact_step = Fraction(str(step))
    if exact_step <= 0:
        raise ValueError(f"step must be positive, not {step!r}")
    grain = exact_step / (_pairs(n, least=1) * _pairs(items, least=1))
    half = Fraction(1, 2 * 10**decimals)
    below, above = math.floor(printed / grain), math.ceil(printed / grain)
    consistent = printed - below * grain <= half or above * grain - printed <= half
    return Grim(consistent, float(below * grain), float(above * grain), grain > 2 * half)
