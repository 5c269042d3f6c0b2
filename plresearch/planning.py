"""How many pairs does the next cohort need? Simulation from a declared truth, never from observed power.

The plan, in the terms of Morris, White & Crowther (2019):

Aims
    For a number of pairs that start: the power of the exact sign-flip test, the expected half-width of the
    interval of the mean change, and the probability that this interval excludes the minimal important
    difference (MID).
Data-generating mechanism
    `synthetic.simulate_scores`: five-point items with ceilings, ties and item error, people inside pairs,
    and people who leave with a probability that depends on their role and their first answers. Its
    parameters are a declared `synthetic.Truth`. Nothing is estimated from a study's own data: power at the
    observed change ("observed power") only restates the p value.
Estimand
    The mean change per pair (person, where nobody is paired), averaged over all who start.
Methods
    What the evaluation does: complete pairs only, t interval, two-sided exact sign-flip test at
    1 - level, and the interval that inverts this test.
Performance
    The measures listed under `simulate`, each with its Monte Carlo standard error in `se`.

References
----------
Morris, White & Crowther (2019) doi:10.1002/sim.8086; Hoenig & Heisey (2001)
doi:10.1198/000313001300339897.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from . import exact, synthetic
from .frames import ESTIMATES, Refusal, make
from .study import Wave

REPLICATIONS = 2000  # simulated programmes per size
SIZES = (6, 8, 10, 12, 16, 20, 24, 30, 40)  # pairs (people) that start
INTERVALS = 400  # programmes whose interval is inverted: half-widths vary little, inversion takes time
SCALE = (1.0, 5.0)  # of the answers that the generator gives in planning
MEASURES = {
    "power": "share", "half-width": "points", "half-width, sign-flip": "points", "excludes MID": "share",
    "coverage": "share", "mean change": "points", "complete": "",
}  # term -> unit; 'complete' counts pairs or people


def simulate(
    truth: synthetic.Truth, items: Mapping[str, int], *, paired: bool, scale: tuple[float, float], level: float,
    mid: float, replications: int, seed: int, sizes: Sequence[int] = SIZES,
) -> pd.DataFrame:
    """What an evaluation of the next cohort can be expected to show, for several numbers of pairs.

    Parameters
    ----------
    truth
        The declared truth; each outcome is simulated from `truth.trait(outcome)`.
    items
        Number of items per outcome.
    paired
        Pairs of two people, or (False) single people, who follow the first role of the truth.
    scale
        Lowest and highest score of the study; other than 1 to 5 there is no simulation and every row
        says "not defined".
    level, mid
        Level of the intervals (the test's is 1 - level); minimal important difference in points.
    replications
        Simulated programmes per number of pairs, at least 100.
    seed
        With the outcome and the size it fixes every draw.
    sizes
        Numbers of pairs (people) that start.

    Returns
    -------
    ESTIMATES rows, cohort 'next', analysis 'planning'. Terms ``true change`` (closed form) and, with |size:
    ``power`` (share of programmes whose exact sign-flip p is at most 1 - level), ``half-width`` (expected,
    of the t interval), ``half-width, sign-flip`` (of the inverted test; not defined where a programme keeps
    too few pairs for a bounded interval), ``excludes MID`` (share whose whole t interval lies above or below
    the MID), ``coverage`` (share whose t interval holds the true change), ``mean change`` and ``complete``
    (pairs with all scores). `n` counts the simulated programmes behind a number, `se` is the Monte Carlo
    standard error. A programme with fewer than two complete pairs has no interval: it counts as one that
    shows nothing, and is left out of the half-width, the mean change and the coverage.

    Raises
    ------
    Refusal
        Fewer than 100 replications, no outcomes, a size below 2.

    Examples
    --------
    >>> found = simulate(synthetic.Truth(), {"role": 4}, paired=True, scale=(1, 5), level=0.95, mid=0.5,
    ...                  replications=400, seed=1, sizes=(6, 20)).set_index("term")
    >>> bool(found.loc["half-width|20", "estimate"] < found.loc["half-width|6", "estimate"])
    True
    """
    if replications < 100:
        raise Refusal(f"{replications} replications; give at least 100, or the Monte Carlo error hides the answer")
    if not items or not sizes or min(sizes) < 2:
        raise Refusal(f"{len(items)} outcomes and sizes {tuple(sizes)}; give an outcome, and at least two pairs each")
    rows = []
    for outcome, number in items.items():
        common = {"cohort": "next", "analysis": "planning", "outcome": outcome}
        if tuple(scale) != SCALE:
            rows += [common | row for row in _not_defined(scale, sizes, paired)]
            continue
        one = replace(truth, traits={outcome: truth.trait(outcome)}, items=number)
        change = true_change(one, paired=paired)
        rows.append(common | {"term": "true change", "n": replications, "estimate": change, "unit": "points",
                              "method": "mean change of all who start, in closed form from the declared truth"})
        for size in sizes:
            steps, complete = _changes(one, size, paired, replications, synthetic.stream(seed, outcome, f"planning {size}"))
            found = _performance(steps, complete, number * (1 + paired), change, level, mid)
            rows += [common | row | {"term": f"{term}|{size}", "unit": _unit(term, paired)} for term, row in found.items()]
    return make(rows, ESTIMATES)


def true_change(truth: synthetic.Truth, *, paired: bool) -> float:
    """Mean change of everybody who starts, in points: of both roles together, or of the first alone.

    Half a point of gain is less in the scores, because answers stop at 5.

    >>> high = synthetic.Trait(baseline=(4.0, 4.0), gain=(0.5, 0.5))
    >>> round(true_change(synthetic.Truth(traits={"role": high}), paired=True), 2)
    0.38
    """
    before, after = np.moveaxis(synthetic.expected_scores(truth, waves=_waves(truth)), 1, 0)
    return float((after - before)[: 1 + paired].mean())


def pairs_needed(result: pd.DataFrame, *, half_width: float) -> pd.DataFrame:
    """Smallest simulated number of pairs from which on the expected half-width is below a target.

    A size is enough when its expected half-width (t interval) plus two Monte Carlo standard errors lies
    below `half_width` (points), and so do all larger sizes.

    Returns
    -------
    ESTIMATES rows, one per outcome, term 'pairs needed' ('people needed'); without a number where no
    simulated size is enough.

    Raises
    ------
    Refusal
        A half-width that is not positive; a result without half-widths.

    Examples
    --------
    >>> rows = [{"analysis": "planning", "outcome": "role", "term": f"half-width|{n}", "n": 2000, "estimate": h,
    ...          "se": 0.01, "unit": "points"} for n, h in ((6, 0.6), (12, 0.37), (20, 0.25))]
    >>> rows += [{"analysis": "planning", "outcome": "role", "term": "complete|6", "unit": "pairs"}]
    >>> pairs_needed(make(rows, ESTIMATES), half_width=0.38)["estimate"].tolist()
    [20.0]
    """
    if not half_width > 0:
        raise Refusal(f"half_width is {half_width}; give a positive number of points")
    widths = result[(result["analysis"] == "planning") & result["term"].str.startswith("half-width|")]
    if widths.empty:
        raise Refusal("there is no row of analysis 'planning' with a half-width; run planning.simulate first")
    unit = result.loc[result["term"].str.startswith("complete|"), "unit"].iloc[0]
    rows = []
    for outcome, part in widths.groupby("outcome", sort=False):
        sizes = part["term"].str.partition("|")[2].astype(int).to_numpy()
        enough = (part["estimate"] + 2 * part["se"] < half_width).to_numpy()[np.argsort(sizes)]
        sizes = np.sort(sizes)
        row = {"cohort": "next", "analysis": "planning", "outcome": outcome, "term": f"{unit} needed", "unit": unit}
        if part["estimate"].isna().all():
            row |= {"method": part["method"].iloc[0]}
        elif not enough[-1]:
            row |= {"method": f"not defined: none of {sizes[0]} to {sizes[-1]} {unit} is enough for a half-width "
                              f"of {half_width:g} points"}
        else:
            first = len(enough) - int(np.argmin(enough[::-1])) if not enough.all() else 0
            row |= {"n": int(part["n"].min()), "estimate": float(sizes[first]),
                    "method": f"smallest simulated number of {unit} that start with an expected half-width of the t "
                              f"interval, plus two Monte Carlo standard errors, below {half_width:g} points"}
        rows.append(row)
    return make(rows, ESTIMATES)


def _unit(term: str, paired: bool) -> str:
    return MEASURES[term] or ("pairs" if paired else "people")


def _not_defined(scale, sizes, paired) -> list[dict]:
    reason = (f"not defined: planning simulates answers from {SCALE[0]:g} to {SCALE[1]:g}, "
              f"the study's scores go from {scale[0]:g} to {scale[1]:g}")
    terms = [("true change", "points")] + [(f"{t}|{s}", _unit(t, paired)) for s in sizes for t in MEASURES]
    return [{"term": term, "method": reason, "unit": unit} for term, unit in terms]


def _waves(truth: synthetic.Truth) -> tuple[Wave, Wave]:
    """Before the programme, and when the gain is complete."""
    return Wave("before", "Before", 0.0), Wave("after", "After", truth.programme_months)


def _changes(truth, size, paired, replications, rng) -> tuple[np.ndarray, np.ndarray]:
    """Changes per pair in whole steps of the finest possible change, and which pairs have all scores."""
    scores = synthetic.simulate_scores(truth, pairs=size, waves=_waves(truth), rng=rng, replications=replications)
    change = (scores[..., 1, 0] - scores[..., 0, 0])[..., : 1 + paired].sum(axis=-1)
    complete = np.isfinite(change)
    return np.where(complete, np.rint(np.where(complete, change, 0.0) * truth.items), 0.0).astype(np.int64), complete


def _performance(steps, complete, per_point, truth, level, mid) -> dict[str, dict]:
    """Each measure of performance with its Monte Carlo standard error; `per_point` steps are one point."""
    kept = complete.sum(axis=1)
    usable = kept >= 2
    mean, half = _t_intervals(steps[usable] / per_point, complete[usable], level)
    outside = np.zeros(len(steps), dtype=bool)
    outside[usable] = np.abs(mean - mid) > half
    names = "t interval, complete cases"
    return {
        "power": _share(sign_flip_p(steps) <= 1 - level + 1e-12, "two-sided exact sign-flip test"),
        "half-width": _average(half, f"expected half-width of the {names}"),
        "half-width, sign-flip": _inverted(steps[:INTERVALS], complete[:INTERVALS], per_point, level),
        "excludes MID": _share(outside, f"whole interval above or below {mid:g} points; {names}"),
        "coverage": _share(np.abs(mean - truth) <= half + 1e-12, f"interval holds the true change; {names}"),
        "mean change": _average(mean, "average estimate, complete cases"),
        "complete": _average(kept, "average number with all scores"),
    }


def _t_intervals(d, complete, level) -> tuple[np.ndarray, np.ndarray]:
    """Mean and half-width per programme; `d` is 0 where a pair is incomplete."""
    n = complete.sum(axis=1)
    mean = d.sum(axis=1) / n
    variance = (np.where(complete, d - mean[:, None], 0.0) ** 2).sum(axis=1) / (n - 1)
    return mean, stats.t.ppf((1 + level) / 2, n - 1) * np.sqrt(variance / n)


def sign_flip_p(steps: np.ndarray) -> np.ndarray:
    """Two-sided exact sign-flip p of many programmes at once: whole steps [programme, pair], 0 = no change.

    The distribution of the sum of the scores that stay positive is built pair by pair, for all programmes
    together, up to the smaller of the two observed tails (the shift algorithm of `exact.sign_flip`). Pairs
    that are missing enter as 0 and change nothing.

    >>> sign_flip_p(np.array([[1, 2, 3, 4, 5, 6], [1, -1, 2, -2, 0, 0]])).tolist()
    [0.03125, 1.0]
    """
    size = np.abs(steps)
    small = np.minimum(np.where(steps > 0, size, 0).sum(axis=1), np.where(steps < 0, size, 0).sum(axis=1))
    sums = np.arange(small.max() + 1)
    chance = np.zeros((len(steps), len(sums)))
    chance[:, 0] = 1.0
    for shift in size.T:
        source = sums - shift[:, None]
        moved = np.where(source >= 0, np.take_along_axis(chance, np.maximum(source, 0), axis=1), 0.0)
        chance = (chance + moved) / 2
    tail = np.where(sums <= small[:, None], chance, 0.0).sum(axis=1)
    return np.minimum(1.0, 2 * tail)


def _inverted(steps, complete, per_point, level) -> dict:
    intervals = [exact.sign_flip_interval(d[kept] / per_point, level=level) for d, kept in zip(steps, complete) if kept.any()]
    half = np.array([(i.high - i.low) / 2 for i in intervals])
    unbounded = int(np.isinf(half).sum()) + len(steps) - len(half)
    if unbounded:
        return {"n": len(steps), "method": f"not defined: in {unbounded} of {len(steps)} programmes too few stay for a "
                                           "bounded interval"}
    return _average(half, "expected half-width of the interval that inverts the sign-flip test, complete cases")


def _share(hits: np.ndarray, method: str) -> dict:
    p = float(hits.mean())
    return {"n": len(hits), "estimate": p, "se": math.sqrt(p * (1 - p) / len(hits)), "method": method}


def _average(values: np.ndarray, method: str) -> dict:
    return {"n": len(values), "estimate": float(values.mean()), "se": float(values.std(ddof=1) / math.sqrt(len(values))),
            "method": method}
