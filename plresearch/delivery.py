"""How the programme ran: contracts, meetings, shadowing, reflections, workshops and the forum.

Functions take EVENTS rows and return COUNTS or ESTIMATES; `dose` gives one pair's share and stays inside.
A kind may be specified further: 'shadowing_chairman' is a visit to somebody other than the partner,
'contract_confidentiality' a term that the contract covers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from . import exact, robust
from .change import pair_contrasts, wide
from .frames import COUNTS, DOSE, ESTIMATES, make

HELD = ("done", "signed")  # statuses that mean that it took place
LENGTHY = ("meeting", "shadowing", "workshop", "forum")  # kinds that take recorded time
TESTED_FROM = 12  # pairs from which a dose-response association gets a p value


def _base(events: pd.DataFrame) -> pd.DataFrame:
    """The events with `kind` cut to its first word and what it was specified by in `detail`."""
    return events.assign(kind=events["kind"].str.replace("_.*", "", regex=True),
                         detail=events["kind"].str.replace("^[^_]*_?", "", regex=True))


def _held(events: pd.DataFrame) -> pd.DataFrame:
    return events[events["status"].isin(HELD)]


def _cohort(events: pd.DataFrame) -> str:
    return events["cohort"].iloc[0] if len(events) else ""


# --------------------------------------------------------------------------------------- what was done

def completion(
    events: pd.DataFrame, people: pd.DataFrame, *, roles: Sequence[str], meetings_target: float, shadowing_target: float
) -> pd.DataFrame:
    """What was done of what was planned: contracts, meetings, shadowing visits, reflections, sessions.

    Parameters
    ----------
    events
        EVENTS rows of one cohort. A shadowing row names the visitor.
    people
        PEOPLE rows: everyone who started.
    roles
        Role ids; visits are also counted by the role of the visitor.
    meetings_target, shadowing_target
        Meetings and shadowing visits planned per pair. Visits beyond the target are not counted twice:
        a pair contributes at most its target.

    Returns
    -------
    COUNTS rows, analysis 'delivery'; `n` done, `of` planned. ``contract`` pairs; ``contract term|<term>`` of
    the signed contracts; ``meetings``; ``shadowing``, ``shadowing|<role>`` and ``both ways`` (pairs in which
    each visited the other's work); ``visited|<who>`` people who also shadowed somebody else; ``reflections``
    people who wrote at least one; ``workshops`` and ``forum`` places taken of places offered; ``came again``
    and ``came again|<role>`` people who returned to the forum of those who came; ``length recorded`` of the
    events that take time.

    Examples
    --------
    >>> from plresearch.frames import EVENTS, PEOPLE
    >>> rows = [{"cohort": "c", "pair": "P1", "kind": "meeting", "date": "2026-01-05", "status": "done"}] * 2
    >>> people = make([{"person": "D1", "pair": "P1", "role": "doctor"}, {"person": "M1", "pair": "P1", "role": "manager"}], PEOPLE)
    >>> done = completion(make(rows, EVENTS), people, roles=("doctor", "manager"), meetings_target=6, shadowing_target=2)
    >>> done.set_index("category").loc["meetings", ["n", "of"]].tolist()
    [2, 6]
    """
    known = _base(events)
    held = _held(known)
    pairs = people.loc[people["pair"] != "", "pair"].nunique()
    rows = [*_contracts(held, pairs)]
    if meetings_target:
        per_pair = held[held["kind"] == "meeting"].groupby("pair").size().clip(upper=meetings_target)
        rows.append(("meetings", int(per_pair.sum()), round(pairs * meetings_target)))
    rows += _visits(held[held["kind"] == "shadowing"], people, roles, pairs, shadowing_target)
    rows.append(("reflections", held[held["kind"] == "reflection"]["person"].nunique(), len(people)))
    for category, kind in (("workshops", "workshop"), ("forum", "forum")):
        offered = known[(known["kind"] == kind) & (known["status"] != "cancelled")]
        rows.append((category, int(offered["status"].isin(HELD).sum()), len(offered)))
    rows += _returned(held[held["kind"] == "forum"], people, roles)
    lengthy = held[held["kind"].isin(LENGTHY)]
    rows.append(("length recorded", int(lengthy["minutes"].notna().sum()), len(lengthy)))
    return make([{"cohort": _cohort(events), "analysis": "delivery", "category": c, "n": n, "of": of} for c, n, of in rows if of], COUNTS)


def _contracts(held: pd.DataFrame, pairs: int) -> list[tuple[str, int, int]]:
    """Pairs that signed, and of those the ones whose contract covers each term."""
    contracts = held[held["kind"] == "contract"]
    signed = contracts["pair"].nunique()
    terms = contracts[contracts["detail"] != ""].groupby("detail")["pair"].nunique()
    return [("contract", signed, pairs), *((f"contract term|{t}", int(n), signed) for t, n in terms.items())]


def _visits(visits: pd.DataFrame, people: pd.DataFrame, roles: Sequence[str], pairs: int, target: float) -> list[tuple[str, int, int]]:
    """Visits to the partner of those planned, in all and by the visitor's role; pairs that visited both ways;
    others visited."""
    elsewhere = visits[visits["detail"] != ""].groupby("detail")["person"].nunique()
    others = [(f"visited|{who}", int(n), len(people)) for who, n in elsewhere.items()]
    if not target:
        return others
    visits = visits[visits["detail"] == ""]
    rows = [("shadowing", int(visits.groupby("pair").size().clip(upper=target).sum()), round(pairs * target))]
    visitor = visits["person"].map(people.set_index("person")["role"])
    went = {role: visits[visitor == role].groupby("pair").size() for role in roles}
    each = target / max(len(roles), 1)
    rows += [(f"shadowing|{role}", int(n.clip(upper=each).sum()), round(pairs * each)) for role, n in went.items()]
    if roles:
        rows.append(("both ways", len(set.intersection(*(set(n.index) - {""} for n in went.values()))), pairs))
    return rows + others


def _returned(came: pd.DataFrame, people: pd.DataFrame, roles: Sequence[str]) -> list[tuple[str, int, int]]:
    """People who came to the forum again, of those who came at all; guests are not followed."""
    times = came[came["person"] != ""].groupby("person")["date"].nunique()
    rows = [("came again", int((times > 1).sum()), len(times))]
    role = times.index.map(people.set_index("person")["role"].to_dict().get)
    return rows + [(f"came again|{r}", int((times[role == r] > 1).sum()), int((role == r).sum())) for r in roles]


def timeline(events: pd.DataFrame) -> pd.DataFrame:
    """Events that took place, by month and kind (a workshop or forum session counts once, not per person).

    The terms of one contract count as one contract.

    Returns
    -------
    COUNTS rows, analysis 'timeline', category ``YYYY-MM|kind``.
    """
    held = _held(_base(events[events["date"] != ""]))
    sessions, contracts = held["kind"].isin(("workshop", "forum")), held["kind"].eq("contract")
    once = pd.concat([
        held[~sessions & ~contracts], held[sessions].drop_duplicates(["kind", "date"]), held[contracts].drop_duplicates("pair"),
    ])
    seen = once.groupby([once["cohort"], once["date"].str.slice(0, 7), "kind"]).size()
    total = once.groupby("kind").size()
    return make(
        [{"cohort": cohort, "analysis": "timeline", "category": f"{month}|{kind}", "n": int(n), "of": int(total[kind])}
         for (cohort, month, kind), n in seen.items()],
        COUNTS,
    )


def hours(events: pd.DataFrame, people: pd.DataFrame, *, roles: Sequence[str], level: float) -> pd.DataFrame:
    """Hours each person gave to the programme: own events plus the pair's meetings, mean and t interval by
    role.

    Parameters
    ----------
    events
        EVENTS rows of one cohort; `minutes` may be missing for events whose length was not recorded
        (contracts, reflections), which then count as nothing: a lower bound.
    people
        PEOPLE rows: everyone who started.
    roles
        Role ids to report; without roles everybody together as ``all``.

    Returns
    -------
    ESTIMATES rows, analysis 'delivery', outcome 'hours' (all kinds together) and each kind that took time,
    terms ``hours|<role>``, in hours per person.
    """
    held = _held(_base(events))
    rows = []
    for outcome, part in (("hours", held), *((k, held[held["kind"] == k]) for k in LENGTHY)):
        if not part["minutes"].fillna(0).any():
            continue
        shared = part[part["person"] == ""].groupby("pair")["minutes"].sum()
        own = part[part["person"] != ""].groupby("person")["minutes"].sum()
        each = (people["pair"].map(shared).fillna(0) + people["person"].map(own).fillna(0)) / 60
        for role in roles or ("all",):
            row = _mean(each[people["role"].eq(role) | (role == "all")].to_numpy(float), level=level)
            rows.append(row | {"cohort": _cohort(events), "analysis": "delivery", "outcome": outcome, "term": f"hours|{role}",
                               "unit": "hours", "method": f"recorded hours per person: own events and the pair's meetings; {row['method']}"})
    return make(rows, ESTIMATES)


def _mean(x: np.ndarray, *, level: float, bounds: tuple[float, float] = (0.0, math.inf)) -> dict:
    """Mean of what cannot leave `bounds`, with its t interval cut there."""
    if len(x) < 2:
        return {"n": len(x), "method": f"not defined: {len(x)} values, a mean with an interval needs two"}
    se = float(np.std(x, ddof=1) / math.sqrt(len(x)))
    half = float(stats.t.ppf((1 + level) / 2, len(x) - 1)) * se
    low, high = max(float(x.mean()) - half, bounds[0]), min(float(x.mean()) + half, bounds[1])
    return {"n": len(x), "estimate": float(x.mean()), "se": se, "low": low, "high": high, "method": "mean, t interval"}


def forum(events: pd.DataFrame, people: pd.DataFrame, *, by: str = "role") -> pd.DataFrame:
    """Attendance at each forum session by group.

    Parameters
    ----------
    by
        'role', or 'post' for the grade or post that the roster gives. People who are not on the roster are
        guests, with an empty group.

    Returns
    -------
    COUNTS rows, analysis 'forum', category ``<date>|<group>``: came, of those invited.
    """
    known = _base(events)
    sessions = known[(known["kind"] == "forum") & (known["status"] != "cancelled")]
    group = sessions["person"].map(people.set_index("person")[by]).fillna("")
    return make([
        {"cohort": cohort, "analysis": "forum", "category": f"{date}|{who}", "n": int(part["status"].isin(HELD).sum()), "of": len(part)}
        for (cohort, date, who), part in sessions.groupby([sessions["cohort"], sessions["date"], group])
    ], COUNTS)


def topics(raised: pd.DataFrame) -> pd.DataFrame:
    """Topics of the forum: raised, and resolved of those raised; one that is resolved was raised.

    Parameters
    ----------
    raised
        TOPICS rows; a topic is known by its words, capitals and spaces apart.

    Returns
    -------
    COUNTS rows, analysis 'forum topics', categories ``raised`` and ``resolved``.
    """
    words = raised["topic"].str.casefold().str.split().str.join(" ")
    total, done = words.nunique(), words[raised["status"] == "resolved"].nunique()
    rows = [{"category": "raised", "n": total, "of": total}, {"category": "resolved", "n": done, "of": total}]
    return make([{"cohort": _cohort(raised), "analysis": "forum topics"} | row for row in rows if total], COUNTS)


# ------------------------------------------------------------------------------- dose, pair by pair

def dose(
    events: pd.DataFrame, people: pd.DataFrame, *, roles: Sequence[str], meetings_target: float, shadowing_target: float
) -> pd.DataFrame:
    """What each pair (each person where nobody is paired) received: component by component. It stays inside.

    Parameters
    ----------
    events, people, roles, meetings_target, shadowing_target
        As in `completion`, of one or more cohorts with the same targets.

    Returns
    -------
    DOSE rows: unit, component, planned, done and recorded minutes. Components are contract, meetings,
    ``shadowing|<role of the visitor>``, reflections (members who wrote one), workshops and forum (places).
    Where nothing was planned, `planned` is 0.
    """
    return make([row for cohort, members in people.groupby("cohort", sort=False) for row in _doses(
        events[events["cohort"] == cohort], members, roles, meetings_target, shadowing_target)], DOSE)


def _doses(events: pd.DataFrame, people: pd.DataFrame, roles: Sequence[str], meetings: float, shadowing: float) -> list[dict]:
    """The rows of one cohort."""
    known = _base(events)
    unit_of = {p.person: p.pair or p.person for p in people.itertuples()}
    own = known["person"].map(unit_of).fillna("")
    known = known.assign(unit=known["pair"].where(known["pair"] != "", own),
                         role=known["person"].map(people.set_index("person")["role"]).fillna(""))
    held, offered = _held(known), known[known["status"] != "cancelled"]
    rows = []
    for name in dict.fromkeys(unit_of.values()):
        mine, invited = held[held["unit"] == name], offered[offered["unit"] == name]
        of = {kind: mine[mine["kind"] == kind] for kind in ("contract", "meeting", "shadowing", "reflection", "workshop", "forum")}
        to_partner = of["shadowing"][of["shadowing"]["detail"] == ""]
        parts = [("contract", of["contract"].drop_duplicates("pair"), 1.0), ("meetings", of["meeting"], meetings)]
        parts += [(f"shadowing|{r}" if r else "shadowing", to_partner[to_partner["role"].eq(r) | (r == "")], shadowing / max(len(roles), 1))
                  for r in roles or ("",)]
        parts.append(("shadowing elsewhere", of["shadowing"][of["shadowing"]["detail"] != ""], 0.0))
        parts += [(label, of[kind], float((invited["kind"] == kind).sum())) for label, kind in (("workshops", "workshop"), ("forum", "forum"))]
        common = {"cohort": people["cohort"].iloc[0], "unit": name}
        rows += [common | {"component": c, "planned": planned, "done": len(part), "minutes": part["minutes"].sum()} for c, part, planned in parts]
        rows.append(common | {"component": "reflections", "planned": float(sum(u == name for u in unit_of.values())),
                              "done": of["reflection"]["person"].nunique(), "minutes": of["reflection"]["minutes"].sum()})
    return rows


def fidelity(doses: pd.DataFrame, *, level: float) -> pd.DataFrame:
    """How much of the programme pairs received on average, component by component and over all of them.

    A pair's share of a component is done over planned, at most 1; its fidelity is the mean of the shares of
    what was planned for it.

    Returns
    -------
    ESTIMATES rows, analysis 'fidelity', outcome = component, terms ``done`` (mean number per pair) and
    ``share``; outcome 'all', term ``share``. `n` pairs (people where nobody is paired).
    """
    shares = doses.assign(share=(doses["done"] / doses["planned"].where(doses["planned"] > 0)).clip(upper=1))
    rows = []
    for component, part in shares.groupby("component", sort=False):
        given = part.dropna(subset="share")
        if len(given):
            rows.append({"outcome": component, "term": "done", "unit": "events"} | _mean(given["done"].to_numpy(float), level=level))
            rows.append({"outcome": component, "term": "share", "unit": "share"} | _mean(given["share"].to_numpy(float), level=level, bounds=(0, 1)))
    overall = shares.groupby("unit")["share"].mean().dropna()
    rows.append({"outcome": "all", "term": "share", "unit": "share"} | _mean(overall.to_numpy(float), level=level, bounds=(0, 1)))
    return make([{"cohort": _cohort(doses), "analysis": "fidelity"} | row for row in rows], ESTIMATES)


AMOUNTS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "meetings": lambda d: d[d["component"] == "meetings"].set_index(["cohort", "unit"])["done"],
    "hours": lambda d: d.groupby(["cohort", "unit"])["minutes"].sum() / 60,
}  # what counts as dose: number of the pair's meetings; recorded hours of the pair, both partners' own events added


def dose_response(
    doses: pd.DataFrame, scores: pd.DataFrame, *, waves: tuple[str, str], roles: tuple[str, ...], level: float, seed: int
) -> pd.DataFrame:
    """Whether pairs that received more changed more: rank correlation in a cohort, slope within cohorts over
    all.

    Exploratory: nobody was given more or less of the programme by design, and those who gain may meet more.

    Parameters
    ----------
    doses
        DOSE rows of one or more cohorts.
    scores
        SCORES rows, complete over both waves.
    waves
        The wave before and the wave after; change is the mean of the partners' changes, in points.
    seed
        Of the random orders, where there are too many to list.

    Returns
    -------
    ESTIMATES rows, analysis 'dose', outcome = subscale, terms ``Spearman <dose>`` for one cohort (exact
    permutation p from 12 pairs on, none below) and ``slope <dose>`` for several (points per meeting or hour,
    cohort held fixed, CR2 standard error with Satterthwaite degrees of freedom; cohort 'combined'). `n`
    pairs. A quantity that the data do not define has a row that says why.

    References
    ----------
    Bell & McCaffrey (2002), Survey Methodology 28(2), 169-181. Spearman (1904), doi:10.2307/1412159.
    """
    rows = []
    for subscale, part in scores.groupby("subscale", sort=False):
        if not set(waves) <= set(part["wave"]):
            continue
        changes = pd.concat({
            cohort: pair_contrasts(wide(one, waves=waves, roles=roles), from_=waves[0], to=waves[1], roles=roles)["average"]
            for cohort, one in part.groupby("cohort", sort=False)
        }, names=["cohort", "unit"])
        several = changes.index.get_level_values("cohort").nunique() > 1
        for name, amount in AMOUNTS.items():
            both = pd.concat([amount(doses).rename("dose"), changes.rename("change")], axis=1, join="inner").dropna()
            row = {"unit": "points" if several else "coefficient", "method": f"not defined: {len(both)} pairs have a dose and a change; two are needed"}
            if len(both) > 1:
                row = _slope(both, level) if several else _rank_correlation(both, seed)
            rows.append({"cohort": "combined" if several else changes.index[0][0], "analysis": "dose", "outcome": subscale,
                         "n": len(both), "term": f"{'slope' if several else 'Spearman'} {name}"} | row)
    return make(rows, ESTIMATES)


def _rank_correlation(both: pd.DataFrame, seed: int) -> dict:
    row = {"unit": "coefficient", "method": "Spearman's rank correlation of dose and mean change of the pair; exploratory"}
    try:
        found = exact.spearman_exact(both["dose"], both["change"], seed=seed)
    except ValueError as reason:
        return row | {"method": f"not defined: {reason}"}
    if len(both) < TESTED_FROM:
        return row | {"estimate": found.rho, "method": f"{row['method']}, no p below {TESTED_FROM} pairs"}
    listing = "all orders" if found.exact else f"{found.permutations} random orders"
    return row | {"estimate": found.rho, "p": found.p, "method": f"{row['method']}, permutation p over {listing}"}


def _slope(both: pd.DataFrame, level: float) -> dict:
    row = {"unit": "points", "method": "slope of the pair's mean change on dose, cohort fixed, CR2 with Satterthwaite df; exploratory"}
    try:
        found = robust.dose_slope(both["dose"], both["change"], cohort=both.index.get_level_values("cohort"), level=level)
    except ValueError as reason:
        return row | {"method": f"not defined: {reason}"}
    row |= {"estimate": found.estimate, "se": found.se, "low": found.low, "high": found.high}
    if len(both) < TESTED_FROM:
        return row | {"method": f"{row['method']}, no p below {TESTED_FROM} pairs"}
    return row | {"p": found.p, "method": f"{row['method']}, {found.df:.1f} degrees of freedom"}

