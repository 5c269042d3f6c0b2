"""Change from one wave to another, with the pair as the unit of inference.

Every function takes SCORES rows of people who have all the waves (`score.complete`) and returns
ESTIMATES rows. Where the study has no roles the unit is the person. Without a control group this is
change, not effect. Rows of any contrast but the primary one end in its id: ``pair mean: followup``.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from . import effects, exact
from .frames import COUNTS, ESTIMATES, Refusal, make, stack

QUANTILES = {"q1": 0.25, "median": 0.5, "q3": 0.75}

def wide(scores: pd.DataFrame, *, waves: tuple[str, ...], roles: tuple[str, ...]) -> pd.DataFrame:
    """Scores of one cohort and subscale side by side: a row per pair (person), a column per (role, wave).

    Parameters
    ----------
    scores
        SCORES rows of one cohort and one subscale, complete over `waves`.
    waves, roles
        Wave ids and role ids; without roles the columns are ``("", wave)``.

    Raises
    ------
    Refusal
        When a pair (person) has a score twice, or lacks one; left-out people are a cleaning decision.
    """
    unit = _unit(roles)
    rows = scores[scores["wave"].isin(waves)]
    double = rows.duplicated([unit, *(["role"] if roles else []), "wave"])
    if double.any():
        first = rows[double].iloc[0]
        raise Refusal(
            f"{int(double.sum())} scores are there twice (first: {unit} {first[unit]}, "
            + (f"role {first['role']}, " if roles else "") + f"wave {first['wave']}); give the rows of one cohort and "
            "one subscale, with one person of each role in a pair"
        )
    table = rows.assign(role=rows["role"] if roles else "").pivot(index=unit, columns=["role", "wave"], values="score")
    table = table.reindex(columns=pd.MultiIndex.from_product([roles or ("",), waves]))
    if table.isna().to_numpy().any() or table.empty:
        lacking = table.index[table.isna().any(axis=1)]
        raise Refusal(
            f"{len(lacking)} of {len(table)} {unit}s lack a score at one of the waves {', '.join(waves)}"
            + (f" (first: {lacking[0]})" if len(lacking) else "")
            + "; keep complete ones with score.complete"
        )
    return table


def pair_contrasts(table: pd.DataFrame, *, from_: str, to: str, roles: tuple[str, ...]) -> pd.DataFrame:
    """The primary contrasts of each pair: average change, each role's change, their difference, change of the gap.

    average = (D + M) / 2, difference = D - M, gap change = |D - M| after minus |D - M| before, where D
    and M are the changes (after minus before) of the first and the second role.
    """
    if not roles:
        return pd.DataFrame({"average": table["", to] - table["", from_]}).round(9)
    first, second = roles
    d = table[first, to] - table[first, from_]
    m = table[second, to] - table[second, from_]
    gap = (table[first, to] - table[second, to]).abs() - (table[first, from_] - table[second, from_]).abs()
    return pd.DataFrame({"average": (d + m) / 2, first: d, second: m, "difference": d - m, "gap change": gap}).round(9)


def average_changes(scores: pd.DataFrame, *, from_: str, to: str, roles: tuple[str, ...]) -> pd.Series:
    """Average change of every pair (person) of one cohort and one subscale."""
    table = wide(scores, waves=(from_, to), roles=roles)
    return pair_contrasts(table, from_=from_, to=to, roles=roles)["average"]


def changes(
    wholes: dict[str, pd.DataFrame], contrasts, *, cohort: str, outcomes: tuple[str, ...], roles: tuple[str, ...],
    level: float, mid: float, minimum: int,
) -> pd.DataFrame:
    """Every contrast of waves in one cohort, for every outcome.

    Parameters
    ----------
    wholes
        Contrast id -> SCORES rows complete over its two waves (`score.complete_by_contrast`).
    contrasts
        The contrasts, the primary one first (`id`, `from_`, `to`, `primary`).
    cohort, outcomes
        The cohort, and the subscales of which each contrast has rows whatever the data.
    roles, level, mid
        As for `change`.
    minimum
        Smallest group a released number may rest on. Two contrasts over nearly the same people would
        give back the scores of those in one only; where such people are fewer than `minimum`, the later contrast
        is withheld for that outcome.

    Returns
    -------
    ESTIMATES rows of `change`. An outcome without two complete pairs (people), or withheld, has rows
    without numbers whose `method` says why. Bounds of an exact interval that are the value of one pair (the smallest
    and the largest change, with few pairs) are withheld where that pair is a smaller group than `minimum`.
    """
    unit, tables, seen = _unit(roles), [], {o: [] for o in outcomes}
    for contrast in contrasts:
        name = "" if contrast.primary else contrast.id
        for outcome in outcomes:
            part = wholes[contrast.id]
            part = part[(part["cohort"] == cohort) & (part["subscale"] == outcome)]
            units = set(part[unit])
            apart = _too_near(units, seen[outcome], minimum, people=len(roles) or 1)
            if apart:
                reason = f"withheld: fewer than {minimum} people are in this contrast or in '{apart}', but not in both"
            elif len(units) < 2:
                reason = f"not defined: {len(units)} {unit}s with a score at {contrast.from_} and {contrast.to}; two are needed"
            else:
                found = change(part, from_=contrast.from_, to=contrast.to, roles=roles, level=level, mid=mid, contrast=name)
                d = average_changes(part, from_=contrast.from_, to=contrast.to, roles=roles).to_numpy()
                tables.append(_without_single_values(found, d, minimum, people=len(roles) or 1))
                seen[outcome].append((contrast.id, units))
                continue
            common = {"cohort": cohort, "analysis": "change", "outcome": outcome, "n": len(units), "method": reason}
            tables.append(make([common | {"term": _named(t, name), "unit": u} for t, u in _terms(roles).items()], ESTIMATES))
    return stack(tables, ESTIMATES)


def _too_near(units: set, seen: list, minimum: int, *, people: int) -> str:
    """Id of an earlier contrast whose people differ from these by 1 to minimum - 1, or nothing."""
    for other, earlier in seen:
        if any(0 < people * len(rest) < minimum for rest in (units - earlier, earlier - units)):
            return other
    return ""


def _without_single_values(found: pd.DataFrame, d: np.ndarray, minimum: int, *, people: int) -> pd.DataFrame:
    """The rows without the bounds of exact intervals that give away the change of too few people."""
    by_inversion = found["term"].str.contains("Hodges-Lehmann|sign-flip interval", regex=True)
    for at, row in found[by_inversion].iterrows():
        extreme = [e for e in (row["low"], row["high"]) if min(abs(e - d.min()), abs(e - d.max())) < effects.SAME]
        if any(people * int((np.abs(d - e) < effects.SAME).sum()) < minimum for e in extreme):
            found.loc[at, ["low", "high"]] = np.nan
            found.loc[at, "method"] += "; bounds withheld: an end is the change of one unit"
    return found


def _named(term: str, contrast: str) -> str:
    return f"{term}: {contrast}" if contrast else term


def _terms(roles: tuple[str, ...]) -> dict[str, str]:
    """Term -> unit of every row of `change`."""
    unit = _unit(roles)
    points = (f"{unit} mean", f"{unit} mean (sign-flip interval)", "Hodges-Lehmann", *roles,
              *([" minus ".join(roles)] if roles else []))
    shares = ("probability of improvement", "share better", "share same", "share worse", "share at least MID")
    return (dict.fromkeys(points, "points") | dict.fromkeys(("d_av", "d_z", "d_rm", "SMCR"), "SD")
            | {"rank-biserial": "coefficient"} | dict.fromkeys(shares, "share")
            | {"leave-one-out": "points", "leave-one-out sign": "share"})


def change(
    scores: pd.DataFrame, *, from_: str, to: str, roles: tuple[str, ...], level: float, mid: float, contrast: str = ""
) -> pd.DataFrame:
    """Change of every subscale: means, exact tests, effect sizes, shares, all over pairs.

    Parameters
    ----------
    scores
        SCORES rows, complete over both waves.
    from_, to
        Wave ids; change is `to` minus `from_`, in points of the response scale.
    roles
        The two role ids, or none where nobody is paired.
    level
        Confidence level of every interval.
    mid
        Minimal important difference, in points.
    contrast
        Id that ends every term, for a contrast that is not the primary one.

    Returns
    -------
    ESTIMATES rows, analysis 'change'. Terms: ``pair mean`` (t interval, exact sign-flip p), ``pair mean
    (sign-flip interval)``, ``Hodges-Lehmann`` (exact signed-rank p and interval, Pratt's zeros), one mean
    per role, ``<role> minus <role>``, ``d_av``, ``d_z``, ``d_rm``, ``SMCR``, ``rank-biserial``, ``probability of
    improvement``, ``share better | same | worse``, ``share at least MID``, ``leave-one-out`` (range of the mean without any one
    unit; `n` is 1) and ``leave-one-out sign``. Without roles ``pair`` reads ``person``.

    Raises
    ------
    Refusal
        When fewer than two pairs (people) are complete: one cannot show a change.

    Examples
    --------
    Two pairs whose means rise by 0.5 and by 1:

    >>> from plresearch.frames import SCORES
    >>> rows = [{"cohort": "c", "person": f"{r[0]}{p}", "pair": p, "role": r, "wave": w, "subscale": "ethos", "score": s}
    ...         for p, r, w, s in [("1", "doctor", "pre", 3), ("1", "manager", "pre", 3), ("1", "doctor", "post", 4),
    ...                            ("1", "manager", "post", 3), ("2", "doctor", "pre", 2), ("2", "manager", "pre", 3),
    ...                            ("2", "doctor", "post", 3), ("2", "manager", "post", 4)]]
    >>> found = change(make(rows, SCORES), from_="pre", to="post", roles=("doctor", "manager"), level=0.95, mid=0.5)
    >>> found.set_index("term")["estimate"][["pair mean", "doctor", "manager", "doctor minus manager"]].tolist()
    [0.75, 1.0, 0.5, 0.5]
    """
    rows = []
    for (cohort, subscale), part in scores.groupby(["cohort", "subscale"], sort=False):
        if not {from_, to} <= set(part["wave"]):
            continue
        table = wide(part, waves=(from_, to), roles=roles)
        if len(table) < 2:
            raise Refusal(f"{cohort}, {subscale}: one complete {_unit(roles)} cannot show change; two are needed")
        common = {"cohort": cohort, "analysis": "change", "outcome": subscale, "n": len(table), "unit": "points"}
        rows += [common | row | {"term": _named(row["term"], contrast)}
                 for row in _change_rows(table, from_, to, roles, level, mid)]
    return make(rows, ESTIMATES)


def _unit(roles: tuple[str, ...]) -> str:
    return "pair" if roles else "person"


def _change_rows(table, from_, to, roles, level, mid) -> list[dict]:
    unit = _unit(roles)
    contrasts = pair_contrasts(table, from_=from_, to=to, roles=roles)
    d = contrasts["average"].to_numpy()
    before = table.xs(from_, axis=1, level=1).mean(axis=1).to_numpy()
    after = table.xs(to, axis=1, level=1).mean(axis=1).to_numpy()
    rows = [mean_row(d, f"{unit} mean", level=level, what=f"mean change per {unit}")]
    interval = exact.sign_flip_interval(d, level=level)
    rows.append({
        "term": f"{unit} mean (sign-flip interval)", "estimate": float(np.mean(d)), "low": interval.low, "high": interval.high,
        "p": exact.sign_flip(d).p, "method": f"mean change per {unit}; interval by inverting the exact sign-flip test",
    })
    rows.append(_hodges_lehmann_row(d, unit, level))
    for role in roles:
        rows.append(mean_row(contrasts[role].to_numpy(), role, level=level, what=f"mean change of the {role}s"))
    if roles:
        rows.append(mean_row(
            contrasts["difference"].to_numpy(), f"{roles[0]} minus {roles[1]}", level=level,
            what=f"difference of the partners' changes, {roles[0]} minus {roles[1]}",
        ))
    return rows + _effect_rows(before, after, d, level) + _share_rows(d, mid, level) + _leave_one_out(d)


def mean_row(d: np.ndarray, term: str, *, level: float, what: str) -> dict:
    """Mean of d over units: t interval, exact sign-flip p, and the smallest p attainable at this n."""
    test, row = exact.sign_flip(d), interval_row(d, term, level=level, what=what)
    note = f"; exact sign-flip test, two-sided, smallest attainable p {test.smallest_p:.3g}"
    return row | {"p": test.p, "method": row["method"] + note}


def interval_row(d: np.ndarray, term: str, *, level: float, what: str) -> dict:
    """Mean of d over units with its t interval; where all values are equal `method` says that it has no width."""
    found = effects.t_interval(d, level=level)
    note = "" if found.se > 0 else "; all values are equal, so the interval has no width"
    return {"term": term, "estimate": found.mean, "se": found.se, "low": found.low, "high": found.high,
            "method": f"{what}; t interval{note}"}


def _hodges_lehmann_row(d: np.ndarray, unit: str, level: float) -> dict:
    test = exact.signed_rank(d)
    interval = exact.hodges_lehmann_interval(d, level=level)
    return {
        "term": "Hodges-Lehmann", "estimate": interval.estimate, "low": interval.low, "high": interval.high, "p": test.p,
        "method": f"median of Walsh averages of the changes per {unit}; exact signed-rank test with Pratt's zeros "
                  f"({test.n_zero} of {test.n} unchanged), two-sided, and its inversion; smallest attainable p "
                  f"{test.smallest_p:.3g}",
    }


def _effect_rows(before: np.ndarray, after: np.ndarray, d: np.ndarray, level: float) -> list[dict]:
    """Standardised changes; one that the data do not define has a row without a number that says why."""
    measures = (
        ("d_av", lambda: effects.d_av(before, after, level=level),
         "standardised by the average SD of both waves, Bonett interval"),
        ("d_z", lambda: effects.d_z(d, level=level), "standardised by the SD of the changes, non-central t interval"),
        ("d_rm", lambda: effects.d_rm(before, after, level=level), "standardised by the SD of the changes times sqrt(2(1 - r))"),
        ("SMCR", lambda: effects.smcr(before, after, level=level), "standardised by the SD before, Hedges-corrected"),
    )
    rows = []
    for term, measure, method in measures:
        try:
            found = measure()
        except ValueError as reason:
            rows.append({"term": term, "unit": "SD", "method": f"not defined: {reason}"})
            continue
        rows.append({"term": term, "estimate": found.value, "se": math.nan if found.se is None else found.se, "low": found.low,
                     "high": found.high, "method": method, "unit": "SD"})
    rows.append({
        "term": "rank-biserial", "unit": "coefficient", "estimate": exact.rank_biserial(d).value,
        "method": "matched-pairs rank-biserial correlation, Pratt's zeros",
    })
    return rows


def _share_rows(d: np.ndarray, mid: float, level: float) -> list[dict]:
    found = effects.probability_of_improvement(d, level=level)
    reached = _reached(d, mid, level)
    shares = (
        ("share better", found.better, "share whose score rose"), ("share same", found.same, "share whose score stayed"),
        ("share worse", found.worse, "share whose score fell"),
        ("share at least MID", reached, f"share whose change reaches the minimal important difference of {mid:g} points"),
    )
    return [
        {"term": "probability of improvement", "unit": "share", "estimate": found.value, "method": "P(d > 0) + P(d = 0) / 2"},
        *({"term": term, "unit": "share", "estimate": share.share, "low": share.low, "high": share.high,
           "method": f"{method}, Wilson interval"} for term, share, method in shares),
    ]


def _reached(d: np.ndarray, threshold: float, level: float) -> effects.Share:
    """Share of the changes that are at least the threshold."""
    return effects.probability_of_improvement(np.where(d >= threshold - effects.SAME, 1.0, -1.0), level=level).better


def _leave_one_out(d: np.ndarray) -> list[dict]:
    """Range of the mean without any one unit, and whether it keeps its sign.

    Mean, n and an end of the range give back the value of one unit, so the range rests on one: its n is 1.
    """
    means = (d.sum() - d) / (len(d) - 1)
    same = np.mean(np.sign(means.round(9)) == np.sign(np.round(d.mean(), 9)))
    return [
        {"term": "leave-one-out", "n": 1, "estimate": float(np.mean(d)), "low": float(means.min()), "high": float(means.max()),
         "method": "mean change; low and high are its smallest and largest value when one unit is left out; n is 1, since "
                   "an end gives back the value of one unit"},
        {"term": "leave-one-out sign", "unit": "share", "estimate": float(same),
         "method": "share of units without which the mean change keeps its sign"},
    ]


def important_change(
    scores: pd.DataFrame, used: pd.DataFrame, *, from_: str, to: str, roles: tuple[str, ...], level: float
) -> pd.DataFrame:
    """Thresholds of an important change taken from the data, and how many units reach them.

    0.5 SD before and 1 SEM (SD before times sqrt(1 - reliability)) stand beside the plan's minimal important
    difference; the smallest reliable change is 1.96 sqrt(2) SEM (Jacobson & Truax 1991). The SD is that
    of all people given, at the wave before.

    Parameters
    ----------
    scores
        SCORES rows, complete over both waves.
    used
        Rows of `score.reliability_used`: one reliability per cohort and outcome, and where it comes from.

    Returns
    -------
    ESTIMATES rows, analysis 'change'. In points over people: ``MID half SD``, ``MID one SEM``, ``reliable change``;
    shares of pairs (people): ``share at least half SD``, ``share at least one SEM``. Where the reliability or
    the SD is not defined, the rows say so.

    References
    ----------
    Norman, Sloan & Wyrwich (2003), doi:10.1097/01.MLR.0000062554.74615.4C. Jacobson & Truax (1991),
    doi:10.1037/0022-006X.59.1.12.
    """
    rows = []
    for (cohort, outcome), part in scores.groupby(["cohort", "subscale"], sort=False):
        d = average_changes(part, from_=from_, to=to, roles=roles).to_numpy()
        before, after = _people(part, from_, to)
        reliability, source = _reliability(used, cohort, outcome)
        common = {"cohort": cohort, "analysis": "change", "outcome": outcome}
        thresholds = (
            ("MID half SD", "share at least half SD", lambda: effects.minimal_important_difference(
                _sd(before), reliability=0.0).half_sd, f"half the SD at {from_}"),
            ("MID one SEM", "share at least one SEM", lambda: effects.minimal_important_difference(
                _sd(before), reliability=_known(reliability, source)).one_sem,
             f"standard error of measurement at {from_}; reliability: {source}"),
            ("reliable change", "", lambda: effects.reliable_change(
                before, after, reliability=_known(reliability, source)).threshold,
             f"smallest reliable change of a person, 1.96 sqrt(2) SEM; reliability: {source}"),
        )
        for term, share_term, threshold, method in thresholds:
            rows += [common | row for row in _threshold_rows(d, len(before), term, share_term, threshold, method, level)]
    return make(rows, ESTIMATES)


def _threshold_rows(d, people: int, term: str, share_term: str, threshold, method: str, level: float) -> list[dict]:
    row, share = {"term": term, "n": people, "unit": "points"}, {"term": share_term, "n": len(d), "unit": "share"}
    try:
        points = threshold()
    except ValueError as reason:
        undefined = {"method": f"not defined: {reason}"}
        return [row | undefined] + ([share | undefined] if share_term else [])
    rows = [row | {"estimate": points, "method": method}]
    if share_term:
        found = _reached(d, points, level)
        rows.append(share | {"estimate": found.share, "low": found.low, "high": found.high,
                             "method": f"share whose change reaches {points:.3g} points ({method}), Wilson interval"})
    return rows


def reliable_counts(scores: pd.DataFrame, used: pd.DataFrame, *, from_: str, to: str) -> pd.DataFrame:
    """How many people changed by more than measurement error would produce (Jacobson & Truax 1991).

    Returns
    -------
    COUNTS rows, analysis 'reliable change', category ``<subscale>|improved``, ``|unchanged`` and ``|worsened``. A
    subscale whose reliability or SD before is not defined has no rows.
    """
    rows = []
    for (cohort, outcome), part in scores.groupby(["cohort", "subscale"], sort=False):
        before, after = _people(part, from_, to)
        try:
            found = effects.reliable_change(before, after, reliability=_reliability(used, cohort, outcome)[0])
        except ValueError:
            continue  # the row 'reliable change' of important_change says why
        rows += [{"cohort": cohort, "analysis": "reliable change", "category": f"{outcome}|{fate}", "n": n, "of": found.n}
                 for fate, n in (("improved", found.improved), ("unchanged", found.unchanged), ("worsened", found.worsened))]
    return make(rows, COUNTS)


def _people(part: pd.DataFrame, from_: str, to: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the same people before and after, each person for himself."""
    table = wide(part, waves=(from_, to), roles=())
    return table["", from_].to_numpy(), table["", to].to_numpy()


def _reliability(used: pd.DataFrame, cohort: str, outcome: str) -> tuple[float, str]:
    row = used[(used["cohort"] == cohort) & (used["outcome"] == outcome) & (used["term"] == "reliability used")]
    return (float(row["estimate"].iloc[0]), row["method"].iloc[0]) if len(row) else (math.nan, "none given")


def _known(reliability: float, source: str) -> float:
    if math.isnan(reliability):
        raise ValueError(f"no reliability ({source.removeprefix('not defined: ')})")
    return reliability


def _sd(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def difference_in_change(
    programme: pd.DataFrame, comparison: pd.DataFrame, *, from_: str, to: str, roles: tuple[str, ...], level: float
) -> pd.DataFrame:
    """Mean change of the programme's pairs minus that of the comparison pairs, tested by regrouping pairs.

    The pairs (people) of all cohorts of a side are taken together, each counting alike. Exact permutation
    test of the difference of means, two-sided, and its inversion; the groups were not made by lot, so a
    difference can still be one between people.

    Parameters
    ----------
    programme, comparison
        SCORES rows, complete over both waves, of the programme's cohorts and of the comparison cohorts.

    Returns
    -------
    ESTIMATES rows, cohort 'combined', analysis 'comparison', terms ``change, programme``, ``change, comparison`` (t
    intervals) and ``difference in change``, whose `n` counts the smaller side. An outcome that the comparison
    cohorts lack has no rows; with fewer than two pairs on a side the rows say so.

    References
    ----------
    Pitman (1937), doi:10.2307/2984124.
    """
    rows, unit = [], _unit(roles)
    for outcome, part in programme.groupby("subscale", sort=False):
        other = comparison[comparison["subscale"] == outcome]
        if not len(other):
            continue
        sides = [_all_changes(side, from_=from_, to=to, roles=roles) for side in (part, other)]
        common = {"cohort": "combined", "analysis": "comparison", "outcome": outcome, "unit": "points"}
        names, smaller = ("change, programme", "change, comparison"), min(map(len, sides))
        if smaller < 2:
            reason = f"not defined: {len(sides[0])} programme and {len(sides[1])} comparison {unit}s; two of each are needed"
            rows += [common | {"term": t, "n": smaller, "method": reason} for t in (*names, "difference in change")]
            continue
        rows += [common | interval_row(d, term, level=level, what=f"mean change per {unit}") | {"n": len(d)}
                 for term, d in zip(names, sides)]
        test, found = exact.two_sample_permutation(*sides), exact.difference_interval(*sides, level=level)
        listed = "" if test.exact and found.exact else " (on a fine grid)"
        rows.append(common | {
            "term": "difference in change", "n": smaller, "estimate": found.estimate, "low": found.low, "high": found.high,
            "p": test.p, "method": f"difference of mean changes, {len(sides[0])} programme and {len(sides[1])} comparison "
            f"{unit}s; permutation of {unit}s between the groups, two-sided, and its inversion{listed}; smallest attainable p "
            f"{test.smallest_p:.3g}; n is the smaller group",
        })
    return make(rows, ESTIMATES)


def _all_changes(scores: pd.DataFrame, *, from_: str, to: str, roles: tuple[str, ...]) -> np.ndarray:
    """Average change of every pair (person) of one subscale, cohort after cohort."""
    parts = [average_changes(one, from_=from_, to=to, roles=roles).to_numpy() for _, one in scores.groupby("cohort", sort=False)]
    return np.concatenate(parts)


def combined_change(scores: pd.DataFrame, *, from_: str, to: str, roles: tuple[str, ...], level: float) -> pd.DataFrame:
    """Change over all pairs of all cohorts, every cohort counting alike: exact sign-flip test and its inversion.

    The estimand is the mean of the cohorts' mean changes: a pair weighs 1 / (k n) in a cohort of n pairs
    among k cohorts.

    Returns
    -------
    ESTIMATES rows, cohort 'combined', analysis 'change', term ``<unit> mean, all cohorts``.
    """
    rows = []
    for subscale, part in scores.groupby("subscale", sort=False):
        if not {from_, to} <= set(part["wave"]):
            continue
        changes = {
            cohort: average_changes(one, from_=from_, to=to, roles=roles).to_numpy()
            for cohort, one in part.groupby("cohort", sort=False)
        }
        d = np.concatenate(list(changes.values()))
        weights = np.concatenate([np.full(len(c), 1 / (len(changes) * len(c))) for c in changes.values()])
        test = exact.sign_flip(d, weights=weights)
        interval = exact.sign_flip_interval(d, weights=weights, level=level)
        rows.append({
            "cohort": "combined", "analysis": "change", "outcome": subscale, "term": f"{_unit(roles)} mean, all cohorts",
            "n": len(d), "estimate": float(weights @ d), "low": interval.low, "high": interval.high, "p": test.p,
            "unit": "points", "method": f"mean of {len(changes)} cohort means; sign-flip test over all {_unit(roles)}s, "
                      "two-sided, and its inversion" + ("" if test.exact and interval.exact else " (on a fine grid)"),
        })
    return make(rows, ESTIMATES)


def spread_before(scores: pd.DataFrame, *, wave: str) -> dict[str, float]:
    """Standard deviation of the scores at one wave, per subscale, over all people given (scale points)."""
    at_wave = scores[scores["wave"] == wave]
    return {subscale: float(np.std(part["score"], ddof=1)) for subscale, part in at_wave.groupby("subscale", sort=False)}


def descriptives(scores: pd.DataFrame, *, waves: tuple[str, ...], roles: tuple[str, ...], level: float) -> pd.DataFrame:
    """Mean, SD and quartiles of the scores by role and wave, over the same complete pairs (people) at every wave.

    Quantiles are of type 7 (Hyndman & Fan 1996, doi:10.1080/00031305.1996.10473566). A quartile of few people is one
    person's score, so `n` of a quantile counts the people on its smaller side, not all.

    Returns
    -------
    ESTIMATES rows, analysis 'descriptives', terms ``<role>|<wave>|mean`` (t interval over people of that
    role), ``|sd``, ``|q1``, ``|median`` and ``|q3``; without roles the role reads ``all``.
    """
    rows = []
    for (cohort, subscale), part in scores.groupby(["cohort", "subscale"], sort=False):
        asked = tuple(w for w in waves if w in set(part["wave"]))
        table = wide(part, waves=asked, roles=roles)
        for role in roles or ("",):
            for wave in asked:
                common = {"cohort": cohort, "analysis": "descriptives", "outcome": subscale, "unit": "points"}
                found = _description(table[role, wave].to_numpy(), f"{role or 'all'}|{wave}", level)
                rows += [common | row for row in found]
    return make(rows, ESTIMATES)


def _description(x: np.ndarray, name: str, level: float) -> list[dict]:
    n = len(x)
    if n > 1:
        mean = interval_row(x, f"{name}|mean", level=level, what="mean")
        spread = {"estimate": _sd(x), "method": "standard deviation"}
    else:
        mean = {"term": f"{name}|mean", "estimate": float(x[0]), "method": "mean of one person, no interval"}
        spread = {"method": "not defined: one person has no standard deviation"}
    rows = [mean | {"n": n}, spread | {"term": f"{name}|sd", "n": n}]
    for term, share in QUANTILES.items():
        rows.append({"term": f"{name}|{term}", "n": max(1, int(n * min(share, 1 - share))),
                     "estimate": float(np.quantile(x, share)),
                     "method": f"quantile {share:g}, type 7, of {n} people; n counts those on its smaller side"})
    return rows


def adjusted(scores: pd.DataFrame, *, from_: str, to: str, roles: tuple[str, ...], seed: int) -> pd.DataFrame:
    """Sign-flip p of every subscale's mean change, adjusted over the subscales by step-down maxT.

    The signs of whole pairs are flipped, so that the correlation between subscales is kept (Westfall &
    Young 1993). Only pairs with every subscale enter the test, and `n` counts them; the estimate is that of all
    pairs of the subscale, since the means of two nearly equal groups would give back the scores of the rest.

    Returns
    -------
    ESTIMATES rows, analysis 'change', term 'maxT', one per subscale; `p` is the adjusted p.
    """
    rows = []
    for cohort, part in scores.groupby("cohort", sort=False):
        averages = {
            subscale: average_changes(one, from_=from_, to=to, roles=roles)
            for subscale, one in part.groupby("subscale", sort=False) if {from_, to} <= set(one["wave"])
        }
        together = pd.DataFrame(averages).dropna()
        if len(together) < 2:
            continue
        found = exact.max_t(together.to_numpy(), seed=seed)
        listing = "all sign patterns" if found.exact else f"{found.flips} random sign patterns"
        for subscale, p in zip(together, found.p_adjusted):
            rows.append({
                "cohort": cohort, "analysis": "change", "outcome": subscale, "term": "maxT", "n": len(together),
                "estimate": float(averages[subscale].mean()), "p": p, "unit": "points",
                "method": f"step-down maxT over {together.shape[1]} subscales, {listing}; p from the {_unit(roles)}s with "
                          "all of them",
            })
    return make(rows, ESTIMATES)
