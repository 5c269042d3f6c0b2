"""Attrition: retention counted by hand, Fisher and rank-sum against their sources, and what the door may show."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from plresearch import attrition, disclose, effects, exact
from plresearch.frames import RESPONSES, SCORES, make

ROLES = ("nurse", "accountant")
OPTIONS = {"from_": "pre", "to": "post", "roles": ROLES, "outcomes": ("ethos",), "level": 0.95}


def group(pairs, *, left=(), value=3.0, waves=("pre", "post")):
    """RESPONSES of whole pairs; `left` holds (pair, side) of those who did not answer after the first wave."""
    return make([{"cohort": "c", "person": f"{p}-{k}", "pair": f"P{p}", "role": ROLES[k], "wave": w, "item": "q", "value": value}
                 for p in range(pairs) for k in (0, 1) for w in waves if w == waves[0] or (p, k) not in left], RESPONSES)


def baseline(responses, values):
    people = responses[responses["wave"] == "pre"].drop_duplicates("person")
    return make([{"cohort": "c", "person": p, "wave": "pre", "subscale": "ethos", "score": v}
                 for p, v in zip(people["person"], values)], SCORES)


def row(found, outcome):
    return found[found["outcome"] == outcome].iloc[0]


def test_retention_of_people_and_pairs():
    answers = group(5, left={(0, 0), (1, 0), (1, 1)})
    found = attrition.retention(answers, waves=("pre", "post", "never"), roles=ROLES).set_index("category")
    assert found[["n", "of"]].to_dict("index") == {"retained|post": {"n": 7, "of": 10}, "retained pairs|post": {"n": 3, "of": 5}}
    assert set(found["analysis"]) == {"flow"}
    alone = attrition.retention(answers, waves=("pre", "post"), roles=())
    assert alone["category"].tolist() == ["retained|post"]


def test_an_empty_form_is_no_answer_and_newcomers_are_not_retained():
    blank = group(3).assign(value=lambda f: f["value"].where(~((f["wave"] == "post") & (f["person"] == "0-0"))))
    late = make([{"cohort": "c", "person": "new", "wave": "post", "item": "q", "value": 3}], RESPONSES)
    found = attrition.retention(pd.concat([blank, late]), waves=("pre", "post"), roles=())
    assert found[["n", "of"]].values.tolist() == [[5, 6]]


def test_leaving_by_role_is_fishers_test():
    answers = group(12, left={(p, 0) for p in range(7)} | {(0, 1)})
    found = row(attrition.attrition(answers, baseline(answers, [3] * 24), **OPTIONS), "leaving")
    assert found["estimate"] == pytest.approx(7 / 12 - 1 / 12)
    assert found["p"] == pytest.approx(stats.fisher_exact([[7, 5], [1, 11]]).pvalue) and found["n"] == 8
    assert found["p"] == pytest.approx(2 * (792 * 12 + 495) / 735471)  # C(12,7) C(12,1) + C(12,8), over C(24,8)
    assert found["term"] == "nurse minus accountant"


def test_baseline_of_leavers_and_stayers():
    answers = group(8, left={(p, k) for p in range(3) for k in (0, 1)})
    values = np.array([2, 2.5, 2, 3, 2.5, 3, 3, 3, 3.5, 4, 3, 2.5, 4, 4, 3.5, 3])
    found = row(attrition.attrition(answers, baseline(answers, values), **OPTIONS), "ethos")
    leavers, stayers = values[:6], values[6:]
    assert found["p"] == exact.rank_sum(leavers, stayers).p and found["n"] == 6
    assert found["estimate"] == effects.standardised_difference(leavers, stayers, level=0.95).value
    shuffled = answers.sample(frac=1, random_state=1)
    again = row(attrition.attrition(shuffled, baseline(answers, values).iloc[::-1], **OPTIONS), "ethos")
    assert again["estimate"] == pytest.approx(found["estimate"]) and again["p"] == found["p"]
    shifted = row(attrition.attrition(answers, baseline(answers, values + 1), **OPTIONS), "ethos")
    assert shifted["estimate"] == pytest.approx(found["estimate"]) and shifted["p"] == found["p"]


def test_someone_without_a_baseline_score_does_not_count():
    answers = group(8, left={(p, k) for p in range(3) for k in (0, 1)})
    values = np.arange(16) / 4 + 1
    scores = baseline(answers, values)
    scores.loc[0, "score"] = np.nan
    found = row(attrition.attrition(answers, scores, **OPTIONS), "ethos")
    assert found["n"] == 5 and found["p"] == exact.rank_sum(values[1:6], values[6:]).p


@pytest.mark.parametrize(("left", "values", "reason"), [
    (set(), None, "nobody"), ({(0, 0)}, None, "at least 2"), ({(0, 0), (1, 0)}, [3.0] * 12, "do not vary")])
def test_what_is_not_defined_says_so(left, values, reason):
    answers = group(6, left=left)
    found = attrition.attrition(answers, baseline(answers, np.arange(12) / 4 if values is None else values), **OPTIONS)
    ethos = row(found, "ethos")
    assert np.isnan(ethos["estimate"]) and ethos["method"].startswith("not defined") and reason in ethos["method"]
    assert np.isnan(row(found, "leaving")["estimate"]) == (not left)


def test_one_role_only_and_no_roles():
    answers = group(4, left={(0, 0)})
    nurses = answers[answers["role"] == "nurse"]
    assert "nobody of one role" in row(attrition.attrition(nurses, baseline(answers, [3] * 8), **OPTIONS), "leaving")["method"]
    alone = attrition.attrition(answers, baseline(answers, [3] * 8), **OPTIONS | {"roles": ()})
    assert alone["outcome"].tolist() == ["ethos"]


@pytest.mark.parametrize("leavers", [1, 2, 3, 4, 5, 6])
def test_the_door_masks_what_rests_on_few_leavers(leavers):
    answers = group(12, left={(p, 0) for p in range(leavers)})
    found = attrition.attrition(answers, baseline(answers, np.arange(24) / 8 + 1), **OPTIONS)
    shown = disclose.screen_estimates(found, minimum=5)
    assert shown[["estimate", "p", "low"]].isna().all(axis=None) == (leavers < 5)
