"""Items: tests worked by hand and against their sources, Benjamini-Hochberg inside a subscale, and ids of cohorts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from plresearch import disclose, exact, items, score, study
from plresearch.frames import RESPONSES, Refusal, make

ROLES = ("nurse", "accountant")
CODES = (1, 2, 3, 4, 5)


def answers(values, *, item="q", roles=ROLES):
    """RESPONSES from [person, wave]; with roles, persons 2k and 2k + 1 are a pair."""
    return make([{"cohort": "combined", "person": f"A{i}", "pair": f"P{i // 2}" if roles else "",
                  "role": roles[i % 2] if roles else "", "wave": w, "item": item, "value": v}
                 for i, both in enumerate(values) for w, v in zip(("pre", "post"), both)], RESPONSES)


def run(rows, *, roles=ROLES, subscale_of=None, codes=CODES):
    names = set(rows["item"])
    return items.item_changes(rows, from_="pre", to="post", roles=roles, subscale_of=subscale_of or dict.fromkeys(names, "s"),
                              codes_of=dict.fromkeys(names, codes), level=0.95)


def of(found, term, item="q"):
    return found[(found["term"] == term) & (found["outcome"] == item)].iloc[0]


def test_the_sign_test_takes_the_pair():
    # changes of pairs: (+2, -1), (+1, +1), (-1, +1), (0, +1) -> means .5, 1, 0, .5
    found = run(answers([(2, 4), (3, 2), (2, 3), (2, 3), (4, 3), (3, 4), (3, 3), (3, 4)]))
    row = of(found, "mean")
    assert (row["n"], row["estimate"], row["p"]) == (4, 0.5, 0.25) and "over pairs" in row["method"]
    alone = of(run(answers([(2, 4), (3, 2), (2, 3), (2, 3), (4, 3), (3, 4), (3, 3), (3, 4)], roles=()), roles=()), "mean")
    assert (alone["n"], alone["estimate"], alone["p"]) == (8, 0.5, exact.sign_test([2, -1, 1, 1, -1, 1, 0, 1]).p)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=6, max_size=30))
def test_the_numbers_are_those_of_the_mathematics(values):
    values = values[: len(values) // 2 * 2]
    found = run(answers(values))
    table = np.zeros((5, 5), int)
    for before, after in values:
        table[before - 1, after - 1] += 1
    wanted, row = exact.stuart_maxwell(table), of(found, "Stuart-Maxwell")
    if wanted.discordant:
        assert row["estimate"] == pytest.approx(wanted.statistic)
        assert row["p"] == pytest.approx(wanted.p if wanted.p_exact is None else wanted.p_exact)
    else:
        assert row["method"] == "not defined: nobody changed the answer" and np.isnan(row["p"])
    up = sum(b <= 3 < a for b, a in values)
    down = sum(a <= 3 < b for b, a in values)
    row = of(found, "McNemar")
    assert row["n"] == up + down
    if up + down:
        wanted = exact.mcnemar_exact(up, down, level=0.95)
        assert (row["estimate"], row["low"], row["high"], row["p"]) == (wanted.odds_ratio, wanted.low, wanted.high, wanted.p)
    else:
        assert "nobody crossed" in row["method"]
    d = [(a0 - b0 + a1 - b1) / 2 for (b0, a0), (b1, a1) in zip(values[::2], values[1::2])]
    assert of(found, "mean")["p"] == exact.sign_test(d).p and of(found, "mean")["estimate"] == pytest.approx(np.mean(d))


def test_adjusted_inside_the_subscale_only():
    rng = np.random.default_rng(4)
    rows = pd.concat([answers([(2, min(5, 2 + int(v))) for v in rng.integers(-1, 3, 24)], item=f"q{k}") for k in range(5)])
    families = {"q0": "a", "q1": "a", "q2": "a", "q3": "b", "q4": "b"}
    found = run(rows, subscale_of=families)
    for name in ("a", "b"):
        family = [i for i, f in families.items() if f == name]
        raw = [of(found, "mean", i)["p"] for i in family]
        assert [of(found, "mean, BH", i)["p"] for i in family] == pytest.approx(multipletests(raw, method="fdr_bh")[1])
    assert found["term"].tolist()[:4] == ["mean", "mean, BH", "Stuart-Maxwell", "McNemar"]


def test_half_answers_leave_and_half_pairs_leave():
    rows = answers([(2, 4), (3, 5), (2, 3), (2, 3)])
    rows.loc[(rows["person"] == "A3") & (rows["wave"] == "post"), "value"] = np.nan
    found = run(rows)
    assert of(found, "mean")["n"] == 1 and of(found, "Stuart-Maxwell")["n"] == 3
    gone = run(rows[rows["role"] == "nurse"])
    assert "no pair answered" in of(gone, "mean")["method"] and np.isnan(of(gone, "mean, BH")["p"])


def test_nobody_changed():
    found = run(answers([(3, 3)] * 6))
    assert of(found, "mean")["p"] == 1.0 and of(found, "mean")["estimate"] == 0
    assert np.isnan(of(found, "Stuart-Maxwell")["estimate"]) and np.isnan(of(found, "McNemar")["estimate"])


def test_double_answers_are_refused():
    with pytest.raises(Refusal, match="item q: two answers of one person at pre"):
        run(pd.concat([answers([(2, 3)] * 2), answers([(2, 3)] * 2)]))


@pytest.mark.parametrize("crossed", [3, 4, 5, 6])
def test_mcnemar_leaves_only_when_enough_people_crossed(crossed):
    found = run(answers([(3, 4)] * crossed + [(4, 4)] * (20 - crossed)))
    shown = of(disclose.screen_estimates(found, minimum=5), "McNemar")
    assert np.isnan(shown["p"]) == (crossed < 5)


def test_equal_ids_of_two_cohorts_stay_apart_and_reverse_keyed_items_are_turned():
    instrument = study.load().instrument
    turned = next(i for i in instrument.items.values() if i.reversed)
    rows = pd.concat([answers([(4, 2), (4, 2)], item=turned.id).assign(cohort=c) for c in ("x", "y")], ignore_index=True)
    whole = rows.rename(columns={"value": "score"})
    pooled = score.keyed(score.pooled_answers(rows, whole, items=[turned.id]), instrument)
    assert pooled["person"].nunique() == 4 and pooled["pair"].nunique() == 2
    found = items.item_changes(pooled, from_="pre", to="post", roles=ROLES, subscale_of=instrument.subscale_of,
                               codes_of=instrument.codes_of, level=0.95)
    assert of(found, "mean", turned.id)["estimate"] == 2.0 and of(found, "mean", turned.id)["n"] == 2
