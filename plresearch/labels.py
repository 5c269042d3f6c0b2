"""The words that are printed for the categories of COUNTS, the kinds of events, and the terms of models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

KINDS = {
    "contract": "Contract signed", "meeting": "Meeting of a pair", "shadowing": "Shadowing visit", "reflection": "Reflection",
    "workshop": "Workshop", "forum": "Forum session",
}
COMPONENTS = {
    "contract": "Contracts signed (pairs)", "meetings": "Meetings held (of those planned)",
    "shadowing": "Shadowing visits made (of those planned)", "reflections": "Wrote a reflection (people)",
    "workshops": "Workshop places taken", "forum": "Forum places taken",
}

DOSES = {"Spearman meetings": "Rank correlation with meetings", "Spearman hours": "Rank correlation with recorded hours"}
SLOPES = {"slope meetings": "Points per meeting", "slope hours": "Points per recorded hour"}
RICHNESS = {"found": "Found", "Chao2": "Estimated in all (Chao2)"}
VOICES = {"per person": "Marked passages per person", "largest share": "Share of the person quoted most"}
COEFFICIENTS = {"percent": "Agreement", "kappa": "Kappa", "AC1": "AC1", "alpha": "Alpha"}


def stages(flow: pd.DataFrame, waves: Mapping[str, str]) -> dict[str, str]:
    """Stages of the participant flow that a cohort has, in order, with their words."""
    words = {"on the roster": "Started the programme"}
    words |= {f"answered|{w}": f"Usable questionnaire, {name.lower()}" for w, name in waves.items()}
    words |= {"answered every wave": "Usable questionnaire at every wave"}
    return _present(words, flow)


def losses(flow: pd.DataFrame, waves: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What was lost after the first stage, where the flow has a roster to lose people from."""
    first = next(iter(waves))
    lost = _present({f"did not answer|{first}": f"No usable questionnaire, {waves[first].lower()}"}, flow)
    return {"on the roster": lost} if lost and "on the roster" in set(flow["category"]) else {}


def rows_by_fate(flow: pd.DataFrame) -> dict[str, str]:
    """The categories that count rows of exports: received, doubled, set aside by reason, kept."""
    return {c: " · ".join(c.split("|")[1:]) for c in flow["category"] if c.startswith("rows|")}


def edits(counts: pd.DataFrame) -> dict[str, str]:
    """The categories that count edits, by the name of their rule."""
    return {c: c.partition("|")[2].replace("_", " ") for c in counts["category"]}


def people(flow: pd.DataFrame) -> dict[str, str]:
    """The categories that count people and pairs."""
    return {c: c.replace("|", ", ") for c in flow["category"] if not c.startswith("rows|")}


def completeness(outcomes: Mapping[str, str]) -> dict[str, str]:
    """Words for the categories of `score.completeness`."""
    return {f"complete|{o}": label for o, label in outcomes.items()}


def retention(counts: pd.DataFrame, waves: Mapping[str, str]) -> dict[str, str]:
    """Words for the categories of `attrition.retention` that a cohort has."""
    words = {f"retained|{w}": f"Answered again, {name.lower()}" for w, name in waves.items()}
    return _present(words | {f"retained pairs|{w}": f"Both partners again, {name.lower()}" for w, name in waves.items()}, counts)


def leaving(roles: Mapping[str, str]) -> dict[str, str]:
    """Words for the terms of `attrition.attrition`; `roles` maps role ids to their plurals."""
    words = {" minus ".join(roles): f"Share who left, {' minus '.join(roles.values()).lower()}"} if len(roles) == 2 else {}
    return words | {"leavers minus stayers": "Baseline, leavers minus stayers"}


def questions(found: pd.DataFrame, texts: Mapping[str, str]) -> dict[str, str]:
    """The wording of the items among the outcomes of a table of estimates."""
    seen = set(found["outcome"])
    return {i: text for i, text in texts.items() if i in seen}


def contrasts(found: pd.DataFrame, of_study, unit: str) -> dict[str, str]:
    """Term of the mean change -> words, for the contrasts that anybody answered; the primary one first and always."""
    seen = set(found.loc[found["n"] > 0, "term"])
    terms = {f"{unit} mean" + ("" if c.primary else f": {c.id}"): c for c in of_study}
    return {term: c.label for term, c in terms.items() if c.primary or term in seen}


def components(done: pd.DataFrame, roles: Mapping[str, str]) -> dict[str, str]:
    """Words for what was done of what was planned, as far as a cohort has it; `roles` maps role ids to their plurals."""
    words: dict[str, str] = {}
    for category, text in COMPONENTS.items():
        words[category] = text
        if category == "shadowing":
            words |= {f"shadowing|{r}": f"Visits by {name.lower()}" for r, name in roles.items()}
            words["both ways"] = "Visited both ways (pairs)"
    return _present(words, done)


def fidelity(done: pd.DataFrame, roles: Mapping[str, str]) -> dict[str, str]:
    """Words for the further counts of delivery: terms of the contract, others visited, return to the forum, recorded lengths."""
    words = {c: f"Contract covers {c.partition('|')[2].replace('_', ' ')}" for c in done["category"] if c.startswith("contract term|")}
    words |= {c: f"Also shadowed the {c.partition('|')[2].replace('_', ' ')} (people)" for c in done["category"] if c.startswith("visited|")}
    words["came again"] = "Came to the forum again (of those who came once)"
    words |= {f"came again|{r}": f"Came again, {name.lower()}" for r, name in roles.items()}
    return _present(words | {"length recorded": "Events whose length was recorded"}, done)


def doses(found: pd.DataFrame, roles: Mapping[str, str]) -> dict[str, str]:
    """Words for the outcomes of `delivery.fidelity`."""
    words = {"all": "All components", "contract": "Contract", "meetings": "Meetings", "shadowing": "Shadowing"}
    words |= {f"shadowing|{r}": f"Shadowing by {name.lower()}" for r, name in roles.items()}
    words |= {"reflections": "Reflections", "workshops": "Workshops", "forum": "Forum"}
    seen = set(found["outcome"])
    return {c: w for c, w in words.items() if c in seen}


HOURS = {"hours": "All", "meeting": "Meetings", "shadowing": "Shadowing visits made", "workshop": "Workshops", "forum": "Forum"}


def time_given(found: pd.DataFrame) -> dict[str, str]:
    """Words for the outcomes of `delivery.hours`."""
    seen = set(found["outcome"])
    return {c: w for c, w in HOURS.items() if c in seen}


def dose_terms(found: pd.DataFrame) -> dict[str, str]:
    """Words for the terms of `delivery.dose_response` that a table has."""
    seen = set(found["term"])
    return {t: w for t, w in (DOSES | SLOPES).items() if t in seen}


def topics(counted: pd.DataFrame) -> str:
    """One sentence on the topics of the forum."""
    if not len(counted):
        return "No list of the forum's topics is kept for this cohort."
    n = counted.set_index("category")["n"]
    return f"Topics raised at the forum: {n['raised']}; resolved by the end: {n['resolved']}."


def quotations(counted: pd.DataFrame) -> str:
    """One sentence on what became of the quotations."""
    n = counted.set_index("category")["n"]
    return (f"Passages with an agreed theme: {n['agreed']}; of people who consent to being quoted this far: {n['consented']}; "
            f"read and cleared for print: {n['cleared']}; printed: {n['printed']}.")


def sessions(forum: pd.DataFrame, roles: Mapping[str, str]) -> dict[str, str]:
    """Words for the categories of `delivery.forum`: the day and the group."""
    return {c: f"{day}, {roles.get(role, 'guests').lower()}" for c in forum["category"] for day, _, role in [c.partition("|")]}


def kinds(timeline: pd.DataFrame) -> dict[str, str]:
    """Words for the kinds of events in a timeline."""
    seen = set(timeline["category"].str.partition("|")[2])
    return {k: words for k, words in KINDS.items() if k in seen}


def pairs_needed(needed: pd.DataFrame, outcomes: Mapping[str, str], *, half_width: float) -> str:
    """The bottom line of planning, from the rows of `planning.pairs_needed`: how many should start, per outcome."""
    unit = needed["unit"].iloc[0]
    target = f"for an expected half-width below {half_width:g} points"
    enough = needed[needed["estimate"].notna()]
    parts = [f"{outcomes[r.outcome]} {int(r.estimate)}" for r in enough.itertuples()]
    text = f"{unit.capitalize()} that should start {target}: {', '.join(parts)}." if parts else ""
    lacking = needed[needed["estimate"].isna()]
    reasons = [f"{outcomes[r.outcome]}: {r.method.removeprefix('not defined: ')}." for r in lacking.itertuples()]
    if parts and not reasons:
        text += f" For all outcomes: {int(enough['estimate'].max())}."
    return " ".join([text, *reasons]).strip()


def mixed_model(waves: Mapping[str, str], roles: Mapping[str, str]) -> dict[str, str]:
    """Words for the changes of `models.mixed_change`; `roles` is empty where nobody is paired."""
    first, last = waves.values()
    words = {"wave change": f"Change, {first.lower()} to {last.lower()}"}
    words |= {f"wave change, {r}": f"Change of {name.lower()}" for r, name in roles.items()}
    words |= _difference(roles, "Difference of changes")
    return words | {"cohort x wave F": "F, changes differ by cohort"}


MIXED_CHECKS = {"wave change": "Kenward-Roger", "wave change, Satterthwaite": "Satterthwaite",
                "wave change, unstructured": "Unstructured covariance"}


def marginal_means(waves: Mapping[str, str], roles: Mapping[str, str]) -> dict[str, str]:
    """Words for the estimated marginal means of `models.mixed_change`."""
    if not roles:
        return {f"mean, {w}": f"Mean, {name.lower()}" for w, name in waves.items()}
    return {f"mean, {r}, {w}": f"{group}, {name.lower()}" for r, group in roles.items() for w, name in waves.items()}


def cluster_robust(roles: Mapping[str, str]) -> dict[str, str]:
    """Words for the terms of `models.cluster_robust`."""
    return {"wave change": "Change"} | _difference(roles, "Difference of changes")


def odds(waves: Mapping[str, str]) -> dict[str, str]:
    """Words for the headline terms of `models.cumulative_link`."""
    above = {f"above the middle, {w}": f"Answers above the middle, {name.lower()}" for w, name in waves.items()}
    return {"odds ratio of wave": "Odds ratio of a higher answer"} | above | {"proportional odds": "Proportional odds (chi-squared)"}


def partners(roles: Mapping[str, str]) -> dict[str, str]:
    """Words for the terms of `models.actor_partner`."""
    kinds = {"actor": "own beginning", "partner": "partner's beginning", "k": "partner's over own"}
    named = {f"{r} {k}": f"{name}: {words}" for r, name in roles.items() for k, words in kinds.items()}
    return named or {"actor": "Own beginning", "partner": "Partner's beginning"}


def missing_answers(unit: str, terms: Iterable[str]) -> dict[str, str]:
    """Words for the terms of `models.imputed` and `models.tipping`; `terms` are those that exist."""
    words = {"complete pairs": f"Complete {unit}s", "multiple imputation": "Multiple imputation"}
    shifted = {t: t.replace("imputed", "Imputed scores") for t in terms if t.startswith("imputed ") and t.endswith(("lower", "higher"))}
    return words | shifted | {"tipping point, lower": "Tipping point, lower", "tipping point, higher": "Tipping point, higher"}


SPREAD = {"range of estimates": "Median of the estimates (smallest to largest)",
          "specifications above zero": "Estimates above zero", "intervals above zero": "Intervals above zero"}


def choices(cohorts: Mapping[str, str]) -> dict[str, str]:
    """Words for the choices and options of `multiverse.specifications`."""
    return {
        "unit": "Unit", "pair": "Pair", "person": "Person", "estimator": "Estimator", "mean, t": "Mean, t interval",
        "mean, sign-flip": "Mean, sign-flip interval", "Hodges-Lehmann, pratt": "Hodges-Lehmann, Pratt",
        "Hodges-Lehmann, wilcox": "Hodges-Lehmann, Wilcoxon", "mixed model": "Mixed model", "imputation": "Multiple imputation",
        "answered": "Answered items", "minimum": "At least the minimum", "every item": "Every item", "people": "Who enters",
        "complete pairs": "Complete pairs", "both waves": "People with both waves", "any wave": "Anybody with a wave",
        "imputed": "All who started", "weights": "Weights", "random effects": "Random effects", "cohorts alike": "Cohorts alike",
        "units alike": "Units alike", "cohorts": "Cohorts", "all cohorts": "All",
    } | {f"without {c}": f"Without {name}" for c, name in cohorts.items()}


def _difference(roles: Mapping[str, str], words: str) -> dict[str, str]:
    if not roles:
        return {}
    first, second = roles
    return {f"wave change, {first} minus {second}": f"{words}, {roles[first].lower()} minus {roles[second].lower()}"}


def _present(words: Mapping[str, str], counts: pd.DataFrame) -> dict[str, str]:
    seen = set(counts["category"])
    return {c: w for c, w in words.items() if c in seen}
