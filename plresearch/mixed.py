"""Linear mixed models by REML with Kenward-Roger and Satterthwaite inference.

The model is y = X b + e with Var(e) block-diagonal over a top-level cluster (the pair) and linear in its
parameters, V = sum_r theta_r G_r: random intercepts of groupings nested in the cluster
(`variance_components`) or one unstructured covariance over occasions (`unstructured`).  Clusters with the
same G share one small matrix V, so the data enter only through cross-products that are formed once: the cost
is linear in the rows, and each step of the optimiser does not depend on the number of clusters.  A factor
with many levels in which the clusters are nested (the cohort) can be absorbed: its effects are estimated and
may appear in contrasts, but they are never columns of a matrix.

Fits at the boundary.  A variance estimated as 0 is reported (`singular`, `boundary`).  Kenward-Roger then
keeps that component among the parameters, with its expected information at 0, as pbkrtest does; Satterthwaite
holds it at 0, as lmerTest does in effect.  The two therefore differ more in singular fits than elsewhere; the
first gives the smaller degrees of freedom as a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import linalg, stats

__all__ = [
    "ContrastTest", "FTest", "MixedFit", "ScoreModel", "changes", "cohort_by_wave", "contrast", "covariance",
    "emmeans", "estimates", "f_test", "mixed_model", "unstructured", "variance_components",
    "wave_tests",
]

METHODS = ("kenward-roger", "satterthwaite")
T_COLUMNS = ("estimate", "se", "df", "t", "p", "low", "high")
RANK_TOLERANCE = 1e-9      # a column whose part outside the earlier ones is smaller, relatively, is aliased
PERFECT_FIT = 1e-9         # residual share of the variance below which the fit is called perfect
STEP_TOLERANCE = 1e-12     # Newton stops when a step changes no parameter by more, relative to the variance
ROUNDED_STEP = 1e-18       # squared length, in standard errors, of a step that rounding alone keeps going
ROUNDING = 1e-8            # share of the variance below which a component is 0, if the likelihood agrees
IDENTIFIED = 1e-9          # smallest eigenvalue of the information, parameters in units of the variance
MAX_ITERATIONS = 200
PORTION = 64               # contrasts worked on at once
RATIOS = (0.01, 0.1, 0.5, 2.0, 20.0)   # variance of a grouping / residual variance, for starting values


# rows (m, n) of m clusters of one size -> distinct stacks (u, r, n, n) of G, and which of them each has
_Kernels = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class ContrastTest:
    """One contrast: estimate, standard error, degrees of freedom, t, two-sided p and interval."""

    estimate: float
    se: float
    df: float
    t: float
    p: float
    low: float
    high: float
    method: str
    level: float


@dataclass(frozen=True)
class FTest:
    """A test of several contrasts at once: `f` is the scaled statistic (scale is 1 for Satterthwaite)."""

    f: float
    df1: int
    df2: float
    p: float
    scale: float
    method: str


@dataclass(frozen=True)
class _Pattern:
    """The clusters that share one covariance: kernels (r, n, n), summed cross-products, sums by cohort."""

    kernels: np.ndarray
    clusters: int
    cross: np.ndarray      # (n * n, q * q), q = columns of X + 1
    absorbed: np.ndarray   # (c,) absorbed levels met in this pattern
    counts: np.ndarray     # (c,) their numbers of clusters
    sums: np.ndarray       # (c, n, q)


@dataclass(frozen=True)
class _Arrow:
    """A stack of arrow matrices [[diag(d), F], [F', H]]: d (k, c), F (k, c, p), H (k, p, p)."""

    d: np.ndarray
    f: np.ndarray
    h: np.ndarray

    def times(self, top: np.ndarray, bottom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each matrix of the stack times the columns (top, bottom)."""
        return (self.d[:, :, None] * top + self.f @ bottom,
                self.f.transpose(0, 2, 1) @ top + self.h @ bottom)


@dataclass(frozen=True)
class _State:
    """Everything known about the likelihood at theta."""

    theta: np.ndarray
    loglik: float
    gradient: np.ndarray
    expected: np.ndarray   # expected information of theta (REML)
    observed: np.ndarray   # observed information
    first: _Arrow          # X' W G_r W X
    second: _Arrow         # X' W G_r W G_s W X, symmetrised, for r <= s
    e: np.ndarray          # (c,) diagonal part of Phi = diag(e, 0) + U S U'
    u: np.ndarray          # (c, p) upper part of U; the lower part is the identity
    s: np.ndarray          # (p, p)
    top: np.ndarray        # coefficients of the absorbed levels, working parametrisation
    bottom: np.ndarray     # coefficients of the columns


@dataclass(frozen=True)
class MixedFit:
    """A REML fit.

    Attributes
    ----------
    names : names of the coefficients: absorbed levels first, then the columns of X
    beta : generalised least squares estimates, same order
    parameters, theta : names and values of the covariance parameters (variances, covariances; squared units)
    loglik : restricted log-likelihood, with the constants of lme4
    n, clusters, rank : rows, top-level clusters, number of fixed effects
    singular, boundary : whether a variance is estimated as 0, and which
    score : largest absolute component of the gradient over the free parameters, in units of the likelihood
    """

    names: tuple[str, ...]
    beta: np.ndarray
    parameters: tuple[str, ...]
    theta: np.ndarray
    loglik: float
    n: int
    clusters: int
    rank: int
    singular: bool
    boundary: tuple[str, ...]
    score: float
    _state: _State
    _means: np.ndarray
    _r: np.ndarray


def variance_components(X: ArrayLike, y: ArrayLike, *, groups: Mapping[str, ArrayLike],
                        absorb: ArrayLike | None = None, names: Sequence[str] | None = None) -> MixedFit:
    """Random-intercept model y = X b + sum_k Z_k u_k + e by REML.

    Estimands: fixed effects b, the variance of each grouping and of the residual.  The groupings must be
    nested in one of them (persons in pairs), or be the same; within that cluster they may cross.

    Parameters
    ----------
    X : (n, p) design matrix of full column rank; without an intercept where `absorb` is given.
    y : (n,) outcome.
    groups : name -> (n,) labels of each grouping, for example ``{"pair": pair, "person": person}``.
    absorb : (n,) labels of a fixed factor in which the clusters are nested; one free level each.
    names : column names of X (default x1, x2, ...).

    Returns
    -------
    MixedFit

    Raises
    ------
    ValueError
        For missing values, aliased columns, fewer than two clusters, groupings that are not nested or cannot
        be told from another or from the residual, and a residual variance of zero.

    References
    ----------
    Patterson & Thompson (1971) doi:10.1093/biomet/58.3.545; Lindstrom & Bates (1988)
    doi:10.1080/01621459.1988.10478693.

    Examples
    --------
    Three pairs, two waves: with balanced data the change has the paired t interval, n - 1 = 2 df.

    >>> import numpy as np
    >>> y = np.array([2.0, 3.0, 2.5, 4.5, 3.0, 4.5])
    >>> wave = np.tile([0.0, 1.0], 3)
    >>> fit = variance_components(np.column_stack([np.ones(6), wave]), y, groups={"pair": [1, 1, 2, 2, 3, 3]})
    >>> test = contrast(fit, [0, 1])
    >>> round(test.estimate, 6), round(test.se, 6), round(test.df, 6)
    (1.5, 0.288675, 2.0)
    """
    X, y = _numeric(X, y)
    if not groups:
        raise ValueError("no grouping given; name at least one, for example groups={'pair': labels}")
    codes = {name: _codes(labels, len(y), name)[0] for name, labels in groups.items()}
    cluster = _top_level(codes)
    parameters = ("residual", *codes)
    table = np.column_stack(list(codes.values()))

    def kernels(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        same = table[rows][:, :, None, :] == table[rows][:, None, :, :]
        unique, inverse = np.unique(same.reshape(len(rows), -1), axis=0, return_inverse=True)
        size = rows.shape[1]
        stack = unique.reshape(len(unique), size, size, -1).transpose(0, 3, 1, 2).astype(float)
        identity = np.broadcast_to(np.eye(size), (len(unique), 1, size, size))
        return np.concatenate([identity, stack], axis=1), inverse.ravel()

    order = np.lexsort((*table.T[::-1], cluster))
    problem = _Problem.build(X, y, cluster, order, kernels, absorb, names, parameters)
    problem.refuse_confounded()
    problem.refuse_unidentified(np.full(len(parameters), problem.variance / len(parameters)))
    states = [_maximise(problem, start, bounded=True) for start in _ratio_starts(problem, len(codes))]
    best = max(states, key=lambda state: state.loglik)
    if best.theta[0] < PERFECT_FIT * best.theta.sum():
        raise ValueError("the residual variance is zero: the groupings and fixed effects reproduce every "
                         "value; a mixed model has nothing left to estimate")
    return problem.fit(best, bounded=True)


def unstructured(X: ArrayLike, y: ArrayLike, *, cluster: ArrayLike, occasion: ArrayLike,
                 absorb: ArrayLike | None = None, names: Sequence[str] | None = None) -> MixedFit:
    """Multivariate normal model with one unstructured covariance over the occasions of a cluster, by REML.

    Estimands: fixed effects b and the t(t + 1)/2 variances and covariances of the t occasions, for example
    the four cells role x wave of a pair.  A cluster may lack occasions (likelihood of what was observed:
    missing at random).  With complete data and a saturated mean, a contrast has its classical t test.

    Parameters
    ----------
    X, y, absorb, names : as in `variance_components`.
    cluster : (n,) labels of the independent units.
    occasion : (n,) labels of the occasion; at most one row for each cluster and occasion.

    Returns
    -------
    MixedFit

    Raises
    ------
    ValueError
        As `variance_components`; also for repeated occasions, for two occasions never seen in the same
        cluster, and where the likelihood has no maximum because there are too few clusters.

    References
    ----------
    Jennrich & Schluchter (1986) doi:10.2307/2530695; Kenward & Roger (1997) doi:10.2307/2533558.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([2.0, 3.0, 2.5, 4.5, 3.0, 4.0, 2.0, 4.0])
    >>> wave = np.tile([0.0, 1.0], 4)
    >>> pair = np.repeat([1, 2, 3, 4], 2)
    >>> fit = unstructured(np.column_stack([np.ones(8), wave]), y, cluster=pair, occasion=wave)
    >>> test = contrast(fit, [0, 1])
    >>> round(test.estimate, 6), round(test.se, 6), round(test.df, 4)
    (1.5, 0.288675, 3.0)
    """
    X, y = _numeric(X, y)
    unit = _codes(cluster, len(y), "cluster")[0]
    cell, labels = _codes(occasion, len(y), "occasion")
    cells = len(labels)
    present = np.zeros((unit.max() + 1, cells), dtype=int)
    np.add.at(present, (unit, cell), 1)
    _refuse_occasions(present, labels)
    left, right = np.triu_indices(cells)
    parameters = tuple(f"{labels[a]},{labels[b]}" for a, b in zip(left, right, strict=True))
    basis = np.zeros((len(left), cells, cells))
    basis[np.arange(len(left)), left, right] = 1.0
    basis[np.arange(len(left)), right, left] = 1.0

    def kernels(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        unique, inverse = np.unique(cell[rows], axis=0, return_inverse=True)
        stack = np.stack([basis[:, pattern[:, None], pattern[None, :]] for pattern in unique])
        return stack, inverse.ravel()

    order = np.lexsort((cell, unit))
    problem = _Problem.build(X, y, unit, order, kernels, absorb, names, parameters)
    start = np.where(left == right, problem.variance, 0.0)
    problem.refuse_unidentified(start)
    state = _maximise(problem, start, bounded=False)
    sigma = np.tensordot(state.theta, basis, 1)
    if np.linalg.eigvalsh(sigma)[0] < PERFECT_FIT * np.trace(sigma):
        raise ValueError(f"the {cells} x {cells} covariance is singular: {present.shape[0]} clusters are too "
                         "few, or some occasions determine others; use variance components instead")
    return problem.fit(state, bounded=False)


def contrast(fit: MixedFit, row: ArrayLike, *, method: str = "kenward-roger",
             level: float = 0.95) -> ContrastTest:
    """Estimate, interval and t test of one linear combination of the fixed effects.

    Kenward-Roger uses the adjusted covariance and df = 2 / A2, the case of one contrast; Satterthwaite uses
    the plain covariance c = l' Phi l and df = 2 c^2 / (g' J^-1 g), g the gradient of c in the covariance
    parameters and J their observed information.

    Parameters
    ----------
    fit : MixedFit
    row : (len(fit.beta),) weights of the coefficients.
    method : "kenward-roger" or "satterthwaite".
    level : confidence level.

    References
    ----------
    Kenward & Roger (1997) doi:10.2307/2533558; Giesbrecht & Burns (1985) doi:10.2307/2530872.

    Examples
    --------
    >>> y = [2.0, 3.0, 2.5, 4.5, 3.0, 4.5]
    >>> X = [[1, 0], [1, 1]] * 3
    >>> fit = variance_components(X, y, groups={"pair": [1, 1, 2, 2, 3, 3]})
    >>> test = contrast(fit, [0, 1], method="satterthwaite")
    >>> round(test.low, 4), round(test.high, 4)
    (0.2579, 2.7421)
    """
    rows = _rows(fit, np.atleast_2d(np.asarray(row, dtype=float)))
    if len(rows) != 1:
        raise ValueError(f"a contrast is one row of weights, got {len(rows)}; test several at once with "
                         "f_test")
    return ContrastTest(*_t_table(fit, rows, method, level)[0].tolist(), method, level)


def estimates(fit: MixedFit, rows: ArrayLike, *, terms: Sequence[str], method: str = "kenward-roger",
              level: float = 0.95) -> pd.DataFrame:
    """Table of contrasts: term, estimate, se, df, t, p, low, high; one line for each row of weights.

    Examples
    --------
    >>> fit = variance_components([[1, 0], [1, 1]] * 3, [2.0, 3.0, 2.5, 4.5, 3.0, 4.5],
    ...                           groups={"pair": [1, 1, 2, 2, 3, 3]})
    >>> estimates(fit, [[1, 0], [0, 1]], terms=["pre", "change"]).round(3)[["term", "estimate", "df"]]
         term  estimate    df
    0     pre       2.5  2.56
    1  change       1.5  2.00
    """
    rows = _rows(fit, np.atleast_2d(np.asarray(rows, dtype=float)))
    if len(terms) != len(rows):
        raise ValueError(f"{len(terms)} terms for {len(rows)} rows of weights; name each row once")
    table = pd.DataFrame(_t_table(fit, rows, method, level), columns=list(T_COLUMNS))
    table.insert(0, "term", list(terms))
    return table


def f_test(fit: MixedFit, rows: ArrayLike, *, method: str = "kenward-roger") -> FTest:
    """F test that several independent linear combinations of the fixed effects are all zero.

    Kenward-Roger: scaled Wald statistic on the adjusted covariance with the moments of the 1997 paper.
    Satterthwaite: Wald statistic on the plain covariance; denominator df from the eigenvectors' t df
    (Fai & Cornelius 1996).

    Parameters
    ----------
    fit : MixedFit
    rows : (q, len(fit.beta)) weights, linearly independent.
    method : "kenward-roger" or "satterthwaite".

    Raises
    ------
    ValueError
        For dependent rows or wrong width.

    References
    ----------
    Kenward & Roger (1997) doi:10.2307/2533558; Fai & Cornelius (1996) doi:10.1080/00949659608811740.

    Examples
    --------
    >>> fit = variance_components([[1, 0], [1, 1]] * 3, [2.0, 3.0, 2.5, 4.5, 3.0, 4.5],
    ...                           groups={"pair": [1, 1, 2, 2, 3, 3]})
    >>> test = f_test(fit, [[0, 1]])
    >>> round(test.f, 3), test.df1, round(test.df2, 3)
    (27.0, 1, 2.0)
    """
    rows = _rows(fit, np.atleast_2d(np.asarray(rows, dtype=float)))
    q = len(rows)
    if np.linalg.matrix_rank(rows) < q:
        raise ValueError(f"the {q} rows of weights are linearly dependent; leave out the redundant ones")
    value = rows @ fit.beta
    parts = _parts(fit, rows)
    if _method(method) == "kenward-roger":
        df, scale = _kenward_roger_df(*_a_terms(parts), q)
        if not (df > 0 and scale > 0):
            raise ValueError(f"{fit.clusters} clusters are too few for a Kenward-Roger test of {q} contrasts "
                             f"at once (degrees of freedom {df:.2f}); test them one by one")
        f = scale / q * float(value @ linalg.solve(parts.adjusted, value, assume_a="sym"))
    else:
        roots, vectors = np.linalg.eigh(parts.plain)
        diagonal = np.einsum("jk,rjl,lk->kr", vectors, parts.first, vectors, optimize=False)
        df = _combine_df([_satterthwaite(fit, root, g) for root, g in zip(roots, diagonal, strict=True)])
        scale = 1.0
        f = float(np.sum((vectors.T @ value) ** 2 / roots)) / q
    return FTest(f, q, df, float(stats.f.sf(f, q, df)), scale, method)


def covariance(fit: MixedFit, *, adjusted: bool = True) -> np.ndarray:
    """Covariance matrix of the coefficients: Kenward-Roger adjusted, or the plain (X' V^-1 X)^-1.

    Examples
    --------
    >>> fit = variance_components([[1, 0], [1, 1]] * 3, [2.0, 3.0, 2.5, 4.5, 3.0, 4.5],
    ...                           groups={"pair": [1, 1, 2, 2, 3, 3]})
    >>> covariance(fit).round(4).tolist()
    [[0.1667, -0.0417], [-0.0417, 0.0833]]
    """
    parts = _parts(fit, np.eye(len(fit.beta)))
    return parts.adjusted if adjusted else parts.plain


# --- scores of a programme: cohort + role * wave ------------------------------------------------

@dataclass(frozen=True)
class ScoreModel:
    """A mixed model of scores with its reference grid.

    Attributes
    ----------
    fit : MixedFit
    grid : one line for each cohort x role x wave (without `role` where the scores have no roles)
    rows : weights of the coefficients for each line of `grid`
    cohorts, roles, waves : levels in order; `roles` is empty where the scores have none
    interaction : names of the cohort x wave columns, empty where the model has none
    """

    fit: MixedFit
    grid: pd.DataFrame
    rows: np.ndarray
    cohorts: tuple
    roles: tuple
    waves: tuple
    interaction: tuple[str, ...]


def mixed_model(scores: pd.DataFrame, *, outcome: str = "score", waves: Sequence[str] = ("pre", "post"),
                groups: Sequence[str] = ("pair", "person"), structure: str = "components",
                interaction: bool = False) -> ScoreModel:
    """Mixed model score ~ cohort + role x wave (+ cohort x wave) + (1|pair) + (1|person), REML.

    Estimands: mean scores by role and wave with equal weight for each cohort, and their changes, among all
    who answered any wave (missing at random given what was answered).

    Parameters
    ----------
    scores : columns cohort, person, pair, role, wave and `outcome`; one line for each person and wave (of one
        subscale).  Where `role` is missing on every line, or absent, the model has no role terms.
    outcome : column of the scores, in points of the scale.
    waves : two or more waves, the reference first; lines of other waves are not part of the model.
    groups : columns of the random intercepts; labels of pairs and persons count within their cohort.
    structure : "components", or "unstructured" for one covariance over role x wave within pairs.
    interaction : also let the change differ by cohort, for `cohort_by_wave`.

    Returns
    -------
    ScoreModel

    Raises
    ------
    ValueError
        For missing scores (drop those lines: the model uses the others of the same person), missing labels,
        two lines for one person and wave, a wave nobody answered, and as `variance_components` and
        `unstructured`.

    References
    ----------
    Kenny, Kashy & Cook (2006) Dyadic Data Analysis, ch. 4.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = pd.DataFrame({
    ...     "cohort": "A", "pair": [p for p in "abcd" for _ in range(4)],
    ...     "person": [p + r for p in "abcd" for r in "DDMM"],
    ...     "role": ["doctor", "doctor", "manager", "manager"] * 4, "wave": ["pre", "post"] * 8,
    ...     "score": [2.0, 3.0, 3.0, 3.5, 2.5, 4.0, 2.5, 4.0, 3.0, 3.5, 4.0, 4.0, 2.0, 3.5, 3.0, 4.5]})
    >>> model = mixed_model(scores)
    >>> changes(model)[["term", "estimate", "se", "df"]].round(3)
                                   term  estimate     se   df
    0                        post - pre     1.000  0.220  6.0
    1                post - pre: doctor     1.125  0.312  6.0
    2               post - pre: manager     0.875  0.312  6.0
    3  post - pre: manager minus doctor    -0.250  0.441  6.0
    """
    frame, roles = _score_frame(scores, outcome, tuple(waves), tuple(groups))
    cohorts = tuple(pd.unique(frame["cohort"]))
    factors = {"cohort": cohorts, **({"role": roles} if roles else {}), "wave": tuple(waves)}
    place = {name: pd.Index(levels).get_indexer(frame[name]) for name, levels in factors.items()}
    columns, names, crossed = _score_columns(place, factors, interaction)
    y = frame[outcome].to_numpy(dtype=float)
    absorb = frame["cohort"].to_numpy()
    within = {name: frame.groupby(["cohort", name], sort=False).ngroup().to_numpy() for name in groups}
    if structure == "components":
        fit = variance_components(columns, y, groups=within, absorb=absorb, names=names)
    elif structure == "unstructured":
        parts = [frame[name].astype(str) for name in factors if name != "cohort"]
        occasion = parts[0] if len(parts) == 1 else parts[0] + " " + parts[1]
        fit = unstructured(columns, y, cluster=within[groups[0]], occasion=occasion.to_numpy(), absorb=absorb,
                           names=names)
    else:
        raise ValueError(f"structure must be 'components' or 'unstructured', got {structure!r}")
    grid = pd.DataFrame(list(product(*factors.values())), columns=list(factors))
    at = {name: pd.Index(levels).get_indexer(grid[name]) for name, levels in factors.items()}
    order = pd.Index(fit.names[:len(cohorts)]).get_indexer([str(cohort) for cohort in cohorts])
    dummies = np.eye(len(cohorts))[order[at["cohort"]]]
    rows = np.hstack([dummies, _score_columns(at, factors, interaction)[0]])
    return ScoreModel(fit, grid, rows, cohorts, roles, tuple(waves), tuple(crossed))


def emmeans(model: ScoreModel, *, by: Sequence[str] = ("role", "wave"), method: str = "kenward-roger",
            level: float = 0.95) -> pd.DataFrame:
    """Estimated marginal means over the reference grid, every cell of the other factors with equal weight.

    Parameters
    ----------
    model : ScoreModel
    by : factors to keep, of cohort, role and wave; `role` is ignored where the model has none.
    method, level : as in `contrast`.

    Returns
    -------
    DataFrame with the factors of `by`, estimate, se, df, low, high (points of the scale).

    References
    ----------
    Searle, Speed & Milliken (1980) doi:10.1080/00031305.1980.10483031.

    Examples
    --------
    See `mixed_model`; ``emmeans(model, by=["wave"])`` gives one mean for each wave.
    """
    keep = [name for name in by if name in model.grid.columns]
    unknown = [name for name in by if name not in ("cohort", "role", "wave")]
    if unknown or not keep:
        raise ValueError(f"by must name factors of cohort, role and wave that the model has, got {list(by)}")
    cells = model.grid.groupby(keep, sort=False, observed=True).indices
    rows = np.stack([model.rows[index].mean(axis=0) for index in cells.values()])
    table = estimates(model.fit, rows, terms=[str(cell) for cell in cells], method=method, level=level)
    keys = pd.DataFrame([cell if isinstance(cell, tuple) else (cell,) for cell in cells], columns=keep)
    return pd.concat([keys, table[["estimate", "se", "df", "low", "high"]]], axis=1)


def changes(model: ScoreModel, *, method: str = "kenward-roger", level: float = 0.95) -> pd.DataFrame:
    """Change of each later wave against the first: over roles, by role, and the difference between roles.

    Returns
    -------
    DataFrame with term, estimate, se, df, t, p, low, high.  Roles and cohorts weigh equally.  See
    `mixed_model` for an example.
    """
    terms, rows = [], []
    first = model.waves[0]
    for wave in model.waves[1:]:
        label = f"{wave} - {first}"
        terms.append(label)
        rows.append(_mean_row(model, wave=wave) - _mean_row(model, wave=first))
        by_role = [_mean_row(model, wave=wave, role=role) - _mean_row(model, wave=first, role=role)
                   for role in model.roles]
        terms += [f"{label}: {role}" for role in model.roles]
        rows += by_role
        terms += [f"{label}: {role} minus {model.roles[0]}" for role in model.roles[1:]]
        rows += [row - by_role[0] for row in by_role[1:]]
    return estimates(model.fit, np.array(rows), terms=terms, method=method, level=level)


def wave_tests(model: ScoreModel, *, method: str = "kenward-roger") -> dict[str, FTest]:
    """F tests of "wave" (all changes, averaged over roles and cohorts) and, with roles, of "role:wave"."""
    first = model.waves[0]
    later = model.waves[1:]
    tests = {"wave": [_mean_row(model, wave=wave) - _mean_row(model, wave=first) for wave in later]}
    if len(model.roles) > 1:
        def change(role: object, wave: object) -> np.ndarray:
            return _mean_row(model, role=role, wave=wave) - _mean_row(model, role=role, wave=first)
        tests["role:wave"] = [change(role, wave) - change(model.roles[0], wave)
                              for role in model.roles[1:] for wave in later]
    return {name: f_test(model.fit, np.array(rows), method=method) for name, rows in tests.items()}


def cohort_by_wave(model: ScoreModel, *, method: str = "kenward-roger") -> FTest:
    """F test that the changes are the same in every cohort; needs ``mixed_model(..., interaction=True)``."""
    if not model.interaction:
        raise ValueError("the model has no cohort x wave terms; fit it with interaction=True and at least "
                         "two cohorts")
    index = [model.fit.names.index(name) for name in model.interaction]
    return f_test(model.fit, np.eye(len(model.fit.names))[index], method=method)


def _mean_row(model: ScoreModel, **levels: object) -> np.ndarray:
    keep = np.logical_and.reduce([(model.grid[name] == level).to_numpy() for name, level in levels.items()])
    return model.rows[keep].mean(axis=0)


def _score_frame(scores: pd.DataFrame, outcome: str, waves: tuple,
                 groups: tuple) -> tuple[pd.DataFrame, tuple]:
    """The lines of the asked waves, and the roles; refuse what the model cannot mean."""
    absent = sorted({"cohort", "person", "wave", outcome, *groups} - set(scores.columns))
    if absent:
        raise ValueError(f"the scores lack the columns {absent}")
    if len(waves) < 2 or len(set(waves)) < len(waves):
        raise ValueError(f"waves must name two or more different waves, got {list(waves)}")
    _refuse_unlabelled(scores, ["wave"])
    frame = scores[scores["wave"].isin(waves)].reset_index(drop=True)
    unseen = [wave for wave in waves if wave not in set(frame["wave"])]
    if unseen:
        raise ValueError(f"no line of wave {unseen[0]!r}; the waves present are "
                         f"{list(pd.unique(scores['wave']))}")
    roles: tuple = ()
    if "role" in frame.columns and frame["role"].notna().any():
        roles = tuple(sorted(frame["role"].dropna().unique()))
    _refuse_unlabelled(frame, ["cohort", "person", *groups, *(["role"] if roles else [])])
    twice = frame.duplicated(["cohort", "person", "wave"])
    if twice.any():
        line = frame[twice].iloc[0]
        raise ValueError(f"{int(twice.sum())} lines repeat a person and wave, first person "
                         f"{line['person']!r} at {line['wave']!r}; give the scores of one subscale")
    return frame, roles


def _refuse_unlabelled(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    for name in columns:
        missing = frame[name].isna().to_numpy()
        if missing.any():
            raise ValueError(f"{int(missing.sum())} lines have no {name}, first line number "
                             f"{int(np.argmax(missing))}; give every line its {name}, leave those lines out, "
                             f"or, where nobody has a {name}, name other groups")


def _score_columns(place: Mapping[str, np.ndarray], factors: Mapping[str, tuple],
                   interaction: bool) -> tuple[np.ndarray, list[str], list[str]]:
    """Columns of the cells role x wave (first cell left to the cohorts) and of cohort x wave."""
    waves = len(factors["wave"])
    cell = place["wave"] if "role" not in place else place["role"] * waves + place["wave"]
    labels = (list(factors["wave"]) if "role" not in place
              else [f"{role} {wave}" for role, wave in product(factors["role"], factors["wave"])])
    blocks = [np.eye(len(labels))[cell][:, 1:]]
    names, crossed = [str(label) for label in labels[1:]], []
    if interaction:
        cohorts = len(factors["cohort"])
        both = np.eye(cohorts * waves)[place["cohort"] * waves + place["wave"]].reshape(-1, cohorts, waves)
        blocks.append(both[:, 1:, 1:].reshape(len(cell), -1))
        crossed = [f"{cohort}:{wave}" for cohort, wave in product(factors["cohort"][1:], factors["wave"][1:])]
    return np.hstack(blocks), names + crossed, crossed


# --- input --------------------------------------------------------------------------------------

def _numeric(X: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    X = np.asarray(X, dtype=float)
    y = np.asarray(y, dtype=float)
    if X.ndim != 2 or y.ndim != 1 or len(X) != len(y):
        raise ValueError(f"X must be (n, p) and y (n,), got {X.shape} and {y.shape}")
    for name, bad in (("y", ~np.isfinite(y)), ("X", ~np.isfinite(X).all(axis=1))):
        if bad.any():
            raise ValueError(f"{int(bad.sum())} rows of {name} are missing or not finite, first row "
                             f"{int(np.argmax(bad))}; leave those rows out (the model uses the rest of the "
                             "cluster)")
    return X, y


def _codes(labels: ArrayLike, n: int, name: str) -> tuple[np.ndarray, list[str]]:
    """Integer code of each row, and the names of the sorted levels."""
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise ValueError(f"labels of {name} must have shape ({n},), got {labels.shape}")
    missing = pd.isna(labels)
    if missing.any():
        raise ValueError(f"{int(missing.sum())} labels of {name} are missing, first row "
                         f"{int(np.argmax(missing))}; give every row a label")
    code, levels = pd.factorize(labels, sort=True)
    return code, [str(level) for level in levels]


def _top_level(codes: Mapping[str, np.ndarray]) -> np.ndarray:
    """The coarsest grouping; every other must be nested in it."""
    top_name, top = min(codes.items(), key=lambda item: item[1].max())
    for name, code in codes.items():
        holder = np.full(code.max() + 1, -1)
        holder[code] = top
        if (holder[code] != top).any():
            row = int(np.argmax(holder[code] != top))
            raise ValueError(f"{name} is not nested in {top_name}: the {name} of row {row} occurs in "
                             f"several; make the labels of {name} unique within {top_name}")
    return top


def _refuse_occasions(present: np.ndarray, labels: list[str]) -> None:
    if (present > 1).any():
        unit, cell = np.argwhere(present > 1)[0]
        raise ValueError(f"{int((present > 1).sum())} clusters have an occasion twice, first occasion "
                         f"{labels[cell]!r} of cluster number {int(unit)}; keep one row for each")
    together = (present.T @ present) == 0
    if together.any():
        a, b = np.argwhere(together)[0]
        raise ValueError(f"occasions {labels[a]!r} and {labels[b]!r} never occur in the same cluster, so "
                         "their covariance cannot be estimated; use variance components")


def _rows(fit: MixedFit, rows: np.ndarray) -> np.ndarray:
    if rows.ndim != 2 or rows.shape[1] != len(fit.beta) or not np.isfinite(rows).all():
        raise ValueError(f"weights must be finite with {len(fit.beta)} columns (see fit.names), got "
                         f"{rows.shape}")
    if (rows == 0).all(axis=1).any():
        raise ValueError(f"row {int(np.argmax((rows == 0).all(axis=1)))} of the weights is all zero")
    return rows


def _method(method: str) -> str:
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    return method


# --- likelihood ---------------------------------------------------------------------------------

@dataclass(frozen=True)
class _Problem:
    """Cross-products of one data set, and the maps between given and working coefficients."""

    patterns: tuple[_Pattern, ...]
    n: int
    clusters: int
    levels: int            # absorbed levels
    width: int             # columns of X
    variance: float        # least squares residual variance
    log_det_r: float
    names: tuple[str, ...]
    parameters: tuple[str, ...]
    means: np.ndarray      # (levels, width) means of X by absorbed level
    r: np.ndarray          # X - means = Q r
    base_top: np.ndarray   # least squares coefficients, taken off y before the cross-products
    base_bottom: np.ndarray

    @staticmethod
    def build(X: np.ndarray, y: np.ndarray, cluster: np.ndarray, order: np.ndarray, kernels: _Kernels,
              absorb: ArrayLike | None, names: Sequence[str] | None, parameters: tuple[str, ...]) -> _Problem:
        n, width = X.shape
        names = [f"x{j + 1}" for j in range(width)] if names is None else [str(name) for name in names]
        if len(names) != width:
            raise ValueError(f"{len(names)} names for {width} columns of X")
        clusters = int(cluster.max()) + 1
        if clusters < 2:
            raise ValueError("one cluster only; a mixed model needs two or more independent clusters")
        level, level_names = _absorbed(absorb, cluster, n)
        levels = len(level_names)
        means = np.zeros((levels, width))
        base_top = np.zeros(levels)
        if levels:
            count = np.bincount(level, minlength=levels)
            np.add.at(means, level, X)
            means /= count[:, None]
            base_top = np.bincount(level, weights=y, minlength=levels) / count
        centred = X - means[level] if levels else X
        target = y - base_top[level] if levels else y
        q, r = np.linalg.qr(centred)
        _refuse_aliased(X, r, names)
        if n <= levels + width:
            raise ValueError(f"{n} rows for {levels + width} fixed effects leave no residual degree of "
                             "freedom")
        base_bottom = q.T @ target
        residual = target - q @ base_bottom
        variance = float(residual @ residual) / (n - levels - width)
        if variance <= (1e-12 * max(1.0, float(np.abs(y).max()))) ** 2:
            raise ValueError("the fixed effects reproduce every value of y exactly; there is no variation to "
                             "model")
        augmented = np.column_stack([q, residual])
        patterns = _cross_products(augmented, cluster, order, kernels, level if levels else None)
        log_det_r = float(np.sum(np.log(np.abs(np.diag(r)))))
        return _Problem(patterns, n, clusters, levels, width, variance, log_det_r, (*level_names, *names),
                        parameters, means, r, base_top, base_bottom)

    def refuse_confounded(self) -> None:
        """Two kernels equal in every cluster cannot be told apart."""
        gram = sum(p.clusters * np.einsum("rab,sab->rs", p.kernels, p.kernels) for p in self.patterns)
        scaled = gram / np.sqrt(np.outer(np.diag(gram), np.diag(gram)))
        for a, b in zip(*np.triu_indices(len(scaled), 1), strict=True):
            if scaled[a, b] > 1 - 1e-12:
                raise ValueError(f"the variance of {self.parameters[b]} cannot be told from that of "
                                 f"{self.parameters[a]}: they group the rows alike; leave one of them out")

    def refuse_unidentified(self, theta: np.ndarray) -> None:
        """The restricted likelihood must carry information on every covariance parameter."""
        information = self.variance**2 * self.state(theta).expected
        if not np.linalg.eigvalsh(information)[0] > IDENTIFIED:
            raise ValueError("the covariance parameters are not identified: their information matrix is "
                             "singular; a grouping is confounded with the fixed effects, or there are too "
                             "few clusters")

    def loglik(self, theta: np.ndarray) -> float:
        """Restricted log-likelihood; -inf where V is not positive definite."""
        inverses = self._inverses(theta[None])
        if inverses is None:
            return -np.inf
        log_det, weights = inverses
        return float(self._restricted(self._moments(weights), log_det)[0][0])

    def profiled(self, ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each row of ratios: log-likelihood at the best scale of the covariance, and the parameters."""
        log_det, weights = self._inverses(ratios)
        loglik, quadratic = self._restricted(self._moments(weights), log_det)
        degrees = self.n - self.levels - self.width
        scale = quadratic / degrees
        return loglik + (quadratic - degrees * (1 + np.log(scale))) / 2, ratios * scale[:, None]

    def state(self, theta: np.ndarray) -> _State:
        """Log-likelihood with gradient and information at theta."""
        log_det, weights = self._inverses(theta[None])
        count = len(theta)
        left, right = np.triu_indices(count)
        stacks, trace_one, trace_two = [], np.zeros(count), np.zeros((count, count))
        for pattern, weight in zip(self.patterns, weights, strict=True):
            w = weight[0]
            wg = w @ pattern.kernels
            wgw = wg @ w
            twice = wg[left] @ wgw[right]
            stacks.append(np.concatenate([w[None], wgw, (twice + twice.transpose(0, 2, 1)) / 2]))
            trace_one += pattern.clusters * np.trace(wg, axis1=1, axis2=2)
            trace_two += pattern.clusters * np.einsum("rab,sba->rs", wg, wg)
        moments = self._moments(stacks)
        loglik = float(self._restricted(_Arrow(moments.d[:1], moments.f[:1], moments.h[:1]), log_det)[0][0])
        e, u, s, top, bottom = self._solve(moments)
        x, xr, rr = self._residual_products(moments, top, bottom)
        first = _Arrow(x.d[1:count + 1], x.f[1:count + 1], x.h[1:count + 1])
        second = _Arrow(x.d[count + 1:], x.f[count + 1:], x.h[count + 1:])
        pu_top, pu_bottom = first.times(u, np.eye(self.width))
        upu = u.T @ pu_top + pu_bottom
        spu = s @ upu
        phi_p = first.d @ e + np.trace(spu, axis1=1, axis2=2)
        epu = (e[:, None] * pu_top).reshape(count, -1)
        phi_pp = ((first.d * e) @ (first.d * e).T + 2 * (pu_top @ s).reshape(count, -1) @ epu.T
                  + np.einsum("rab,sba->rs", spu, spu))
        qu_top, qu_bottom = second.times(u, np.eye(self.width))
        phi_q = np.zeros((count, count))
        phi_q[left, right] = second.d @ e + np.einsum("ab,kba->k", s, u.T @ qu_top + qu_bottom)
        phi_q = phi_q + np.triu(phi_q, 1).T
        quadratic = np.zeros((count, count))
        quadratic[left, right] = rr[count + 1:]
        quadratic = quadratic + np.triu(quadratic, 1).T
        xr_top, xr_bottom = xr[0][1:count + 1], xr[1][1:count + 1]
        uxr = xr_top @ u + xr_bottom
        quadratic -= (xr_top * e) @ xr_top.T + uxr @ s @ uxr.T
        gradient = (rr[1:count + 1] - trace_one + phi_p) / 2
        expected = (trace_two - 2 * phi_q + phi_pp) / 2
        observed = quadratic - expected
        return _State(theta, loglik, gradient, expected, observed, first, second, e, u, s, top, bottom)

    def fit(self, state: _State, *, bounded: bool) -> MixedFit:
        """The public result at the maximum."""
        bottom = linalg.solve_triangular(self.r, state.bottom + self.base_bottom)
        top = state.top + self.base_top - self.means @ bottom
        zero = (state.theta == 0) if bounded else np.zeros(len(state.theta), dtype=bool)
        boundary = tuple(name for name, at in zip(self.parameters, zero, strict=True) if at)
        score = float(np.max(np.abs(state.gradient[~zero]))) * self.variance
        rank = self.levels + self.width
        return MixedFit(self.names, np.concatenate([top, bottom]), self.parameters, state.theta,
                        float(state.loglik) - self.log_det_r, self.n, self.clusters, rank, bool(boundary),
                        boundary, score, state, self.means, self.r)

    def _inverses(self, thetas: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]] | None:
        """log|V| and the inverses (k, n, n) of each pattern for the k rows of parameters."""
        log_det, weights = np.zeros(len(thetas)), []
        for pattern in self.patterns:
            count, size, _ = pattern.kernels.shape
            v = (thetas @ pattern.kernels.reshape(count, -1)).reshape(-1, size, size)
            try:
                root = np.linalg.cholesky(v)
            except np.linalg.LinAlgError:
                return None
            inverse_root = np.linalg.inv(root)
            weights.append(inverse_root.transpose(0, 2, 1) @ inverse_root)
            diagonal = np.diagonal(root, axis1=1, axis2=2)
            log_det += 2 * pattern.clusters * np.log(diagonal).sum(axis=1)
        return log_det, weights

    def _moments(self, stacks: list[np.ndarray]) -> _Arrow:
        """[D X y]' M [D X y] as arrow matrices, for each kernel M of the stacks (one stack for a pattern)."""
        count, q = len(stacks[0]), self.width + 1
        d, f, h = np.zeros((count, self.levels)), np.zeros((count, self.levels, q)), np.zeros((count, q * q))
        for pattern, stack in zip(self.patterns, stacks, strict=True):
            h += stack.reshape(count, -1) @ pattern.cross
            if self.levels:
                line = stack.sum(axis=1)
                d[:, pattern.absorbed] += np.outer(line.sum(axis=1), pattern.counts)
                f[:, pattern.absorbed] += np.tensordot(line, pattern.sums, axes=(1, 1))
        return _Arrow(d, f, h.reshape(count, q, q))

    def _restricted(self, moments: _Arrow, log_det: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Restricted log-likelihood and r' V^-1 r for each V, from the moments of V^-1 and log|V|."""
        p = self.width
        reduced = moments.h - moments.f.transpose(0, 2, 1) @ (moments.f / moments.d[:, :, None])
        root = np.linalg.cholesky(reduced[:, :p, :p])
        half = np.linalg.solve(root, reduced[:, :p, p:])[:, :, 0]
        quadratic = reduced[:, p, p] - (half**2).sum(axis=1)
        diagonal = np.diagonal(root, axis1=1, axis2=2)
        log_det_x = np.log(moments.d).sum(axis=1) + 2 * np.log(diagonal).sum(axis=1)
        constant = (self.n - self.levels - p) * np.log(2 * np.pi)
        return -(log_det + log_det_x + quadratic + constant) / 2, quadratic

    def _solve(self, moments: _Arrow) -> tuple:
        """Generalised least squares from the moments of V^-1, the first of the stack."""
        p = self.width
        d, f, h = moments.d[0], moments.f[0], moments.h[0]
        e = 1 / d
        reduced = h - f.T @ (e[:, None] * f)
        u = -e[:, None] * f[:, :p]
        half = np.linalg.inv(np.linalg.cholesky(reduced[:p, :p]))
        s = half.T @ half
        bottom = s @ reduced[:p, p]
        return e, u, s, e * f[:, p] + u @ bottom, bottom

    def _residual_products(self, moments: _Arrow, top: np.ndarray, bottom: np.ndarray) -> tuple:
        """X' M X, X' M r and r' M r for each kernel, r = y - X b."""
        p = self.width
        x = _Arrow(moments.d, moments.f[:, :, :p], moments.h[:, :p, :p])
        xb_top, xb_bottom = x.times(top[:, None], bottom[:, None])
        xr = (moments.f[:, :, p] - xb_top[:, :, 0], moments.h[:, :p, p] - xb_bottom[:, :, 0])
        ry = moments.h[:, p, p] - moments.f[:, :, p] @ top - moments.h[:, p, :p] @ bottom
        return x, xr, ry - xr[0] @ top - xr[1] @ bottom


def _absorbed(absorb: ArrayLike | None, cluster: np.ndarray, n: int) -> tuple[np.ndarray, list[str]]:
    if absorb is None:
        return np.zeros(n, dtype=int), []
    code, levels = _codes(absorb, n, "absorb")
    holder = np.full(cluster.max() + 1, -1)
    holder[cluster] = code
    if (holder[cluster] != code).any():
        row = int(np.argmax(holder[cluster] != code))
        raise ValueError(f"the cluster of row {row} lies in several absorbed levels; clusters must be nested "
                         "in them")
    return code, levels


def _refuse_aliased(X: np.ndarray, r: np.ndarray, names: list[str]) -> None:
    norms = np.linalg.norm(X, axis=0)
    aliased = np.abs(np.diag(r)) <= RANK_TOLERANCE * np.where(norms > 0, norms, 1.0)
    if len(r) < X.shape[1] or aliased.any():
        culprit = names[int(np.argmax(aliased))] if aliased.any() else names[-1]
        raise ValueError(f"the design matrix is not of full rank: {max(int(aliased.sum()), 1)} columns are "
                         f"linear combinations of others, first {culprit!r}; leave it out or drop the empty "
                         "cell")


def _cross_products(augmented: np.ndarray, cluster: np.ndarray, order: np.ndarray, kernels: _Kernels,
                    level: np.ndarray | None) -> tuple[_Pattern, ...]:
    """Group the clusters by their kernels and sum the products of their rows."""
    q = augmented.shape[1]
    starts = np.flatnonzero(np.r_[True, np.diff(cluster[order]) != 0])
    sizes = np.diff(np.r_[starts, len(order)])
    patterns = []
    for size in np.unique(sizes):
        rows = order[starts[sizes == size][:, None] + np.arange(size)]
        stack, which = kernels(rows)
        for index, kernel in enumerate(stack):
            mine = rows[which == index]
            block = augmented[mine].reshape(len(mine), size * q)
            cross = (block.T @ block).reshape(size, q, size, q).transpose(0, 2, 1, 3)
            absorbed, counts, sums = np.zeros(0, dtype=int), np.zeros(0), np.zeros((0, size, q))
            if level is not None:
                absorbed, inverse, counts = np.unique(level[mine[:, 0]], return_inverse=True,
                                                      return_counts=True)
                sums = np.zeros((len(absorbed), size, q))
                np.add.at(sums, inverse, augmented[mine])
            patterns.append(_Pattern(kernel, len(mine), cross.reshape(size * size, q * q), absorbed, counts,
                                     sums))
    return tuple(patterns)


# --- optimisation -------------------------------------------------------------------------------

def _ratio_starts(problem: _Problem, components: int) -> list[np.ndarray]:
    """Local maxima over a grid of variance ratios, the residual variance profiled out."""
    levels = RATIOS if components <= 2 else RATIOS[::2]
    grid = np.array([[1.0, *ratios] for ratios in product(levels, repeat=components)])
    values, thetas = problem.profiled(grid)
    values = values.reshape((len(levels),) * components)
    padded = np.pad(values, 1, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3,) * components)
    peaks = np.flatnonzero(values >= windows.max(axis=tuple(range(components, 2 * components))))
    return list(thetas[peaks])


def _maximise(problem: _Problem, start: np.ndarray, *, bounded: bool) -> _State:
    """Newton's method with an active set for variances at 0, falling back on the expected information."""
    state = problem.state(start)
    for _ in range(MAX_ITERATIONS):
        theta = _line_search(problem, state, _newton_step(state, bounded), bounded)
        moved = np.max(np.abs(theta - state.theta))
        if moved > 0:
            state = problem.state(theta)
        perfect = bounded and theta[0] < PERFECT_FIT * theta.sum()
        if moved <= STEP_TOLERANCE * problem.variance or perfect:
            return _snapped(problem, state) if bounded else state
    if state.gradient @ _newton_step(state, bounded) < ROUNDED_STEP:
        return _snapped(problem, state) if bounded else state
    raise ValueError(f"the likelihood has no maximum that {MAX_ITERATIONS} Newton steps can find (largest "
                     f"gradient {np.max(np.abs(state.gradient)):.3g}); the data are too few for this model")


def _snapped(problem: _Problem, state: _State) -> _State:
    """A variance that differs from 0 by rounding only is 0."""
    small = (state.theta > 0) & (state.theta < ROUNDING * state.theta.sum())
    small[0] = False
    theta = np.where(small, 0.0, state.theta)
    if not small.any() or problem.loglik(theta) < state.loglik - 1e-9:
        return state
    return problem.state(theta)


def _newton_step(state: _State, bounded: bool) -> np.ndarray:
    """Ascent direction over the free parameters; one at 0 that would turn negative is held."""
    free = np.ones(len(state.theta), dtype=bool)
    if bounded:
        free[1:] = (state.theta[1:] > 0) | (state.gradient[1:] > 0)
    while True:
        step = np.zeros(len(free))
        step[free] = _ascent(state, free)
        blocked = bounded & free & (state.theta == 0) & (step < 0)
        if not blocked.any():
            return step
        free &= ~blocked


def _ascent(state: _State, free: np.ndarray) -> np.ndarray:
    gradient = state.gradient[free]
    for information in (state.observed, state.expected):
        try:
            return linalg.cho_solve(linalg.cho_factor(information[np.ix_(free, free)]), gradient)
        except np.linalg.LinAlgError:
            continue
    raise ValueError("the likelihood has no maximum: the information of the covariance parameters is not "
                     "positive; the data are too few for this model")


def _line_search(problem: _Problem, state: _State, step: np.ndarray, bounded: bool) -> np.ndarray:
    """Longest of the halved steps that does not lower the likelihood; stays within the bounds."""
    length = 1.0
    hits = None
    if bounded:
        falling = np.flatnonzero(step < 0)
        limits = -state.theta[falling] / step[falling] * np.where(falling == 0, 0.9, 1.0)
        if len(limits) and limits.min() <= 1:
            length = float(limits.min())
            hits = falling[(limits == limits.min()) & (falling > 0)]
    slack = 1e-13 * max(1.0, abs(state.loglik))
    for halving in range(60):
        theta = state.theta + length * step
        if halving == 0 and hits is not None:
            theta[hits] = 0.0
        if problem.loglik(theta) >= state.loglik - slack:
            return theta
        length /= 2
    return state.theta


# --- small-sample inference ---------------------------------------------------------------------

@dataclass(frozen=True)
class _Parts:
    """For rows L: L Phi L', its Kenward-Roger adjustment, L Phi P_r Phi L', and the weights of theta."""

    plain: np.ndarray
    adjusted: np.ndarray
    first: np.ndarray
    weight: np.ndarray


def _parts(fit: MixedFit, rows: np.ndarray) -> _Parts:
    state = fit._state
    levels = len(state.e)
    top = rows[:, :levels].T
    bottom = linalg.solve_triangular(fit._r, (rows[:, levels:] - rows[:, :levels] @ fit._means).T, trans="T")
    half = state.s @ (state.u.T @ top + bottom)
    phi_top, phi_bottom = state.e[:, None] * top + state.u @ half, half
    plain = top.T @ phi_top + bottom.T @ phi_bottom
    p_top, p_bottom = state.first.times(phi_top, phi_bottom)
    first = phi_top.T @ p_top + phi_bottom.T @ p_bottom
    q_top, q_bottom = state.second.times(phi_top, phi_bottom)
    packed = phi_top.T @ q_top + phi_bottom.T @ q_bottom
    weight = _theta_covariance(state.expected)
    left, right = np.triu_indices(len(weight))
    twice = weight[left, right] * np.where(left == right, 1.0, 2.0)
    up = state.u.T @ p_top + p_bottom
    weighted_top = np.tensordot(weight, state.e[:, None] * p_top, 1)
    weighted_up = np.tensordot(weight, state.s @ up, 1)
    inner = np.einsum("rck,rcl->kl", p_top, weighted_top) + np.einsum("rak,ral->kl", up, weighted_up)
    adjusted = plain + 2 * (np.tensordot(twice, packed, 1) - inner)
    return _Parts((plain + plain.T) / 2, (adjusted + adjusted.T) / 2, first, weight)


def _t_table(fit: MixedFit, rows: np.ndarray, method: str, level: float) -> np.ndarray:
    """One line of T_COLUMNS for each row of weights, in portions that keep the matrices small."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    se, df = [], []
    for start in range(0, len(rows), PORTION):
        parts = _parts(fit, rows[start:start + PORTION])
        plain = np.diag(parts.plain)
        gradient = np.diagonal(parts.first, axis1=1, axis2=2)
        if _method(method) == "kenward-roger":
            se.append(np.sqrt(np.diag(parts.adjusted)))
            df.append(2 * plain**2 / np.sum(gradient * (parts.weight @ gradient), axis=0))
        else:
            se.append(np.sqrt(plain))
            df.append([_satterthwaite(fit, c, g) for c, g in zip(plain, gradient.T, strict=True)])
    estimate, se, df = rows @ fit.beta, np.concatenate(se), np.concatenate(df)
    t = estimate / se
    half = stats.t.ppf((1 + level) / 2, df) * se
    p = 2 * stats.t.sf(np.abs(t), df)
    return np.column_stack([estimate, se, df, t, p, estimate - half, estimate + half])


def _theta_covariance(expected: np.ndarray) -> np.ndarray:
    """Inverse expected information; the pseudo-inverse where it is singular."""
    scale = np.sqrt(np.diag(expected))
    return linalg.pinvh(expected / np.outer(scale, scale), rtol=1e-10) / np.outer(scale, scale)


def _a_terms(parts: _Parts) -> tuple[float, float]:
    """A1 and A2 of Kenward & Roger (1997)."""
    scaled = np.linalg.solve(parts.plain[None], parts.first)
    traces = np.trace(scaled, axis1=1, axis2=2)
    a1 = float(traces @ parts.weight @ traces)
    a2 = float(np.sum(parts.weight * np.einsum("rkl,slk->rs", scaled, scaled)))
    return a1, a2


def _kenward_roger_df(a1: float, a2: float, q: int) -> tuple[float, float]:
    """Denominator degrees of freedom and scale of the F statistic."""
    if q == 1:
        return 2 / a2, 1.0
    b = (a1 + 6 * a2) / (2 * q)
    g = ((q + 1) * a1 - (q + 4) * a2) / ((q + 2) * a2)
    base = 3 * q + 2 * (1 - g)
    c1, c2, c3 = g / base, (q - g) / base, (q + 2 - g) / base
    mean = 1 / (1 - a2 / q)
    variance = 2 / q * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
    rho = variance / (2 * mean**2)
    df = 4 + (q + 2) / (q * rho - 1)
    return df, df / (mean * (df - 2))


def _satterthwaite(fit: MixedFit, variance: float, gradient: np.ndarray) -> float:
    """2 c^2 / Var(c), variances at the boundary held there."""
    free = np.array([name not in fit.boundary for name in fit.parameters])
    information = fit._state.observed[np.ix_(free, free)]
    return 2 * variance**2 / float(gradient[free] @ linalg.solve(information, gradient[free], assume_a="pos"))


def _combine_df(df: Sequence[float]) -> float:
    """Denominator df of an F built of independent t statistics (Fai & Cornelius 1996)."""
    values = np.asarray(df)
    if np.ptp(values) < 1e-8:
        return float(values.mean())
    if values.min() <= 2:
        return 2.0
    expected = float(np.sum(values / (values - 2)))
    return 2 * expected / (expected - len(values))
