"""Agreement between coders of interview segments: percent, kappa, Krippendorff's alpha, Gwet's AC1 and AC2.

Every function takes `ratings`, a units x coders table of category codes (None or NaN where a coder gave no
code). A theme that no coder ever varied on has no chance-corrected agreement: its coefficients come back with
`defined=False`, a reason and the value None, never 1.
"""
from dataclasses import dataclass
import math

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

WEIGHTS = ("identity", "linear", "quadratic")
METRICS = ("nominal", "ordinal", "interval")


@dataclass(frozen=True)
class Coefficient:
    """One agreement coefficient; value and interval are None where not defined, and `reason` says why."""

    value: float | None
    se: float | None
    low: float | None
    high: float | None
    n: int
    defined: bool
    reason: str | None


@dataclass(frozen=True)
class Kappa(Coefficient):
    """Cohen's kappa: `se` is for the interval, `se_null` for the test of kappa = 0 (`z`, two-sided `p`)."""

    se_null: float | None
    z: float | None
    p: float | None


@dataclass(frozen=True)
class Agreement:
    """What is reported for one theme: kappa and AC1 side by side, with percent agreement and alpha."""

    percent: float
    unanimous: float
    kappa: Kappa
    alpha: Coefficient
    ac: Coefficient
    n: int
    coders: int
    missing: int
    weights: str
    level: float


def percent_agreement(ratings, *, categories):
    """Share of coder pairs that gave the same code, averaged over units (between 0 and 1).

    With two coders this is the plain share of units coded alike. A unit counts when at least two coders coded
    it; units with fewer codes are left out.

    Parameters
    ----------
    ratings : (units, coders) table of codes; None or NaN for a missing code.
    categories : every category a coder could choose, used or not.

    Raises
    ------
    ValueError
        An undeclared category; fewer than two coders; a coder without any code; no unit coded twice.

    References
    ----------
    Gwet 2014, Handbook of Inter-Rater Reliability, 4th ed., chapter 2.

    Examples
    --------
    >>> percent_agreement([[1, 1], [0, 0], [1, 0], [0, 0]], categories=[0, 1])
    0.75
    """
    counts = _counts(_codes(ratings, categories), len(categories))
    return float(_pair_agreement(counts, np.eye(len(categories))).mean())


def cohen_kappa(ratings, *, categories, weights="identity", level=0.95):
    """Cohen's kappa of two coders, plain or weighted, with the large-sample standard errors.

    Estimand: (observed - chance) / (1 - chance) agreement, chance from each coder's own marginal shares.
    Weights give partial credit by the distance between positions in `categories` (equal steps, k categories):
    linear 1 - |i - j| / (k - 1), quadratic 1 - (i - j)^2 / (k - 1)^2. Kappa collapses when one category is
    rare (two coders agreeing on 94 of 100 segments can have kappa .37): report Gwet's AC1 beside it, see
    `agree`.

    Parameters
    ----------
    ratings : (units, 2) table of codes; missing codes raise, `krippendorff_alpha` and `gwet_ac` take them.
    categories : every category a coder could choose, used or not; in order when `weights` is not identity.
    weights : "identity", "linear" or "quadratic".
    level : coverage of the normal-theory interval, which is cut at -1 and 1.

    Returns
    -------
    Kappa
        Not defined when both coders used one and the same category throughout; 0 without a standard error,
        with the reason, when only one of them did not vary. With complete agreement the standard error is 0
        by its formula, which understates the uncertainty of a small sample.

    Raises
    ------
    ValueError
        Not two coders; missing codes; undeclared categories; a coder without any code.

    References
    ----------
    Cohen 1960, doi:10.1177/001316446002000104. Cohen 1968, doi:10.1037/h0026256.
    Fleiss, Cohen & Everitt 1969, doi:10.1037/h0028106.

    Examples
    --------
    >>> segments = [[1, 1]] * 2 + [[1, 0]] * 3 + [[0, 1]] * 3 + [[0, 0]] * 92
    >>> round(cohen_kappa(segments, categories=[0, 1]).value, 2)
    0.37
    """
    _check_options(weights, level)
    codes = _codes(ratings, categories)
    if codes.shape[1] != 2:
        raise ValueError(f"Cohen's kappa compares two coders, {codes.shape[1]} given; use "
                         "krippendorff_alpha or gwet_ac, or two columns at a time")
    blank = np.argwhere(codes < 0)
    if len(blank):
        raise ValueError(f"{len(blank)} missing code(s), first for coder {blank[0][1]} at unit "
                         f"{blank[0][0]}; kappa needs every unit coded by both: use krippendorff_alpha or "
                         "gwet_ac")
    return _kappa(codes, categories, weights, level)


def krippendorff_alpha(ratings, *, categories, metric="nominal"):
    """Krippendorff's alpha: any number of coders, missing codes allowed.

    Estimand: 1 - observed / expected disagreement.
    Observed disagreement is averaged over pairs of codes within units, each unit weighted by its number of
    codes; expected disagreement over all pairs of codes in the data. The squared difference of two categories
    is 1 (nominal); the squared number of codes lying between them, each end counted half (ordinal); or the
    squared difference of their values (interval). No standard error is given: its usual bootstrap is not
    trustworthy with the few segments of a double-coded sample.

    Parameters
    ----------
    ratings : (units, coders) table of codes; None or NaN for a missing code. Units coded once carry no
        information on agreement and are left out, as the definition says.
    categories : every category a coder could choose; in order for "ordinal", numbers for "interval".
    metric : "nominal", "ordinal" or "interval".

    Returns
    -------
    Coefficient
        `n` is the number of units with two or more codes; not defined when all their codes are the same.

    Raises
    ------
    ValueError
        Undeclared categories; fewer than two coders; a coder without any code; no unit coded twice; interval
        metric with categories that are not numbers.

    References
    ----------
    Krippendorff 2004, Content Analysis, 2nd ed., Sage, chapter 11.
    Hayes & Krippendorff 2007, doi:10.1080/19312450709336664.

    Examples
    --------
    >>> segments = [[1, 1], [0, 0], [1, 0], [0, 0], [1, None]]
    >>> round(krippendorff_alpha(segments, categories=[0, 1]).value, 3)
    0.533
    """
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; choose one of {', '.join(METRICS)}")
    counts = _counts(_codes(ratings, categories), len(categories))
    counts = counts[counts.sum(axis=1) > 1]
    total = counts.sum(axis=0)
    n = len(counts)
    if (total > 0).sum() < 2:
        return Coefficient(None, None, None, None, n, False, _no_variation(categories, total))
    difference = _difference(total, categories, metric)
    within = (counts * (counts @ difference)).sum(axis=1) / (counts.sum(axis=1) - 1)
    expected = total @ difference @ total / (total.sum() - 1)
    return Coefficient(float(1 - within.sum() / expected), None, None, None, n, True, None)


def gwet_ac(ratings, *, categories, weights="identity", level=0.95):
    """Gwet's AC1 (identity weights) or AC2 (linear, quadratic), any number of coders, missing codes allowed.

    Estimand: (observed - chance) / (1 - chance) agreement, where chance agreement supposes that only hard
    units are coded at random: sum of weights / (q (q - 1)) * sum p (1 - p), p the mean share of each of the
    q categories. It stays stable when a category is rare, where kappa collapses. Standard error: Gwet's
    linearised variance with divisor n (n - 1), units a sample from a large set; interval with t on n - 1
    degrees of freedom, cut at -1 and 1. Partial credit as in `cohen_kappa`.

    Parameters
    ----------
    ratings : (units, coders) table of codes; None or NaN for a missing code. Units coded once count for the
        shares p, units never coded are left out.
    categories : every category a coder could choose, used or not: q enters the coefficient.
    weights : "identity" (AC1), "linear" or "quadratic" (AC2).
    level : coverage of the interval.

    Returns
    -------
    Coefficient
        `n` is the number of units with at least one code. Not defined when every code is the same category:
        the formula would give 1 for a theme nobody ever used. The standard error is None with one unit.

    Raises
    ------
    ValueError
        Undeclared categories; fewer than two coders; a coder without any code; no unit coded twice.

    References
    ----------
    Gwet 2008, doi:10.1348/000711006X126600. Gwet 2014, Handbook of Inter-Rater Reliability, 4th ed.

    Examples
    --------
    >>> segments = [[1, 1]] * 2 + [[1, 0]] * 3 + [[0, 1]] * 3 + [[0, 0]] * 92
    >>> ac1 = gwet_ac(segments, categories=[0, 1])
    >>> round(ac1.value, 2), round(ac1.low, 2), round(ac1.high, 2)
    (0.93, 0.88, 0.99)
    """
    _check_options(weights, level)
    counts = _counts(_codes(ratings, categories), len(categories))
    counts = counts[counts.sum(axis=1) > 0]
    n, q = counts.shape
    if (counts.sum(axis=0) > 0).sum() < 2:
        return Coefficient(None, None, None, None, n, False, _no_variation(categories, counts.sum(axis=0)))
    credit = _credit(q, weights)
    per_unit = counts.sum(axis=1)
    paired = per_unit > 1
    share = (counts / per_unit[:, None]).mean(axis=0)
    scale = credit.sum() / (q * (q - 1))
    chance = scale * (share * (1 - share)).sum()
    observed = np.zeros(n)
    observed[paired] = _pair_agreement(counts, credit)
    value = (observed.sum() / paired.sum() - chance) / (1 - chance)
    if n == 1:
        return Coefficient(float(value), None, None, None, n, True, "one unit: no standard error")
    unit_value = n / paired.sum() * (observed - chance * paired) / (1 - chance)
    unit_chance = scale * (counts @ (1 - share)) / per_unit
    linearised = unit_value - 2 * (1 - value) * (unit_chance - chance) / (1 - chance)
    se = math.sqrt(((linearised - value) ** 2).sum() / (n * (n - 1)))
    half = stats.t.isf((1 - level) / 2, n - 1) * se
    low, high = float(max(-1, value - half)), float(min(1, value + half))
    return Coefficient(float(value), se, low, high, n, True, None)


def agree(ratings, *, categories, weights="identity", level=0.95):
    """Everything to report on the coders' agreement about one theme, kappa and AC1 always together.

    Parameters
    ----------
    ratings : (units, coders) table of codes; None or NaN for a missing code.
    categories : every category a coder could choose, used or not; in order unless `weights` is identity.
    weights : "identity" for themes (kappa, AC1, nominal alpha); "linear" or "quadratic" for ordered codes
        (weighted kappa, AC2, ordinal alpha).
    level : coverage of the intervals of kappa and AC1 or AC2.

    Returns
    -------
    Agreement
        `percent` as in `percent_agreement`; `unanimous` is the share of units coded alike by all who coded
        them; `missing` counts missing codes. Kappa is not defined, with its reason, for three or more coders
        and when codes are missing; kappa, alpha and AC are not defined for a theme without variation.

    Raises
    ------
    ValueError
        Undeclared categories; fewer than two coders; a coder without any code; no unit coded twice.

    Examples
    --------
    >>> segments = [[1, 1]] * 2 + [[1, 0]] * 3 + [[0, 1]] * 3 + [[0, 0]] * 92
    >>> theme = agree(segments, categories=[0, 1])
    >>> theme.percent, round(theme.kappa.value, 2), round(theme.ac.value, 2)
    (0.94, 0.37, 0.93)
    >>> agree([[0, 0]] * 10, categories=[0, 1]).kappa.reason
    'all codes are 0: without variation there is no agreement beyond chance to measure'
    """
    _check_options(weights, level)
    codes = _codes(ratings, categories)
    counts = _counts(codes, len(categories))
    twice = counts[counts.sum(axis=1) > 1]
    missing = int((codes < 0).sum())
    return Agreement(
        percent=float(_pair_agreement(counts, np.eye(len(categories))).mean()),
        unanimous=float(((twice > 0).sum(axis=1) == 1).mean()),
        kappa=_kappa_or_reason(codes, missing, categories, weights, level),
        alpha=krippendorff_alpha(ratings, categories=categories,
                                 metric="nominal" if weights == "identity" else "ordinal"),
        ac=gwet_ac(ratings, categories=categories, weights=weights, level=level),
        n=len(codes), coders=codes.shape[1], missing=missing, weights=weights, level=level)


def _check_options(weights, level):
    if weights not in WEIGHTS:
        raise ValueError(f"weights is {weights!r}; choose one of {', '.join(WEIGHTS)}")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie strictly between 0 and 1, for example 0.95")


def _codes(ratings, categories):
    """Positions of the codes in `categories`, -1 where missing; refuses what it cannot mean."""
    position = {category: i for i, category in enumerate(categories)}
    if len(position) < len(categories):
        raise ValueError("categories has a duplicate; list every category once")
    if len(position) < 2:
        raise ValueError(f"{len(position)} categories; declare all that a coder could choose, at least two, "
                         "whether or not they were used (for a theme: absent and present)")
    table = np.array(ratings, dtype=object)
    if table.ndim != 2:
        raise ValueError(f"ratings has {table.ndim} dimension(s); give a table of units (rows) by coders "
                         "(columns)")
    if table.shape[1] < 2:
        raise ValueError(f"{table.shape[1]} coder; agreement needs at least two")
    blank = pd.isna(table)
    codes = np.full(table.shape, -1)
    unknown = []
    for unit, coder in np.argwhere(~blank):
        code = position.get(table[unit, coder], -1)
        codes[unit, coder] = code
        if code < 0:
            unknown.append((unit, coder))
    if unknown:
        unit, coder = unknown[0]
        raise ValueError(f"{len(unknown)} code(s) not among the declared categories, first "
                         f"{table[unit, coder]!r} at unit {unit}, coder {coder}; correct the code or "
                         "declare it")
    silent = np.flatnonzero(blank.all(axis=0))
    if len(silent):
        raise ValueError(f"coder {silent[0]} gave no code at all; leave that coder out or supply the codes")
    if not ((codes >= 0).sum(axis=1) > 1).any():
        raise ValueError("no unit was coded by two coders, so agreement cannot be seen; double-code some "
                         "units")
    return codes


def _counts(codes, q):
    """How many coders put each unit in each of the q categories."""
    return np.stack([(codes == category).sum(axis=1) for category in range(q)], axis=1).astype(float)


def _pair_agreement(counts, credit):
    """Mean credit over the pairs of coders, for each unit coded at least twice."""
    twice = counts[counts.sum(axis=1) > 1]
    per_unit = twice.sum(axis=1)
    return (twice * (twice @ credit - 1)).sum(axis=1) / (per_unit * (per_unit - 1))


def _credit(q, weights):
    step = np.abs(np.subtract.outer(np.arange(q), np.arange(q))) / (q - 1)
    return {"identity": np.eye(q), "linear": 1 - step, "quadratic": 1 - step ** 2}[weights]


def _difference(total, categories, metric):
    """Krippendorff's squared difference between any two categories."""
    q = len(total)
    if metric == "nominal":
        return 1 - np.eye(q)
    if metric == "ordinal":
        middle = np.cumsum(total) - total / 2
        return np.subtract.outer(middle, middle) ** 2
    try:
        values = np.array(categories, dtype=float)
    except (TypeError, ValueError):
        raise ValueError("the interval metric needs categories that are numbers; use ordinal or "
                         "nominal") from None
    return np.subtract.outer(values, values) ** 2


def _no_variation(categories, total):
    used = list(categories)[int(np.argmax(total))]
    return f"all codes are {used!r}: without variation there is no agreement beyond chance to measure"


def _kappa(codes, categories, weights, level):
    """Kappa of two complete columns of codes."""
    n, q = len(codes), len(categories)
    table = np.zeros((q, q))
    np.add.at(table, (codes[:, 0], codes[:, 1]), 1)
    total = table.sum(axis=0) + table.sum(axis=1)
    if (total > 0).sum() < 2:
        return _undefined_kappa(n, _no_variation(categories, total))
    constant = [coder for coder in (0, 1) if (table.sum(axis=1 - coder) > 0).sum() == 1]
    if constant:
        reason = (f"coder {constant[0]} used a single category: kappa is then 0 whatever the other coder "
                  "did, without a standard error")
        return Kappa(0.0, None, None, None, n, True, reason, None, None, None)
    result = cohens_kappa(table, wt=None if weights == "identity" else weights)
    value, se_null = float(result.kappa), math.sqrt(result.var_kappa0)
    se = math.sqrt(max(0, result.var_kappa))
    half = float(stats.norm.isf((1 - level) / 2)) * se
    z = value / se_null
    return Kappa(value, se, max(-1.0, value - half), min(1.0, value + half), n, True, None,
                 se_null, z, float(2 * stats.norm.sf(abs(z))))


def _undefined_kappa(n, reason):
    return Kappa(None, None, None, None, n, False, reason, None, None, None)


def _kappa_or_reason(codes, missing, categories, weights, level):
    if codes.shape[1] > 2:
        return _undefined_kappa(len(codes), f"Cohen's kappa compares two coders, here are {codes.shape[1]}: "
                                            "read alpha and AC")
    if missing:
        return _undefined_kappa(len(codes), f"{missing} missing code(s): kappa needs every unit coded by "
                                            "both, read alpha and AC")
    return _kappa(codes, categories, weights, level)
