"""The generator: known truth recovered, exports byte for byte the same, planted defects as counted."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections import Counter
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from scipy import stats

from plresearch import frames, study, synthetic
from plresearch.synthetic import DEFECTS, PLANS, SHIPPED, Defect, Trait, Truth

WAVES = (
    study.Wave("pre", "Before", 0), study.Wave("then", "Then", 0, retrospective=True),
    study.Wave("post", "After", 9), study.Wave("later", "Later", 15),
)
SHIPPED_STUDY = study.load(Path(synthetic.__file__).resolve().parent.parent)


@pytest.fixture(scope="module")
def large():
    """One cohort of 1500 pairs of the shipped study, everybody answering everything."""
    truth = Truth(dropout=0, skip=0, dose_slope=0.2, interviewed=0.3)
    return synthetic.simulate(SHIPPED_STUDY, "cohort-1", truth=truth, pairs=1500, seed=7)


# ---- truth recovered


def within(observed, expected, standard_error, *, times=4.0):
    assert np.all(np.abs(np.asarray(observed) - expected) <= times * np.asarray(standard_error)), (
        observed, expected, standard_error
    )


@pytest.mark.parametrize("comparison", [False, True])
def test_mean_scores_tend_to_the_closed_form(comparison):
    truth, reps = Truth(dropout=0, cohort_effect=0.1), 1500
    scores = synthetic.simulate_scores(
        truth, pairs=6, waves=WAVES, rng=np.random.default_rng(3), replications=reps, comparison=comparison
    )
    means = scores.mean(axis=1)
    expected = synthetic.expected_scores(truth, waves=WAVES, comparison=comparison)
    assert expected.shape == (2, 4, 4)
    within(means.mean(axis=0), expected, means.std(axis=0, ddof=1) / np.sqrt(reps))
    change = means[:, :, 2] - means[:, :, 0]
    within(
        change.mean(axis=0), expected[:, 2] - expected[:, 0], change.std(axis=0, ddof=1) / np.sqrt(reps)
    )
    if comparison:  # nobody gains; the two spreads differ, so the ceiling lets the means differ a little
        assert np.abs(expected - expected[:, :1]).max() < 0.02
    else:
        assert np.all(expected[:, 2] - expected[:, 0] > 0.25)
        assert np.all(expected[:, 1] < expected[:, 0])  # then-test below the first answers
        assert np.all(expected[:, 3] < expected[:, 2])  # some of the gain fades
        role_gap = expected[1, :, 1] - expected[0, :, 1]
        assert role_gap[0] > 0.5 > role_gap[2]


def test_a_t_interval_over_six_pairs_covers_the_true_change():
    truth, reps = Truth(dropout=0), 4000
    waves = (WAVES[0], WAVES[2])
    rng = np.random.default_rng(4)
    scores = synthetic.simulate_scores(truth, pairs=6, waves=waves, rng=rng, replications=reps)
    change = (scores[..., 1, :] - scores[..., 0, :]).mean(axis=2)
    expected = synthetic.expected_scores(truth, waves=waves)
    true = (expected[:, 1] - expected[:, 0]).mean(axis=0)
    half = stats.t.ppf(0.975, 5) * change.std(axis=1, ddof=1) / np.sqrt(6)
    coverage = (np.abs(change.mean(axis=1) - true) <= half).mean(axis=0)
    within(coverage, 0.95, np.sqrt(0.95 * 0.05 / reps))


def test_one_answer_has_the_stated_distribution():
    truth = Truth(item_sd=0.9)
    steps = synthetic._steps(np.full(40000, 3.2), np.array([0.3]), 7, truth, np.random.default_rng(5))[..., 0]
    cuts = 1 + 4 * (np.arange(1, 7) - 0.5) / 6
    probability = np.diff(np.r_[0, stats.norm.cdf((cuts - 2.9) / 0.9), 1])
    observed = np.bincount(steps.astype(int), minlength=7) / steps.size
    within(observed, probability, np.sqrt(probability * (1 - probability) / steps.size))


def test_partners_people_and_subscales_correlate_as_declared(large):
    first = large.true_scores.query("wave == 'pre' and subscale != 'running'")
    sides = first.pivot(index=["subscale", "pair"], columns="role", values="latent")
    t = Trait()
    total = t.pair_sd**2 + t.person_sd**2 + t.occasion_sd**2
    for subscale in ("preparedness", "role", "ethos", "collaboration"):
        both = sides.loc[subscale]
        within(np.arctanh(both.corr().iloc[0, 1]), np.arctanh(t.pair_sd**2 / total), 1 / np.sqrt(1497))
        within(both.std(), np.sqrt(total), np.sqrt(total / 3000))
    wide = first[first["role"] == "doctor"].pivot(index="pair", columns="subscale", values="latent").corr()
    expected = large.truth.subscale_correlation * (t.pair_sd**2 + t.person_sd**2) / total
    within(np.arctanh(wide.loc["role", "ethos"]), np.arctanh(expected), 1 / np.sqrt(1497))


@pytest.mark.parametrize("subscale", ["role", "ethos"])
def test_partners_move_towards_each_other_as_declared(large, subscale):
    rows = large.true_scores[large.true_scores["subscale"] == subscale]
    sides = rows.pivot(index=["pair", "wave"], columns="role", values="latent")
    gap = (sides["manager"] - sides["doctor"]).unstack("wave")
    trait = large.truth.trait(subscale)
    fit = stats.linregress(gap["pre"], gap["post"])
    kept = (1 - trait.convergence) * trait.person_sd**2 / (trait.person_sd**2 + trait.occasion_sd**2)
    within(fit.slope, kept, fit.stderr)


def turned(responses: pd.DataFrame) -> pd.DataFrame:
    """Responses with every item pointing the same way, and the subscale of each."""
    items = SHIPPED_STUDY.instrument.items
    back = responses["item"].map(lambda i: items[i].reversed)
    return responses.assign(
        value=responses["value"].where(~back, 6 - responses["value"]),
        subscale=responses["item"].map(lambda i: items[i].subscale),
    )


def test_subscales_are_reliable_as_questionnaires_are(large):
    answers = turned(large.responses)
    checked = 0
    for (subscale, wave, role), rows in answers.groupby(["subscale", "wave", "role"]):
        wide = rows.pivot(index="person", columns="item", values="value")
        k = wide.shape[1]
        alpha = k / (k - 1) * (1 - wide.var().sum() / wide.sum(axis=1).var())
        assert 0.70 < alpha < 0.85, (subscale, wave, role, alpha)
        checked += 1
    assert checked == 18


def test_observed_scores_follow_the_expected_ones(large):
    answers = turned(large.responses)
    observed = answers.groupby(["person", "wave", "subscale"])["value"].mean()
    true = large.true_scores.set_index(["person", "wave", "subscale"])["expected"].reindex(observed.index)
    error = observed - true
    within(error.mean(), 0, error.std() / np.sqrt(len(error)))
    slope = np.polyfit(true, observed, 1)[0]
    within(slope, 1, error.std() / (true.std() * np.sqrt(len(error))))


def test_leaving_depends_on_role_and_first_scores_only():
    pre_post, truth = (WAVES[0], WAVES[2]), Truth(dropout=0.15)
    scores, whole = (
        synthetic.simulate_scores(
            t, pairs=10, waves=pre_post, rng=np.random.default_rng(6), replications=1500
        )
        for t in (truth, dataclasses.replace(truth, dropout=0))
    )
    first = whole[..., 0, :].mean(axis=-1)
    left = np.isnan(scores[..., 1, 0])
    assert not np.isnan(scores[..., 0, :]).any() and not np.isnan(whole).any()
    odds = 0.15 / 0.85 * np.exp(0.5 * np.arange(2) + 0.7 * (3 - first))
    chance = odds / (1 + odds)
    for part in (np.ones_like(left), first < 2.5, first > 3.5):
        for side in (0, 1):
            p, got = chance[..., side][part[..., side]], left[..., side][part[..., side]]
            within(got.mean(), p.mean(), np.sqrt((p * (1 - p)).sum()) / p.size)
    assert left[first < 2.5].mean() > left[first > 3.5].mean() + 0.05
    assert np.array_equal(scores[~left][:, 1], whole[~left][:, 1])


def test_who_leaves_stays_away_and_a_then_test_goes_with_the_first_later_form():
    scores = synthetic.simulate_scores(
        Truth(dropout=0.3), pairs=8, waves=WAVES, rng=np.random.default_rng(8), replications=200
    )
    gone = np.isnan(scores[..., 0])
    assert not gone[..., 0].any()
    assert np.array_equal(gone[..., 1], gone[..., 2])
    assert (gone[..., 3] >= gone[..., 2]).all() and gone[..., 3].sum() > gone[..., 2].sum()


def test_doses_are_as_declared_and_meetings_add_gain(large):
    truth, events = large.truth, large.events
    done = events[events["status"] == "done"].groupby("kind").size()
    for kind, trials, rate in (
        ("contract", 1500, truth.contract_rate), ("meeting", 1500 * 6, truth.meeting_rate),
        ("shadowing", 3000, truth.shadowing_rate),
        ("reflection", 3000 * truth.reflections, truth.reflection_rate),
        ("workshop", 3000 * truth.workshops, truth.workshop_rate),
        ("forum", 3000 * truth.forums, truth.forum_rate),
    ):
        within(done[kind] / trials, rate, np.sqrt(rate * (1 - rate) / trials))
    held = events[(events["kind"] == "meeting") & (events["status"] == "done")].groupby("pair").size()
    rows = large.true_scores[large.true_scores["subscale"] == "role"]
    change = rows.pivot_table(index="pair", columns="wave", values="latent")
    change = change["post"] - change["pre"]
    fit = stats.linregress(held.reindex(change.index).fillna(0), change)
    within(fit.slope, truth.dose_slope, fit.stderr)


def test_two_coders_agree_as_often_as_declared(large):
    marks = large.codings.assign(mark=True)
    segments = large.passages["segment"]
    assert large.codings.groupby("segment")["coder"].nunique().reindex(segments).eq(2).all()
    for theme in SHIPPED_STUDY.themes:
        sheet = marks[marks["theme"] == theme].pivot(index="segment", columns="coder", values="mark")
        sheet = sheet.reindex(segments).notna()
        there = (large.passages["theme"] == theme).to_numpy()
        expected = synthetic.expected_agreement(large.truth, there.mean())
        agreed = (sheet["A"] == sheet["B"]).mean()
        within(agreed, expected, np.sqrt(expected * (1 - expected) / len(segments)))
        within(sheet.to_numpy()[there].mean(), 0.85, np.sqrt(0.85 * 0.15 / (2 * there.sum())))
    assert len(segments) > 5000


# ---- streams, shapes and other studies


def test_one_part_does_not_change_another():
    def run(**changes):
        return synthetic.simulate(SHIPPED_STUDY, "cohort-2", truth=Truth(**changes), pairs=10, seed=5)

    plain, other = run(), run(skip=0.2, interviewed=1.0, workshop_rate=0.1, sensitivity=0.5)
    pd.testing.assert_frame_equal(plain.true_scores, other.true_scores)
    pd.testing.assert_frame_equal(plain.forms, other.forms)
    kept = other.responses["value"].notna()
    assert 0.1 < 1 - kept.mean() < 0.3
    both = kept & plain.responses["value"].notna()
    assert plain.responses["value"][both].equals(other.responses["value"][both])
    again = run()
    pd.testing.assert_frame_equal(plain.responses, again.responses)
    seed = synthetic.simulate(SHIPPED_STUDY, "cohort-2", truth=Truth(), pairs=10, seed=6)
    assert not seed.responses["value"].equals(plain.responses["value"])


@pytest.mark.parametrize("cohort_id", list(SHIPPED))
def test_tables_have_the_projects_shapes_and_dates_lie_in_the_cohort(cohort_id):
    done, cohort = synthetic.shipped(SHIPPED_STUDY, cohort_id), SHIPPED_STUDY.cohort(cohort_id)
    for table, shape in (
        (done.responses, frames.RESPONSES), (done.events, frames.EVENTS), (done.codings, frames.CODINGS)
    ):
        pd.testing.assert_frame_equal(frames.conform(table, shape), table.reset_index(drop=True))
    assert done.forms["started"].min().date() >= cohort.start
    assert done.forms["completed"].max().date() <= cohort.end
    days = pd.to_datetime(done.events["date"]).dt.date
    assert days.min() >= cohort.start and days.max() <= cohort.end
    quotes = done.interviews
    assert (quotes["end"] - quotes["start"] == quotes["quotation"].str.len()).all()
    assert (done.roster.groupby("pair")["role"].nunique() == 2).all()
    assert done.roster["person"].str.match(r"SYN-[DM]\d\d$").all()
    assert ("shadowing_chairman" in set(done.events["kind"])) == (cohort_id == "cohort-3")


def test_people_and_pairs_of_the_shipped_cohorts_never_share_a_code():
    roster = pd.concat([synthetic.shipped(SHIPPED_STUDY, c).roster for c in SHIPPED])
    assert len(roster) == 60 and roster["person"].is_unique and roster["pair"].nunique() == 30


OTHER = {
    "study.toml": """
        title = "Other"
        short_title = "Other"
        programme = "Course"
        setting = "a place"
        synthetic = true
        release = "team"
        seed = 3
        timezone = "Europe/London"
        instrument = "other"
        waves = [
          { id = "t0", label = "Start" }, { id = "then", label = "Then", retrospective = true },
          { id = "t1", label = "End", month = 4 }, { id = "t2", label = "Year", month = 12.5 },
        ]
        """,
    "plan.toml": """
        date = 2026-01-01
        registration = ""
        missing = "complete"
        level = 0.95
        mid = 0.5
        contrasts = [{ id = "c", from = "t0", to = "t1", label = "Change", primary = true }]
        """,
    "instruments/other.toml": """
        id = "other"
        title = "Other"
        source = "own"
        licence = "CC0-1.0"
        [response_sets.seven]
        labels = ["a7", "a6", "a5", "a4", "a3", "a2", "a1"]
        codes = [7, 6, 5, 4, 3, 2, 1]
        [response_sets.yes]
        labels = ["No", "Yes"]
        codes = [0, 1]
        [subscales.skill]
        label = "Skill"
        minimum = 1
        [[items]]
        id = "s1"
        text = "First question"
        subscale = "skill"
        responses = "seven"
        [[items]]
        id = "s2"
        text = "Second question"
        subscale = "skill"
        responses = "seven"
        reversed = true
        fields = { t0 = "B. Second question" }
        [[items]]
        id = "again"
        text = "Would you come again?"
        subscale = ""
        responses = "yes"
        waves = ["t1"]
        """,
    "cohorts/one.toml": """
        label = "One"
        start = 2024-01-08
        end = 2024-06-30
        roster = "people.csv"
        [[sources]]
        file = "t0.csv"
        wave = "t0"
        person = "Code"
        [[sources]]
        file = "t1.xlsx"
        wave = "t1"
        person = "Code"
        [sources.columns]
        "Q1" = "s1"
        """,
}


@pytest.fixture
def other(tmp_path):
    for name, text in OTHER.items():
        path = tmp_path / "study" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(re.sub(r"^ +", "", text, flags=re.MULTILINE), encoding="utf-8")
    return study.load(tmp_path)


def test_a_study_without_roles_with_other_answers_and_waves(other, tmp_path):
    truth = Truth(dropout=0.1, skip=0, other=Trait(baseline=(3.0, 3.0), gain=(0.8, 0.8)), programme_months=4)
    done = synthetic.simulate(other, "one", truth=truth, pairs=400, seed=1)
    assert len(done.roster) == 400 and (done.roster["pair"] == "").all()
    assert done.roster["person"].iloc[0] == "SYN-P01"
    values = done.responses.groupby("item")["value"].agg(["min", "max"])
    assert values.loc["s1"].tolist() == [1, 7] and values.loc["again"].tolist() == [0, 1]
    asked = done.responses.groupby("item")["wave"].unique().map(set)
    assert asked["again"] == {"t1"} and asked["s1"] == {"t0", "then", "t1", "t2"}
    wide = done.responses.pivot(index=["person", "wave"], columns="item", values="value")
    assert wide["s1"].corr(wide["s2"]) < -0.4  # the reverse-keyed item runs the other way
    first, last = done.forms[done.forms["wave"] == "t0"], done.forms[done.forms["wave"] == "t2"]
    then = done.forms[done.forms["wave"] == "then"]
    assert first["started"].dt.strftime("%Y-%m").unique().tolist() == ["2024-01"]
    assert then["started"].min() > pd.Timestamp("2024-05-01")
    assert last["started"].min() > pd.Timestamp("2025-01-15")
    assert len(done.interviews) == 0 and list(done.interviews.columns)[0] == "interview"
    written = synthetic.write_exports(done, other, "one", tmp_path / "raw")
    assert [p.name for p in written] == ["t0.csv", "t1.xlsx", "people.csv"]
    header = read_plain(tmp_path / "raw" / "t0.csv")[0]
    assert header == [
        "Date completed", "Code", "1. First question", "2. B. Second question", "Anything you'd like to add?"
    ]
    sheet = openpyxl.load_workbook(tmp_path / "raw" / "t1.xlsx").active
    assert [c.value for c in sheet[1]][5:] == [
        "Code", "Would you come again?", "Q1", "Second question", "Anything else you would like to tell us?"
    ]


def test_a_comparison_cohort_has_no_programme():
    cohorts = {**SHIPPED_STUDY.cohorts}
    cohorts["cohort-2"] = dataclasses.replace(cohorts["cohort-2"], comparison=True)
    compared = dataclasses.replace(SHIPPED_STUDY, cohorts=cohorts)
    done = synthetic.simulate(compared, "cohort-2", truth=Truth(dropout=0), pairs=600, seed=2)
    assert len(done.events) == 0 and len(done.codings) == 0
    true = done.true_scores.pivot(index=["subscale", "person"], columns="wave", values="latent")
    for subscale, rows in true.groupby("subscale"):
        change = rows["post"] - rows["pre"]
        # partners' changes correlate: at most twice the variance of independent people
        within(change.mean(), 0, np.sqrt(2) * change.std() / np.sqrt(len(change)))


# ---- refusals


@pytest.mark.parametrize("wrong", [
    {"skip": 1.2}, {"dropout": 1}, {"sensitivity": -0.1}, {"items": 0}, {"item_sd": 0}, {"meeting_rate": 2},
])
def test_impossible_truths_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Truth(**wrong)


def test_nobody_and_nothing_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        synthetic.simulate(SHIPPED_STUDY, "cohort-1", truth=Truth(), pairs=0, seed=1)
    with pytest.raises(ValueError, match="0 replications"):
        synthetic.simulate_scores(Truth(), pairs=2, waves=WAVES, rng=np.random.default_rng(1), replications=0)
    with pytest.raises(ValueError, match="usual"):
        synthetic.simulate_scores(
            Truth(), pairs=2, waves=WAVES[1:2], rng=np.random.default_rng(1), replications=2
        )
    with pytest.raises(frames.Refusal, match="no cohort 'nine'"):
        synthetic.simulate(SHIPPED_STUDY, "nine", truth=Truth(), pairs=2, seed=1)


def test_a_format_the_generator_does_not_write_is_refused(other, tmp_path):
    cohort = other.cohort("one")
    cohort = dataclasses.replace(cohort, sources=(dataclasses.replace(cohort.sources[0], format="spss"),))
    other = dataclasses.replace(other, cohorts={"one": cohort})
    done = synthetic.simulate(other, "one", truth=Truth(), pairs=2, seed=1)
    with pytest.raises(frames.Refusal, match="spss"):
        synthetic.write_exports(done, other, "one", tmp_path)


def test_a_defect_for_somebody_who_did_not_answer_is_refused(monkeypatch, tmp_path):
    monkeypatch.setitem(PLANS, "cohort-1", (Defect("partial", "post", "SYN-D99", "2"),))
    with pytest.raises(frames.Refusal, match="SYN-D99"):
        synthetic.write_exports(
            synthetic.shipped(SHIPPED_STUDY, "cohort-1"), SHIPPED_STUDY, "cohort-1", tmp_path
        )


def test_real_answers_are_never_overwritten(monkeypatch):
    real = dataclasses.replace(SHIPPED_STUDY, synthetic=False)
    monkeypatch.setattr(synthetic, "load", lambda root: real)
    with pytest.raises(frames.Refusal, match="synthetic = false"):
        synthetic.main()


# ---- exports


def read_plain(path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def read_export(path, source) -> pd.DataFrame:
    """Columns code, consent, status and item ids, cells as text, read without the package's reader."""
    if path.suffix == ".xlsx":
        sheet = openpyxl.load_workbook(path).active
        rows = [["" if v is None else str(v) for v in row] for row in sheet.iter_rows(values_only=True)]
    else:
        rows = read_plain(path)
    names = rows[1] if source.format == "qualtrics" else rows[0]
    table = pd.DataFrame(rows[3 if source.format == "qualtrics" else 1:], columns=names)
    texts = {i.text: i.id for i in SHIPPED_STUDY.instrument.asked_at(source.wave)}
    folded = {c: re.sub(r"^\d+\. ", "", c.replace("\u00a0", " ")) for c in table.columns}
    renamed = {c: texts.get(f, f) for c, f in folded.items()}
    renamed |= {source.person: "code", "Your participant code": "code", source.consent: "consent",
                "Do you agree to take part in the evaluation?": "consent", "Response Type": "status"}
    return table.rename(columns=renamed)


@pytest.mark.parametrize("cohort_id", list(SHIPPED))
def test_the_shipped_files_come_again_byte_for_byte(cohort_id, tmp_path):
    written = synthetic.write_exports(
        synthetic.shipped(SHIPPED_STUDY, cohort_id), SHIPPED_STUDY, cohort_id, tmp_path
    )
    shipped = SHIPPED_STUDY.raw(cohort_id)
    assert sorted(p.name for p in written) == sorted(p.name for p in shipped.iterdir())
    for path in written:
        assert path.read_bytes() == (shipped / path.name).read_bytes(), path.name


def test_the_notice_is_shipped_and_says_synthetic():
    text = (SHIPPED_STUDY.root / "data_raw" / "README.md").read_text(encoding="utf-8")
    assert text == synthetic.NOTICE and "No person took part" in text


@pytest.mark.parametrize("cohort_id", list(SHIPPED))
def test_exports_without_defects_hold_the_responses(cohort_id, tmp_path):
    done, cohort = synthetic.shipped(SHIPPED_STUDY, cohort_id), SHIPPED_STUDY.cohort(cohort_id)
    synthetic.write_exports(done, SHIPPED_STUDY, cohort_id, tmp_path, defects=False)
    compared = 0
    for source in cohort.sources:
        table = read_export(tmp_path / source.file, source).set_index("code")
        assert table.index.is_unique
        for row in done.responses[done.responses["wave"] == source.wave].itertuples():
            item = SHIPPED_STUDY.instrument.items[row.item]
            choices = SHIPPED_STUDY.instrument.response_sets[item.responses]
            label = "" if np.isnan(row.value) else choices.labels[choices.codes.index(int(row.value))]
            assert table.loc[row.person, row.item] == label
            compared += 1
    assert compared == len(done.responses)


def plain_id(code: str) -> str:
    letters = re.sub(r"[^A-Z0-9]", "", code.upper())
    found = re.fullmatch(r"SYN([DM])0*(\d+)", letters)
    return f"SYN-{found[1]}{int(found[2]):02d}" if found else letters


def count_defects(cohort_id: str) -> Counter:
    """Every kind of defect, counted in the shipped files alone."""
    cohort, folder, found = SHIPPED_STUDY.cohort(cohort_id), SHIPPED_STUDY.raw(cohort_id), Counter()
    roster = pd.read_csv(folder / "roster.csv", keep_default_na=False)
    people, gone = set(roster["person"]), dict(zip(roster["person"], roster["withdrawn"], strict=True))
    seen = {}
    for source in cohort.sources:
        table = read_export(folder / source.file, source)
        if source.file.endswith(".xlsx"):
            header = [c.value for c in openpyxl.load_workbook(folder / source.file).active[1]]
        else:
            header = (folder / source.file).read_text(encoding="utf-8").replace("\n", ",").split(",")
        found["header_spelling"] += sum("\u00a0" in c or "\u2019" in c for c in header)
        codes = table["code"]
        known = codes.map(plain_id)
        corrected = known.isin(people)
        trial = codes.str.upper() == "TEST"
        preview = table.get("status", pd.Series("", index=table.index)) == "Survey Preview"
        found["preview"] += int(preview.sum())
        found["test_response"] += int((trial & ~preview).sum())
        found["id_spelling"] += int((corrected & ~codes.isin(people)).sum())
        found["code_typo"] += int(codes.str.fullmatch(r"SYN-[DM]\dO").sum())
        found["unknown_code"] += int((~corrected & ~trial & ~codes.str.endswith("O")).sum())
        found["identical_double"] += int(table.duplicated().sum())
        items = [i.id for i in SHIPPED_STUDY.instrument.asked_at(source.wave)]
        unlike = ~table[items].assign(who=known).duplicated()
        double = (known.duplicated() & corrected & unlike).sum()
        found["partner_code" if cohort_id == "cohort-3" else "differing_double"] += int(double)
        refused = ~table["consent"].isin(source.consent_given)
        found["no_consent"] += int(refused.sum())
        if "Progress" in table:
            found["partial"] += int((table["Progress"] != "100").sum())
        for item in SHIPPED_STUDY.instrument.asked_at(source.wave):
            choices = SHIPPED_STUDY.instrument.response_sets[item.responses]
            for cell in table[item.id]:
                if cell in choices.missing:
                    found["missing_word"] += 1
                elif cell == "6":
                    found["out_of_range"] += 1
                elif cell == "3.5":
                    found["half_point"] += 1
                elif cell and cell not in choices.labels:
                    assert cell in synthetic.SPELLINGS
                    found["answer_spelling"] += 1
        seen[source.wave] = set(known[corrected & ~refused])
    for person, day in gone.items():
        if day:
            found["answered_withdrawn" if person in seen["post"] else "withdrawn"] += 1
    found["post_only"] += len({p for p in seen["post"] - seen["pre"]} - {"SYN-M10"})
    return Counter({k: v for k, v in found.items() if v})


@pytest.mark.parametrize("cohort_id", list(SHIPPED))
def test_defects_are_in_the_files_as_counted(cohort_id):
    assert dict(count_defects(cohort_id)) == DEFECTS[cohort_id]


def test_every_kind_of_defect_is_documented_and_planted():
    documented = set(re.findall(r"^- ``(\w+)``", synthetic.__doc__, flags=re.MULTILINE))
    assert documented == {kind for counts in DEFECTS.values() for kind in counts} and len(documented) == 18


@pytest.mark.parametrize("cohort_id", list(SHIPPED))
def test_corrections_find_the_cells_they_correct_and_restore_the_truth(cohort_id):
    cohort, done = SHIPPED_STUDY.cohort(cohort_id), synthetic.shipped(SHIPPED_STUDY, cohort_id)
    with cohort.corrections.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    kinds = {"out_of_range", "code_typo", "partner_code"}
    assert len(rows) == sum(DEFECTS[cohort_id].get(k, 0) for k in kinds) == 1
    for row in rows:
        source = next(s for s in cohort.sources if s.file == row["source"])
        path = SHIPPED_STUDY.raw(cohort_id) / source.file
        if path.suffix == ".xlsx":
            table = [list(r) for r in openpyxl.load_workbook(path).active.iter_rows(values_only=True)]
        else:
            table = read_plain(path)
        data = table[3 if source.format == "qualtrics" else 1:]
        cells = dict(zip(table[0], data[int(row["row"]) - 1], strict=True))
        assert cells[row["column"]] == row["old"]
        person = row["new"] if row["column"] == source.person else cells[source.person]
        form = done.responses[(done.responses["person"] == person) & (done.responses["wave"] == source.wave)]
        cells[row["column"]] = row["new"]
        texts = {i.text: i.id for i in SHIPPED_STUDY.instrument.asked_at(source.wave)}
        same = 0
        for name, cell in cells.items():
            item = texts.get(re.sub(r"^\d+\. ", "", name), name)
            if item in set(form["item"]) and cell:
                responses = SHIPPED_STUDY.instrument.items[item].responses
                choices = SHIPPED_STUDY.instrument.response_sets[responses]
                label = synthetic.SPELLINGS.get(cell, cell)
                if label in choices.labels:
                    code = choices.codes[choices.labels.index(label)]
                    assert code == form.set_index("item")["value"][item]
                    same += 1
        assert same >= 14


@pytest.mark.parametrize(("cohort_id", "pairs"), [("cohort-1", 6), ("cohort-2", 8), ("cohort-3", 12)])
def test_enough_pairs_stay_complete(cohort_id, pairs):
    """Pairs with both partners usable at both waves, counted from the plan and the simulated forms."""
    done = synthetic.shipped(SHIPPED_STUDY, cohort_id)
    usable = {w: set(done.forms.loc[done.forms["wave"] == w, "person"]) for w in ("pre", "post")}
    out = {"withdrawn", "answered_withdrawn", "post_only", "no_consent", "half_point", "differing_double"}
    for defect in PLANS[cohort_id]:
        if defect.kind in out:
            usable[defect.wave].discard(defect.person)
    both = done.roster[done.roster["person"].isin(usable["pre"] & usable["post"])]
    assert (both.groupby("pair").size() == 2).sum() == pairs


def test_qualtrics_headers_are_those_of_the_tool():
    for name in ("pre_qualtrics.csv", "post_qualtrics.csv"):
        tags, texts, imports = read_plain(SHIPPED_STUDY.raw("cohort-2") / name)[:3]
        assert len(tags) == len(texts) == len(imports) and len(set(tags)) == len(tags)
        assert tags[:9] == [
            "StartDate", "EndDate", "Status", "IPAddress", "Progress", "Duration (in seconds)", "Finished",
            "RecordedDate", "ResponseId",
        ]
        assert imports[0] == '{"ImportId":"startDate","timeZone":"Europe/London"}'
        assert imports[8] == '{"ImportId":"_recordId"}'
        assert imports[17] == '{"ImportId":"QID1"}' and imports[18] == '{"ImportId":"QID2_TEXT"}'


def test_quotations_are_short_and_name_nobody():
    assert set(synthetic.QUOTATIONS) == {*SHIPPED_STUDY.themes, ""}
    for bank in synthetic.QUOTATIONS.values():
        for quotation in bank:
            inner = re.sub(r"(?:^|(?<=[.;] ))[A-Z]|\bI\b", "", quotation)
            assert len(quotation) < 90 and not re.search(r"[A-Z0-9@]", inner), quotation
