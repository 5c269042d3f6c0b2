"""Figures: the numbers drawn are the numbers given; masks, marks, text sizes, widths and bytes."""

import ast
import functools
import itertools
import struct
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from plresearch import figures, tables
from plresearch.frames import COUNTS, ESTIMATES, SCORES, Refusal, make

NAN = np.nan
SUBSCALES = {"preparedness": "Preparedness to lead", "role": "Understanding of the other group's role",
             "ethos": "Understanding of the other group's ethos", "collaboration": "Collaboration"}
ROLES = {"doctor": "Doctors", "manager": "Managers"}
WAVES = {"pre": "Before", "post": "After"}
COHORTS = {"cohort-1": "Cohort 1 (pilot)", "cohort-2": "Cohort 2", "cohort-3": "Cohort 3"}
CODES = {str(i): x for i, x in enumerate(
    ["Strongly disagree", "Disagree", "Neither agree nor disagree", "Agree", "Strongly agree"], start=1)}
ITEMS = {"prep_1": "I feel ready to lead a change in my service",
         "prep_2": "I would not know where to begin if asked to lead an improvement"}
THEMES = {"seeing": "Seeing the other side's pressures", "shared": "Shared purpose",
          "lead": "Confidence to lead", "time": "Time pressure costs $5 and $6"}
PARTS = {"contract": "Learning contract signed", "meetings": "Meetings", "shadowing": "Shadowing visits"}


@pytest.fixture(autouse=True)
def style():
    figures.setup(synthetic=True)


def estimates(analysis, rows):
    """Rows from tuples (outcome, term, n, estimate, low, high[, cohort])."""
    return make([{"cohort": (*more, "c1")[0], "analysis": analysis, "outcome": o, "term": t, "n": n,
                  "estimate": e,
                  "low": low, "high": high} for o, t, n, e, low, high, *more in rows], ESTIMATES)


def counts(analysis, rows):
    return make([{"cohort": "c1", "analysis": analysis, "category": c, "n": n, "of": of} for c, n,
                 of in rows], COUNTS)


CHANGE = estimates("change", [
    ("preparedness", "pair mean", 6, 0.31, -0.12, 0.74), ("role", "pair mean", 6, 0.52, 0.11, 0.93),
    ("ethos", "pair mean", 6, 0.73, -np.inf, 1.34), ("collaboration", "pair mean", 4, NAN, NAN, NAN)])
MEANS = estimates("descriptives", [
    (o, f"{r}|{w}|mean", 6, m, m - 0.6, m + 0.7) for i, o in enumerate(SUBSCALES) for j, r in enumerate(ROLES)
    for k, w in enumerate(WAVES) for m in [2.9 + 0.13 * i + 0.21 * j + 0.44 * k]])
FOREST = pd.concat([
    estimates("change", [(o, "pair mean", 6 + 3 * i, 0.4 + 0.07 * i, -0.1 + 0.1 * i, 0.91, c)
                         for o in SUBSCALES for i, c in enumerate(COHORTS)]),
    estimates("pooling", [row for o in SUBSCALES for row in (
        (o, "HK", 27, 0.47, 0.13, 0.81, "combined"), (o, "Bayes", 27, 0.46, 0.2, 0.72, "combined"),
        (o, "prediction", 27, 0.47, -3.1 if o == "role" else -0.2, 4.1 if o == "role" else 1.1,
         "combined"))])])
GAP = estimates("pairs", [(o, t, 6, 0.9 - 0.1 * i - 0.3 * (t == "gap post"), 0.2 - 0.3 * i, 1.4) for i, o in
                          enumerate(SUBSCALES) for t in ("gap pre", "gap post")])
DOSE = estimates("dose", [(o, t, 12, 0.21 + 0.1 * i, -0.4, 0.72) for i, o in enumerate(SUBSCALES)
                          for t in ("Spearman meetings", "slope shadowing")])
PLANNING = make([
    {"cohort": "next", "analysis": "planning", "outcome": o, "term": f"{t}|{size}", "n": 2000, "se": 0.01,
     "estimate": NAN if t == "half-width, sign-flip" and size == 6 else start + slope * size,
     "method": "not defined: too few stay" if t == "half-width, sign-flip" and size == 6 else "simulated",
     "unit": "points" if "width" in t else "share"}
    for o in SUBSCALES for size in (6, 12, 20) for t, start, slope in (
        ("power", 0.1, 0.04), ("half-width", 0.8, -0.03), ("half-width, sign-flip", 0.8, -0.03),
        ("excludes MID", 0.0, 0.01))], ESTIMATES)
PREVALENCE = estimates("themes", [
    ("seeing", "prevalence", 11, 0.82, 0.52, 0.95), ("shared", "prevalence", 11, 0.55, 0.28, 0.79),
    ("lead", "prevalence", 11, NAN, 0.2, 0.6), ("time", "prevalence", 11, NAN, NAN, NAN)])
THEME_COUNTS = counts("themes", [("seeing", 9, 11), ("shared", 6, 11), ("lead", 5, 11), ("time", None, 11)])
DELIVERY = counts("delivery", [("contract", 6, 6), ("meetings", 29, 36), ("shadowing", 14, 12)])
TIMELINE = counts("timeline", [(f"{m}|{kind}", n, 30) for kind in PARTS for m, n in (
    ("2014-09", 4), ("2014-11", 0), ("2015-01", None if kind == "meetings" else 7), ("2015-06", 2))])
NEW = [4, 3, 2, 1, 1, 0, 0, 1]
SATURATION = counts("saturation", [(str(i + 1), n, sum(NEW[:i + 1])) for i, n in enumerate(NEW)])
ANSWERS = {("prep_1", "pre"): (3, 8, 12, 9, 4), ("prep_1", "post"): (0, 3, 8, 15, 10),
           ("prep_2", "pre"): (2, 6, 10, 12, 6), ("prep_2", "post"): (1, 4, 6, 15, 10)}
ITEM_COUNTS = counts("items", [(f"{i}|{w}|{c}", n, 36) for (i, w), row in ANSWERS.items()
                               for c, n in zip(CODES, row, strict=True)])
FORUM = counts("forum", [(f"{d}|{r}", n, 6) for d, pair in (("2014-10-01", (4, 2)), ("2015-01-14", (3, None)))
                         for r, n in zip(ROLES, pair, strict=True)])
FLOW = counts("flow", [("invited", 30, 30), ("declined", 4, 30), ("silent", 2, 30), ("started", 24, 30),
                       ("pre", 24, 24), ("left", 2, 24), ("post", 22, 24)])
STAGES = {"invited": "Invited to the programme", "started": "Started: doctors and managers in pairs",
          "pre": "Answered before", "post": "Answered before and after (complete pairs: analysed)"}
LOSSES = {"invited": {"declined": "Declined", "silent": "No reply"}, "pre": {"left": "Left the organisation"}}
MULTIVERSE = make([
    {"cohort": "c1", "analysis": "multiverse", "outcome": "role", "n": 12, "estimate": 0.5
     + 0.03 * i * (-1) ** i,
     "low": 0.1 + 0.03 * i * (-1) ** i, "high": 0.9, "term": f"zeros={z}|missing={m}|estimator={e}",
     "planned": "planned" if i == 0 else "exploratory"}
    for i, (z, m, e) in enumerate(itertools.product(("pratt", "wilcox"), ("complete", "model"),
                                                    ("mean", "hl")))], ESTIMATES)
CHOICES = {"zeros": "Zeros", "missing": "Missing answers", "estimator": "Estimator", "pratt": "Pratt",
           "wilcox": "dropped (Wilcoxon)", "complete": "complete pairs", "model": "mixed model",
           "mean": "mean", "hl": "Hodges-Lehmann"}
JOINT = pd.DataFrame([
    {"theme": "Seeing the other side's pressures", "n": 9, "of": 11, "subscale": SUBSCALES["role"],
     "estimate": 0.52,
     "low": 0.11, "high": 0.93, "judgement": "confirms"},
    {"theme": "Shared purpose", "n": pd.NA, "of": 11, "subscale": SUBSCALES["ethos"], "estimate": 0.31,
     "low": -0.12,
     "high": 0.74, "judgement": ""}])
SCORE_ROWS = make([
    {"cohort": "c1", "person": f"{r}{i}", "pair": str(i), "role": r, "wave": w, "subscale": s, "answered": 4,
     "items": 4,
     "score": 2 + 0.25 * (i // 2) + 0.5 * (w == "post")}
    for r in ROLES for i in range(6) for w in WAVES for s in SUBSCALES], SCORES)

DRAW = {
    "flow": lambda: figures.participant_flow(FLOW, STAGES, losses=LOSSES),
    "change": lambda: figures.change_by_subscale(CHANGE, SUBSCALES, mid=0.5, level=0.95, k=5),
    "before_after": lambda: figures.before_after(MEANS, SUBSCALES, roles=ROLES, waves=WAVES, scale=(1, 5),
                                                 level=0.95),
    "slope": lambda: figures.slope_by_role(SCORE_ROWS, SUBSCALES, profile="team", roles=ROLES, waves=WAVES,
                                           scale=(1, 5)),
    "forest": lambda: figures.forest(FOREST, SUBSCALES, cohorts=COHORTS, pooled={
        "HK": "Pooled (Hartung-Knapp)", "Bayes": "Pooled (Bayesian)"}, prediction="prediction", mid=0.5,
                                     level=0.95),
    "gap": lambda: figures.gap(GAP, SUBSCALES, waves={"gap pre": "Before", "gap post": "After"}, level=0.95),
    "items": lambda: figures.diverging_items(ITEM_COUNTS, ITEMS, waves=WAVES, codes=CODES),
    "multiverse": lambda: figures.specification_curve(MULTIVERSE, CHOICES, level=0.95, mid=0.5),
    "dose": lambda: figures.dose(DOSE, SUBSCALES, level=0.95, terms={
        "Spearman meetings": "Spearman correlation with meetings held",
        "slope shadowing": "Change per shadowing visit, points"}),
    "prevalence": lambda: figures.theme_prevalence(PREVALENCE, THEMES, level=0.95, k=5),
    "theme_counts": lambda: figures.theme_counts(THEME_COUNTS, THEMES, unit="Interviews with the theme", k=5),
    "delivery": lambda: figures.delivery_completion(DELIVERY, PARTS),
    "timeline": lambda: figures.timeline(TIMELINE, PARTS, k=5),
    "attendance": lambda: figures.attendance(FORUM, ROLES, k=5),
    "saturation": lambda: figures.saturation(SATURATION, saturated_at=7),
    "joint": lambda: figures.joint_display(JOINT, level=0.95, mid=0.5, k=5),
    "planning": lambda: figures.planning_curves(PLANNING, SUBSCALES, sizes=(6, 12, 20), units="pairs", mid=0.5,
                                                level=0.95, half_width=0.3),
}


def test_every_public_figure_is_drawn_here():
    tree = ast.parse(Path(figures.__file__).read_text(encoding="utf-8"))
    public = {f.name for f in tree.body if isinstance(f, ast.FunctionDef)
              and getattr(f.returns, "id", "") == "Plate"}
    called = {name for draw in DRAW.values() for name in draw.__code__.co_names} & public
    assert called == public and len(public) == len(DRAW) == 17


@functools.cache
def drawn(name):
    """One drawing of each figure of a synthetic study, shared by the tests that only look at it."""
    figures.setup(synthetic=True)
    return DRAW[name]()


def texts(plate):
    """Texts that are drawn: not empty, and not the label of a tick outside the axis."""
    outside = set()
    for axis in (a for ax in plate.figure.axes for a in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        outside |= {id(t.label1) for t in axis.get_major_ticks() if not low - 1e-9 <= t.get_loc() <= high
                    + 1e-9}
    return [t for t in plate.figure.findobj(Text)
            if t.get_visible() and t.get_text().strip() and id(t) not in outside]


def artists(plate, gid):
    """Artists with a gid, each once (containers and their parents can list an artist twice)."""
    return list({id(a): a for a in plate.figure.findobj(lambda a: a.get_gid() == gid)}.values())


def point(plate, key, axis=0):
    (line,) = artists(plate, f"point:{key}")
    return float(line.get_data()[axis][0])


def ends(plate, key, axis=0):
    (line,) = artists(plate, f"interval:{key}")
    return [float(v) for v in line.get_data()[axis]]


# --- every figure ---------------------------------------------------------------------------------

@pytest.mark.parametrize("name", DRAW)
def test_every_figure_at_print_size(name):
    plate = drawn(name)
    image = figures.png(plate)
    width, height = struct.unpack(">II", image[16:24])
    assert width in {int(mm / 25.4 * 300) for mm in (figures.SINGLE, figures.ONE_AND_HALF, figures.DOUBLE)}
    assert height / 300 * 25.4 < 225  # a journal page
    assert b"Software" not in image and b"tIME" not in image and b"tEXt" not in image
    assert min(t.get_fontsize() for t in texts(plate)) >= figures.SMALLEST
    assert [t.get_text() for t in texts(plate) if t.get_gid() == "mark"][0].startswith("Synthetic data")
    assert plate.alt.endswith(".") and len(plate.alt) > 40 and len(plate.data)
    assert {t.get_fontname() for t in texts(plate)} == {"DejaVu Sans"}
    again = DRAW[name]()
    small = figures.png(again, dpi=100)
    assert small == figures.png(plate, dpi=100) and figures.png(again) == image
    assert again.alt == plate.alt
    pd.testing.assert_frame_equal(again.data, plate.data)


LONG = {k: f"{v}, as both groups described it in their own words afterwards" for k, v in
        {**SUBSCALES, **THEMES, **PARTS, **ITEMS}.items()}
CROWDED = {
    "change, long labels": lambda: figures.change_by_subscale(
        CHANGE, {k: LONG[k] for k in SUBSCALES}, mid=0.5, level=0.95, k=5),
    "gap, long labels": lambda: figures.gap(
        GAP, {k: LONG[k] for k in SUBSCALES}, waves={"gap pre": "Before", "gap post": "After"}, level=0.95),
    "prevalence, long labels": lambda: figures.theme_prevalence(
        PREVALENCE, {k: LONG[k] for k in THEMES}, level=0.95, k=5),
    "delivery, long labels": lambda: figures.delivery_completion(DELIVERY, {k: LONG[k] for k in PARTS}),
    "items, long labels": lambda: figures.diverging_items(
        ITEM_COUNTS, {k: LONG[k] for k in ITEMS}, waves=WAVES, codes=CODES),
    "joint, long labels": lambda: figures.joint_display(
        JOINT.assign(theme=LONG["shared"], subscale=LONG["role"]), level=0.95, mid=0.5, k=5),
    "forest, one row": lambda: figures.forest(
        FOREST, {"role": LONG["role"]}, cohorts={"cohort-1": "Cohort 1"}, pooled={"HK": "Pooled"},
        level=0.95),
    "timeline, 30 months": lambda: figures.timeline(
        counts("timeline", [("2014-09|meetings", 2, 9), ("2017-02|meetings", 7, 9)]),
        {"meetings": LONG["meetings"]}),
}


@pytest.mark.parametrize("name", [*DRAW, *CROWDED])
def test_no_text_overlaps_another_or_leaves_the_page(name):
    plate = drawn(name) if name in DRAW else CROWDED[name]()
    plate.figure.set_dpi(100)
    plate.figure.draw_without_rendering()
    ink = [(t.get_text(), t.get_window_extent()) for t in texts(plate)]
    page = plate.figure.bbox
    for text, box in ink:
        assert page.x0 - 1 <= box.x0 and box.x1 <= page.x1 + 1, text
        assert page.y0 - 1 <= box.y0 and box.y1 <= page.y1 + 1, text
    for (a, one), (b, other) in itertools.combinations(ink, 2):
        wide = min(one.x1, other.x1) - max(one.x0, other.x0)
        high = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert wide < 0.5 or high < 2, f"{a!r} overlaps {b!r}"


def test_the_font_is_matplotlibs_own_even_beside_another_copy(monkeypatch, tmp_path):
    manager = matplotlib.font_manager.fontManager
    own = Path(matplotlib.get_data_path(), "fonts", "ttf")
    foreign = tmp_path / "DejaVuSans.ttf"
    foreign.write_bytes((own / "DejaVuSans.ttf").read_bytes())
    monkeypatch.setattr(manager, "ttflist", [f for f in manager.ttflist if f.name != "DejaVu Sans"])
    manager.addfont(foreign)  # a computer whose font list knows only its own copy
    figures.setup(synthetic=True)
    for weight, style in itertools.product(("normal", "bold"), ("normal", "italic")):
        wanted = matplotlib.font_manager.FontProperties(family="DejaVu Sans", weight=weight, style=style)
        assert Path(matplotlib.font_manager.findfont(wanted)).parent == own


def test_drawing_is_not_changed_by_settings_made_before_setup():
    first = figures.png(DRAW["change"]())
    matplotlib.rcParams["font.size"] = 20
    matplotlib.rcParams["axes.facecolor"] = "yellow"
    figures.setup(synthetic=True)
    assert figures.png(DRAW["change"]()) == first


def test_a_real_study_has_no_synthetic_mark():
    figures.setup(synthetic=False)
    assert not artists(DRAW["change"](), "mark")
    assert [t.get_text() for t in artists(DRAW["slope"](), "mark")] == ["Restricted: programme team only"]


def test_drawing_before_setup_is_refused(monkeypatch):
    monkeypatch.setattr(figures, "_declared", {})
    with pytest.raises(Refusal, match="setup"):
        DRAW["change"]()


def test_series_differ_without_colour():
    one, two = figures.SERIES
    assert all(one[k] != two[k] for k in ("marker", "markerfacecolor", "linestyle", "color"))

    def grey(color):
        return float(np.dot(matplotlib.colors.to_rgb(color), (0.299, 0.587, 0.114)))

    fills, hatches = figures._diverging(5)
    assert [bool(h) for h in hatches] == [True, True, False, False, False]
    assert all(abs(grey(a) - grey(b)) > 0.08 for a, b in itertools.pairwise(fills[2:]))
    assert abs(grey(fills[0]) - grey(fills[1])) > 0.08


# --- numbers drawn --------------------------------------------------------------------------------

def test_change_draws_the_numbers_and_prints_them():
    plate = drawn("change")
    assert point(plate, "preparedness") == 0.31 and ends(plate, "preparedness") == [-0.12, 0.74]
    assert point(plate, "role") == 0.52 and ends(plate, "role") == [0.11, 0.93]
    (band,) = artists(plate, "mid")
    assert [band.get_x(), band.get_width()] == [-0.5, 1.0]
    printed = [t.get_text() for t in artists(plate, "number")]
    assert "0.31 (−0.12 to 0.74)" in printed and "0.70 (−∞" not in printed and "0.73 (−∞ to 1.34)" in printed
    for text in ("Preparedness to lead: 0.31 (−0.12 to 0.74), 6 pairs", "0.73 (−∞ to 1.34)",
                 "Collaboration: –"):
        assert text in plate.alt
    assert plate.data["estimate"].tolist()[:3] == [0.31, 0.52, 0.73]


def test_an_unbounded_end_is_an_arrow_with_a_note():
    plate = drawn("change")
    assert len(artists(plate, "unbounded:ethos")) == 1 and not artists(plate, "unbounded:role")
    assert any("no bound" in t.get_text() for t in artists(plate, "note"))


def test_a_masked_number_is_a_dash_with_a_footnote_and_nothing_is_drawn():
    plate = drawn("change")
    assert not artists(plate, "point:collaboration") and not artists(plate, "interval:collaboration")
    notes = [t.get_text() for t in artists(plate, "note")]
    assert tables.mask_note(5) in notes and notes[-1] == "– fewer than 5 contributors; not shown"
    with pytest.raises(Refusal, match="give k"):
        figures.change_by_subscale(CHANGE, SUBSCALES, mid=0.5, level=0.95)
    leaking = CHANGE.assign(low=CHANGE["low"].fillna(-1.0), high=CHANGE["high"].fillna(1.0))
    plate = figures.change_by_subscale(leaking, SUBSCALES, mid=0.5, level=0.95, k=5)
    assert not artists(plate, "interval:collaboration")


def test_not_defined_is_not_called_masked():
    frame = CHANGE.assign(method=["", "", "", "t: not defined (no variation)"])
    plate = figures.change_by_subscale(frame, SUBSCALES, mid=0.5, level=0.95)
    assert "Collaboration: not defined" in plate.alt
    assert not any("contributors" in t.get_text() for t in artists(plate, "note"))


def test_people_without_pairs():
    frame = CHANGE.assign(term="person mean")
    plate = figures.change_by_subscale(frame, SUBSCALES, mid=0.5, level=0.95, k=5, term="person mean")
    assert "Mean change per person" in plate.alt and "6 people" in plate.alt
    assert "People" in [t.get_text() for t in artists(plate, "head")]


def test_before_after_draws_every_mean_and_no_individual():
    plate = drawn("before_after")
    for row in plate.data.itertuples():
        assert point(plate, f"{row.outcome}|{row.role}|{row.wave}", axis=1) == row.estimate
        assert ends(plate, f"{row.outcome}|{row.role}|{row.wave}", axis=1) == [row.low, row.high]
    given = MEANS.set_index(["outcome", "term"])["estimate"]
    assert all(given[r.outcome, f"{r.role}|{r.wave}|mean"] == r.estimate for r in plate.data.itertuples())
    assert len(plate.data) == 16 and "Preparedness to lead, Doctors: Before 2.90" in plate.alt


def test_before_after_masks_one_mean():
    frame = MEANS.copy()
    frame.loc[3, ["estimate", "low", "high"]] = NAN
    plate = figures.before_after(frame, SUBSCALES, roles=ROLES, waves=WAVES, scale=(1, 5), level=0.95, k=5)
    (dash,) = artists(plate, "masked:preparedness|manager|post")
    assert dash.get_text() == "–" and not artists(plate, "point:preparedness|manager|post")


@pytest.mark.parametrize("profile", ["programme", "public", "Team", ""])
def test_individual_lines_leave_only_for_the_team(profile):
    with pytest.raises(Refusal, match="team"):
        figures.slope_by_role(SCORE_ROWS, SUBSCALES, profile=profile, roles=ROLES, waves=WAVES, scale=(1, 5))


def test_slope_draws_one_line_per_answer_set_without_names():
    plate = drawn("slope")
    lines = artists(plate, "people:doctor|role")
    assert sorted(tuple(line.get_ydata()) for line in lines) == [(2.0, 2.5), (2.25, 2.75), (2.5, 3.0)]
    assert plate.data["people"].sum() == 6 * 2 * 4
    assert not {"person", "pair", "cohort"} & set(plate.data.columns)
    assert "Restricted" in artists(plate, "mark")[0].get_text()


def test_forest_draws_squares_diamonds_and_the_prediction_interval():
    plate = drawn("forest")
    for o in SUBSCALES:
        assert [point(plate, f"{o}|{c}") for c in COHORTS.values()] == [0.4, 0.4 + 0.07, 0.4 + 0.07 * 2]
        (diamond,) = artists(plate, f"diamond:{o}|Pooled (Hartung-Knapp)")
        assert diamond.get_xy()[:3, 0].tolist() == [0.13, 0.47, 0.81]
    assert ends(plate, "ethos|Prediction interval") == [-0.2, 1.1]
    (line,) = artists(plate, "interval:ethos|Prediction interval")
    assert line.is_dashed() and not artists(plate, "point:ethos|Prediction interval")
    assert len(artists(plate, "unbounded:role|Prediction interval")) == 2
    printed = [t.get_text() for t in artists(plate, "number")]
    assert "(−3.10 to 4.10)" in printed and printed.count("0.47 (0.13 to 0.81)") == 4
    assert "Collaboration, Pooled (Bayesian): 0.46 (0.20 to 0.72)" in plate.alt


def test_forest_of_one_subscale_and_no_prediction():
    plate = figures.forest(FOREST, {"role": "Role"}, cohorts=COHORTS, pooled={"HK": "Pooled"}, level=0.9)
    assert len(plate.data) == 4 and "90% interval" in plate.alt
    assert not any("Dashed" in t.get_text() for t in artists(plate, "note"))


def test_gap_draws_both_waves_and_never_below_zero():
    plate = drawn("gap")
    assert point(plate, "ethos|gap pre") == 0.9 - 0.1 * 2
    assert point(plate, "ethos|gap post") == 0.9 - 0.1 * 2 - 0.3
    assert ends(plate, "ethos|gap pre") == [0.0, 1.4]
    assert "0.90 → 0.60" in [t.get_text() for t in artists(plate, "number")]
    assert plate.data.loc[plate.data["outcome"] == "ethos", "low"].tolist() == [0.2 - 0.3 * 2] * 2


def test_items_part_in_the_middle_and_add_to_the_whole():
    plate = drawn("items")
    for (item, wave), row in ANSWERS.items():
        bars = {c: b[0] for c in CODES if (b := artists(plate, f"bar:{item}|{wave}|{c}"))}
        assert [c for c, n in zip(CODES, row, strict=True) if n] == list(bars)
        for code, n in zip(CODES, row, strict=True):
            if n:
                assert bars[code].get_width() == pytest.approx(n / 36)
        middle = bars["3"]
        assert middle.get_x() + middle.get_width() / 2 == pytest.approx(0)
    assert "Before 36%, After 69%" in plate.alt  # (9 + 4) / 36 and (15 + 10) / 36
    assert plate.data["n"].sum() == 4 * 36


def test_items_with_a_masked_code_draw_no_bar():
    frame = ITEM_COUNTS.copy()
    frame.loc[1, "n"] = pd.NA
    plate = figures.diverging_items(frame, ITEMS, waves=WAVES, codes=CODES, k=5)
    assert artists(plate, "masked:prep_1|pre") and not artists(plate, "bar:prep_1|pre|4")
    assert plate.data.loc[(plate.data["item"] == "prep_1") & (plate.data["wave"] == "pre"), "n"].isna().all()
    assert "Before –" in plate.alt


def test_items_with_an_even_response_set():
    codes = {c: CODES[c] for c in "1245"}
    frame = counts("items", [(f"prep_1|pre|{c}", 5, 20) for c in codes])
    plate = figures.diverging_items(frame, {"prep_1": "Item"}, waves={"pre": "Before"}, codes=codes)
    assert artists(plate, "bar:prep_1|pre|4")[0].get_x() == pytest.approx(0)


def test_items_that_do_not_add_up_are_refused():
    frame = ITEM_COUNTS.copy()
    frame.loc[0, "n"] = 99
    with pytest.raises(Refusal, match="add up"):
        figures.diverging_items(frame, ITEMS, waves=WAVES, codes=CODES)
    with pytest.raises(Refusal, match="outside the response set"):
        figures.diverging_items(ITEM_COUNTS, ITEMS, waves=WAVES, codes={"1": "no", "2": "yes"})


def test_parsing_of_categories():
    rows = figures.item_answers(ITEM_COUNTS)
    assert list(rows.columns) == ["cohort", "analysis", "n", "of", "item", "wave", "code"]
    assert rows.iloc[0][["item", "wave", "code", "n"]].tolist() == ["prep_1", "pre", "1", 3]
    with pytest.raises(Refusal, match=r"item\|wave\|code, first 'prep_1\|pre'"):
        figures.item_answers(counts("items", [("prep_1|pre", 1, 2)]))
    with pytest.raises(Refusal, match="YYYY-MM"):
        figures.month_events(counts("timeline", [("2015-13|meeting", 1, 2)]))
    with pytest.raises(Refusal, match="choice=option"):
        figures.specifications(estimates("multiverse", [("role", "mean", 6, 0.1, 0, 1)]))
    with pytest.raises(Refusal, match="same choices"):
        figures.specifications(estimates("multiverse", [("role", "a=1|b=2", 6, 0.1, 0, 1),
                                                        ("role", "a=1", 6, 0.1, 0, 1)]))


def test_prevalence_draws_shares_bands_and_masks():
    plate = drawn("prevalence")
    assert point(plate, "seeing") == 0.82 and ends(plate, "shared") == [0.28, 0.79]
    (band,) = artists(plate, "band:lead")
    assert [band.get_x(), band.get_x() + band.get_width()] == pytest.approx([0.2, 0.6])
    assert not artists(plate, "point:lead") and not artists(plate, "point:time")
    assert "Seeing the other side's pressures: 82% (52% to 95%)" in plate.alt
    assert "Confidence to lead: 20% to 60%" in plate.alt
    with pytest.raises(Refusal, match="outside 0 to 1"):
        figures.theme_prevalence(PREVALENCE.assign(estimate=82.0), THEMES, level=0.95, k=5)


def test_counts_and_completion_have_the_given_lengths():
    plate = drawn("theme_counts")
    assert artists(plate, "bar:seeing")[0].get_width() == 9 and not artists(plate, "bar:time")
    assert "Shared purpose: 6 of 11" in plate.alt
    plate = drawn("delivery")
    assert [artists(plate, f"done:{c}")[0].get_width() for c in PARTS] == [1.0, 29 / 36, 14 / 12]
    assert artists(plate, "planned:meetings")[0].get_width() == 1
    with pytest.raises(Refusal, match="out of 0"):
        figures.delivery_completion(counts("delivery", [("contract", 0, 0)]), {"contract": "Contract"})


def test_timeline_places_months_in_true_distance():
    plate = drawn("timeline")
    bar = artists(plate, "bar:contract|2015-01")[0]
    assert [bar.get_x() + bar.get_width() / 2, bar.get_height()] == pytest.approx([4, 7])
    assert artists(plate, "masked:meetings|2015-01")[0].get_text() == "–"
    assert not artists(plate, "bar:contract|2014-11")
    assert "Learning contract signed: 13 in all; Meetings: –" in plate.alt
    assert "from 2014-09 to 2015-06" in plate.alt


def test_saturation_accumulates():
    plate = drawn("saturation")
    (line,) = artists(plate, "so far")
    assert line.get_xdata().tolist() == list(range(1, 9))
    assert line.get_ydata().tolist() == np.cumsum(NEW).tolist()
    assert [artists(plate, f"new:{i}")[0].get_height() for i, n in enumerate(NEW, 1) if n] == [n for n in NEW
                                                                                               if n]
    assert artists(plate, "saturated")[0].get_xdata()[0] == 7
    assert "12 themes after 8 interviews" in plate.alt and "at interview 7" in plate.alt


def test_dose_joint_and_specifications_draw_the_numbers():
    plate = drawn("dose")
    assert point(plate, "slope shadowing|ethos") == 0.21 + 0.1 * 2
    assert ends(plate, "Spearman meetings|role") == [-0.4, 0.72]
    plate = drawn("joint")
    assert point(plate, "0") == 0.52 and artists(plate, "masked:1")
    assert artists(plate, "bar:0")[0].get_width() == 9 / 11
    assert all(t in plate.alt for t in ("confirms", "Shared purpose (– interviews)", "not judged"))
    with pytest.raises(Refusal, match="not a judgement"):
        figures.joint_display(JOINT.assign(judgement="proves"), level=0.95, k=5)
    plate = drawn("multiverse")
    heights = [point(plate, str(i), axis=1) for i in range(8)]
    assert heights == sorted(MULTIVERSE["estimate"]) == plate.data["estimate"].tolist()
    dots = artists(plate, "choice:zeros=pratt")[0].get_xdata()
    assert (plate.data["choice: zeros"].to_numpy()[dots] == "pratt").all() and len(dots) == 4
    assert "8 of 8 above zero" in plate.alt and "Planned analysis: 0.50 (0.10 to 0.90)" in plate.alt


def test_flow_prints_its_numbers_and_must_add_up():
    plate = drawn("flow")
    assert [t.get_text() for t in artists(plate, "text:stage:post")][-1] == "n = 22 of 24"
    assert [t.get_text() for t in artists(plate, "text:loss:invited")] == ["Declined (n = 4)",
                                                                           "No reply (n = 2)"]
    assert "Invited to the programme: 30, Declined: 4, No reply: 2" in plate.alt
    wrong = FLOW.copy()
    wrong.loc[1, "n"] = 5
    with pytest.raises(Refusal, match="does not add up"):
        figures.participant_flow(wrong, STAGES, losses=LOSSES)
    wrong.loc[1, "n"] = pd.NA
    assert "Declined: –" in figures.participant_flow(wrong, STAGES, losses=LOSSES, k=5).alt


def test_wrong_tables_are_refused_with_the_culprit():
    with pytest.raises(Refusal, match="missing, first tempo"):
        figures.change_by_subscale(CHANGE, {"tempo": "Tempo"}, mid=0.5, level=0.95)
    with pytest.raises(Refusal, match="too many, first role"):
        figures.change_by_subscale(pd.concat([CHANGE, CHANGE[1:2]]), SUBSCALES, mid=0.5, level=0.95, k=5)
    with pytest.raises(Refusal, match="no rows of analysis 'dose'"):
        figures.dose(CHANGE, SUBSCALES, terms={"a": "A"}, level=0.95)
    with pytest.raises(Refusal, match="columns missing"):
        figures.theme_counts(CHANGE, THEMES, unit="Interviews")
    with pytest.raises(Refusal, match="has no label"):
        figures.specification_curve(MULTIVERSE, {}, level=0.95)


# --- text -----------------------------------------------------------------------------------------

def test_dollars_in_labels_are_printed_not_typeset():
    plate = drawn("prevalence")
    figures.png(plate)  # would fail on broken math
    label = next(t for t in texts(plate) if "Time" in t.get_text())
    assert label.get_text().replace("\n", " ") == r"Time pressure costs \$5 and \$6"
    assert label._preprocess_math(label.get_text())[1] is not True
    assert figures.plain_text("a\x00b\nc") == "a b c"


@given(st.text(alphabet=r"$\ab_^{}", max_size=12))
def test_plain_text_never_starts_math(text):
    shown, math = Text(0, 0, figures.plain_text(text))._preprocess_math(figures.plain_text(text))
    assert math is False and shown == text


@given(st.floats(-1e6, 1e6) | st.sampled_from([NAN, np.inf, -np.inf, 0.125, -0.125, 2.675, -0.001]),
       st.integers(0, 3))
def test_figures_and_tables_print_a_number_alike(x, digits):
    assert figures._number(x, digits) == tables.number(x, digits)


def test_layer_imports_only_frames():
    for module in (figures, tables):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        ours = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level}
        assert ours == {"frames"}
