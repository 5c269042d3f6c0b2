"""One outcome under every defensible choice listed beforehand: a specification curve.

The choices: what is the unit, how its change is estimated, when a subscale counts as answered, whose answers
enter, how cohorts weigh, and which cohorts are in. Every row answers the same question, how much scores
changed, so that a reader sees how far the answer hangs on who analyses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import exact
from .change import pair_contrasts
from .frames import ESTIMATES, make
from .models import by_pair, cohort_mean, imputed, mixed_change, person_changes
from .pooling import pool
from .score import complete

CHOICES = ("unit", "estimator", "answered", "people", "weights", "cohorts")
SUMMARY = ("range of estimates", "specifications above zero", "intervals above zero")
LARGEST_FLIP = 60  # units up to which unequally weighted signs are flipped; beyond, seconds for what t also says


@dataclass(frozen=True)
class _Changes:
    """Changes of one set of units of one outcome."""

    d: np.ndarray
    cohort: np.ndarray
    cluster: np.ndarray

    @property
    def cohorts(self) -> list[str]:
        return list(dict.fromkeys(self.cohort))

    @property
    def clusters(self) -> frozenset[str]:
        return frozenset(self.cluster)


def specifications(
    scores: pd.DataFrame, *, waves: tuple[str, str], roles: tuple[str, ...], level: float, minimum: int, m: int, seed: int
) -> pd.DataFrame:
    """The change of every subscale over all cohorts, under all listed choices.

    unit: pairs, or people (CR2 errors clustered in pairs). estimator: mean with a t interval; mean with the
    inverted exact sign-flip test; Hodges-Lehmann with Pratt's or Wilcoxon's zeros; mixed model (Kenward-Roger);
    multiple imputation. answered: the subscale's minimum of items, or every item. people: complete pairs, those
    with both waves, anybody with a wave. weights: cohorts alike, units alike, or random effects (REML,
    Hartung-Knapp). cohorts: all, or all but one (with the minimum of items only). A choice that makes no difference
    to the data (every question answered; one cohort) is not listed, nor is the sign-flip test with cohorts alike
    beyond 60 units.

    Parameters
    ----------
    scores
        SCORES rows of everybody, of cohorts large enough to be shown (`models.large_cohorts`).
    waves
        The wave before and the wave after; a subscale not asked at both is left out.
    roles
        The two role ids, or none: then the unit is the person, and choices about pairs do not arise.
    level
        Confidence level of every interval.
    minimum
        Smallest number of contributors behind a released number. A specification whose units differ from those
        of another by fewer has no number, because the difference of the two would be theirs; nor is a cohort
        smaller than this left out alone.
    m, seed
        Imputed data sets, and the seed they are drawn with.

    Returns
    -------
    ESTIMATES rows, cohort 'combined', analysis 'multiverse'; the term reads ``choice=option|choice=option``
    (`figures.specification_curve`). `n` counts the units of each specification. The row of the plan, pair (person)
    means pooled over all cohorts by random effects (with one cohort: their mean), has `planned` 'planned', the
    others 'sensitivity'.

    References
    ----------
    Simonsohn, Simmons & Nelson (2020), doi:10.1038/s41562-020-0912-z. Steegen et al. (2016),
    doi:10.1177/1745691616658637.

    Examples
    --------
    >>> from plresearch.frames import SCORES
    >>> rows = [{"cohort": c, "person": f"{c}{k}", "wave": w, "subscale": "role", "score": s, "answered": 4, "items": 4}
    ...         for c in "ab" for k, both in enumerate([(2, 3), (2.5, 4.5), (3, 4.5)]) for w, s in zip(("pre", "post"), both)]
    >>> found = specifications(make(rows, SCORES), waves=("pre", "post"), roles=(), level=0.95, minimum=1, m=5, seed=1)
    >>> found["planned"].value_counts().to_dict()
    {'sensitivity': 17, 'planned': 1}
    """
    rows = []
    for subscale, part in scores.groupby("subscale", sort=False):
        if set(waves) <= set(part["wave"]):
            rows += [{"outcome": subscale} | row for row in _curve(part, waves, roles, level, minimum, m, seed)]
    common = {"cohort": "combined", "analysis": "multiverse", "unit": "points"}
    return make([common | row for row in rows], ESTIMATES)


def _curve(part: pd.DataFrame, waves, roles, level, minimum, m, seed) -> Iterator[dict]:
    """All rows of one outcome; sets of units too near to one shown already are withheld."""
    shown: list[frozenset[str]] = []
    full = part[part["answered"] == part["items"]]
    differs = len(full) < part["score"].notna().sum()
    for answered, rows in (("minimum", part), *([("every item", full)] if differs else [])):
        for unit in ("pair", "person") if roles else ("person",):
            changes = _changes(rows, unit, waves, roles)
            near = any(0 < len(changes.clusters ^ other) < minimum for other in shown) or (
                unit == "person" and bool(roles) and 0 < _singles(rows, changes, waves, roles) < minimum)
            shown += [] if near else [changes.clusters]
            for row in _estimates(changes, unit, answered, "all cohorts", roles, level):
                yield _withheld(row, minimum) if near else row
        yield from _of_everybody(rows, answered, "all cohorts", waves, roles, level, m, seed)
    yield from _without_each(part, waves, roles, level, minimum, m, seed)


def _without_each(part, waves, roles, level, minimum, m, seed) -> Iterator[dict]:
    unit = "pair" if roles else "person"
    everybody = _changes(part, unit, waves, roles)
    for cohort in everybody.cohorts if len(everybody.cohorts) > 1 else ():
        if min(np.sum(everybody.cohort == cohort), np.sum(everybody.cohort != cohort)) < minimum:
            continue
        rest = part[part["cohort"] != cohort]
        yield from _estimates(_changes(rest, unit, waves, roles), unit, "minimum", f"without {cohort}", roles, level)
        yield from _of_everybody(rest, "minimum", f"without {cohort}", waves, roles, level, m, seed)


def _changes(rows: pd.DataFrame, unit: str, waves, roles) -> _Changes:
    if unit == "person":
        people = person_changes(rows, waves=waves)
        return _Changes(people["change"].to_numpy(), people["cohort"].to_numpy(dtype=str), people["cluster"].to_numpy(dtype=str))
    whole = complete(rows, waves=waves, roles=roles)
    if whole.empty:
        return _Changes(np.empty(0), np.empty(0, dtype=str), np.empty(0, dtype=str))
    table = by_pair(whole, waves=waves, roles=roles)
    d = pair_contrasts(table, from_=waves[0], to=waves[1], roles=roles)["average"].to_numpy()
    cohort = table.index.get_level_values("cohort").to_numpy(dtype=str)
    return _Changes(d, cohort, np.array([f"{c}|pair {p}" for c, p in table.index], dtype=str))


def _singles(rows: pd.DataFrame, people: _Changes, waves, roles) -> int:
    """How many people with both waves have no complete pair: what the person's mean adds to the pairs'."""
    return len(people.d) - complete(rows, waves=waves, roles=roles).groupby(["cohort", "person"]).ngroups


def _estimates(changes: _Changes, unit: str, answered: str, cohorts: str, roles, level) -> Iterator[dict]:
    """One row per estimator and weighting that this unit allows."""
    people = "both waves" if unit == "person" else "complete pairs"
    several = len(changes.cohorts) > 1
    clustered = unit == "person" and bool(roles)

    def row(estimator: str, weights: str, method: str, fit: Callable[[], dict], planned: bool = False) -> dict:
        term = _term(unit, estimator, answered, people, weights, cohorts)
        return {"term": term, "n": len(changes.d), "method": method,
                "planned": "planned" if planned else "sensitivity"} | _attempt(fit)

    first = answered == "minimum" and cohorts == "all cohorts" and unit == ("pair" if roles else "person")
    if several and not clustered:
        yield row("mean, t", "random effects", "cohort means pooled by REML, Hartung-Knapp", lambda: _random(changes, level), first)
    for weights in ("cohorts alike", "units alike") if several else ("units alike",):
        alike = weights == "cohorts alike"
        method = f"mean change, cohort fixed, CR2 over {len(changes.clusters)} {'pairs' if roles else 'people'}, t"
        yield row("mean, t", weights, method, lambda alike=alike: _mean(changes, alike, level), first and not several)
        if not clustered and (not alike or len(changes.d) <= LARGEST_FLIP):
            yield row("mean, sign-flip", weights, "mean change, inverted exact sign-flip test",
                      lambda alike=alike: _flipped(changes, alike, level))
    for zeros in ("pratt", "wilcox") if not clustered else ():
        yield row(f"Hodges-Lehmann, {zeros}", "units alike", f"Hodges-Lehmann, inverted exact signed-rank test, zeros by {zeros}",
                  lambda zeros=zeros: _ranked(changes, zeros, level))


def _of_everybody(rows: pd.DataFrame, answered: str, cohorts: str, waves, roles, level, m, seed) -> Iterator[dict]:
    """The models that also take people who lack a wave."""
    options = {"waves": waves, "roles": roles, "level": level}
    tables = [("mixed model", "any wave", mixed_change(rows, **options), "wave change")]
    if roles:
        tables.append(("imputation", "imputed", imputed(rows, **options, m=m, seed=seed), "multiple imputation"))
    unit = "pair" if roles else "person"
    for estimator, people, table, term in tables:
        for found in table[table["term"] == term].to_dict("records"):
            numbers = {k: found[k] for k in ("n", "estimate", "se", "low", "high", "p", "method")}
            yield numbers | {"term": _term(unit, estimator, answered, people, "cohorts alike", cohorts), "planned": "sensitivity"}


def _term(*options: str) -> str:
    return "|".join(f"{choice}={option}" for choice, option in zip(CHOICES, options, strict=True))


def _mean(changes: _Changes, alike: bool, level: float) -> dict:
    test, _ = cohort_mean(changes.d, cohort=changes.cohort, cluster=changes.cluster, alike=alike, level=level)
    return {"estimate": test.estimate, "se": test.se, "low": test.low, "high": test.high, "p": test.p}


def _random(changes: _Changes, level: float) -> dict:
    parts = [changes.d[changes.cohort == c] for c in changes.cohorts]
    usable = [x for x in parts if len(x) > 1 and np.ptp(x) > 0]
    if len(usable) < 2:
        raise ValueError(f"{len(usable)} cohort with a standard error; pooling needs two")
    fit = pool(np.array([x.mean() for x in usable]), np.array([x.var(ddof=1) / len(x) for x in usable]), level=level)
    return {"estimate": fit.estimate, "se": fit.se, "low": fit.low, "high": fit.high, "p": fit.p}


def _flipped(changes: _Changes, alike: bool, level: float) -> dict:
    sizes = {c: int(np.sum(changes.cohort == c)) for c in changes.cohorts}
    weights = np.array([1 / (len(sizes) * sizes[c]) if alike else 1 / len(changes.d) for c in changes.cohort])
    found = exact.sign_flip_interval(changes.d, weights=weights if alike else None, level=level)
    return {"estimate": float(weights @ changes.d), "low": found.low, "high": found.high,
            "p": exact.sign_flip(changes.d, weights=weights if alike else None).p}


def _ranked(changes: _Changes, zeros: str, level: float) -> dict:
    found = exact.hodges_lehmann_interval(changes.d, level=level, zeros=zeros)
    return {"estimate": found.estimate, "low": found.low, "high": found.high, "p": exact.signed_rank(changes.d, zeros=zeros).p}


def _attempt(fit: Callable[[], dict]) -> dict:
    try:
        return fit()
    except ValueError as reason:
        return {"method": f"not defined: {reason}"}


def _withheld(row: dict, minimum: int) -> dict:
    """The row without its numbers: beside another specification it would tell about a few."""
    kept = {k: row[k] for k in ("term", "n", "planned")}
    return kept | {"method": f"withheld: its people differ from those of another specification by fewer than {minimum}"}


def summary(curve: pd.DataFrame) -> pd.DataFrame:
    """How the estimates of a specification curve spread, per outcome.

    Parameters
    ----------
    curve
        Rows of `specifications`, as they may leave (masked rows have no estimate and are not counted).

    Returns
    -------
    ESTIMATES rows, analysis 'multiverse summary': ``range of estimates`` (median; low and high are the smallest
    and largest), ``specifications above zero`` and ``intervals above zero`` (shares of the specifications with
    a number; `n` is that of the largest specification).
    """
    rows = []
    for outcome, part in curve.groupby("outcome", sort=False):
        known = part[part["estimate"].notna()]
        what = f"{len(known)} of {len(part)} specifications have a number"
        common = {"cohort": "combined", "analysis": "multiverse summary", "outcome": outcome, "n": part["n"].max(), "method": what}
        if known.empty:
            rows += [common | {"term": t, "method": f"not defined: {what}"} for t in SUMMARY]
            continue
        values = (
            {"estimate": known["estimate"].median(), "low": known["estimate"].min(), "high": known["estimate"].max(), "unit": "points"},
            {"estimate": float((known["estimate"] > 0).mean()), "unit": "share"},
            {"estimate": float((known["low"] > 0).mean()), "unit": "share"},
        )
        rows += [common | {"term": term} | value for term, value in zip(SUMMARY, values, strict=True)]
    return make(rows, ESTIMATES)
