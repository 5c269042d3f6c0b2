"""What may leave: minimum contributors and complementary suppression, before anything is written.

A masked number is missing (NaN) in its row; the row itself stays, so that a reader sees what was
withheld. The rules look at counts and contributors only, never at who the people are.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .frames import Refusal

MINIMUM = {"team": 1, "programme": 5, "public": 10}  # contributors behind every released number
# Counts of questionnaires, events or themes: how the study ran, not what anybody answered.
ABOUT_THE_RUNNING = ("flow", "delivery", "timeline", "forum", "forum topics", "saturation", "quotations")
NUMBERS = ("estimate", "se", "low", "high", "p")


def minimum_contributors(profile: str) -> int:
    """The smallest group a released number may rest on, for a release profile.

    Raises
    ------
    Refusal
        When the profile is unknown.

    Examples
    --------
    >>> minimum_contributors("programme")
    5
    """
    if profile not in MINIMUM:
        raise Refusal(f"'{profile}' is not a release profile; use {', '.join(MINIMUM)}")
    return MINIMUM[profile]


def screen_estimates(estimates: pd.DataFrame, *, minimum: int) -> pd.DataFrame:
    """Estimates with the numbers masked wherever fewer than `minimum` people or pairs contribute.

    Parameters
    ----------
    estimates
        Rows of the ESTIMATES shape; `n` counts contributing people, pairs or cohorts' people.
    minimum
        Smallest number of contributors a released number may rest on.

    Examples
    --------
    >>> from plresearch.frames import ESTIMATES, make
    >>> rows = make([{"term": "mean", "n": 4, "estimate": 3.5}, {"term": "mean", "n": 6, "estimate": 3.1}], ESTIMATES)
    >>> screen_estimates(rows, minimum=5)["estimate"].tolist()
    [nan, 3.1]
    """
    screened = estimates.copy()
    too_few = (screened["n"].fillna(0) < minimum).to_numpy(dtype=bool)
    screened.loc[too_few, list(NUMBERS)] = np.nan
    return screened


def screen_counts(counts: pd.DataFrame, *, minimum: int) -> pd.DataFrame:
    """Counts with small cells masked, and further cells masked so that totals do not give them back.

    A cell is masked when it, or what is left of its total, is a group of 1 to `minimum` - 1 people.
    Cells whose category shares everything before the last ``|`` form one table over the same people;
    where the masked cells of a table add to fewer than `minimum`, or only one is masked, the smallest
    remaining cells are masked too.

    Parameters
    ----------
    counts
        Rows of the COUNTS shape.
    minimum
        Smallest group that may be shown.

    Examples
    --------
    >>> from plresearch.frames import COUNTS, make
    >>> rows = make([{"analysis": "items", "category": f"q1|{k}", "n": n, "of": 24} for k, n in enumerate((2, 8, 14))], COUNTS)
    >>> screen_counts(rows, minimum=5)["n"].tolist()
    [<NA>, <NA>, 14]
    """
    screened = counts.reset_index(drop=True).copy()
    about_people = ~screened["analysis"].isin(ABOUT_THE_RUNNING)
    table = screened["cohort"] + "|" + screened["analysis"] + "|" + screened["category"].str.rpartition("|")[0]
    for _, rows in screened[about_people].groupby(table[about_people], sort=False):
        hidden = _hidden_cells(rows["n"].to_numpy(dtype=float), rows["of"].to_numpy(dtype=float), minimum)
        screened.loc[rows.index[hidden], "n"] = pd.NA
    return screened


def _hidden_cells(n: np.ndarray, of: np.ndarray, minimum: int) -> np.ndarray:
    """Which cells of one table are masked: small ones first, then their complements."""
    small = (n > 0) & (n < minimum)
    rest = (of - n > 0) & (of - n < minimum)
    hidden = small | rest | (of < minimum)
    whole = len(n) > 1 and n.sum() == of[0] and len(set(of)) == 1
    while whole and hidden.any() and not hidden.all() and (hidden.sum() == 1 or n[hidden].sum() < minimum):
        shown = np.flatnonzero(~hidden)
        hidden[shown[np.argmin(n[shown])]] = True
    return hidden
