"""From answers to subscale scores, and who has the scores an analysis needs.

A reverse-keyed answer x becomes min + max - x; a subscale is the mean of its answered items when at
least the instrument's minimum is answered (otherwise the score is missing and the row says how many
items were answered).
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from . import effects
from .frames import COUNTS, ESTIMATES, RESPONSES, SCORES, Refusal, conform, make
from .reliability import cronbach_alpha, guttman, mcdonald_omega
from .study import Instrument

GRIM_DECIMALS = 6  # scores are kept at nine decimals; their means are good to six at any size of group


def keyed(responses: pd.DataFrame, instrument: Instrument) -> pd.DataFrame:
    """The answers with reverse-keyed items turned round (min + max - x), so that more is always more.

    Raises
    ------
    Refusal
        When an answer belongs to an item that the instrument does not have, or lies outside its codes.
    """
    items = instrument.items
    unknown = sorted(set(responses["item"]) - set(items))
    if unknown:
        raise Refusal(f"{len(unknown)} items are not in instrument {instrument.id} (first: '{unknown[0]}'); clean again")
    codes = {i.id: instrument.response_sets[i.responses].codes for i in items.values()}
    low = responses["item"].map({k: min(c) for k, c in codes.items()}).astype(float)
    high = responses["item"].map({k: max(c) for k, c in codes.items()}).astype(float)
    value = responses["value"]
    outside = (value < low) | (value > high)
    if outside.any():
        first = responses[outside].iloc[0]
        raise Refusal(
            f"{int(outside.sum())} answers lie outside their codes (first: {first['item']} = {first['value']:g}); "
            "clean again, or correct the instrument"
        )
    turned = responses["item"].map({i.id: i.reversed for i in items.values()}).astype(bool)
    return responses.assign(value=value.where(~turned, low + high - value))


def score(responses: pd.DataFrame, instrument: Instrument) -> pd.DataFrame:
    """Subscale scores per person and wave.

    score = mean of the answered items (reverse-keyed ones turned round), in points of the response
    scale, when at least the subscale's `minimum` items are answered; otherwise missing.

    Parameters
    ----------
    responses
        RESPONSES rows; a missing `value` is an unanswered item.
    instrument
        Items, subscales and response sets.

    Returns
    -------
    SCORES rows, one per person, wave and subscale asked at that wave.

    Raises
    ------
    Refusal
        As `keyed`, and when a person has two answers to one item at one wave.

    Examples
    --------
    >>> from plresearch import study
    >>> from plresearch.frames import RESPONSES
    >>> answers = [{"person": "A", "wave": "pre", "item": f"role_{k}", "value": v} for k, v in enumerate((4, 5, 2, 3), 1)]
    >>> score(make(answers, RESPONSES), study.load().instrument)["score"].tolist()  # role_3 is reversed: 2 -> 4
    [4.0]
    """
    rows = keyed(conform(responses, RESPONSES), instrument)
    _refuse_doubles(rows, ["cohort", "person", "wave", "item"], "answers to one item at one wave", "clean again")
    rows["subscale"] = rows["item"].map({i.id: i.subscale for i in instrument.items.values()})
    by = ["cohort", "person", "pair", "role", "wave", "subscale"]
    grouped = rows.groupby(by, sort=False, dropna=False)["value"].agg(score="mean", answered="count", items="size").reset_index()
    minimum = grouped["subscale"].map({s.id: s.minimum for s in instrument.subscales.values()})
    grouped["score"] = grouped["score"].round(9).where(grouped["answered"] >= minimum)
    order = {s: k for k, s in enumerate(instrument.subscales)}
    grouped = grouped.sort_values(
        ["cohort", "subscale", "wave", "person"], key=lambda c: c.map(order) if c.name == "subscale" else c, kind="stable"
    )
    return conform(grouped, SCORES)


def _refuse_doubles(rows: pd.DataFrame, key: list[str], what: str, cure: str) -> None:
    """Stop where a key that must be unique occurs twice."""
    double = rows.duplicated(key, keep=False)
    if double.any():
        first = rows[double].iloc[0]
        where = ", ".join(f"{k} {first[k]}" for k in key)
        raise Refusal(f"{int(double.sum())} rows are several {what} (first: {where}); {cure}")


def complete(scores: pd.DataFrame, *, waves: tuple[str, ...], roles: tuple[str, ...]) -> pd.DataFrame:
    """The scores of those who have every one of `waves`: whole pairs where the study has roles, else people.

    A pair is whole when exactly one person of each role has a score at every wave; a partner who
    was replaced between two waves does not complete it. One set of people per subscale serves all its
    results, so that no two printed numbers differ by one person's answers.

    Raises
    ------
    Refusal
        When a person has two scores of one subscale at one wave, or a pair two complete people of one role.
    """
    rows = scores[scores["wave"].isin(waves) & scores["score"].notna() & (scores["person"] != "")]
    if roles:
        rows = rows[(rows["pair"] != "") & rows["role"].isin(roles)]
    group = ["cohort", "subscale"]
    _refuse_doubles(rows, [*group, "person", "wave"], "scores of one person at one wave", "score the responses again")
    rows = rows[rows.groupby([*group, "person"])["wave"].transform("nunique") == len(set(waves))]
    if roles:
        people = rows.drop_duplicates([*group, "person"])
        _refuse_doubles(people, [*group, "pair", "role"], "people of one role in one pair", "correct the roster")
        rows = rows[rows.groupby([*group, "pair"])["role"].transform("nunique") == len(roles)]
    return rows.reset_index(drop=True)


def complete_by_contrast(scores: pd.DataFrame, contrasts, *, roles: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Contrast id -> `complete` scores over the two waves of that contrast (`id`, `from_`, `to`)."""
    return {c.id: complete(scores, waves=(c.from_, c.to), roles=roles) for c in contrasts}


def completeness(scores: pd.DataFrame, *, waves: tuple[str, ...], roles: tuple[str, ...]) -> pd.DataFrame:
    """Per subscale, how many pairs (people where nobody is paired) have a score at every wave.

    Returns
    -------
    COUNTS rows, analysis 'flow', category ``complete|<subscale>``; `of` counts all pairs or people.
    """
    unit = "pair" if roles else "person"
    everyone = scores[scores[unit] != ""]
    kept = complete(scores, waves=waves, roles=roles)
    rows = [
        {"cohort": cohort, "analysis": "flow", "category": f"complete|{subscale}",
         "n": kept[(kept["cohort"] == cohort) & (kept["subscale"] == subscale)][unit].nunique(), "of": part[unit].nunique()}
        for (cohort, subscale), part in everyone[everyone["wave"].isin(waves)].groupby(["cohort", "subscale"], sort=False)
        if set(waves) <= set(part["wave"])
    ]
    return make(rows, COUNTS)


def asked_once(scores: pd.DataFrame, outcomes, *, waves: tuple[str, ...]) -> pd.DataFrame:
    """The scores of subscales that are no outcome of change because they were asked at the last wave only."""
    last = scores[(scores["wave"] == waves[-1]) & ~scores["subscale"].isin(list(outcomes)) & scores["score"].notna()]
    return last.reset_index(drop=True)


def pooled_answers(responses: pd.DataFrame, whole: pd.DataFrame, *, items: list[str]) -> pd.DataFrame:
    """Answers to some items over all cohorts, of the people whose scores enter the results.

    The cohort reads 'combined': a table of single answers by cohort would often show one colleague. Ids of
    people and pairs get the cohort in front, so that equal ids of two cohorts stay apart.
    """
    people = set(zip(whole["cohort"], whole["person"]))
    counted = np.array([p in people for p in zip(responses["cohort"], responses["person"])], dtype=bool)
    kept = responses[counted & responses["item"].isin(items) & responses["wave"].isin(whole["wave"].unique())]
    named = {c: (kept["cohort"] + "|" + kept[c]).where(kept[c] != "", "") for c in ("person", "pair")}
    return kept.assign(**named, cohort="combined").reset_index(drop=True)


def reliability(responses: pd.DataFrame, instrument: Instrument, *, wave: str, level: float) -> pd.DataFrame:
    """Internal consistency of every subscale at one wave, over the people who answered all its items.

    Returns
    -------
    ESTIMATES rows, analysis 'reliability'. Of a subscale: ``alpha <wave>`` (Cronbach's alpha, Feldt's interval),
    ``lambda-2 <wave>`` and ``lambda-6 <wave>`` (Guttman). Of an item: ``alpha if dropped <wave>`` and ``item-rest
    <wave>`` (correlation with the sum of the others). What the answers do not define (a single item, fewer
    than three people, no variation) has a row without a number, and `method` says why.
    """
    rows = []
    for cohort, subscale, answers in _answered_in_full(responses, instrument, wave):
        common = {"cohort": cohort, "analysis": "reliability", "n": len(answers), "unit": "coefficient"}
        rows += [common | row for row in _consistency(answers, subscale, wave, level)]
    return make(rows, ESTIMATES)


def _answered_in_full(responses: pd.DataFrame, instrument: Instrument, wave: str):
    """(cohort, subscale, people x items) for every subscale asked at the wave; rows are people without a gap."""
    turned = keyed(responses[responses["wave"] == wave], instrument)
    asked = {i.id for i in instrument.asked_at(wave)}
    for cohort, part in turned.groupby("cohort", sort=False):
        for subscale in instrument.subscales:
            items = [i.id for i in instrument.items_of(subscale) if i.id in asked]
            if not items:
                continue
            table = part[part["item"].isin(items)].pivot(index="person", columns="item", values="value")
            yield cohort, subscale, table.reindex(columns=items).dropna()


def _consistency(answers: pd.DataFrame, subscale: str, wave: str, level: float) -> list[dict]:
    whole = {f"alpha {wave}": "Cronbach's alpha, Feldt interval", f"lambda-2 {wave}": "Guttman's lambda-2",
             f"lambda-6 {wave}": "Guttman's lambda-6"}
    single = {f"alpha if dropped {wave}": "Cronbach's alpha of the other items",
              f"item-rest {wave}": "Pearson correlation of the item with the sum of the others"}
    keys = [(subscale, t, m) for t, m in whole.items()] + [(i, t, m) for i in answers for t, m in single.items()]
    try:
        if answers.shape[1] == 1:
            raise ValueError("a single item has no internal consistency")
        alpha, bounds = cronbach_alpha(answers.to_numpy(float), level=level), guttman(answers.to_numpy(float))
    except ValueError as reason:
        return [{"outcome": o, "term": t, "method": f"not defined: {reason}"} for o, t, _ in keys]
    values = [alpha.alpha, bounds.lambda2, bounds.lambda6]
    values += [v for both in zip(alpha.alpha_if_dropped, alpha.item_rest) for v in both]
    rows = [{"outcome": o, "term": t, "estimate": math.nan if v is None else v,
             "method": m if v is not None else "not defined: no variation, or too few items or people"}
            for (o, t, m), v in zip(keys, values)]
    rows[0] |= {"low": alpha.low, "high": alpha.high}
    return rows


def reliability_used(found: pd.DataFrame, instrument: Instrument, *, wave: str) -> pd.DataFrame:
    """The reliability of each subscale that thresholds rest on: the instrument's external one, else alpha.

    Parameters
    ----------
    found
        Rows of `reliability`.

    Returns
    -------
    ESTIMATES rows, analysis 'reliability', term 'reliability used'; `method` says where it comes from.
    """
    rows = []
    for row in found[found["term"] == f"alpha {wave}"].to_dict("records"):
        given = instrument.subscales[row["outcome"]].reliability
        source = f"Cronbach's alpha of this sample, {wave}" if given is None else "external, declared by the instrument"
        undefined = given is None and pd.isna(row["estimate"])
        rows.append({k: row[k] for k in ("cohort", "analysis", "outcome", "n", "unit")} | {
            "term": "reliability used", "estimate": row["estimate"] if given is None else given,
            "method": row["method"] if undefined else source,
        })
    return make(rows, ESTIMATES)


def omega(responses: pd.DataFrame, instrument: Instrument, *, wave: str, level: float) -> pd.DataFrame:
    """McDonald's omega per subscale at one wave, over the people of all cohorts together.

    A one-factor model is hardly estimable in one small cohort, so there is no row per cohort. The interval
    is that of the logit scale where omega lies inside 0 to 1; a Heywood case is named in `method`.

    Returns
    -------
    ESTIMATES rows, cohort 'combined', analysis 'reliability', term ``omega <wave>``.
    """
    together = responses.assign(person=responses["cohort"] + "|" + responses["person"], cohort="combined")
    rows = []
    for cohort, subscale, answers in _answered_in_full(together, instrument, wave):
        row = {"cohort": cohort, "analysis": "reliability", "outcome": subscale, "term": f"omega {wave}", "n": len(answers),
               "unit": "coefficient"}
        try:
            found = mcdonald_omega(answers.to_numpy(float), level=level)
        except ValueError as reason:
            rows.append(row | {"method": f"not defined: {reason}"})
            continue
        inside = found.logit_low is not None
        warning = f"; Heywood case ({len(found.heywood)} of {found.items} items), not to be relied on" if found.heywood else ""
        rows.append(row | {
            "estimate": found.omega, "se": found.se, "low": found.logit_low if inside else found.low,
            "high": found.logit_high if inside else found.high,
            "method": f"one-factor model, maximum likelihood, {'logit' if inside else 'delta'} interval{warning}",
        })
    return make(rows, ESTIMATES)


def floor_and_ceiling(scores: pd.DataFrame, instrument: Instrument, *, level: float) -> pd.DataFrame:
    """Share of scores at the lowest and at the highest possible value, per subscale and wave.

    Returns
    -------
    ESTIMATES rows, analysis 'limits', terms ``floor <wave>`` and ``ceiling <wave>``; estimate is a share
    of people (0 to 1) with Wilson's interval.

    Raises
    ------
    Refusal
        When the items of a subscale do not share their lowest and highest code: it has no common end.
    """
    rows = []
    for (cohort, subscale, wave), part in scores.groupby(["cohort", "subscale", "wave"], sort=False):
        low, high = _ends(instrument, subscale)
        found = effects.floor_ceiling(part["score"].to_numpy(), low=low, high=high, level=level)
        for term, share in (("floor", found.floor), ("ceiling", found.ceiling)):
            rows.append({
                "cohort": cohort, "analysis": "limits", "outcome": subscale, "term": f"{term} {wave}", "n": len(part),
                "estimate": share.share, "low": share.low, "high": share.high, "unit": "share",
                "method": f"share of scores at the {term} of the scale, Wilson interval",
            })
    return make(rows, ESTIMATES)


def _ends(instrument: Instrument, subscale: str) -> tuple[int, int]:
    codes = [instrument.response_sets[i.responses].codes for i in instrument.items_of(subscale)]
    ends = {(min(c), max(c)) for c in codes}
    if len(ends) != 1:
        raise Refusal(f"the items of subscale {subscale} run over {len(ends)} different ranges of codes; a mean of "
                      "them has no common scale, so give them one range in the instrument")
    return ends.pop()


def grim_check(estimates: pd.DataFrame, instrument: Instrument, *, roles: tuple[str, ...] = ()) -> str:
    """Could every released mean come from that many people answering that many items?

    A mean of n scores, each the mean of at least `minimum` of k whole answers, is a multiple of
    step / (n lcm(minimum, ..., k)); a mean over pairs of two people of half of that (GRIM; Brown &
    Heathers 2017, doi:10.1177/1948550616673876). A mean that is none, or a score outside the scale, was
    computed from other data than it says.

    Parameters
    ----------
    estimates
        ESTIMATES rows; means of scores (analysis 'descriptives') and mean changes (analysis 'change': per
        pair, per person, per role, difference of the roles) are checked, others are passed over.
    roles
        The two role ids, or none.

    Returns
    -------
    One sentence with the number of means checked, for the notebook.

    Raises
    ------
    Refusal
        Naming the first mean that cannot be.
    """
    people_behind = {"pair mean": 2, "person mean": 1, " minus ".join(roles): 1} | {r: 1 for r in roles}
    checked, telling = 0, 0
    for row in estimates[estimates["estimate"].notna()].to_dict("records"):
        base = row["term"].partition(": ")[0]
        is_mean = row["analysis"] == "descriptives" and base.endswith("|mean")
        people = 1 if is_mean else people_behind.get(base) if row["analysis"] == "change" else None
        if people is None or row["outcome"] not in instrument.subscales:
            continue
        found = effects.grim(f"{row['estimate']:.12f}", int(row["n"]), items=people * _grain(instrument, row["outcome"]),
                             step=_step(instrument, row["outcome"]), decimals=GRIM_DECIMALS)
        low, high = _ends(instrument, row["outcome"])
        if not found.consistent or (is_mean and not low <= round(row["estimate"], GRIM_DECIMALS) <= high):
            raise Refusal(
                f"{row['cohort']}, {row['outcome']}, {row['term']}: a mean of {row['estimate']:.4f} cannot come from "
                f"{row['n']} {'pairs' if people == 2 else 'people'} (nearest possible: {found.below:.4f} and "
                f"{found.above:.4f}); score again, and do not edit results"
            )
        checked, telling = checked + 1, telling + found.informative
    return (f"{checked} means were checked against the number of people and items behind them (GRIM): all are possible"
            + ("." if telling == checked else f"; for {checked - telling} the check cannot fail."))


def _grain(instrument: Instrument, subscale: str) -> int:
    """Smallest whole number that every possible number of answered items divides."""
    return math.lcm(*range(instrument.subscales[subscale].minimum, len(instrument.items_of(subscale)) + 1))


def _step(instrument: Instrument, subscale: str) -> int:
    """Largest step that every code of the subscale's items is a multiple of."""
    return math.gcd(*(c for i in instrument.items_of(subscale) for c in instrument.response_sets[i.responses].codes))


def item_counts(responses: pd.DataFrame, instrument: Instrument) -> pd.DataFrame:
    """How many people answered below, at and above the middle of the scale, for each item and wave.

    Single answers would often be one or two people; three groups say the same and can be shown.

    Returns
    -------
    COUNTS rows, analysis 'items', category ``<item>|<wave>|<group>`` with group 1 (below the middle), 2 (the
    middle) or 3 (above); `of` counts the answers of the item.
    """
    answered = responses.dropna(subset=["value"])
    codes = {i.id: instrument.response_sets[i.responses].codes for i in instrument.items.values()}
    middle = answered["item"].map({k: (min(c) + max(c)) / 2 for k, c in codes.items()}).astype(float)
    group = (np.sign(answered["value"] - middle) + 2).astype(int)
    seen = answered.groupby(["cohort", "item", "wave", group]).size()
    rows = [
        {"cohort": cohort, "analysis": "items", "category": f"{item}|{wave}|{g}",
         "n": int(seen.get((cohort, item, wave, g), 0)), "of": int(n)}
        for (cohort, item, wave), n in answered.groupby(["cohort", "item", "wave"], sort=False).size().items() for g in (1, 2, 3)
    ]
    return make(rows, COUNTS)
