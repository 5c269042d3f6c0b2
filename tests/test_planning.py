"""planning.py: the simulated evaluations are the real ones, the answers follow known results, and refusals."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from plresearch import change, exact, figures, labels, planning, synthetic, tables
from plresearch.frames import ESTIMATES, SCORES, Refusal, make
from plresearch.planning import pairs_needed, sign_flip_p, simulate

OPTIONS = {"paired": True, "scale": (1.0, 5.0), "level": 0.95, "mid": 0.5, "seed": 3}
STABLE = synthetic.Trait(baseline=(3.0, 3.0), gain=(0.0, 0.0), convergence=0.0)  # symmetric about the middle


@pytest.fixture(scope="module")
def found():
    return simulate(synthetic.Truth(), {"role": 4, "ethos": 3}, replications=600, sizes=(6, 12, 24), **OPTIONS)


def value(rows, outcome, term, column="estimate"):
    return rows[(rows["outcome"] == outcome) & (rows["term"] == term)].iloc[0][column]


@given(st.integers(1, 14).flatmap(lambda n: st.lists(
    st.lists(st.integers(-12, 12), min_size=n, max_size=n), min_size=1, max_size=8)))
@settings(max_examples=150, deadline=None)
def test_many_sign_flips_at_once_are_the_single_ones(steps):
    expected = [exact.sign_flip(np.array(d) / 8).p for d in steps]
    assert sign_flip_p(np.array(steps)) == pytest.approx(expected, rel=1e-12)


def test_missing_pairs_change_nothing():
    steps = np.random.default_rng(1).integers(-9, 10, size=(200, 11))
    padded = np.concatenate([steps, np.zeros((200, 4), dtype=int)], axis=1)
    assert np.array_equal(sign_flip_p(steps), sign_flip_p(padded))


@pytest.mark.parametrize("paired", [True, False])
def test_a_simulated_programme_is_evaluated_as_a_real_one(paired):
    """The same scores through `change.change`: same mean, same t interval, same p, programme by programme."""
    truth = synthetic.Truth(traits={"role": synthetic.Trait()}, items=3)
    steps, complete = planning._changes(truth, 10, paired, 100, np.random.default_rng(7))
    scores = synthetic.simulate_scores(
        truth, pairs=10, waves=planning._waves(truth), rng=np.random.default_rng(7), replications=100)
    usable = complete.sum(axis=1) >= 2
    mean, half = planning._t_intervals(steps[usable] / (3 * (1 + paired)), complete[usable], 0.95)
    for at in np.flatnonzero(usable)[:25]:
        roles = ("first", "second") if paired else ()
        rows = [
            {"cohort": "c", "pair": f"P{p}", "person": f"{p}-{side}", "role": roles[side] if roles else "", "wave": wave,
             "subscale": "role", "score": scores[at, p, side, w, 0]}
            for p in np.flatnonzero(complete[at]) for side in range(1 + paired) for w, wave in enumerate(("pre", "post"))]
        real = change.change(make(rows, SCORES), from_="pre", to="post", roles=roles, level=0.95, mid=0.5).iloc[0]
        place = usable[:at].sum()
        assert (mean[place], half[place]) == pytest.approx((real["estimate"], (real["high"] - real["low"]) / 2), abs=1e-9)
        assert sign_flip_p(steps[[at]])[0] == pytest.approx(real["p"], rel=1e-9)


def test_half_width_is_what_theory_says_when_changes_are_nearly_normal():
    """Many items, no ceiling: E(half-width) = t * sigma * c4(n) / sqrt(n), with the SD of the change known."""
    wide = synthetic.Trait(baseline=(3.0, 3.0), gain=(0, 0), pair_sd=0.1, person_sd=0.1, convergence=0.0)
    truth = synthetic.Truth(traits={"role": wide}, dropout=0.0, meetings=0, difficulty_spread=0.0)
    rows = simulate(truth, {"role": 40}, replications=4000, sizes=(12,), **OPTIONS)
    variance = wide.pair_change_sd**2 + wide.person_change_sd**2 / 2 + wide.occasion_sd**2 + truth.item_sd**2 / 40
    c4 = math.sqrt(2 / 11) * math.gamma(6) / math.gamma(5.5)
    expected = stats.t.ppf(0.975, 11) * math.sqrt(variance / 12) * c4
    assert value(rows, "role", "half-width|12") == pytest.approx(expected, rel=0.015)


def test_power_of_the_exact_test_is_near_the_t_test_of_the_same_changes(found):
    truth = synthetic.Truth(traits={"role": synthetic.Truth().trait("role")}, items=4)
    steps, complete = planning._changes(truth, 24, True, 600, synthetic.stream(3, "role", "planning 24"))
    d = [row[kept] / 8 for row, kept in zip(steps, complete)]
    t_power = np.mean([stats.ttest_1samp(x, 0).pvalue <= 0.05 for x in d])
    assert value(found, "role", "power|24") == pytest.approx(t_power, abs=0.03)


def test_without_change_the_test_keeps_its_level_and_nothing_is_biased():
    truth = synthetic.Truth(traits={"role": STABLE}, dropout=0.0, meetings=0)
    rows = simulate(truth, {"role": 4}, replications=4000, sizes=(6, 12, 20), **OPTIONS)
    assert value(rows, "role", "true change") == pytest.approx(0, abs=1e-12)
    for size in (6, 12, 20):
        assert value(rows, "role", f"power|{size}") <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
        mean, se = (value(rows, "role", f"mean change|{size}", c) for c in ("estimate", "se"))
        assert abs(mean) < 4 * se
        cover, se = (value(rows, "role", f"coverage|{size}", c) for c in ("estimate", "se"))
        assert abs(cover - 0.95) < 4 * se


def test_more_pairs_help_and_attrition_hurts(found):
    for outcome in ("role", "ethos"):
        power = [value(found, outcome, f"power|{n}") for n in (6, 12, 24)]
        width = [value(found, outcome, f"half-width|{n}") for n in (6, 12, 24)]
        assert power == sorted(power) and width == sorted(width, reverse=True)
    stay = simulate(synthetic.Truth(dropout=0.0), {"role": 4}, replications=600, sizes=(12,), **OPTIONS)
    assert value(stay, "role", "complete|12") == 12 > value(found, "role", "complete|12")
    assert value(stay, "role", "half-width|12") < value(found, "role", "half-width|12")
    assert value(stay, "role", "half-width, sign-flip|12") > 0


def test_monte_carlo_errors_are_those_of_the_numbers(found):
    for term in ("power|12", "excludes MID|12", "coverage|12"):
        p, se, n = (value(found, "role", term, c) for c in ("estimate", "se", "n"))
        assert se == pytest.approx(math.sqrt(p * (1 - p) / n))
    again = [simulate(synthetic.Truth(), {"role": 4}, replications=600, sizes=(12,), **OPTIONS | {"seed": seed})
             for seed in range(10, 22)]
    widths = [value(rows, "role", "half-width|12") for rows in again]
    assert np.std(widths, ddof=1) == pytest.approx(value(found, "role", "half-width|12", "se"), rel=0.6)


def test_a_size_more_changes_no_other_number(found):
    alone = simulate(synthetic.Truth(), {"ethos": 3}, replications=600, sizes=(12,), **OPTIONS)
    for term in alone["term"]:
        assert value(alone, "ethos", term) == pytest.approx(value(found, "ethos", term), nan_ok=True)


def test_the_inverted_interval_is_refused_where_too_few_stay(found):
    assert np.isnan(value(found, "role", "half-width, sign-flip|6"))
    assert value(found, "role", "half-width, sign-flip|6", "method").startswith("not defined: in ")
    assert value(found, "role", "half-width, sign-flip|24") == pytest.approx(
        value(found, "role", "half-width|24"), rel=0.06)


def test_another_scale_has_rows_that_say_why():
    rows = simulate(synthetic.Truth(), {"role": 4}, replications=200, sizes=(6, 12), **OPTIONS | {"scale": (0.0, 10.0)})
    assert rows["estimate"].isna().all() and rows["method"].str.startswith("not defined: ").all()
    assert len(rows) == 1 + 2 * len(planning.MEASURES)
    needed = pairs_needed(rows, half_width=0.3)
    assert needed["method"].str.contains("0 to 10").all()
    assert "0 to 10" in labels.pairs_needed(needed, {"role": "Role"}, half_width=0.3)


def widths(*pairs, se=0.01):
    rows = [{"analysis": "planning", "outcome": "role", "term": f"half-width|{n}", "n": 900, "estimate": h, "se": se}
            for n, h in pairs]
    return make([*rows, {"analysis": "planning", "outcome": "role", "term": "complete|6", "unit": "pairs"}], ESTIMATES)


@pytest.mark.parametrize("table, target, needed", [
    (widths((6, 0.6), (12, 0.4), (20, 0.28)), 0.3001, 20),
    (widths((6, 0.6), (12, 0.4), (20, 0.28)), 0.3, None),  # 0.28 + 2 * 0.01 is not below 0.3
    (widths((20, 0.2), (6, 0.6), (12, 0.25)), 0.3, 12),  # order of the rows does not matter
    (widths((6, 0.2), (12, 0.19)), 0.3, 6),
    (widths((6, 0.2), (12, 0.31), (20, 0.2)), 0.3, 20),  # a smaller size that happened to be enough is not trusted
])
def test_pairs_needed(table, target, needed):
    row = pairs_needed(table, half_width=target).iloc[0]
    if needed is None:
        assert np.isnan(row["estimate"]) and "none of 6 to 20 pairs" in row["method"]
    else:
        assert row["estimate"] == needed and row["term"] == "pairs needed" and row["n"] == 900


def test_refusals():
    with pytest.raises(Refusal, match="50 replications"):
        simulate(synthetic.Truth(), {"role": 4}, replications=50, **OPTIONS)
    with pytest.raises(Refusal, match="0 outcomes"):
        simulate(synthetic.Truth(), {}, replications=200, **OPTIONS)
    with pytest.raises(Refusal, match="half_width is 0"):
        pairs_needed(widths((6, 0.2)), half_width=0)
    with pytest.raises(Refusal, match="planning.simulate"):
        pairs_needed(make([], ESTIMATES), half_width=0.3)


def test_table_figure_and_sentence(found):
    figures.setup(synthetic=True)
    names = {"role": "Role", "ethos": "Ethos"}
    table = tables.planning(found, names, terms={"power": "Power", "half-width": "Half-width"}, sizes=(6, 24), units="Pairs")
    assert table["Pairs"].tolist() == ["6", "24", "6", "24"]
    power, se = value(found, "role", "power|24"), value(found, "role", "power|24", "se")
    assert table.loc[1, "Power"] == f"{100 * power:.1f}% ({100 * se:.1f})"
    plate = figures.planning_curves(found, names, sizes=(6, 12, 24), units="pairs", mid=0.5, level=0.95, half_width=0.4, k=5)
    drawn = {line.get_gid(): line for ax in plate.figure.axes for line in ax.lines if line.get_gid()}
    curve = drawn["curve:ethos|half-width"]
    assert curve.get_xdata().tolist() == [6, 12, 24]
    assert curve.get_ydata().tolist() == [value(found, "ethos", f"half-width|{n}") for n in (6, 12, 24)]
    assert np.isnan(drawn["curve:ethos|half-width, sign-flip"].get_ydata()[0])
    assert "Role, power, 24" in plate.alt and len(plate.data) == 2 * 4 * 3
    needed = pairs_needed(found, half_width=0.4)
    said = labels.pairs_needed(needed, names, half_width=0.4)
    assert said.endswith(f"For all outcomes: {int(needed['estimate'].max())}.") and "below 0.4 points" in said
    assert isinstance(needed, pd.DataFrame)
