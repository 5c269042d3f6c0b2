"""Missing post scores: multiple imputation, pooling of its results, and delta-adjusted tipping points.

Multiple imputation assumes that, given what was observed, people who did not answer are like those who did
(missing at random). The tipping point asks how wrong that must be before the conclusion changes.
"""
from dataclasses import dataclass
import math

import numpy as np
from scipy import stats

MIN_PAIRS = 10  # METHODS: below about ten pairs the imputation model has more parameters than it can carry
ROLES = ("doctor", "manager")


@dataclass(frozen=True)
class Pooled:
    """Rubin's combination of m results, with what the missing answers cost."""

    estimate: float
    se: float
    df: float
    low: float
    high: float
    p: float
    within: float
    between: float
    total: float
    relative_increase: float
    fraction_missing: float
    m: int
    level: float


@dataclass(frozen=True)
class Imputed:
    """m completed copies of the post scores, shape (m, pairs, 2); `missing` marks what was imputed."""

    post: np.ndarray
    missing: np.ndarray
    method: str
    seed: int


@dataclass(frozen=True)
class Shifted:
    """The pooled result when `delta` is added to every imputed score, and what it lets one conclude."""

    delta: float
    estimate: float
    low: float
    high: float
    conclusion: str


@dataclass(frozen=True)
class TippingPoint:
    """How far imputed scores must be shifted, down or up, before the conclusion is another one.

    `down` and `up` are the shifts of the grid nearest zero at which it is; None: nowhere on the grid.
    """

    conclusion: str
    down: float | None
    up: float | None
    grid: tuple[Shifted, ...]
    reference: float


def rubin(estimates, variances, *, df_complete=math.inf, level=0.95):
    """Combine the results of m imputed data sets by Rubin's rules, with Barnard-Rubin degrees of freedom.

    Estimand: what the m analyses estimate. Q = mean estimate, W = mean variance, B = variance between
    estimates, T = W + (1 + 1/m) B. With lambda = (1 + 1/m) B / T and v the complete-data degrees of freedom,
    df = (1 / v_old + 1 / v_obs)^-1, v_old = (m - 1) / lambda^2, v_obs = (v + 1) / (v + 3) v (1 - lambda).
    Relative increase r = (1 + 1/m) B / W; fraction of missing information (r + 2 / (df + 3)) / (r + 1).

    Parameters
    ----------
    estimates, variances : m numbers each, the estimate and its squared standard error in every imputed data
        set. Missing or non-finite values raise.
    df_complete : degrees of freedom the analysis would have without missing data (pairs - 1 for a mean of
        pair changes); infinite gives Rubin's 1987 degrees of freedom.
    level : coverage of the t interval; `p` is two-sided for 0.

    Returns
    -------
    Pooled
        When all m estimates agree (B = 0) the result is the complete-data one with df = v_obs.

    Raises
    ------
    ValueError
        m below 2; unequal lengths; a variance that is not positive; df_complete not positive.

    References
    ----------
    Rubin 1987, Multiple Imputation for Nonresponse in Surveys, Wiley. Barnard & Rubin 1999,
    doi:10.1093/biomet/86.4.948.

    Examples
    --------
    >>> r = rubin([0.42, 0.50, 0.37, 0.46, 0.40], [0.030, 0.028, 0.033, 0.029, 0.031], df_complete=11)
    >>> round(r.estimate, 2), round(r.se, 4), round(r.df, 2), round(r.fraction_missing, 3)
    (0.43, 0.1825, 8.39, 0.253)
    """
    q, u = _finite(estimates, "estimates"), _finite(variances, "variances")
    if len(q) != len(u):
        raise ValueError(f"{len(q)} estimates and {len(u)} variances; give one of each per imputed data set")
    m = len(q)
    if m < 2:
        raise ValueError(f"{m} imputed data set(s): the variance between imputations needs at least two, "
                         "twenty or more are advisable")
    if (u <= 0).any():
        raise ValueError(f"{(u <= 0).sum()} variance(s) not above 0, first {u[u <= 0][0]} in data set "
                         f"{int(np.argmax(u <= 0))}; a mean without variation cannot be pooled")
    if not df_complete > 0:
        raise ValueError(f"df_complete is {df_complete}; give the positive degrees of freedom of complete "
                         "data")
    _check_level(level)
    estimate, within, between = q.mean(), u.mean(), q.var(ddof=1)
    added = (1 + 1 / m) * between
    total = within + added
    df = _barnard_rubin(added / total, m, df_complete)
    increase = added / within
    se = math.sqrt(total)
    half = stats.t.isf((1 - level) / 2, df) * se
    return Pooled(
        estimate=float(estimate), se=se, df=df, low=float(estimate - half), high=float(estimate + half),
        p=float(2 * stats.t.sf(abs(estimate) / se, df)), within=float(within), between=float(between),
        total=float(total), relative_increase=float(increase),
        fraction_missing=float((increase + 2 / (df + 3)) / (increase + 1)), m=m, level=level)


def impute(pre, post, *, cohort=None, method="norm", m=20, cycles=10, donors=5, seed):
    """Multiply impute missing post scores of doctor-manager pairs.

    Model: for each role, the post score is linear in the person's own pre score, the partner's pre score, the
    partner's post score (observed or currently imputed) and the cohort; the two roles have equations of their
    own, so role enters with everything. The equations are visited in turn for `cycles` rounds. Each visit
    first draws variance and coefficients from their posterior under the flat prior (proper imputation).

    Parameters
    ----------
    pre : (pairs, 2) array, doctor then manager, complete.
    post : (pairs, 2) array, NaN where the person did not answer.
    cohort : one label per pair, or None for a single cohort.
    method : "norm" draws the score from the normal regression; "pmm" takes the observed score of one of the
        `donors` people with the nearest predictions (predictive mean matching; stays on the scale).
    m : imputed data sets, at least 2.
    cycles : rounds before an imputed data set is kept; each starts afresh.
    donors : candidates for one imputed value, used by "pmm".
    seed : whole number; the same seed gives the same values.

    Returns
    -------
    Imputed
        "norm" values are not cut to the answer scale, since that would bias the means.

    Raises
    ------
    ValueError
        Fewer than ten pairs; a missing pre score; nothing missing; too few observed post scores of a role
        for its equation, or a cohort in which nobody of that role answered.

    References
    ----------
    Rubin 1987, Multiple Imputation for Nonresponse in Surveys, Wiley, section 5.3. van Buuren 2018,
    Flexible Imputation of Missing Data, 2nd ed., doi:10.1201/9780429492259. Little 1988,
    doi:10.1080/07350015.1988.10509663.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> pre = rng.normal(3, 0.5, (12, 2))
    >>> post = pre + rng.normal(0.4, 0.3, (12, 2))
    >>> post[0, 0] = post[5, 1] = np.nan
    >>> completed = impute(pre, post, m=5, seed=7)
    >>> completed.post.shape, int(completed.missing.sum())
    ((5, 12, 2), 2)
    """
    pre, post, missing = _pairs(pre, post)
    if method not in ("norm", "pmm"):
        raise ValueError(f"method is {method!r}; choose norm or pmm")
    for name, value, least in (("m", m, 2), ("cycles", cycles, 1), ("donors", donors, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")
    fixed = np.column_stack([np.ones(len(pre)), _dummies(cohort, len(pre)), pre])
    _check_equations(fixed, missing, donors if method == "pmm" else 1)
    rng = np.random.default_rng(seed)
    completed = np.stack([_complete(fixed, post, missing, method, cycles, donors, rng) for _ in range(m)])
    return Imputed(completed, missing, method, seed)


def delta_adjust(imputed, *, doctor=0.0, manager=0.0):
    """Shift the imputed scores, and only these, by a fixed amount per role.

    Estimand: post scores if people who did not answer scored `doctor` or `manager` points higher (negative:
    lower) than the missing-at-random model says (a pattern-mixture sensitivity analysis).

    Parameters
    ----------
    imputed : result of `impute`.
    doctor, manager : shift in score points.

    Returns
    -------
    (m, pairs, 2) array of completed post scores.

    Raises
    ------
    ValueError
        A shift that is not finite.

    References
    ----------
    Carpenter & Kenward 2013, Multiple Imputation and its Application, doi:10.1002/9781119942283, chapter 10.

    Examples
    --------
    >>> kept = Imputed(np.array([[[3.0, 4.0]]]), np.array([[True, False]]), "norm", 1)
    >>> delta_adjust(kept, doctor=-0.5, manager=-0.5).tolist()
    [[[2.5, 4.0]]]
    """
    shift = _finite([doctor, manager], "shift")
    return imputed.post + imputed.missing * shift


def tipping_point(imputed, analyse, *, deltas, roles=ROLES, reference=0.0, df_complete, level=0.95):
    """How much worse (or better) the unseen scores must be before the conclusion changes.

    For every delta of the grid, delta is added to the imputed scores of `roles`, `analyse` is run on each of
    the m data sets and the results are pooled by `rubin`. The conclusion is "above" when the interval lies
    above `reference`, "below" when it lies below, else "includes". A tipping point is the delta nearest zero,
    in each direction apart, where the conclusion is not that at delta = 0.

    Parameters
    ----------
    imputed : result of `impute`.
    analyse : function of one (pairs, 2) array of completed post scores, returning (estimate, variance).
    deltas : grid of shifts in score points; 0 is added when it is not among them.
    roles : whose imputed scores are shifted: ("doctor", "manager"), or one of the two.
    reference : 0 for "any change", or the minimal important difference.
    df_complete : degrees of freedom of the complete-data analysis, see `rubin`.
    level : coverage of the interval.

    Returns
    -------
    TippingPoint
        `down` (negative deltas) and `up` (positive) are None when no delta of the grid tips; `grid` is in
        increasing order of delta. A point between two grid values is not sought.

    Raises
    ------
    ValueError
        An empty or non-finite grid; an unknown role; no imputed score among `roles`.

    References
    ----------
    Carpenter & Kenward 2013, Multiple Imputation and its Application, doi:10.1002/9781119942283, chapter 10.
    Ratitch, O'Kelly & Tosiello 2013, doi:10.1002/pst.1549.

    Examples
    --------
    >>> rng = np.random.default_rng(3)
    >>> pre = rng.normal(3, 0.4, (16, 2))
    >>> post = pre + rng.normal(0.35, 0.3, (16, 2))
    >>> post[:4, 0] = np.nan
    >>> def mean_change(completed):
    ...     change = (completed - pre).mean(axis=1)
    ...     return change.mean(), change.var(ddof=1) / len(change)
    >>> tip = tipping_point(impute(pre, post, seed=1), mean_change, deltas=np.arange(-4, 4.5, 0.5),
    ...                     df_complete=15)
    >>> tip.conclusion, tip.down, tip.up
    ('above', -1.5, None)
    """
    steps = sorted(set(_finite(deltas, "deltas").tolist()) | {0.0})
    unknown = set(roles) - set(ROLES)
    if unknown or not roles:
        raise ValueError(f"roles is {roles!r}; give a tuple of {' and '.join(ROLES)}")
    if not imputed.missing[:, [ROLES.index(role) for role in roles]].any():
        raise ValueError(f"no imputed score among {', '.join(roles)}: a shift would change nothing")
    grid = []
    for delta in steps:
        completed = delta_adjust(imputed, **{role: delta for role in roles})
        pooled = rubin(*zip(*map(analyse, completed)), df_complete=df_complete, level=level)
        grid.append(Shifted(delta, pooled.estimate, pooled.low, pooled.high, _conclusion(pooled, reference)))
    conclusion = grid[steps.index(0.0)].conclusion
    tipped = [point.delta for point in grid if point.conclusion != conclusion]
    return TippingPoint(conclusion=conclusion, down=max((d for d in tipped if d < 0), default=None),
                        up=min((d for d in tipped if d > 0), default=None), grid=tuple(grid),
                        reference=reference)


def _finite(values, name):
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"{name} must be a non-empty list of numbers")
    bad = np.flatnonzero(~np.isfinite(x))
    if len(bad):
        raise ValueError(f"{name}: {len(bad)} missing or non-finite value(s), first at position {bad[0]}; "
                         "find out why that analysis gave none before pooling")
    return x


def _check_level(level):
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie strictly between 0 and 1, for example 0.95")


def _barnard_rubin(share, m, df_complete):
    """Degrees of freedom; `share` is the part of the total variance that the missing answers cause."""
    old = (m - 1) / share ** 2 if share > 1e-100 else math.inf
    if math.isinf(df_complete):
        return float(old)
    observed = (df_complete + 1) / (df_complete + 3) * df_complete * (1 - share)
    return float(observed if math.isinf(old) else old * observed / (old + observed))


def _pairs(pre, post):
    pre, post = np.array(pre, dtype=float), np.array(post, dtype=float)
    if pre.ndim != 2 or pre.shape[1] != 2 or pre.shape != post.shape:
        raise ValueError(f"pre has shape {pre.shape} and post {post.shape}; both must be (pairs, 2), "
                         "doctor then manager")
    if len(pre) < MIN_PAIRS:
        raise ValueError(f"{len(pre)} pairs: too few for an imputation model (at least {MIN_PAIRS}); "
                         "use complete pairs and say how many were lost")
    bad = np.argwhere(~np.isfinite(pre))
    if len(bad):
        raise ValueError(f"pre: {len(bad)} missing or non-finite score(s), first of the {ROLES[bad[0][1]]} "
                         "in "
                         f"pair {bad[0][0]}; only post scores are imputed, leave out pairs without both pre")
    infinite = np.argwhere(np.isinf(post))
    if len(infinite):
        raise ValueError(f"post: {len(infinite)} infinite score(s), first of the {ROLES[infinite[0][1]]} "
                         f"in pair {infinite[0][0]}; mark missing scores as NaN")
    missing = np.isnan(post)
    if not missing.any():
        raise ValueError("no post score is missing: analyse the data as they are")
    return pre, post, missing


def _dummies(cohort, n):
    if cohort is None:
        return np.empty((n, 0))
    labels, group = np.unique(np.asarray(cohort, dtype=str), return_inverse=True)
    if len(group) != n:
        raise ValueError(f"cohort has {len(group)} labels for {n} pairs; give one per pair")
    return np.eye(len(labels))[group][:, 1:]


def _check_equations(fixed, missing, donors):
    """Every equation needs more observed scores than coefficients (the partner's post is one more)."""
    for column, role in enumerate(ROLES):
        if not missing[:, column].any():
            continue
        seen = fixed[~missing[:, column]]
        need = max(fixed.shape[1] + 1 + 2, donors)
        if len(seen) < need:
            raise ValueError(f"{len(seen)} {role}s with a post score: the imputation model needs at least "
                             f"{need}; use complete pairs and say how many were lost")
        if np.linalg.matrix_rank(seen) < fixed.shape[1]:
            raise ValueError(f"the {role}s' equation is not identified: a cohort without any answering "
                             f"{role}, or "
                             "pre scores without variation or equal within all pairs; drop cohort or pool")


def _complete(fixed, post, missing, method, cycles, donors, rng):
    """One completed copy of `post`, by `cycles` rounds over the two roles' equations."""
    current = post.copy()
    for column in (0, 1):
        gap = missing[:, column]
        current[gap, column] = rng.choice(post[~gap, column], gap.sum())
    for _ in range(cycles):
        for column in (0, 1):
            gap = missing[:, column]
            if gap.any():
                design = np.column_stack([fixed, current[:, 1 - column]])
                current[gap, column] = _draw(design[~gap], current[~gap, column], design[gap], method, donors,
                                             rng)
    return current


def _draw(seen, observed, unseen, method, donors, rng):
    """Scores for the rows of `unseen`, given a fresh posterior draw of the regression on `seen`."""
    q, r = np.linalg.qr(seen)
    if np.abs(np.diag(r)).min() < 1e-9 * np.abs(np.diag(r)).max():
        raise ValueError("the imputation model is not identified: post scores of the partners who answered "
                         "do not vary or repeat another predictor; use complete pairs")
    fitted = np.linalg.solve(r, q.T @ observed)
    residual = observed - seen @ fitted
    sigma = math.sqrt(residual @ residual / rng.chisquare(len(seen) - seen.shape[1]))
    drawn = fitted + sigma * np.linalg.solve(r, rng.standard_normal(len(fitted)))
    if method == "norm":
        return unseen @ drawn + sigma * rng.standard_normal(len(unseen))
    distance = np.abs((seen @ fitted)[None, :] - (unseen @ drawn)[:, None])
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :donors]
    return observed[nearest[np.arange(len(unseen)), rng.integers(0, donors, len(unseen))]]


def _conclusion(pooled, reference):
    if pooled.low > reference:
        return "above"
    return "below" if pooled.high < reference else "includes"
