"""Disclosure: contributors, small cells, complements; nothing masked can be worked out from the table."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plresearch import disclose
from plresearch.frames import COUNTS, ESTIMATES, Refusal, make


def table(cells, of=None, analysis="items"):
    total = sum(cells) if of is None else of
    return make([{"cohort": "c", "analysis": analysis, "category": f"q|pre|{k}", "n": n, "of": total} for k, n in enumerate(cells)], COUNTS)


def test_profiles_and_their_minima():
    assert [disclose.minimum_contributors(p) for p in ("team", "programme", "public")] == [1, 5, 10]
    with pytest.raises(Refusal, match="'everyone' is not a release profile"):
        disclose.minimum_contributors("everyone")


def test_every_number_of_a_row_with_too_few_is_masked_and_the_row_stays():
    rows = make([{"n": 4, "estimate": 1, "se": 1, "low": 0, "high": 2, "p": 0.5, "method": "mean"}], ESTIMATES)
    shown = disclose.screen_estimates(rows, minimum=5)
    assert shown[list(disclose.NUMBERS)].isna().all(axis=None)
    assert shown.loc[0, "method"] == "mean" and shown.loc[0, "n"] == 4


def test_a_row_that_says_nothing_of_its_contributors_is_masked():
    assert disclose.screen_estimates(make([{"estimate": 3.0}], ESTIMATES), minimum=5)["estimate"].isna().all()


def test_a_single_small_cell_takes_a_second_one_with_it():
    shown = disclose.screen_counts(table([2, 9, 20]), minimum=5)["n"]
    assert shown.isna().tolist() == [True, True, False]


def test_counts_of_the_running_are_not_about_answers():
    assert disclose.screen_counts(table([1, 11], analysis="flow"), minimum=5)["n"].notna().all()


def test_a_share_whose_complement_is_small_is_masked():
    shown = disclose.screen_counts(make([{"analysis": "themes", "category": "trust", "n": 10, "of": 12}], COUNTS), minimum=5)
    assert shown["n"].isna().all()


@given(st.lists(st.integers(0, 30), min_size=2, max_size=6), st.sampled_from([5, 10]))
def test_no_masked_small_cell_of_a_full_table_is_determined_by_the_rest(cells, minimum):
    """Anyone who knows the total and the rule still has more than one possibility for every small cell."""
    shown = disclose.screen_counts(table(cells), minimum=minimum)["n"]
    hidden = [k for k in range(len(cells)) if pd.isna(shown[k])]
    if not hidden or sum(cells) < minimum:
        return
    left = sum(cells) - int(shown.dropna().sum())
    small = [k for k in hidden if 0 < cells[k] < minimum]
    if small and len(hidden) < len(cells):
        assert len(hidden) >= 2
        assert left >= minimum
    for k in small:
        others = [range(left + 1)] * (len(hidden) - 1)
        possible = {left - sum(o) for o in itertools.islice(itertools.product(*others), 5000) if sum(o) <= left}
        assert len(possible) > 1


def test_the_caller_s_table_is_not_changed():
    rows = table([1, 11])
    disclose.screen_counts(rows, minimum=5)
    assert rows["n"].tolist() == [1, 11]
    estimates = make([{"n": 2, "estimate": 1.0}], ESTIMATES)
    disclose.screen_estimates(estimates, minimum=5)
    assert np.isclose(estimates.loc[0, "estimate"], 1.0)
