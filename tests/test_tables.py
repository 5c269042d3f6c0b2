"""Printed numbers and tables: one rule per metric, masks, order, and text that cannot act."""

import csv
import io
import re
from html import unescape

import numpy as np
import pandas as pd
import pypandoc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plresearch import tables
from plresearch.frames import COUNTS, ESTIMATES, Refusal, make

NAN, INF = np.nan, np.inf
LABELS = {"role": "Role", "ethos": "Ethos"}
NASTY = ["<script>alert(1)</script>", "=1+1", "$x$ and $y$", "a|b", "*bold* _it_ `c`",
         "[@cite] [a](http://b.c)",
         "1. one", "(a) two", "- three", "# four", "::: five", "--- six ... --", "&amp; x",
         "http://a.b www.c.d e@f.gh",
         "\\textbf{x}", "{=html}", "^s^ ~s~ ~~d~~", "![](x.png)", "@SUM(A1)", "+cmd", "-2+3", "\t=1",
         "line\nbreak",
         "10^-3", "a -- b", ":smile:", "+9 % to +47 %", "Term : x", "%", "> quote", "1) x", "#. x", "\\",
         "| a", "'=1"]


def estimates(analysis, rows, **common):
    """Rows from tuples (outcome, term, n, estimate, low, high, p)."""
    return make([{"cohort": "c1", "analysis": analysis, "outcome": o, "term": t, "n": n, "estimate": e,
                  "low": low,
                  "high": high, "p": p, "unit": "points", **common} for o, t, n, e, low, high, p in rows],
                ESTIMATES)


CHANGE = estimates("change", [
    ("role", "pair mean", 12, 0.525, 0.1, 0.95, 0.0048828125),
    ("role", "Hodges-Lehmann", 12, 0.5, -INF, INF, 0.03125),
    ("ethos", "pair mean", 4, NAN, NAN, NAN, NAN), ("ethos", "Hodges-Lehmann", 12, -0.25, -0.75, 0.0,
                                                    0.0002)],
    method="t", planned="planned")


# --- formatters -----------------------------------------------------------------------------------

@pytest.mark.parametrize(("x", "digits", "printed"), [
    (0.5, 2, "0.50"), (-0.5, 2, "−0.50"), (0.125, 2, "0.13"), (-0.125, 2, "−0.13"), (2.675, 2, "2.68"),
    (0.285, 2, "0.29"), (0.28499999999999998, 2, "0.29"), (0.2849, 2, "0.28"), (-0.004, 2, "0.00"),
    (12, 0, "12"),
    (INF, 2, "∞"), (-INF, 2, "−∞"), (NAN, 2, "–"), (None, 2, "–"), (pd.NA, 2, "–"), (1234.5, 1, "1234.5"),
    (1e-12, 2, "0.00"), (123456789.125, 2, "123456789.10")])
def test_number(x, digits, printed):
    assert tables.number(x, digits) == printed


@given(st.floats(-1e5, 1e5), st.integers(0, 4))
def test_number_is_within_half_a_unit_and_mirrors(x, digits):
    text = tables.number(x, digits)
    value = float(text.replace("−", "-"))
    assert abs(value - x) <= 0.5 * 10.0**-digits * (1 + 1e-9) + abs(x) * 1e-9
    assert len(text.partition(".")[2]) == digits and "-" not in text
    assert tables.number(-x, digits).lstrip("−") == text.lstrip("−")


@pytest.mark.parametrize(("p", "printed"), [
    (0.03125, ".031"), (0.0010, ".001"), (0.00099, "<.001"), (0.0009999999999999999, ".001"), (0.0, "<.001"),
    (1.0, "1.000"), (0.9996, "1.000"), (0.0495, ".050"), (NAN, "–")])
def test_p_value(p, printed):
    assert tables.p_value(p) == printed
    assert not re.search(r"[*†]", tables.p_statement(p))


@pytest.mark.parametrize("p", [-0.01, 1.01, INF])
def test_p_outside_its_range_is_refused(p):
    with pytest.raises(Refusal, match="p value"):
        tables.p_value(p)


def test_intervals_shares_counts_and_signs():
    assert tables.interval(0.1, 0.95) == "0.10 to 0.95"
    assert tables.interval(-INF, INF) == "−∞ to ∞"
    assert tables.interval(NAN, 1) == "–"
    assert [tables.percent(1, 8), tables.percent(0, 3), tables.percent(3, 3), tables.percent(14, 12)] == [
        "13%", "0%", "100%", "117%"]
    assert [tables.count(7, 12), tables.count(pd.NA, 12), tables.count(5, pd.NA), tables.count(5)] == [
        "7 of 12 (58%)", "–", "–", "5"]
    assert [tables.signed(0.5), tables.signed(-0.5), tables.signed(0), tables.signed(0.004),
            tables.signed(INF),
            tables.signed(NAN), tables.signed(10, 0)] == ["+0.50", "−0.50", "0.00", "0.00", "+∞", "–", "+10"]
    for wrong in (lambda: tables.percent(1, 0), lambda: tables.percent(-1, 5), lambda: tables.count(1.5),
                  lambda: tables.interval(2, 1)):
        with pytest.raises(Refusal):
            wrong()


@pytest.mark.parametrize(("n", "p"), [(1, "1.000"), (2, ".500"), (3, ".250"), (4, ".125"), (5, ".063"),
                                      (6, ".031")])
def test_small_sample_note_prints_the_smallest_attainable_p(n, p):
    note = tables.small_sample_note(n)
    assert f"can give is {p} (2 to the power {tables.number(1 - n, 0)})" in note and "significan" not in note
    assert note.startswith(f"With {n} pair{'s' if n > 1 else ''} ")


def test_small_sample_note_ends_at_six():
    assert tables.small_sample_note(7) == ""
    with pytest.raises(Refusal):
        tables.small_sample_note(0)


def test_estimates_follow_their_unit_and_say_when_not_defined():
    def row(**more):
        return pd.Series({"estimate": 0.375, "low": 0.125, "high": 0.75, "unit": "points", "method": "t",
                          **more})

    assert tables.estimate(row()) == "0.38 (0.13 to 0.75)"
    assert tables.estimate(row(unit="share")) == "38% (13% to 75%)"
    assert tables.estimate(row(unit="minutes", estimate=90, low=NAN)) == "90"
    assert tables.estimate(row(estimate=NAN)) == "–"
    assert tables.estimate(row(estimate=NAN, method="kappa: not defined (no variation)")) == "not defined"


# --- tables ---------------------------------------------------------------------------------------

def test_outcomes():
    table = tables.outcomes(CHANGE, LABELS, terms={"pair mean": "Mean", "Hodges-Lehmann": "Median"},
                            level=0.95)
    assert table.to_dict("list") == {
        "Outcome": ["Role", "Role", "Ethos", "Ethos"], "Measure": ["Mean", "Median"] * 2,
        "n": ["12", "12", "4", "12"], "Estimate": ["0.53", "0.50", "–", "−0.25"],
        "95% interval": ["0.10 to 0.95", "−∞ to ∞", "–", "−0.75 to 0.00"],
        "p": [".005", ".031", "–", "<.001"], "Method": ["t"] * 4, "Planned": ["planned"] * 4}


def test_columns_that_nobody_fills_are_left_out_and_order_is_the_labels():
    frame = CHANGE.assign(p=NAN, method="", planned="")[::-1]
    frame = frame[frame["estimate"].notna()]
    table = tables.outcomes(frame, LABELS, terms={"Hodges-Lehmann": "Median"}, level=0.9)
    assert list(table.columns) == ["Outcome", "Measure", "n", "Estimate", "90% interval"]
    assert table["Outcome"].tolist() == ["Role", "Ethos"]


def test_missing_and_double_rows_are_refused():
    with pytest.raises(Refusal, match="first 'tempo'"):
        tables.outcomes(CHANGE, {"tempo": "Tempo"}, terms={"pair mean": "Mean"}, level=0.95)
    with pytest.raises(Refusal, match="2 rows for role, pair mean"):
        tables.outcomes(pd.concat([CHANGE, CHANGE[:1]]), LABELS, terms={"pair mean": "Mean"}, level=0.95)
    with pytest.raises(Refusal, match="no rows of analysis 'pairs'"):
        tables.pairs(CHANGE, LABELS, terms={"gap change": "Gap"}, level=0.95)


def test_descriptives():
    rows = estimates("descriptives", [
        (o, f"{r}|{w}|{s}", 6, x, NAN, NAN, NAN) for o in LABELS for r in ("d", "m") for w in ("pre", "post")
        for s, x in (("mean", 3.456), ("sd", 0.7), ("median", 3.5), ("q1", 3.0), ("q3", 4.25))])
    table = tables.descriptives(rows, LABELS, roles={"m": "Managers", "d": "Doctors"},
                                waves={"pre": "Before", "post": "After"})
    assert len(table) == 8 and table["Role"].tolist()[:4] == ["Managers", "Managers", "Doctors", "Doctors"]
    assert table.iloc[0].tolist() == ["Role", "Managers", "Before", "6", "3.46", "0.70",
                                      "3.50 (3.00 to 4.25)"]
    short = tables.descriptives(rows[rows["term"].str.endswith("mean")], LABELS, roles={"d": "D"},
                                waves={"pre": "B"})
    assert list(short.columns) == ["Subscale", "Role", "Wave", "n", "Mean"]
    with pytest.raises(Refusal, match=r"'x\|pre\|mean'"):
        tables.descriptives(rows, LABELS, roles={"x": "X"}, waves={"pre": "Before"})


def test_wide_tables():
    rows = estimates("agreement", [
        ("role", "kappa", 40, 0.37, 0.1, 0.64, NAN), ("role", "AC1", 40, 0.93, 0.86, 1.0, NAN),
        ("role", "percent", 40, 0.94, NAN, NAN, NAN), ("ethos", "kappa", 40, NAN, NAN, NAN, NAN),
        ("ethos", "AC1", 38, NAN, NAN, NAN, NAN)])
    rows.loc[rows["term"] == "percent", "unit"] = "share"
    rows.loc[3, "method"] = "Cohen's kappa: not defined (no variation)"
    table = tables.agreement(rows, LABELS, terms={"percent": "Agreement", "kappa": "κ", "AC1": "AC1"},
                             level=0.95)
    assert table.to_dict("list") == {
        "Theme": ["Role", "Ethos"], "n": ["40", "38 to 40"], "Agreement": ["94%", ""],
        "κ (95% interval)": ["0.37 (0.10 to 0.64)", "not defined"],
        "AC1 (95% interval)": ["0.93 (0.86 to 1.00)", "–"]}
    alpha = estimates("reliability", [("role", "alpha pre", 12, 0.81, 0.6, 0.93, NAN)])
    assert tables.reliability(alpha, {"role": "Role"}, terms={"alpha pre": "α before"},
                              level=0.9).columns[2] == (
        "α before (90% interval)")
    ends = estimates("limits", [("role", "floor pre", 12, 0.25, NAN, NAN, NAN)], unit="share")
    assert tables.limits(ends, {"role": "Role"}, terms={"floor pre": "Floor"},
                         level=0.95).iloc[0].tolist() == [
        "Role", "12", "25%"]


def test_pooled():
    pooling = estimates("pooling", [("role", "HK", 18, 0.4, 0.1, 0.7, 0.02),
                                    ("role", "pi", 18, 0.4, -1.5, 2.3, NAN)])
    frame = pd.concat([CHANGE.assign(cohort="a"), CHANGE.assign(cohort="b", n=6), pooling])
    table = tables.pooled(frame, {"role": "Role"}, cohorts={"b": "Second", "a": "First"},
                          terms={"HK": "Pooled"}, level=0.95, prediction="pi")
    assert table["Cohort"].tolist() == ["Second", "First", "Pooled", "Prediction interval"]
    assert table["Pairs"].tolist() == ["6", "12", "18", ""]
    assert table["Change"].tolist() == ["0.53", "0.53", "0.40", ""]
    assert table["95% interval"].tolist()[2:] == ["0.10 to 0.70", "−1.50 to 2.30"]
    assert table["p"].tolist()[-2:] == [".020", ""]


def test_flow_delivery_and_themes():
    counts = make([{"analysis": a, "category": c, "n": n, "of": of} for a, c, n, of in (
        ("flow", "invited", 30, 30), ("flow", "post", 22, 24), ("flow", "left", None, 24),
        ("delivery", "meetings", 29, 36),
    )], COUNTS)
    table = tables.flow(counts, {"invited": "Invited", "post": "Answered", "left": "Left"})
    assert table.to_dict("list") == {"Stage": ["Invited", "Answered", "Left"], "n": ["30", "22", "–"],
                                     "Of": ["30", "24", "24"], "Share": ["100%", "92%", "–"]}
    assert tables.delivery(counts, {"meetings": "Meetings"}).iloc[0].tolist() == ["Meetings", "29", "36",
                                                                                  "81%"]
    rows = estimates("themes", [("a", "prevalence", 11, 0.5454, 0.28, 0.79, NAN),
                                ("b", "prevalence", 11, NAN, 0.2, 0.6, NAN),
                                ("c", "prevalence", 11, NAN, NAN, NAN, NAN)])
    table = tables.themes(rows, {"a": "A", "b": "B", "c": "C"}, definitions={"a": "x", "b": "y", "c": "z"},
                          level=0.95)
    assert table["Share (95% interval)"].tolist() == ["55% (28% to 79%)", "between 20% and 60%", "–"]
    assert table["Definition"].tolist() == ["x", "y", "z"]


def test_literature_has_facts_only():
    rows = [{"study": "Monaghan", "year": "2018", "n": "", "design": "pilot", "measure": "q",
             "result": "positive", "p": "<0.001", "access": "abstract"},
            {"study": "B 2011", "year": "2011", "design": "", "n": "30", "measure": "", "result": "",
             "p": "0.04", "access": "page"}]
    table = tables.literature(rows)
    assert list(table.columns) == ["Study", "Design", "n", "Measure", "Result", "Accessible part"]
    assert table["Study"].tolist() == ["Monaghan (2018)", "B 2011"]
    assert table["Result"].tolist() == ["positive; p < 0.001",
                                        "p = 0.04"] and table["n"].tolist() == ["", "30"]
    with pytest.raises(Refusal, match="accessible"):
        tables.literature([{"study": "A", "access": ""}])


# --- writers --------------------------------------------------------------------------------------

def plain(markdown: str) -> list[str]:
    """What pandoc prints for each cell of a table, and for its caption and notes."""
    html = pypandoc.convert_text(markdown, "html", format="markdown-smart", extra_args=["--wrap=none"])
    found = re.findall(r"<(?:td|th|caption|p)\b[^>]*>(.*?)</(?:td|th|caption|p)>", html, flags=re.S)
    assert not re.search(r"<(?!/?(table|thead|tbody|tr|td|th|caption|p|div|colgroup|col)\b)", html), html
    return [unescape(f) for f in found]


def test_pandoc_prints_nasty_text_as_it_stands():
    table = pd.DataFrame({"Text": NASTY, "n": ["0.50"] * len(NASTY)})
    markdown = tables.to_markdown(table, caption="1. A *cap* {#x} $5", label="tbl-x", footnotes=NASTY)
    wanted = [re.sub(r"\s+", " ", t).strip() for t in NASTY]
    printed = plain(markdown)
    assert printed[0] == "1. A *cap* {#x} $5"
    assert printed[3:3 + 2 * len(NASTY):2] == wanted
    assert printed[3 + 2 * len(NASTY):] == wanted


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=20),
                min_size=1, max_size=20))
def test_any_text_survives_pandoc(cells):
    markdown = tables.to_markdown(pd.DataFrame({"Text": cells, "n": "1"}), caption="c", label="t")
    assert plain(markdown)[3::2] == [re.sub(r"\s+", " ", c).strip() for c in cells]


@pytest.mark.parametrize("text", ["<script>", "=1+1", "$x$", "|", "*"])
def test_escape_leaves_no_active_character_bare(text):
    assert not re.search(r"(?<!\\)[<>=+$|*]", tables.escape(text))
    assert tables.escape(text).replace("\\", "") == text


def test_numbers_are_aligned_right_and_text_left():
    table = pd.DataFrame({"Outcome": ["A", "B"], "n": ["12", "–"], "Change": ["0.53 (−0.10 to 1.20)", "−∞"],
                          "p": ["<.001", ".031"]})
    lines = tables.to_markdown(table, caption="Change", label="tbl:change").splitlines()
    assert [c.endswith(":") for c in lines[1].strip("|").split("|")] == [False, True, True, True]
    assert lines[-1] == ": Change {#tbl:change}" and len({len(line) for line in lines[:1] + lines[2:4]}) == 1


def test_empty_tables_and_wrong_labels_are_refused():
    with pytest.raises(Refusal, match="no rows"):
        tables.to_markdown(pd.DataFrame({"a": []}), caption="c", label="t")
    for label in ("", "1a", "a b", "a} .x {"):
        with pytest.raises(Refusal, match="identifier"):
            tables.to_markdown(pd.DataFrame({"a": ["1"]}), caption="c", label=label)


def test_csv_cells_cannot_act_as_formulas():
    text = tables.to_csv(pd.DataFrame({"=H": NASTY, "n": ["+0.50", "−0.50", "-3"]
                                       + ["1"] * (len(NASTY) - 3)}))
    cells = [c for row in csv.reader(io.StringIO(text)) for c in row]
    for cell in cells:
        assert not re.match(r"\s*[=@]", cell)
        assert not re.match(r"\s*[+-]", cell) or re.fullmatch(r"[+-]\d+(\.\d+)?%?", cell)
    assert {"'=1+1", "'@SUM(A1)", "'+cmd", "'-2+3", "' =1", "''=1", "+0.50", "−0.50", "-3"} <= set(cells)
    assert "\r" not in text


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cf")),
                        max_size=12)
                | st.sampled_from(["'=1", "''-x", "'+0.5", "+0.5", "'", "=", "", " "]), min_size=1,
                max_size=8))
def test_csv_gives_the_printed_table_back(cells):
    table = pd.DataFrame({"Study": cells, "n": ["1"] * len(cells)})
    pd.testing.assert_frame_equal(tables.from_csv(tables.to_csv(table)), table, check_dtype=False)


def test_writers_do_not_change_the_table_and_give_the_same_text_twice():
    table = pd.DataFrame({"a": ["=1", "x"]})
    before = table.copy()
    assert tables.to_markdown(table, caption="c", label="t") == tables.to_markdown(table, caption="c",
                                                                                   label="t")
    assert tables.to_csv(table) == tables.to_csv(table)
    pd.testing.assert_frame_equal(table, before)


def test_once_prints_a_repeated_first_label_on_its_first_line_only():
    table = pd.DataFrame({"Outcome": ["A", "A", "B", "A"], "n": ["1", "1", "1", "1"]})
    assert tables.once(table).to_dict("list") == {"Outcome": ["A", "", "B", "A"], "n": ["1"] * 4}
