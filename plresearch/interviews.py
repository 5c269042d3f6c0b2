"""Themes of the interviews: how well coders agree, how common themes are, when no new ones appear.

`units` turns passages into segments that coders share; the other functions take CODINGS rows (one row per
segment, coder and theme; an empty theme says that the coder read the segment and applied none) and return
ESTIMATES or COUNTS. A theme is found in a segment when every coder who read it gave it, unless the coders
decided otherwise together (RECONCILED).
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from .agreement import Agreement, agree
from .frames import CODINGS, COUNTS, ESTIMATES, QUOTATIONS, Refusal, make

BASE, RUN, NEW = 4, 2, 0.05  # Guest, Namey & Chen (2020): base size, run length, new-information threshold
OVERLAP = 0.5  # share of the shorter passage that two passages must share to be one unit
ALL = "all"  # outcome of the rows over all themes
PRINTABLE = {"team": ("internal", "public"), "programme": ("internal", "public"), "public": ("public",)}
TALK = ["cohort", "interview"]
UNIT = [*TALK, "segment"]


# ------------------------------------------------------------------------------------------- segments

def units(quotations: pd.DataFrame) -> pd.DataFrame:
    """The passages with a segment each, so that coders who marked different extents can be compared.

    A named segment is a unit as it stands. Where passages are known by their extent only, two passages of
    an interview are the same unit when they share at least half of the shorter one, whoever marked them;
    what is joined in a chain is one unit. The unit is named by its own extent.

    Parameters
    ----------
    quotations
        QUOTATIONS rows; start and end in characters, the end after the last one.

    Returns
    -------
    QUOTATIONS rows in the same order, every segment named.

    Raises
    ------
    Refusal
        When an interview names some segments and not others.

    References
    ----------
    Campbell, Quincy, Osserman & Pedersen (2013), doi:10.1177/0049124113500475, on units of coding.

    Examples
    --------
    >>> rows = [{"interview": "I1", "start": s, "end": e, "coder": c} for s, e, c in ((0, 40, "A"), (10, 34, "B"), (38, 90, "B"))]
    >>> units(make(rows, QUOTATIONS))["segment"].tolist()
    ['0-40', '0-40', '38-90']
    """
    table = quotations.copy()
    nameless = table["segment"] == ""
    for (_, interview), part in table.groupby(TALK, sort=False):
        unnamed = int(nameless.loc[part.index].sum())
        if not unnamed:
            continue
        if unnamed < len(part):
            raise Refusal(f"interview {interview} names the segment of {len(part) - unnamed} rows and leaves it out in "
                          f"{unnamed}; name all or none")
        table.loc[part.index, "segment"] = _joined(part["start"].to_numpy(int), part["end"].to_numpy(int))
    return table


def _joined(low: np.ndarray, high: np.ndarray) -> list[str]:
    """Name of the unit of each passage: connected groups of passages that overlap enough."""
    places = sorted(set(zip(low.tolist(), high.tolist(), strict=True)))
    group = dict(zip(places, range(len(places)), strict=True))
    for a, b in itertools.combinations(places, 2):
        shared = min(a[1], b[1]) - max(a[0], b[0])
        if shared > 0 and shared >= OVERLAP * min(a[1] - a[0], b[1] - b[0]) and group[a] != group[b]:
            old, new = group[b], group[a]
            group |= {p: new for p, g in group.items() if g == old}
    members: dict[int, list] = {}
    for place, number in group.items():
        members.setdefault(number, []).append(place)
    name = {n: f"{min(p[0] for p in m)}-{max(p[1] for p in m)}" for n, m in members.items()}
    return [name[group[p]] for p in zip(low.tolist(), high.tolist(), strict=True)]


def coded(quotations: pd.DataFrame) -> pd.DataFrame:
    """CODINGS of the passages, coder by coder.

    A coder has read a named segment when a row says so. Where passages are known by their extent, a coder
    who marked anything in an interview has read all of it, and so did not find what the others marked
    elsewhere; those segments get a row with an empty theme.
    """
    found = units(quotations)
    by_extent = found[quotations["segment"].eq("").to_numpy()]
    readers = by_extent[[*TALK, "coder"]].drop_duplicates()
    read = by_extent[UNIT].drop_duplicates().merge(readers, on=TALK).assign(theme="")
    columns = list(CODINGS.columns)
    rows = pd.concat([found[columns], read[columns]]).drop_duplicates(ignore_index=True)
    applied = rows["theme"].ne("")
    silent = ~applied.groupby([rows[k] for k in (*UNIT, "coder")]).transform("any")
    return make(rows[applied | silent].to_dict("records"), CODINGS)


def with_parents(codings: pd.DataFrame, parents: Mapping[str, str]) -> pd.DataFrame:
    """The codings with each theme's ancestors added: who gave a child gave its parent.

    Parameters
    ----------
    parents
        Theme id -> id of its parent, or empty.

    Raises
    ------
    Refusal
        When a theme is its own ancestor.

    Examples
    --------
    >>> rows = make([{"interview": "I1", "segment": "1", "coder": "A", "theme": "child"}], CODINGS)
    >>> with_parents(rows, {"child": "parent", "parent": ""})["theme"].tolist()
    ['child', 'parent']
    """
    found, level = [codings], codings
    for _ in range(len(parents) + 1):
        level = level.assign(theme=level["theme"].map(parents).fillna(""))
        level = level[level["theme"] != ""]
        if not len(level):
            return pd.concat(found, ignore_index=True).drop_duplicates(ignore_index=True)
        found.append(level)
    raise Refusal(f"theme '{level['theme'].iloc[0]}' is its own ancestor; break the ring in study/codebook.toml")


def people(quotations: pd.DataFrame) -> pd.DataFrame:
    """Who was interviewed: cohort, interview, person (the interview itself where nobody is named) and
    role."""
    who = quotations[[*TALK, "person", "role"]].drop_duplicates(TALK, ignore_index=True)
    return who.assign(person=who["person"].where(who["person"] != "", who["cohort"] + " " + who["interview"]))


# ------------------------------------------------------------------------------------------ agreement

def agreement(codings: pd.DataFrame, themes: Sequence[str], *, level: float) -> pd.DataFrame:
    """Agreement of the coders on each theme and over all themes, over the segments that at least two of them
    read.

    A segment is a unit; a coder either gave the theme to it or did not. Kappa and AC1 stand together,
    because kappa falls when a theme is rare although the coders agree. Over all themes every segment counts
    once per theme; those decisions hang together, so the standard error is a jackknife over interviews with
    a t interval.

    Returns
    -------
    ESTIMATES rows, analysis 'agreement', outcome = theme or 'all', terms ``percent``, ``kappa``, ``AC1``,
    ``alpha``; a coefficient that is not defined has no number and `method` says why.

    Raises
    ------
    Refusal
        When fewer than two coders coded, or no segment was read by two.

    References
    ----------
    Gwet (2008), doi:10.1348/000711006X126600. Efron & Stein (1981), doi:10.1214/aos/1176345462.
    """
    ratings = {theme: _ratings(codings, theme) for theme in themes}
    cohort = _cohort(codings)
    rows = []
    for theme, table in ratings.items():
        found = agree(table, categories=[0, 1], level=level)
        rows += [{"cohort": cohort, "outcome": theme} | row for row in _coefficients(found, found.n)]
    return make([*rows, *({"cohort": cohort, "outcome": ALL} | row for row in _over_themes(ratings, level))],
                ESTIMATES).assign(analysis="agreement")


def _ratings(codings: pd.DataFrame, theme: str) -> pd.DataFrame:
    """1 or 0 per unit and coder, missing where the coder did not read the unit."""
    coders = sorted(codings["coder"].unique())
    if len(coders) < 2:
        raise Refusal(f"agreement needs two coders; the codings name {len(coders)} ({', '.join(coders) or 'none'})")
    read = codings.drop_duplicates([*UNIT, "coder"]).assign(given=0.0).set_index([*UNIT, "coder"])["given"].unstack()
    given = codings[codings["theme"] == theme].drop_duplicates([*UNIT, "coder"]).set_index([*UNIT, "coder"])["theme"].unstack()
    table = read.where(~given.notna().reindex(index=read.index, columns=read.columns, fill_value=False), 1.0)
    table = table[table.notna().sum(axis=1) > 1].dropna(axis=1, how="all")
    if not len(table):
        raise Refusal(f"no segment was read by two of the coders {', '.join(coders)}; have some interviews coded twice")
    return table


def _coefficients(found: Agreement, n: int) -> list[dict]:
    common = {"n": n, "unit": "coefficient"}
    rows = [common | {"term": "percent", "unit": "share", "estimate": found.percent, "method": "share of segments coded alike"}]
    for term, value, method in (
        ("kappa", found.kappa, "Cohen's kappa"), ("AC1", found.ac, "Gwet's AC1"), ("alpha", found.alpha, "Krippendorff's alpha"),
    ):
        row = common | {"term": term, "method": method if value.defined else f"{method}: not defined ({value.reason})"}
        if value.defined:
            row |= {"estimate": value.value, "se": value.se, "low": value.low, "high": value.high}
        rows.append(row)
    return rows


def _over_themes(ratings: dict[str, pd.DataFrame], level: float) -> list[dict]:
    """Coefficients over every decision (segment by theme), with a jackknife over interviews."""
    stacked = pd.concat(ratings.values(), keys=ratings)
    interviews = pd.MultiIndex.from_frame(stacked.index.to_frame()[TALK])
    whole, parts = agree(stacked, categories=[0, 1], level=level), _jackknifed(stacked, interviews)
    segments = len(stacked) // len(ratings)
    rows = []
    for place, (row, value) in enumerate(zip(_coefficients(whole, segments), _values(whole), strict=True)):
        row |= {"se": math.nan, "low": math.nan, "high": math.nan}
        left = [values[place] for values in parts if values[place] is not None]
        if value is not None:
            row["method"] += f", all decisions of {segments} segments on {len(ratings)} themes"
        if value is not None and parts and len(left) == len(parts):
            se = math.sqrt((len(left) - 1) / len(left) * float(np.sum((np.array(left) - np.mean(left)) ** 2)))
            half = float(stats.t.ppf((1 + level) / 2, len(left) - 1)) * se
            lowest = 0.0 if row["unit"] == "share" else -1.0
            row |= {"se": se, "low": max(value - half, lowest), "high": min(value + half, 1.0),
                    "method": f"{row['method']}; jackknife over {len(left)} interviews, t interval"}
        rows.append(row)
    return rows


def _jackknifed(stacked: pd.DataFrame, interviews: pd.MultiIndex) -> list[tuple[float | None, ...]]:
    """The coefficients without each interview in turn; nothing for fewer than three, or where a coder coded
    only one."""
    if interviews.nunique() < 3:
        return []
    parts = [stacked[interviews != one] for one in interviews.unique()]
    if any(part.isna().all().any() or not (part.notna().sum(axis=1) > 1).any() for part in parts):
        return []
    return [_values(agree(part, categories=[0, 1])) for part in parts]


def _values(found: Agreement) -> tuple[float | None, ...]:
    return found.percent, found.kappa.value, found.ac.value, found.alpha.value


def ordered_agreement(codings: pd.DataFrame, levels: Mapping[str, Sequence[str]], *, weights: str, level: float) -> pd.DataFrame:
    """Agreement on ordered judgements: themes whose children are levels, lowest first.

    A coder's judgement of a segment is the one level given there; a segment without one is missing for
    that coder, and so is one with several.

    Parameters
    ----------
    levels
        Theme id -> its levels in order.
    weights
        Partial credit of neighbouring levels: 'linear' or 'quadratic'.

    Returns
    -------
    ESTIMATES rows, analysis 'agreement', outcome = theme, terms ``percent``, ``weighted kappa``, ``AC2``,
    ``ordinal alpha``; none for a theme that no segment has from two coders.

    References
    ----------
    Cohen (1968), doi:10.1037/h0026256. Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed.
    """
    names = {"kappa": "weighted kappa", "AC1": "AC2", "alpha": "ordinal alpha"}
    rows = []
    for theme, order in levels.items():
        given = codings[codings["theme"].isin(order)].drop_duplicates([*UNIT, "coder", "theme"])
        several = given.duplicated([*UNIT, "coder"], keep=False)
        table = given[~several].set_index([*UNIT, "coder"])["theme"].unstack()
        table = table[table.notna().sum(axis=1) > 1].dropna(axis=1, how="all")
        if table.shape[1] < 2 or not len(table):
            continue
        found = agree(table.astype(object).where(table.notna(), None), categories=list(order), weights=weights, level=level)
        note = f"; {int(several.sum())} codings left out, several levels at once" if several.any() else ""
        rows += [{"cohort": _cohort(codings), "analysis": "agreement", "outcome": theme} | row
                 | {"term": names.get(row["term"], row["term"]),
                    "method": row["method"].replace("AC1", "AC2") + f", {weights} weights over {len(order)} levels" + note}
                 for row in _coefficients(found, found.n)]
    return make(rows, ESTIMATES)


# --------------------------------------------------------------------------------------------- themes

def agreed(codings: pd.DataFrame, reconciled: pd.DataFrame | None = None) -> pd.DataFrame:
    """The themes found in each segment: given by every coder who read it, or decided by the coders together.

    Parameters
    ----------
    reconciled
        RECONCILED rows; 'present' adds a theme to a segment, 'absent' removes it, whatever the coders gave.

    Returns
    -------
    Columns cohort, interview, segment, theme.

    Raises
    ------
    Refusal
        When a decision names a segment that nobody coded: it went stale.
    """
    by = [*UNIT, "theme"]
    readers = codings.groupby(UNIT)["coder"].nunique().rename("readers")
    given = codings[codings["theme"] != ""].groupby(by)["coder"].nunique().rename("givers").reset_index().merge(readers, on=UNIT)
    found = given.loc[given["givers"] == given["readers"], by]
    if reconciled is None or not len(reconciled):
        return found.reset_index(drop=True)
    stale = reconciled.merge(readers, on=UNIT, how="left")
    stale = stale[stale["readers"].isna()]
    if len(stale):
        raise Refusal(f"{len(stale)} joint decisions name a segment that nobody coded (first: interview {stale.iloc[0]['interview']}, "
                      f"segment {stale.iloc[0]['segment']}); correct the cohort's _reconciled.csv")
    decided = found.merge(reconciled[[*UNIT, "theme", "decision"]], on=[*UNIT, "theme"], how="left")
    added = reconciled.loc[reconciled["decision"] == "present", by]
    return pd.concat([decided.loc[decided["decision"] != "absent", by], added], ignore_index=True).drop_duplicates(ignore_index=True)


def prevalence(found: pd.DataFrame, themes: Sequence[str], who: pd.DataFrame, *, roles: Sequence[str], level: float) -> pd.DataFrame:
    """Share of interviewed people with each theme, of all and of each role, with Wilson's interval.

    Parameters
    ----------
    found
        As `agreed` gives it.
    themes
        Theme ids to report, found or not.
    who
        As `people` gives it: everyone interviewed.
    roles
        Role ids; a role of which nobody was interviewed has a row that says so.

    Returns
    -------
    ESTIMATES rows, analysis 'themes', outcome = theme, terms 'prevalence' and 'prevalence|<role>'; a share
    of people (0 to 1), `n` people.

    References
    ----------
    Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    named = found.merge(who, on=TALK)
    rows = []
    for theme, role in itertools.product(themes, ("", *roles)):
        asked = who if not role else who[who["role"] == role]
        n = asked["person"].nunique()
        row = {"cohort": _cohort(who), "analysis": "themes", "outcome": theme, "n": n, "unit": "share",
               "term": f"prevalence|{role}" if role else "prevalence", "method": "not defined: nobody of this role was interviewed"}
        if n:
            with_theme = named[(named["theme"] == theme) & named["person"].isin(asked["person"])]["person"].nunique()
            low, high = proportion_confint(with_theme, n, alpha=1 - level, method="wilson")
            row |= {"estimate": with_theme / n, "low": low, "high": high,
                    "method": "share of people with the theme, as agreed by the coders; Wilson interval"}
        rows.append(row)
    return make(rows, ESTIMATES)


def _cohort(table: pd.DataFrame) -> str:
    return table["cohort"].iloc[0] if table["cohort"].nunique() == 1 else "combined"


def banded(prevalences: pd.DataFrame, *, minimum: int) -> pd.DataFrame:
    """Shares that rest on too few people, or leave too few out, as bands that do not tell how many.

    A theme of fewer than `minimum` people, or of all but fewer than `minimum`, would point at somebody in a
    small group. Its row keeps no estimate: low and high are the ends of the band.

    Examples
    --------
    >>> rows = make([{"term": "prevalence", "n": 12, "estimate": e} for e in (1 / 12, 6 / 12, 11 / 12)], ESTIMATES)
    >>> banded(rows, minimum=5)[["estimate", "low", "high"]].round(2).to_numpy().tolist()
    [[nan, 0.0, 0.33], [0.5, nan, nan], [nan, 0.67, 1.0]]
    """
    table = prevalences.copy()
    for index, row in table[table["estimate"].notna() & table["term"].str.startswith("prevalence")].iterrows():
        have, n = round(row["estimate"] * row["n"]), int(row["n"])
        few, most = have < minimum, n - have < minimum
        if minimum > 1 and (few or most):
            low, high = (0, minimum - 1) if few else (n - minimum + 1, n)
            low, high = (0, n) if few and most else (max(low, 0), min(high, n))
            table.loc[index, ["estimate", "se", "low", "high"]] = [np.nan, np.nan, low / n, high / n]
            table.loc[index, "method"] = f"band: {low} to {high} of {n} people; a closer figure would point at somebody"
    return table


def over_cohorts(
    found: pd.DataFrame, themes: Sequence[str], who: pd.DataFrame, *, roles: Sequence[str], level: float, minimum: int
) -> pd.DataFrame:
    """Prevalence over several cohorts that gives no cohort's band away.

    Where every cohort's share may be told, people are added up. Where a cohort's share is a band, so is the
    sum: its ends are the sums of the ends, so that subtracting the other cohorts leads back to the band
    alone. Shares by role are kept where the sum is exact and none of them is a band; two roles and their sum
    would tell the third.

    Parameters
    ----------
    found, themes, who, roles, level
        As in `prevalence`, of one or more cohorts.
    minimum
        As in `banded`.

    Returns
    -------
    ESTIMATES rows, cohort 'combined', analysis 'themes', terms 'prevalence' and 'prevalence|<role>'.
    """
    apart = [banded(prevalence(found[found["cohort"] == cohort], themes, part, roles=(), level=level), minimum=minimum)
             for cohort, part in who.groupby("cohort", sort=False)]
    together = banded(prevalence(found, themes, who, roles=roles, level=level), minimum=minimum).assign(cohort="combined")
    rows = []
    for theme, part in together.groupby("outcome", sort=False):
        whole, sides = part[part["term"] == "prevalence"].iloc[0].to_dict(), part[part["term"] != "prevalence"]
        shares = [r for table in apart for r in table[table["outcome"] == theme].itertuples()]
        if any(pd.isna(r.estimate) for r in shares):
            low, high = (round(sum((r.estimate if pd.notna(r.estimate) else end(r)) * r.n for r in shares))
                         for end in (lambda r: r.low, lambda r: r.high))
            whole |= {"estimate": np.nan, "low": low / whole["n"], "high": high / whole["n"],
                      "method": f"band: {low} to {high} of {whole['n']} people, because a cohort's share is a band"}
        if pd.isna(whole["estimate"]) or sides["estimate"].isna().any():
            sides = sides.assign(estimate=np.nan, se=np.nan, low=np.nan, high=np.nan,
                                 method="withheld: beside the share of all it would tell how few people have the theme, or lack it")
        rows += [whole, *sides.to_dict("records")]
    return make(rows, ESTIMATES)


def co_occurrence(found: pd.DataFrame, themes: Sequence[str], who: pd.DataFrame) -> pd.DataFrame:
    """How many people have both of two themes, for every two themes.

    Returns
    -------
    COUNTS rows, analysis 'co-occurrence', category ``<theme>|<theme>``, `n` people with both, `of` everyone
    interviewed.
    """
    named = found.merge(who, on=TALK).groupby("theme")["person"].agg(set).to_dict()
    total = who["person"].nunique()
    return make([
        {"cohort": _cohort(who), "analysis": "co-occurrence", "category": f"{a}|{b}",
         "n": len(named.get(a, set()) & named.get(b, set())), "of": total}
        for a, b in itertools.combinations(themes, 2)
    ], COUNTS)


# ----------------------------------------------------------------------------------------- saturation

def saturation(found: pd.DataFrame, who: pd.DataFrame) -> pd.DataFrame:
    """New themes in each successive interview and themes found so far.

    Interviews are taken in the order of their names, numbers in names by size.

    Returns
    -------
    COUNTS rows, analysis 'saturation', category = running number of the interview, n new, of so far.
    """
    rows, known = [], set()
    heard = found.groupby(TALK)["theme"].agg(set).to_dict()
    talks = sorted(who[TALK].drop_duplicates().itertuples(index=False, name=None), key=lambda t: (t[0], _natural(t[1])))
    for number, talk in enumerate(talks, start=1):
        new = heard.get(talk, set()) - known
        known |= new
        rows.append({"cohort": _cohort(who), "analysis": "saturation", "category": str(number), "n": len(new), "of": len(known)})
    return make(rows, COUNTS)


def _natural(name: str) -> list:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|\D+", name)]


def saturated_at(counts: pd.DataFrame) -> int | None:
    """The interview after which the stopping rule of Guest, Namey & Chen is met, or None.

    Base: themes in the first 4 interviews. The rule is met at the first run of 2 interviews after the
    base that brings at most 5 % of the base's themes as new ones.

    References
    ----------
    Guest, Namey & Chen (2020), doi:10.1371/journal.pone.0232076.

    Examples
    --------
    >>> new = [4, 2, 0, 1, 0, 0, 1]
    >>> rows = [{"analysis": "saturation", "category": str(k), "n": n, "of": sum(new[:k])} for k, n in enumerate(new, 1)]
    >>> saturated_at(make(rows, COUNTS))
    6
    """
    new = counts["n"].astype(int).tolist()
    base = sum(new[:BASE])
    for end in range(BASE + RUN, len(new) + 1):
        if base and sum(new[end - RUN:end]) / base <= NEW:
            return end
    return None


def stopping(counts: pd.DataFrame) -> pd.DataFrame:
    """Where the themes ended, from the rows of `saturation`.

    Returns
    -------
    COUNTS rows, analysis 'saturation': ``themes found`` (n and of alike), and ``stopping rule``, the
    interview that met it of the interviews held, where it was met.
    """
    met, last = saturated_at(counts), int(counts["of"].iloc[-1]) if len(counts) else 0
    rows = [("themes found", last, last), *([("stopping rule", met, len(counts))] if met else [])]
    return make([{"cohort": _cohort(counts), "analysis": "saturation", "category": c, "n": n, "of": of} for c, n, of in rows], COUNTS)


def richness(found: pd.DataFrame, who: pd.DataFrame, *, level: float) -> pd.DataFrame:
    """Themes found, themes that k interviews find on average, and Chao's estimate of themes in all.

    With Q1 themes heard in one interview only and Q2 in two, of m interviews: Chao2 = found + (m - 1) / m *
    Q1^2 / (2 Q2), and with Q2 = 0 found + (m - 1) / m * Q1 (Q1 - 1) / 2; its interval is log-normal. The
    expectation over all orders of the interviews is found - sum over themes of C(m - q, k) / C(m, k), a theme
    being heard in q interviews. With a fixed codebook the estimate cannot show themes outside it.

    Returns
    -------
    ESTIMATES rows, analysis 'saturation', outcome 'themes', terms ``found``, ``expected|<k>``, ``Chao2``; `n`
    interviews.

    References
    ----------
    Chao (1987), doi:10.2307/2531532. Colwell et al. (2012), doi:10.1093/jpe/rtr044.

    Examples
    --------
    >>> who = pd.DataFrame({"cohort": "c", "interview": list("abcd")})
    >>> heard = {"x": "abcd", "y": "ab", "z": "c"}
    >>> found = pd.DataFrame([{"cohort": "c", "interview": i, "theme": t} for t, where in heard.items() for i in where])
    >>> richness(found, who, level=0.95).set_index("term")["estimate"].round(3).tolist()
    [3.0, 1.75, 2.333, 2.75, 3.0, 3.375]
    """
    m = len(who[TALK].drop_duplicates())
    heard = found.drop_duplicates([*TALK, "theme"]).groupby("theme").size().to_numpy()
    common = {"cohort": _cohort(who), "analysis": "saturation", "outcome": "themes", "n": m, "unit": "themes"}
    rows = [common | {"term": "found", "estimate": len(heard), "method": "themes found in at least one interview"}]
    for k in range(1, m + 1):
        missed = sum(math.comb(m - q, k) / math.comb(m, k) for q in heard.tolist())
        rows.append(common | {"term": f"expected|{k}", "estimate": len(heard) - missed,
                              "method": f"mean number of themes in {k} interviews over all orders"})
    return make([*rows, common | _chao2(len(heard), int((heard == 1).sum()), int((heard == 2).sum()), m, level)], ESTIMATES)


def _chao2(seen: int, once: int, twice: int, m: int, level: float) -> dict:
    """Chao2 with its variance and log-normal interval."""
    row = {"term": "Chao2", "method": "Chao2 estimate of themes in all; log-normal interval"}
    if m < 2:
        return row | {"method": "Chao2: not defined (one interview)"}
    if not once:
        return row | {"estimate": seen, "method": "Chao2 estimate of themes in all: every theme was heard at least twice"}
    a = (m - 1) / m
    if twice:
        r = once / twice
        more, variance = a * once**2 / (2 * twice), twice * (a / 2 * r**2 + a**2 * r**3 + a**2 / 4 * r**4)
    else:
        more = a * once * (once - 1) / 2
        variance = a * once * (once - 1) / 2 + a**2 * once * (2 * once - 1) ** 2 / 4 - a**2 * once**4 / (4 * (seen + more))
    row |= {"estimate": seen + more, "se": math.sqrt(max(variance, 0.0))}
    if not more:
        return row | {"method": f"{row['method']}: none (one theme was heard once, none twice)"}
    spread = math.exp(float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(math.log1p(variance / more**2)))
    return row | {"low": seen + more / spread, "high": seen + more * spread}


# ----------------------------------------------------------------------------------------- quotations

def passages_per_person(found: pd.DataFrame, who: pd.DataFrame) -> pd.DataFrame:
    """How many segments with a theme each person contributes, and how many themes: person, role, passages,
    themes.

    It is about people and stays inside; `spread` tells what may be told.
    """
    named = found.merge(who[[*TALK, "person"]], on=TALK)
    counted = named.groupby("person").agg(themes=("theme", "nunique"))
    counted["passages"] = named.drop_duplicates(["person", *UNIT]).groupby("person").size()
    everyone = who.drop_duplicates("person")[["person", "role"]].set_index("person")
    return everyone.join(counted).fillna({"passages": 0, "themes": 0}).astype({"passages": int, "themes": int}).reset_index()[
        ["person", "role", "passages", "themes"]]


def spread(found: pd.DataFrame, themes: Sequence[str], who: pd.DataFrame) -> pd.DataFrame:
    """Whether a theme rests on many voices or on one: segments per person and the share of the most quoted
    person.

    Returns
    -------
    ESTIMATES rows, analysis 'passages', outcome = theme or 'all', terms ``per person`` (segments, over
    everyone interviewed) and ``largest share`` (of all segments with the theme; not defined for a theme
    nobody has). `n` people interviewed.
    """
    named = found.merge(who[[*TALK, "person"]], on=TALK)
    total = who["person"].nunique()
    rows = []
    for outcome in (ALL, *themes):
        part = named if outcome == ALL else named[named["theme"] == outcome]
        each = part.drop_duplicates(["person", *UNIT]).groupby("person").size()
        common = {"cohort": _cohort(who), "analysis": "passages", "outcome": outcome, "n": total}
        rows.append(common | {"term": "per person", "estimate": each.sum() / total, "unit": "passages",
                              "method": "segments with the theme per person interviewed"})
        rows.append(common | {"term": "largest share", "unit": "share"} | (
            {"estimate": each.max() / each.sum(), "method": "share of the theme's segments that the most quoted person gave"}
            if len(each) else {"method": "not defined: nobody has the theme"}))
    return make(rows, ESTIMATES)


def quotes(
    quotations: pd.DataFrame, found: pd.DataFrame, consent: pd.DataFrame, cleared: pd.DataFrame, *,
    profile: str, themes: Mapping[str, str], roles: Mapping[str, str], minimum: int, per_theme: int,
) -> pd.DataFrame:
    """The quotations that may be printed, by theme and role family.

    A passage is printed when its theme was agreed, its speaker's consent reaches as far as the release
    profile and was not withdrawn, and a person has read and cleared it. Speakers are known by role family and
    a number; a role of which fewer than `minimum` people were interviewed is not named. The numbers follow
    from all words of all interviews, so nobody who has not read them can work them out.

    Parameters
    ----------
    quotations
        QUOTATIONS rows with named segments, see `units`.
    found
        As `agreed` gives it.
    consent
        CONSENT rows; who is not listed is not quoted.
    cleared
        RELEASED_QUOTES rows.
    profile
        Release profile: 'team' and 'programme' print the words of people whose consent is internal or
        public, 'public' only those whose consent is public.
    themes, roles
        Id -> label.
    per_theme
        Most quotations printed per theme, of different people.

    Returns
    -------
    Columns Theme, Quotation, Speaker; in the order of the themes.

    Raises
    ------
    Refusal
        For an unknown profile.
    """
    if profile not in PRINTABLE:
        raise Refusal(f"'{profile}' is not a release profile; use {', '.join(PRINTABLE)}")
    willing = set(consent.loc[consent["scope"].isin(PRINTABLE[profile]) & (consent["withdrawn"] == ""), "person"])
    speakers = _speakers(quotations, roles, minimum)
    said = quotations.merge(found[[*UNIT, "theme"]], on=[*UNIT, "theme"])
    said = said[said["person"].isin(willing) & (said["quotation"] != "")].merge(cleared[UNIT].drop_duplicates(), on=UNIT)
    said = said.assign(length=said["quotation"].str.len(), order=said["person"].map({p: i for i, p in enumerate(speakers)}))
    rows = []
    for theme, label in themes.items():
        part = said[said["theme"] == theme].sort_values(["order", "length", "quotation"]).drop_duplicates("person").head(per_theme)
        rows += [{"Theme": label, "Quotation": r.quotation, "Speaker": speakers[r.person]} for r in part.itertuples()]
    return pd.DataFrame(rows, columns=["Theme", "Quotation", "Speaker"], dtype="str")


def _speakers(quotations: pd.DataFrame, roles: Mapping[str, str], minimum: int) -> dict[str, str]:
    """Person -> role family and number, in an order that only the words themselves give."""
    everyone = quotations[quotations["person"] != ""].drop_duplicates("person")
    key = hashlib.sha256("\x1f".join(sorted(quotations["quotation"])).encode()).digest()
    drawn = sorted(everyone["person"], key=lambda p: hashlib.sha256(key + p.encode()).digest())
    role_of = everyone.set_index("person")["role"].to_dict()
    size = everyone["role"].value_counts()
    family = {p: roles[role_of[p]] if role_of[p] in roles and size[role_of[p]] >= minimum else "Participant" for p in drawn}
    turn = {name: itertools.count(1) for name in set(family.values())}
    return {p: f"{family[p]} {next(turn[family[p]])}" for p in drawn}


def quotable(
    quotations: pd.DataFrame, found: pd.DataFrame, consent: pd.DataFrame, cleared: pd.DataFrame, printed: pd.DataFrame, *, profile: str
) -> pd.DataFrame:
    """What became of the quotations: agreed on a theme, of people who consent, cleared by a person, printed.

    Returns
    -------
    COUNTS rows, analysis 'quotations', categories ``agreed``, ``consented``, ``cleared``, ``printed``; `of`
    passages with an agreed theme.
    """
    willing = set(consent.loc[consent["scope"].isin(PRINTABLE[profile]) & (consent["withdrawn"] == ""), "person"])
    passages = quotations.merge(found[[*UNIT, "theme"]], on=[*UNIT, "theme"]).drop_duplicates(UNIT)
    of_willing = passages[passages["person"].isin(willing)]
    counts = {"agreed": len(passages), "consented": len(of_willing),
              "cleared": len(of_willing.merge(cleared[UNIT].drop_duplicates(), on=UNIT)), "printed": len(printed)}
    return make([{"cohort": _cohort(quotations), "analysis": "quotations", "category": c, "n": n, "of": len(passages)}
                 for c, n in counts.items()], COUNTS)


# -------------------------------------------------------------------------------------- joint display

def joint(
    prevalences: pd.DataFrame, changes: pd.DataFrame, *, beside: Mapping[str, str], themes: Mapping[str, str],
    outcomes: Mapping[str, str], term: str, judgements: Iterable[Mapping[str, str]],
) -> pd.DataFrame:
    """Each theme beside the change of the subscale it is set beside, with a person's judgement.

    Parameters
    ----------
    prevalences, changes
        ESTIMATES rows as they may leave: analysis 'themes', and the changes with `term`.
    beside
        Theme id -> subscale id, or empty; a theme without a subscale, or whose subscale has no change, has no
        number.
    themes, outcomes
        Id -> label.
    judgements
        Rows of study/joint_display.csv: theme, judgement ('confirms', 'expands', 'contradicts' or empty),
        comment.

    Returns
    -------
    Columns theme, n, of, share_low and share_high (of a band), subscale, estimate, low, high, judgement,
    comment, as `figures.joint_display` takes them.
    """
    share = prevalences[prevalences["term"] == "prevalence"].set_index("outcome")
    change = changes[changes["term"] == term].set_index("outcome")
    judged = {j["theme"]: j for j in judgements}
    rows = []
    for theme, subscale in beside.items():
        people, known = share.loc[theme], subscale in change.index and subscale in outcomes
        n = people["estimate"] * people["n"]
        row = {"theme": themes[theme], "n": round(n) if pd.notna(n) else pd.NA, "of": people["n"],
               "share_low": np.nan, "share_high": np.nan, "subscale": "", "estimate": np.nan, "low": np.nan, "high": np.nan}
        if pd.isna(n):
            row |= {"share_low": people["low"], "share_high": people["high"]}
        if known:
            row |= {"subscale": outcomes[subscale], **change.loc[subscale, ["estimate", "low", "high"]].to_dict()}
        rows.append(row | {key: judged.get(theme, {}).get(key, "") for key in ("judgement", "comment")})
    return pd.DataFrame(rows, columns=["theme", "n", "of", "share_low", "share_high", "subscale", "estimate", "low", "high",
                                       "judgement", "comment"])
