"""What happens inside a pair: the gap between partners, their likeness, and whether partners matter.

Functions take SCORES rows of complete pairs and return ESTIMATES rows, analysis 'pairs'. Always read
them beside the means and the ceiling share: a gap also shrinks at the end of the scale.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from . import dyads
from .change import interval_row, mean_row, wide
from .frames import ESTIMATES, make


def pairs(
    scores: pd.DataFrame, *, waves: tuple[str, str], roles: tuple[str, str], outcomes: tuple[str, ...], cohort: str,
    level: float, seed: int,
) -> pd.DataFrame:
    """Gap and likeness of the partners before and after in one cohort, for every outcome.

    Parameters
    ----------
    scores
        SCORES rows, complete over both waves.
    waves
        The wave before and the wave after.
    roles
        The two role ids, the first partner first.
    outcomes, cohort
        The subscales that have rows whatever the data, and the cohort.
    level
        Confidence level of every interval.
    seed
        For re-paired pseudo-pairs, where there are too many re-pairings to list.

    Returns
    -------
    ESTIMATES rows. Terms: ``gap <wave>`` (mean |first - second|, points), ``gap change`` (t interval, exact
    sign-flip p over pairs), ``ICC <wave>``, ``Pearson <wave>``, ``variance ratio <wave>`` (Pitman-Morgan),
    ``pseudo-pairs <wave>`` (mean gap of re-paired people; p of the actual one among them). A quantity that the
    data do not define, and an outcome with fewer than two pairs, has rows without a number that say why.

    Raises
    ------
    Refusal
        When a pair lacks a score, or has one twice (see `change.wide`).

    References
    ----------
    Kenny, Kashy & Cook (2006), Dyadic Data Analysis.

    Examples
    --------
    Two pairs, whose gaps of 1 and 2 points both become 0.5:

    >>> from plresearch.frames import SCORES
    >>> rows = [{"cohort": "c", "person": f"{r}{p}", "pair": p, "role": r, "wave": w, "subscale": "ethos", "score": s}
    ...         for p, r, w, s in [("1", "a", "pre", 3), ("1", "b", "pre", 4), ("1", "a", "post", 4), ("1", "b", "post", 4.5),
    ...                            ("2", "a", "pre", 2), ("2", "b", "pre", 4), ("2", "a", "post", 4), ("2", "b", "post", 4.5)]]
    >>> found = pairs(make(rows, SCORES), waves=("pre", "post"), roles=("a", "b"), outcomes=("ethos",), cohort="c",
    ...               level=0.95, seed=1).set_index("term")["estimate"]
    >>> found[["gap pre", "gap post", "gap change"]].tolist()
    [1.5, 0.5, -1.0]
    """
    rows = []
    for outcome in outcomes:
        part = scores[(scores["cohort"] == cohort) & (scores["subscale"] == outcome)]
        n = part["pair"].nunique()
        common = {"cohort": cohort, "analysis": "pairs", "outcome": outcome, "n": n, "unit": "points"}
        if n < 2:
            reason = f"not defined: {n} complete pairs; two are needed"
            rows += [common | {"term": t, "unit": u, "method": reason} for t, u in _terms(waves).items()]
            continue
        table = wide(part, waves=waves, roles=roles)
        rows += [common | row for row in _gaps(table, waves, roles, level)]
        for wave in waves:
            one, two = (table[role, wave].to_numpy() for role in roles)
            rows += [common | row for row in _likeness(one, two, wave, level, seed)]
    return make(rows, ESTIMATES)


def _terms(waves: tuple[str, str]) -> dict[str, str]:
    """Term -> unit of every row of `pairs`."""
    by_wave = {"ICC": "coefficient", "Pearson": "coefficient", "variance ratio": "coefficient", "pseudo-pairs": "points"}
    gaps = {f"gap {w}": "points" for w in waves} | {"gap change": "points"}
    return gaps | {f"{term} {w}": unit for w in waves for term, unit in by_wave.items()}


def _gaps(table: pd.DataFrame, waves: tuple[str, str], roles: tuple[str, str], level: float) -> list[dict]:
    """Mean absolute gap at each wave, and its change with the exact sign-flip test over pairs."""
    first, second = roles
    gaps = [(table[first, w] - table[second, w]).abs().round(9).to_numpy() for w in waves]
    rows = [interval_row(g, f"gap {w}", level=level, what="mean absolute gap between partners") for w, g in zip(waves, gaps)]
    shrink = (gaps[1] - gaps[0]).round(9)
    return [*rows, mean_row(shrink, "gap change", level=level, what="change of the absolute gap between partners")]


def _likeness(one: np.ndarray, two: np.ndarray, wave: str, level: float, seed: int) -> list[dict]:
    """Intraclass and Pearson correlation, ratio of variances and actual against re-paired gap at one wave."""
    measures = (
        ("ICC", lambda: dyads.pairwise_icc(one, two, level=level), "pairwise intraclass correlation, distinguishable partners"),
        ("Pearson", lambda: dyads.pearson(one, two, level=level), "Pearson correlation of the partners, Fisher interval"),
        ("variance ratio", lambda: dyads.pitman_morgan(one, two, level=level),
         "variance of the first role over the second, Pitman-Morgan"),
    )
    rows = []
    for term, measure, method in measures:
        row = {"term": f"{term} {wave}", "unit": "coefficient", "method": method}
        try:
            found = measure()
        except ValueError as reason:
            rows.append(row | {"method": f"not defined: {reason}"})
            continue
        value = found.ratio if term == "variance ratio" else found.value
        rows.append(row | {"estimate": value, "low": found.low, "high": found.high, "p": found.p})
    row = {"term": f"pseudo-pairs {wave}", "unit": "points"}
    method = "mean gap over all re-pairings; p, one-sided: share of re-pairings with a gap at least as small as the actual one"
    try:
        paired = dyads.pseudo_pairs(one, two, statistic="gap", seed=seed)
    except ValueError as reason:
        return [*rows, row | {"method": f"not defined: {reason}"}]
    listing = f"all {paired.repairings} re-pairings" if paired.exact else f"{paired.repairings} random re-pairings"
    return [*rows, row | {"estimate": paired.expected, "p": paired.p_closer, "method": f"{method}; {listing}"}]
