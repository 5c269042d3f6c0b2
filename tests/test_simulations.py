"""Proof by simulation: type I error, coverage and recovery of a known truth, judged by Monte Carlo error.

Every rate is compared with its nominal value, or with what METHODS documents, within three Monte Carlo
standard errors of the nominal rate (`margin`). The data are the package's own synthetic answers: five-point
items, ties, ceilings, partners who resemble each other. All slow: `make test-all` runs them.
"""

import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from plresearch import change, effects, exact, mixed, planning, pooling, robust, synthetic
from plresearch.frames import SCORES, make

pytestmark = pytest.mark.slow

SIZES = (6, 9, 12, 20)
ROLES = ("doctor", "manager")
STABLE = synthetic.Trait(baseline=(3.0, 3.0), gain=(0.0, 0.0), convergence=0.0)  # symmetric: median change = mean = 0
APART = synthetic.Trait(baseline=(3.0, 3.0), gain=(0.0, 0.0), convergence=0.0, pair_change_sd=0.0)
ALIKE = synthetic.Trait(baseline=(3.0, 3.0), gain=(0.0, 0.0), convergence=0.0, pair_change_sd=0.9, person_change_sd=0.2)


def margin(rate, runs):
    """Three Monte Carlo standard errors of a rate."""
    return 3 * math.sqrt(rate * (1 - rate) / runs)


@cache
def scores(trait, pairs, runs, seed, dropout=0.0):
    """[run, pair, side, wave] of one subscale, with nothing owed to the number of meetings."""
    truth = synthetic.Truth(traits={"role": trait}, dropout=dropout, meetings=0)
    return synthetic.simulate_scores(
        truth, pairs=pairs, waves=planning._waves(truth), rng=np.random.default_rng([seed, pairs]), replications=runs)[..., 0]


def person_changes(trait, pairs, runs, seed):
    """[run, pair, side]"""
    table = scores(trait, pairs, runs, seed)
    return table[..., 1] - table[..., 0]


def covers(interval, truth):
    return interval.low - 1e-9 <= truth <= interval.high + 1e-9


# ---------------------------------------------------------------- one cohort

@pytest.mark.parametrize("pairs", SIZES)
def test_intervals_of_a_cohorts_change_cover_the_truth(pairs):
    """t at its level; the exact intervals never below theirs (n = 6: METHODS measured .949 and .968)."""
    runs = 2000
    d = person_changes(STABLE, pairs, runs, 1).mean(axis=2)
    varied = [row for row in d if np.ptp(row) > 0]
    assert len(varied) == runs
    t = np.mean([covers(effects.t_interval(row), 0.0) for row in d])
    flip = np.mean([covers(exact.sign_flip_interval(row), 0.0) for row in d])
    rank = np.mean([covers(exact.hodges_lehmann_interval(row), 0.0) for row in d])
    assert abs(t - 0.95) <= margin(0.95, runs)
    attainable = 1 - math.floor(2**pairs * 0.025) * 2.0 ** (1 - pairs)  # of untied values
    for rate in (flip, rank):
        assert rate >= 0.95 - margin(0.95, runs)
    assert flip <= attainable + 0.01 + margin(attainable, runs)  # ties add little


@pytest.mark.parametrize("pairs", SIZES)
def test_ignoring_pairs_inflates_the_error_and_pair_level_tests_do_not(pairs):
    """METHODS: type I error .11 to .125 for people as the unit, .015 to .057 for pairs."""
    runs = 4000
    changes = person_changes(ALIKE, pairs, runs, 2)
    alike = np.mean([np.corrcoef(run.T)[0, 1] for run in changes[:, :, :] if (run.std(axis=0) > 0).all()])
    assert alike > 0.5
    by_person = (stats.ttest_1samp(changes.reshape(runs, -1), 0, axis=1).pvalue <= 0.05).mean()
    by_pair = (stats.ttest_1samp(changes.mean(axis=2), 0, axis=1).pvalue <= 0.05).mean()
    flip = (planning.sign_flip_p(np.rint(changes.sum(axis=2) * 4).astype(int)) <= 0.05).mean()
    assert 0.10 <= by_person <= 0.145
    assert abs(by_pair - 0.05) <= margin(0.05, runs)
    assert 0.015 - margin(0.015, runs) <= flip <= 0.05 + margin(0.05, runs)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("pairs", SIZES)
def test_the_sign_flip_test_never_exceeds_its_level(pairs, alpha):
    steps = np.rint(person_changes(STABLE, pairs, 4000, 3).sum(axis=2) * 4).astype(int)
    assert (planning.sign_flip_p(steps) <= alpha).mean() <= alpha + margin(alpha, 4000)
    if pairs <= 12:  # given the sizes of the changes the level is known exactly: over all signs, without sampling
        signs = 1 - 2 * ((np.arange(2**pairs)[:, None] >> np.arange(pairs)) & 1)
        for row in steps[:20]:
            assert (planning.sign_flip_p(np.abs(row) * signs) <= alpha).mean() <= alpha


@pytest.mark.parametrize("pairs", SIZES)
def test_the_signed_rank_test_never_exceeds_its_level(pairs):
    d = person_changes(STABLE, pairs, 1500, 4).mean(axis=2)
    rate = np.mean([exact.signed_rank(row).p <= 0.05 for row in d])
    assert rate <= 0.05 + margin(0.05, 1500)


# ---------------------------------------------------------------- models

def long(table, cohorts=1):
    """One run [pair, side, wave] as SCORES rows; pairs are dealt to the cohorts in turn."""
    rows = [{"cohort": f"c{p % cohorts}", "pair": f"P{p}", "person": f"{role}{p}", "role": role, "wave": wave,
             "subscale": "role", "score": table[p, side, w], "answered": 4, "items": 4}
            for p in range(len(table)) for side, role in enumerate(ROLES) for w, wave in enumerate(("pre", "post"))
            if np.isfinite(table[p, side, w])]
    return make(rows, SCORES)


def coverage_of_the_models_change(trait, pairs, cohorts, structure, runs=800):
    """Share of Kenward-Roger intervals that hold the true change, which is 0."""
    tables = scores(trait, pairs, runs, 5)
    lines = long(tables[0], cohorts)  # nobody is missing: one frame serves all runs
    hits = []
    for table in tables:
        lines["score"] = table.ravel()
        row = mixed.changes(mixed.mixed_model(lines, structure=structure)).iloc[0]
        assert (row["p"] > 0.05) == (row["low"] <= 0 <= row["high"])
        hits.append(row["low"] <= 0 <= row["high"])
    return np.mean(hits), margin(0.95, runs)


@pytest.mark.parametrize("pairs, cohorts", [(6, 1), (9, 1), (12, 1), (20, 1), (6, 3), (20, 3)])
def test_mixed_model_with_kenward_roger_keeps_its_level_where_its_assumption_holds(pairs, cohorts):
    """Random pairs and persons; partners change independently, as this model assumes."""
    cover, allowed = coverage_of_the_models_change(APART, pairs, cohorts, "components")
    assert abs(cover - 0.95) <= allowed


@pytest.mark.parametrize("pairs", (9, 12, 20))
def test_where_partners_change_alike_only_the_unstructured_model_keeps_its_level(pairs):
    """(1|pair) + (1|person) has no term for a pair's own change: its interval is then too narrow, as that of
    a test which ignores pairs. The unstructured covariance over role and wave is not (docs/validation.md)."""
    components, allowed = coverage_of_the_models_change(ALIKE, pairs, 1, "components")
    free, _ = coverage_of_the_models_change(ALIKE, pairs, 1, "unstructured")
    assert components <= 0.88 + margin(0.88, 800)  # measured .86 at every size
    assert abs(free - 0.95) <= allowed


@pytest.mark.parametrize("pairs", SIZES)
def test_cr2_slope_on_dose_keeps_its_level(pairs):
    """Change of people on their pair's dose, clustered by pair, where partners change alike."""
    runs = 1000
    changes = person_changes(ALIKE, pairs, runs, 6)
    dose = np.repeat(np.random.default_rng(6).permutation(np.arange(pairs) % 5 + 1.0), 2)
    X = np.column_stack([np.ones(2 * pairs), dose])
    cluster = np.repeat(np.arange(pairs), 2)
    tests = [robust.robust_test(robust.ols_cr2(X, run.ravel(), cluster=cluster), [0, 1]) for run in changes]
    plain = [stats.linregress(dose, run.ravel()).pvalue <= 0.05 for run in changes]
    rate = np.mean([test.p <= 0.05 for test in tests])
    assert abs(rate - 0.05) <= margin(0.05, runs)
    assert np.mean(plain) > 0.05 + margin(0.05, runs)  # the same slope with people as the unit


# ---------------------------------------------------------------- three cohorts

PAIRS_OF_COHORTS = np.array([6, 10, 14])  # the shipped study's; changes with a standard deviation of 1


def pooled_intervals(tau, rng):
    """(Wald, Hartung-Knapp, Bayes) fits of three cohorts whose true changes spread by tau around 0."""
    v = 1 / PAIRS_OF_COHORTS
    y = rng.normal(rng.normal(0, tau, 3), np.sqrt(v))
    return pooling.pool(y, v, test="wald"), pooling.pool(y, v, test="hk"), pooling.bayes_half_normal(y, v, scale=0.5)


def test_three_cohorts_wald_is_bold_and_hartung_knapp_is_not():
    """METHODS: at a spread of half an SD Wald covers .851, HK .946, Bayes at half HK's width .945.

    Wald and HK are found again. Bayes covers .93 here: at one fixed spread as large as the prior's scale a
    Bayesian interval need not reach 95 %; over the prior it must (next test).
    """
    runs, rng = 1000, np.random.default_rng(7)
    fits = [pooled_intervals(0.5, rng) for _ in range(runs)]
    wald, hk, bayes = (np.mean([covers(fit, 0.0) for fit in column]) for column in zip(*fits))
    assert abs(wald - 0.851) <= margin(0.851, runs)
    assert abs(hk - 0.95) <= margin(0.95, runs)
    assert abs(bayes - 0.93) <= margin(0.93, runs) and bayes > wald + 0.04
    assert 0.45 < np.mean([b.high - b.low for _, _, b in fits]) / np.mean([h.high - h.low for _, h, _ in fits]) < 0.6


def test_the_bayesian_interval_is_calibrated_over_its_prior():
    """With the spread drawn from the half-normal prior the central interval covers exactly as it says."""
    runs, rng = 1000, np.random.default_rng(17)
    fits = [pooled_intervals(abs(rng.normal(0, 0.5)), rng)[2] for _ in range(runs)]
    assert abs(np.mean([covers(fit, 0.0) for fit in fits]) - 0.95) <= margin(0.95, runs)


# ---------------------------------------------------------------- recovery of the truth

def test_change_recovers_the_declared_truth_of_every_contrast():
    """Means over many cohorts of `change.change` against the closed form, for the pair, the roles and D - M."""
    truth = synthetic.Truth(dropout=0.0)
    waves = planning._waves(truth)
    runs, pairs = 60, 12
    table = synthetic.simulate_scores(truth, pairs=pairs, waves=waves, rng=np.random.default_rng(8), replications=runs)
    before, after = np.moveaxis(synthetic.expected_scores(truth, waves=waves), 1, 0)
    gain = after - before  # [side, subscale]
    for column, subscale in enumerate(truth.traits):
        found = [change.change(long(run[..., column]), from_="pre", to="post", roles=ROLES, level=0.95, mid=0.5)
                 .set_index("term")["estimate"] for run in table]
        found = pd.DataFrame(found)
        expected = {"pair mean": gain[:, column].mean(), "doctor": gain[0, column], "manager": gain[1, column],
                    "doctor minus manager": gain[0, column] - gain[1, column]}
        for term, value in expected.items():
            error = found[term].std(ddof=1) / math.sqrt(runs)
            assert abs(found[term].mean() - value) <= 4 * error, (subscale, term)


def test_the_mixed_model_recovers_what_complete_pairs_miss():
    """People with low first scores leave more often (missing at random given the first score)."""
    leaving = synthetic.Trait(baseline=(3.0, 3.0), gain=(0.4, 0.4), convergence=0.0, occasion_sd=0.6)
    truth = synthetic.Truth(traits={"role": leaving}, dropout=0.25, dropout_slope=2.0, meetings=0)
    waves = planning._waves(truth)
    before, after = np.moveaxis(synthetic.expected_scores(truth, waves=waves), 1, 0)
    gain = (after - before).mean()
    table = synthetic.simulate_scores(truth, pairs=30, waves=waves, rng=np.random.default_rng(9), replications=200)[..., 0]
    model = np.array([mixed.changes(mixed.mixed_model(long(run))).iloc[0]["estimate"] for run in table])
    paired = np.array([np.nanmean((run[..., 1] - run[..., 0]).mean(axis=1)) for run in table])
    error = model.std(ddof=1) / math.sqrt(len(model))
    assert abs(model.mean() - gain) <= 3 * error + 0.02  # answers are bounded, the model is linear
    assert abs(paired.mean() - gain) > 3 * paired.std(ddof=1) / math.sqrt(len(paired))
    assert abs(model.mean() - gain) < abs(paired.mean() - gain) / 2
