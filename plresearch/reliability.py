"""Reliability of a subscale from one wave's answers: alpha, lambda-2, lambda-6, omega.

Every function takes `items`, a people x items matrix with complete rows and every item already pointing
the same way (reverse-scored items reversed). A missing answer is refused: who counts as answered is
decided when scores are formed, not here.
"""
from dataclasses import dataclass
import math

import numpy as np
from scipy import linalg, stats

STEPS = 400  # Heywood cases near the edge of existence need some hundreds of scoring steps, others about 20


@dataclass(frozen=True)
class Alpha:
    """Cronbach's alpha and what belongs beside it; None where a part is not defined."""

    alpha: float
    low: float
    high: float
    standardised: float | None
    alpha_if_dropped: tuple[float | None, ...]
    item_rest: tuple[float | None, ...]
    sem: float | None
    constant_items: tuple[int, ...]
    n: int
    items: int
    level: float


@dataclass(frozen=True)
class Guttman:
    """Guttman's lambda-2 and lambda-6 of the summed raw items and of the summed standardised items."""

    lambda2: float
    lambda6: float | None
    lambda2_standardised: float | None
    lambda6_standardised: float | None
    n: int
    items: int


@dataclass(frozen=True)
class Omega:
    """McDonald's omega of a one-factor model; `heywood` lists items with a uniqueness of zero or less."""

    omega: float
    se: float
    low: float
    high: float
    logit_low: float | None
    logit_high: float | None
    loadings: tuple[float, ...]
    uniquenesses: tuple[float, ...]
    heywood: tuple[int, ...]
    chi2: float
    df: int
    p: float | None
    n: int
    items: int
    level: float


def cronbach_alpha(items, *, level=0.95):
    """Cronbach's alpha of the sum (or mean) of the items, with Feldt's interval.

    Estimand: the reliability of the total score if all items measure one thing equally strongly
    (essentially tau-equivalent); otherwise a lower bound to it when item errors are uncorrelated.
    alpha = k / (k - 1) * (1 - sum of item variances / variance of the total).
    Interval (Feldt 1965): 1 - (1 - alpha) F, F with n - 1 and (n - 1)(k - 1) degrees of freedom; exact under
    normal, compound-symmetric items.

    Parameters
    ----------
    items : (n people, k items) array of answers on one common scale, all items in the same direction.
        Missing or non-finite answers raise.
    level : coverage of the interval, between 0 and 1.

    Returns
    -------
    Alpha
        `standardised` is alpha of the correlation matrix and is None when an item does not vary;
        `alpha_if_dropped` and `item_rest` (correlation of the item with the sum of the others) have one
        entry per item, None where the remaining items or the item itself do not vary or, for alpha, where
        only one item would remain; `sem` is the standard error of measurement of the *mean* of the items,
        in answer units (None when alpha is negative); `constant_items` are the positions of items
        everybody answered alike.

    Raises
    ------
    ValueError
        Missing answers; fewer than three people; fewer than two items; a total score without variation.

    References
    ----------
    Cronbach 1951, doi:10.1007/BF02310555. Feldt 1965, doi:10.1007/BF02289499.

    Examples
    --------
    >>> answers = [[3, 4, 3], [5, 5, 4], [2, 2, 3], [4, 4, 5], [1, 2, 2], [4, 5, 4]]
    >>> a = cronbach_alpha(answers)
    >>> round(a.alpha, 3), round(a.low, 3), round(a.high, 3)
    (0.928, 0.696, 0.989)
    """
    x = _items(items)
    _check_level(level)
    n, k = x.shape
    covariance = np.cov(x, rowvar=False)
    alpha = _alpha(covariance)
    if alpha is None:
        raise ValueError(f"the total of the {k} items is the same for all {n} people, so alpha is not "
                         "defined; report the answers themselves")
    df = n - 1, (n - 1) * (k - 1)
    tail = (1 - level) / 2
    constant = _constant(x)
    rest = [x.sum(axis=1) - x[:, j] for j in range(k)]
    return Alpha(
        alpha=alpha,
        low=float(1 - (1 - alpha) * stats.f.isf(tail, *df)),
        high=float(1 - (1 - alpha) * stats.f.ppf(tail, *df)),
        standardised=None if constant else _alpha(np.corrcoef(x, rowvar=False)),
        alpha_if_dropped=tuple(_alpha(np.delete(np.delete(covariance, j, 0), j, 1)) for j in range(k)),
        item_rest=tuple(_correlation(x[:, j], rest[j]) for j in range(k)),
        sem=standard_error_of_measurement(x.mean(axis=1).std(ddof=1), alpha) if alpha >= 0 else None,
        constant_items=constant, n=n, items=k, level=level)


def guttman(items):
    """Guttman's lambda-2 and lambda-6, lower bounds to the reliability of the total score.

    With C the covariance matrix of k items, V its sum and c the off-diagonal entries,
    lambda-2 = (sum c + sqrt(k / (k - 1) * sum c^2)) / V, never below alpha;
    lambda-6 = 1 - sum e^2 / V, where e^2 = 1 / (C^-1)_jj is the variance of item j that the other items
    do not predict. The `_standardised` fields use the correlation matrix (the scale of standardised items).

    Parameters
    ----------
    items : (n people, k items) array of answers, complete rows; missing answers raise.

    Returns
    -------
    Guttman
        lambda-6 is None when C cannot be inverted (as many items as people, or an item that others fix);
        the standardised forms are None when an item does not vary.

    Raises
    ------
    ValueError
        As for `cronbach_alpha`.

    References
    ----------
    Guttman 1945, doi:10.1007/BF02288892.

    Examples
    --------
    >>> answers = [[3, 4, 3], [5, 5, 4], [2, 2, 3], [4, 4, 5], [1, 2, 2], [4, 5, 4]]
    >>> g = guttman(answers)
    >>> round(g.lambda2, 3), round(g.lambda6, 3)
    (0.938, 0.954)
    """
    x = _items(items)
    n, k = x.shape
    covariance = np.cov(x, rowvar=False)
    if _alpha(covariance) is None:
        raise ValueError(f"the total of the {k} items is the same for all {n} people, so lambda-2 and "
                         "lambda-6 are not defined; report the answers themselves")
    correlation = None if _constant(x) else np.corrcoef(x, rowvar=False)
    return Guttman(
        lambda2=_lambda2(covariance), lambda6=_lambda6(covariance),
        lambda2_standardised=None if correlation is None else _lambda2(correlation),
        lambda6_standardised=None if correlation is None else _lambda6(correlation),
        n=n, items=k)


def standard_error_of_measurement(sd, reliability):
    """Standard error of measurement, in the score's own units: sd * sqrt(1 - reliability).

    Estimand: the standard deviation of one person's observed scores around the true score.

    Parameters
    ----------
    sd : standard deviation of the score between people (not below 0).
    reliability : between 0 and 1, preferably from an external sample.

    Raises
    ------
    ValueError
        A negative or non-finite `sd`; a reliability outside [0, 1].

    References
    ----------
    Lord & Novick 1968, Statistical Theories of Mental Test Scores, Addison-Wesley.

    Examples
    --------
    >>> round(standard_error_of_measurement(0.8, 0.84), 3)
    0.32
    """
    if not (math.isfinite(sd) and sd >= 0):
        raise ValueError(f"sd is {sd}; give the standard deviation of the score, a number not below 0")
    if not 0 <= reliability <= 1:
        raise ValueError(f"reliability is {reliability}; it must lie between 0 and 1 "
                         "(a negative alpha means the items do not form one scale)")
    return float(sd * math.sqrt(1 - reliability))


def mcdonald_omega(items, *, level=0.95):
    """McDonald's omega of the total score, from a one-factor model fitted by maximum likelihood.

    Estimand: the share of the total's model-implied variance that is due to the one common factor,
    omega = (sum loadings)^2 / ((sum loadings)^2 + sum uniquenesses). Unlike alpha it does not need equal
    loadings. Factor variance is 1, errors are uncorrelated, the covariance has divisor n.
    Standard error by the delta method from the expected information; `low`, `high` are omega -+ z se and
    `logit_low`, `logit_high` the same on the logit scale, which stays inside (0, 1).

    Uniquenesses are not constrained. A Heywood case (a uniqueness of zero or less, frequent in small samples)
    is named in `heywood`; its omega and intervals are then not to be relied on.

    Parameters
    ----------
    items : (n people, k items) array of answers, complete rows; missing answers raise. Pool cohorts first:
        below some fifty people the model is hardly estimable.
    level : coverage of both intervals.

    Returns
    -------
    Omega
        `chi2`, `df`, `p`: test of the one-factor model (p is None with three items, which any such model
        fits); logit limits are None when omega is not strictly between 0 and 1.

    Raises
    ------
    ValueError
        Missing answers; fewer than three items (the model is not identified); not more people than items or
        a singular covariance; an item without variation; no interior maximum of the likelihood; a factor that
        the data do not identify.

    References
    ----------
    McDonald 1999, Test Theory, Erlbaum. Joreskog 1967, doi:10.1007/BF02289658.
    Raykov 2002, doi:10.1207/S15327906MBR3701_04. Padilla & Divers 2016, doi:10.1177/0013164415593776.

    Examples
    --------
    Items built to follow the model exactly (loadings .8, .7, .6, uniquenesses 1 - loading^2):

    >>> import numpy as np
    >>> loading = np.array([.8, .7, .6])
    >>> target = np.outer(loading, loading) + np.diag(1 - loading ** 2)
    >>> z = np.random.default_rng(1).standard_normal((200, 3))
    >>> white = np.linalg.solve(np.linalg.cholesky(np.cov(z.T)), (z - z.mean(0)).T)
    >>> o = mcdonald_omega((np.linalg.cholesky(target) @ white).T)
    >>> round(o.omega, 6), round(2.1 ** 2 / (2.1 ** 2 + 1.51), 6), o.heywood
    (0.744932, 0.744932, ())
    """
    x = _items(items)
    _check_level(level)
    n, k = x.shape
    if k < 3:
        raise ValueError(f"{k} items: a one-factor model needs at least three; use alpha")
    constant = _constant(x)
    if constant:
        raise ValueError(f"{len(constant)} item(s) without variation, first at position {constant[0]}; "
                         "leave them out of the factor model and say so")
    if n <= k:
        raise ValueError(f"{n} people and {k} items: the covariance is singular; omega needs more people "
                         "than items, so pool the cohorts")
    scale = x.std(axis=0)
    correlation = np.corrcoef(x, rowvar=False)
    if np.linalg.eigvalsh(correlation)[0] < 1e-10:
        raise ValueError("the items' covariance is singular (an item is a combination of others); "
                         "remove the duplicated item")
    loading, uniqueness = _one_factor(correlation)
    information = _information(loading, uniqueness) * n / 2
    parameters_covariance = _invert_information(information)

    total_loading = (scale * loading).sum()
    error = (scale ** 2 * uniqueness).sum()
    variance = total_loading ** 2 + error
    omega = total_loading ** 2 / variance
    gradient = np.concatenate([2 * total_loading * error / variance ** 2 * scale,
                               -total_loading ** 2 / variance ** 2 * scale ** 2])
    se = math.sqrt(gradient @ parameters_covariance @ gradient)
    z = stats.norm.isf((1 - level) / 2)
    logit_low, logit_high = _logit_interval(omega, se, z)
    chi2 = max(0.0, n * _discrepancy(correlation, loading, uniqueness))
    df = k * (k - 3) // 2
    return Omega(
        omega=float(omega), se=se, low=float(omega - z * se), high=float(omega + z * se),
        logit_low=logit_low, logit_high=logit_high,
        loadings=tuple((scale * loading).tolist()), uniquenesses=tuple((scale ** 2 * uniqueness).tolist()),
        heywood=tuple(np.flatnonzero(uniqueness <= 0).tolist()),
        chi2=chi2, df=df, p=float(stats.chi2.sf(chi2, df)) if df else None, n=n, items=k, level=level)


def _items(items):
    x = np.asarray(items, dtype=float)
    if x.ndim != 2:
        raise ValueError(f"items has {x.ndim} dimension(s); give a matrix of people (rows) by items "
                         "(columns)")
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        row, column = bad[0]
        raise ValueError(f"items: {len(bad)} missing or non-finite answer(s), first at row {row}, column "
                         f"{column}; pass complete rows only and report how many people that leaves")
    n, k = x.shape
    if k < 2:
        raise ValueError(f"{k} item(s): internal consistency needs at least two; a single item has none")
    if n < 3:
        raise ValueError(f"{n} people: internal consistency needs at least three; report the answers instead")
    return x


def _check_level(level):
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie strictly between 0 and 1, for example 0.95")


def _constant(x):
    return tuple(np.flatnonzero(np.ptp(x, axis=0) == 0).tolist())


def _alpha(covariance):
    """Alpha of a covariance matrix; None for one item or a total without variance."""
    k = len(covariance)
    total = covariance.sum()
    if k < 2 or total <= 1e-12 * max(np.trace(covariance), 1e-300):
        return None
    return float(k / (k - 1) * (1 - np.trace(covariance) / total))


def _lambda2(covariance):
    k = len(covariance)
    off = covariance - np.diag(np.diag(covariance))
    return float((off.sum() + math.sqrt(k / (k - 1) * (off ** 2).sum())) / covariance.sum())


def _lambda6(covariance):
    sd = np.sqrt(np.diag(covariance))
    if (sd == 0).any():
        return None
    correlation = covariance / np.outer(sd, sd)
    if np.linalg.eigvalsh(correlation)[0] < 1e-10:
        return None
    unpredicted = sd ** 2 / np.diag(np.linalg.inv(correlation))
    return float(1 - unpredicted.sum() / covariance.sum())


def _correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 1e-12 else None


def _discrepancy(s, loading, uniqueness):
    """ML fit function log|Sigma| + tr(S Sigma^-1) - log|S| - k; infinite where Sigma is not positive."""
    sigma = np.outer(loading, loading) + np.diag(uniqueness)
    try:
        factor = linalg.cho_factor(sigma, lower=True)
    except linalg.LinAlgError:
        return math.inf
    log_det = 2 * np.log(np.diag(factor[0])).sum()
    return float(log_det + np.trace(linalg.cho_solve(factor, s)) - np.linalg.slogdet(s)[1] - len(s))


def _information(loading, uniqueness):
    """tr(Sigma^-1 dSigma_a Sigma^-1 dSigma_b) over loadings, then uniquenesses; n/2 of it is expected."""
    a = np.linalg.inv(np.outer(loading, loading) + np.diag(uniqueness))
    al = a @ loading
    loading_loading = 2 * ((loading @ al) * a + np.outer(al, al))
    loading_unique = 2 * a * al
    return np.block([[loading_loading, loading_unique], [loading_unique.T, a ** 2]])


def _gradient(s, loading, uniqueness):
    sigma = np.outer(loading, loading) + np.diag(uniqueness)
    residual = np.linalg.solve(sigma, np.linalg.solve(sigma, sigma - s).T)
    return np.concatenate([2 * residual @ loading, np.diag(residual)])


def _one_factor(s):
    """Loadings and uniquenesses of the maximum-likelihood one-factor model, by damped Fisher scoring.

    A step must lower the fit function or, where that has settled to rounding error, the gradient; the
    maximum is reached when the gradient is below 1e-9 and no step improves either, or below 1e-12.
    """
    k = len(s)
    uniqueness = (1 - 0.5 / k) / np.diag(np.linalg.inv(s))
    root = np.sqrt(uniqueness)
    value, vector = np.linalg.eigh(s / np.outer(root, root))
    loading = root * vector[:, -1] * math.sqrt(max(value[-1] - 1, 0.01))
    fit, gradient = _discrepancy(s, loading, uniqueness), _gradient(s, loading, uniqueness)
    for _ in range(STEPS):
        steepest = np.abs(gradient).max()
        if steepest < 1e-12:
            break
        step = np.linalg.lstsq(_information(loading, uniqueness), gradient, rcond=None)[0]
        for size in 0.5 ** np.arange(30):
            trial = loading - size * step[:k], uniqueness - size * step[k:]
            trial_fit = _discrepancy(s, *trial)
            if trial_fit > fit + 1e-12:
                continue
            trial_gradient = _gradient(s, *trial)
            if trial_fit < fit - 1e-12 or np.abs(trial_gradient).max() < steepest:
                break
        else:
            break
        (loading, uniqueness), fit, gradient = trial, trial_fit, trial_gradient
    if np.abs(gradient).max() > 1e-9:
        raise ValueError("the one-factor likelihood has no interior maximum for these answers (an extreme "
                         "Heywood case); use alpha or lambda-2, or pool more people")
    return loading * (1 if loading.sum() >= 0 else -1), uniqueness


def _invert_information(information):
    value = np.linalg.eigvalsh(information)
    if value[0] <= 1e-10 * value[-1]:
        raise ValueError("the answers do not identify a single factor (singular information: at most two "
                         "items share variance); inspect the item correlations and use alpha")
    return np.linalg.inv(information)


def _logit_interval(omega, se, z):
    if not 0 < omega < 1:
        return None, None
    centre, spread = math.log(omega / (1 - omega)), z * se / (omega * (1 - omega))
    return tuple(1 / (1 + math.exp(-(centre + sign * spread))) for sign in (-1, 1))
