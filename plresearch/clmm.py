"""Cumulative-link (proportional-odds) mixed models for ordinal items, by maximum likelihood.

P(Y <= j) = F(theta_j - x'beta - u), F logistic, with normal random intercepts for one grouping (Laplace or
adaptive Gauss-Hermite) or for two crossed or nested groupings, such as person and item (Laplace).

The algebra rests on one identity. With a = theta_y - eta and b = theta_{y-1} - eta, where eta = x'beta + u,

    -log P(y) = log(1 + exp(-a)) + log(1 + exp(b)) - log(1 - exp(b - a)),

whose last term does not depend on eta. So the derivatives in eta are 1 - F(a) - F(b), f(a) + f(b) > 0 and
-(f'(a) + f'(b)): the mode of the random effects is unique and no difference of probabilities is ever taken.
Every evaluation costs a number of operations linear in the rows (and, for two groupings, cubic in the levels
of the smaller grouping that are connected with one another, such as the items of one instrument).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse, stats
from scipy.optimize import linprog
from scipy.special import expit

FAR = 15.0              # a linear predictor beyond this (odds of 3 million) is looked at for separation
WIDE = 30.0             # a random-effect standard deviation beyond this cannot be told from infinity
STRIDE = 4.0            # logits by which an inner step may move a random effect
ZERO_SD = 1e-3          # below this the likelihood at a standard deviation of exactly 0 is compared
MANY_CELLS = 200_000_000    # memory bound for the crossed algebra


@dataclass(frozen=True)
class ClmmFit:
    """A fitted cumulative-link (mixed) model; parameters are on the logit scale."""

    categories: tuple           # the J categories that occur, ascending
    unused: tuple               # categories of the response set that never occur; their probability is 0
    thresholds: np.ndarray      # J - 1
    beta: np.ndarray            # one per column of x; positive = higher categories more likely
    sd: np.ndarray              # standard deviation of the random intercepts, one per grouping
    log_likelihood: float
    vcov: np.ndarray            # of (thresholds, beta, sd), inverse observed information; NaN for an sd at 0
    odds_ratio: np.ndarray      # exp(beta): odds of a higher category per unit of x, with Wald interval
    odds_ratio_low: np.ndarray
    odds_ratio_high: np.ndarray
    p: np.ndarray               # two-sided Wald p of beta = 0
    levels: tuple               # labels of each grouping
    modes: tuple                # conditional modes of their random intercepts, in the order of the labels
    n: int
    method: str
    boundary: tuple             # for each grouping: is its standard deviation estimated as 0?
    converged: bool
    message: str
    evaluations: int            # of the likelihood with its gradient
    gradient: float             # largest absolute derivative of the log-likelihood at the estimate
    level: float

    @property
    def se(self):
        """Standard errors of (thresholds, beta, sd)."""
        return np.sqrt(np.diag(self.vcov))


@dataclass(frozen=True)
class Probabilities:
    """Predicted category probabilities, one row per row of x and one column per category."""

    typical: np.ndarray         # at random intercepts of 0
    marginal: np.ndarray        # averaged over the distribution of the random intercepts


@dataclass(frozen=True)
class ProportionalOdds:
    """Test of one effect for all thresholds against one effect per threshold."""

    statistic: float
    df: int
    p: float
    test: str
    log_likelihood: float               # proportional odds
    log_likelihood_nominal: float       # thresholds that depend on the term; NaN for the score test


# ---------------------------------------------------------------------------------------------- design

@dataclass(frozen=True)
class _Design:
    """Rows of a = upper @ phi and b = lower @ phi; the top category has a = inf, the bottom b = -inf."""

    upper: np.ndarray
    lower: np.ndarray
    top: np.ndarray
    bottom: np.ndarray


@dataclass(frozen=True)
class _Crossing:
    """Two groupings as a bordered system: `first` (more levels) is eliminated, `second` kept dense."""

    first: np.ndarray           # row -> level, levels ordered by component
    second: np.ndarray          # row -> component * width + place within the component
    place: np.ndarray           # row -> place within the component
    component: np.ndarray       # level of first -> component
    start: np.ndarray           # component -> its first level of first
    width: int                  # places per component
    order: np.ndarray           # level of first (as counted here) -> original level
    position: np.ndarray        # original level of second -> component * width + place


def _design(y, x, nominal, categories):
    """Parameters: thresholds, effects of x, then for each nominal column its effect at every threshold."""
    n, thresholds = y.size, categories - 1
    width = thresholds + x.shape[1] + thresholds * nominal.shape[1]
    sides = []
    for position, active in ((y, y < thresholds), (y - 1, y > 0)):
        rows = np.zeros((n, width))
        index, place = np.flatnonzero(active), position[active]
        rows[index, place] = 1
        rows[index, thresholds:thresholds + x.shape[1]] = -x[active]
        for column in range(nominal.shape[1]):
            rows[index, thresholds + x.shape[1] + thresholds * column + place] = -nominal[active, column]
        sides.append(rows)
    return _Design(*sides, y == thresholds, y == 0)


def _predictors(design, phi):
    a, b = design.upper @ phi, design.lower @ phi
    a[design.top], b[design.bottom] = np.inf, -np.inf
    return a, b


def _integer_y(y, scale):
    """Return y as 0..J-1, the used categories and the unused ones."""
    y = np.asarray(y)
    if y.ndim != 1:
        raise ValueError(f"y must be a vector of categories, not of shape {y.shape}")
    bad = np.flatnonzero(pd.isna(y))
    if bad.size:
        raise ValueError(f"y holds {bad.size} missing value(s), first at row {bad[0]}; drop these rows")
    used, codes = np.unique(y, return_inverse=True)
    if scale is not None:
        outside = [value for value in used.tolist() if value not in set(scale)]
        if outside:
            raise ValueError(f"y holds {outside[0]!r}, which is not in the scale {list(scale)}; clean the "
                             "item first")
    if used.size < 2:
        raise ValueError(f"all {y.size} values of y are {used[0]!r}: without variation there is no model"
                         if used.size else "y is empty; there is nothing to fit")
    unused = tuple(value for value in (scale or ()) if value not in set(used.tolist()))
    return codes, tuple(used.tolist()), unused


def _checked_x(x, n):
    """Return x as a finite float matrix of full rank beside the thresholds."""
    x = np.asarray(x, dtype=float)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or len(x) != n:
        raise ValueError(f"x must have one row for each of the {n} values of y, not shape {x.shape}")
    rows, columns = np.nonzero(~np.isfinite(x))
    if rows.size:
        raise ValueError(f"x holds {rows.size} missing or infinite value(s), first at row {rows[0]}, column "
                         f"{columns[0]}; drop or impute these rows")
    basis = np.ones((n, 1)) / np.sqrt(n)
    for column in range(x.shape[1]):
        centred = x[:, column] - x[:, column].mean()
        rest = centred - basis @ (basis.T @ centred)
        rest -= basis @ (basis.T @ rest)
        size = np.linalg.norm(rest)
        if size <= 1e-9 * np.linalg.norm(x[:, column]) or size == 0:
            raise ValueError(f"column {column} of x is constant or a combination of the columns before it; "
                             "the thresholds are the intercept: leave the column out")
        basis = np.column_stack([basis, rest / size])
    return x


def _coded_groups(groups, y):
    """Return the labels and the integer codes of each grouping, after checking that it is identified."""
    labels, codes = [], []
    for number, group in enumerate(groups):
        group = np.asarray(group)
        if group.shape != y.shape:
            raise ValueError(f"grouping {number} must have {y.size} labels, not shape {group.shape}")
        bad = np.flatnonzero(pd.isna(group))
        if bad.size:
            raise ValueError(f"grouping {number} holds {bad.size} missing label(s), first at row {bad[0]}; "
                             "drop these rows")
        label, code = np.unique(group, return_inverse=True)
        if label.size < 2:
            raise ValueError(f"grouping {number} has one level; a variance needs at least two: leave it out")
        if label.size == y.size:
            raise ValueError(f"grouping {number} has a level for every row, so that its variance is not "
                             "identified; leave it out")
        labels.append(label)
        codes.append(code)
    if len(groups) > 2:
        raise ValueError(f"at most two groupings are supported, not {len(groups)}")
    if len(groups) == 2:
        pairs = np.unique(codes[0] * labels[1].size + codes[1]).size
        if pairs == labels[0].size == labels[1].size:
            raise ValueError("the two groupings are the same; leave one out")
    if len(groups) == 1:
        low, high = np.full(labels[0].size, y.size), np.zeros(labels[0].size, int)
        np.minimum.at(low, codes[0], y)
        np.maximum.at(high, codes[0], y)
        if (low == high).all():
            raise ValueError("within every group all values of y are equal: the standard deviation of the "
                             "groups is infinite; describe the groups instead")
    return tuple(labels), tuple(codes)


def _refuse_separation(design, thresholds, columns):
    """Raise when some direction of the parameters increases the likelihood for ever (a linear programme)."""
    rows = np.vstack([design.upper[~design.top], -design.lower[~design.bottom]])
    rows = np.unique(rows, axis=0)
    found = linprog(-rows.sum(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1), method="highs")
    if found.status == 0 and -found.fun > 1e-6:
        moving = np.flatnonzero(np.abs(found.x[thresholds:]) > 1e-7)
        raise ValueError(f"separation: column(s) {sorted({columns[i] for i in moving})} of x split the "
                         "categories without overlap, so that an odds ratio is infinite and no maximum "
                         "exists; drop the column, merge categories, or report the table")


# --------------------------------------------------------------------------------- derivatives of a row

def _logistic(a, b):
    """F and f at both predictors of every row."""
    above, below = expit(a), expit(b)
    return above, below, above * (1 - above), below * (1 - below)


def _gap(a, b):
    """The part of -log P that does not depend on eta, and its derivative in a (minus that in b)."""
    delta = a - b
    if not (delta > 0).all():
        return np.inf, delta
    with np.errstate(over="ignore"):
        return -np.log(-np.expm1(-delta)).sum(), -1 / np.expm1(delta)


def _minus_log(a, b):
    return np.logaddexp(0, -a) + np.logaddexp(0, b)


# --------------------------------------------------------------------------------- fixed effects: Newton

def _fixed_value(design, phi):
    a, b = _predictors(design, phi)
    gap, _ = _gap(a, b)
    return gap + _minus_log(a, b).sum() if np.isfinite(gap) else np.inf


def _fixed_derivatives(design, phi):
    """Gradient and Hessian of minus the log-likelihood without random effects."""
    a, b = _predictors(design, phi)
    above, below, fa, fb = _logistic(a, b)
    _, slope = _gap(a, b)
    bend = slope * (slope - 1)              # exp(d) / (exp(d) - 1)^2
    gradient = design.upper.T @ (slope - (1 - above)) + design.lower.T @ (below - slope)
    mixed = design.upper.T @ (bend[:, None] * design.lower)
    hessian = (design.upper.T @ ((fa + bend)[:, None] * design.upper)
               + design.lower.T @ ((fb + bend)[:, None] * design.lower) - mixed - mixed.T)
    return gradient, hessian


def _fit_fixed(design, start, tolerance=1e-18):
    """Newton with step halving: (phi, value, gradient, Hessian, number of steps, converged)."""
    phi, value = start, _fixed_value(design, start)
    for count in range(1, 101):
        gradient, hessian = _fixed_derivatives(design, phi)
        try:
            step = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            return phi, value, gradient, hessian, count, False
        if gradient @ step < tolerance * max(1.0, value):
            return phi, value, gradient, hessian, count, True
        for halving in range(60):
            new = phi - step / 2 ** halving
            new_value = _fixed_value(design, new)
            if new_value <= value:
                break
        else:
            return phi, value, gradient, hessian, count, gradient @ step < 1e-10
        phi, value = new, new_value
    return phi, value, gradient, hessian, count, False


def _start(y, categories, width):
    """Thresholds of the cumulative proportions; no effects."""
    share = np.cumsum(np.bincount(y, minlength=categories))[:-1] / y.size
    return np.concatenate([np.log(share / (1 - share)), np.zeros(width - categories + 1)])


def _fixed_or_refuse(design, y, categories, columns):
    fit = _fit_fixed(design, _start(y, categories, design.upper.shape[1]))
    a, b = _predictors(design, fit[0])
    if not fit[5] or max(np.abs(a[~design.top]).max(), np.abs(b[~design.bottom]).max()) > FAR:
        _refuse_separation(design, categories - 1, columns)
    return fit


def _rescale(old, new):
    """Factor that keeps sd * u, the random effects in logits, when the standard deviation changes."""
    if abs(old) >= 1e3 * abs(new):
        return 1e3 * np.sign(old) * np.sign(new)
    return old / new


# ------------------------------------------------------------- one grouping: adaptive Gauss-Hermite rule

def _one_grouping(design, code, nodes):
    """Minus log-likelihood and gradient in (phi, sd); nodes = 1 is the Laplace approximation.

    Nodes sit at mode + sqrt(2) x / sqrt(D), D the curvature there; the gradient follows them as they move
    (implicit differentiation of the mode and of D).
    """
    order = np.argsort(code, kind="stable")
    g = code[order]
    start = np.flatnonzero(np.diff(g, prepend=-1))
    design = _Design(design.upper[order], design.lower[order], design.top[order], design.bottom[order])
    x, w = np.polynomial.hermite.hermgauss(nodes)
    log_weight = np.log(w) + x ** 2
    modes, last_sd = np.zeros(start.size), 0.0

    def total(rows):
        return np.add.reduceat(rows, start, axis=0)

    def at(a, b, sd, u):
        eta = sd * u[g]
        above, below, fa, fb = _logistic(a - eta, b - eta)
        return u + sd * total(1 - above - below), 1 + sd ** 2 * total(fa + fb), (above, below, fa, fb)

    def find_modes(a, b, sd):
        u = modes * _rescale(last_sd, sd)
        slope, curvature, parts = at(a, b, sd, u)
        for _ in range(200):
            step = slope / curvature
            step = np.clip(step, -STRIDE / max(abs(sd), 1e-9), STRIDE / max(abs(sd), 1e-9))
            done = np.abs(step).max() < 1e-7
            for _ in range(60):     # the slope is monotone in u, so that a smaller slope is always progress
                new_slope, new_curvature, new_parts = at(a, b, sd, u - step)
                worse = np.abs(new_slope) > np.abs(slope)
                if done or not worse.any():
                    break
                step = np.where(worse, step / 2, step)
            u, slope, curvature, parts = u - step, new_slope, new_curvature, new_parts
            if done:
                break
        return u, curvature, parts

    def objective(parameters):
        nonlocal modes, last_sd
        phi, sd = parameters[:-1], parameters[-1]
        a, b = _predictors(design, phi)
        gap, gap_slope = _gap(a, b)
        if not np.isfinite(gap):
            return np.inf, None
        modes, curvature, (above, below, fa, fb) = find_modes(a, b, sd)
        last_sd = sd
        width = np.sqrt(2 / curvature)
        u = modes[:, None] + width[:, None] * x
        eta = sd * u[g]
        a_at, b_at = a[:, None] - eta, b[:, None] - eta
        log_term = log_weight - 0.5 * u ** 2 - total(_minus_log(a_at, b_at))
        peak = log_term.max(axis=1, keepdims=True)
        share = np.exp(log_term - peak)
        size = share.sum(axis=1, keepdims=True)
        value = (gap - np.sum(peak + np.log(size)) + 0.5 * np.log(curvature).sum()
                 + 0.5 * u.shape[0] * np.log(np.pi))
        share /= size
        above_at, below_at = expit(a_at), expit(b_at)
        slope = total(1 - above_at - below_at)
        from_nodes = share * (u + sd * slope)
        by_mode, by_width = from_nodes.sum(axis=1), 0.5 * (1 - from_nodes @ x * width)
        da, db = fa * (1 - 2 * above), fb * (1 - 2 * below)
        r = -(by_width * sd ** 2 / curvature)[g] * (da + db)
        xi = (by_mode + sd * total(r)) / curvature
        spread, shift = (by_width * sd ** 2 / curvature)[g], sd * xi[g]
        share = share[g]
        for_a = gap_slope - np.sum(share * (1 - above_at), axis=1) + spread * da + shift * fa
        for_b = -gap_slope + np.sum(share * below_at, axis=1) + spread * db + shift * fb
        weight = total(fa + fb)
        for_sd = (np.sum(share[start] * u * slope)
                  + np.sum(2 * by_width * sd * weight / curvature + modes * total(r))
                  - xi @ (total(1 - above - below) + sd * weight * modes))
        return value, np.append(design.upper.T @ for_a + design.lower.T @ for_b, for_sd)

    return objective, lambda: (last_sd * modes,)


# --------------------------------------------------------------------- two groupings: Laplace, Schur form

def _crossing(codes):
    """Arrange two groupings: which is eliminated, and which levels of the other hang together."""
    sizes = [code.max() + 1 for code in codes]
    first, second = (0, 1) if sizes[0] >= sizes[1] else (1, 0)
    q1, q2 = sizes[first], sizes[second]
    edges = sparse.coo_matrix((np.ones(codes[0].size), (codes[first], q1 + codes[second])),
                              shape=(q1 + q2,) * 2)
    count, component = sparse.csgraph.connected_components(edges, directed=False)
    order = np.argsort(component[:q1], kind="stable")
    rank = np.empty(q1, int)
    rank[order] = np.arange(q1)
    own = component[q1:]
    by_component = np.argsort(own, kind="stable")
    place = np.empty(q2, int)
    place[by_component] = np.arange(q2) - np.searchsorted(own[by_component], own[by_component])
    width = int(place.max()) + 1
    if q1 * width > MANY_CELLS or count * width ** 2 > MANY_CELLS:
        raise ValueError(f"the two groupings ({q1} and {q2} levels) are too entangled: {width} levels of the "
                         "smaller one are connected; fit fewer levels or one grouping")
    sorted_component = component[:q1][order]
    return first, _Crossing(rank[codes[first]], own[codes[second]] * width + place[codes[second]],
                            place[codes[second]], sorted_component,
                            np.flatnonzero(np.diff(sorted_component, prepend=-1)), width, order,
                            own * width + place)


class _Bordered:
    """D = I + sum of w z z', factored by eliminating the first grouping."""

    def __init__(self, crossing, weight, sd):
        c = self.crossing = crossing
        q1, width = c.component.size, c.width
        self.diagonal = 1 + sd[0] ** 2 * np.bincount(c.first, weight, minlength=q1)
        self.border = sd[0] * sd[1] * np.bincount(c.first * width + c.place, weight,
                                                  minlength=q1 * width).reshape(q1, width)
        schur = -self._gram(self.border, self.border / self.diagonal[:, None])
        index = np.arange(width)
        schur[:, index, index] += 1 + sd[1] ** 2 * np.bincount(
            c.second, weight, minlength=c.start.size * width).reshape(-1, width)
        self.inverse = np.linalg.inv(schur)
        self.log_determinant = np.log(self.diagonal).sum() + np.linalg.slogdet(schur)[1].sum()

    def _gram(self, left, right):
        """left' right within each component."""
        c = self.crossing
        if c.width <= 8 and c.start.size > 1:
            return np.add.reduceat(left[:, :, None] * right[:, None, :], c.start, axis=0)
        ends = np.append(c.start[1:], len(left))
        return np.stack([left[i:j].T @ right[i:j] for i, j in zip(c.start, ends)])

    def _times_inverse(self, left):
        """Each row of left times the inverse Schur complement of its component."""
        c = self.crossing
        if c.width <= 8 and c.start.size > 1:
            return np.einsum("gm,gmn->gn", left, self.inverse[c.component])
        ends = np.append(c.start[1:], len(left))
        return np.concatenate([left[i:j] @ self.inverse[k] for k, (i, j) in enumerate(zip(c.start, ends))])

    def solve(self, first, second):
        c = self.crossing
        down = np.add.reduceat(self.border * (first / self.diagonal)[:, None], c.start, axis=0)
        two = np.einsum("cmn,cn->cm", self.inverse, second.reshape(down.shape) - down)
        one = (first - np.sum(self.border * two[c.component], axis=1)) / self.diagonal
        return one, two.ravel()

    def inverse_elements(self):
        """Diagonal of D^-1 for both groupings and its (first, second) elements, each per row of the data."""
        c = self.crossing
        reach = self._times_inverse(self.border) / self.diagonal[:, None]
        own = 1 / self.diagonal + np.sum(reach * self.border, axis=1) / self.diagonal
        other = np.einsum("cmm->cm", self.inverse).ravel()
        return own[c.first], other[c.second], -reach[c.first, c.place]


def _two_groupings(design, codes):
    """Minus the Laplace log-likelihood and its gradient in (phi, sd of each grouping)."""
    first, c = _crossing(codes)
    q1, q2 = c.component.size, c.start.size * c.width
    modes, last_sd = (np.zeros(q1), np.zeros(q2)), np.zeros(2)

    def sums(rows):
        return np.bincount(c.first, rows, minlength=q1), np.bincount(c.second, rows, minlength=q2)

    def slope_at(a, b, sd, one, two):
        eta = sd[0] * one[c.first] + sd[1] * two[c.second]
        parts = _logistic(a - eta, b - eta)
        down = sums(1 - parts[0] - parts[1])
        return eta, parts, (one + sd[0] * down[0], two + sd[1] * down[1])

    def find_modes(a, b, sd):
        one, two = (u * _rescale(old, new) for u, old, new in zip(modes, last_sd, sd))
        eta, parts, slope = slope_at(a, b, sd, one, two)
        size = slope[0] @ slope[0] + slope[1] @ slope[1]
        for _ in range(200):
            system = _Bordered(c, parts[2] + parts[3], sd)
            step = system.solve(*slope)
            size_in_logits = max(np.abs(sd[0] * step[0]).max(), np.abs(sd[1] * step[1]).max())
            step = tuple(part * min(1.0, STRIDE / max(size_in_logits, 1e-9)) for part in step)
            done = max(np.abs(step[0]).max(), np.abs(step[1]).max()) < 1e-7
            for halving in range(60):       # Newton's direction always reduces the length of the gradient
                new = one - step[0] / 2 ** halving, two - step[1] / 2 ** halving
                eta, parts, new_slope = slope_at(a, b, sd, *new)
                new_size = new_slope[0] @ new_slope[0] + new_slope[1] @ new_slope[1]
                if done or new_size < size:
                    break
            (one, two), slope, size = new, new_slope, new_size
            if done:
                break
        return one, two, eta, parts

    def objective(parameters):
        nonlocal modes, last_sd
        phi, sd = parameters[:-2], parameters[-2:][[first, 1 - first]]
        a, b = _predictors(design, phi)
        gap, gap_slope = _gap(a, b)
        if not np.isfinite(gap):
            return np.inf, None
        one, two, eta, (above, below, fa, fb) = find_modes(a, b, sd)
        modes, last_sd = (one, two), sd
        weight, g = fa + fb, 1 - above - below
        system = _Bordered(c, weight, sd)
        value = (gap + _minus_log(a - eta, b - eta).sum()
                 + 0.5 * (one @ one + two @ two + system.log_determinant))
        own, other, cross = system.inverse_elements()
        spread = 0.5 * (sd[0] ** 2 * own + 2 * sd[0] * sd[1] * cross + sd[1] ** 2 * other)
        da, db = fa * (1 - 2 * above), fb * (1 - 2 * below)
        r = -spread * (da + db)
        down = sums(r)
        xi = system.solve(sd[0] * down[0], sd[1] * down[1])
        shift = sd[0] * xi[0][c.first] + sd[1] * xi[1][c.second]
        for_a = gap_slope - (1 - above) + spread * da + shift * fa
        for_b = -gap_slope + below + spread * db + shift * fb
        rows, slope = sums(g + r - shift * weight), sums(g)
        for_sd = np.array([one @ rows[0] + weight @ (sd[0] * own + sd[1] * cross) - xi[0] @ slope[0],
                           two @ rows[1] + weight @ (sd[1] * other + sd[0] * cross) - xi[1] @ slope[1]])
        return value, np.concatenate([design.upper.T @ for_a + design.lower.T @ for_b,
                                      for_sd[[first, 1 - first]]])

    def effects():
        one = np.empty(q1)
        one[c.order] = last_sd[0] * modes[0]
        two = last_sd[1] * modes[1][c.position]
        return (one, two) if first == 0 else (two, one)

    return objective, effects


# ----------------------------------------------------------------------------------------- optimisation

def _counted(objective):
    count = [0]

    def wrapped(point):
        count[0] += 1
        return objective(point)

    return wrapped, count


def _bfgs(objective, point, hessian, sds):
    """Quasi-Newton descent from a good metric until the predicted decrease is rounding error.

    A step changes each of the last `sds` parameters, the standard deviations, by at most 1.
    """
    inverse = np.linalg.inv(hessian)
    value, gradient = objective(point)
    for _ in range(300):
        step = -inverse @ gradient
        decrease = -gradient @ step
        if decrease < 1e-14 * max(1.0, abs(value)):
            break
        length = 1 / max(1.0, np.abs(step[-sds:]).max())
        while length > 1e-12:
            new_value, new_gradient = objective(point + length * step)
            if new_value <= value - 1e-4 * length * decrease:
                break
            length /= 2
        else:
            break
        s, y = length * step, new_gradient - gradient
        point, value, gradient = point + s, new_value, new_gradient
        curvature = s @ y
        if curvature > 1e-12 * np.linalg.norm(s) * np.linalg.norm(y):
            rotate = np.eye(s.size) - np.outer(s, y) / curvature
            inverse = rotate @ inverse @ rotate.T + np.outer(s, s) / curvature
    return point, value


def _information(objective, point, width):
    """Hessian of the objective: central differences of its analytic gradient."""
    rows = []
    for i, h in enumerate(width):
        up, down = point.copy(), point.copy()
        up[i] += h
        down[i] -= h
        rows.append((objective(up)[1] - objective(down)[1]) / (2 * h))
    hessian = np.array(rows)
    return (hessian + hessian.T) / 2


def _polish(objective, point, hessian, free):
    """Newton steps with one Hessian in the free parameters, down to rounding error."""
    value, gradient = objective(point)
    for _ in range(10):
        step = np.zeros(point.size)
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        new_value, new_gradient = objective(point - step)
        if not np.isfinite(new_value) or np.abs(new_gradient[free]).max() >= np.abs(gradient[free]).max():
            break
        point, value, gradient = point - step, new_value, new_gradient
    objective(point)
    return point, value, gradient


@dataclass(frozen=True)
class _Optimum:
    point: np.ndarray           # phi, then the standard deviations (not negative)
    value: float
    gradient: np.ndarray
    hessian: np.ndarray
    free: np.ndarray            # False for a standard deviation at 0
    effects: tuple
    evaluations: int
    flat: bool                  # the gradient vanishes, at a maximum or in the limit of an infinite parameter
    converged: bool
    message: str


def _mixed(design, codes, nodes):
    return _two_groupings(design, codes) if len(codes) == 2 else _one_grouping(design, codes[0], nodes)


def _maximise(design, codes, nodes, fixed):
    """Maximise over (phi, sd), starting from the model without random effects."""
    phi, fixed_value, fixed_gradient, fixed_hessian, steps, converged = fixed
    if not codes:
        return _Optimum(phi, fixed_value, fixed_gradient, fixed_hessian, np.ones(phi.size, bool), (), steps,
                        converged, converged,
                        "converged" if converged else "Newton's method did not converge")
    objective, effects = _mixed(design, codes, nodes)
    objective, count = _counted(objective)
    metric = np.zeros((phi.size + len(codes),) * 2)
    metric[:phi.size, :phi.size] = fixed_hessian
    metric[range(phi.size, len(metric)), range(phi.size, len(metric))] = [0.5 * (c.max() + 1) for c in codes]
    for first_sd in (1.0, 0.1):     # the second only if the first ended below the fixed-effects likelihood
        point, value = _bfgs(objective, np.append(phi, [first_sd] * len(codes)), metric, len(codes))
        if value <= fixed_value + 1e-8:
            break
    free = np.ones(point.size, bool)
    for i in range(phi.size, point.size):
        at_zero = np.where(np.arange(point.size) == i, 0.0, point)
        if abs(point[i]) < ZERO_SD and objective(at_zero)[0] <= value + 1e-7:
            point, free[i] = at_zero, False
    width = 1e-4 / np.sqrt(np.diag(metric))
    hessian = _information(objective, point, width)
    point, value, gradient = _polish(objective, point, hessian, free)
    # the likelihood is even in each standard deviation: report it as positive
    sign = np.where((np.arange(point.size) >= phi.size) & (point < 0), -1.0, 1.0)
    point = sign * point
    positive = np.linalg.eigvalsh(hessian[np.ix_(free, free)]).min() > 0
    small = np.abs(gradient[free]).max() < 1e-5 * max(1.0, np.sqrt(abs(value)))
    wide = point[phi.size:].max() > WIDE
    message = ("a standard deviation is too large to be told from infinity: within groups y hardly varies"
               if wide else "converged" if positive and small
               else "the optimum is not a well-defined maximum")
    return _Optimum(point, value, gradient, hessian * np.outer(sign, sign), free, effects(),
                    count[0] + steps, bool(small), bool(positive and small and not wide), message)


# ------------------------------------------------------------------------------------------------ public

def _check_nodes(nodes, groups):
    if nodes < 1 or nodes != int(nodes):
        raise ValueError(f"nodes must be a positive whole number, not {nodes}")
    if nodes > 1 and len(groups) != 1:
        raise ValueError("adaptive Gauss-Hermite quadrature needs exactly one grouping; use nodes=1 "
                         "(Laplace)")


def clmm(y, x, *groups, nodes=1, scale=None, level=0.95):
    """Fit a cumulative-link model with logit link and normal random intercepts.

    The estimands are the log odds ratios beta of a higher category per unit of x, for a given person (and
    item), the same at every threshold: P(Y <= j) = F(theta_j - x'beta - u_1[group 1] - u_2[group 2]).

    Parameters
    ----------
    y : n ordered categories (numbers, or labels whose sorted order is their order)
    x : n x p matrix without an intercept (the thresholds are it); p may be 0
    groups : no, one or two vectors of n labels (for example person, item); two may be crossed or nested
    nodes : points of adaptive Gauss-Hermite quadrature, for one grouping; 1 is the Laplace approximation
    scale : the whole response set, for example (1, 2, 3, 4, 5); values outside it are refused
    level : confidence level of the odds ratios' Wald intervals

    Returns
    -------
    ClmmFit

    Notes
    -----
    A category that never occurs has maximum-likelihood probability 0, and its two thresholds coincide: it is
    left out of `categories` and named in `unused`. A standard deviation estimated as 0 is exactly 0, with
    `boundary` True, NaN in its rows of `vcov`, and the other parameters' information given that value.
    `vcov` is the inverse of the observed information, by central differences of the analytic gradient.

    Raises
    ------
    ValueError
        for missing values, a single category, collinear columns, separation (an infinite odds ratio, found by
        linear programming), groupings with one level, with one row per level, equal to each other, or whose
        groups are all without variation.

    References
    ----------
    McCullagh 1980, doi:10.1111/j.2517-6161.1980.tb01109.x. Tutz & Hennevogl 1996,
    doi:10.1016/0167-9473(96)00004-7. Pinheiro & Chao 2006, doi:10.1198/106186006X96962.

    Examples
    --------
    Four people answer before (x = 0) and after (x = 1) on two items.

    >>> y = [2, 1, 3, 2, 3, 3, 4, 3, 1, 2, 3, 2, 2, 2, 4, 4]
    >>> x = [0, 0, 1, 1] * 4
    >>> person = np.repeat(["a", "b", "c", "d"], 4)
    >>> fit = clmm(y, x, person)
    >>> fit.converged, fit.boundary
    (True, (False,))
    """
    _check_nodes(nodes, groups)
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    y, categories, unused = _integer_y(y, scale)
    x = _checked_x(x, y.size)
    labels, codes = _coded_groups(groups, y)
    size, p = len(categories) - 1, x.shape[1]
    design = _design(y, x, np.empty((y.size, 0)), len(categories))
    fixed = _fixed_or_refuse(design, y, len(categories), range(p))
    found = _maximise(design, codes, nodes, fixed)
    vcov = np.full((found.point.size,) * 2, np.nan)
    vcov[np.ix_(found.free, found.free)] = np.linalg.inv(found.hessian[np.ix_(found.free, found.free)])
    beta = found.point[size:size + p]
    se = np.sqrt(np.diag(vcov))[size:size + p]
    half = stats.norm.ppf((1 + level) / 2) * se
    method = ("maximum likelihood" if not codes else "Laplace" if nodes == 1
              else f"adaptive Gauss-Hermite, {nodes} nodes")
    return ClmmFit(
        categories=categories, unused=unused, thresholds=found.point[:size], beta=beta,
        sd=found.point[size + p:], log_likelihood=float(-found.value), vcov=vcov, odds_ratio=np.exp(beta),
        odds_ratio_low=np.exp(beta - half),
        odds_ratio_high=np.exp(beta + half), p=2 * stats.norm.sf(np.abs(beta) / se), levels=labels,
        modes=found.effects, n=y.size, method=method, boundary=tuple((~found.free[size + p:]).tolist()),
        converged=found.converged, message=found.message, evaluations=found.evaluations,
        gradient=float(np.abs(found.gradient[found.free]).max()), level=level)


def probabilities(fit, x):
    """Predicted probability of every category for rows of x, for a typical and for an average person.

    typical: F(theta_j - x'beta) - F(theta_{j-1} - x'beta), at random intercepts of 0. marginal: the same,
    averaged over u ~ N(0, sum of sd^2) by the trapezoidal rule on [-9, 9] standard deviations (error below
    1e-12 for standard deviations up to 10).

    Parameters
    ----------
    fit : ClmmFit
    x : m x p matrix with the columns of the fit

    Returns
    -------
    Probabilities
        `typical` and `marginal`, each m x J in the order of `fit.categories`; missing x is refused.

    Raises
    ------
    ValueError
        for missing values or a wrong number of columns.

    Examples
    --------
    >>> fit = clmm([1, 2, 2, 3, 1, 3, 2, 3], [0, 0, 1, 1, 0, 0, 1, 1])
    >>> probabilities(fit, [[0], [1]]).typical.sum(axis=1).round(12).tolist()
    [1.0, 1.0]
    """
    x = np.atleast_2d(np.asarray(x, dtype=float))
    if x.shape[1] != fit.beta.size:
        raise ValueError(f"x must have {fit.beta.size} column(s), not {x.shape[1]}")
    if not np.isfinite(x).all():
        raise ValueError(f"x holds {np.sum(~np.isfinite(x))} missing or infinite value(s), first at row "
                         f"{np.flatnonzero(~np.isfinite(x).all(axis=1))[0]}; give complete rows")
    logit = fit.thresholds - (x @ fit.beta)[:, None]
    z = np.linspace(-9, 9, 901)
    weight = stats.norm.pdf(z)
    spread = np.sqrt(np.sum(fit.sd ** 2)) * z
    marginal = expit(logit[..., None] - spread) @ (weight / weight.sum())

    def shares(cumulative):
        return np.diff(cumulative, prepend=0.0, append=1.0, axis=1)

    return Probabilities(shares(expit(logit)), shares(marginal))


def _nominal_thresholds_increase(phi, size, p, nominal):
    """Do the fitted thresholds increase for every observed value of the nominal columns?"""
    gamma = phi[size + p:size + p + size * nominal.shape[1]].reshape(nominal.shape[1], size)
    return bool((np.diff(phi[:size] - np.unique(nominal, axis=0) @ gamma, axis=1) > 0).all())


def proportional_odds(y, x, *groups, columns, test="lr", nodes=1):
    """Test whether the effects of some columns of x are the same at every threshold.

    The alternative gives these columns one effect per threshold:
    P(Y <= j) = F(theta_j - w'gamma_j - x'beta - u).
    statistic = twice the difference of the log-likelihoods (test="lr"), or the score statistic g' I^-1 g with
    gradient g and observed information I of the larger model at the proportional-odds estimates
    (test="score"), chi-squared with (J - 2) * (number of columns) df.

    Parameters
    ----------
    y, x, groups, nodes : as in `clmm`; without groups this is the test of the ordinary cumulative model
    columns : indices of the columns of x under test, for example those of the wave
    test : "lr" or "score"; the score test also works when a middle category is empty at a value of the
        columns

    When the lowest or highest category is empty at a value of the columns, its effect in the larger model is
    infinite and the likelihood-ratio statistic is the limit (within about 1e-6).

    Missing values are refused.

    Raises
    ------
    ValueError
        as `clmm`; with fewer than three categories; and for "lr" when the larger model gives a category a
        negative probability, as can happen when a middle category is empty at a value of the columns.

    References
    ----------
    Brant 1990, doi:10.2307/2532457. Peterson & Harrell 1990, doi:10.2307/2347760.

    Examples
    --------
    >>> y = [1, 1, 2, 2, 3, 3, 1, 2, 2, 3, 3, 3]
    >>> x = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    >>> check = proportional_odds(y, x, columns=[0])
    >>> check.df, round(check.statistic, 4)
    (1, 0.0277)
    """
    _check_nodes(nodes, groups)
    if test not in ("lr", "score"):
        raise ValueError(f"test must be 'lr' or 'score', not {test!r}")
    y, categories, _ = _integer_y(y, None)
    x = _checked_x(x, y.size)
    _, codes = _coded_groups(groups, y)
    size, columns = len(categories) - 1, list(columns)
    if size < 2:
        raise ValueError("with two categories there is one threshold and nothing to test")
    if not columns or not set(columns) <= set(range(x.shape[1])):
        raise ValueError(f"columns must name some of the {x.shape[1]} columns of x, not {columns}")
    others = [i for i in range(x.shape[1]) if i not in columns]
    rest, nominal = x[:, others], x[:, columns]
    ordered = np.column_stack([rest, nominal])
    small = _design(y, ordered, np.empty((y.size, 0)), len(categories))
    fixed = _fixed_or_refuse(small, y, len(categories), others + columns)
    null = _maximise(small, codes, nodes, fixed)
    large = _design(y, rest, nominal, len(categories))
    df, p = (size - 1) * len(columns), len(others)
    if test == "score":
        gamma = np.repeat(null.point[size + p:size + p + len(columns)], size)
        phi = np.concatenate([null.point[:size + p], gamma])
        statistic, nominal_likelihood = _score_statistic(large, codes, nodes, phi, null), np.nan
    else:
        wide = _fit_fixed(large, _start(y, len(categories), large.upper.shape[1]), tolerance=1e-12)
        full = _maximise(large, codes, nodes, wide)
        if not (full.flat and _nominal_thresholds_increase(full.point, size, p, nominal)):
            raise ValueError("the model with one effect per threshold gives a category a negative "
                             "probability or did not converge: a category is (almost) empty at a value of "
                             "the columns; use test='score' or merge categories")
        statistic, nominal_likelihood = 2 * (null.value - full.value), -full.value
    return ProportionalOdds(float(statistic), df, float(stats.chi2.sf(statistic, df)), test,
                            float(-null.value), float(nominal_likelihood))


def _score_statistic(design, codes, nodes, phi, null):
    """g' I^-1 g of the larger model at the estimates of the smaller one."""
    if not codes:
        gradient, hessian = _fixed_derivatives(design, phi)
    else:
        sd = null.point[-len(codes):]
        objective, _ = _mixed(design, codes, nodes)
        point = np.append(phi, sd)
        _, hessian = _fixed_derivatives(design, phi)
        width = 1e-4 / np.sqrt(np.append(np.diag(hessian), [0.5 * (c.max() + 1) for c in codes]))
        gradient, hessian = objective(point)[1], _information(objective, point, width)
        free = np.append(np.ones(phi.size, bool), null.free[-len(codes):])
        gradient, hessian = gradient[free], hessian[np.ix_(free, free)]
    if np.linalg.eigvalsh(hessian).min() <= 0:
        raise ValueError("the information of the larger model is not positive at the proportional-odds "
                         "estimates; merge categories")
    return gradient @ np.linalg.solve(hessian, gradient)
