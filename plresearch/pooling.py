"""Two-stage meta-analysis: cohort-level estimates pooled by random effects.

Arrays in, frozen dataclasses out.
The model is y_i = mu + b_i + e_i with e_i ~ N(0, v_i), v_i known, and b_i ~ N(0, tau2).
The cost of every function is linear in the number of cohorts k.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr

NEGLIGIBLE = 45.0                                   # drop of a log density that no longer counts: 3e-20
CHUNK = 2_000_000                                   # numbers held at once; bounds memory, not results
TESTS = ("wald", "hk", "mhk")


@dataclass(frozen=True)
class Pooled:
    """A pooled estimate; `I2` is in percent, every other number in the unit of y (or its square)."""

    estimate: float
    se: float
    df: float                   # of the t distribution used; infinite for the normal
    low: float
    high: float
    p: float                    # two-sided, mu = 0
    tau2: float
    tau2_low: float
    tau2_high: float
    Q: float                    # Cochran's heterogeneity statistic and its chi-squared(k - 1) p
    Q_p: float
    I2: float
    H2: float
    prediction_low: float
    prediction_high: float
    prediction_df: float
    weights: np.ndarray         # shares of the pooled estimate; sum to 1
    k: int
    level: float


@dataclass(frozen=True)
class BayesPooled:
    """Posterior of the random-effects model with a half-normal prior on tau and a flat prior on mu."""

    mean: float
    median: float
    sd: float
    low: float
    high: float
    positive: float             # P(mu > 0 | y)
    tau_median: float
    tau_mean: float
    tau_low: float
    tau_high: float
    shrunken: np.ndarray        # posterior mean, standard deviation and interval of each cohort's own effect
    shrunken_sd: np.ndarray
    shrunken_low: np.ndarray
    shrunken_high: np.ndarray
    scale: float
    k: int
    level: float


# ---------------------------------------------------------------------------------------------- checks

def _checked(y, v, level):
    """Return y and v as float vectors, or say what is wrong with them."""
    y, v = np.asarray(y, dtype=float), np.asarray(v, dtype=float)
    if y.ndim != 1 or y.shape != v.shape:
        raise ValueError(f"y and v must be two vectors of the same length, not {y.shape} and {v.shape}")
    for name, values in (("y", y), ("v", v)):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise ValueError(f"{name} holds {bad.size} missing or infinite value(s), first at position "
                             f"{bad[0]}; leave these cohorts out before pooling")
    bad = np.flatnonzero(v <= 0)
    if bad.size:
        raise ValueError(f"v holds {bad.size} variance(s) that are not positive, first {v[bad[0]]} at "
                         f"position {bad[0]}; a cohort without a standard error cannot be pooled")
    if y.size < 2:
        raise ValueError(f"pooling needs at least two cohorts, not {y.size}; report the cohort's own "
                         "estimate")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    return y, v


# ---------------------------------------------------------------------------------------- heterogeneity

def _weighted(y, v, tau2):
    """Return the sum of the weights 1/(v + tau2), the weighted mean and Q(tau2)."""
    weight = 1 / (v + tau2)
    total = weight.sum()
    mean = weight @ y / total
    return total, mean, weight @ (y - mean) ** 2


def _generalised_q(y, v, tau2):
    return _weighted(y, v, tau2)[2]


def _q_root(y, v, target):
    """The tau2 >= 0 at which the decreasing function Q(tau2) equals target; 0 where Q(0) is already below."""
    if _generalised_q(y, v, 0.0) <= target:
        return 0.0
    above = np.sum((y - y.mean()) ** 2) / target        # Q(t) <= sum (y - mean)^2 / t for every t
    return brentq(lambda t: _generalised_q(y, v, t) - target, 0.0, above * (1 + 1e-9),
                  xtol=1e-300, maxiter=500)


def _paule_mandel(y, v):
    return _q_root(y, v, y.size - 1)


def _dersimonian_laird(y, v):
    w = 1 / v
    return max(0.0, (_generalised_q(y, v, 0.0) - (y.size - 1)) / (w.sum() - w @ w / w.sum()))


def _restricted_log_likelihood(y, v, tau2):
    total, _, q = _weighted(y, v, tau2)
    return -0.5 * (np.sum(np.log(v + tau2)) + np.log(total) + q)


def _restricted_score(y, v, tau2):
    """Derivative of the restricted log-likelihood with respect to tau2."""
    w = 1 / (v + tau2)
    total = w.sum()
    mean = w @ y / total
    return 0.5 * (w ** 2 @ (y - mean) ** 2 - total + w @ w / total)


def _reml(y, v):
    """Global maximum of the restricted likelihood over tau2 >= 0: all local maxima are found and compared."""
    top = np.sum((y - y.mean()) ** 2) + v.max()
    while _restricted_score(y, v, top) > 0:
        top *= 2
    grid = np.concatenate([[0.0], np.geomspace(v.min() * 1e-6, top, 120)])
    score = np.array([_restricted_score(y, v, t) for t in grid])
    peaks = np.flatnonzero((score[:-1] > 0) & (score[1:] <= 0))
    candidates = [0.0] + [brentq(lambda t: _restricted_score(y, v, t), grid[i], grid[i + 1], xtol=1e-300,
                                 maxiter=500) for i in peaks]
    return max(candidates, key=lambda t: _restricted_log_likelihood(y, v, t))


TAU2 = {"REML": _reml, "PM": _paule_mandel, "DL": _dersimonian_laird, "FE": lambda y, v: 0.0}


def _tau2_interval(y, v, level):
    """Q-profile interval of tau2; (0, 0) when even tau2 = 0 makes Q smaller than its lower quantile."""
    lower, upper = stats.chi2.ppf([(1 - level) / 2, (1 + level) / 2], y.size - 1)
    return _q_root(y, v, upper), _q_root(y, v, lower)


def _inconsistency(v, tau2, q, fixed):
    """I2 (percent) and H2: tau2 against the typical sampling variance, or from Q for a fixed effect."""
    k, w = v.size, 1 / v
    if fixed:
        return 100 * max(0.0, 1 - (k - 1) / q) if q > 0 else 0.0, q / (k - 1)
    typical = (k - 1) * w.sum() / (w.sum() ** 2 - w @ w)
    return 100 * tau2 / (tau2 + typical), tau2 / typical + 1


# ------------------------------------------------------------------------------------------- pooling

def _standard_error(y, v, tau2, test):
    """Standard error of the pooled mean and its degrees of freedom (Hartung & Knapp 2001)."""
    total, _, q = _weighted(y, v, tau2)
    df = y.size - 1
    if test == "wald":
        return 1 / np.sqrt(total), np.inf
    if test == "hk" and q == 0:
        raise ValueError("all cohorts have the same estimate: the Hartung-Knapp standard error is 0; "
                         "use test='mhk', whose standard error is not below Wald's")
    factor = q / df if test == "hk" else max(1.0, q / df)
    return np.sqrt(factor / total), df


def _prediction(estimate, se, tau2, k, level, *, convention, test, fixed):
    """Prediction interval and its degrees of freedom; (NaN, NaN) for a fixed effect, infinite at 0 df."""
    if fixed:
        return np.nan, np.nan, np.nan
    if convention == "k-2":
        df = k - 2
    else:
        df = np.inf if test == "wald" else k - 1
    if df == 0:
        return -np.inf, np.inf, 0
    half = stats.t.ppf((1 + level) / 2, df) * np.sqrt(tau2 + se ** 2)
    return estimate - half, estimate + half, df


def pool(y, v, *, tau2="REML", test="hk", level=0.95, prediction="k-2"):
    """Pool cohort-level estimates by a random-effects (or fixed-effect) meta-analysis.

    The estimand is mu, the mean of the distribution of cohort effects:
    estimate = sum(w y) / sum(w) with w = 1 / (v + tau2).

    Parameters
    ----------
    y : array of k estimates, in the unit of the outcome (for example mean changes of a cohort's pairs)
    v : array of their k sampling variances (squared standard errors), treated as known
    tau2 : how the between-cohort variance is estimated: "REML" (restricted maximum likelihood, the global
        maximum), "PM" (Paule-Mandel), "DL" (DerSimonian-Laird, truncated at 0) or "FE" (fixed
        effect: tau2 = 0)
    test : "hk" (Hartung-Knapp: standard error times sqrt(q), q = sum(w (y - mu)^2) / (k - 1), t with k - 1
        df), "mhk" (modified: q not below 1, so that the standard error is never below Wald's) or
        "wald" (normal)
    level : confidence level of every interval
    prediction : "k-2" or "k-1", the degrees of freedom of the prediction interval

    Returns
    -------
    Pooled
        `estimate`, `se`, `df`, `low`, `high`, `p`; `tau2` with its Q-profile interval (both limits 0 when the
        set is empty); Cochran's `Q` and `Q_p`; `I2` in percent and `H2`; the prediction interval; `weights`.

    Notes
    -----
    Prediction interval (the true effect of a new cohort): estimate +- t * sqrt(tau2 + se^2) with k - 2
    degrees of freedom, one for mu and one for the estimated tau2 (Higgins, Thompson & Spiegelhalter 2009).
    metafor 3.8 calls that `pi.type="riley"`. prediction="k-1" is metafor's default instead: k - 1 df with
    "hk" and "mhk", the normal with "wald". At k = 3 the single degree of freedom gives t = 12.7, so the
    interval can be more than twelve standard deviations wide: print it with this footnote. At k = 2 it is
    infinite; for a fixed effect there is no such distribution and the limits are NaN.

    Missing values are refused. With k = 3, Wald intervals cover far less than stated; hk covers about
    95 %, at the price of width; `bayes_half_normal` gives a narrower interval with similar coverage.

    Raises
    ------
    ValueError
        for missing or infinite values, variances that are not positive, fewer than two cohorts, "FE" with
        a Hartung-Knapp test (which estimates between-cohort spread), or identical estimates with "hk".

    References
    ----------
    Hartung & Knapp 2001, doi:10.1002/sim.791. Paule & Mandel 1982, doi:10.6028/jres.087.022.
    DerSimonian & Laird 1986, doi:10.1016/0197-2456(86)90046-2. Viechtbauer 2005,
    doi:10.3102/10769986030003261. Viechtbauer 2007 (Q-profile), doi:10.1002/sim.2514.
    Higgins, Thompson & Spiegelhalter 2009, doi:10.1111/j.1467-985X.2008.00552.x.

    Examples
    --------
    >>> fit = pool([0.10, 0.60, 0.35], [0.04, 0.03, 0.05])
    >>> print(f"{fit.estimate:.4f} ({fit.low:.4f} to {fit.high:.4f}), tau2 {fit.tau2:.4f}, I2 {fit.I2:.1f} %")
    0.3633 (-0.2769 to 1.0034), tau2 0.0320, I2 45.0 %
    """
    if tau2 not in TAU2:
        raise ValueError(f"tau2 must be one of {', '.join(TAU2)}, not {tau2!r}")
    if test not in TESTS:
        raise ValueError(f"test must be one of {', '.join(TESTS)}, not {test!r}")
    if prediction not in ("k-2", "k-1"):
        raise ValueError(f"prediction must be 'k-2' or 'k-1', not {prediction!r}")
    fixed = tau2 == "FE"
    if fixed and test != "wald":
        raise ValueError("a fixed effect has no between-cohort spread for Hartung-Knapp; use test='wald'")
    y, v = _checked(y, v, level)
    between = float(TAU2[tau2](y, v))
    total, estimate, _ = _weighted(y, v, between)
    se, df = _standard_error(y, v, between, test)
    half = stats.t.ppf((1 + level) / 2, df) * se
    q = _generalised_q(y, v, 0.0)
    i2, h2 = _inconsistency(v, between, q, fixed)
    tau2_low, tau2_high = _tau2_interval(y, v, level)
    low, high, prediction_df = _prediction(estimate, se, between, y.size, level, convention=prediction,
                                           test=test, fixed=fixed)
    return Pooled(
        estimate=float(estimate), se=float(se), df=float(df), low=float(estimate - half),
        high=float(estimate + half), p=float(2 * stats.t.sf(abs(estimate) / se, df)), tau2=between,
        tau2_low=float(tau2_low), tau2_high=float(tau2_high), Q=float(q),
        Q_p=float(stats.chi2.sf(q, y.size - 1)),
        I2=float(i2), H2=float(h2), prediction_low=float(low), prediction_high=float(high),
        prediction_df=float(prediction_df), weights=1 / (v + between) / total, k=y.size, level=level)


# --------------------------------------------------------------------------------------------- Bayes

def _posterior_parts(y, v, tau):
    """For each tau: log marginal likelihood, conditional mean of mu and its precision (vectors like tau)."""
    log_density, mean, precision = (np.empty(tau.size) for _ in range(3))
    step = max(1, CHUNK // y.size)
    for start in range(0, tau.size, step):
        part = slice(start, start + step)
        variance = v + tau[part, None] ** 2
        w = 1 / variance
        precision[part] = w.sum(axis=1)
        mean[part] = w @ y / precision[part]
        q = np.sum(w * (y - mean[part, None]) ** 2, axis=1)
        log_density[part] = -0.5 * (np.log(variance).sum(axis=1) + np.log(precision[part]) + q)
    return log_density, mean, precision


def _log_posterior(y, v, scale, tau):
    return _posterior_parts(y, v, tau)[0] - 0.5 * (tau / scale) ** 2


def _panels(y, v, scale):
    """Break points of the quadrature: the range in which the posterior of tau is not negligible."""
    smallest = 1e-3 * min(scale, np.sqrt(v.min()))
    grid = np.concatenate([[0.0], np.geomspace(smallest, 10 * scale, 400)])
    for _ in range(6):          # zoom in: with many cohorts the posterior is far narrower than the first grid
        density = _log_posterior(y, v, scale, grid)
        inside = np.flatnonzero(density > density.max() - NEGLIGIBLE)
        low, high = grid[max(inside[0] - 1, 0)], grid[min(inside[-1] + 1, grid.size - 1)]
        if inside.size > 60:
            break
        grid = np.linspace(low, high, 400)
    fine = np.geomspace(max(low, smallest), high, 1 + int(np.ceil(np.log(high / max(low, smallest)) / 0.4)))
    return np.unique(np.concatenate([[low], fine, np.linspace(low, high, 25)]))


def _nodes(edges, order=12):
    """Gauss-Legendre nodes and weights on every panel, one row per panel."""
    x, w = np.polynomial.legendre.leggauss(order)
    half = np.diff(edges)[:, None] / 2
    return edges[:-1, None] + half * (1 + x), half * w


def _tau_quantile(probability, edges, mass, density):
    """Quantile of tau: the panel that holds it, then a root inside the panel."""
    before = np.concatenate([[0.0], np.cumsum(mass)])
    panel = min(np.searchsorted(before, probability, side="right") - 1, mass.size - 1)
    left, right = edges[panel], edges[panel + 1]

    def excess(t):
        tau, weight = _nodes(np.array([left, t]))
        return before[panel] + float(weight.ravel() @ density(tau.ravel())) - probability

    if excess(right) <= 0:
        return float(right)
    return float(brentq(excess, left, right, xtol=1e-14 * right, rtol=1e-14))


def _mixture_quantile(probability, share, mean, sd):
    """Quantiles of normal mixtures, one per row of mean and sd, by bisection made fast by Newton steps."""
    low, high = (mean - 40 * sd).min(axis=1), (mean + 40 * sd).max(axis=1)
    x = mean @ share
    for _ in range(200):
        z = (x[:, None] - mean) / sd
        excess = ndtr(z) @ share - probability
        low, high = np.where(excess < 0, x, low), np.where(excess < 0, high, x)
        slope = (np.exp(-0.5 * z ** 2) / sd) @ share / np.sqrt(2 * np.pi)
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = x - excess / slope
        new = np.where((newton > low) & (newton < high), newton, (low + high) / 2)
        done = np.abs(new - x) <= 1e-13 * (high - low + np.abs(x) + sd.min(axis=1))
        x = new
        if done.all():
            break
    return x


def _shrinkage(y, v, tau, share, mean, precision, level):
    """Posterior mean, standard deviation and interval of each cohort's own effect."""
    out = np.empty((4, y.size))
    step = max(1, CHUNK // tau.size)
    for start in range(0, y.size, step):
        part = slice(start, start + step)
        own = tau ** 2 / (tau ** 2 + v[part, None])                     # weight of the cohort's own estimate
        centre = own * y[part, None] + (1 - own) * mean
        variance = own * v[part, None] + (1 - own) ** 2 / precision
        out[0, part] = centre @ share
        out[1, part] = np.sqrt(variance @ share + (centre - out[0, part, None]) ** 2 @ share)
        for row, probability in ((2, (1 - level) / 2), (3, (1 + level) / 2)):
            out[row, part] = _mixture_quantile(probability, share, centre, np.sqrt(variance))
    return out


def bayes_half_normal(y, v, *, scale, level=0.95):
    """Random-effects meta-analysis with a half-normal prior on tau and a flat prior on mu, by quadrature.

    The estimand is mu, the mean of the distribution of cohort effects. The posterior of tau is proportional
    to prod (v_i + tau^2)^(-1/2) * (sum w)^(-1/2) * exp(-sum w (y - mu_tau)^2 / 2) * exp(-tau^2 / 2 scale^2);
    given tau, mu is normal with mean mu_tau and variance 1 / sum w. Both integrals use Gauss-Legendre panels,
    so that there is no sampling error.

    Parameters
    ----------
    y, v : arrays of k estimates and their sampling variances, as in `pool`
    scale : scale of the half-normal prior in the unit of the outcome (the prior's median of tau is
        0.67 scale). Default advice: half a standard deviation of the outcome, with a quarter and one
        standard deviation as sensitivity analysis
    level : probability inside the central intervals

    Returns
    -------
    BayesPooled
        `mean`, `median`, `sd`, `low`, `high` of mu; `positive` = P(mu > 0); `tau_median`, `tau_mean`,
        `tau_low`, `tau_high`; `shrunken` (with `_sd`, `_low`, `_high`), the effect of each cohort.

    Missing values are refused.

    Raises
    ------
    ValueError
        as `pool`, or for a scale that is not positive.

    References
    ----------
    Röver 2020, doi:10.18637/jss.v093.i06. Röver et al. 2021, doi:10.1002/jrsm.1475.

    Examples
    --------
    >>> fit = bayes_half_normal([0.10, 0.60, 0.35], [0.04, 0.03, 0.05], scale=0.5)
    >>> print(f"{fit.mean:.4f} ({fit.low:.4f} to {fit.high:.4f}), P(mu > 0) = {fit.positive:.3f}")
    0.3615 (-0.1267 to 0.8345), P(mu > 0) = 0.947
    """
    y, v = _checked(y, v, level)
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be a positive number in the unit of the outcome, not {scale}")
    edges = _panels(y, v, scale)
    tau, weight = _nodes(edges)
    log_density, mean, precision = _posterior_parts(y, v, tau.ravel())
    log_density -= 0.5 * (tau.ravel() / scale) ** 2
    peak = log_density.max()
    share = np.exp(log_density - peak) * weight.ravel()
    total = share.sum()
    share /= total
    sd = np.sqrt(1 / precision)
    centre = mean @ share

    def density(t):
        return np.exp(_log_posterior(y, v, scale, t) - peak) / total

    mass = share.reshape(tau.shape).sum(axis=1)
    lower, upper = (1 - level) / 2, (1 + level) / 2
    low, median, high = (float(_mixture_quantile(q, share, mean[None], sd[None])[0])
                         for q in (lower, 0.5, upper))
    tau_low, tau_median, tau_high = (_tau_quantile(q, edges, mass, density) for q in (lower, 0.5, upper))
    shrunken, shrunken_sd, shrunken_low, shrunken_high = _shrinkage(y, v, tau.ravel(), share, mean, precision,
                                                                    level)
    return BayesPooled(
        mean=float(centre), median=median, sd=float(np.sqrt(share @ (sd ** 2 + (mean - centre) ** 2))),
        low=low, high=high, positive=float(share @ ndtr(mean / sd)), tau_median=tau_median,
        tau_mean=float(share @ tau.ravel()), tau_low=tau_low, tau_high=tau_high, shrunken=shrunken,
        shrunken_sd=shrunken_sd, shrunken_low=shrunken_low, shrunken_high=shrunken_high, scale=float(scale),
        k=y.size, level=level)


# ------------------------------------------------------------------------------------------- frame level
