"""Who stayed and who left: retention by wave, and whether those who left began differently.

Functions take RESPONSES (and SCORES) rows of one or more cohorts. How many questionnaires came back is told
as part of the participant flow; anything about what the leavers answered rests on the smaller of the two
groups, and `n` counts that group, so that the release door judges by it.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from . import effects, exact
from .frames import COUNTS, ESTIMATES, make


def retention(responses: pd.DataFrame, *, waves: tuple[str, ...], roles: tuple[str, ...]) -> pd.DataFrame:
    """How many of those who answered the first wave answered each later one.

    A person answered a wave who gave at least one answer there. With roles, pairs are counted too: both
    partners answered the first wave, and both the later one.

    Parameters
    ----------
    responses
        RESPONSES rows.
    waves
        Wave ids, the first one first. Waves without any answer in a cohort have no row.
    roles
        The two role ids, or none.

    Returns
    -------
    COUNTS rows, analysis 'flow', categories ``retained|<wave>`` and ``retained pairs|<wave>``.

    Examples
    --------
    >>> from plresearch.frames import RESPONSES
    >>> rows = [{"person": p, "wave": w, "value": 3} for p, w in [("A", "pre"), ("A", "post"), ("B", "pre"), ("C", "post")]]
    >>> retention(make(rows, RESPONSES), waves=("pre", "post"), roles=())[["category", "n", "of"]].values.tolist()
    [['retained|post', 1, 2]]
    """
    rows = []
    answered = responses[responses["value"].notna()]
    for cohort, part in answered.groupby("cohort", sort=False):
        people = {w: set(part.loc[part["wave"] == w, "person"]) for w in waves}
        pairs = {w: _whole_pairs(part[part["wave"] == w], roles) for w in waves} if roles else {}
        for name, units in (("retained", people), ("retained pairs", pairs)):
            rows += [{"cohort": cohort, "analysis": "flow", "category": f"{name}|{w}", "n": len(units[waves[0]] & units[w]),
                      "of": len(units[waves[0]])} for w in waves[1:] if units and people[w]]
    return make(rows, COUNTS)


def _whole_pairs(answered: pd.DataFrame, roles: tuple[str, ...]) -> set[str]:
    """Pairs of which somebody of each role answered."""
    known = answered[(answered["pair"] != "") & answered["role"].isin(roles)]
    seen = known.groupby("pair")["role"].nunique()
    return set(seen.index[seen == len(roles)])


def attrition(
    responses: pd.DataFrame, scores: pd.DataFrame, *, from_: str, to: str, roles: tuple[str, ...], outcomes: tuple[str, ...],
    level: float,
) -> pd.DataFrame:
    """Those who answered the first wave and not the last, against those who answered both.

    Parameters
    ----------
    responses, scores
        RESPONSES and SCORES rows.
    from_, to
        The first and the last wave.
    roles
        The two role ids, or none.
    outcomes
        Subscales whose baseline is compared.
    level
        Confidence level of the intervals.

    Returns
    -------
    ESTIMATES rows, analysis 'attrition'. Outcome 'leaving': term ``<role> minus <role>`` (difference of the shares
    who left, Fisher's exact test; only with roles). Each subscale: term ``leavers minus stayers`` (standardised
    difference of the baseline, Bonett interval; exact rank-sum test with ties). `n` counts the smaller of the
    two groups. Where nobody left, or a group is too small, the row says so.

    References
    ----------
    Bonett (2008), doi:10.1037/1082-989X.13.2.99. Mann & Whitney (1947), doi:10.1214/aoms/1177730491.
    """
    rows = []
    answered = responses[responses["value"].notna()]
    for cohort, part in answered.groupby("cohort", sort=False):
        first = part[part["wave"] == from_].drop_duplicates("person").set_index("person")["role"]
        stayed = first.index.isin(set(part.loc[part["wave"] == to, "person"]))
        common = {"cohort": cohort, "analysis": "attrition"}
        if roles:
            rows.append(common | _by_role(first.to_numpy(), stayed, roles))
        at_start = scores[(scores["cohort"] == cohort) & (scores["wave"] == from_) & scores["score"].notna()]
        for outcome in outcomes:
            baseline = at_start[at_start["subscale"] == outcome].set_index("person")["score"].reindex(first.index)
            known = baseline.notna().to_numpy()
            leavers, stayers = baseline[known & ~stayed].to_numpy(), baseline[known & stayed].to_numpy()
            rows.append(common | {"outcome": outcome} | _by_baseline(leavers, stayers, level))
    return make(rows, ESTIMATES)


def _by_role(role: np.ndarray, stayed: np.ndarray, roles: tuple[str, ...]) -> dict:
    """Difference of the shares who left, first role minus second."""
    n = int(min(stayed.sum(), (~stayed).sum()))
    row = {"outcome": "leaving", "term": " minus ".join(roles), "n": n, "unit": "share"}
    table = np.array([[int(((role == r) & (stayed == s)).sum()) for s in (False, True)] for r in roles])
    if not (~stayed).any():
        return row | {"method": "not defined: nobody left"}
    if not table.sum(axis=1).all():
        return row | {"method": f"not defined: nobody of one role answered the first wave ({' and '.join(roles)})"}
    shares = table[:, 0] / table.sum(axis=1)
    return row | {"estimate": float(shares[0] - shares[1]), "p": float(stats.fisher_exact(table).pvalue),
                  "method": f"share of the {roles[0]}s who left minus that of the {roles[1]}s; Fisher's exact test, two-sided; "
                            "n is the smaller of leavers and stayers"}


def _by_baseline(leavers: np.ndarray, stayers: np.ndarray, level: float) -> dict:
    """Standardised difference of the baseline, leavers minus stayers, with the exact rank-sum test."""
    row = {"term": "leavers minus stayers", "n": min(len(leavers), len(stayers)), "unit": "SD"}
    if not len(leavers):
        return row | {"method": "not defined: nobody with a score at the first wave left"}
    try:
        found = effects.standardised_difference(leavers, stayers, level=level)
        test = exact.rank_sum(leavers, stayers)
    except ValueError as reason:
        return row | {"method": f"not defined: {reason}"}
    return row | {
        "estimate": found.value, "se": math.nan if found.se is None else found.se, "low": found.low, "high": found.high,
        "p": test.p, "method": "difference of the baseline by the average SD of the groups, Bonett interval; exact rank-sum "
        f"test with ties, two-sided, smallest attainable p {test.smallest_p:.3g}; n is the smaller of leavers and stayers",
    }
