"""Pairs: gaps worked by hand, the mathematics on the pair vectors, invariances, refusals and degenerate data."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_change import HAND, ROLES, of, scores_of

from plresearch import dyads, exact, pairs, score
from plresearch.frames import ESTIMATES, Refusal

OPTIONS = {"waves": ("pre", "post"), "roles": ROLES, "outcomes": ("ethos",), "cohort": "c", "level": 0.95, "seed": 3}
TERMS = {f"{t} {w}" for t in ("gap", "ICC", "Pearson", "variance ratio", "pseudo-pairs") for w in ("pre", "post")} | {"gap change"}


def test_worked_by_hand():
    found = pairs.pairs(scores_of(HAND), **OPTIONS)  # gaps before 1, .5, 1, 1; after 2, .5, 1, 2
    assert of(found, "gap pre")["estimate"] == 0.875 and of(found, "gap post")["estimate"] == 1.375
    row = of(found, "gap change")  # 1, 0, 0, 1: the two that changed grew
    assert (row["estimate"], row["p"], row["n"]) == (0.5, 0.5, 4)
    assert np.isnan(of(found, "gap pre")["p"]) and "sign-flip" not in of(found, "gap pre")["method"]
    assert set(found["term"]) == TERMS and (found["unit"] != "").all()


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 7), st.integers(0, 10**6))
def test_the_numbers_are_those_of_the_mathematics(n, seed):
    values = np.random.default_rng(seed).integers(4, 21, (n, 2, 2)) / 4
    found = pairs.pairs(scores_of(values), **OPTIONS)
    gaps = np.abs(values[:, 0] - values[:, 1])
    row = of(found, "gap change")
    assert row["estimate"] == pytest.approx((gaps[:, 1] - gaps[:, 0]).mean())
    assert row["p"] == exact.sign_flip(gaps[:, 1] - gaps[:, 0]).p
    for k, wave in enumerate(("pre", "post")):
        one, two = values[:, 0, k], values[:, 1, k]
        for term, measure, name in (("ICC", dyads.pairwise_icc, "value"), ("Pearson", dyads.pearson, "value"),
                                    ("variance ratio", dyads.pitman_morgan, "ratio")):
            shown = of(found, f"{term} {wave}")
            try:
                wanted = measure(one, two, level=0.95)
            except ValueError:
                assert np.isnan(shown["estimate"]) and shown["method"].startswith("not defined: ")
            else:
                assert shown["estimate"] == getattr(wanted, name) and shown["low"] == wanted.low
        if np.ptp(one) and np.ptp(two):
            wanted = dyads.pseudo_pairs(one, two, statistic="gap", seed=3)
            shown = of(found, f"pseudo-pairs {wave}")
            assert (shown["estimate"], shown["p"]) == (wanted.expected, wanted.p_closer)
            assert f"all {wanted.repairings} re-pairings" in shown["method"]


def by_term(found, leave=()):
    return found[~found["term"].isin(leave)].set_index("term")[["estimate", "low", "high", "p"]].astype(float)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(4, 20).map(lambda k: k / 4), min_size=24, max_size=24), st.randoms(use_true_random=False))
def test_order_and_names_do_not_matter_and_roles_may_swap(values, random):
    scores = scores_of(np.reshape(values, (6, 2, 2)))
    order = list(range(len(scores)))
    random.shuffle(order)
    mixed = scores.iloc[order].assign(pair=lambda f: f["pair"].str.replace("P", "Z"))
    one = by_term(pairs.pairs(scores, **OPTIONS))
    pd.testing.assert_frame_equal(one, by_term(pairs.pairs(mixed, **OPTIONS)), rtol=1e-9, atol=1e-9)
    swapped = by_term(pairs.pairs(scores, **OPTIONS | {"roles": ROLES[::-1]}))
    same = [t for t in one.index if not t.startswith("variance")]
    pd.testing.assert_frame_equal(one.loc[same], swapped.loc[same], rtol=1e-9, atol=1e-9)
    ratio = one.loc["variance ratio pre", "estimate"] * swapped.loc["variance ratio pre", "estimate"]
    assert np.isnan(ratio) or ratio == pytest.approx(1)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(4, 20).map(lambda k: k / 4), min_size=24, max_size=24), st.integers(-8, 8))
def test_a_shift_of_everybody_changes_no_gap(values, quarter):
    scores = scores_of(np.reshape(values, (6, 2, 2)))
    moved = scores.assign(score=scores["score"] + np.where(scores["wave"] == "post", quarter / 4, 0))
    pd.testing.assert_frame_equal(by_term(pairs.pairs(scores, **OPTIONS)), by_term(pairs.pairs(moved, **OPTIONS)),
                                  rtol=1e-7, atol=1e-9)


def test_time_reversed_the_gap_change_turns():
    scores = scores_of(HAND)
    turned = pairs.pairs(scores.assign(wave=scores["wave"].map({"pre": "post", "post": "pre"})), **OPTIONS)
    assert of(turned, "gap change")["estimate"] == -0.5 and of(turned, "gap change")["p"] == 0.5


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_pairs_have_rows_that_say_so(n):
    found = pairs.pairs(scores_of(HAND[:n]) if n else scores_of(HAND).head(0), **OPTIONS)
    assert set(found["term"]) == TERMS and found["estimate"].isna().all()
    assert found["method"].eq(f"not defined: {n} complete pairs; two are needed").all()
    assert list(found.columns) == list(ESTIMATES.columns)


def test_two_pairs_and_pairs_without_variation_are_described():
    two = pairs.pairs(scores_of(HAND[:2]), **OPTIONS)
    assert of(two, "gap pre")["estimate"] == 0.75 and "not defined" in of(two, "pseudo-pairs pre")["method"]
    still = pairs.pairs(scores_of([[[3, 3], [4, 4]]] * 5), **OPTIONS)
    assert of(still, "gap change")["estimate"] == 0 and of(still, "gap change")["p"] == 1.0
    assert "no width" in of(still, "gap pre")["method"]
    for term in ("ICC pre", "Pearson pre", "variance ratio pre", "pseudo-pairs pre"):
        assert np.isnan(of(still, term)["estimate"]) and "not defined" in of(still, term)["method"]


def test_half_a_pair_never_slips_in():
    scores = scores_of(HAND)
    half = scores[~((scores["pair"] == "P1") & (scores["role"] == ROLES[0]) & (scores["wave"] == "post"))]
    with pytest.raises(Refusal, match="first: P1"):
        pairs.pairs(half, **OPTIONS)
    kept = score.complete(half, waves=("pre", "post"), roles=ROLES)
    assert set(kept["pair"]) == {"P0", "P2", "P3"}
    assert of(pairs.pairs(kept, **OPTIONS), "gap pre")["estimate"] == 1.0


def test_other_cohorts_and_outcomes_stay_out():
    scores = pd.concat([scores_of(HAND), scores_of(HAND[:2], cohort="d"), scores_of(HAND[:3], subscale="role")])
    found = pairs.pairs(scores, **OPTIONS)
    assert set(found["n"]) == {4} and set(found["outcome"]) == {"ethos"}
