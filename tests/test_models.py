"""Models over all cohorts: the rows equal what the mathematics gives, recover a known truth, and never crash."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import special

from plresearch import clmm, missing, mixed, models, robust, study, synthetic
from plresearch.frames import ESTIMATES, RESPONSES, SCORES, make
from plresearch.score import complete, score

WAVES, ROLES, LEVEL = ("pre", "post"), ("doctor", "manager"), 0.95
PAIRED = {"waves": WAVES, "roles": ROLES, "level": LEVEL}
ALONE = {"waves": WAVES, "roles": (), "level": LEVEL}
DRAWS = {"m": 5, "seed": 3}


def drawn(sizes, *, seed=1, change=0.5, lost=0.0, roles=ROLES, subscale="role"):
    """SCORES of cohorts of so many pairs (people), on a quarter-point grid; `lost` is the share without post."""
    rng = np.random.default_rng(seed)
    rows = []
    for cohort, pairs in sizes.items():
        for k in range(pairs):
            level = rng.normal(3, 0.4)
            for role in roles or ("",):
                own = level + rng.normal(0, 0.4)
                pair = f"P{k}" if roles else ""
                common = {"cohort": cohort, "pair": pair, "person": f"{role}{k}", "role": role, "subscale": subscale}
                gone = rng.random() < lost
                for wave, shift in zip(WAVES, (0.0, change)):
                    value = round(4 * (own + shift + rng.normal(0, 0.3))) / 4
                    if not (gone and wave == "post"):
                        rows.append(common | {"wave": wave, "score": value, "answered": 4, "items": 4})
    return make(rows, SCORES)


def by_term(rows, outcome="role"):
    return rows[rows["outcome"] == outcome].set_index("term")


@pytest.fixture(scope="module")
def lost():
    return drawn({"a": 14, "b": 12}, lost=0.2)


@pytest.fixture(scope="module")
def shipped():
    return study.load()


# --- the mixed model ------------------------------------------------------------------------------

def test_mixed_change_is_the_mixed_model_of_everybody(lost):
    found = by_term(models.mixed_change(lost, **PAIRED))
    model = mixed.mixed_model(lost, waves=WAVES)
    expected = mixed.changes(model).set_index("term")
    assert list(found.index) == list(models.mixed_terms(waves=WAVES, roles=ROLES))
    for term, name in (("wave change", "post - pre"), ("wave change, doctor", "post - pre: doctor")):
        np.testing.assert_allclose(found.loc[term, ["estimate", "se", "low", "high", "p"]].astype(float),
                                   expected.loc[name, ["estimate", "se", "low", "high", "p"]].astype(float), rtol=1e-12)
    other = mixed.changes(mixed.mixed_model(lost, waves=WAVES, structure="unstructured"))
    assert found.loc["wave change, unstructured", "se"] == pytest.approx(other["se"].iloc[0])
    f = mixed.cohort_by_wave(mixed.mixed_model(lost, waves=WAVES, interaction=True))
    assert (found.loc["cohort x wave F", "estimate"], found.loc["cohort x wave F", "p"]) == pytest.approx((f.f, f.p))
    assert found.loc["role x wave F", "p"] == pytest.approx(found.loc["wave change, doctor minus manager", "p"])
    assert found["n"].unique().tolist() == [52]  # people with either wave, not only the complete ones
    assert complete(lost, waves=WAVES, roles=ROLES)["person"].size < 2 * 52


def test_the_difference_of_roles_follows_the_order_of_the_study(lost):
    turned = {"waves": WAVES, "roles": ROLES[::-1], "level": LEVEL}
    one = by_term(models.mixed_change(lost, **PAIRED)).loc["wave change, doctor minus manager"]
    other = by_term(models.mixed_change(lost, **turned)).loc["wave change, manager minus doctor"]
    assert (one["estimate"], one["low"], one["high"]) == pytest.approx((-other["estimate"], -other["high"], -other["low"]))
    gap = by_term(models.mixed_change(lost, **PAIRED))["estimate"]
    assert one["estimate"] == pytest.approx(gap["wave change, doctor"] - gap["wave change, manager"])


def test_marginal_means_add_up_to_the_change(lost):
    e = by_term(models.mixed_change(lost, **PAIRED))["estimate"]
    after = (e["mean, doctor, post"] + e["mean, manager, post"]) / 2
    assert after - (e["mean, doctor, pre"] + e["mean, manager, pre"]) / 2 == pytest.approx(e["wave change"])


def test_a_person_without_a_pair_is_a_pair_of_one(lost):
    single = lost.assign(pair=lost["pair"].where(lost["person"] != "doctor0", ""))
    assert by_term(models.mixed_change(single, **PAIRED)).loc["wave change", "n"] == 52


# --- answers --------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def answers(shipped):
    cohorts = [synthetic.simulate(shipped, c, truth=synthetic.Truth(), pairs=14, seed=5).responses for c in ("cohort-1", "cohort-2")]
    return pd.concat(cohorts, ignore_index=True)


@pytest.fixture(scope="module")
def odds(answers, shipped):
    outcomes = [i.id for name in ("ethos", "preparedness") for i in shipped.instrument.items_of(name)]
    return models.cumulative_link(answers[answers["item"].isin(outcomes)], shipped.instrument, waves=WAVES, level=LEVEL)


def test_odds_are_those_of_the_cumulative_model(odds, answers, shipped):
    found = by_term(odds, "ethos")
    items = {i.id: i.reversed for i in shipped.instrument.items_of("ethos")}
    part = answers[answers["item"].isin(items) & answers["wave"].isin(WAVES) & answers["value"].notna()]
    y = np.where(part["item"].map(items), 6 - part["value"], part["value"]).astype(int)
    x = np.column_stack([part["wave"] == "post", part["cohort"] == "cohort-2", part["role"] == "manager"]).astype(float)
    person = (part["cohort"] + "|" + part["person"]).to_numpy()
    fit = clmm.clmm(y, x, person, part["item"].to_numpy())
    row = found.loc["odds ratio of wave"]
    assert (row["estimate"], row["low"], row["high"], row["p"]) == pytest.approx(
        (fit.odds_ratio[0], fit.odds_ratio_low[0], fit.odds_ratio_high[0], fit.p[0]), rel=1e-6)
    check = clmm.proportional_odds(y, x, person, part["item"].to_numpy(), columns=[0])
    assert found.loc["proportional odds", "p"] == pytest.approx(check.p, rel=1e-5)
    assert row["n"] == len(set(person))


def test_predicted_shares_are_a_distribution(odds):
    found = by_term(odds, "preparedness")["estimate"]
    for wave in WAVES:
        assert sum(found[f"answer {c}, {wave}"] for c in range(1, 6)) == pytest.approx(1)
        assert found[f"answer 4, {wave}"] + found[f"answer 5, {wave}"] == pytest.approx(found[f"above the middle, {wave}"])
    assert (found["odds ratio of wave"] > 1) == (found["above the middle, post"] > found["above the middle, pre"])


def test_predicted_share_lies_near_the_observed_one(odds, answers, shipped):
    found = by_term(odds, "preparedness")
    items = {i.id: i.reversed for i in shipped.instrument.items_of("preparedness")}
    part = answers[answers["item"].isin(items) & answers["value"].notna()]
    turned = part["value"].where(~part["item"].map(items).astype(bool), 6 - part["value"])
    for wave in WAVES:
        row = found.loc[f"above the middle, {wave}"]
        assert row["low"] < row["estimate"] < row["high"]
        assert (turned[part["wave"] == wave] > 3).mean() == pytest.approx(row["estimate"], abs=0.07)


def test_delta_interval_agrees_with_draws_of_the_parameters():
    rng = np.random.default_rng(2)
    person = np.repeat(np.arange(60), 4)
    x = np.tile([0.0, 0.0, 1.0, 1.0], 60)[:, None]
    latent = 1.2 * x[:, 0] + np.repeat(rng.normal(0, 1, 60), 4) + rng.logistic(size=240)
    fit = clmm.clmm(np.digitize(latent, [-1, 0.5, 2]), x, person)
    row = models._predicted(fit, np.array([[1.0]]), lambda c: c >= 2, LEVEL)
    centre = np.concatenate([fit.thresholds, fit.beta, fit.sd])
    logits = []
    for point in rng.multivariate_normal(centre, fit.vcov, 1500):
        moved = replace(fit, thresholds=point[:3], beta=point[3:4], sd=point[4:])
        logits.append(special.logit(clmm.probabilities(moved, [[1.0]]).marginal[0, 2:].sum()))
    half = (special.logit(row["high"]) - special.logit(row["low"])) / 2
    assert half / 1.959964 == pytest.approx(np.std(logits), rel=0.08)


def test_questions_with_different_answers_are_not_modelled_together(answers, shipped):
    instrument = shipped.instrument
    first = instrument.items_of("role")[0]
    other = replace(instrument.response_sets[first.responses], id="three", labels=("a", "b", "c"), codes=(1, 2, 3))
    mixture = replace(instrument, response_sets=instrument.response_sets | {"three": other},
                      items=instrument.items | {first.id: replace(first, responses="three")})
    few = answers[answers["item"].str.startswith("role") & ((answers["item"] != first.id) | (answers["value"] <= 3))]
    found = by_term(models.cumulative_link(few, mixture, waves=WAVES, level=LEVEL), "role")
    assert found["estimate"].isna().all() and found["method"].str.contains("different answer codes").all()


def test_a_separated_wave_has_no_odds_ratio(shipped):
    rows = [{"cohort": "a", "person": f"{k}", "wave": w, "item": f"prep_{i}", "value": (5 if i == 3 else 1) if w == "pre" else (2 if i == 3 else 4)}
            for k in range(8) for w in WAVES for i in (1, 2, 3, 4)]
    found = by_term(models.cumulative_link(make(rows, RESPONSES), shipped.instrument, waves=WAVES, level=LEVEL), "preparedness")
    assert found["estimate"].isna().all() and found["method"].str.startswith("not defined").all()


# --- least squares --------------------------------------------------------------------------------

def test_cluster_robust_of_whole_pairs_is_the_stratified_mean_of_pairs():
    whole = drawn({"a": 9, "b": 6})
    found = by_term(models.cluster_robust(whole, **PAIRED))
    table = models.by_pair(whole, waves=WAVES, roles=ROLES)
    d = (table.xs("post", axis=1, level=1) - table.xs("pre", axis=1, level=1))
    groups = [d.mean(axis=1)[d.index.get_level_values("cohort") == c] for c in "ab"]
    row = found.loc["wave change"]
    assert row["estimate"] == pytest.approx(np.mean([g.mean() for g in groups]))
    assert row["se"] == pytest.approx(np.sqrt(sum(g.var(ddof=1) / len(g) for g in groups)) / 2)
    assert found.loc["wave change, doctor minus manager", "estimate"] == pytest.approx(d["doctor"].mean() - d["manager"].mean())
    assert row["n"] == 30


def test_a_cohort_of_one_pair_has_no_spread():
    found = by_term(models.cluster_robust(drawn({"a": 9, "b": 1}), **PAIRED))
    assert found["estimate"].isna().all() and found["method"].str.contains("b has a single pair").all()


def test_actor_partner_pools_over_cohorts_with_cohort_fixed():
    whole = drawn({"a": 10, "b": 8})
    found = by_term(models.actor_partner(whole, **PAIRED))
    table = models.by_pair(whole, waves=WAVES, roles=ROLES)
    pre, post = (table.xs(w, axis=1, level=1)[list(ROLES)].to_numpy() for w in WAVES)
    expected = robust.actor_partner(pre, post, cohort=table.index.get_level_values("cohort"))
    np.testing.assert_allclose(found.loc[["doctor actor", "doctor partner", "manager actor", "manager partner"], "estimate"],
                               expected.effects["estimate"])
    np.testing.assert_allclose(found.loc[["doctor k", "manager k"], ["low", "high"]],
                               expected.ratios[["fieller_low", "fieller_high"]])
    assert set(found["n"]) == {18}


# --- missing answers ------------------------------------------------------------------------------

def test_imputed_is_rubin_over_the_imputations(lost):
    found = by_term(models.imputed(lost, **PAIRED, **DRAWS))
    started = lost.pivot(index=["cohort", "pair"], columns=["role", "wave"], values="score")
    pre, post = (np.column_stack([started[r, w] for r in ROLES]) for w in WAVES)
    cohort = started.index.get_level_values("cohort").to_numpy(str)
    fill = missing.impute(pre, post, cohort=cohort, **DRAWS)
    means = [np.mean([d[cohort == c].mean() for c in "ab"]) for d in (fill.post - pre).mean(axis=2)]
    variances = [sum(d[cohort == c].var(ddof=1) / (cohort == c).sum() for c in "ab") / 4 for d in (fill.post - pre).mean(axis=2)]
    pooled = missing.rubin(means, variances, df_complete=23.4, level=LEVEL)
    row = found.loc["multiple imputation"]
    assert (row["estimate"], row["se"]) == pytest.approx((pooled.estimate, pooled.se))
    assert (row["low"], row["high"]) == pytest.approx((pooled.low, pooled.high), rel=5e-3)  # df by Bell & McCaffrey
    assert row["n"] == 26 and found.loc["complete pairs", "n"] < 26


def test_imputation_is_refused_for_few_pairs_and_without_gaps():
    few = by_term(models.imputed(drawn({"a": 8}, lost=0.3), **PAIRED, **DRAWS))
    assert "too few for an imputation model" in few.loc["multiple imputation", "method"]
    assert few.loc["complete pairs", "estimate"] == few.loc["complete pairs", "estimate"]
    none = by_term(models.imputed(drawn({"a": 12}), **PAIRED, **DRAWS))
    assert "no post score is missing" in none.loc["multiple imputation", "method"]


def test_a_replaced_partner_does_not_lend_the_score_after(lost):
    gone = lost[(lost["person"] == "doctor0") & (lost["cohort"] == "a") & (lost["wave"] == "pre")]
    rest = lost[~((lost["person"] == "doctor0") & (lost["cohort"] == "a") & (lost["wave"] == "post"))]
    newcomer = make(gone.assign(person="doctor99", wave="post", score=5.0).to_dict("records"), SCORES)
    with_newcomer = models.imputed(pd.concat([rest, newcomer], ignore_index=True), **PAIRED, **DRAWS)
    pd.testing.assert_frame_equal(with_newcomer, models.imputed(rest, **PAIRED, **DRAWS))


def test_shifting_imputed_scores_shifts_the_change_in_proportion(lost):
    found = by_term(models.tipping(lost, **PAIRED, **DRAWS, shifts=(-4, -1, 1)))
    started = lost.pivot(index=["cohort", "pair"], columns=["role", "wave"], values="score")
    gaps = started.xs("post", axis=1, level=1).isna().sum(axis=1)
    share = np.mean([gaps[c].mean() / 2 for c in "ab"])
    at_zero = found.loc["imputed as they are", "estimate"]
    assert found.loc["imputed 1 point higher", "estimate"] - at_zero == pytest.approx(share)
    assert found.loc["imputed 4 points lower", "estimate"] - at_zero == pytest.approx(-4 * share)
    assert found.loc["imputed as they are", "estimate"] == pytest.approx(
        by_term(models.imputed(lost, **PAIRED, **DRAWS)).loc["multiple imputation", "estimate"])


def test_the_tipping_point_is_where_the_interval_first_meets_no_change():
    rows = drawn({"a": 20}, lost=0.3, change=0.4)
    found = by_term(models.tipping(rows, **PAIRED, **DRAWS, shifts=np.arange(-6, 6.5, 0.5)))
    tip = found.loc["tipping point, lower", "estimate"]
    assert -6 <= tip < 0
    assert found.loc[models.shift_term(tip), "low"] <= 0 < found.loc[models.shift_term(tip + 0.5), "low"]
    assert "no shift as far as 6 points" in found.loc["tipping point, higher", "method"]


# --- whoever takes part ---------------------------------------------------------------------------

def everything(scores, options):
    whole = complete(scores, waves=WAVES, roles=options["roles"])
    return [models.mixed_change(scores, **options), models.cluster_robust(whole, **options), models.actor_partner(whole, **options),
            models.imputed(scores, **options, **DRAWS), models.tipping(scores, **options, **DRAWS, shifts=(-1, 1))]


@pytest.mark.parametrize("sizes", [{"a": 12}, {"a": 3, "b": 2}, {"a": 1}, {"a": 12, "b": 1}])
@pytest.mark.parametrize("options", [PAIRED, ALONE], ids=["pairs", "people"])
def test_every_row_has_a_number_or_a_reason(sizes, options):
    for rows in everything(drawn(sizes, lost=0.2, roles=options["roles"]), options):
        assert list(rows.columns) == list(ESTIMATES.columns) and not rows.duplicated(["analysis", "outcome", "term"]).any()
        assert rows[rows["estimate"].isna()]["method"].str.startswith("not defined: ").all()
        assert (rows["cohort"] == "combined").all()


@pytest.mark.parametrize("options", [PAIRED, ALONE], ids=["pairs", "people"])
def test_equal_scores_have_reasons_and_no_numbers(options):
    equal = drawn({"a": 12, "b": 12}, roles=options["roles"]).assign(score=3.0)
    for rows in everything(equal, options):
        assert rows["estimate"].isna().all() and rows["method"].str.startswith("not defined: ").all()


def test_without_roles_the_mixed_model_is_the_paired_t_test():
    people = drawn({"a": 15}, roles=())
    found = by_term(models.mixed_change(people, **ALONE)).loc["wave change"]
    d = models.person_changes(people, waves=WAVES)["change"]
    assert (found["estimate"], found["se"]) == pytest.approx((d.mean(), d.std() / np.sqrt(15)), rel=1e-6)
    assert by_term(models.actor_partner(people, **ALONE))["method"].str.contains("nobody is paired").all()


def test_a_subscale_asked_once_is_left_out(lost):
    once = lost[lost["wave"] == "post"].assign(subscale="running")
    assert set(models.mixed_change(pd.concat([lost, once]), **PAIRED)["outcome"]) == {"role"}


def test_a_masked_cohort_stays_out_of_what_would_give_it_back():
    scores = drawn({"a": 8, "b": 7, "c": 3})
    kept = models.large_cohorts(scores, waves=WAVES, roles=ROLES, minimum=5)
    assert set(kept["cohort"]) == {"a", "b"}
    small = models.large_cohorts(scores, waves=WAVES, roles=ROLES, minimum=10)
    assert len(small) == len(scores)  # no cohort is shown alone, so their total gives none of them back
    alone = drawn({"a": 6, "b": 2}, roles=())
    assert set(models.large_cohorts(alone, waves=WAVES, roles=(), minimum=5)["cohort"]) == {"a"}


# --- known truth ----------------------------------------------------------------------------------

def test_models_recover_the_generator(shipped):
    """People who began low often do not answer again: what uses everybody still finds the truth."""
    truth = synthetic.Truth(dropout=0, skip=0)
    made = [synthetic.simulate(shipped, c, truth=truth, pairs=150, seed=11) for c in ("cohort-1", "cohort-2")]
    scores = score(pd.concat([x.responses for x in made], ignore_index=True), shipped.instrument)
    scores = scores[(scores["subscale"] == "ethos") & scores["wave"].isin(WAVES)]
    real = pd.concat([x.true_scores for x in made], ignore_index=True)
    real = real[real["subscale"] == "ethos"].groupby("wave")["expected"].mean()
    before = scores[scores["wave"] == "pre"].set_index(["cohort", "person"])["score"]
    began = before.reindex(pd.MultiIndex.from_frame(scores[["cohort", "person"]])).to_numpy()
    chance = special.expit(-1.5 - 2.0 * (began - 3.2))
    kept = scores[~((scores["wave"] == "post") & (np.random.default_rng(0).random(len(scores)) < chance))]
    found = pd.concat([models.mixed_change(kept, **PAIRED), models.imputed(kept, **PAIRED, m=10, seed=1)]).set_index("term")
    for term in ("wave change", "multiple imputation"):
        assert abs(found.loc[term, "estimate"] - (real["post"] - real["pre"])) < 3 * found.loc[term, "se"]
        assert found.loc[term, "low"] > 0
    off = (found["estimate"] - (real["post"] - real["pre"])).abs()  # those who stay began high, and rose less
    assert off["complete pairs"] > 2 * max(off["wave change"], off["multiple imputation"])
