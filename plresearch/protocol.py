"""What a cleaned cohort has to tell: edits by rule, people, and what to do next."""

from __future__ import annotations

import pandas as pd

from .clean import CohortCleaned
from .frames import COUNTS, PEOPLE, make

LISTED = 3  # reasons spelled out; the rest is in the quarantine file


def edits_by_rule(result: CohortCleaned, cohort: str) -> pd.DataFrame:
    """How many cells each rule edited.

    Returns
    -------
    COUNTS rows, analysis 'flow', category ``edits|<rule>``; `of` counts all edits.
    """
    counted = result.audit.groupby("rule", sort=True).size()
    return make(
        [{"cohort": cohort, "analysis": "flow", "category": f"edits|{rule}", "n": int(n), "of": len(result.audit)}
         for rule, n in counted.items()],
        COUNTS,
    )


def people(result: CohortCleaned, cohort: str) -> pd.DataFrame:
    """Everyone who started (PEOPLE): the roster, or where there is none those who answered."""
    known = result.responses if result.roster is None else result.roster
    listed = known[[c for c in PEOPLE.columns if c in known.columns]].drop_duplicates().assign(cohort=cohort)
    return make(listed.to_dict("records"), PEOPLE)


def next_steps(result: CohortCleaned, cohort: str) -> str:
    """One sentence on the rows that wait for a decision, without naming anybody."""
    waiting = len(result.quarantine)
    if not waiting:
        return "No row waits for a decision."
    kinds = result.quarantine["reason"].str.partition(":")[0].value_counts()
    named = "; ".join(f"{kind} ({n})" for kind, n in list(kinds.items())[:LISTED])
    more = len(kinds) - LISTED
    return (
        f"{waiting} {'row waits' if waiting == 1 else 'rows wait'} for a decision: {named}"
        + (f" and {more} more reasons" if more > 0 else "")
        + f". They are listed with a suggestion each in data_processed/{cohort}/quarantine.csv; decide in "
        f"study/cohorts/{cohort}_corrections.csv and build again."
    )
