"""Least squares with CR2 cluster-robust inference; actor-partner models and dose slopes built on it.

CR2 (bias-reduced linearisation) is unbiased when the errors are independent with equal variance, and its t
and F tests take Satterthwaite degrees of freedom under that working model.  Every quantity is a sum over
clusters or a product of such sums, so the cost is linear in the number of clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import linalg, stats

__all__ = [
    "ActorPartner", "RobustFit", "RobustTest", "WaldTest", "actor_partner", "coefficients", "dose_slope",
    "ols_cr2", "robust_test", "wald_htz",
]

RANK_TOLERANCE = 1e-9   # a column whose part outside the earlier ones is smaller, relatively, is aliased
COLUMNS = ("estimate", "se", "df", "t", "p", "low", "high")
FULL_LEVERAGE = 1e-10   # eigenvalue of I - H below which a direction of a cluster is fitted exactly


@dataclass(frozen=True)
class _Batch:
    """Clusters of equal size: orthonormal rows q and adjusted rows A q (m, n, p), level and rows in it."""

    q: np.ndarray
    loaded: np.ndarray
    level: np.ndarray
    level_rows: np.ndarray


@dataclass(frozen=True)
class RobustFit:
    """Least squares with a CR2 covariance.

    Attributes
    ----------
    names, beta : column names and coefficients of X
    vcov : CR2 covariance matrix of beta
    n, clusters, rank : rows, clusters, number of fixed effects (absorbed levels included)
    residual_variance : sum of squared residuals / (n - rank), squared units of y
    """

    names: tuple[str, ...]
    beta: np.ndarray
    vcov: np.ndarray
    n: int
    clusters: int
    rank: int
    residual_variance: float
    _r: np.ndarray
    _batches: tuple[_Batch, ...]
    _levels: int


@dataclass(frozen=True)
class RobustTest:
    """One contrast: estimate, standard error, degrees of freedom, t, two-sided p and interval."""

    estimate: float
    se: float
    df: float
    t: float
    p: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class WaldTest:
    """Approximate Hotelling T-squared (HTZ) test of several contrasts at once."""

    f: float
    df1: int
    df2: float
    p: float


@dataclass(frozen=True)
class ActorPartner:
    """Two actor-partner equations.

    Attributes
    ----------
    effects : equation (whose outcome), term (actor, partner), estimate, se, df, t, p, low, high
    ratios : equation, k = partner / actor, se, df, low, high (delta method), fieller_low, fieller_high
    n : number of pairs
    errors : "classical" or "cr2"
    level : confidence level
    """

    effects: pd.DataFrame
    ratios: pd.DataFrame
    n: int
    errors: str
    level: float


def ols_cr2(X: ArrayLike, y: ArrayLike, *, cluster: ArrayLike, absorb: ArrayLike | None = None,
            names: Sequence[str] | None = None) -> RobustFit:
    """Ordinary least squares with the CR2 cluster-robust covariance of Bell and McCaffrey.

    Estimand: the coefficients b of the best linear prediction y = X b.  V = B (sum_i X_i' A_i e_i e_i' A_i
    X_i) B with B = (X'X)^-1 and A_i = (I - H_ii)^(-1/2), the symmetric root; directions that a cluster fits
    exactly (leverage 1) get the weight 0.

    Parameters
    ----------
    X : (n, p) design matrix of full column rank; without an intercept where `absorb` is given.
    y : (n,) outcome.
    cluster : (n,) labels of the independent units (pairs).
    absorb : (n,) labels of a fixed factor in which the clusters are nested (cohorts): the same result as one
        column for each level, without the columns.
    names : column names of X (default x1, x2, ...).

    Returns
    -------
    RobustFit

    Raises
    ------
    ValueError
        For missing values, fewer than two clusters, aliased columns and exact fits.

    References
    ----------
    Bell & McCaffrey (2002) Survey Methodology 28(2), 169-181; Pustejovsky & Tipton (2018)
    doi:10.1080/07350015.2016.1247004.

    Examples
    --------
    The mean of five independent values: CR2 is the usual variance, with n - 1 degrees of freedom.

    >>> fit = ols_cr2([[1.0]] * 5, [1.0, 2.0, 4.0, 3.0, 5.0], cluster=[1, 2, 3, 4, 5])
    >>> test = robust_test(fit, [1])
    >>> round(test.estimate, 6), round(test.se, 6), round(test.df, 6)
    (3.0, 0.707107, 4.0)
    """
    X, y = _numeric(X, y)
    n, width = X.shape
    names = tuple(f"x{j + 1}" for j in range(width)) if names is None else tuple(str(name) for name in names)
    if len(names) != width:
        raise ValueError(f"{len(names)} names for {width} columns of X")
    unit = _codes(cluster, n, "cluster")
    clusters = int(unit.max()) + 1
    if clusters < 2:
        raise ValueError("one cluster only; cluster-robust errors need two or more")
    level, levels, counts = _nested_levels(absorb, unit, n)
    centred, target = _within(X, level, counts), _within(y[:, None], level, counts)[:, 0]
    q, r = np.linalg.qr(centred)
    _refuse_aliased(X, r, names)
    if n <= levels + width:
        raise ValueError(f"{n} rows for {levels + width} fixed effects leave no residual degree of freedom")
    beta = linalg.solve_triangular(r, q.T @ target)
    residual = target - q @ (q.T @ target)
    variance = float(residual @ residual) / (n - levels - width)
    if variance <= (1e-12 * max(1.0, float(np.abs(y).max()))) ** 2:
        raise ValueError("the fixed effects reproduce every value of y exactly; there is no variation left")
    meat = np.zeros((width, width))
    batches = []
    order = np.argsort(unit, kind="stable")
    sizes = np.bincount(unit)
    starts = np.r_[0, np.cumsum(sizes)[:-1]]
    for size in np.unique(sizes):
        rows = order[starts[sizes == size][:, None] + np.arange(size)]
        batch = _batch(q[rows], level[rows[:, 0]], counts)
        score = np.einsum("inp,in->ip", batch.loaded, residual[rows])
        meat += score.T @ score
        batches.append(batch)
    half = linalg.solve_triangular(r, np.eye(width))
    return RobustFit(names, beta, half @ meat @ half.T, n, clusters, levels + width, variance, r,
                     tuple(batches), levels)


def robust_test(fit: RobustFit, row: ArrayLike, *, level: float = 0.95) -> RobustTest:
    """Contrast of the coefficients with CR2 standard error and Satterthwaite t interval.

    df = (sum_i P_ii)^2 / sum_ij P_ij^2, P_ij the covariance of the clusters' contributions under independent
    errors with equal variance.

    Parameters
    ----------
    fit : RobustFit
    row : (p,) weights of the coefficients.
    level : confidence level.

    References
    ----------
    Bell & McCaffrey (2002) Survey Methodology 28(2), 169-181.

    Examples
    --------
    >>> X = [[1, 0], [1, 1], [1, 2], [1, 3], [1, 4], [1, 5]]
    >>> fit = ols_cr2(X, [1.0, 2.0, 2.0, 4.0, 4.0, 7.0], cluster=[1, 2, 3, 4, 5, 6])
    >>> test = robust_test(fit, [0, 1])
    >>> round(test.estimate, 4), round(test.df, 4)
    (1.0857, 2.4134)
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    rows = _rows(fit, row)
    if len(rows) != 1:
        raise ValueError(f"a contrast is one row of weights, got {len(rows)}; test several at once with "
                         "wald_htz")
    estimate = float(rows[0] @ fit.beta)
    se = float(rows[0] @ fit.vcov @ rows[0]) ** 0.5
    if not se > 0:
        raise ValueError("the robust standard error of this contrast is zero: it rests on clusters that the "
                         "model fits exactly; use a model with fewer cluster-level terms")
    df = 2 / float(_contribution_variances(fit, rows)[0, 0])
    return RobustTest(*_t_line(estimate, se, df, level), level)


def coefficients(fit: RobustFit, *, level: float = 0.95) -> pd.DataFrame:
    """One line for each coefficient: term, estimate, se, df, t, p, low, high.

    Examples
    --------
    >>> fit = ols_cr2([[1.0]] * 5, [1.0, 2.0, 4.0, 3.0, 5.0], cluster=[1, 2, 3, 4, 5], names=["mean"])
    >>> coefficients(fit).round(3)[["term", "estimate", "low", "high"]]
       term  estimate    low   high
    0  mean       3.0  1.037  4.963
    """
    tests = [robust_test(fit, row, level=level) for row in np.eye(len(fit.beta))]
    table = {name: [getattr(test, name) for test in tests] for name in COLUMNS}
    return pd.DataFrame({"term": fit.names, **table})


def wald_htz(fit: RobustFit, rows: ArrayLike) -> WaldTest:
    """Test that several contrasts are all zero: approximate Hotelling T-squared, HTZ degrees of freedom.

    Q is the Wald statistic on CR2; with eta = q(q + 1) / sum_st Var(d_st), d the CR2 matrix scaled to mean
    identity, F = (eta - q + 1) / (eta q) Q has q and eta - q + 1 degrees of freedom.

    Parameters
    ----------
    fit : RobustFit
    rows : (q, p) weights, linearly independent.

    Raises
    ------
    ValueError
        For dependent rows, or too few clusters for q contrasts.

    References
    ----------
    Tipton & Pustejovsky (2015) doi:10.3102/1076998615606099.

    Examples
    --------
    >>> X = [[1, 0], [1, 1], [1, 2], [1, 3], [1, 4], [1, 5]]
    >>> fit = ols_cr2(X, [1.0, 2.0, 2.0, 4.0, 4.0, 7.0], cluster=[1, 2, 3, 4, 5, 6])
    >>> one = wald_htz(fit, [[0, 1]])
    >>> round(one.f, 4), round(robust_test(fit, [0, 1]).t ** 2, 4), round(one.df2, 4)
    (20.9431, 20.9431, 2.4134)
    """
    rows = _rows(fit, rows)
    q = len(rows)
    if np.linalg.matrix_rank(rows) < q:
        raise ValueError(f"the {q} rows of weights are linearly dependent; leave out the redundant ones")
    eta = q * (q + 1) / float(_contribution_variances(fit, rows).sum())
    df2 = eta - q + 1
    if df2 <= 0:
        raise ValueError(f"{fit.clusters} clusters are too few to test {q} contrasts at once (HTZ degrees of "
                         f"freedom {df2:.2f}); test them one by one")
    value = rows @ fit.beta
    wald = float(value @ np.linalg.solve(rows @ fit.vcov @ rows.T, value))
    f = df2 / (eta * q) * wald
    return WaldTest(f, q, df2, float(stats.f.sf(f, q, df2)))


def dose_slope(dose: ArrayLike, change: ArrayLike, *, cohort: ArrayLike | None = None,
               cluster: ArrayLike | None = None, level: float = 0.95) -> RobustTest:
    """Slope of the change on the dose within cohorts, with CR2 and Satterthwaite degrees of freedom.

    Estimand: difference in mean change (points) for one unit of dose, cohorts held fixed.  Exploratory: dose
    is not assigned.

    Parameters
    ----------
    dose : (n,) amount received, for example meetings of a pair.
    change : (n,) change of the same pair.
    cohort : (n,) labels, one level each; default one cohort.
    cluster : (n,) labels of independent units; default every row.
    level : confidence level.

    Raises
    ------
    ValueError
        For missing values, and where the dose does not vary within cohorts.

    References
    ----------
    Bell & McCaffrey (2002) Survey Methodology 28(2), 169-181.

    Examples
    --------
    >>> test = dose_slope([0, 1, 2, 3, 4, 5], [1.0, 2.0, 2.0, 4.0, 4.0, 7.0])
    >>> round(test.estimate, 4), round(test.df, 4)
    (1.0857, 2.4134)
    """
    dose, change = np.asarray(dose, dtype=float), np.asarray(change, dtype=float)
    if dose.ndim != 1 or dose.shape != change.shape:
        raise ValueError(f"dose and change must be vectors of one length, got {dose.shape} and "
                         f"{change.shape}")
    absorb = np.zeros(len(dose), dtype=int) if cohort is None else cohort
    unit = np.arange(len(dose)) if cluster is None else cluster
    fit = ols_cr2(dose[:, None], change, cluster=unit, absorb=absorb, names=["dose"])
    return robust_test(fit, [1.0], level=level)


def actor_partner(predictors: ArrayLike, outcomes: ArrayLike, *, cohort: ArrayLike | None = None,
                  roles: Sequence[str] = ("doctor", "manager"), errors: str = "classical",
                  level: float = 0.95) -> ActorPartner:
    """Actor-partner interdependence model for distinguishable pairs: a least squares equation for each role.

    Estimands: actor effect, of a member's own predictor on the own outcome, and partner effect, of the other
    member's, each given the other; k = partner / actor (0 actor only, 1 couple, -1 contrast pattern).  Over
    time the predictors are pre scores and the outcomes post scores.  Both equations have the same predictors,
    so equation-wise least squares is the full maximum likelihood estimate.

    The Fieller interval of k is the set of k for which partner - k actor is not rejected; where the actor
    effect itself is not distinguishable from 0 that set is unbounded and -inf, inf is returned.  The delta
    interval is always finite and too short in that case: read Fieller first.  Under "cr2" both take the
    degrees of freedom of the contrast partner - k actor at the estimate.

    Parameters
    ----------
    predictors : (n, 2) one line for each pair, columns in the order of `roles`.
    outcomes : (n, 2) likewise.
    cohort : (n,) labels of the pairs' cohorts, one free intercept each; default one intercept.
    roles : names of the two members.
    errors : "classical" (equal variance, n - p df), or "cr2": pairs as clusters, robust to unequal variance
        (HC2 with Satterthwaite df).
    level : confidence level.

    Returns
    -------
    ActorPartner

    Raises
    ------
    ValueError
        For missing values (leave out the whole pair), too few pairs, and predictors without variation.

    References
    ----------
    Kenny, Kashy & Cook (2006) Dyadic Data Analysis, ch. 7; Kenny & Ledermann (2010) doi:10.1037/a0019651;
    Fieller (1954) doi:10.1111/j.2517-6161.1954.tb00159.x.

    Examples
    --------
    >>> pre = [[2, 3], [3, 3], [4, 2], [3, 5], [5, 4], [1, 2]]
    >>> post = [[3, 3], [3, 4], [5, 3], [4, 5], [6, 5], [2, 2]]
    >>> actor_partner(pre, post).effects.round(3)[["equation", "term", "estimate", "df"]]
      equation     term  estimate   df
    0   doctor    actor     0.992  3.0
    1   doctor  partner     0.028  3.0
    2  manager    actor     0.764  3.0
    3  manager  partner     0.371  3.0
    """
    predictors, outcomes = np.asarray(predictors, dtype=float), np.asarray(outcomes, dtype=float)
    if predictors.ndim != 2 or predictors.shape[1] != 2 or predictors.shape != outcomes.shape:
        raise ValueError(f"predictors and outcomes must both be (n, 2), got {predictors.shape} and "
                         f"{outcomes.shape}")
    if len(roles) != 2 or roles[0] == roles[1]:
        raise ValueError(f"roles must name two different members, got {list(roles)}")
    if errors not in ("classical", "cr2"):
        raise ValueError(f"errors must be 'classical' or 'cr2', got {errors!r}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    n = len(predictors)
    absorb = np.zeros(n, dtype=int) if cohort is None else cohort
    effects, ratios = [], []
    for own, role in enumerate(roles):
        X = predictors[:, [own, 1 - own]]
        fit = ols_cr2(X, outcomes[:, own], cluster=np.arange(n), absorb=absorb, names=["actor", "partner"])
        vcov = fit.vcov if errors == "cr2" else _classical(fit)
        for index, term in enumerate(fit.names):
            df = _contrast_df(fit, np.eye(2)[index], errors)
            line = _t_line(float(fit.beta[index]), float(vcov[index, index]) ** 0.5, df, level)
            effects.append((role, term, *line))
        ratios.append((role, *_ratio(fit, vcov, errors, level)))
    columns = ["equation", "k", "se", "df", "low", "high", "fieller_low", "fieller_high"]
    return ActorPartner(pd.DataFrame(effects, columns=["equation", "term", *COLUMNS]),
                        pd.DataFrame(ratios, columns=columns), n, errors, level)


def _classical(fit: RobustFit) -> np.ndarray:
    half = linalg.solve_triangular(fit._r, np.eye(len(fit.beta)))
    return fit.residual_variance * half @ half.T


def _contrast_df(fit: RobustFit, row: np.ndarray, errors: str) -> float:
    if errors == "classical":
        return float(fit.n - fit.rank)
    return 2 / float(_contribution_variances(fit, row[None])[0, 0])


def _ratio(fit: RobustFit, vcov: np.ndarray, errors: str, level: float) -> tuple[float, ...]:
    """k = partner / actor: k, se, df, delta interval, Fieller interval."""
    actor, partner = fit.beta
    if actor == 0:
        raise ValueError("the actor effect is exactly 0, so k = partner / actor is not defined")
    k = partner / actor
    row = np.array([-k, 1.0])
    se = float(row @ vcov @ row) ** 0.5 / abs(actor)
    df = _contrast_df(fit, row, errors)
    t = float(stats.t.ppf((1 + level) / 2, df))
    a = actor**2 - t**2 * vcov[0, 0]
    b = actor * partner - t**2 * vcov[0, 1]
    c = partner**2 - t**2 * vcov[1, 1]
    if a > 0:
        root = (b**2 - a * c) ** 0.5
        fieller = ((b - root) / a, (b + root) / a)
    else:
        fieller = (-np.inf, np.inf)
    return k, se, df, k - t * se, k + t * se, *fieller


def _t_line(estimate: float, se: float, df: float, level: float) -> tuple[float, ...]:
    t = estimate / se
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    return estimate, se, df, t, float(2 * stats.t.sf(abs(t), df)), estimate - half, estimate + half


def _contribution_variances(fit: RobustFit, rows: np.ndarray) -> np.ndarray:
    """(q, q) Var(d_st) of the CR2 matrix of the contrasts, scaled to mean identity, under the working model.

    Contribution i of contrast s is g_i' e_i with Cov = P_ij = delta_ij g_i'g_j - z_i'z_j, where z_i holds the
    products of g_i with the orthonormal columns and with the absorbed levels.
    """
    weights = linalg.solve_triangular(fit._r, rows.T, trans="T")
    raw = [np.einsum("inp,pq->inq", batch.loaded, weights) for batch in fit._batches]
    omega = sum(_own_covariance(batch, g).sum(axis=0) for batch, g in zip(fit._batches, raw, strict=True))
    roots, vectors = np.linalg.eigh(omega)
    if roots[0] <= FULL_LEVERAGE * max(roots[-1], 1.0):
        raise ValueError("the robust covariance of these contrasts is singular: they rest on clusters that "
                         "the model fits exactly; use a model with fewer cluster-level terms")
    whiten = vectors @ np.diag(roots**-0.5) @ vectors.T
    q, p = len(rows), len(fit.beta)
    tt, ts = np.zeros((q, q, p, p)), np.zeros((q, q, p, fit._levels))
    ss = np.zeros((q, q, fit._levels))
    own = np.zeros((q, q))
    for batch, g in zip(fit._batches, (x @ whiten for x in raw), strict=True):
        a = np.einsum("ins,int->ist", g, g)
        t, s = _loadings(batch, g)
        z = a - _own_covariance(batch, g)
        tt += np.einsum("ips,iqt->stpq", t, t)
        if fit._levels:
            for first in range(q):
                for second in range(q):
                    np.add.at(ts[first, second].T, batch.level, t[:, :, first] * s[:, None, second])
                    np.add.at(ss[first, second], batch.level, s[:, first] * s[:, second])
        size, inner = np.einsum("iss->is", a), np.einsum("iss->is", z)
        own += size.T @ size - size.T @ inner - inner.T @ size
        own += np.sum(a**2 - 2 * a * z, axis=0)
    st = ts.transpose(1, 0, 3, 2)
    square = (tt**2).sum((2, 3)) + (ts**2).sum((2, 3)) + (st**2).sum((2, 3)) + (ss**2).sum(2)
    crossed = (np.einsum("stpq,stqp->st", tt, tt) + 2 * np.einsum("stpc,stcp->st", ts, st) + (ss**2).sum(2))
    return own + square + crossed


def _loadings(batch: _Batch, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Products of g with the columns (m, p, q), and with the absorbed level (m, q)."""
    s = g.sum(axis=1) / np.sqrt(batch.level_rows)[:, None]
    return np.einsum("inp,inq->ipq", batch.q, g), s


def _own_covariance(batch: _Batch, g: np.ndarray) -> np.ndarray:
    """(m, q, q) P_ii of each cluster."""
    t, s = _loadings(batch, g)
    return np.einsum("ins,int->ist", g, g) - np.einsum("ips,ipt->ist", t, t) - np.einsum("is,it->ist", s, s)


def _batch(q: np.ndarray, level: np.ndarray, counts: np.ndarray) -> _Batch:
    size = q.shape[1]
    level_rows = counts[level] if len(counts) else np.full(len(q), np.inf)
    leverage = np.einsum("inp,imp->inm", q, q) + (1 / level_rows)[:, None, None]
    roots, vectors = np.linalg.eigh(np.eye(size) - leverage)
    inverse = np.where(roots > FULL_LEVERAGE, np.maximum(roots, FULL_LEVERAGE) ** -0.5, 0.0)
    loaded = np.einsum("inm,im,ikm,ikp->inp", vectors, inverse, vectors, q, optimize=True)
    return _Batch(q, loaded, level, level_rows)


def _within(values: np.ndarray, level: np.ndarray, counts: np.ndarray) -> np.ndarray:
    if not len(counts):
        return values
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, level, values)
    return values - (sums / counts[:, None])[level]


def _nested_levels(absorb: ArrayLike | None, unit: np.ndarray, n: int) -> tuple[np.ndarray, int, np.ndarray]:
    """Level of each row, number of levels, rows in each."""
    if absorb is None:
        return np.zeros(n, dtype=int), 0, np.zeros(0)
    level = _codes(absorb, n, "absorb")
    holder = np.full(unit.max() + 1, -1)
    holder[unit] = level
    if (holder[unit] != level).any():
        row = int(np.argmax(holder[unit] != level))
        raise ValueError(f"the cluster of row {row} lies in several absorbed levels; clusters must be nested "
                         "in them")
    counts = np.bincount(level).astype(float)
    return level, len(counts), counts


def _numeric(X: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if X.ndim != 2 or y.ndim != 1 or len(X) != len(y):
        raise ValueError(f"X must be (n, p) and y (n,), got {X.shape} and {y.shape}")
    for name, bad in (("y", ~np.isfinite(y)), ("X", ~np.isfinite(X).all(axis=1))):
        if bad.any():
            raise ValueError(f"{int(bad.sum())} rows of {name} are missing or not finite, first row "
                             f"{int(np.argmax(bad))}; leave those rows out")
    return X, y


def _codes(labels: ArrayLike, n: int, name: str) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise ValueError(f"labels of {name} must have shape ({n},), got {labels.shape}")
    missing = pd.isna(labels)
    if missing.any():
        raise ValueError(f"{int(missing.sum())} labels of {name} are missing, first row "
                         f"{int(np.argmax(missing))}; give every row a label")
    return pd.factorize(labels, sort=True)[0]


def _refuse_aliased(X: np.ndarray, r: np.ndarray, names: tuple[str, ...]) -> None:
    norms = np.linalg.norm(X, axis=0)
    aliased = np.abs(np.diag(r)) <= RANK_TOLERANCE * np.where(norms > 0, norms, 1.0)
    if len(r) < X.shape[1] or aliased.any():
        culprit = names[int(np.argmax(aliased))] if aliased.any() else names[-1]
        raise ValueError(f"the design matrix is not of full rank: {culprit!r} does not vary, or is a linear "
                         "combination of other columns; leave it out")


def _rows(fit: RobustFit, rows: ArrayLike) -> np.ndarray:
    rows = np.atleast_2d(np.asarray(rows, dtype=float))
    if rows.ndim != 2 or rows.shape[1] != len(fit.beta) or not np.isfinite(rows).all():
        raise ValueError(f"weights must be finite with {len(fit.beta)} columns (see fit.names), got "
                         f"{rows.shape}")
    if (rows == 0).all(axis=1).any():
        raise ValueError(f"row {int(np.argmax((rows == 0).all(axis=1)))} of the weights is all zero")
    return rows
