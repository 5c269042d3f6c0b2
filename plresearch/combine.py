"""All cohorts together: pooled changes as rows of ESTIMATES."""

from __future__ import annotations

import pandas as pd

from .frames import ESTIMATES, make, stack
from .pooling import bayes_half_normal, pool

HEADLINES = {"REML + Hartung-Knapp": "Pooled, REML + Hartung-Knapp", "Bayesian half-normal": "Pooled, Bayesian half-normal prior"}
HETEROGENEITY = {
    "tau": "Spread of cohorts, tau (Q-profile interval)", "tau, Bayesian half-normal": "Spread of cohorts, tau (Bayesian)",
    "Bayesian half-normal, half the scale": "Pooled, prior scale halved",
    "Bayesian half-normal, twice the scale": "Pooled, prior scale doubled",
    "REML + modified Hartung-Knapp": "Pooled, modified Hartung-Knapp", "REML + Wald": "Pooled, Wald",
}


def pooled_changes(
    estimates: pd.DataFrame, *, term: str, sd: dict[str, float], prior: float, level: float
) -> pd.DataFrame:
    """Pool one term of the cohorts' changes for every outcome.

    Parameters
    ----------
    estimates
        ESTIMATES rows of analysis 'change' of several cohorts, with standard errors.
    term
        The term to pool, such as 'pair mean'.
    sd
        Standard deviation of the scores before the programme per outcome, in points.
    prior
        Scale of the half-normal prior on the spread between cohorts, as a multiple of `sd`.
    level
        Level of every interval.

    Returns
    -------
    ESTIMATES rows, cohort 'combined', analysis 'pooling'; `n` counts the pairs (people) of all cohorts.
    A cohort whose estimate is masked or without variation is left out and named in `method`.

    References
    ----------
    Hartung & Knapp (2001), doi:10.1002/sim.1009. Röver et al. (2021), doi:10.1002/jrsm.1475.
    """
    chosen = estimates[(estimates["analysis"] == "change") & (estimates["term"] == term)]
    tables = [
        _pooled(part, outcome, sd[outcome] * prior, level) for outcome, part in chosen.groupby("outcome", sort=False) if outcome in sd
    ]
    return stack(tables, ESTIMATES)


def _pooled(part: pd.DataFrame, outcome: str, scale: float, level: float) -> pd.DataFrame:
    usable = part[part["estimate"].notna() & (part["se"] > 0)]
    common = {"cohort": "combined", "analysis": "pooling", "outcome": outcome, "n": int(usable["n"].sum()), "unit": "points"}
    left_out = sorted(set(part["cohort"]) - set(usable["cohort"]))
    note = f"; without {', '.join(left_out)} (masked or no variation)" if left_out else ""
    if len(usable) < 2:
        reason = f"not defined: {len(usable)} cohort with a standard error; pooling needs two{note}"
        return make([common | {"term": t, "method": reason} for t in (*HEADLINES, "prediction interval", *HETEROGENEITY)], ESTIMATES)
    y, v = usable["estimate"].to_numpy(), usable["se"].to_numpy() ** 2
    rows = []
    for term, test in (("REML + Hartung-Knapp", "hk"), ("REML + modified Hartung-Knapp", "mhk"), ("REML + Wald", "wald")):
        fit = pool(y, v, tau2="REML", test=test, level=level)
        rows.append({"term": term, "estimate": fit.estimate, "se": fit.se, "low": fit.low, "high": fit.high, "p": fit.p,
                     "method": f"random effects over {fit.k} cohorts, {term}{note}"})
    rows.append({"term": "prediction interval", "estimate": fit.estimate, "low": fit.prediction_low, "high": fit.prediction_high,
                 "method": f"for the true change of a new cohort, t with {fit.prediction_df:g} degrees of freedom"})
    rows.append({"term": "tau", "estimate": fit.tau2 ** 0.5, "low": fit.tau2_low ** 0.5, "high": fit.tau2_high ** 0.5,
                 "method": f"REML; interval by Q-profile; I2 {fit.I2:.0f} %, Q p {fit.Q_p:.2g}"})
    for term, factor in (("Bayesian half-normal", 1.0), ("Bayesian half-normal, half the scale", 0.5),
                         ("Bayesian half-normal, twice the scale", 2.0)):
        bayes = bayes_half_normal(y, v, scale=scale * factor, level=level)
        rows.append({"term": term, "estimate": bayes.mean, "se": bayes.sd, "low": bayes.low, "high": bayes.high,
                     "method": f"posterior mean and central interval; half-normal prior of scale {scale * factor:.3g} points on tau; "
                               f"P(mu > 0) {bayes.positive:.3f}"})
        if factor == 1.0:
            rows.append({"term": "tau, Bayesian half-normal", "estimate": bayes.tau_median, "low": bayes.tau_low,
                         "high": bayes.tau_high, "method": "posterior median and central interval"})
    return make([common | row for row in rows], ESTIMATES)
