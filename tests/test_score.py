"""Scores: reverse keys, minimum answered, who is complete, reliability, ends of the scale, and possible means."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_change import HAND, ROLES, of, scores_of

from plresearch import change, effects, reliability, score
from plresearch.frames import ESTIMATES, RESPONSES, Refusal, make
from plresearch.study import Instrument, Item, ResponseSet, Subscale

AGREE = ResponseSet("agree", ("1", "2", "3", "4", "5"), (1, 2, 3, 4, 5))
AMOUNT = ResponseSet("amount", ("none", "some", "much"), (0, 10, 20))


def instrument(*, minimum=3, external=None, reversed_items=("q3",), items=4, amounts=()):
    names = [f"q{k}" for k in range(1, items + 1)]
    return Instrument(
        "i", "I", "here", "CC0-1.0", {"agree": AGREE, "amount": AMOUNT},
        {"ethos": Subscale("ethos", "Ethos", minimum, external), "one": Subscale("one", "One", 1)},
        {n: Item(n, n, "ethos", "amount" if n in amounts else "agree", reversed=n in reversed_items) for n in names}
        | {"single": Item("single", "single", "one", "agree", waves=("post",))})


def responses(answers, *, wave="pre", cohort="c", start=0):
    """RESPONSES from [person, item q1..qk]."""
    return make([{"cohort": cohort, "person": f"A{start + p}", "pair": f"P{(start + p) // 2}", "role": ROLES[p % 2], "wave": wave,
                  "item": f"q{k}", "value": v} for p, line in enumerate(answers) for k, v in enumerate(line, 1)], RESPONSES)


# --- scores ---------------------------------------------------------------------------------------

@pytest.mark.parametrize(("answers", "wanted", "answered"), [
    ([4, 5, 2, 3], 4.0, 4), ([4, 5, np.nan, 3], 4.0, 3), ([4, np.nan, 1, 3], 4.0, 3), ([4, 5, np.nan, np.nan], np.nan, 2),
    ([np.nan] * 4, np.nan, 0), ([1, 1, 5, 1], 1.0, 4), ([5, 5, 1, 5], 5.0, 4)])
def test_score_worked_by_hand(answers, wanted, answered):
    row = score.score(responses([answers]), instrument()).iloc[0]
    assert np.isclose(row["score"], wanted, equal_nan=True)
    assert (row["answered"], row["items"]) == (answered, 4)


def test_keyed_turns_by_the_codes_of_the_item():
    odd = instrument(items=2, minimum=2, reversed_items=("q1", "q2"), amounts=("q2",))
    assert score.keyed(responses([[2, 20]]), odd)["value"].tolist() == [4, 0]
    assert score.keyed(responses([[np.nan, 10]]), odd)["value"].isna().tolist() == [True, False]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(1, 5), min_size=4, max_size=4), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_turning_all_answers_turns_the_score_and_order_does_not_matter(answers, random):
    one = score.score(responses(answers), instrument())
    turned = score.score(responses([[6 - v for v in line] for line in answers]), instrument())
    assert turned["score"].tolist() == pytest.approx((6 - one["score"]).tolist())
    rows = responses(answers)
    order = list(range(len(rows)))
    random.shuffle(order)
    pd.testing.assert_frame_equal(score.score(rows.iloc[order], instrument()), one)


def test_answers_that_cannot_be_are_refused():
    with pytest.raises(Refusal, match="1 answers lie outside .*q1 = 6"):
        score.score(responses([[6, 1, 1, 1]]), instrument())
    with pytest.raises(Refusal, match="first: 'q5'"):
        score.score(responses([[1, 1, 1, 1, 1]]), instrument())
    with pytest.raises(Refusal, match="2 rows are several answers to one item at one wave .*person A0, wave pre, item q1"):
        rows = responses([[1, 1, 1, 1]])
        score.score(pd.concat([rows, rows.head(1)]), instrument())


# --- who is complete ------------------------------------------------------------------------------

def test_complete_keeps_whole_pairs_with_every_wave():
    scores = scores_of(HAND)
    for at in range(len(scores)):
        for broken in (scores.drop(index=at), scores.assign(score=scores["score"].where(scores.index != at))):
            kept = score.complete(broken, waves=("pre", "post"), roles=ROLES)
            assert set(kept["pair"]) == {f"P{k}" for k in range(4)} - {scores.loc[at, "pair"]}
            assert len(kept) == 12
    assert len(score.complete(scores, waves=("pre", "post"), roles=ROLES)) == 16
    assert len(score.complete(scores.drop(index=0), waves=("pre", "post"), roles=())) == 14


def test_a_replaced_partner_does_not_complete_a_pair():
    scores = scores_of(HAND[:2])
    other = scores.assign(person=scores["person"].where(~((scores["person"] == "0-0") & (scores["wave"] == "post")), "new"))
    assert set(score.complete(other, waves=("pre", "post"), roles=ROLES)["pair"]) == {"P1"}


def test_two_of_one_role_are_no_pair_and_three_are_refused():
    scores = scores_of(HAND[:2])
    same = scores.assign(role=scores["role"].where(scores["pair"] != "P0", ROLES[0]))
    with pytest.raises(Refusal, match="several people of one role in one pair .*pair P0"):
        score.complete(same, waves=("pre", "post"), roles=ROLES)
    third = scores[scores["person"] == "0-0"].assign(person="third")
    with pytest.raises(Refusal, match="correct the roster"):
        score.complete(pd.concat([scores, third]), waves=("pre", "post"), roles=ROLES)
    with pytest.raises(Refusal, match="several scores of one person"):
        score.complete(pd.concat([scores, scores.head(1)]), waves=("pre", "post"), roles=ROLES)


def test_people_without_pair_or_known_role_stay_out():
    scores = scores_of(HAND)
    lone = scores.assign(pair=scores["pair"].where(scores["pair"] != "P2", ""))
    assert set(score.complete(lone, waves=("pre", "post"), roles=ROLES)["pair"]) == {"P0", "P1", "P3"}
    guest = scores.assign(role=scores["role"].where(scores["person"] != "3-1", "guest"))
    assert set(score.complete(guest, waves=("pre", "post"), roles=ROLES)["pair"]) == {"P0", "P1", "P2"}


def test_one_set_of_people_serves_all_results_of_a_subscale():
    """Differencing: every person count of a subscale, over all results built on `complete`, is the same set."""
    scores = scores_of(np.random.default_rng(1).integers(4, 21, (8, 2, 2)) / 4).drop(index=[3, 17])
    whole = score.complete(scores, waves=("pre", "post"), roles=ROLES)
    people = set(whole["person"])
    assert all(set(part["person"]) == people for _, part in whole.groupby("wave"))
    means = change.descriptives(whole, waves=("pre", "post"), roles=ROLES, level=0.95)
    limits = score.floor_and_ceiling(whole, instrument(), level=0.95)
    moved = change.change(whole, from_="pre", to="post", roles=ROLES, level=0.95, mid=0.5)
    by_hand = {w: whole.loc[whole["wave"] == w, "score"].mean() for w in ("pre", "post")}
    for w in by_hand:
        assert np.mean([of(means, f"{r}|{w}|mean")["estimate"] for r in ROLES]) == pytest.approx(by_hand[w])
    assert set(limits["n"]) == {len(people)} and len(people) == 12
    assert of(moved, "pair mean")["estimate"] == pytest.approx(by_hand["post"] - by_hand["pre"])
    counted = score.completeness(scores, waves=("pre", "post"), roles=ROLES)
    assert counted[["n", "of"]].values.tolist() == [[6, 8]]


# --- reliability ----------------------------------------------------------------------------------

ANSWERS = [[3, 4, 2, 3], [5, 5, 1, 4], [2, 2, 4, 3], [4, 4, 2, 5], [1, 2, 5, 2], [4, 5, 2, 4]]


def test_reliability_is_that_of_the_turned_items():
    found = score.reliability(responses(ANSWERS), instrument(), wave="pre", level=0.95)
    turned = np.array(ANSWERS, float)
    turned[:, 2] = 6 - turned[:, 2]
    alpha, bounds = reliability.cronbach_alpha(turned, level=0.95), reliability.guttman(turned)
    row = of(found, "alpha pre")
    assert (row["estimate"], row["low"], row["high"], row["n"]) == (alpha.alpha, alpha.low, alpha.high, 6)
    assert of(found, "lambda-2 pre")["estimate"] == bounds.lambda2 and of(found, "lambda-6 pre")["estimate"] == bounds.lambda6
    for k in range(4):
        item = found[found["outcome"] == f"q{k + 1}"]
        assert of(item, "alpha if dropped pre")["estimate"] == alpha.alpha_if_dropped[k]
        assert of(item, "item-rest pre")["estimate"] == alpha.item_rest[k]
    assert "one" not in set(found["outcome"])  # not asked before


def test_reliability_leaves_out_gaps_and_says_what_is_not_defined():
    gap = [*ANSWERS, [3, np.nan, 3, 3]]
    assert of(score.reliability(responses(gap), instrument(), wave="pre", level=0.95), "alpha pre")["n"] == 6
    few = score.reliability(responses(ANSWERS[:2]), instrument(), wave="pre", level=0.95)
    assert few["estimate"].isna().all() and few["method"].str.startswith("not defined: 2 people").all()
    single = make([{"cohort": "c", "person": f"A{k}", "wave": "post", "item": "single", "value": 3} for k in range(5)], RESPONSES)
    rows = score.reliability(single, instrument(), wave="post", level=0.95).set_index("outcome")
    assert rows.loc["one", "method"].eq("not defined: a single item has no internal consistency").all()
    same = [[k, 3, 6 - k, k] for k in (1, 2, 4, 5)]
    item = score.reliability(responses(same), instrument(), wave="pre", level=0.95)
    assert np.isnan(of(item[item["outcome"] == "q2"], "item-rest pre")["estimate"])


@pytest.mark.parametrize(("external", "source"), [(0.81, "external"), (None, "alpha of this sample")])
def test_the_external_reliability_comes_first(external, source):
    scale = instrument(external=external)
    found = score.reliability(responses(ANSWERS), scale, wave="pre", level=0.95)
    row = score.reliability_used(found, scale, wave="pre").iloc[0]
    assert row["estimate"] == (external or of(found, "alpha pre")["estimate"]) and source in row["method"]


def test_omega_is_pooled_over_cohorts_and_only_there():
    rng = np.random.default_rng(7)
    common = rng.normal(size=(60, 1))
    answers = np.clip(np.rint(3 + common + rng.normal(scale=0.8, size=(60, 4))), 1, 5)
    both = pd.concat([responses(answers[:30], cohort="a"), responses(answers[30:], cohort="b")])  # the same ids twice
    row = score.omega(both, instrument(reversed_items=()), wave="pre", level=0.95).iloc[0]
    wanted = reliability.mcdonald_omega(answers, level=0.95)
    assert (row["cohort"], row["n"], row["estimate"]) == ("combined", 60, pytest.approx(wanted.omega, abs=1e-8))
    assert (row["low"], row["high"]) == pytest.approx((wanted.logit_low, wanted.logit_high), abs=1e-6)
    few = score.omega(both[both["person"].isin(["A0", "A1"])], instrument(reversed_items=()), wave="pre", level=0.95)
    assert few["method"].str.startswith("not defined").all()


def test_a_heywood_case_is_named():
    rng = np.random.default_rng(0)
    for _ in range(200):
        answers = rng.integers(1, 6, (12, 3)).astype(float)
        try:
            if reliability.mcdonald_omega(answers).heywood:
                break
        except ValueError:
            continue
    row = score.omega(responses(answers), instrument(items=3, minimum=3, reversed_items=()), wave="pre", level=0.95).iloc[0]
    assert "Heywood case" in row["method"] and "not to be relied on" in row["method"]


# --- ends of the scale ----------------------------------------------------------------------------

def test_floor_and_ceiling():
    found = score.floor_and_ceiling(scores_of([[1, 5], [1, 5], [3, 5], [5, 4.75]], roles=()), instrument(), level=0.95)
    shares = found.set_index("term")["estimate"].to_dict()
    assert shares == {"floor pre": 0.5, "ceiling pre": 0.25, "floor post": 0.0, "ceiling post": 0.75}
    wanted = effects.floor_ceiling([5, 5, 5, 4.75], low=1, high=5).ceiling
    assert (of(found, "ceiling post")["low"], of(found, "ceiling post")["high"]) == (wanted.low, wanted.high)
    with pytest.raises(Refusal, match="2 different ranges"):
        score.floor_and_ceiling(scores_of([[1, 5]], roles=()), instrument(amounts=("q2",)), level=0.95)


# --- possible means -------------------------------------------------------------------------------

def released(seed=2, *, minimum=3, pairs=6, gaps=0.1):
    """Means and changes of a random group, with single answers left out."""
    rng = np.random.default_rng(seed)
    scale = instrument(minimum=minimum)
    rows = pd.concat([responses(np.where(rng.random((2 * pairs, 4)) < gaps, np.nan, rng.integers(1, 6, (2 * pairs, 4))), wave=w)
                      for w in ("pre", "post")])
    whole = score.complete(score.score(rows, scale), waves=("pre", "post"), roles=ROLES)
    means = change.descriptives(whole, waves=("pre", "post"), roles=ROLES, level=0.95)
    return pd.concat([means, change.change(whole, from_="pre", to="post", roles=ROLES, level=0.95, mid=0.5)], ignore_index=True), scale


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 3, 4]))
def test_true_means_always_pass(seed, minimum):
    found, scale = released(seed, minimum=minimum, gaps=0.1 if minimum < 4 else 0.0)
    assert score.grim_check(found, scale, roles=ROLES).startswith("8 means")


@pytest.mark.parametrize("term", ["nurse|pre|mean", "accountant|post|mean", "pair mean", "nurse", "nurse minus accountant"])
@pytest.mark.parametrize("by", [0.0031, -0.01, 1 / 1000])
def test_a_corrupted_mean_is_refused(term, by):
    found, scale = released()
    found.loc[found["term"] == term, "estimate"] += by
    with pytest.raises(Refusal, match="cannot come from") as refusal:
        score.grim_check(found, scale, roles=ROLES)
    assert term in str(refusal.value) and "ethos" in str(refusal.value)


def test_a_wrong_n_and_a_mean_beyond_the_scale_are_refused():
    found, scale = released(gaps=0.0)
    mean = of(found, "nurse|pre|mean")["estimate"]
    wrong = next(n for n in range(2, 12) if not effects.grim(f"{mean:.12f}", n, items=12, decimals=6).consistent)
    with pytest.raises(Refusal, match="cannot come from"):
        score.grim_check(found.assign(n=found["n"].where(found["term"] != "nurse|pre|mean", wrong)), scale, roles=ROLES)
    found.loc[found["term"] == "nurse|pre|mean", "estimate"] = 5.5
    with pytest.raises(Refusal, match="5.5000 cannot come from"):
        score.grim_check(found, scale, roles=ROLES)


def test_masked_means_and_other_terms_are_passed_over():
    found, scale = released()
    masked = found.assign(estimate=np.nan)
    assert score.grim_check(masked, scale, roles=ROLES).startswith("0 means")
    other = found.assign(estimate=found["estimate"].where(found["term"] != "Hodges-Lehmann", 0.12345))
    assert score.grim_check(other, scale, roles=ROLES).startswith("8 means")


def test_a_further_contrast_is_checked_too():
    found, scale = released()
    later = found[found["analysis"] == "change"].assign(term=lambda f: f["term"] + ": later")
    assert score.grim_check(later, scale, roles=ROLES).startswith("4 means")
    with pytest.raises(Refusal, match="pair mean: later"):
        score.grim_check(later.assign(estimate=later["estimate"] + 0.003), scale, roles=ROLES)


def test_codes_that_are_not_whole_steps_of_one():
    scale = instrument(items=2, minimum=2, reversed_items=(), amounts=("q1", "q2"))
    row = {"cohort": "c", "analysis": "descriptives", "outcome": "ethos", "term": "all|pre|mean", "n": 3}
    for sums in itertools.product((0, 10, 20, 30, 40), repeat=3):
        score.grim_check(make([row | {"estimate": sum(sums) / 6}], ESTIMATES), scale)
    with pytest.raises(Refusal):
        score.grim_check(make([row | {"estimate": 11.0}], ESTIMATES), scale)
