"""Themes of interviews: units, agreement, prevalence, saturation, quotations; real coders; messy tables."""

import math
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from plresearch import interviews, labels, tables
from plresearch import study as study_module
from plresearch.agreement import agree
from plresearch.frames import CODINGS, CONSENT, COUNTS, ESTIMATES, QUOTATIONS, RECONCILED, RELEASED_QUOTES, Refusal, conform, make
from plresearch.records import check_consent, check_interviews, check_reconciled, check_released_quotes, check_roster
from plresearch.study import Theme

RELF = Path(__file__).parents[2] / "shared" / "real" / "rqi_relf" / "interview-data.xlsx"
THEMES = {t.id: t for t in (Theme("work", "Working together", "d", subscale="collaboration"), Theme("last", "Lasting contact", "d", parent="work"),
                            Theme("time", "Finding the time", "d"))}
PARENTS = {t.id: t.parent for t in THEMES.values()}


def quotations(*rows, **more) -> pd.DataFrame:
    """QUOTATIONS from (interview, start, end, coder, theme)."""
    return make([{"cohort": "c", "interview": i, "start": s, "end": e, "coder": c, "theme": t, "person": f"P{i}",
                  "role": "doctor" if i[-1] in "13579" else "manager"} | more for i, s, e, c, t in rows], QUOTATIONS)


def codings(*rows) -> pd.DataFrame:
    """CODINGS from (interview, segment, coder, theme)."""
    return make([{"cohort": "c", "interview": i, "segment": s, "coder": c, "theme": t} for i, s, c, t in rows], CODINGS)


def row(estimates, outcome, term):
    found = estimates[(estimates["outcome"] == outcome) & (estimates["term"] == term)]
    assert len(found) == 1
    return found.iloc[0]


# --------------------------------------------------------------------------------------------- units

@pytest.mark.parametrize(("passages", "expected"), [
    ([(0, 10), (5, 15)], ["0-15", "0-15"]),  # exactly half
    ([(0, 10), (6, 16)], ["0-10", "6-16"]),  # less than half
    ([(0, 100), (90, 98)], ["0-100", "0-100"]),  # the shorter lies inside
    ([(0, 10), (10, 20)], ["0-10", "10-20"]),  # they touch
    ([(0, 10), (4, 14), (8, 18)], ["0-18", "0-18", "0-18"]),  # a chain is one unit
    ([(0, 10), (30, 40), (0, 10)], ["0-10", "30-40", "0-10"]),
])
def test_passages_that_share_half_of_the_shorter_are_one_unit(passages, expected):
    table = quotations(*[("I1", s, e, "AB"[k % 2], "work") for k, (s, e) in enumerate(passages)])
    assert interviews.units(table)["segment"].tolist() == expected


def test_units_never_cross_interviews_or_cohorts_and_named_segments_stand():
    table = pd.concat([quotations(("I1", 0, 10, "A", "work"), ("I2", 0, 10, "B", "work")),
                       quotations(("I3", 0, 10, "A", "work"), ("I3", 1, 9, "B", "work"), segment="s"),
                       quotations(("I1", 2, 10, "B", "time"), cohort="d")], ignore_index=True)
    assert interviews.units(table)["segment"].tolist() == ["0-10", "0-10", "s", "s", "2-10"]
    with pytest.raises(Refusal, match="names the segment of 1 rows and leaves it out in 1"):
        interviews.units(pd.concat([quotations(("I1", 0, 9, "A", "work"), segment="s"), quotations(("I1", 0, 9, "B", "work"))], ignore_index=True))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30), st.sampled_from("ABC")), min_size=1, max_size=14), st.randoms())
def test_units_do_not_depend_on_the_order_of_rows_and_join_all_that_overlap(passages, random):
    rows = [("I1", s, s + n, c, "work") for s, n, c in passages]
    named = dict(zip(rows, interviews.units(quotations(*rows))["segment"], strict=True))
    random.shuffle(rows)
    assert dict(zip(rows, interviews.units(quotations(*rows))["segment"], strict=True)) == named
    for (_, a, b, _, _), one in named.items():
        for (_, c, d, _, _), two in named.items():
            shared = min(b, d) - max(a, c)
            assert one == two or shared < 0.5 * min(b - a, d - c)
        low, high = map(int, one.split("-"))
        assert low <= a and b <= high


def test_who_marked_anything_by_extent_has_read_the_whole_interview():
    table = quotations(("I1", 0, 10, "A", "work"), ("I1", 1, 9, "B", "work"), ("I1", 50, 60, "A", "time"), ("I2", 0, 10, "A", "time"))
    found = interviews.coded(table)
    assert found[["interview", "segment", "coder", "theme"]].to_numpy().tolist() == [
        ["I1", "0-10", "A", "work"], ["I1", "0-10", "B", "work"], ["I1", "50-60", "A", "time"], ["I2", "0-10", "A", "time"],
        ["I1", "50-60", "B", ""]]
    named = interviews.coded(quotations(("I1", 0, 10, "A", "work"), ("I1", 0, 10, "B", ""), ("I1", 0, 10, "A", ""), segment="s"))
    assert named[["coder", "theme"]].to_numpy().tolist() == [["A", "work"], ["B", ""]]


def test_parents_count_when_a_child_is_coded_and_a_ring_is_refused():
    table = codings(("I1", "1", "A", "last"), ("I1", "1", "B", "work"), ("I1", "2", "A", ""))
    found = interviews.with_parents(table, PARENTS)
    assert found[["coder", "theme"]].to_numpy().tolist() == [["A", "last"], ["B", "work"], ["A", ""], ["A", "work"]]
    assert row(interviews.agreement(pd.concat([found, codings(("I1", "2", "B", ""))]), ["work"], level=0.95), "work", "percent")["estimate"] == 1
    deep = interviews.with_parents(codings(("I1", "1", "A", "a")), {"a": "b", "b": "c", "c": ""})
    assert deep["theme"].tolist() == ["a", "b", "c"]
    with pytest.raises(Refusal, match="own ancestor"):
        interviews.with_parents(codings(("I1", "1", "A", "a")), {"a": "b", "b": "a"})


# ------------------------------------------------------------------------------------------ agreement

def coded_by(ratings: dict[str, list], theme="work", per=2) -> pd.DataFrame:
    """CODINGS from each coder's 1, 0 or None per unit, `per` units to an interview."""
    return codings(*[(f"I{k // per}", str(k), coder, theme if given else "") for coder, marks in ratings.items()
                     for k, given in enumerate(marks) if given is not None])


def test_agreement_of_a_theme_is_that_of_the_agreement_module():
    rng = np.random.default_rng(3)
    marks = {"A": rng.integers(0, 2, 40).tolist(), "B": rng.integers(0, 2, 40).tolist()}
    found = interviews.agreement(coded_by(marks), ["work"], level=0.9)
    expected = agree(np.column_stack(list(marks.values())), categories=[0, 1], level=0.9)
    for term, value in (("kappa", expected.kappa), ("AC1", expected.ac), ("alpha", expected.alpha)):
        assert row(found, "work", term)["estimate"] == pytest.approx(value.value, abs=1e-12)
    assert row(found, "work", "kappa")[["se", "low", "high"]].tolist() == pytest.approx([expected.kappa.se, expected.kappa.low, expected.kappa.high])
    assert conform(found, ESTIMATES).equals(found)


def test_agreement_over_themes_counts_every_decision_and_knows_that_interviews_cluster():
    rng = np.random.default_rng(5)
    per_theme = {t: {c: rng.integers(0, 2, 24).tolist() for c in "AB"} for t in ("work", "time")}
    table = pd.concat([coded_by(m, theme=t) for t, m in per_theme.items()], ignore_index=True)
    table = table[(table["theme"] != "") | ~table.duplicated(["interview", "segment", "coder", "theme"])]
    found = interviews.agreement(table, ["work", "time"], level=0.95)
    stacked = np.vstack([np.column_stack(list(m.values())) for m in per_theme.values()])
    whole = row(found, "all", "kappa")
    assert whole["estimate"] == pytest.approx(agree(stacked, categories=[0, 1]).kappa.value, abs=1e-12)
    interview = np.tile(np.arange(24) // 2, 2)
    left = np.array([agree(stacked[interview != i], categories=[0, 1]).kappa.value for i in range(12)])
    se = math.sqrt(11 / 12 * ((left - left.mean()) ** 2).sum())
    assert whole["se"] == pytest.approx(se, abs=1e-12)
    assert whole["high"] - whole["estimate"] == pytest.approx(stats.t.ppf(0.975, 11) * se, abs=1e-12)
    assert row(found, "all", "percent")["unit"] == "share" and whole["n"] == 24


def test_a_theme_without_variation_is_not_defined_and_never_one():
    found = interviews.agreement(coded_by({"A": [0] * 8, "B": [0] * 8}), ["work"], level=0.95)
    for outcome in ("work", "all"):
        assert row(found, outcome, "percent")["estimate"] == 1
        for term in ("kappa", "AC1", "alpha"):
            assert math.isnan(row(found, outcome, term)["estimate"]) and "not defined" in row(found, outcome, term)["method"]


def test_three_coders_and_segments_that_one_did_not_read():
    found = interviews.agreement(coded_by({"A": [1, 0, 1, 0, 1, 0], "B": [1, 0, 0, 0, 1, 0], "C": [1, None, None, 0, 1, 1]}), ["work"], level=0.95)
    assert "not defined" in row(found, "work", "kappa")["method"] and math.isnan(row(found, "work", "kappa")["estimate"])
    assert row(found, "work", "AC1")["estimate"] > 0 and row(found, "work", "percent")["n"] == 6


def test_a_coder_who_shares_no_segment_is_left_out_and_one_coder_is_refused():
    found = interviews.agreement(coded_by({"A": [1, 0, 1, 0, 1, 1], "B": [1, 0, 0, 0, None, None], "C": [None] * 4 + [None, None]}), ["work"], level=0.95)
    assert row(found, "work", "percent")["n"] == 4
    with pytest.raises(Refusal, match="needs two coders; the codings name 1"):
        interviews.agreement(coded_by({"A": [1, 0]}), ["work"], level=0.95)
    with pytest.raises(Refusal, match="no segment was read by two"):
        interviews.agreement(coded_by({"A": [1, 0, None, None], "B": [None, None, 1, 0]}), ["work"], level=0.95)


def test_ordered_levels_get_weighted_coefficients():
    order = ("never", "sometimes", "often")
    a, b = [0, 1, 2, 2, 1, 0, 1], [0, 2, 2, 1, 1, 0, 0]
    table = codings(*[("I1", str(k), "A", order[x]) for k, x in enumerate(a)], *[("I1", str(k), "B", order[x]) for k, x in enumerate(b)],
                    ("I1", "9", "A", "never"), ("I1", "9", "A", "often"), ("I1", "9", "B", "often"))
    found = interviews.ordered_agreement(table, {"frequency": order}, weights="quadratic", level=0.95)
    expected = agree(np.column_stack([a, b]), categories=[0, 1, 2], weights="quadratic")
    assert row(found, "frequency", "weighted kappa")["estimate"] == pytest.approx(expected.kappa.value, abs=1e-12)
    assert row(found, "frequency", "AC2")["estimate"] == pytest.approx(expected.ac.value, abs=1e-12)
    assert "AC2, quadratic weights over 3 levels; 2 codings left out" in row(found, "frequency", "AC2")["method"]
    assert not len(interviews.ordered_agreement(table, {"other": ("x", "y")}, weights="linear", level=0.95))


# ----------------------------------------------------------------------------------- real coders (RELF)

@pytest.mark.skipif(not RELF.exists(), reason="the published interview codings are not beside the repository")
@pytest.mark.filterwarnings("ignore:Data Validation extension")
def test_two_real_coders_on_ten_statements():
    """Each column is a slot whose filling the two chose independently; presence per factor slot, and an ordered scale."""
    author, second = (pd.read_excel(RELF, sheet_name=sheet).set_index("ID") for sheet in ("Data", "Overlap"))
    slots = {f"context_{k}": f"Context Factor {k}" for k in (1, 2, 3)} | {"activity_2": "Activity 2", "quality_2": "Quality Factor 2"}
    rows = [("I1", str(i), coder, slot) for coder, sheet in (("author", author.loc[second.index]), ("second", second))
            for slot, column in slots.items() for i in sheet.index[sheet[column].notna()]]
    rows += [("I1", str(i), coder, "") for coder in ("author", "second") for i in second.index if not any(r[1:3] == (str(i), coder) for r in rows)]
    found = interviews.agreement(codings(*rows), list(slots), level=0.95)
    assert row(found, "context_3", "percent")["estimate"] == pytest.approx(0.9) and row(found, "context_3", "kappa")["estimate"] == 0
    assert row(found, "context_3", "AC1")["estimate"] == pytest.approx(0.805 / 0.905, abs=1e-12)
    assert set(found["n"]) == {10}
    levels = ("Rarely", "Sometimes", "Often", "Always")
    words = sorted({str(w) for sheet in (author, second) for w in sheet["Frequency"].dropna()})
    graded = [("I1", str(i), c, str(v)) for c, s in (("author", author.loc[second.index]), ("second", second)) for i, v in s["Frequency"].dropna().items()]
    order = [w for w in levels if w in words] + [w for w in words if w not in levels]
    ordered = interviews.ordered_agreement(codings(*graded), {"frequency": order}, weights="quadratic", level=0.95)
    both = author.loc[second.index, "Frequency"].notna() & second["Frequency"].notna()
    assert set(ordered["n"]) <= {int(both.sum())}


# --------------------------------------------------------------------------------------------- themes

def people(n: int) -> pd.DataFrame:
    return pd.DataFrame({"cohort": "c", "interview": [f"I{k}" for k in range(1, n + 1)], "person": [f"P{k}" for k in range(1, n + 1)],
                         "role": ["doctor" if k % 2 else "manager" for k in range(1, n + 1)]})


def heard(where: dict[str, list[int]]) -> pd.DataFrame:
    return pd.DataFrame([{"cohort": "c", "interview": f"I{k}", "segment": str(j), "theme": t} for t, ks in where.items() for j, k in enumerate(ks)],
                        columns=["cohort", "interview", "segment", "theme"])


def test_a_theme_counts_where_all_who_read_gave_it_or_the_coders_decided():
    table = codings(("I1", "1", "A", "work"), ("I1", "1", "B", "work"), ("I1", "2", "A", "time"), ("I1", "2", "B", ""),
                    ("I2", "1", "A", "time"))  # the second interview has one reader
    assert interviews.agreed(table)[["interview", "segment", "theme"]].to_numpy().tolist() == [["I1", "1", "work"], ["I2", "1", "time"]]
    decided = make([{"cohort": "c", "interview": "I1", "segment": "2", "theme": "time", "decision": "present", "by": "AB"},
                    {"cohort": "c", "interview": "I1", "segment": "1", "theme": "work", "decision": "absent", "by": "AB"},
                    {"cohort": "c", "interview": "I2", "segment": "1", "theme": "time", "decision": "present", "by": "AB"}], RECONCILED)
    assert interviews.agreed(table, decided)[["interview", "segment", "theme"]].to_numpy().tolist() == [["I2", "1", "time"], ["I1", "2", "time"]]
    with pytest.raises(Refusal, match="1 joint decisions name a segment that nobody coded .first: interview I9"):
        interviews.agreed(table, decided.assign(interview=["I9", "I1", "I2"]))


def test_prevalence_counts_people_once_by_all_and_by_role():
    who = people(6)
    who.loc[5, "person"] = "P5"  # two interviews of one person
    found = interviews.prevalence(heard({"work": [1, 3, 5, 6], "time": []}), ["work", "time"], who, roles=("doctor", "manager", "guest"), level=0.95)
    whole = row(found, "work", "prevalence")
    assert (whole["n"], whole["estimate"]) == (5, 0.6)
    z = stats.norm.ppf(0.975)
    centre, half = (0.6 + z**2 / 10) / (1 + z**2 / 5), z / (1 + z**2 / 5) * math.sqrt(0.6 * 0.4 / 5 + z**2 / 100)
    assert [whole["low"], whole["high"]] == pytest.approx([centre - half, centre + half], abs=1e-12)
    assert row(found, "work", "prevalence|doctor")["estimate"] == 1 and row(found, "time", "prevalence")["estimate"] == 0
    assert "nobody of this role" in row(found, "work", "prevalence|guest")["method"]


def test_bands_tell_neither_the_few_with_a_theme_nor_the_few_without():
    seen = {}
    for have in range(13):
        table = make([{"term": "prevalence", "n": 12, "estimate": have / 12, "low": 0.1, "high": 0.9}], ESTIMATES)
        out = interviews.banded(table, minimum=5).iloc[0]
        seen.setdefault((out["estimate"] if pd.notna(out["estimate"]) else None, round(out["low"] * 12, 6), round(out["high"] * 12, 6)), []).append(have)
    masked = {bounds[1:]: which for bounds, which in seen.items() if bounds[0] is None}
    assert masked == {(0, 4): [0, 1, 2, 3, 4], (8, 12): [8, 9, 10, 11, 12]}
    small = interviews.banded(make([{"term": "prevalence", "n": 6, "estimate": 0.5}], ESTIMATES), minimum=5).iloc[0]
    assert math.isnan(small["estimate"]) and (small["low"], small["high"]) == (0, 1)
    assert interviews.banded(make([{"term": "prevalence", "n": 6, "estimate": 0.5}], ESTIMATES), minimum=1)["estimate"].tolist() == [0.5]


def cohorts(sizes: dict[str, int], have: dict[str, list[int]]):
    """(found, who): in each cohort the first `have` interviews have the theme 'work'; roles alternate."""
    who = pd.concat([people(n).assign(cohort=c, person=lambda t, c=c: c + t["person"]) for c, n in sizes.items()], ignore_index=True)
    found = pd.concat([heard({"work": have[c]}).assign(cohort=c) for c in sizes], ignore_index=True)
    return found, who


def test_shares_over_cohorts_do_not_give_a_band_back():
    options = {"roles": ("doctor", "manager"), "level": 0.95, "minimum": 5}
    found, who = cohorts({"c": 12, "d": 20}, {"c": [1, 2], "d": list(range(1, 13))})
    mixed = interviews.over_cohorts(found, ["work"], who, **options)
    whole = row(mixed, "work", "prevalence")
    assert math.isnan(whole["estimate"]) and [whole["low"] * 32, whole["high"] * 32] == pytest.approx([12, 16])  # 12 exactly and 0 to 4
    assert mixed.loc[mixed["term"] != "prevalence", ["estimate", "low", "high"]].isna().all().all()
    found, who = cohorts({"c": 12, "d": 20}, {"c": list(range(1, 7)), "d": list(range(1, 13))})
    exactly = interviews.over_cohorts(found, ["work"], who, **options)
    assert row(exactly, "work", "prevalence")["estimate"] == 18 / 32 and row(exactly, "work", "prevalence|doctor")["estimate"] == 9 / 16
    found, who = cohorts({"c": 12, "d": 20}, {"c": [1, 3, 5, 7, 9, 11], "d": [1, 3, 5, 7, 9, 11, 13]})  # doctors alone
    one_side = interviews.over_cohorts(found, ["work"], who, **options)
    assert row(one_side, "work", "prevalence")["estimate"] == 13 / 32
    assert one_side.loc[one_side["term"] != "prevalence", "estimate"].isna().all()


def test_co_occurrence_counts_people_with_both():
    found = interviews.co_occurrence(heard({"work": [1, 2, 3, 3], "time": [2, 3], "last": []}), ["work", "time", "last"], people(4))
    assert found.set_index("category")[["n", "of"]].to_dict("index") == {
        "work|time": {"n": 2, "of": 4}, "work|last": {"n": 0, "of": 4}, "time|last": {"n": 0, "of": 4}}


# ----------------------------------------------------------------------------------------- saturation

def test_saturation_follows_the_numbers_in_the_names_and_the_rule_of_guest():
    found = heard({"a": [1, 2], "b": [2], "c": [10]})
    counts = interviews.saturation(found, people(12))
    assert counts["n"].tolist() == [1, 1] + [0] * 7 + [1, 0, 0] and counts["of"].tolist()[-1] == 3
    assert interviews.saturated_at(counts) == 6 and interviews.stopping(counts)[["category", "n", "of"]].to_numpy().tolist() == [
        ["themes found", 3, 3], ["stopping rule", 6, 12]]
    never = interviews.saturation(heard({str(k): [k] for k in range(1, 9)}), people(8))
    assert interviews.saturated_at(never) is None and interviews.stopping(never)["category"].tolist() == ["themes found"]


def test_chao2_gives_the_published_value_for_barro_colorado_island():
    """225 species in 50 plots, 21 in one plot and 19 in two: vegan's documentation prints 236.3732 with SE 6.54361."""
    chao = interviews._chao2(225, 21, 19, 50, 0.95)
    assert chao["estimate"] == pytest.approx(236.3732, abs=5e-5) and chao["se"] == pytest.approx(6.54361, abs=5e-6)
    assert 225 < chao["low"] < chao["estimate"] < chao["high"]


def test_chao2_at_its_edges():
    assert interviews._chao2(7, 0, 2, 12, 0.95)["estimate"] == 7
    assert interviews._chao2(7, 1, 0, 12, 0.95)["estimate"] == 7  # one singleton and no doubleton
    assert interviews._chao2(7, 3, 0, 12, 0.95)["estimate"] == pytest.approx(7 + 11 / 12 * 3)
    assert "not defined" in interviews._chao2(7, 7, 0, 1, 0.95)["method"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.integers(1, 7), min_size=1), min_size=1, max_size=5))
def test_the_expected_number_of_themes_is_the_mean_over_all_orders(where):
    found = heard({f"t{i}": sorted(ks) for i, ks in enumerate(where)})
    estimates = interviews.richness(found, people(7), level=0.95).set_index("term")["estimate"]
    for k in (1, 3, 7):
        direct = np.mean([sum(bool(ks & set(chosen)) for ks in where) for chosen in combinations(range(1, 8), k)])
        assert estimates[f"expected|{k}"] == pytest.approx(direct, abs=1e-12)
    assert estimates["found"] == len(where) <= estimates["Chao2"]


# ----------------------------------------------------------------------------------------- quotations

SAID = pd.concat([quotations((f"I{k}", 0, 9, coder, theme), quotation=f"words {k:03d}", segment="1")
                  for k in range(1, 13) for coder in "AB" for theme in ("work",)], ignore_index=True)
FOUND = interviews.agreed(interviews.coded(SAID))
ROLES = {"doctor": "Doctor", "manager": "Manager"}


def consents(scopes: dict[str, str], withdrawn=()) -> pd.DataFrame:
    return make([{"cohort": "c", "person": p, "scope": s, "withdrawn": "2026-01-01" if p in withdrawn else ""} for p, s in scopes.items()], CONSENT)


def cleared(*which: str) -> pd.DataFrame:
    return make([{"cohort": "c", "interview": i, "segment": "1", "by": "lead"} for i in which], RELEASED_QUOTES)


def bank(consent, clear, profile="programme", minimum=5, per_theme=20, said=SAID):
    return interviews.quotes(said, FOUND, consent, clear, profile=profile, themes={"work": "Working together"}, roles=ROLES,
                             minimum=minimum, per_theme=per_theme)


def test_a_quotation_needs_consent_clearance_and_a_profile_that_allows_it():
    scopes = {"PI1": "public", "PI2": "internal", "PI3": "none", "PI4": "public", "PI5": "public"}
    given = consents(scopes, withdrawn=("PI4",))
    clear = cleared("I1", "I2", "I3", "I4", "I6")
    printed = {p: sorted(bank(given, clear, profile=p)["Quotation"]) for p in ("team", "programme", "public")}
    assert printed == {"team": ["words 001", "words 002"], "programme": ["words 001", "words 002"], "public": ["words 001"]}
    assert not len(bank(consents({}), clear)) and not len(bank(given, cleared()))
    with pytest.raises(Refusal, match="not a release profile"):
        bank(given, clear, profile="everybody")
    counts = interviews.quotable(SAID, FOUND, given, clear, bank(given, clear), profile="programme")
    assert counts["n"].tolist() == [12, 3, 2, 2] and "printed: 2" in labels.quotations(counts)


def test_speakers_are_a_role_family_and_a_number_that_follows_from_the_words_alone():
    everyone = consents({f"PI{k}": "public" for k in range(1, 13)})
    clear = cleared(*[f"I{k}" for k in range(1, 13)])
    printed = bank(everyone, clear)
    assert sorted(printed["Speaker"]) == sorted([f"Doctor {k}" for k in range(1, 7)] + [f"Manager {k}" for k in range(1, 7)])
    assert printed.equals(bank(everyone, clear))
    assert not printed["Speaker"].str.contains("P|I").any()
    other = SAID.assign(quotation=SAID["quotation"] + "!")
    assert dict(zip(bank(everyone, clear, said=other)["Quotation"].str[:-1], bank(everyone, clear, said=other)["Speaker"], strict=True)) \
        != dict(zip(printed["Quotation"], printed["Speaker"], strict=True))
    assert set(bank(everyone, clear, minimum=7)["Speaker"].str.split().str[0]) == {"Participant"}
    assert len(bank(everyone, clear, per_theme=3)) == 3


def test_passages_per_person_and_the_loudest_voice():
    found = heard({"work": [1, 1, 2], "time": [1]})
    each = interviews.passages_per_person(found, people(3))
    assert each.to_numpy().tolist() == [["P1", "doctor", 2, 2], ["P2", "manager", 1, 1], ["P3", "doctor", 0, 0]]
    spread = interviews.spread(found, ["work", "last"], people(3))
    assert row(spread, "work", "per person")["estimate"] == 1 and row(spread, "work", "largest share")["estimate"] == pytest.approx(2 / 3)
    assert "not defined" in row(spread, "last", "largest share")["method"]


def test_no_quotation_prints_as_a_line_that_says_so():
    assert tables.quotes(bank(consents({}), cleared()))["Quotation"].tolist() == ["No quotation may be printed."]


# -------------------------------------------------------------------------------------- joint display

def test_the_joint_display_takes_the_judgement_from_a_person_and_computes_none():
    common = interviews.banded(interviews.prevalence(heard({"work": list(range(1, 7)), "time": [1], "last": [2]}), list(THEMES), people(12), roles=(), level=0.95), minimum=5)
    moved = make([{"outcome": "collaboration", "term": "pair mean", "estimate": 0.5, "low": 0.1, "high": 0.9}], ESTIMATES)
    shown = interviews.joint(common, moved, beside={"work": "collaboration", "time": "", "last": "role"}, themes={t: t for t in THEMES},
                             outcomes={"collaboration": "Collaboration", "role": "Role"}, term="pair mean",
                             judgements=[{"theme": "work", "judgement": "expands", "comment": "why"}])
    assert shown[["n", "of", "subscale", "estimate", "judgement", "comment"]].iloc[0].tolist() == [6, 12, "Collaboration", 0.5, "expands", "why"]
    assert shown["judgement"].tolist()[1:] == ["", ""] and shown["subscale"].tolist()[1:] == ["", ""]
    assert shown["n"].isna().tolist() == [False, True, True] and shown["share_high"].iloc[1] == pytest.approx(4 / 12)


@pytest.mark.parametrize(("line", "fault"), [("zzz,confirms,", "'zzz' is not a theme"), ("time_pressure,agrees,", "'agrees' is not a judgement"),
                                             ("time_pressure,confirms,\ntime_pressure,expands,", "is judged twice")])
def test_a_judgement_that_fits_nothing_is_a_fault_of_the_study(tmp_path, line, fault):
    shutil.copytree(study_module.default_root() / "study", tmp_path / "study")
    (tmp_path / "study" / "joint_display.csv").write_text(f"theme,judgement,comment\n{line}\n")
    with pytest.raises(study_module.ConfigurationError, match=fault):
        study_module.load(tmp_path)


# ------------------------------------------------------------------------------------- messy intake

ROSTER, _ = check_roster(pd.DataFrame({"person": ["PL-001", "PL-002"], "pair": ["A", "A"], "role": ["doctor", "manager"]}))
HEADS = ["interview", "person", "segment", "start", "end", "coder", "theme", "quotation"]


def checked(*rows, consent=None):
    table = pd.DataFrame(rows, columns=HEADS, index=range(1, len(rows) + 1))
    return check_interviews(table, cohort_id="c", roster=ROSTER, themes=THEMES, source="i.csv", consent=consent)


def test_every_messy_row_has_an_outcome_and_the_counts_add_up():
    consent = check_consent(pd.DataFrame({"person": ["PL-001", "PL-002"], "scope": ["public", "internal"], "withdrawn": ["", "2026-02-01"]}),
                            cohort_id="c", roster=ROSTER, source="consent.csv")
    found = checked(
        ("I1", "PL-001", "", "0", "9", "A", "Working together", "nine char"), ("I1", "PL-001", "", "2", "9", "B", "work", "ne char"),  # ok, overlapping
        ("I1", "PL-001", "", "3", "9", "A", "work", "e char"),  # ok, the same coder again inside
        ("I1", "PL-001", "", "0", "9", "", "work", "nine char"),  # coder missing
        ("I1", "PL-001", "", "0", "9", "A", "werk", "nine char"),  # unknown theme
        ("I1", "PL-001", "", "0", "9", "A", "time", "ten chars!"),  # quotation and place differ
        ("I1", "PL-001", "", "", "", "A", "time", ""),  # neither segment nor place
        ("I2", "PL-002", "1", "0", "9", "A", "time", "nine char"),  # consent withdrawn
        ("I1", "PL-001", "", "0", "9", "A", "Working together", "nine char"),  # exact duplicate
        consent=consent)
    assert found.quarantine["reason"].str.split(":").str[0].tolist() == [
        "no coder", "unknown theme", "quotation mismatch", "no segment", "consent withdrawn"]
    assert found.quarantine["suggestion"].iloc[1]
    assert list(found.accounting.values()) == [9, 3, 5, 1, 0]
    assert found.rows["segment"].tolist() == ["0-9", "2-9", "3-9"] and set(found.quotations["segment"]) == {""}
    assert any("1 passages overlap another of the same coder and theme" in w for w in found.warnings)
    assert set(interviews.coded(found.quotations)["segment"]) == {"0-9"}


def test_line_breaks_and_outer_spaces_are_no_mismatch_and_an_interview_can_bear_a_persons_id():
    found = checked(("pl 1", "", "s", "0", "5", "A", "work", " a\r\nbc "), ("pl 1", "", "s", "0", "4", "A", "time", "a\r\nbc"))
    assert found.accounting["rows_out"] == 2
    assert found.people.to_numpy().tolist() == [["pl 1", "PL-001", "doctor"]]


def test_consent_decisions_and_clearances_are_never_guessed():
    def consent(**columns):
        return check_consent(pd.DataFrame({"person": ["PL-001"], "scope": ["public"], "withdrawn": [""]} | columns), cohort_id="c", roster=ROSTER, source="consent.csv")
    assert consent()["scope"].tolist() == ["public"] and consent(scope=[""])["scope"].tolist() == ["none"]
    for columns, words in (({"person": ["X9"]}, "not on the roster"), ({"scope": ["everywhere"]}, "scope 'everywhere'"), ({"withdrawn": ["soon"]}, "date 'soon'"),
                           ({"person": ["PL-001"] * 2, "scope": ["public"] * 2, "withdrawn": [""] * 2}, "listed twice")):
        with pytest.raises(Refusal, match=words):
            consent(**columns)
    decision = {"interview": "I1", "segment": "1", "theme": "Finding the time", "decision": "Present", "by": "A and B", "reason": ""}
    read = check_reconciled(pd.DataFrame([decision]), cohort_id="c", themes=THEMES, source="r.csv")
    assert read[["theme", "decision"]].to_numpy().tolist() == [["time", "present"]]
    for change in ({"theme": "zzz"}, {"decision": "maybe"}, {"by": ""}):
        with pytest.raises(Refusal, match="row 0: a decision names"):
            check_reconciled(pd.DataFrame([decision | change]), cohort_id="c", themes=THEMES, source="r.csv")
    with pytest.raises(Refusal, match="is listed twice"):
        check_reconciled(pd.DataFrame([decision, decision]), cohort_id="c", themes=THEMES, source="r.csv")
    with pytest.raises(Refusal, match="by .who cleared it. are all needed"):
        check_released_quotes(pd.DataFrame([{"interview": "I1", "segment": "1", "by": ""}]), cohort_id="c", source="q.csv")


def test_two_cohorts_with_the_same_interview_names_stay_apart():
    one, two = quotations(("I1", 0, 9, "A", "work"), ("I1", 0, 9, "B", "work")), quotations(("I1", 0, 9, "A", ""), ("I1", 0, 9, "B", ""), cohort="d", person="Q1")
    both = pd.concat([one, two], ignore_index=True)
    coded, who = interviews.coded(both), interviews.people(both)
    found = interviews.agreed(coded)
    share = interviews.prevalence(found, ["work"], who, roles=(), level=0.95).iloc[0]
    assert (share["cohort"], share["n"], share["estimate"]) == ("combined", 2, 0.5)
    assert interviews.saturation(found, who)["n"].tolist() == [1, 0] and conform(interviews.saturation(found, who), COUNTS) is not None
