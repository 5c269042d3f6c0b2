"""Numbers as they are printed, and the tables of the paper as frames of printed strings.

The same formatters serve tables and text, so the two cannot disagree. Decimals follow one rule per
metric: scale points and coefficients 2, shares whole per cent, p values 3. A masked (missing) number
prints as an en dash. Cells are escaped only by the writers, `to_markdown` and `to_csv`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pandas as pd

from .frames import COUNTS, ESTIMATES, SIGNIFICANT_DIGITS, Refusal, Shape, conform

MASK = "–"
MINUS = "−"
INFINITY = "∞"
DIGITS = {"share": 0, "minutes": 0, "pairs": 0, "people": 0}  # by the unit of an estimate; every other unit has 2
SMALL = 6  # pairs up to which no significance language is printed (smallest exact p .031)


# --- formatters -----------------------------------------------------------------------------------

def number(x, digits: int = 2) -> str:
    """A number with a true minus sign, halves rounded away from zero, never "−0.00".

    Rounding starts from ten significant digits, so that the last bits, which differ between
    processors, cannot tip a half. A missing number prints as an en dash, an infinite one as ∞.

    Examples
    --------
    >>> number(-0.125), number(2.675), number(-0.001), number(float("inf")), number(None)
    ('−0.13', '2.68', '0.00', '∞', '–')
    """
    if pd.isna(x):
        return MASK
    if np.isinf(x):
        return INFINITY if x > 0 else MINUS + INFINITY
    value = _rounded(x).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return (MINUS if value < 0 else "") + f"{abs(value):f}"


def signed(x, digits: int = 2) -> str:
    """A number with its sign, a change for instance; what rounds to zero has none.

    Examples
    --------
    >>> signed(0.5), signed(-0.5), signed(0.001)
    ('+0.50', '−0.50', '0.00')
    """
    text = number(x, digits)
    return f"+{text}" if pd.notna(x) and x > 0 and text.strip("0.") else text


def interval(low, high, digits: int = 2) -> str:
    """The bounds of an interval; an unbounded side prints as ∞.

    Examples
    --------
    >>> interval(-0.1, 0.9), interval(float("-inf"), 1.25), interval(None, None)
    ('−0.10 to 0.90', '−∞ to 1.25', '–')
    """
    if pd.isna(low) or pd.isna(high):
        return MASK
    if low > high:
        raise Refusal(f"the interval runs from {low} to {high}; give the lower bound first")
    return f"{number(low, digits)} to {number(high, digits)}"


def p_value(p) -> str:
    """A p value to three decimals without the leading zero; no stars.

    Examples
    --------
    >>> p_value(0.03125), p_value(0.00048828125), p_value(1.0), p_value(None)
    ('.031', '<.001', '1.000', '–')
    """
    if pd.isna(p):
        return MASK
    if not 0 <= p <= 1:
        raise Refusal(f"{p} is not a p value; it must lie between 0 and 1")
    return "<.001" if _rounded(p) < Decimal("0.001") else number(p, 3).removeprefix("0")


def p_statement(p) -> str:
    """A p value as it stands in a sentence.

    Examples
    --------
    >>> p_statement(0.03125), p_statement(0.0001)
    ('p = .031', 'p < .001')
    """
    text = p_value(p)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def percent(n, of) -> str:
    """A share in whole per cent.

    Examples
    --------
    >>> percent(7, 12), percent(pd.NA, 12)
    ('58%', '–')
    """
    if pd.isna(n) or pd.isna(of):
        return MASK
    if of <= 0 or n < 0:
        raise Refusal(f"{n} of {of} is not a share; the whole must be positive")
    return share(n / of)


def share(x) -> str:
    """A proportion in whole per cent.

    Examples
    --------
    >>> share(0.125)
    '13%'
    """
    return MASK if pd.isna(x) else number(100 * x, 0) + "%"


def count(n, of=None) -> str:
    """A number of people or events, with its whole and share where the whole is given.

    Examples
    --------
    >>> count(7), count(7, 12), count(0, 0), count(pd.NA, 12)
    ('7', '7 of 12 (58%)', '0 of 0', '–')
    """
    if pd.isna(n) or (of is not None and pd.isna(of)):
        return MASK
    if n != int(n) or n < 0:
        raise Refusal(f"{n} is not a count; give a whole number from 0")
    if of is None:
        return str(int(n))
    return f"{int(n)} of {int(of)}" + (f" ({percent(n, of)})" if of else "")


def small_sample_note(n: int) -> str:
    """For 6 pairs or fewer, the sentence that says why no test decides; else empty.

    With n pairs the smallest two-sided p of an exact sign-flip or signed-rank test is 2^(1-n).

    Examples
    --------
    >>> small_sample_note(6).partition(";")[0]
    'With 6 pairs the smallest p value an exact two-sided test can give is .031 (2 to the power −5)'
    >>> small_sample_note(12)
    ''
    """
    if n < 1:
        raise Refusal(f"{n} pairs; give the number of pairs analysed, at least 1")
    if n > SMALL:
        return ""
    power = "0" if n == 1 else number(1 - n, 0)
    return (f"With {n} {'pair' if n == 1 else 'pairs'} the smallest p value an exact two-sided test can give "
            f"is {p_value(2.0 ** (1 - n))} (2 to the power {power}); the results are estimates with "
            "intervals, and no test decides.")


def mask_note(k: int) -> str:
    """The footnote of a table or figure with masked numbers.

    Examples
    --------
    >>> mask_note(10)
    '– fewer than 10 contributors; not shown'
    """
    return f"{MASK} fewer than {k} contributors; not shown"


def estimate(row, *, bounds: bool = True) -> str:
    """One row of ESTIMATES as printed: estimate and, where there is one, its interval.

    The decimals follow the row's unit. A row without a number whose method says "not defined"
    prints as that.

    Examples
    --------
    >>> estimate(pd.Series({"estimate": 0.5, "low": -0.1, "high": 1.1, "unit": "points", "method": "t"}))
    '0.50 (−0.10 to 1.10)'
    """
    if pd.isna(row["estimate"]):
        return "not defined" if "not defined" in str(row["method"]) else MASK
    text = _in_unit(row["estimate"], row["unit"])
    if not bounds or pd.isna(row["low"]) or pd.isna(row["high"]):
        return text
    return f"{text} ({_bounds(row)})"


def _rounded(x) -> Decimal:
    return Decimal(f"{float(x):.{SIGNIFICANT_DIGITS}g}")


def _in_unit(x, unit: str) -> str:
    return share(x) if unit == "share" else number(x, DIGITS.get(unit, 2))


def _bounds(row) -> str:
    if pd.isna(row["low"]) or pd.isna(row["high"]):
        return ""
    interval(row["low"], row["high"])  # refuses bounds in the wrong order
    return f"{_in_unit(row['low'], row['unit'])} to {_in_unit(row['high'], row['unit'])}"


# --- tables ---------------------------------------------------------------------------------------

def outcomes(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, terms: Mapping[str, str], level: float,
    analysis: str = "change",
) -> pd.DataFrame:
    """One line per outcome and term: n, estimate, interval, p, method and whether it was planned.

    Parameters
    ----------
    estimates
        ESTIMATES of one cohort; rows of `analysis` are printed.
    labels, terms
        Outcome id and term -> label, in order. Each outcome needs at least one of the terms; a line
        whose p, method or plan is nowhere given has no column for it.
    level
        Confidence level of the intervals.
    """
    rows = _rows(estimates, ESTIMATES, analysis)
    made = [
        {"Outcome": label, "Measure": name, "n": count(row["n"]), "Estimate": estimate(row, bounds=False),
         _interval_head(level): MASK if estimate(row) == MASK or "withheld" in row["method"] else _bounds(row),
         "p": p_value(row["p"]) if pd.notna(row["p"]) else MASK if estimate(row) == MASK else "",
         "Method": row["method"], "Planned": row["planned"]}
        for outcome, label in labels.items() for term, name in terms.items()
        for row in _at_most_one(rows, outcome=outcome, term=term)
    ]
    _complete(labels, [r["Outcome"] for r in made], analysis)
    return _without_empty(pd.DataFrame(made), ("p", "Method", "Planned"))


def with_ceiling(
    printed: pd.DataFrame, limits: pd.DataFrame, labels: Mapping[str, str], *, waves: Sequence[str]
) -> pd.DataFrame:
    """The printed outcomes with the share of people at the top of the scale at each wave beside every change.

    `limits` holds rows of analysis 'limits' with the terms ``ceiling <wave>``; `waves` are the wave ids in order. An outcome without such rows has an empty cell.
    """
    rows, shares = _rows(limits, ESTIMATES, "limits"), {}
    for outcome, label in labels.items():
        found = [row for w in waves for row in _at_most_one(rows, outcome=outcome, term=f"ceiling {w}")]
        shares[label] = "\N{RIGHTWARDS ARROW}".join(estimate(row, bounds=False) for row in found)
    return printed.assign(Ceiling=printed["Outcome"].map(shares))


def pairs(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, terms: Mapping[str, str], level: float
) -> pd.DataFrame:
    """Doctor-manager similarity and gap: one line per outcome and term of analysis 'pairs'."""
    return outcomes(estimates, labels, terms=terms, level=level, analysis="pairs")


def reliability(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, terms: Mapping[str, str], level: float
) -> pd.DataFrame:
    """One line per subscale, one column per coefficient (terms of analysis 'reliability')."""
    return _wide(estimates, labels, analysis="reliability", first="Subscale", terms=terms, level=level)


def agreement(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, terms: Mapping[str, str], level: float
) -> pd.DataFrame:
    """One line per theme, one column per coefficient of agreement (terms of analysis 'agreement')."""
    return _wide(estimates, labels, analysis="agreement", first="Theme", terms=terms, level=level)


def limits(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, terms: Mapping[str, str], level: float
) -> pd.DataFrame:
    """Shares of scores at the floor and the ceiling, one column per term of analysis 'limits'."""
    return _wide(estimates, labels, analysis="limits", first="Subscale", terms=terms, level=level)


def descriptives(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, roles: Mapping[str, str], waves: Mapping[str, str]
) -> pd.DataFrame:
    """Scores by subscale, role and wave from rows of analysis 'descriptives'.

    The term of a row is 'role|wave|statistic'; statistics are mean, sd, median, q1 and q3. A statistic
    that no row has gets no column.
    """
    rows = _rows(estimates, ESTIMATES, "descriptives")
    made = []
    for outcome, label in labels.items():
        for role, role_label in roles.items():
            for wave, wave_label in waves.items():
                cell = {s: next(_at_most_one(rows, outcome=outcome, term=f"{role}|{wave}|{s}"), None)
                        for s in ("mean", "sd", "median", "q1", "q3")}
                if cell["mean"] is None:
                    raise Refusal(f"no mean of {outcome} for {role} at {wave}; "
                                  f"its term is '{role}|{wave}|mean'")
                text = {s: "" if row is None else estimate(row, bounds=False) for s, row in cell.items()}
                both = {text["q1"], text["q3"]}
                quartiles = f" ({text['q1']} to {text['q3']})" if not both & {"", MASK} else ""
                made.append({"Subscale": label, "Role": role_label, "Wave": wave_label,
                             "n": count(cell["mean"]["n"]), "Mean": text["mean"], "SD": text["sd"],
                             "Median (quartiles)": MASK if text["median"] == MASK else text["median"]
                             + quartiles})
    return _without_empty(pd.DataFrame(made), ("SD", "Median (quartiles)"))


def pooled(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, cohorts: Mapping[str, str],
    terms: Mapping[str, str],
    level: float, term: str = "pair mean", prediction: str = "",
) -> pd.DataFrame:
    """Change by cohort, then pooled, for each outcome.

    Cohort lines are rows of analysis 'change' with `term`; pooled lines are rows of analysis 'pooling'
    with each of `terms`; the `prediction` term, where named, prints its bounds only.
    """
    change, pooling = _rows(estimates, ESTIMATES, "change"), _rows(estimates, ESTIMATES, "pooling")
    units, made = "People" if term.startswith("person") else "Pairs", []
    for outcome, label in labels.items():
        lines = [(name, _exactly_one(change, outcome=outcome, term=term, cohort=c))
                 for c, name in cohorts.items()]
        lines += [(name, _exactly_one(pooling, outcome=outcome, term=t)) for t, name in terms.items()]
        for name, row in lines:
            made.append({"Outcome": label, "Cohort": name, units: count(row["n"]),
                         "Change": estimate(row, bounds=False),
                         _interval_head(level): MASK if estimate(row) == MASK else _bounds(row),
                         "p": p_value(row["p"]) if pd.notna(row["p"]) else ""})
        if prediction:
            row = _exactly_one(pooling, outcome=outcome, term=prediction)
            made.append({"Outcome": label, "Cohort": "Prediction interval", units: "", "Change": "",
                         _interval_head(level): _bounds(row) or estimate(row), "p": ""})
    return _without_empty(pd.DataFrame(made), ("p",))


def flow(counts: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """People (or pairs) at each stage: one line per category of analysis 'flow'."""
    return _counted(counts, labels, analysis="flow", first="Stage", heads=("n", "Of"))


def delivery(counts: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """What was done of what was planned: one line per category of analysis 'delivery'."""
    return _counted(counts, labels, analysis="delivery", first="Component", heads=("Done", "Planned"))


def reliable_change(counts: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """People who changed reliably, one line per outcome (COUNTS, analysis 'reliable change').

    An outcome without rows has no reliability, and its cells say so.
    """
    fates, made = ("improved", "unchanged", "worsened"), []
    found = {row["category"]: row for row in conform(counts, COUNTS).to_dict("records") if row["analysis"] == "reliable change"}
    for outcome, label in labels.items():
        rows = [found.get(f"{outcome}|{fate}") for fate in fates]
        people = "" if rows[0] is None else count(rows[0]["of"])
        made.append({"Outcome": label, "People": people} | {
            fate.capitalize(): "not defined" if row is None else count(row["n"]) for fate, row in zip(fates, rows)})
    return pd.DataFrame(made)


def forum(counts: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Who came to each session of the forum: one line per session and group."""
    return _counted(counts, labels, analysis="forum", first="Session and group", heads=("Came", "Invited"))


def by_cohort(counts: pd.DataFrame, cohorts: Mapping[str, str], labels: Mapping[str, str]) -> pd.DataFrame:
    """Counts of several cohorts side by side: one line per category, one column per cohort, 'n of of'."""
    made = []
    for category, label in labels.items():
        row = {"Outcome": label}
        for cohort, name in cohorts.items():
            found = counts[(counts["cohort"] == cohort) & (counts["category"] == category)]
            row[name] = count(found["n"].iloc[0], found["of"].iloc[0]) if len(found) else ""
        made.append(row)
    return pd.DataFrame(made)


def themes(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, definitions: Mapping[str, str], level: float
) -> pd.DataFrame:
    """Themes with definition, number of interviews and share of interviews with the theme.

    The share is the row of analysis 'themes' with term 'prevalence' and outcome = theme. A share without
    an estimate but with bounds is a band and prints as its bounds.
    """
    rows = _rows(estimates, ESTIMATES, "themes")
    made = []
    for theme, label in labels.items():
        row = _exactly_one(rows, outcome=theme, term="prevalence").to_dict() | {"unit": "share"}
        band = pd.isna(row["estimate"]) and pd.notna(row["low"])
        printed = f"between {share(row['low'])} and {share(row['high'])}" if band else estimate(row)
        made.append({"Theme": label, "Definition": definitions[theme], "Interviews": count(row["n"]),
                     f"Share ({_interval_head(level)})": printed})
    return pd.DataFrame(made)


def planning(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, terms: Mapping[str, str], sizes: Sequence[int], units: str
) -> pd.DataFrame:
    """One line per outcome and size of the next cohort, one column per term of analysis 'planning'.

    The term of a row is 'term|size'. Each number stands with its Monte Carlo standard error in brackets,
    shares in per cent; `units` heads the column of sizes.
    """
    rows = _rows(estimates, ESTIMATES, "planning")
    made = []
    for outcome, label in labels.items():
        for size in sizes:
            cells = {name: _exactly_one(rows, outcome=outcome, term=f"{term}|{size}") for term, name in terms.items()}
            made.append({"Outcome": label, units: count(size), **{name: _simulated(row) for name, row in cells.items()}})
    return pd.DataFrame(made)


def _simulated(row) -> str:
    """A simulated number with its Monte Carlo standard error."""
    if pd.isna(row["estimate"]):
        return estimate(row)
    times, digits, sign = (100, 1, "%") if row["unit"] == "share" else (1, 3 if row["unit"] == "points" else 1, "")
    return f"{number(times * row['estimate'], digits)}{sign} ({number(times * row['se'], digits)})"


def shares(estimates: pd.DataFrame, labels: Mapping[str, str], *, terms: Mapping[str, str], level: float) -> pd.DataFrame:
    """One line per theme, one column per group of people (terms of analysis 'themes'); a band prints as its ends."""
    rows = _rows(estimates, ESTIMATES, "themes")
    made = []
    for theme, label in labels.items():
        line = {"Theme": label}
        for term, name in terms.items():
            row = _exactly_one(rows, outcome=theme, term=term)
            line[f"{name} ({_interval_head(level)})"] = _share_or_band(row)
        made.append(line)
    return pd.DataFrame(made)


def _share_or_band(row) -> str:
    if pd.isna(row["estimate"]) and pd.notna(row["low"]):
        return f"between {share(row['low'])} and {share(row['high'])}"
    return "withheld" if row["method"].startswith("withheld") else estimate(row)


def together(counts: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """How many people have both of two themes: a square table, its upper half (analysis 'co-occurrence')."""
    rows = _rows(counts, COUNTS, "co-occurrence").set_index("category")["n"]
    names = list(labels)
    return pd.DataFrame([
        {"Theme": labels[a], **{labels[b]: count(rows.get(f"{a}|{b}")) if i < j else "" for j, b in enumerate(names) if j}}
        for i, a in enumerate(names[:-1])
    ])


def quotes(printed: pd.DataFrame) -> pd.DataFrame:
    """The quotations as `interviews.quotes` chose them, or one line that says that none may be printed."""
    if len(printed):
        return printed
    return pd.DataFrame([dict(zip(printed.columns, ("", "No quotation may be printed.", ""), strict=True))])


LITERATURE = {"Study": "study", "Design": "design", "n": "n", "Measure": "measure", "Result": "result",
              "Accessible part": "access"}


def literature(rows: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """Published comparators: facts only, an empty cell where a fact is not public.

    `rows` are the lines of study/literature.csv; the year follows the study's name and a published p
    follows the result.
    """
    made = []
    for line in rows:
        cells = {head: (line.get(key) or "").strip() for head, key in LITERATURE.items()}
        if not cells["Study"] or not cells["Accessible part"]:
            raise Refusal("a line of the literature has no study or does not say what of it was accessible; "
                          "fill it in")
        year, p = (line.get("year") or "").strip(), (line.get("p") or "").strip()
        cells["Study"] += f" ({year})" if year and year not in cells["Study"] else ""
        if p:
            stated = f"p < {p.removeprefix('<').strip()}" if p.startswith("<") else f"p = {p}"
            cells["Result"] = "; ".join(filter(None, (cells["Result"], stated)))
        made.append(cells)
    return pd.DataFrame(made, columns=list(LITERATURE))


def _rows(frame: pd.DataFrame, shape: Shape, analysis: str) -> pd.DataFrame:
    frame = conform(frame, shape)
    found = frame[frame["analysis"] == analysis]
    if found.empty:
        raise Refusal(f"the {shape.name} table has no rows of analysis '{analysis}'; run that analysis first")
    return found


def _at_most_one(rows: pd.DataFrame, **keys: str):
    found = rows[np.logical_and.reduce([rows[k] == v for k, v in keys.items()])]
    if len(found) > 1:
        raise Refusal(f"{len(found)} rows for {', '.join(keys.values())}; "
                      "keep the rows of one cohort and method")
    return (row for _, row in found.iterrows())


def _exactly_one(rows: pd.DataFrame, **keys: str) -> pd.Series:
    row = next(_at_most_one(rows, **keys), None)
    if row is None:
        raise Refusal(f"no row for {', '.join(keys.values())}; compute it or drop its label")
    return row


def _complete(labels: Mapping[str, str], made: Sequence[str], analysis: str) -> None:
    absent = [key for key, label in labels.items() if label not in made]
    if absent or not labels:
        raise Refusal(f"{len(absent)} labels have no row of analysis '{analysis}', first "
                      f"'{next(iter(absent), 'none given')}'; compute it or drop its label")


def _without_empty(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    return table.drop(columns=[c for c in columns if table[c].eq("").all()])


def _interval_head(level: float) -> str:
    return f"{100 * level:.10g}% interval"


def _wide(estimates, labels, *, analysis: str, first: str, terms: Mapping[str, str],
          level: float) -> pd.DataFrame:
    rows = _rows(estimates, ESTIMATES, analysis)
    made, bounded = [], False
    for outcome, label in labels.items():
        cells = {term: next(_at_most_one(rows, outcome=outcome, term=term), None) for term in terms}
        given = [row for row in cells.values() if row is not None]
        if not given:
            raise Refusal(f"no row of analysis '{analysis}' for '{outcome}'; compute it or drop its label")
        bounded = bounded or any("(" in estimate(row) for row in given)
        made.append({first: label, "n": _size([row["n"] for row in given]),
                     **{name: "" if cells[t] is None else estimate(cells[t]) for t, name in terms.items()}})
    table = pd.DataFrame(made)
    return table.rename(columns={n: f"{n} ({_interval_head(level)})" for n in terms.values()
                                 if bounded and table[n].str.contains("(", regex=False).any()})


def _size(sizes: Sequence) -> str:
    """One n, or the range of n where the columns rest on different people."""
    if any(pd.isna(n) for n in sizes):
        return MASK
    return count(sizes[0]) if len(set(sizes)) == 1 else f"{count(min(sizes))} to {count(max(sizes))}"


def _counted(counts, labels, *, analysis: str, first: str, heads: tuple[str, str]) -> pd.DataFrame:
    rows = _rows(counts, COUNTS, analysis)
    made = []
    for category, label in labels.items():
        row = _exactly_one(rows, category=category)
        made.append({first: label, heads[0]: count(row["n"]), heads[1]: count(row["of"]),
                     "Share": MASK if pd.isna(row["n"]) or pd.isna(row["of"]) else
                     percent(row["n"], row["of"]) if row["of"] else ""})
    return pd.DataFrame(made)


# --- writers --------------------------------------------------------------------------------------

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
# A period before a digit, a colon before a space and a hyphen inside a word have no meaning and stay bare.
_ACTIVE = re.compile(r"[!#$&*+<=>?@\[\\\]^_`{|}~]|\.(?!\d)|:(?! )|^-|-(?=-)|(?<=-)-")
_LIST_MARKER = re.compile(r"^(\(?\w{1,9})([.)])(?= |$)")
# A leading apostrophe counts as part of a formula, so that `from_csv` takes off exactly what `to_csv` put on.
_FORMULA = re.compile(r"'*[\s\ufeff\u200b]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_PLAIN_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?%?")
_NUMBER_LIKE = re.compile(r"[<>+−-]?(\d|\.\d|∞).*|\(.*|between .*|not defined|–|")


def escape(text: object) -> str:
    r"""Text that pandoc's Markdown prints as it stands: no markup, HTML, math, citation, list or table rule.

    Every character with a meaning gets a backslash; line breaks and control characters become spaces.
    Straight quotes are left for the typographer.

    Examples
    --------
    >>> escape("<script> $x$ | *a* =1+1")
    '\\<script\\> \\$x\\$ \\| \\*a\\* \\=1\\+1'
    """
    text = re.sub(r"\s+", " ", _CONTROL.sub(" ", str(text))).strip()
    return _LIST_MARKER.sub(r"\1\\\2", _ACTIVE.sub(r"\\\g<0>", text))


def to_markdown(table: pd.DataFrame, *, caption: str, label: str, footnotes: Sequence[str] = ()) -> str:
    """The table as a pandoc pipe table with caption, identifier and footnotes; all text escaped.

    Columns of numbers are aligned right: with one number of decimals per column, at the decimal point.

    Raises
    ------
    Refusal
        For a table without rows, or a label that cannot be an identifier.
    """
    if table.empty:
        raise Refusal(f"the table '{label}' has no rows; leave it out or compute its rows")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9:_-]*", label):
        raise Refusal(f"'{label}' cannot be an identifier; use letters, digits, ':', '_' and '-'")
    cells = [[escape(c) for c in table.columns], *([escape(v) for v in row]
                                                   for row in table.itertuples(index=False))]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(table.columns))]
    right = [all(_NUMBER_LIKE.fullmatch(str(v)) for v in table.iloc[:, i]) for i in range(len(table.columns))]

    def line(row):
        padded = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)]
        return "| " + " | ".join(padded) + " |"

    shares = [min(max(w, 6), 40) for w in widths]  # dashes: the relative widths where a line has to wrap
    rule = "|" + "|".join("-" * w + ":" if r else ":" + "-" * w for w,
                          r in zip(shares, right, strict=True)) + "|"
    parts = ["\n".join([line(cells[0]), rule, *map(line, cells[1:])]), f": {escape(caption)} {{#{label}}}"]
    if footnotes:
        parts.append("::: {.table-notes}\n" + "\n\n".join(escape(f) for f in footnotes) + "\n:::")
    return "\n\n".join(parts) + "\n"


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV text; a cell that a spreadsheet would run as a formula gets an apostrophe.

    Examples
    --------
    >>> to_csv(pd.DataFrame({"Study": ["=1+1", "+0.50"]}))
    "Study\\n'=1+1\\n+0.50\\n"
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in [table.columns, *table.itertuples(index=False)]:
        writer.writerow([_inert(v) for v in row])
    return buffer.getvalue()


def from_csv(text: str) -> pd.DataFrame:
    """The printed table that `to_csv` wrote, without the apostrophes it put before formula-like cells."""
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, skip_blank_lines=False)
    return table.rename(columns=_bare).map(_bare)


def once(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each label of its first column printed once, on the first of its lines."""
    first = table.columns[0]
    return table.assign(**{first: table[first].where(table[first] != table[first].shift(), "")})


def _inert(value: object) -> str:
    text = _CONTROL.sub(" ", str(value))
    return f"'{text}" if _FORMULA.match(text) and not _PLAIN_NUMBER.fullmatch(text) else text


def _bare(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
