"""Every question by itself, before and after: for all cohorts together only.

In one cohort a cell of a question's table would often be one colleague, so these functions are meant for
RESPONSES whose cohort reads 'combined' (`score.pooled_answers`), with reverse-keyed items turned round
(`score.keyed`): a rise is always for the better.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from . import exact
from .frames import ESTIMATES, Refusal, make


def item_changes(
    answers: pd.DataFrame, *, from_: str, to: str, roles: tuple[str, ...], subscale_of: Mapping[str, str],
    codes_of: Mapping[str, tuple[int, ...]], level: float,
) -> pd.DataFrame:
    """Change of every item: exact sign test over pairs, and two tests of people's answers.

    The sign test takes the pair (person) as its unit: the sum of the partners' changes. Stuart-Maxwell
    (is the distribution over all answers the same?) and McNemar (above the middle of the scale or not?)
    take people, as if partners were independent; they describe, and the sign test decides.

    Parameters
    ----------
    answers
        RESPONSES rows, items turned so that more is better; a person enters an item's row with an answer at
        both waves, a pair with both partners.
    from_, to
        The two waves.
    roles
        The two role ids, or none.
    subscale_of, codes_of
        Item id -> its subscale, and -> the codes of its answers. Items of one subscale are one family.
    level
        Confidence level of McNemar's odds ratio.

    Returns
    -------
    ESTIMATES rows, analysis 'item change', outcome = item. Terms: ``mean`` (mean change in points, sign-test p),
    ``mean, BH`` (the same, p adjusted by Benjamini & Hochberg inside the subscale), ``Stuart-Maxwell`` (the
    statistic, exact p where it can be listed), ``McNemar`` (conditional odds ratio of moving above the middle against
    moving back; `n` counts those who crossed it, since the test rests on them). What the answers do not
    define has a row that says so.

    Raises
    ------
    Refusal
        When a person has two answers to one item at one wave.

    References
    ----------
    Benjamini & Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x. Stuart (1955), doi:10.2307/2333387.
    Fagerland, Lydersen & Laake (2013), doi:10.1186/1471-2288-13-91.

    Examples
    --------
    >>> from plresearch.frames import RESPONSES
    >>> rows = [{"cohort": "combined", "person": str(p), "item": "q", "wave": w, "value": v}
    ...         for p, both in enumerate([(2, 4), (3, 4), (2, 5), (3, 5), (2, 4), (3, 3)]) for w, v in zip(("pre", "post"), both)]
    >>> found = item_changes(make(rows, RESPONSES), from_="pre", to="post", roles=(), subscale_of={"q": "s"},
    ...                      codes_of={"q": (1, 2, 3, 4, 5)}, level=0.95).set_index("term")
    >>> found.loc["mean", ["n", "estimate", "p"]].astype(float).round(3).tolist()  # five of six rose
    [6.0, 1.667, 0.062]
    >>> found.loc["McNemar", ["n", "estimate", "p"]].astype(float).round(3).tolist()
    [5.0, inf, 0.062]
    """
    rows = []
    for (cohort, item), part in answers.dropna(subset=["value"]).groupby(["cohort", "item"], sort=False):
        common = {"cohort": cohort, "analysis": "item change", "outcome": item}
        both = _both_waves(part, from_, to)
        rows += [common | row for row in (_sign_row(both, roles), _stuart_maxwell_row(both),
                                          _mcnemar_row(both, codes_of[item], level))]
    return make(_with_adjusted(rows, subscale_of), ESTIMATES)


def _both_waves(part: pd.DataFrame, from_: str, to: str) -> pd.DataFrame:
    """One row per person who answered the item at both waves: pair, role, and the two answers."""
    rows = part[part["wave"].isin((from_, to))]
    if rows.duplicated(["person", "wave"]).any():
        first = rows[rows.duplicated(["person", "wave"])].iloc[0]
        raise Refusal(f"item {first['item']}: two answers of one person at {first['wave']} (person {first['person']}); "
                      "clean again, and keep the ids of different cohorts apart")
    table = rows.pivot(index=["person", "pair", "role"], columns="wave", values="value")
    return table.reindex(columns=[from_, to]).dropna().set_axis(["before", "after"], axis=1).reset_index()


def _sign_row(both: pd.DataFrame, roles: tuple[str, ...]) -> dict:
    d = both.assign(change=both["after"] - both["before"])
    if roles:
        paired = d[(d["pair"] != "") & d["role"].isin(roles)]
        whole = paired.groupby("pair")["role"].transform("nunique") == len(roles)
        d = paired[whole].groupby("pair", sort=False)["change"].mean().to_frame()
    row = {"term": "mean", "n": len(d), "unit": "points"}
    unit = "pair" if roles else "person"
    if not len(d):
        return row | {"method": f"not defined: no {unit} answered this item at both waves"}
    test = exact.sign_test(d["change"].to_numpy())
    return row | {"estimate": float(d["change"].mean()), "p": test.p,
                  "method": f"mean change per {unit}; exact sign test over {unit}s, two-sided, smallest attainable p "
                            f"{test.smallest_p:.3g}"}


def _stuart_maxwell_row(both: pd.DataFrame) -> dict:
    row = {"term": "Stuart-Maxwell", "n": len(both), "unit": "chi-squared"}
    if (both["before"] == both["after"]).all():
        return row | {"method": "not defined: nobody changed the answer"}
    given = sorted({*both["before"], *both["after"]})  # answers that nobody gave do not enter the test
    table = pd.crosstab(both["before"], both["after"]).reindex(index=given, columns=given, fill_value=0)
    found = exact.stuart_maxwell(table.to_numpy())
    kind = "exact" if found.p_exact is not None else f"chi-squared with {found.df} degrees of freedom"
    return row | {"estimate": found.statistic, "p": found.p if found.p_exact is None else found.p_exact,
                  "method": f"Stuart-Maxwell test of equal distributions over {len(given)} answers, {kind}; people taken as "
                            "independent"}


def _mcnemar_row(both: pd.DataFrame, codes: tuple[int, ...], level: float) -> dict:
    middle = (min(codes) + max(codes)) / 2
    before, after = both["before"] > middle, both["after"] > middle
    up, down = int((~before & after).sum()), int((before & ~after).sum())
    row = {"term": "McNemar", "n": up + down, "unit": "odds ratio"}
    if not up + down:
        return row | {"method": "not defined: nobody crossed the middle of the scale"}
    found = exact.mcnemar_exact(up, down, level=level)
    return row | {"estimate": found.odds_ratio, "low": found.low, "high": found.high, "p": found.p,
                  "method": "exact McNemar test of answers above the middle of the scale against all others, conditional "
                            f"odds ratio; people taken as independent; n counts those of {len(both)} who crossed the middle"}


def _with_adjusted(rows: list[dict], subscale_of: Mapping[str, str]) -> list[dict]:
    """After each sign-test row, the same with its p adjusted over the items of its subscale (Benjamini-Hochberg)."""
    tested = [r for r in rows if r["term"] == "mean" and not np.isnan(r.get("p", np.nan))]
    families: dict[tuple[str, str], list[dict]] = {}
    for row in tested:
        families.setdefault((row["cohort"], subscale_of[row["outcome"]]), []).append(row)
    adjusted = {}
    for family in families.values():
        corrected = multipletests([r["p"] for r in family], method="fdr_bh")[1]
        for row, p in zip(family, corrected):
            adjusted[row["cohort"], row["outcome"]] = row | {
                "term": "mean, BH", "p": float(p),
                "method": f"{row['method']}; p adjusted over {len(family)} items of the subscale (Benjamini-Hochberg)",
            }
    made = []
    for row in rows:
        made.append(row)
        if row["term"] == "mean":
            made.append(adjusted.get((row["cohort"], row["outcome"]), row | {"term": "mean, BH"}))
    return made
