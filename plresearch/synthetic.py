"""Synthetic Paired Learning cohorts with known truth, written as the survey tools would export them.

No person took part: every answer, event and quotation comes from this module. The generator serves
three ends: the three shipped cohorts (`python -m plresearch.synthetic` rewrites `data_raw/`), tests that
must recover a known truth, and planning by simulation (`simulate_scores`).

The model
---------
Person g (role) of pair p has, at wave w and on subscale s, the latent position (in scale points, 1 to 5)

    theta = baseline[s, g] + cohort + pair[p, s] + (1 - convergence[s] q) person[p, g, s]
            + q (gain[s, g] + dose (meetings[p] - expected) + pair change[p, s] + person change[p, g, s])
            + occasion[p, g, w, s]

where q is the share of the gain reached by the wave's month (`Truth.share`). A then-test wave asks at the
end about the beginning: q = 0 and `then_shift` is added. In a comparison cohort gain, dose, convergence and
then shift are nil; people still change by their own amounts. An answer is theta - difficulty + error, cut
halfway between neighbouring answers; reverse-keyed items are turned round. All effects are normal, so the
expected score has a closed form (`expected_scores`). People leave after the first wave with a probability
that depends on their role and on their *observed* first scores (missing at random).

The planted defects
-------------------
`PLANS` lists each one and `DEFECTS` counts them per cohort. Those that change no true answer:

- ``id_spelling``        a code in small letters, with blanks, or without its leading zero
- ``answer_spelling``    '2', '4', '5', '5.0', 'agree ', 'Strongly Agree', 'Neutral' for the label
- ``missing_word``       'Prefer not to say', 'N/A' or '-99' where a question was skipped
- ``header_spelling``    non-breaking space or curly apostrophe in a column name
- ``identical_double``   one row twice, byte for byte (plain CSV only: the tools number their rows)
- ``code_typo``          letter O for zero; repaired in the corrections file
- ``partner_code``       a manager typed the partner's code, which makes two differing rows of one person;
  repaired in the corrections file
- ``out_of_range``       '6' for the highest answer; repaired in the corrections file

Rows that are set aside or absent:

- ``differing_double``   one person, two different submissions; both stay in quarantine
- ``unknown_code``       a submission under a code that is not in the roster
- ``half_point``         '3.5'
- ``preview``            a preview of the form by its maker (Qualtrics)
- ``test_response``      a trial under the code TEST
- ``no_consent``         consent refused, no question answered, no interview
- ``partial``            the last questions never reached (kept, flagged; those answers are missing)
- ``post_only``          the first form was never sent in
- ``withdrawn``          a manager left; no later form, events after that day cancelled
- ``answered_withdrawn`` a manager left and nevertheless answered the last form
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
from scipy import special, stats

from .frames import CODINGS, EVENTS, RESPONSES, Refusal, conform, make
from .study import Cohort, Item, Source, Study, Wave, load

DAYS_PER_MONTH = 30.4375
PROBABILITIES = (
    "subscale_correlation", "dropout", "skip", "on_theme", "interviewed", "sensitivity", "specificity",
    "meeting_rate", "contract_rate", "shadowing_rate", "reflection_rate", "workshop_rate", "forum_rate",
)  # of Truth
ANSWER_WINDOW = 18  # days during which the forms of one wave come in
FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # of every member of a workbook: its bytes do not depend on the day


@dataclass(frozen=True)
class Trait:
    """Truth about one subscale, in scale points; two values are for the first and the second role.

    `baseline` at month 0; `gain` when the programme ends; standard deviations between pairs, between
    people of a pair, of the pairs' and the people's own change, and from occasion to occasion;
    `convergence` the share by which a person's distance from the pair shrinks; `then_shift` how much
    lower (or higher) people place their beginning when asked at the end.
    """

    baseline: tuple[float, float] = (3.0, 3.2)
    gain: tuple[float, float] = (0.4, 0.4)
    pair_sd: float = 0.35
    person_sd: float = 0.50
    pair_change_sd: float = 0.20
    person_change_sd: float = 0.30
    occasion_sd: float = 0.20
    convergence: float = 0.10
    then_shift: float = -0.25


def _traits() -> dict[str, Trait]:
    return {
        "preparedness": Trait(baseline=(3.0, 3.4), gain=(0.60, 0.35)),
        "role": Trait(baseline=(2.4, 3.0), gain=(0.95, 0.60), convergence=0.35),
        "ethos": Trait(baseline=(3.1, 3.2), gain=(0.45, 0.35)),
        "collaboration": Trait(baseline=(2.9, 3.2), gain=(0.55, 0.40)),
    }


@dataclass(frozen=True)
class Truth:
    """Every parameter of the generator.

    Parameters
    ----------
    traits, other
        Truth per subscale id; `other` serves every subscale of a study that `traits` does not name.
    cohort_effect
        Points added to everybody at every wave.
    subscale_correlation
        Correlation between any two subscales of each pair, person and change effect (0 to 1).
    items, item_sd, difficulty_spread
        Items per subscale in planning (a study declares its own); standard deviation of one answer's
        error; items lie evenly from -spread to +spread points of difficulty.
    programme_months, fade
        Month at which the gain is complete; share of it lost per month afterwards.
    dropout, dropout_role, dropout_slope
        Probability of leaving before the next wave for the first role at an observed first mean of 3;
        log odds added for the second role; log odds added per point below 3.
    skip
        Probability that one question of an answered form is left out.
    meetings, meeting_rate, dose_slope
        Meetings agreed per pair (a cohort's target comes first), probability that one is held, and
        points of gain per meeting held beyond the expected number.
    contract_rate, shadowing, shadowing_rate, reflections, reflection_rate, workshops, workshop_rate, forums,
    forum_rate
        Probability of a signed contract per pair; visits agreed per pair (half each way; a cohort's
        target comes first), reflections per person, workshops and forums per cohort, each with the
        probability that it took place or was attended.
    interviewed, segments, on_theme, theme_weights, sensitivity, specificity
        Share of people interviewed among those who answered last; coded passages per interview;
        probability that a passage is about a theme, and the themes' weights (1 where not named);
        probability that a coder marks a theme that is there, and leaves out one that is not.
    posts
        Posts per role, given to people in turn; without them the role's label.
    """

    traits: Mapping[str, Trait] = field(default_factory=_traits)
    other: Trait = Trait()
    cohort_effect: float = 0.0
    subscale_correlation: float = 0.4
    items: int = 4
    item_sd: float = 0.70
    difficulty_spread: float = 0.30
    programme_months: float = 9.0
    fade: float = 0.02
    dropout: float = 0.08
    dropout_role: float = 0.5
    dropout_slope: float = 0.7
    skip: float = 0.02
    meetings: int = 6
    meeting_rate: float = 0.75
    dose_slope: float = 0.05
    contract_rate: float = 0.9
    shadowing: int = 2
    shadowing_rate: float = 0.8
    reflections: int = 3
    reflection_rate: float = 0.65
    workshops: int = 3
    workshop_rate: float = 0.8
    forums: int = 4
    forum_rate: float = 0.5
    interviewed: float = 0.7
    segments: int = 8
    on_theme: float = 0.8
    theme_weights: Mapping[str, float] = field(default_factory=dict)
    sensitivity: float = 0.85
    specificity: float = 0.97
    posts: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        for name in PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; a probability lies between 0 and 1")
        if self.dropout == 1:
            raise ValueError("dropout is 1; nobody would answer a second wave, so give less than 1")
        if self.items < 1 or self.item_sd <= 0 or self.programme_months <= 0:
            raise ValueError(
                f"items {self.items}, item_sd {self.item_sd}, programme_months {self.programme_months}: "
                "each must be positive"
            )

    def trait(self, subscale: str) -> Trait:
        """The truth about one subscale."""
        return self.traits.get(subscale, self.other)

    def share(self, month: float) -> float:
        """Share of the gain reached at a month: a straight rise to the end, then `fade` per month.

        >>> Truth().share(0), Truth().share(9), round(Truth().share(14), 2)
        (0.0, 1.0, 0.9)
        """
        after = max(0.0, month - self.programme_months)
        return min(month / self.programme_months, 1.0) * max(0.0, 1.0 - self.fade * after)


@dataclass(frozen=True)
class Simulated:
    """One cohort before any mess.

    `responses` has a row per question asked of each form sent in, coded as on the form (reverse-keyed
    items not turned), missing where the question was skipped. `true_scores` has every person at every
    wave, also those who left: `latent` (theta) and `expected` (mean code of the subscale's items given
    theta, items turned). `forms` has the times. `codings` and `interviews` have a row with an empty theme
    where a coder saw a passage and marked nothing; `passages` has the true theme of each passage.
    """

    cohort: str
    truth: Truth
    seed: int
    roster: pd.DataFrame
    responses: pd.DataFrame
    true_scores: pd.DataFrame
    forms: pd.DataFrame
    events: pd.DataFrame
    codings: pd.DataFrame
    interviews: pd.DataFrame
    passages: pd.DataFrame


Draw = Callable[[str], np.random.Generator]


def stream(seed: int, cohort_id: str, part: str) -> np.random.Generator:
    """The random stream of one part of one cohort; no part's draws depend on another's.

    >>> float(stream(1, "c", "people").random()) == float(stream(1, "c", "people").random())
    True
    """
    key = [seed, crc32(cohort_id.encode()), crc32(part.encode())]
    return np.random.default_rng(np.random.SeedSequence(key))


# ---------------------------------------------------------------- scores


def _column(traits: Sequence[Trait], name: str) -> np.ndarray:
    return np.array([getattr(t, name) for t in traits], dtype=float)


def _first(waves: Sequence[Wave]) -> int:
    """Index of the first wave that is not a then-test."""
    usual = [i for i, w in enumerate(waves) if not w.retrospective]
    if not usual:
        raise ValueError(
            f"{len(waves)} waves, none of them a usual one; declare a wave without retrospective = true"
        )
    return min(usual, key=lambda i: waves[i].month)


def _latent(truth: Truth, traits, waves, meetings, agreed, sides, comparison, draw: Draw) -> np.ndarray:
    """Positions theta[replication, pair, side, wave, subscale] in scale points."""
    reps, pairs = meetings.shape
    rng, width, rho = draw("people"), len(traits), truth.subscale_correlation

    def effect(people: int, name: str) -> np.ndarray:
        common = np.sqrt(rho) * rng.standard_normal((reps, pairs, people, 1))
        own = np.sqrt(1 - rho) * rng.standard_normal((reps, pairs, people, width))
        return (common + own) * _column(traits, name)

    pair, person = effect(1, "pair_sd"), effect(sides, "person_sd")
    change = effect(1, "pair_change_sd") + effect(sides, "person_change_sd")
    occasion = rng.standard_normal((len(waves), reps, pairs, sides, width)) * _column(traits, "occasion_sd")
    dose = truth.dose_slope * (meetings - agreed * truth.meeting_rate)[:, :, None, None]
    programme = 0.0 if comparison else 1.0
    gain = programme * (_column(traits, "gain").T[:sides] + dose)
    level = truth.cohort_effect + _column(traits, "baseline").T[:sides] + pair
    theta = []
    for number, wave in enumerate(waves):
        q = 0.0 if wave.retrospective else truth.share(wave.month)
        near = 1 - programme * q * _column(traits, "convergence")
        shift = programme * wave.retrospective * _column(traits, "then_shift")
        theta.append(level + near * person + q * (gain + change) + shift + occasion[number])
    return np.stack(theta, axis=3)


def _difficulties(truth: Truth, items: int) -> np.ndarray:
    return np.linspace(-truth.difficulty_spread, truth.difficulty_spread, items) if items > 1 else np.zeros(1)


def _steps(theta: np.ndarray, difficulty: np.ndarray, codes: int, truth: Truth, rng) -> np.ndarray:
    """Answers 0 .. codes - 1 towards more of the trait, one more axis for the items."""
    position = theta[..., None] - difficulty
    position = position + truth.item_sd * rng.standard_normal(position.shape)
    return np.clip(np.floor((position - 1) / 4 * (codes - 1) + 0.5), 0, codes - 1)


def _expected_step(mean, variance, difficulty, codes: int) -> np.ndarray:
    """Mean of an answer (0 .. codes - 1) whose position is normal."""
    cuts = 1 + 4 * (np.arange(1, codes) - 0.5) / (codes - 1)
    centre = np.asarray(mean, dtype=float)[..., None] - difficulty
    return special.ndtr((centre[..., None] - cuts) / np.sqrt(variance)).sum(axis=-1)


def _stays(first_mean: np.ndarray, waves: Sequence[Wave], truth: Truth, rng) -> np.ndarray:
    """Who answers which wave: booleans of the shape of `first_mean` (last axis: sides) plus a wave axis."""
    start = _first(waves)
    later = sorted(
        (i for i, w in enumerate(waves) if i != start and not w.retrospective), key=lambda i: waves[i].month
    )
    answers = np.ones((*first_mean.shape, len(waves)), dtype=bool)
    side = np.arange(first_mean.shape[-1])
    odds = truth.dropout / (1 - truth.dropout) * np.exp(
        truth.dropout_role * side + truth.dropout_slope * (3 - first_mean)
    )
    staying = np.ones(first_mean.shape, dtype=bool)
    for place, wave in enumerate(later):
        staying = staying & (rng.random(first_mean.shape) >= odds / (1 + odds))
        answers[..., wave] = staying
        if place == 0:  # a then-test is part of the first later form
            for i, w in enumerate(waves):
                if w.retrospective:
                    answers[..., i] = staying
    return answers


def simulate_scores(
    truth: Truth,
    *,
    pairs: int,
    waves: Sequence[Wave],
    rng: np.random.Generator,
    replications: int,
    comparison: bool = False,
) -> np.ndarray:
    """Subscale scores of many cohorts, for planning and for tests of coverage.

    Scores are means of `truth.items` five-point items, so they carry ties, ceilings and item error as
    real ones do.

    Returns
    -------
    numpy.ndarray
        [replication, pair, side, wave, subscale]: points from 1 to 5, sides in the order of the roles,
        subscales in the order of `truth.traits`; missing (nan) from the wave before which a person left.

    Examples
    --------
    >>> waves = (Wave("pre", "Before", 0), Wave("post", "After", 9))
    >>> scores = simulate_scores(
    ...     Truth(dropout=0), pairs=6, waves=waves, rng=np.random.default_rng(1), replications=100)
    >>> scores.shape
    (100, 6, 2, 2, 4)
    >>> pair_change = (scores[..., 1, :] - scores[..., 0, :]).mean(axis=2)
    >>> pair_change.mean(axis=(0, 1)).round(1)
    array([0.4, 0.8, 0.4, 0.5])
    """
    if pairs < 1 or replications < 1 or not truth.traits:
        raise ValueError(
            f"{pairs} pairs, {replications} replications and {len(truth.traits)} subscales; "
            "each must be at least 1"
        )
    traits = list(truth.traits.values())
    meetings = rng.binomial(truth.meetings, truth.meeting_rate, size=(replications, pairs))
    theta = _latent(truth, traits, waves, meetings, truth.meetings, 2, comparison, lambda part: rng)
    steps = _steps(theta, _difficulties(truth, truth.items), 5, truth, rng)
    scores = 1 + steps.mean(axis=-1)
    answers = _stays(scores[..., _first(waves), :].mean(axis=-1), waves, truth, rng)
    return np.where(answers[..., None], scores, np.nan)


def expected_scores(truth: Truth, *, waves: Sequence[Wave], comparison: bool = False) -> np.ndarray:
    """Mean score of everybody, in closed form: what `simulate_scores` without dropout tends to.

    The position of one answer is normal given the number of meetings, so the mean answer is a sum of
    normal probabilities over the cuts, averaged over the binomial number of meetings.

    Returns
    -------
    numpy.ndarray
        [side, wave, subscale] in points from 1 to 5.

    Examples
    --------
    >>> waves = (Wave("pre", "Before", 0), Wave("post", "After", 9))
    >>> expected_scores(Truth(), waves=waves)[:, :, 1].round(2)  # role: doctors, then managers
    array([[2.43, 3.34],
           [3.  , 3.57]])
    """
    difficulty, programme = _difficulties(truth, truth.items), 0.0 if comparison else 1.0
    held = np.arange(truth.meetings + 1)
    chance = stats.binom.pmf(held, truth.meetings, truth.meeting_rate)
    out = np.empty((2, len(waves), len(truth.traits)))
    for s, t in enumerate(truth.traits.values()):
        for w, wave in enumerate(waves):
            q = 0.0 if wave.retrospective else truth.share(wave.month)
            near = 1 - programme * q * t.convergence
            variance = (
                t.pair_sd**2 + (near * t.person_sd) ** 2 + t.occasion_sd**2 + truth.item_sd**2
                + q**2 * (t.pair_change_sd**2 + t.person_change_sd**2)
            )
            dose = programme * q * truth.dose_slope * (held - truth.meetings * truth.meeting_rate)
            for side in (0, 1):
                mean = truth.cohort_effect + t.baseline[side] + programme * (
                    q * t.gain[side] + wave.retrospective * t.then_shift
                )
                steps = _expected_step(mean + dose, variance, difficulty, 5).mean(axis=-1)
                out[side, w, s] = 1 + chance @ steps
    return out


def expected_agreement(truth: Truth, prevalence: float) -> float:
    """Probability that two coders agree on one theme in one passage.

    With prevalence f, sensitivity a and specificity b: f (a^2 + (1 - a)^2) + (1 - f)(b^2 + (1 - b)^2).

    >>> round(expected_agreement(Truth(sensitivity=0.9, specificity=1.0), 0.2), 3)
    0.964
    """
    a, b = truth.sensitivity, truth.specificity
    return prevalence * (a**2 + (1 - a) ** 2) + (1 - prevalence) * (b**2 + (1 - b) ** 2)


# ---------------------------------------------------------------- one cohort


def simulate(
    study: Study, cohort_id: str, *, truth: Truth, pairs: int, seed: int, first: int = 1
) -> Simulated:
    """One cohort of a study, whatever its instrument, waves and roles.

    Parameters
    ----------
    study, cohort_id
        Items, subscales, waves, roles, themes, dates and targets come from the study; a cohort with
        comparison = true gets neither gain nor events nor interviews.
    truth
        Every parameter; its `traits` are matched by subscale id.
    pairs
        Number of pairs, or of people in a study without roles.
    seed
        With the cohort's id and the name of each part it fixes every draw.
    first
        Number of the first pair, so that codes can go on over cohorts.

    Raises
    ------
    ValueError
        When there is not at least one pair.

    Examples
    --------
    >>> done = simulate(load(), "cohort-1", truth=Truth(dropout=0), pairs=6, seed=1)
    >>> len(done.roster), len(done.responses), sorted(done.events["kind"].unique())[:2]
    (12, 432, ['contract', 'forum'])
    """
    if pairs < 1:
        raise ValueError(f"{pairs} pairs asked for; simulate at least 1")
    cohort = study.cohort(cohort_id)

    def draw(part: str) -> np.random.Generator:
        return stream(seed, cohort_id, part)

    waves, items = list(study.waves.values()), list(study.instrument.items.values())
    sides = len(study.roles) or 1
    agreed = round(cohort.meetings_target) or truth.meetings
    meetings = draw("meetings").binomial(agreed, truth.meeting_rate, size=(1, pairs))
    scales = list(dict.fromkeys(i.subscale or i.id for i in items))
    theta = _latent(
        truth, [truth.trait(s) for s in scales], waves, meetings, agreed, sides, cohort.comparison, draw
    )[0]
    roster = _roster(study, truth, pairs, first)
    answers = _answer(study, truth, theta, scales, draw)
    responses = _responses(study, cohort, truth, roster, answers, draw)
    forms = _times(study, cohort, responses, draw("times"))
    events = _events(study, cohort, truth, roster, meetings[0], draw("events"))
    interviews, passages = _interviews(study, cohort, truth, roster, responses, draw)
    return Simulated(
        cohort=cohort_id, truth=truth, seed=seed, roster=roster, responses=responses,
        true_scores=_true_scores(study, cohort, truth, roster, theta, scales), forms=forms, events=events,
        codings=conform(interviews.assign(cohort=cohort_id)[list(CODINGS.columns)], CODINGS),
        interviews=interviews, passages=passages,
    )


def _scale(item: Item, study: Study) -> list[int]:
    return sorted(study.instrument.response_sets[item.responses].codes)


def _item_difficulties(study: Study, truth: Truth) -> dict[str, float]:
    groups: dict[str, list[str]] = {}
    for item in study.instrument.items.values():
        groups.setdefault(item.subscale or item.id, []).append(item.id)
    return {i: d for ids in groups.values() for i, d in zip(ids, _difficulties(truth, len(ids)), strict=True)}


def _answer(study: Study, truth: Truth, theta: np.ndarray, scales: list[str], draw: Draw) -> np.ndarray:
    """Steps [pair, side, wave, item] towards more of the trait, from 0."""
    rng, difficulty = draw("answers"), _item_difficulties(study, truth)
    columns = []
    for item in study.instrument.items.values():
        position = theta[..., scales.index(item.subscale or item.id)]
        at = np.array([difficulty[item.id]])
        columns.append(_steps(position, at, len(_scale(item, study)), truth, rng))
    return np.concatenate(columns, axis=-1)


def _roster(study: Study, truth: Truth, pairs: int, first: int) -> pd.DataFrame:
    """person, role, pair, post, withdrawn; the first role's people first."""
    numbers = range(first, first + pairs)
    roles = list(study.roles.values())
    if not roles:
        rows = [(f"SYN-P{n:02d}", "", "", "", "") for n in numbers]
        return pd.DataFrame(rows, columns=["person", "role", "pair", "post", "withdrawn"])
    letters = [r.id[0].upper() for r in roles]
    if letters[0] == letters[1]:
        letters = ["A", "B"]
    rows = []
    for side, role in enumerate(roles):
        posts = truth.posts[side] if truth.posts else (role.label.lower(),)
        for place, n in enumerate(numbers):
            rows.append((f"SYN-{letters[side]}{n:02d}", role.id, f"P{n:02d}", posts[place % len(posts)], ""))
    return pd.DataFrame(rows, columns=["person", "role", "pair", "post", "withdrawn"])


def _by_person(array: np.ndarray) -> np.ndarray:
    """[pair, side, ...] in the order of the roster: [side and pair, ...]."""
    return array.swapaxes(0, 1).reshape(-1, *array.shape[2:])


def _responses(study, cohort, truth, roster, answers, draw) -> pd.DataFrame:
    """RESPONSES of all forms sent in; a skipped question has no value."""
    items, waves = list(study.instrument.items.values()), list(study.waves.values())
    top = np.array([len(_scale(i, study)) - 1 for i in items])
    start = _first(waves)
    asked = np.array([[i in study.instrument.asked_at(w.id) for i in items] for w in waves])
    points = 1 + 4 * answers / top
    stays = _stays(points[:, :, start, asked[start]].mean(axis=-1), waves, truth, draw("attrition"))
    codes = np.empty_like(answers)
    for k, item in enumerate(items):
        step = answers[..., k].astype(int)
        codes[..., k] = np.array(_scale(item, study))[top[k] - step if item.reversed else step]
    codes[draw("skips").random(codes.shape) < truth.skip] = np.nan
    codes, stays = _by_person(codes), _by_person(stays)
    who, when, what = np.nonzero(stays[:, :, None] & asked[None])
    frame = _people(cohort, roster, who).assign(
        wave=np.array([w.id for w in waves])[when], instrument=study.instrument.id,
        item=np.array([i.id for i in items])[what], value=codes[who, when, what],
    )
    return conform(frame, RESPONSES)


def _people(cohort: Cohort, roster: pd.DataFrame, who: np.ndarray) -> pd.DataFrame:
    """cohort, person, pair, role: one row per entry of `who`, the person's place in the roster."""
    rows = roster[["person", "pair", "role"]].iloc[who].reset_index(drop=True)
    rows.insert(0, "cohort", cohort.id)
    return rows


def _true_scores(study, cohort, truth, roster, theta, scales) -> pd.DataFrame:
    difficulty, waves, parts = _item_difficulties(study, truth), list(study.waves), []
    for subscale in study.instrument.subscales:
        latent = _by_person(theta[..., scales.index(subscale)])
        means = []
        for item in study.instrument.items_of(subscale):
            codes = np.array(_scale(item, study), dtype=float)
            cuts = 1 + 4 * (np.arange(1, len(codes)) - 0.5) / (len(codes) - 1)
            above = special.ndtr((latent[..., None] - difficulty[item.id] - cuts) / truth.item_sd)
            means.append(codes[0] + above @ np.diff(codes))
        who, when = (a.ravel() for a in np.indices(latent.shape))
        parts.append(_people(cohort, roster, who).assign(
            wave=np.array(waves)[when], subscale=subscale, latent=latent.ravel(),
            expected=np.mean(means, axis=0).ravel(),
        ))
    return pd.concat(parts, ignore_index=True)


def _day(cohort: Cohort, month: float) -> dt.date:
    return cohort.start + dt.timedelta(days=round(month * DAYS_PER_MONTH))


def _times(study: Study, cohort: Cohort, responses: pd.DataFrame, rng) -> pd.DataFrame:
    """person, wave, started, completed of each form, in working hours and inside the cohort's dates."""
    waves = list(study.waves.values())
    later = [w.month for w in waves if not w.retrospective and w.month > waves[_first(waves)].month]
    rows = []
    for person, wave in responses[["person", "wave"]].drop_duplicates().itertuples(index=False):
        month = study.waves[wave].month
        if study.waves[wave].retrospective and later:
            month = min(later)
        opens = _day(cohort, month)
        window = ANSWER_WINDOW if opens > cohort.end else min(ANSWER_WINDOW, (cohort.end - opens).days)
        started = dt.datetime.combine(opens, dt.time(8)) + dt.timedelta(
            days=int(rng.integers(0, window + 1)), seconds=int(rng.integers(0, 11 * 3600))
        )
        rows.append((person, wave, started, started + dt.timedelta(seconds=int(rng.integers(240, 900)))))
    return pd.DataFrame(rows, columns=["person", "wave", "started", "completed"])


def _events(study, cohort, truth, roster, meetings, rng) -> pd.DataFrame:
    """EVENTS: contracts and meetings are the pair's (no person); the rest are one person's.

    status is 'done', 'cancelled' (meeting, shadowing) or 'missed' (workshop, forum); a contract that was
    not signed and a reflection that was not written have no row. A shadowing row names the visitor.
    """
    rows: list[dict] = []
    length = (cohort.end - cohort.start).days

    def at(share: float) -> str:
        day = cohort.start + dt.timedelta(days=round(min(max(share, 0.02), 0.95) * length))
        return (day - dt.timedelta(days=max(0, day.weekday() - 4))).isoformat()

    def add(kind, pair, person, share, minutes, status="done"):
        rows.append({"cohort": cohort.id, "person": person, "pair": pair, "kind": kind, "date": at(share),
                     "minutes": minutes, "status": status})

    people = [] if cohort.comparison else list(roster.itertuples(index=False))
    pairs = list(dict.fromkeys(p.pair for p in people if p.pair))
    agreed = round(cohort.meetings_target) or truth.meetings
    visits = round(cohort.shadowing_target) or truth.shadowing
    for number, pair in enumerate(pairs):
        if rng.random() < truth.contract_rate:
            add("contract", pair, "", 0.05 + 0.08 * rng.random(), np.nan)
        held = set(rng.permutation(agreed)[: meetings[number]].tolist())
        for turn in range(agreed):
            share = 0.1 + 0.8 * (turn + rng.random()) / agreed
            done = turn in held
            add("meeting", pair, "", share, float(5 * rng.integers(6, 19)) if done else np.nan,
                "done" if done else "cancelled")
    for person in people:
        for _ in range(max(visits // 2, 1) if person.pair else 0):
            done = rng.random() < truth.shadowing_rate
            minutes = float(30 * rng.integers(4, 15)) if done else np.nan
            share = 0.15 + 0.7 * rng.random()
            add("shadowing", person.pair, person.person, share, minutes, "done" if done else "cancelled")
        for turn in range(truth.reflections):
            if rng.random() < truth.reflection_rate:
                share = (turn + 0.6 + 0.4 * rng.random()) / truth.reflections
                add("reflection", person.pair, person.person, share, np.nan)
        for kind, count, rate, minutes in (
            ("workshop", truth.workshops, truth.workshop_rate, 180.0),
            ("forum", truth.forums, truth.forum_rate, 90.0),
        ):
            for turn in range(count):
                came = rng.random() < rate
                add(kind, person.pair, person.person, (turn + 0.5) / count, minutes if came else np.nan,
                    "done" if came else "missed")
    rows.sort(key=lambda r: (r["date"], r["kind"], r["pair"], r["person"]))
    return make(rows, EVENTS)


def _interviews(study, cohort, truth, roster, responses, draw) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The coded table (interview person segment start end coder theme quotation) and the true themes."""
    columns = ["interview", "person", "segment", "start", "end", "coder", "theme", "quotation"]
    last = list(study.waves)[-1]
    answered = set(responses.loc[responses["wave"] == last, "person"])
    rng, coding = draw("interviews"), draw("coding")
    asked = [p for p in roster["person"] if p in answered and rng.random() < truth.interviewed]
    themes = list(study.themes)
    if cohort.comparison or not themes:
        asked = []
    weights = np.array([truth.theme_weights.get(t, 1.0) for t in themes])
    rows, passages = [], []
    for number, person in enumerate(asked, start=1):
        place = 0
        for segment in range(1, truth.segments + 1):
            about = ""
            if rng.random() < truth.on_theme:
                about = str(rng.choice(themes, p=weights / weights.sum()))
            bank = QUOTATIONS.get(about) or (f"[invented passage on: {study.themes[about].label.lower()}]",)
            quotation = bank[int(rng.integers(len(bank)))]
            start = place + int(rng.integers(40, 600))
            place = start + len(quotation)
            ids = {"interview": f"I{number:02d}", "person": person, "segment": f"I{number:02d}-{segment:02d}"}
            passages.append({**ids, "theme": about})
            for coder in ("A", "B"):
                chance = [truth.sensitivity if t == about else 1 - truth.specificity for t in themes]
                marked = [t for t, c in zip(themes, chance, strict=True) if coding.random() < c]
                for theme in marked or [""]:
                    rows.append({**ids, "start": start, "end": place, "coder": coder, "theme": theme,
                                 "quotation": quotation})
    return (
        pd.DataFrame(rows, columns=columns),
        pd.DataFrame(passages, columns=["interview", "person", "segment", "theme"]),
    )


QUOTATIONS: dict[str, tuple[str, ...]] = {
    "seeing_pressures": (
        "I had no idea how many targets land on one desk in a single week.",
        "The budget meeting showed me why a simple request can take months.",
        "Seeing a full night shift made me understand what I ask of the wards.",
        "There is pressure from above and from below, and I only ever saw one side.",
    ),
    "shared_purpose": (
        "In the end we both want patients to be seen sooner and safely.",
        "We use different words, but the aim is the same.",
        "Both of us went into this work for the same reason.",
    ),
    "changed_attitude": (
        "I used to think the other side simply said no; I do not think so now.",
        "My picture of what they do all day was wrong.",
        "I am slower to blame and quicker to ask.",
    ),
    "confidence_to_lead": (
        "I chaired the meeting myself, which I would not have done a year ago.",
        "I now know where to take an idea and how to argue for it.",
        "I feel able to challenge a decision without making it personal.",
    ),
    "working_together": (
        "We rewrote the discharge form together and tried it on one ward.",
        "We planned the clinic change jointly from the first day.",
        "The two of us presented the figures to the team side by side.",
    ),
    "lasting_contact": (
        "I would pick up the phone and ask, even now that it has ended.",
        "We have agreed to keep meeting every few months.",
        "The forum is where I would bring the next problem.",
    ),
    "time_pressure": (
        "Finding a free afternoon in both diaries was the hardest part.",
        "Two visits were put off because the rota changed.",
        "It has to be protected time or it will not happen.",
    ),
    "": (
        "It began in the autumn, as far as I remember.",
        "The room was at the other end of the site.",
        "I heard about it from a poster.",
        "We started with the form and went on from there.",
    ),
}

# ---------------------------------------------------------------- planted defects


@dataclass(frozen=True)
class Defect:
    """One planted defect: its kind, the wave, whose row, and the value written or the item concerned."""

    kind: str
    wave: str = ""
    person: str = ""
    value: str = ""
    item: str = ""


SPELLINGS = {
    "4": "Agree", "5.0": "Strongly agree", "agree ": "Agree", "Strongly Agree": "Strongly agree",
    "Neutral": "Neither agree nor disagree", "2": "Disagree", "5": "Strongly agree",
}

PLANS: dict[str, tuple[Defect, ...]] = {
    "cohort-1": (
        Defect("id_spelling", "pre", "SYN-D02", "syn-d02"),
        Defect("id_spelling", "pre", "SYN-D04", " SYN D04 "),
        Defect("id_spelling", "pre", "SYN-M05", "SYN-M5"),
        Defect("id_spelling", "post", "SYN-M02", "syn m02"),
        Defect("answer_spelling", "pre", value="4"),
        Defect("answer_spelling", "pre", value="agree "),
        Defect("answer_spelling", "pre", value="Neutral"),
        Defect("answer_spelling", "post", value="5.0"),
        Defect("answer_spelling", "post", value="Strongly Agree"),
        Defect("missing_word", "pre", value="N/A"),
        Defect("missing_word", "post", value="Prefer not to say"),
        Defect("header_spelling", "pre", item="prep_2"),
        Defect("header_spelling", "pre", item="comment"),
        Defect("identical_double", "pre", "SYN-M03"),
        Defect("unknown_code", "pre", "SYN-D05", "SYN-D77"),
        Defect("test_response", "pre", "SYN-D01", "TEST"),
        Defect("out_of_range", "post", "SYN-M04", "6"),
    ),
    "cohort-2": (
        Defect("id_spelling", "pre", "SYN-D08", "syn-d8"),
        Defect("id_spelling", "pre", "SYN-M11", "SYN_M11"),
        Defect("id_spelling", "post", "SYN-D13", "SYN D13"),
        Defect("code_typo", "pre", "SYN-M10", "SYN-M1O"),
        Defect("answer_spelling", "pre", value="4"),
        Defect("answer_spelling", "pre", value="Strongly Agree"),
        Defect("answer_spelling", "post", value="Neutral"),
        Defect("answer_spelling", "post", value="agree "),
        Defect("missing_word", "pre", value="-99"),
        Defect("missing_word", "post", value="Prefer not to say"),
        Defect("header_spelling", "post", item="coll_4"),
        Defect("preview", "pre", "SYN-D09", "TEST"),
        Defect("partial", "post", "SYN-M08", "2"),
        Defect("differing_double", "pre", "SYN-M16"),
        Defect("no_consent", "post", "SYN-D11", "I do not agree"),
        Defect("withdrawn", "post", "SYN-M16", "2016-02-15"),
        Defect("post_only", "pre", "SYN-D16"),
    ),
    "cohort-3": (
        Defect("id_spelling", "pre", "SYN-D19", "syn-d19 "),
        Defect("id_spelling", "pre", "SYN-M22", "syn m22"),
        Defect("id_spelling", "post", "SYN-D28", "SYND28"),
        Defect("answer_spelling", "pre", value="4"),
        Defect("answer_spelling", "pre", value="2"),
        Defect("answer_spelling", "pre", value="Neutral"),
        Defect("answer_spelling", "post", value="5"),
        Defect("answer_spelling", "post", value="agree "),
        Defect("missing_word", "pre", value="Prefer not to say"),
        Defect("missing_word", "pre", value="-99"),
        Defect("missing_word", "post", value="N/A"),
        Defect("header_spelling", "pre", item="ethos_4"),
        Defect("header_spelling", "post", item="ethos_4"),
        Defect("partner_code", "post", "SYN-M24", "SYN-D24"),
        Defect("half_point", "post", "SYN-M25", "3.5"),
        Defect("test_response", "post", "SYN-D17", "test"),
        Defect("answered_withdrawn", "post", "SYN-M29", "2017-03-20"),
    ),
}
DEFECTS: dict[str, dict[str, int]] = {
    cohort_id: dict(Counter(d.kind for d in plan)) for cohort_id, plan in PLANS.items()
}

ROW_DEFECTS = (
    "identical_double", "differing_double", "unknown_code", "test_response", "preview", "post_only",
    "withdrawn", "no_consent", "partial",
)  # planted first: they copy or empty rows
CODE_DEFECTS = ("id_spelling", "code_typo", "partner_code")  # planted last: rows are found by their code

COMMENTS = (
    "", "", "", "", "Looking forward to it", "Short and clear", "+1 for the forum", "Please keep the visits",
)
ANSWERED = "answered"  # stands for the wording of consent until the source's own is put in


def _form(simulated: Simulated, study: Study, wave: str, rng) -> pd.DataFrame:
    """The forms of one wave, one row each: person, times, consent, comment, progress, status, item labels."""
    answers = simulated.responses[simulated.responses["wave"] == wave]
    form = simulated.forms[simulated.forms["wave"] == wave].drop(columns="wave").reset_index(drop=True)
    form["code"] = form["person"]
    form["consent"], form["status"], form["progress"] = ANSWERED, "IP Address", 100
    form["comment"] = [COMMENTS[int(i)] for i in rng.integers(len(COMMENTS), size=len(form))]
    wide = answers.pivot(index="person", columns="item", values="value").reindex(form["person"])
    for item in study.instrument.asked_at(wave):
        choices = study.instrument.response_sets[item.responses]
        label = dict(zip(choices.codes, choices.labels, strict=True))
        form[item.id] = [label[int(v)] if pd.notna(v) else "" for v in wide[item.id]]
    return form


def _row(form: pd.DataFrame, defect: Defect) -> int:
    found = form.index[(form["person"] == defect.person) & (form["code"] == defect.person)]
    if len(found) != 1:
        raise Refusal(
            f"defect {defect.kind} needs one {defect.wave} form of {defect.person}, found {len(found)}; "
            "choose somebody who answered that wave"
        )
    return int(found[0])


def _cell(form: pd.DataFrame, study: Study, defect: Defect, holds: str, rng) -> tuple[int, str]:
    """A cell that holds this label, drawn among the person's, or among those of all who answered once."""
    usual = (form["progress"] == 100) & (form["consent"] == ANSWERED) & ~form["person"].duplicated(keep=False)
    cells = []
    for item in study.instrument.asked_at(defect.wave):
        choices = study.instrument.response_sets[item.responses]
        if (holds in choices.labels) if holds else (defect.value in choices.missing):
            mine = (form[item.id] == holds) & usual
            if defect.person:
                mine &= form["code"] == defect.person
            cells += [(int(i), item.id) for i in form.index[mine]]
    if not cells:
        raise Refusal(f"defect {defect.kind} ({defect.value}) finds no cell '{holds}' at wave {defect.wave}")
    return cells[int(rng.integers(len(cells)))]


def _another(form: pd.DataFrame, at: int, **changes) -> pd.DataFrame:
    """The form table with a copy of row `at` under it, changed, and sent in half an hour later."""
    row = form.loc[at].copy()
    for time in ("started", "completed"):
        row[time] = row[time] + dt.timedelta(minutes=31)
    for name, value in changes.items():
        row[name] = value
    return pd.concat([form, row.to_frame().T], ignore_index=True)


def _next_label(study: Study, item: str, label: str) -> str:
    """The answer one step further, or one step back from the last; a skipped question gets the first."""
    labels = study.instrument.response_sets[study.instrument.items[item].responses].labels
    if not label:
        return labels[0]
    at = labels.index(label)
    return labels[at + 1 if at + 1 < len(labels) else at - 1]


def _plant(form: pd.DataFrame, study: Study, defect: Defect, rng) -> pd.DataFrame:
    """The forms of a wave with one more defect."""
    ids = [i.id for i in study.instrument.asked_at(defect.wave)]
    kind = defect.kind
    if kind == "answer_spelling":
        form.loc[_cell(form, study, defect, SPELLINGS[defect.value], rng)] = defect.value
        return form
    if kind == "missing_word":
        form.loc[_cell(form, study, defect, "", rng)] = defect.value
        return form
    if kind == "out_of_range":
        form.loc[_cell(form, study, defect, "Strongly agree", rng)] = defect.value
        return form
    if kind == "half_point":
        form.loc[_cell(form, study, defect, "Agree", rng)] = defect.value
        return form
    at = _row(form, defect)
    if kind in CODE_DEFECTS:
        form.loc[at, "code"] = defect.value
    elif kind == "no_consent":
        form.loc[at, ["consent", "comment", *ids]] = [defect.value, "", *[""] * len(ids)]
    elif kind == "partial":
        form.loc[at, ids[-int(defect.value):]] = ""
        form.loc[at, "progress"] = round(100 * (1 - int(defect.value) / len(ids)))
    elif kind in ("post_only", "withdrawn"):
        form = form.drop(index=at).reset_index(drop=True)
    elif kind == "identical_double":
        form = pd.concat([form, form.loc[[at]]], ignore_index=True)
    elif kind == "differing_double":
        form = _another(form, at, **{i: _next_label(study, i, form.loc[at, i]) for i in ids[1:4]})
    elif kind == "unknown_code":
        form = _another(form, at, code=defect.value, **dict.fromkeys(ids[:3], "Disagree"))
    elif kind in ("test_response", "preview"):
        status = "Survey Preview" if kind == "preview" else "IP Address"
        first = study.instrument.response_sets[study.instrument.items[ids[0]].responses].labels[0]
        answers = dict.fromkeys(ids[:5], first)
        form = _another(form, at, code=defect.value, status=status, comment="test", **answers)
    return form


# ---------------------------------------------------------------- exports


def write_exports(
    simulated: Simulated, study: Study, cohort_id: str, folder: str | Path, *, defects: bool = True
) -> tuple[Path, ...]:
    """Write a cohort's exports as the survey tools do, with roster, events and interviews.

    Every source of the cohort is written in its declared format (csv, qualtrics or msforms; `auto` goes
    by the ending). The bytes depend on the study, the simulated cohort and `defects` only.

    Parameters
    ----------
    folder
        Made when absent; files of the same names are replaced.
    defects
        Plant what `PLANS` lists for this cohort id (a cohort it does not name stays clean).

    Raises
    ------
    Refusal
        When a source has another format, or a planned defect finds no such form or cell.
    """
    cohort, folder = study.cohort(cohort_id), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plan = PLANS.get(cohort_id, ()) if defects else ()
    written = []
    for source in cohort.sources:
        rng = stream(simulated.seed, cohort_id, f"export {source.file}")
        form = _form(simulated, study, source.wave, rng)
        if source.consent:
            form["consent"] = ANSWERED
        mine = [d for d in plan if d.wave == source.wave]
        for defect in sorted(mine, key=lambda d: (d.kind in CODE_DEFECTS) - (d.kind in ROW_DEFECTS)):
            if defect.kind not in ("header_spelling", "answered_withdrawn"):
                form = _plant(form, study, defect, rng)
        form = form.sort_values("completed", kind="stable", ignore_index=True)
        given = source.consent_given[0] if source.consent_given else "Yes"
        form["consent"] = form["consent"].replace(ANSWERED, given)
        odd = {d.item for d in mine if d.kind == "header_spelling"}
        path = folder / source.file
        path.write_bytes(_writer(source)(form, study, source, odd))
        written.append(path)
    gone = {d.person: d.value for d in plan if d.kind in ("withdrawn", "answered_withdrawn")}
    silent = {*gone, *(d.person for d in plan if d.kind == "no_consent")}
    for name, table in (
        (cohort.roster, _roster_export(simulated.roster, gone)),
        (cohort.events, _events_export(simulated.events, gone)),
        (cohort.interviews, simulated.interviews[~simulated.interviews["person"].isin(silent)]),
    ):
        if name:
            (folder / name).write_bytes(table.to_csv(index=False, lineterminator="\n").encode())
            written.append(folder / name)
    return tuple(written)


def _roster_export(roster: pd.DataFrame, gone: dict[str, str]) -> pd.DataFrame:
    return roster.assign(withdrawn=[gone.get(p, "") for p in roster["person"]])


def _events_export(events: pd.DataFrame, gone: dict[str, str]) -> pd.DataFrame:
    """Events without the cohort; what a person who left, or the pair, had planned afterwards is cancelled."""
    out = events.drop(columns="cohort")
    pairs = dict(zip(events["person"], events["pair"], strict=True))
    for person, day in gone.items():
        together = (out["pair"] == pairs.get(person)) & out["kind"].isin(["meeting", "shadowing"])
        lost = (out["date"] > day) & ((out["person"] == person) | together)
        out = out[~(lost & (out["kind"] == "reflection"))]
        out.loc[lost, ["minutes", "status"]] = [np.nan, "cancelled"]
    return out.assign(minutes=[f"{m:.0f}" if pd.notna(m) else "" for m in out["minutes"]])


def _writer(source: Source):
    kind = source.format
    if kind == "auto":
        kind = {".csv": "csv", ".xlsx": "msforms"}.get(Path(source.file).suffix, source.file)
    writers = {"csv": _plain_csv, "qualtrics": _qualtrics_csv, "msforms": _forms_xlsx}
    if kind not in writers:
        raise Refusal(
            f"{source.file}: the generator does not write the format '{kind}'; use {', '.join(writers)}"
        )
    return writers[kind]


def _headers(study: Study, source: Source) -> dict[str, str]:
    """Export column of each item, in the order of the form: questions of this wave alone come first."""
    mapped = {item: column for column, item in source.columns.items()}
    asked = sorted(study.instrument.asked_at(source.wave), key=lambda i: not i.waves)
    return {i.id: mapped.get(i.id) or i.fields.get(source.wave) or i.text for i in asked}


def _odd_text(text: str) -> str:
    """The text as it comes out of a word processor: a non-breaking space, curly apostrophes."""
    return text.replace(" ", "\u00a0", 1).replace("'", "\u2019")


def _csv_text(rows: list[list]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _plain_csv(form: pd.DataFrame, study: Study, source: Source, odd: set[str]) -> bytes:
    """A plain table: question texts with running numbers as headers, dates dd/mm/yyyy hh:mm."""
    questions = {
        item: f"{number}. {_odd_text(text) if item in odd else text}"
        for number, (item, text) in enumerate(_headers(study, source).items(), start=1)
    }
    comment = _odd_text("Anything you'd like to add?") if "comment" in odd else "Anything you'd like to add?"
    consent = [source.consent] if source.consent else []
    header = [source.completed or "Date completed", source.person, *consent, *questions.values(), comment]
    rows = [
        [r["completed"].strftime("%d/%m/%Y %H:%M"), r["code"], *([r["consent"]] if consent else []),
         *[r[i] for i in questions], r["comment"]]
        for r in form.to_dict("records")
    ]
    return b"\xef\xbb\xbf" + _csv_text([header, *rows]).encode()


QUALTRICS_COLUMNS = (
    ("StartDate", "Start Date", "startDate"), ("EndDate", "End Date", "endDate"),
    ("Status", "Response Type", "status"), ("IPAddress", "IP Address", "ipAddress"),
    ("Progress", "Progress", "progress"), ("Duration (in seconds)", "Duration (in seconds)", "duration"),
    ("Finished", "Finished", "finished"), ("RecordedDate", "Recorded Date", "recordedDate"),
    ("ResponseId", "Response ID", "_recordId"),
    ("RecipientLastName", "Recipient Last Name", "recipientLastName"),
    ("RecipientFirstName", "Recipient First Name", "recipientFirstName"),
    ("RecipientEmail", "Recipient Email", "recipientEmail"),
    ("ExternalReference", "External Data Reference", "externalDataReference"),
    ("LocationLatitude", "Location Latitude", "locationLatitude"),
    ("LocationLongitude", "Location Longitude", "locationLongitude"),
    ("DistributionChannel", "Distribution Channel", "distributionChannel"),
    ("UserLanguage", "User Language", "userLanguage"),
)


def _import_id(key: str, **more: str) -> str:
    return json.dumps({"ImportId": key, **more}, separators=(",", ":"))


def _qualtrics_csv(form: pd.DataFrame, study: Study, source: Source, odd: set[str]) -> bytes:
    """Qualtrics with labels: tags, texts and ImportIds in three header rows, then the responses."""
    zone = source.timezone or study.timezone
    items = [i for i in study.instrument.items.values() if i.id in _headers(study, source)]
    mapped = {item: column for column, item in source.columns.items()}
    tags = [mapped.get(i.id) or i.fields.get(source.wave) or i.id for i in items]
    consent = [source.consent] if source.consent else []
    texts = (["Do you agree to take part in the evaluation?"] if consent else []) + ["Your participant code"]
    texts += [_odd_text(i.text) if i.id in odd else i.text for i in items] + ["Anything you'd like to add?"]
    imports = [
        _import_id(key, **({"timeZone": zone} if key.endswith("Date") else {}))
        for _, _, key in QUALTRICS_COLUMNS
    ]
    asked = [*consent, source.person, *tags, "comment"]
    for number, tag in enumerate(asked, start=1):
        text = "_TEXT" if tag in (source.person, "comment") else ""
        imports.append(_import_id(f"QID{number}{text}"))
    rows = [
        [c for c, _, _ in QUALTRICS_COLUMNS] + asked, [t for _, t, _ in QUALTRICS_COLUMNS] + texts, imports,
    ]
    for number, r in enumerate(form.to_dict("records"), start=1):
        start, end = (r[k].strftime("%Y-%m-%d %H:%M:%S") for k in ("started", "completed"))
        preview = r["status"] == "Survey Preview"
        rows.append([
            start, end, r["status"], "" if preview else "*******", r["progress"],
            int((r["completed"] - r["started"]).total_seconds()), str(r["progress"] == 100),
            (r["completed"] + dt.timedelta(seconds=1)).strftime("%Y-%m-%d %H:%M:%S"),
            f"R_SYN{crc32(f'{source.file} {number}'.encode()):010d}", "", "", "", "synthetic", "", "",
            "preview" if preview else "anonymous", "EN-GB", *([r["consent"]] if consent else []), r["code"],
            *[r[i.id] for i in items], r["comment"],
        ])
    return b"\xef\xbb\xbf" + _csv_text(rows).encode()


def _forms_xlsx(form: pd.DataFrame, study: Study, source: Source, odd: set[str]) -> bytes:
    """Microsoft Forms: one table on one sheet; times as Excel dates, numbers typed by people as numbers."""
    from openpyxl import Workbook
    from openpyxl.worksheet.table import Table

    questions = {i: _odd_text(t) if i in odd else t for i, t in _headers(study, source).items()}
    book = Workbook()
    sheet = book.active
    sheet.title = source.sheet or "Synthetic answers"
    consent = [source.consent] if source.consent else []
    sheet.append(["ID", "Start time", "Completion time", "Email", "Name", *consent, source.person,
                  *questions.values(), "Anything else you would like to tell us?"])
    for number, r in enumerate(form.to_dict("records"), start=1):
        sheet.append([
            number, r["started"], r["completed"], "anonymous", None, *([r["consent"]] if consent else []),
            r["code"], *[_excel_value(r[i]) for i in questions], r["comment"] or None,
        ])
        for column in (2, 3):
            sheet.cell(number + 1, column).number_format = "m/d/yy h:mm:ss"
    sheet.add_table(Table(displayName="Table1", ref=sheet.dimensions))
    book.properties.title = "Synthetic answers: no person took part"
    book.properties.creator = "plresearch.synthetic"
    return _same_bytes(book)


def _excel_value(text: str):
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text) if "." in text else int(text)
    return text or None


def _same_bytes(book) -> bytes:
    """The workbook's bytes, dates fixed and members stored uncompressed, so that they never differ."""
    raw, out = io.BytesIO(), io.BytesIO()
    book.save(raw)
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(source.namelist()):
            data = source.read(name)
            if name == "docProps/core.xml":
                dates = rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*"
                data = re.sub(dates, rb"\g<1>2000-01-01T00:00:00Z", data)
            member = zipfile.ZipInfo(name, FIXED_TIME)
            member.create_system = 3
            member.external_attr = 0o644 << 16
            target.writestr(member, data)
    return out.getvalue()


# ---------------------------------------------------------------- the shipped cohorts


@dataclass(frozen=True)
class Shipped:
    """One shipped cohort: its number of pairs, the number of its first pair, its truth."""

    pairs: int
    first: int
    truth: Truth


RUNNING = Trait(baseline=(3.9, 3.8), gain=(0.0, 0.0))  # how the programme was run, asked once, at the end
SHIPPED_TRAITS = {**_traits(), "running": RUNNING}
DOCTOR_POSTS = ("specialty registrar", "specialty registrar", "foundation doctor", "core trainee")
SHIPPED: dict[str, Shipped] = {
    "cohort-1": Shipped(6, 1, Truth(
        traits=SHIPPED_TRAITS, dropout=0.01, posts=(DOCTOR_POSTS, ("general manager",)), interviewed=1.0,
    )),
    "cohort-2": Shipped(10, 7, Truth(
        traits=SHIPPED_TRAITS, dropout=0.03, cohort_effect=0.1,
        posts=(DOCTOR_POSTS, (
            "general manager", "service manager", "general manager", "director", "general manager",
            "general manager", "non-executive board member", "service manager",
        )),
    )),
    "cohort-3": Shipped(14, 17, Truth(
        traits=SHIPPED_TRAITS, dropout=0.03, cohort_effect=-0.05,
        posts=(DOCTOR_POSTS, (
            "general manager", "head of service", "general manager", "finance manager", "director",
            "general manager", "service manager",
        )),
    )),
}


def shipped(study: Study, cohort_id: str) -> Simulated:
    """One of the shipped cohorts, from the study's seed."""
    plan = SHIPPED[cohort_id]
    done = simulate(study, cohort_id, truth=plan.truth, pairs=plan.pairs, seed=study.seed, first=plan.first)
    if cohort_id != "cohort-3":
        return done
    visitor = done.roster[done.roster["role"] == "doctor"].iloc[4]
    visit = make([{
        "cohort": cohort_id, "person": visitor["person"], "pair": visitor["pair"],
        "kind": "shadowing_chairman", "date": "2017-02-08", "minutes": 240.0, "status": "done",
    }], EVENTS)
    events = pd.concat([done.events, visit])
    return replace(done, events=events.sort_values(["date", "kind", "pair", "person"], ignore_index=True))


NOTICE = """# Synthetic data

No person took part. Every file in these folders was written by `python -m plresearch.synthetic` from the
seed in `study/study.toml`: answers, dates, events and quotations are invented, and the codes (SYN-D01,
SYN-M01, ...) stand for nobody. The defects in the exports are planted; `plresearch/synthetic.py` lists them.
"""


def main() -> None:
    """Rewrite `data_raw/` of the shipped study and say what was written.

    Raises
    ------
    Refusal
        When the study in the project's root says that its answers are real (synthetic = false).
    """
    study = load(Path(__file__).resolve().parent.parent)
    if not study.synthetic:
        raise Refusal("study/study.toml says synthetic = false; the generator never writes over real answers")
    notice = study.root / "data_raw" / "README.md"
    notice.parent.mkdir(exist_ok=True)
    notice.write_text(NOTICE, encoding="utf-8")
    print(notice.relative_to(study.root))
    for cohort_id in SHIPPED:
        for path in write_exports(shipped(study, cohort_id), study, cohort_id, study.raw(cohort_id)):
            print(path.relative_to(study.root))


if __name__ == "__main__":
    main()
