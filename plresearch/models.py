"""Models over all cohorts: what else the same scores say, beside the exact tests.

Every function returns ESTIMATES rows of the cohort 'combined', one analysis per model. Cohort is a fixed
factor throughout: a few cohorts cannot identify a variance. A quantity that the data do not define has a
row without a number whose `method` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import special, stats

from . import clmm, missing, mixed, robust
from .change import pair_contrasts, wide
from .frames import ESTIMATES, make
from .score import complete, keyed
from .study import Instrument

STEP = 1e-5  # of the numerical gradient of predicted probabilities, in logits
NOBODY_PAIRED = "nobody is paired in this study"

IMPUTATIONS = 20  # imputed data sets; the Monte Carlo error of the pooled estimate is then small beside its own


def large_cohorts(
    scores: pd.DataFrame, *, waves: tuple[str, ...], roles: tuple[str, ...], minimum: int
) -> pd.DataFrame:
    """The scores without the cohorts whose own results are masked, subscale by subscale.

    A cohort with fewer than `minimum` complete pairs (people) shows no mean of its own; the mean over all
    cohorts, beside those of the others, would give it back. Where no cohort is large enough, all are kept.

    Parameters
    ----------
    scores
        SCORES rows, of everybody.
    waves, roles
        Wave ids, and the two role ids or none where nobody is paired: what makes a pair (person) complete.
    minimum
        Smallest number of contributors behind a released number.

    Examples
    --------
    >>> from plresearch.frames import SCORES
    >>> rows = [{"cohort": c, "person": f"{c}{k}", "wave": "pre", "subscale": "role", "score": 3.0} for c, k in ("a0", "a1", "b0")]
    >>> large_cohorts(make(rows, SCORES), waves=("pre",), roles=(), minimum=2)["cohort"].unique().tolist()
    ['a']
    """
    whole = complete(scores, waves=waves, roles=roles)
    sizes = whole.groupby(["subscale", "cohort"])["pair" if roles else "person"].nunique()
    large = {key for key, size in sizes.items() if size >= minimum}
    some = {subscale for subscale, _ in large}
    kept = [(s, c) in large or s not in some for s, c in zip(scores["subscale"], scores["cohort"])]
    return scores[np.array(kept, dtype=bool)].reset_index(drop=True)


# --- the mixed model ------------------------------------------------------------------------------

def mixed_terms(*, waves: tuple[str, str], roles: tuple[str, ...]) -> tuple[str, ...]:
    """The terms of `mixed_change`, in order."""
    by_role = (*(f"wave change, {role}" for role in roles), *([_minus(roles)] if roles else []))
    means = [f"mean, {role}, {wave}" for role in roles for wave in waves] or [f"mean, {wave}" for wave in waves]
    spread = ["SD of pairs"] if roles else []
    return ("wave change", "wave change, Satterthwaite", "wave change, unstructured", *by_role,
            *(["role x wave F"] if roles else []), "cohort x wave F", *means, *spread, "SD of people", "SD of occasions")


def mixed_change(scores: pd.DataFrame, *, waves: tuple[str, str], roles: tuple[str, ...], level: float) -> pd.DataFrame:
    """Linear mixed model of every subscale: score ~ cohort + role x wave + (1 | pair) + (1 | person), REML.

    Estimands: mean scores by role and wave and their changes, cohorts and roles weighing alike, among all
    who answered either wave; unanswered waves are missing at random given what was answered.

    Parameters
    ----------
    scores
        SCORES rows, of everybody (not only of complete pairs). Missing scores are left out, and so are people
        without a role where the study has roles; a person without a pair is a pair of one.
    waves
        The wave before and the wave after; a subscale not asked at both is left out.
    roles
        The two role ids, or none; then the model has neither role nor pair.
    level
        Confidence level of every interval.

    Returns
    -------
    ESTIMATES rows, analysis 'mixed model'; `n` counts people. Terms: ``wave change`` (Kenward-Roger), the
    same with Satterthwaite's degrees of freedom, the same with one unstructured covariance over role x wave,
    ``wave change, <role>``, ``wave change, <role> minus <role>``, ``role x wave F`` and ``cohort x wave F``
    (estimate is F), ``mean, <role>, <wave>`` (estimated marginal means), ``SD of pairs | people | occasions``.

    References
    ----------
    Kenward & Roger (1997), doi:10.2307/2533558. Kenny, Kashy & Cook (2006), Dyadic Data Analysis, ch. 4.

    Examples
    --------
    >>> from plresearch.frames import SCORES
    >>> rows = [{"cohort": "c", "person": f"{k}", "wave": w, "subscale": "role", "score": s}
    ...         for k, both in enumerate([(2.0, 3.0), (2.5, 4.5), (3.0, 4.5)]) for w, s in zip(("pre", "post"), both)]
    >>> found = mixed_change(make(rows, SCORES), waves=("pre", "post"), roles=(), level=0.95).set_index("term")
    >>> found.loc["wave change", ["estimate", "low", "high"]].astype(float).round(3).tolist()
    [1.5, 0.258, 2.742]
    """
    rows = []
    for subscale, part in _asked_at(scores, waves):
        people = _people(part, waves, roles)
        common = {"cohort": "combined", "analysis": "mixed model", "outcome": subscale, "n": _heads(people), "unit": "points"}
        found = _mixed_rows(people, waves, roles, level)
        rows += [common | {"term": term} | found[term] for term in mixed_terms(waves=waves, roles=roles)]
    return make(rows, ESTIMATES)


def _people(part: pd.DataFrame, waves: Sequence[str], roles: tuple[str, ...]) -> pd.DataFrame:
    """Scores at these waves, of the people a model with these roles can take."""
    rows = part[part["wave"].isin(waves) & part["score"].notna()]
    if not roles:
        return rows.assign(role=np.nan, pair=rows["person"])
    rows = rows[rows["role"].isin(roles)]
    return rows.assign(pair=rows["pair"].where(rows["pair"] != "", "without partner, " + rows["person"]))


def _mixed_rows(people: pd.DataFrame, waves, roles, level) -> dict[str, dict]:
    """Term -> its row; every part of the model that cannot be fitted says so in its own rows."""
    groups = ("pair", "person") if roles else ("person",)
    pairs = people.groupby(["cohort", "pair"]).ngroups
    data = f"all {_heads(people)} people" + (f" of {pairs} pairs" if roles else "") + " with a score at either wave"
    name = "score ~ cohort + role x wave + (1 | pair) + (1 | person)" if roles else "score ~ cohort + wave + (1 | person)"
    found = _attempt(
        lambda: _component_rows(mixed.mixed_model(people, waves=waves, groups=groups), waves, roles, level, f"{name}, REML, {data}"),
        [t for t in mixed_terms(waves=waves, roles=roles) if "unstructured" not in t and "cohort" not in t],
    )
    found |= _attempt(
        lambda: {"wave change, unstructured": _t_row(
            mixed.changes(mixed.mixed_model(people, waves=waves, groups=groups, structure="unstructured"), level=level).iloc[0],
            f"one unstructured covariance over {'role x wave' if roles else 'the waves'}, REML, Kenward-Roger, {data}",
        )}, ["wave change, unstructured"],
    )
    return found | _attempt(
        lambda: {"cohort x wave F": _f_row(mixed.cohort_by_wave(
            mixed.mixed_model(people, waves=waves, groups=groups, interaction=True)), "the changes are the same in every cohort")},
        ["cohort x wave F"],
    )


def _component_rows(model: mixed.ScoreModel, waves, roles, level, what: str) -> dict[str, dict]:
    change = f"{waves[1]} - {waves[0]}"
    by_term = mixed.changes(model, level=level).set_index("term")
    plain = mixed.changes(model, level=level, method="satterthwaite").set_index("term")
    at_zero = f"; variance at 0: {', '.join(model.fit.boundary)}" if model.fit.singular else ""
    rows = {
        "wave change": _t_row(by_term.loc[change], f"{what}, Kenward-Roger{at_zero}"),
        "wave change, Satterthwaite": _t_row(plain.loc[change], f"{what}, Satterthwaite{at_zero}"),
    }
    if roles:
        rows |= {f"wave change, {role}": _t_row(by_term.loc[f"{change}: {role}"], f"{what}, Kenward-Roger") for role in roles}
        rows[_minus(roles)] = _t_row(_between(by_term, change, roles), f"{what}, Kenward-Roger")
        rows["role x wave F"] = _f_row(mixed.wave_tests(model)["role:wave"], "both roles change alike")
    means = mixed.emmeans(model, level=level)
    for line in means.to_dict("records"):
        term = f"mean, {line['role']}, {line['wave']}" if roles else f"mean, {line['wave']}"
        rows[term] = {k: line[k] for k in ("estimate", "se", "low", "high")} | {
            "method": "estimated marginal mean, cohorts alike, Kenward-Roger"}
    sd = dict(zip(model.fit.parameters, np.sqrt(np.maximum(model.fit.theta, 0.0)), strict=True))
    words = {"SD of pairs": "pair", "SD of people": "person", "SD of occasions": "residual"}
    return rows | {term: {"estimate": sd[key], "method": "standard deviation, REML"} for term, key in words.items() if key in sd}


def _between(by_term: pd.DataFrame, change: str, roles: tuple[str, str]) -> pd.Series:
    """The difference of the roles' changes, first minus second, whichever way the model lists it."""
    first, second = roles
    if f"{change}: {first} minus {second}" in by_term.index:
        return by_term.loc[f"{change}: {first} minus {second}"]
    row = by_term.loc[f"{change}: {second} minus {first}"].copy()
    row["estimate"], row["low"], row["high"] = -row["estimate"], -row["high"], -row["low"]
    return row


def _t_row(line: pd.Series, what: str) -> dict:
    return {k: float(line[k]) for k in ("estimate", "se", "low", "high", "p")} | {"method": f"{what}, {line['df']:.1f} df"}


def _f_row(test: mixed.FTest, hypothesis: str) -> dict:
    return {"estimate": test.f, "p": test.p, "unit": "F",
            "method": f"F test that {hypothesis}, {test.df1} and {test.df2:.1f} df, Kenward-Roger"}


# --- answers: cumulative-link mixed model ---------------------------------------------------------

def cumulative_link(
    responses: pd.DataFrame, instrument: Instrument, *, waves: tuple[str, str], level: float
) -> pd.DataFrame:
    """Odds of a higher answer after than before, from the answers themselves.

    Cumulative-link mixed model, logit link: wave, cohort and role fixed, random intercepts of person and of
    item, crossed (Laplace); a subscale of one item has the person only. Estimand: the odds ratio of wave for
    a given person and question, the same at every threshold of the scale.

    Parameters
    ----------
    responses
        RESPONSES rows; reverse-keyed answers are turned round here. Unanswered items are left out.
    instrument
        Items, subscales and response sets.
    waves
        The wave before and the wave after; only items asked at both enter.
    level
        Confidence level of every interval.

    Returns
    -------
    ESTIMATES rows, analysis 'cumulative link'; `n` counts people. Terms: ``odds ratio of wave`` (Wald
    interval and p), ``above the middle, <wave>`` (predicted share of answers above the middle of the scale,
    averaged over people, questions, and the cells cohort x role; delta interval on the logit scale),
    ``answer <code>, <wave>`` (predicted share of one answer), ``proportional odds`` (likelihood-ratio
    statistic and p that the odds ratio is the same at every threshold; the score statistic where a
    category is nearly empty at a wave), ``SD of people, logits``.

    References
    ----------
    McCullagh (1980), doi:10.1111/j.2517-6161.1980.tb01109.x. Tutz & Hennevogl (1996),
    doi:10.1016/0167-9473(96)00004-7.
    """
    answers = keyed(responses[responses["wave"].isin(waves) & responses["value"].notna()], instrument)
    rows = []
    for subscale in instrument.subscales.values():
        items = [i for i in instrument.items_of(subscale.id) if not i.waves or set(waves) <= set(i.waves)]
        part = answers[answers["item"].isin([i.id for i in items])]
        if not set(waves) <= set(part["wave"]):
            continue
        codes = sorted({c for i in items for c in instrument.response_sets[i.responses].codes})
        alike = len({tuple(sorted(instrument.response_sets[i.responses].codes)) for i in items}) == 1
        terms = _odds_terms(codes, waves)
        common = {"cohort": "combined", "analysis": "cumulative link", "outcome": subscale.id, "n": _heads(part), "unit": "share"}
        found = _attempt(lambda: _odds_rows(part, codes, waves, level), terms) if alike else _undefined(
            terms, "its questions have different answer codes")
        rows += [common | {"term": term} | found[term] for term in terms]
    return make(rows, ESTIMATES)


def _odds_terms(codes: Sequence[int], waves) -> list[str]:
    return ["odds ratio of wave", *(f"above the middle, {w}" for w in waves), "proportional odds", "SD of people, logits",
            *(f"answer {c}, {w}" for w in waves for c in codes)]


def _odds_rows(part: pd.DataFrame, codes, waves, level) -> dict[str, dict]:
    cells = pd.get_dummies(part[["cohort", "role"]], drop_first=True, dtype=float)
    x = np.column_stack([(part["wave"] == waves[1]).astype(float), cells.to_numpy(float)])
    groups = [(part["cohort"] + "|" + part["person"]).to_numpy()]
    groups += [part["item"].to_numpy()] if part["item"].nunique() > 1 else []
    y = part["value"].to_numpy(int)
    fit = clmm.clmm(y, x, *groups, scale=tuple(codes), level=level)
    if not fit.converged:
        raise ValueError(fit.message)
    what = f"cumulative logit, {'person and item' if len(groups) == 2 else 'person'} random, cohort and role fixed, {fit.method}"
    rows = {
        "odds ratio of wave": {
            "estimate": fit.odds_ratio[0], "low": fit.odds_ratio_low[0], "high": fit.odds_ratio_high[0], "p": fit.p[0],
            "unit": "odds ratio", "method": f"{what}, {fit.n} answers, Wald",
        },
        "SD of people, logits": {"estimate": fit.sd[0], "unit": "coefficient", "method": what},
        "proportional odds": _proportional_row(y, x, groups),
    }
    grid = cells.drop_duplicates().to_numpy(float)
    for wave, value in zip(waves, (0.0, 1.0)):
        at = np.column_stack([np.full(len(grid), value), grid])
        rows[f"above the middle, {wave}"] = _predicted(fit, at, lambda c: c > (codes[0] + codes[-1]) / 2, level)
        for code in codes:
            rows[f"answer {code}, {wave}"] = _predicted(fit, at, lambda c, code=code: c == code, level)
    return rows


def _proportional_row(y, x, groups) -> dict:
    if len(np.unique(y)) < 3:
        return {"method": "not defined: only two answers occur, so there is one threshold"}
    try:
        check = clmm.proportional_odds(y, x, *groups, columns=[0])
    except ValueError:  # a category nearly empty at a wave: the larger model has no maximum, the score has
        try:
            check = clmm.proportional_odds(y, x, *groups, columns=[0], test="score")
        except ValueError as reason:
            return {"method": f"not defined: {reason}"}
    kind = "likelihood ratio" if check.test == "lr" else "score"
    return {"estimate": check.statistic, "p": check.p, "unit": "chi-squared",
            "method": f"{kind} test of one odds ratio for all thresholds, {check.df} df"}


def _predicted(fit: clmm.ClmmFit, at: np.ndarray, chosen: Callable[[int], bool], level: float) -> dict:
    """Marginal share of the chosen answers, averaged over the rows of `at`, with a delta interval."""
    which = np.array([bool(chosen(c)) for c in fit.categories])
    sizes = np.cumsum([len(fit.thresholds), len(fit.beta)])

    def share(parameters: np.ndarray) -> float:
        thresholds, beta, sd = np.split(parameters, sizes)
        moved = replace(fit, thresholds=thresholds, beta=beta, sd=sd)
        return float(clmm.probabilities(moved, at).marginal[:, which].sum(axis=1).mean())

    centre = np.concatenate([fit.thresholds, fit.beta, fit.sd])
    value = share(centre)
    row = {"estimate": value, "method": "predicted, averaged over people, questions and cohort x role; delta interval"}
    if not 1e-9 < value < 1 - 1e-9:
        return row | {"estimate": round(value, 9), "method": "predicted; the fit leaves no doubt, so no interval"}
    free = np.isfinite(np.diag(fit.vcov))
    gradient = np.array([(special.logit(share(centre + h)) - special.logit(share(centre - h))) / (2 * STEP)
                         for h in STEP * np.eye(len(centre))[free]])
    se = float(np.sqrt(gradient @ fit.vcov[np.ix_(free, free)] @ gradient))
    half = float(stats.norm.ppf((1 + level) / 2)) * se
    low, high = special.expit(special.logit(value) + np.array([-half, half]))
    return row | {"se": se * value * (1 - value), "low": float(low), "high": float(high)}


# --- least squares: cluster-robust and actor-partner ----------------------------------------------

def cohort_mean(
    d: np.ndarray, *, cohort: np.ndarray, cluster: np.ndarray, alike: bool, level: float
) -> tuple[robust.RobustTest, float]:
    """Mean of differences with cohort fixed: CR2 standard error over clusters, Satterthwaite's t interval.

    Parameters
    ----------
    d, cohort, cluster
        (n,) differences, their cohorts, and the independent units (pairs), nested in the cohorts.
    alike
        True: every cohort counts alike; False: every difference does.
    level
        Confidence level.

    Returns
    -------
    (test, variance); with clusters of one the variance is the sum of w_c^2 s_c^2 / n_c.

    Raises
    ------
    ValueError
        A cohort with a single cluster, whose spread cannot be estimated; no variation.

    Examples
    --------
    >>> d, cohort = np.array([0.0, 1.0, 2.0, 1.0, 3.0]), np.array(["a", "a", "a", "b", "b"])
    >>> test, variance = cohort_mean(d, cohort=cohort, cluster=np.arange(5), alike=True, level=0.95)
    >>> round(test.estimate, 6), round(variance, 6)
    (1.5, 0.333333)
    """
    fit, share = _cohort_fit(d, cohort, cluster, [], alike)
    test = robust.robust_test(fit, share, level=level)
    return test, test.se**2


def _cohort_fit(d, cohort, cluster, extra, alike: bool):
    """Least squares on one column per cohort and the extra columns; the weights of the cohorts' mean."""
    names, place = np.unique(np.asarray(cohort, dtype=str), return_inverse=True)
    for k, name in enumerate(names):
        if len(set(np.asarray(cluster)[place == k])) < 2:
            raise ValueError(f"{name} has a single pair or person, so its spread is not known")
    fit = robust.ols_cr2(np.column_stack([np.eye(len(names))[place], *extra]), d, cluster=cluster)
    share = np.full(len(names), 1 / len(names)) if alike else np.bincount(place) / len(place)
    return fit, np.concatenate([share, np.zeros(len(extra))])


def cluster_robust(whole: pd.DataFrame, *, waves: tuple[str, str], roles: tuple[str, ...], level: float) -> pd.DataFrame:
    """Change of people by least squares, cohort fixed, with CR2 errors clustered in pairs.

    change ~ cohort + role; CR2 (Bell & McCaffrey) with Satterthwaite degrees of freedom needs no model of the
    likeness of partners. Cohorts and roles weigh alike.

    Parameters
    ----------
    whole
        SCORES rows, complete over the waves (`score.complete`).
    waves, roles, level
        As in `mixed_change`.

    Returns
    -------
    ESTIMATES rows, analysis 'cluster robust', terms ``wave change`` and, with roles,
    ``wave change, <role> minus <role>``; `n` counts people.

    References
    ----------
    Bell & McCaffrey (2002), Survey Methodology 28(2), 169-181.
    """
    terms = ["wave change", *([_minus(roles)] if roles else [])]
    rows = []
    for subscale, part in _asked_at(whole, waves):
        people = person_changes(part, waves=waves)
        found = _attempt(lambda: _robust_rows(people, roles, level), terms)
        common = {"cohort": "combined", "analysis": "cluster robust", "outcome": subscale, "n": len(people), "unit": "points"}
        rows += [common | {"term": term} | found[term] for term in terms]
    return make(rows, ESTIMATES)


def _robust_rows(people: pd.DataFrame, roles, level) -> dict[str, dict]:
    effect = [np.where(people["role"] == roles[0], 0.5, -0.5)] if roles else []
    fit, share = _cohort_fit(people["change"].to_numpy(), people["cohort"].to_numpy(), people["cluster"].to_numpy(), effect, True)
    method = f"change ~ cohort{' + role' if roles else ''}, least squares, CR2 over {fit.clusters} {'pairs' if roles else 'people'}"
    rows = {"wave change": _robust_row(robust.robust_test(fit, share, level=level), method)}
    if roles:
        last = np.eye(len(share))[-1]
        rows[_minus(roles)] = _robust_row(robust.robust_test(fit, last, level=level), method)
    return rows


def _robust_row(test: robust.RobustTest, method: str) -> dict:
    return {"estimate": test.estimate, "se": test.se, "low": test.low, "high": test.high, "p": test.p,
            "method": f"{method}, Satterthwaite {test.df:.1f} df"}


def person_changes(scores: pd.DataFrame, *, waves: tuple[str, str]) -> pd.DataFrame:
    """Change of every person with both waves of one subscale: cohort, cluster (the pair), role, change."""
    seen = scores[scores["wave"].isin(waves) & scores["score"].notna()]
    table = seen.pivot(index=["cohort", "pair", "person", "role"], columns="wave", values="score").reindex(columns=list(waves))
    table = table.dropna().reset_index()
    own = np.where(table["pair"] == "", "person " + table["person"], "pair " + table["pair"])
    return pd.DataFrame({"cohort": table["cohort"], "cluster": table["cohort"] + "|" + own, "role": table["role"],
                         "change": (table[waves[1]] - table[waves[0]]).round(9)})


def partner_terms(roles: tuple[str, ...]) -> tuple[str, ...]:
    """The terms of `actor_partner`, in order."""
    return tuple(f"{role} {kind}" for role in roles for kind in ("actor", "partner", "k")) or ("actor", "partner")


def actor_partner(whole: pd.DataFrame, *, waves: tuple[str, str], roles: tuple[str, ...], level: float) -> pd.DataFrame:
    """Does the partner's beginning matter? Actor-partner model over time, all cohorts, cohort fixed.

    One equation per role: score after ~ cohort + own score before (actor) + partner's score before (partner).
    k = partner / actor: 0 only the own beginning counts, 1 both alike, -1 the contrast.

    Parameters
    ----------
    whole, waves, roles, level
        As in `cluster_robust`.

    Returns
    -------
    ESTIMATES rows, analysis 'actor-partner', terms ``<role> actor``, ``<role> partner`` (points after per
    point before, t interval) and ``<role> k`` (Fieller interval; unbounded where the actor effect cannot be
    told from 0); `n` counts pairs. Where nobody is paired, ``actor`` and ``partner`` without a number.

    References
    ----------
    Kenny, Kashy & Cook (2006), Dyadic Data Analysis, ch. 7. Kenny & Ledermann (2010), doi:10.1037/a0019651.
    """
    rows = []
    for subscale, part in _asked_at(whole, waves):
        common = {"cohort": "combined", "analysis": "actor-partner", "outcome": subscale, "unit": "coefficient"}
        if roles:
            table = by_pair(part, waves=waves, roles=roles)
            common["n"] = len(table)
            found = _attempt(lambda: _partner_rows(table, waves, roles, level), partner_terms(roles))
        else:
            common["n"] = part["person"].nunique()
            found = _undefined(partner_terms(roles), NOBODY_PAIRED)
        rows += [common | {"term": term} | found[term] for term in partner_terms(roles)]
    return make(rows, ESTIMATES)


def _partner_rows(table: pd.DataFrame, waves, roles, level) -> dict[str, dict]:
    pre, post = (np.column_stack([table[role, wave] for role in roles]) for wave in waves)
    found = robust.actor_partner(pre, post, cohort=table.index.get_level_values("cohort"), roles=roles, level=level)
    rows = {}
    for line in found.effects.to_dict("records"):
        rows[f"{line['equation']} {line['term']}"] = {k: line[k] for k in ("estimate", "se", "low", "high", "p")} | {
            "method": f"score after on own and partner's score before, cohort fixed, t with {line['df']:g} df"}
    for line in found.ratios.to_dict("records"):
        rows[f"{line['equation']} k"] = {"estimate": line["k"], "low": line["fieller_low"], "high": line["fieller_high"],
                                         "method": "partner effect over actor effect, Fieller interval"}
    return rows


def by_pair(whole: pd.DataFrame, *, waves: tuple[str, ...], roles: tuple[str, ...]) -> pd.DataFrame:
    """`change.wide` of several cohorts under each other, indexed by cohort and pair (person)."""
    return pd.concat({cohort: wide(part, waves=waves, roles=roles) for cohort, part in whole.groupby("cohort", sort=False)},
                     names=["cohort", "unit"])


# --- missing answers ------------------------------------------------------------------------------

def imputed(
    scores: pd.DataFrame, *, waves: tuple[str, str], roles: tuple[str, ...], level: float, m: int, seed: int
) -> pd.DataFrame:
    """Mean change per pair when the missing scores after the programme are multiply imputed.

    The imputation model has an equation per role: own and partner's score before, partner's score after,
    cohort (`missing.impute`, normal). Cohorts count alike; Rubin's rules, Barnard-Rubin degrees of freedom.
    Estimand: the change among all pairs who started, missing at random.

    Parameters
    ----------
    scores
        SCORES rows of everybody; pairs with both scores before enter.
    waves, roles, level
        As in `mixed_change`.
    m
        Imputed data sets.
    seed
        Whole number; the same seed gives the same values.

    Returns
    -------
    ESTIMATES rows, analysis 'missing data', terms ``complete pairs`` (CR2 t interval), ``multiple
    imputation`` and ``fraction missing`` (of the information); `n` counts pairs. Fewer than ten pairs, or
    nothing missing: no number, and `method` says so.

    References
    ----------
    Rubin (1987), Multiple Imputation for Nonresponse in Surveys. Barnard & Rubin (1999),
    doi:10.1093/biomet/86.4.948.
    """
    terms = ["complete pairs", "multiple imputation", "fraction missing"]
    rows = []
    for subscale, part in _asked_at(scores, waves):
        started = _started(part, waves, roles)
        whole = started.dropna()
        common = {"cohort": "combined", "analysis": "missing data", "outcome": subscale, "n": len(started), "unit": "points"}
        found = _attempt(lambda: {"complete pairs": _complete_row(whole, waves, roles, level)}, terms[:1])
        found |= _attempt(lambda: _imputed_rows(started, waves, roles, level, m, seed), terms[1:])
        rows += [common | {"term": terms[0]} | found[terms[0]] | {"n": len(whole)}]
        rows += [common | {"term": term} | found[term] for term in terms[1:]]
    return make(rows, ESTIMATES)


def _started(part: pd.DataFrame, waves, roles) -> pd.DataFrame:
    """Pairs (people) with every score before, one row each; what is missing after stays missing.

    Where a partner was replaced, the one who answered both waves stands for the role, else the first.
    """
    unit = "pair" if roles else "person"
    rows = part[part["wave"].isin(waves) & (part[unit] != "")]
    rows = rows[rows["role"].isin(roles)] if roles else rows.assign(role="")
    people = rows.pivot(index=["cohort", "pair", "person", "role"], columns="wave", values="score").reindex(columns=list(waves))
    people = people.dropna(subset=[waves[0]]).reset_index()
    people = people.sort_values(waves[1], key=lambda after: after.isna(), kind="stable")
    chosen = people.drop_duplicates(["cohort", unit, "role"]).sort_values(["cohort", unit], kind="stable")
    table = chosen.pivot(index=["cohort", unit], columns="role", values=list(waves)).swaplevel(axis=1)
    table = table.reindex(columns=pd.MultiIndex.from_product([roles or ("",), waves]))
    return table.dropna(subset=[(role, waves[0]) for role in roles or ("",)])


def _complete_row(whole: pd.DataFrame, waves, roles, level) -> dict:
    d = pair_contrasts(whole, from_=waves[0], to=waves[1], roles=roles)["average"].to_numpy()
    test, _ = cohort_mean(d, cohort=_cohorts(whole), cluster=np.arange(len(d)), alike=True, level=level)
    return _robust_row(test, f"mean change of the {len(d)} complete ones, cohorts alike, t")


def _imputed_rows(started: pd.DataFrame, waves, roles, level, m, seed) -> dict[str, dict]:
    fill, analyse, df = _imputation(started, waves, roles, m, seed)
    pooled = missing.rubin(*zip(*map(analyse, fill.post)), df_complete=df, level=level)
    what = f"{int(fill.missing.sum())} of {fill.missing.size} scores after imputed {m} times, cohorts alike"
    return {
        "multiple imputation": {
            "estimate": pooled.estimate, "se": pooled.se, "low": pooled.low, "high": pooled.high, "p": pooled.p,
            "method": f"{what}, Rubin's rules, Barnard-Rubin {pooled.df:.1f} df",
        },
        "fraction missing": {"estimate": pooled.fraction_missing, "unit": "share", "method": f"fraction of missing information; {what}"},
    }


def _imputation(started: pd.DataFrame, waves, roles, m, seed):
    """Imputed scores after, the analysis of one completed set, and its degrees of freedom without gaps."""
    if not roles:
        raise ValueError(f"{NOBODY_PAIRED}; the imputation model needs partners")
    pre, post = (np.column_stack([started[role, wave] for role in roles]) for wave in waves)
    cohort, unit = _cohorts(started), np.arange(len(started))
    labels = cohort if len(set(cohort)) > 1 else None
    fill = missing.impute(pre, post, cohort=labels, m=m, seed=seed)

    def fitted(completed: np.ndarray):
        return _cohort_fit((completed - pre).mean(axis=1), cohort, unit, [], True)

    def analyse(completed: np.ndarray) -> tuple[float, float]:
        fit, share = fitted(completed)
        return float(share @ fit.beta), float(share @ fit.vcov @ share)

    return fill, analyse, robust.robust_test(*fitted(fill.post[0])).df


def tipping(
    scores: pd.DataFrame, *, waves: tuple[str, str], roles: tuple[str, ...], level: float, m: int, seed: int,
    shifts: Iterable[float],
) -> pd.DataFrame:
    """What if those who did not answer had changed less, or more, than the imputation says?

    Every imputed score is moved by a shift, in points; the pooled change is taken again (pattern mixture). The
    tipping point is the shift nearest zero at which the interval lies on another side of no change.

    Parameters
    ----------
    scores, waves, roles, level, m, seed
        As in `imputed`.
    shifts
        Grid of shifts, in points of the scale, of both signs.

    Returns
    -------
    ESTIMATES rows, analysis 'missing data': ``imputed <x> points lower | higher`` and ``imputed as they are``
    (pooled change), ``tipping point, lower`` and ``tipping point, higher`` (estimate is the shift; without a
    number where no shift of the grid changes the conclusion).

    References
    ----------
    Carpenter & Kenward (2013), Multiple Imputation and its Application, doi:10.1002/9781119942283, ch. 10.
    """
    grid = sorted({float(x) for x in shifts} | {0.0})
    terms = [*(shift_term(x) for x in grid), "tipping point, lower", "tipping point, higher"]
    rows = []
    for subscale, part in _asked_at(scores, waves):
        started = _started(part, waves, roles)
        common = {"cohort": "combined", "analysis": "missing data", "outcome": subscale, "n": len(started), "unit": "points"}
        found = _attempt(lambda: _tipping_rows(started, waves, roles, level, m, seed, grid), terms)
        rows += [common | {"term": term} | found[term] for term in terms]
    return make(rows, ESTIMATES)


def shift_term(shift: float) -> str:
    """The term of a shift of the imputed scores.

    >>> shift_term(-0.5), shift_term(0.0)
    ('imputed 0.5 points lower', 'imputed as they are')
    """
    if not shift:
        return "imputed as they are"
    return f"imputed {abs(shift):g} point{'' if abs(shift) == 1 else 's'} {'lower' if shift < 0 else 'higher'}"


def _tipping_rows(started, waves, roles, level, m, seed, grid) -> dict[str, dict]:
    fill, analyse, df = _imputation(started, waves, roles, m, seed)
    tip = missing.tipping_point(fill, analyse, deltas=grid, df_complete=df, level=level)
    rows = {shift_term(x.delta): {"estimate": x.estimate, "low": x.low, "high": x.high,
                                  "method": f"pooled change over {m} imputations, imputed scores shifted"} for x in tip.grid}
    words = {"above": "above", "below": "below", "includes": "around"}[tip.conclusion]
    for term, at, end in (("tipping point, lower", tip.down, grid[0]), ("tipping point, higher", tip.up, grid[-1])):
        rows[term] = {"estimate": at, "method": f"shift at which the interval no longer lies {words} no change"} if at is not None else {
            "method": f"not defined: no shift as far as {end:g} points moves the interval, which lies {words} no change"}
    return rows


# --- shared ---------------------------------------------------------------------------------------

def _asked_at(scores: pd.DataFrame, waves: Sequence[str]):
    """(subscale, its rows) of the subscales asked at every one of the waves."""
    return [(name, part) for name, part in scores.groupby("subscale", sort=False) if set(waves) <= set(part["wave"])]


def _heads(rows: pd.DataFrame) -> int:
    return rows.groupby(["cohort", "person"]).ngroups


def _cohorts(table: pd.DataFrame) -> np.ndarray:
    return table.index.get_level_values("cohort").to_numpy(dtype=str)


def _minus(roles: tuple[str, ...]) -> str:
    return f"wave change, {roles[0]} minus {roles[1]}"


def _attempt(fit: Callable[[], dict[str, dict]], terms: Iterable[str]) -> dict[str, dict]:
    """Rows by term, or, where the data do not define them, rows that say why."""
    try:
        return fit()
    except ValueError as reason:
        return _undefined(terms, str(reason))


def _undefined(terms: Iterable[str], reason: str) -> dict[str, dict]:
    return {term: {"method": f"not defined: {reason}"} for term in terms}
