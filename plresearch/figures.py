"""Figures of journal quality, drawn only from released tables (ESTIMATES and COUNTS).

Every function takes tables first and returns a `Plate`: the figure, its alt text computed from the
numbers, and the numbers drawn. Nothing here computes a statistic. A masked number is drawn as an en
dash with a footnote; call `setup` once before drawing. How categories and terms are read:

    analysis      key                       n / of or estimate
    flow          category = stage          people at the stage / of those before
    items         category = item|wave|code answers with the code / answers to the item
    themes        category = theme          interviews with the theme / interviews
    delivery      category = component      done / planned
    timeline      category = YYYY-MM|kind   events in the month
    saturation    category = interview no.  new themes / themes so far
    descriptives  term = role|wave|mean     mean of the scores
    multiverse    term = choice=option|...  one estimate per specification
"""

from __future__ import annotations

import io
import itertools
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import FancyBboxPatch, Polygon, Rectangle

from .frames import COUNTS, ESTIMATES, SCORES, Refusal, Shape, conform

SINGLE, ONE_AND_HALF, DOUBLE = 85, 114, 174  # journal column widths, mm
DPI = 300
SMALLEST = 7.0  # points at print size; nothing smaller is set
MASK = "–"
INK, GREY, PALE, BLUE, ORANGE = "#222222", "#6b6b6b", "#e9e9e9", "#0072b2", "#d55e00"
# Marker, fill, line style and colour all differ, so that a series is told apart without colour.
SERIES = (
    {"color": BLUE, "marker": "o", "markerfacecolor": BLUE, "linestyle": "-"},
    {"color": ORANGE, "marker": "s", "markerfacecolor": "white", "linestyle": (0, (4, 2))},
)
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 7.5, "axes.labelsize": 7.5, "axes.titlesize": 8,
    "xtick.labelsize": SMALLEST, "ytick.labelsize": SMALLEST, "legend.fontsize": 7.5, "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6, "axes.edgecolor": GREY,
    "axes.titlelocation": "left", "axes.unicode_minus": True, "text.color": INK, "axes.labelcolor": INK,
    "xtick.color": GREY, "ytick.color": GREY, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "lines.linewidth": 1.1, "lines.markersize": 4.5, "hatch.linewidth": 0.5, "figure.dpi": DPI,
    "savefig.dpi": DPI, "savefig.bbox": None, "text.usetex": False, "text.hinting": "none",
    "figure.facecolor": "white", "savefig.facecolor": "white",
}

_declared: dict[str, bool] = {}


@dataclass(frozen=True)
class Plate:
    """One figure, its alt text and the numbers drawn in it (one CSV per figure)."""

    figure: Figure
    alt: str
    data: pd.DataFrame


def setup(*, synthetic: bool) -> None:
    """Set the house style once; a synthetic study's figures all carry the mark "Synthetic data".

    Only the fonts that come with matplotlib are used: those of a machine differ, and so would the bytes.
    """
    matplotlib.use("Agg")
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(STYLE)
    fonts = Path(matplotlib.get_data_path(), "fonts", "ttf")
    own = [f for f in fontManager.ttflist if Path(f.fname).parent == fonts]
    if len(own) < len(fontManager.ttflist):
        fontManager.ttflist = own
        for font in sorted(fonts.glob("DejaVuSans*.ttf")):
            fontManager.addfont(font)
    _declared["synthetic"] = synthetic


def png(plate: Plate, *, dpi: int = DPI) -> bytes:
    """The figure as PNG: exact width, no metadata, the same bytes every time (300 dpi for print)."""
    buffer = io.BytesIO()
    plate.figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def plain_text(text: object) -> str:
    r"""Text from data as matplotlib prints it literally: `$` escaped, control characters made spaces.

    Examples
    --------
    >>> plain_text("costs $5 and $6")
    'costs \\$5 and \\$6'
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", str(text)).replace("$", r"\$")


def item_answers(counts: pd.DataFrame) -> pd.DataFrame:
    """COUNTS rows of analysis 'items' with category 'item|wave|code' as columns item, wave, code, n, of."""
    return _split(_rows(counts, COUNTS, "items"), "category", ("item", "wave", "code"))


def month_events(counts: pd.DataFrame) -> pd.DataFrame:
    """COUNTS rows of analysis 'timeline' with category 'YYYY-MM|kind' as columns month, kind, n, of."""
    rows = _split(_rows(counts, COUNTS, "timeline"), "category", ("month", "kind"))
    wrong = rows.loc[~rows["month"].str.fullmatch(r"\d{4}-(0[1-9]|1[0-2])"), "month"]
    if len(wrong):
        raise Refusal(f"{len(wrong)} months are not YYYY-MM, first '{wrong.iloc[0]}'; "
                      "write months such as 2026-09")
    return rows


def specifications(estimates: pd.DataFrame) -> pd.DataFrame:
    """ESTIMATES rows of analysis 'multiverse' with one column 'choice: <name>' per choice in the term."""
    rows = _rows(estimates, ESTIMATES, "multiverse")
    choices = []
    for term in rows["term"]:
        parts = [part.partition("=") for part in term.split("|")]
        if not all(sign and name and option for name, sign, option in parts):
            raise Refusal(f"the specification '{term}' is not written choice=option|choice=option; "
                          "rewrite the term")
        choices.append({f"choice: {name}": option for name, _, option in parts})
    if any(set(c) != set(choices[0]) for c in choices):
        raise Refusal("the specifications do not all name the same choices; give every term every choice")
    return pd.concat([rows, pd.DataFrame(choices, index=rows.index)], axis=1)


# --- shared parts ---------------------------------------------------------------------------------

def _rows(frame: pd.DataFrame, shape: Shape, analysis: str) -> pd.DataFrame:
    frame = conform(frame, shape)
    found = frame[frame["analysis"] == analysis]
    if found.empty:
        raise Refusal(f"the {shape.name} table has no rows of analysis '{analysis}'; run that analysis first")
    return found.reset_index(drop=True)


def _split(frame: pd.DataFrame, column: str, names: Sequence[str]) -> pd.DataFrame:
    parts = frame[column].str.split("|")
    wrong = frame.loc[parts.map(len) != len(names), column]
    if len(wrong):
        raise Refusal(
            f"{len(wrong)} values of {column} are not written {'|'.join(names)}, "
            f"first '{wrong.iloc[0]}'; rewrite them"
        )
    made = pd.DataFrame(parts.tolist(), columns=list(names), index=frame.index)
    return pd.concat([frame.drop(columns=column), made], axis=1)


def _pick(frame: pd.DataFrame, keys: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Exactly one row per combination of the wanted values, in the order wanted."""
    wanted = list(itertools.product(*keys.values()))
    if not wanted:
        raise Refusal(f"no {' or '.join(keys)} to draw; give at least one label for each")
    places: dict[tuple, list[int]] = {}
    for place, key in enumerate(frame[list(keys)].itertuples(index=False, name=None)):
        places.setdefault(key, []).append(place)
    absent = [key for key in wanted if key not in places]
    twice = [key for key in wanted if len(places.get(key, [])) > 1]
    if absent:
        raise Refusal(f"{len(absent)} rows are missing, first {', '.join(absent[0])}; "
                      "compute them or drop the label")
    if twice:
        raise Refusal(f"{len(twice)} rows too many, first {', '.join(twice[0])}; "
                      "keep those of one cohort and method")
    return frame.iloc[[places[key][0] for key in wanted]].reset_index(drop=True)


def _number(x, digits: int = 2) -> str:
    if pd.isna(x):
        return MASK
    if np.isinf(x):
        return "∞" if x > 0 else "−∞"
    # Ten significant digits first: the last bits differ between processors and would tip a half.
    value = Decimal(f"{float(x):.10g}").quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{abs(value):f}" if value == 0 or value > 0 else f"−{abs(value):f}"


def _estimate(row, digits: int = 2) -> str:
    if pd.isna(row.estimate):
        return "not defined" if _undefined(getattr(row, "method", "")) else MASK
    if pd.isna(row.low) or pd.isna(row.high):
        return _number(row.estimate, digits)
    return f"{_number(row.estimate, digits)} ({_number(row.low, digits)} to {_number(row.high, digits)})"


def _undefined(method: str) -> bool:
    return "not defined" in str(method)


def _unit(term: str) -> tuple[str, str]:
    """The unit of inference named by a term such as 'pair mean', and its plural as a heading."""
    return ("person", "People") if term.startswith("person") else ("pair", "Pairs")


def _percent(x) -> str:
    return MASK if pd.isna(x) else f"{_number(100 * x, 0)}%"


def _whole(n) -> str:
    return MASK if pd.isna(n) else str(int(n))


def _level(level: float) -> str:
    return f"{100 * level:.10g}% interval"


def _wrap(text: object, width: int) -> str:
    return "\n".join(plain_text(line) for line in textwrap.wrap(str(text), width) or [""])


def _canvas(width: float, height: float, **grid):
    """A figure of exactly `width` mm; `height` mm is for the axes, notes are added below."""
    figure = Figure(figsize=(width / 25.4, height / 25.4), layout="constrained")
    figure.get_layout_engine().set(w_pad=2.5 / 72, h_pad=2.5 / 72, wspace=0.02, hspace=0.02)
    return figure, figure.subplots(**grid)


def _masked_note(frame: pd.DataFrame, columns: Sequence[str], k: int | None) -> list[str]:
    if "method" in frame.columns:
        frame = frame[~frame["method"].map(_undefined)]
    if not frame[list(columns)].isna().any(axis=None):
        return []
    if k is None:
        raise Refusal("some numbers are masked; "
                      "give k, the smallest number of contributors that may be shown")
    return [f"{MASK} fewer than {k} contributors; not shown"]


def _unbounded_note(frame: pd.DataFrame) -> list[str]:
    return ["Arrow: the interval has no bound on that side at this level."] if np.isinf(
        frame[["low", "high"]].to_numpy(float)).any() else []


def _plate(figure: Figure, alt: str, data: pd.DataFrame, *, notes: Sequence[str] = (),
           restricted: bool = False):
    """Add the strip with notes and marks under the axes and freeze the plate."""
    if "synthetic" not in _declared:
        raise Refusal("the figures' style is not set; call figures.setup(synthetic=...) once before drawing")
    marks = (["Synthetic data"] if _declared["synthetic"] else []) + (
        ["Restricted: programme team only"] if restricted else [])
    mark = " · ".join(marks)
    width, height = figure.get_size_inches()
    room = int((width * 25.4 - 4) / 1.32)  # characters in a line of 7-point text
    lines = [line for note in notes for line in textwrap.wrap(note, room)]
    if mark and lines and len(lines[-1]) + len(mark) + 6 > room:
        lines.append("")
    line = 3.5 / 25.4
    strip = line * max(len(lines), 1 if mark else 0) + (1.5 / 25.4 if lines or mark else 0)
    figure.set_size_inches(width, height + strip)
    total = height + strip
    figure.get_layout_engine().set(rect=(0, strip / total, 1, height / total))
    for i, text in enumerate(lines):
        figure.text(0.012, (strip - (i + 0.5) * line - 0.5 / 25.4) / total, plain_text(text),
                    fontsize=SMALLEST, color=GREY, va="center", gid="note")
    if mark:
        rows = max(len(lines), 1)
        figure.text(1 - 1.8 / 25.4 / width, (strip - (rows - 0.5) * line - 0.5 / 25.4) / total, mark,
                    fontsize=SMALLEST, color=GREY, ha="right", va="center", gid="mark",
                    bbox={"boxstyle": "round,pad=0.25", "facecolor": "#f3f3f3", "edgecolor": "#c8c8c8",
                          "linewidth": 0.5})
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: a later drawing at another resolution moves nothing
    return Plate(figure, " ".join(alt.split()), data.reset_index(drop=True))


def _limits(values, *, include=(), pad: float = 0.06) -> tuple[float, float]:
    values = np.concatenate([np.asarray(values, float).ravel(), np.asarray(include, float)])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (-1.0, 1.0)
    room = (high - low or 1.0) * pad
    return low - room, high + room


def _interval(ax, at: float, row, limits, key: str, *, upright: bool = False, dashed: bool = False, **style):
    """One point with its interval; an unbounded end becomes an arrow at the axis limit."""
    def draw(values, places, **kind):
        pair = (places, values) if upright else (values, places)
        return ax.plot(*pair, clip_on=False, **kind)

    color = style.get("color", INK)
    if pd.isna(row.estimate) and not dashed:  # masked: nothing is drawn, whatever else the row holds
        return
    if pd.notna(row.low) and pd.notna(row.high):
        ends = np.clip([row.low, row.high], *limits)
        draw(ends, [at, at], color=color, linewidth=1.1, gid=f"interval:{key}", solid_capstyle="butt",
             linestyle=(0, (2, 1.5)) if dashed else "-")
        for end, value, sign in zip(ends, (row.low, row.high), (("v", "^") if upright else ("<", ">")),
                                    strict=True):
            if np.isinf(value):
                draw([end], [at], color=color, marker=sign, markersize=4, linestyle="none",
                     gid=f"unbounded:{key}")
    if not dashed:
        point = {"color": INK, "marker": "o", "markeredgewidth": 1.0, "zorder": 3, **style,
                 "linestyle": "none"}
        draw([row.estimate], [at], gid=f"point:{key}", **point)


def _row_axis(ax, labels: Sequence[str], *, head: float = 0.6, width: int = 28) -> None:
    ax.set_yticks(range(len(labels)), [_wrap(label, width) for label in labels])
    ax.set_ylim(len(labels) - 0.5, -head)
    ax.tick_params(axis="y", length=0, pad=6)
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))


def _column(ax, texts: Sequence[str], head: str, *, offset: float, align: str = "left", at=None,
            key="number") -> None:
    """A column of text right of the axes, `offset` points from its edge, one line per row."""
    places = range(len(texts)) if at is None else at
    for y, text in zip(places, texts, strict=True):
        ax.annotate(plain_text(text), (1, y), xycoords=("axes fraction", "data"), xytext=(offset, 0), gid=key,
                    textcoords="offset points", ha=align, va="center_baseline", fontsize=SMALLEST,
                    annotation_clip=False)
    if head:
        ax.annotate(plain_text(head), (1, 1), xycoords="axes fraction", xytext=(offset, 1), gid="head",
                    color=GREY, textcoords="offset points", ha=align, va="bottom", fontsize=SMALLEST,
                    annotation_clip=False)


def _height(labels: Sequence[str], width: int = 28, *, row: float = 6.0) -> float:
    """Millimetres for rows of labels wrapped at `width` characters."""
    return len(labels) * max(row, 1.5 + 3.4 * max(len(textwrap.wrap(str(x), width)) for x in labels))


def _zero(ax, mid: float | None) -> None:
    if mid is not None:
        ax.axvspan(-mid, mid, color=PALE, linewidth=0, zorder=0, gid="mid")
    ax.axvline(0, color=GREY, linewidth=0.7, zorder=1, gid="zero")


def _mid_note(mid: float | None) -> list[str]:
    if mid is None:
        return []
    return [f"Grey band: changes smaller than the minimal important difference (±{mid:g} points)."]


def _legend(figure: Figure, names: Sequence[str], *, line: bool = True) -> None:
    handles = [
        matplotlib.lines.Line2D([], [], markeredgewidth=1.0, label=plain_text(name),
                                **{**style, "linestyle": style["linestyle"] if line else "none"})
        for name, style in zip(names, SERIES, strict=False)
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(names), handlelength=2.6,
                  columnspacing=1.5, borderaxespad=0.2)


def _two(names: Mapping[str, str], what: str) -> None:
    if not 1 <= len(names) <= len(SERIES):
        raise Refusal(f"{len(names)} {what} given; this figure tells {len(SERIES)} apart, give one or two")


# --- the people and what was delivered ------------------------------------------------------------

def participant_flow(
    counts: pd.DataFrame, labels: Mapping[str, str], *, losses: Mapping[str, Mapping[str, str]] | None = None,
    k: int | None = None,
) -> Plate:
    """Boxes of the people (or pairs) at each stage, with those who left beside the arrow.

    Parameters
    ----------
    counts
        COUNTS rows of analysis 'flow' of one cohort.
    labels
        Stage category -> label, in order from the top.
    losses
        Stage category -> {category of those who left after it: label}. Where a stage has losses, the
        numbers must add up to the next stage.
    k
        Smallest number of contributors that may be shown (for the footnote on masked numbers).
    """
    losses = dict(losses or {})
    rows = _rows(counts, COUNTS, "flow")
    lost = {c: label for group in losses.values() for c, label in group.items()}
    data = _pick(rows, {"category": [*labels, *lost]})
    data = data.assign(label=data["category"].map({**labels, **lost}))
    n = data.set_index("category")["n"]
    stages = list(labels)
    unknown = [s for s in losses if s not in stages[:-1]]
    if unknown:
        raise Refusal(f"losses are given after '{unknown[0]}', which is not a stage before the last; "
                      "correct the key")
    for stage, after in zip(stages, stages[1:], strict=False):
        left = n[list(losses.get(stage, {}))]
        known = pd.notna([n[stage], n[after], *left]).all()
        if stage in losses and known and n[stage] - left.sum() != n[after]:
            raise Refusal(f"the flow does not add up: {n[stage]} at '{stage}' less {left.sum()} is not "
                          f"{n[after]} at '{after}'; correct the counts")
    of = data.set_index("category")["of"]
    sizes = {s: _whole(n[s]) + ("" if pd.isna(n[s]) or pd.isna(of[s]) or of[s] == n[s] else f" of {of[s]}")
             for s in stages}
    stage_lines = {s: [*textwrap.wrap(labels[s], 34), f"n = {sizes[s]}"] for s in stages}
    side_lines = {s: [line for c, label in losses.get(s, {}).items()
                      for line in textwrap.wrap(f"{label} (n = {_whole(n[c])})", 36)] for s in stages}
    tall = {s: 3.5 * len(stage_lines[s]) + 3 for s in stages}
    gap = {s: max(7.0, 3.5 * len(side_lines[s]) + 6 if side_lines[s] else 0) for s in stages[:-1]}
    height = sum(tall.values()) + sum(gap.values()) + 2
    figure, ax = _canvas(ONE_AND_HALF, height)
    ax.set(xlim=(0, 108), ylim=(height, 0))
    ax.axis("off")
    left, width, side, side_width = 1, 52, 58, 49
    top = 1.0
    for stage in stages:
        _box(ax, left, top, width, tall[stage], stage_lines[stage], f"stage:{stage}", bold_last=True)
        if stage == stages[-1]:
            break
        bottom, middle = top + tall[stage], left + width / 2
        _arrow(ax, (middle, bottom), (middle, bottom + gap[stage]))
        if side_lines[stage]:
            box = 3.5 * len(side_lines[stage]) + 2.5
            y = bottom + gap[stage] / 2
            _arrow(ax, (middle, y), (side, y))
            _box(ax, side, y - box / 2, side_width, box, side_lines[stage], f"loss:{stage}")
        top = bottom + gap[stage]
    alt = "Flow of participants. " + "; ".join(
        ", ".join([f"{labels[s]}: {sizes[s]}",
                   *(f"{label}: {_whole(n[c])}" for c, label in losses.get(s, {}).items())])
        for s in stages) + "."
    return _plate(figure, alt, data[["category", "label", "n", "of"]], notes=_masked_note(data, ["n"], k))


def _box(ax, x, y, width, height, lines, key, *, bold_last=False) -> None:
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=1",
                                facecolor="white", edgecolor=INK, linewidth=0.8, gid=f"box:{key}"))
    start = y + height / 2 - 3.5 * (len(lines) - 1) / 2
    for i, text in enumerate(lines):
        last = bold_last and i == len(lines) - 1
        ax.text(x + 2 if not bold_last else x + width / 2, start + 3.5 * i, plain_text(text), va="center",
                ha="center" if bold_last else "left", fontsize=7.5 if bold_last else SMALLEST,
                fontweight="bold" if last else "normal", gid=f"text:{key}")


def _arrow(ax, start, end) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 0.8, "shrinkA": 0,
                                            "shrinkB": 0, "mutation_scale": 7})


def delivery_completion(counts: pd.DataFrame, labels: Mapping[str, str], *, k: int | None = None) -> Plate:
    """Share of what was planned that was done, per component (COUNTS 'delivery': n done of planned)."""
    data = _pick(_rows(counts, COUNTS, "delivery"), {"category": labels})
    data = data.assign(label=data["category"].map(labels), share=_share(data))
    figure, ax = _canvas(ONE_AND_HALF, _height(data["label"]) + 14)
    top = max(1.0, float(data["share"].max(skipna=True)) if data["share"].notna().any() else 1.0)
    for y, row in enumerate(data.itertuples()):
        if pd.isna(row.share):
            ax.text(0.02, y, MASK, va="center", gid=f"masked:{row.category}")
            continue
        ax.add_patch(Rectangle((0, y - 0.3), 1, 0.6, facecolor="none", edgecolor=GREY, linewidth=0.7,
                               hatch="....", gid=f"planned:{row.category}"))
        ax.add_patch(Rectangle((0, y - 0.3), row.share, 0.6, facecolor=BLUE, edgecolor=INK, linewidth=0.5,
                               gid=f"done:{row.category}"))
    ax.axvline(1, color=INK, linewidth=0.9, gid="planned")
    _row_axis(ax, list(data["label"]))
    ax.set(xlim=(0, top), xlabel="Share of what was planned")
    _percent_axis(ax)
    texts = [MASK if pd.isna(r.share) else f"{_whole(r.n)} of {_whole(r.of)}" for r in data.itertuples()]
    _column(ax, texts, "Done", offset=6)
    alt = "Delivery of the programme, done of planned. " + "; ".join(
        f"{label}: {text}" for label, text in zip(data["label"], texts, strict=True)) + "."
    return _plate(figure, alt, data[["category", "label", "n", "of", "share"]],
                  notes=["Filled: done. Dotted: planned.", *_masked_note(data, ["n", "of"], k)])


def _share(data: pd.DataFrame) -> pd.Series:
    nothing = data.loc[data["of"].eq(0).fillna(False), "category"]
    if len(nothing):
        raise Refusal(f"{len(nothing)} categories are counted out of 0, first '{nothing.iloc[0]}'; "
                      "leave them out")
    return data["n"].astype("Float64").astype(float) / data["of"].astype("Float64").astype(float)


def _percent_axis(ax) -> None:
    ax.xaxis.set_major_locator(matplotlib.ticker.MultipleLocator(0.25))
    ax.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: f"{100 * abs(x):.0f}%"))


def timeline(counts: pd.DataFrame, labels: Mapping[str, str], *, k: int | None = None) -> Plate:
    """Events per month, one small panel per kind (COUNTS 'timeline', category 'YYYY-MM|kind').

    A month without a row between the first and the last month had no event.
    """
    rows = month_events(counts)
    rows = rows[rows["kind"].isin(list(labels))]
    absent = [kind for kind in labels if kind not in set(rows["kind"])]
    if absent:
        raise Refusal(f"{len(absent)} kinds of event have no month, first '{absent[0]}'; drop the label")
    if rows.duplicated(["month", "kind"]).any():
        raise Refusal("a month is counted twice for one kind; keep the rows of one cohort")
    months = pd.period_range(rows["month"].min(), rows["month"].max(), freq="M")
    figure, axes = _canvas(DOUBLE, 15 * len(labels) + 8, nrows=len(labels), sharex=True, sharey=True,
                           squeeze=False)
    top = int(rows["n"].max(skipna=True)) if rows["n"].notna().any() else 1
    place = {str(m): i for i, m in enumerate(months)}
    for ax, (kind, label) in zip(axes[:, 0], labels.items(), strict=True):
        for row in rows[rows["kind"] == kind].itertuples():
            if pd.isna(row.n):
                ax.text(place[row.month], 0.02 * top, MASK, ha="center", va="bottom",
                        gid=f"masked:{kind}|{row.month}")
            elif row.n > 0:
                ax.bar(place[row.month], row.n, width=0.7, color=BLUE, edgecolor=INK, linewidth=0.4,
                       gid=f"bar:{kind}|{row.month}")
        ax.set(xlim=(-0.6, len(months) - 0.4), ylim=(0, top * 1.08))
        ax.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(2, integer=True))
        ax.set_ylabel(_wrap(label, 18), rotation=0, ha="right", va="center")
    every = max(1, -(-len(months) // 12))
    axes[-1, 0].set_xticks(range(0, len(months), every), [
        m.strftime("%b\n%Y") if i == 0 or m.month <= every else m.strftime("%b")
        for i, m in enumerate(months) if i % every == 0])
    data = rows.assign(label=rows["kind"].map(labels), order=rows["kind"].map(list(labels).index))
    data = data.sort_values(["order", "month"])[["kind", "label", "month", "n"]]
    totals = data.groupby("label", sort=False)["n"].agg(lambda x: x.sum() if x.notna().all() else pd.NA)
    alt = f"Events per month from {months[0]} to {months[-1]}. " + "; ".join(
        f"{label}: {_whole(n)}" + ("" if pd.isna(n) else " in all") for label, n in totals.items()) + "."
    return _plate(figure, alt, data, notes=["Bars: number of events in the month.",
                                            *_masked_note(data, ["n"], k)])


def attendance(counts: pd.DataFrame, labels: Mapping[str, str], *, k: int | None = None) -> Plate:
    """Share of those invited who came to each forum session, one line per group (COUNTS 'forum', 'date|group').

    The first label is the group of the first line. A session to which nobody of a group was invited leaves a gap.
    """
    _two(labels, "groups")
    rows = _rows(counts, COUNTS, "forum")
    split = rows["category"].str.partition("|")
    data = rows.assign(date=split[0], group=split[2])
    data = data[data["group"].isin(list(labels)) & data["of"].ne(0).fillna(True)]
    if data.empty:
        raise Refusal("no forum session has anybody of the groups given; drop the figure or correct the labels")
    data = data.assign(label=data["group"].map(labels), share=_share(data)).sort_values(["group", "date"], ignore_index=True)
    days = pd.to_datetime(data["date"])
    figure, ax = _canvas(DOUBLE, 62)
    for (group, label), style in zip(labels.items(), SERIES, strict=False):
        part = data["group"] == group
        ax.plot(days[part], data.loc[part, "share"], gid=f"line:{group}", label=label, **style)
    ax.set(ylim=(0, 1.03), ylabel="Came, of those invited")
    ax.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda y, _: f"{100 * y:.0f}%"))
    sessions = sorted(set(days))
    ax.set_xticks(sessions, [d.strftime("%b\n%Y") if i == 0 or d.year != sessions[i - 1].year else d.strftime("%b")
                             for i, d in enumerate(sessions)])
    _legend(figure, list(labels.values()))
    texts = [MASK if pd.isna(r.n) or pd.isna(r.of) else f"{_whole(r.n)} of {_whole(r.of)}" for r in data.itertuples()]
    alt = "Attendance of the forum. " + "; ".join(
        f"{r.label}, {r.date}: {t}" for r, t in zip(data.itertuples(), texts, strict=True)) + "."
    return _plate(figure, alt, data[["date", "group", "label", "n", "of", "share"]], notes=_masked_note(data, ["n"], k))


# --- outcomes -------------------------------------------------------------------------------------

def change_by_subscale(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, mid: float, level: float, term: str = "pair mean",
    k: int | None = None,
) -> Plate:
    """Mean change per pair in each subscale with its interval, zero and the minimal important difference.

    Parameters
    ----------
    estimates
        ESTIMATES rows of analysis 'change' of one cohort; the rows with `term` are drawn (scale points).
    labels
        Subscale id -> label, in order.
    mid, level
        Minimal important difference in scale points; confidence level of the intervals.
    """
    rows = _rows(estimates, ESTIMATES, "change")
    data = _pick(rows[rows["term"] == term], {"outcome": labels})
    data = data.assign(label=data["outcome"].map(labels))
    figure, ax = _canvas(DOUBLE, _height(data["label"]) + 16)
    limits = _limits(data[["estimate", "low", "high"]], include=(-mid, mid))
    _zero(ax, mid)
    for y, row in enumerate(data.itertuples()):
        _interval(ax, y, row, limits, row.outcome, color=INK, marker="o", markerfacecolor=INK)
    _row_axis(ax, list(data["label"]))
    unit, units = _unit(term)
    ax.set(xlim=limits, xlabel=f"Mean change per {unit}, scale points ({_level(level)})")
    _column(ax, [_whole(n) for n in data["n"]], units, offset=24, align="right")
    texts = [_estimate(r) for r in data.itertuples()]
    _column(ax, texts, f"Change ({_level(level)})", offset=36)
    alt = f"Mean change per {unit} in {len(data)} subscales, scale points, {_level(level)}. " + "; ".join(
        f"{r.label}: {t}, {_whole(r.n)} {units.lower()}"
        for r, t in zip(data.itertuples(), texts, strict=True)) + "."
    return _plate(figure, alt, data[["outcome", "label", "n", "estimate", "low", "high"]],
                  notes=[*_mid_note(mid), *_unbounded_note(data), *_masked_note(data, ["n", "estimate"], k)])


def before_after(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, roles: Mapping[str, str], waves: Mapping[str, str],
    scale: tuple[float, float], level: float, k: int | None = None,
) -> Plate:
    """Mean score by role and wave with intervals, one panel per subscale; no individual is drawn.

    `estimates` holds ESTIMATES rows of analysis 'descriptives' with term 'role|wave|mean'; `roles` and
    `waves` map ids to labels in order; `scale` is the range of possible scores.
    """
    _two(roles, "roles")
    rows = _split(_rows(estimates, ESTIMATES, "descriptives"), "term", ("role", "wave", "statistic"))
    data = _pick(rows[rows["statistic"] == "mean"], {"outcome": labels, "role": roles, "wave": waves})
    columns = min(len(labels), 5)
    deep = -(-len(labels) // columns)
    figure, axes = _canvas(DOUBLE, 48 * deep + 8, nrows=deep, ncols=columns, sharey=True, squeeze=False)
    limits = _limits(data[["estimate", "low", "high"]].replace([np.inf, -np.inf], np.nan), include=scale,
                     pad=0.03)
    for ax, (outcome, label) in zip(axes.flat, labels.items(), strict=False):
        for series, (role, style) in enumerate(zip(roles, SERIES, strict=False)):
            shift = 0.07 * (2 * series - 1) * (len(roles) > 1)
            part = data[(data["outcome"] == outcome) & (data["role"] == role)]
            ax.plot(np.arange(len(waves)) + shift, part["estimate"], color=style["color"], linewidth=0.9,
                    linestyle=style["linestyle"], gid=f"line:{outcome}|{role}")
            for x, row in enumerate(part.itertuples()):
                key = f"{outcome}|{role}|{row.wave}"
                if pd.isna(row.estimate):
                    ax.text(x + shift * 2, limits[0] + 0.06 * (limits[1] - limits[0]), MASK, ha="center",
                            color=style["color"], fontsize=10, fontweight="bold", gid=f"masked:{key}")
                _interval(ax, x + shift, row, limits, key, upright=True, **style)
        ax.set_xticks(range(len(waves)), [_wrap(w, 12) for w in waves.values()])
        ax.set(xlim=(-0.4, len(waves) - 0.6), ylim=limits)
        ax.set_title(_wrap(label, 130 // (columns + 1)), fontsize=7.5)
        ax.yaxis.set_major_locator(matplotlib.ticker.MultipleLocator(1))
    for ax in axes.flat[len(labels):]:
        ax.axis("off")
    for ax in axes[:, 0]:
        ax.set_ylabel(f"Mean score ({_level(level)})")
    _legend(figure, list(roles.values()))
    data = data.assign(label=data["outcome"].map(labels))
    alt = f"Mean scores by role and wave with {_level(level)}. " + "; ".join(
        f"{label}, {role_label}: " + ", ".join(
            f"{waves[r.wave]} {_estimate(r)}"
            for r in data[(data["outcome"] == outcome) & (data["role"] == role)].itertuples())
        for outcome, label in labels.items() for role, role_label in roles.items()) + "."
    return _plate(figure, alt, data[["outcome", "label", "role", "wave", "n", "estimate", "low", "high"]],
                  notes=[*_unbounded_note(data), *_masked_note(data, ["estimate"], k)])


def slope_by_role(
    scores: pd.DataFrame, labels: Mapping[str, str], *, profile: str, roles: Mapping[str, str],
    waves: Mapping[str, str], scale: tuple[float, float],
) -> Plate:
    """One line per person from wave to wave, by role and subscale; for the team's eyes only.

    People with the same answers share a line, drawn thicker; who answered one wave only is a point.

    Raises
    ------
    Refusal
        Unless `profile` is 'team': an individual's line gives every answer back.
    """
    if profile != "team":
        raise Refusal(f"lines of individuals are for the profile 'team', not '{profile}'; "
                      "use before_after instead")
    frame = conform(scores, SCORES)
    frame = frame[frame["role"].isin(list(roles)) & frame["subscale"].isin(list(labels))
                  & frame["wave"].isin(list(waves))]
    if frame.empty:
        raise Refusal("no score belongs to the roles, waves and subscales given; correct the labels")
    if frame.duplicated(["cohort", "person", "subscale", "wave"]).any():
        raise Refusal("a person has two scores of one subscale at one wave; score the responses again")
    wide = frame.pivot(index=["subscale", "role", "cohort", "person"], columns="wave", values="score")
    wide = wide.reindex(columns=list(waves)).dropna(how="all").round(9)
    data = wide.groupby(["subscale", "role", *waves], dropna=False).size().rename("people").reset_index()
    figure, axes = _canvas(DOUBLE, 42 * len(roles) + 8, nrows=len(roles), ncols=len(labels), sharex=True,
                           sharey=True, squeeze=False)
    for i, (role, role_label) in enumerate(roles.items()):
        style = SERIES[i % len(SERIES)]
        for j, (subscale, label) in enumerate(labels.items()):
            ax = axes[i, j]
            for line in data[(data["role"] == role) & (data["subscale"] == subscale)].itertuples():
                ax.plot(range(len(waves)), [getattr(line, w) for w in waves], color=style["color"],
                        markersize=3,
                        marker=style["marker"], markerfacecolor=style["markerfacecolor"], clip_on=False,
                        linewidth=0.8 * line.people, alpha=0.8, gid=f"people:{role}|{subscale}")
            ax.set_xticks(range(len(waves)), [_wrap(w, 12) for w in waves.values()])
            ax.set(xlim=(-0.25, len(waves) - 0.75), ylim=_limits([], include=scale, pad=0.03))
            ax.yaxis.set_major_locator(matplotlib.ticker.MultipleLocator(1))
            if i == 0:
                ax.set_title(_wrap(label, 130 // (len(labels) + 1)), fontsize=7.5)
        axes[i, 0].set_ylabel(f"{plain_text(role_label)}: score")
    counted = wide.reset_index().groupby("role")["person"].nunique()
    alt = "Individual scores from wave to wave. " + "; ".join(
        f"{label}: {_whole(counted.get(role, 0))} people" for role, label in roles.items()) + "."
    return _plate(figure, alt, data, restricted=True,
                  notes=["One line per person; the thicker the line, the more people share it."])


def forest(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, cohorts: Mapping[str, str],
    pooled: Mapping[str, str],
    level: float, mid: float | None = None, prediction: str = "", term: str = "pair mean",
    k: int | None = None,
) -> Plate:
    """Change in each cohort and pooled over cohorts, one panel per subscale.

    Parameters
    ----------
    estimates
        ESTIMATES: rows of analysis 'change' and `term` for each cohort, and of analysis 'pooling' for
        each pooled term and, where named, the `prediction` term (its low and high are drawn dashed).
    labels, cohorts, pooled
        Subscale id, cohort id and pooled term -> label, in order. Pooled rows are diamonds whose width
        is the interval.
    """
    cohort_rows = _rows(estimates, ESTIMATES, "change")
    cohort_rows = _pick(cohort_rows[cohort_rows["term"] == term], {"outcome": labels, "cohort": cohorts})
    names = {**pooled, **({prediction: "Prediction interval"} if prediction else {})}
    pooled_rows = _pick(_rows(estimates, ESTIMATES, "pooling"), {"outcome": labels, "term": names})
    data = pd.concat([cohort_rows.assign(row=cohort_rows["cohort"].map(cohorts), kind="cohort"),
                      pooled_rows.assign(row=pooled_rows["term"].map(names),
                                         kind=np.where(pooled_rows["term"] == prediction, "prediction",
                                                       "pooled"))])
    data = data.assign(label=data["outcome"].map(labels), order=data["outcome"].map(list(labels).index))
    data = data.sort_values("order", kind="stable").reset_index(drop=True)
    deep = len(cohorts) + len(names)
    unit, units = _unit(term)
    limits = _forest_limits(data, (0,) if mid is None else (-mid, mid))
    figure, axes = _canvas(DOUBLE, len(labels) * (5 * deep + 8) + 10, nrows=len(labels), sharex=True,
                           squeeze=False)
    texts = []
    for i, (ax, outcome) in enumerate(zip(axes[:, 0], labels, strict=True)):
        part = data[data["outcome"] == outcome]
        _zero(ax, mid)
        shown = [_forest_row(ax, y, row, limits) for y, row in enumerate(part.itertuples())]
        texts += shown
        _row_axis(ax, list(part["row"]), head=0.5)
        ax.set_xlim(limits)
        ax.axhline(len(cohorts) - 0.5, color=PALE, linewidth=0.6)
        ax.set_title(_wrap(labels[outcome], 70), fontweight="bold", fontsize=7.5, x=0)
        if i < len(labels) - 1:
            ax.tick_params(axis="x", length=0)
            ax.spines["bottom"].set_visible(False)
        _column(ax, ["" if r.kind == "prediction" else _whole(r.n) for r in part.itertuples()],
                units if i == 0 else "", offset=24, align="right")
        _column(ax, shown, f"Change ({_level(level)})" if i == 0 else "", offset=36)
    axes[-1, 0].set_xlabel(f"Mean change per {unit}, scale points")
    outside = data["low"].lt(limits[0]) | data["high"].gt(limits[1])
    arrow = "Arrow: the interval goes on beyond the axis; its bounds are printed at the right."
    alt = f"Change by cohort and pooled, scale points, {_level(level)}. " + "; ".join(
        f"{r.label}, {r.row}: {t}" for r, t in zip(data.itertuples(), texts, strict=True)) + "."
    notes = ["Squares: cohorts. Diamonds: pooled."
             + (" Dashed: where the next cohort's true change is expected." if prediction else ""),
             *_mid_note(mid), *([arrow] if outside.any() else [])]
    given = data.assign(estimate=data["estimate"].where(data["kind"] != "prediction", data["low"]),
                        n=data["n"].where(data["kind"] != "prediction", 0))
    return _plate(figure, alt, data[["outcome", "label", "row", "kind", "n", "estimate", "low", "high"]],
                  notes=[*notes, *_masked_note(given, ["n", "estimate"], k)])


def _forest_limits(data: pd.DataFrame, include) -> tuple[float, float]:
    """Limits that hold every interval; a prediction interval may widen them by half at each side."""
    ends = data[["estimate", "low", "high"]]
    low, high = _limits(ends[data["kind"] != "prediction"], include=include)
    far = ends[data["kind"] == "prediction"].clip(low - (high - low) / 2, high + (high - low) / 2)
    return _limits(far, include=(low, high), pad=0.03 if far.notna().any(axis=None) else 0)


def _forest_row(ax, y: int, row, limits) -> str:
    """Draw one row of a forest panel and return its numbers as printed."""
    key = f"{row.outcome}|{row.row}"
    if row.kind == "prediction":
        if pd.isna(row.low) or pd.isna(row.high):
            return "not defined" if _undefined(row.method) else MASK
        _interval(ax, y, row._replace(low=-np.inf if row.low < limits[0] else row.low,
                                      high=np.inf if row.high > limits[1] else row.high), limits, key,
                  dashed=True)
        return f"({_number(row.low)} to {_number(row.high)})"
    if row.kind == "pooled" and pd.notna(row.estimate) and np.isfinite([row.low, row.high]).all():
        ax.add_patch(Polygon([(row.low, y), (row.estimate, y - 0.3), (row.high, y), (row.estimate, y + 0.3)],
                             facecolor=BLUE, edgecolor=INK, linewidth=0.6, zorder=3, gid=f"diamond:{key}"))
    else:
        _interval(ax, y, row, limits, key, color=INK, marker="s" if row.kind == "cohort" else "D",
                  markerfacecolor=INK)
    return _estimate(row)


def gap(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, waves: Mapping[str, str], level: float,
    k: int | None = None,
) -> Plate:
    """Mean absolute gap between the two partners at two waves, per subscale.

    `estimates` holds ESTIMATES rows of analysis 'pairs'; `waves` maps the two terms (such as 'gap pre',
    'gap post') to their labels, in order.
    """
    _two(waves, "waves")
    data = _pick(_rows(estimates, ESTIMATES, "pairs"), {"outcome": labels, "term": waves})
    data = data.assign(label=data["outcome"].map(labels))
    limits = (0.0, _limits(data[["estimate", "low", "high"]], include=(0, 0.5))[1])
    figure, ax = _canvas(DOUBLE, _height(list(labels.values()), row=9) + 20)
    first, last = list(waves)[0], list(waves)[-1]
    for y, outcome in enumerate(labels):
        for series, (term, style) in enumerate(zip(waves, SERIES[::-1], strict=False)):
            row = next(data[(data["outcome"] == outcome) & (data["term"] == term)].itertuples())
            low = max(row.low, 0.0) if pd.notna(row.low) else row.low
            _interval(ax, y + 0.2 * (2 * series - 1), row._replace(low=low), limits, f"{outcome}|{term}",
                      **style)
    _row_axis(ax, list(labels.values()))
    ax.set(xlim=limits, xlabel=f"Mean absolute gap between partners, scale points ({_level(level)})")
    point = data.set_index(["outcome", "term"])
    count = [_whole(point.loc[(o, last), "n"]) for o in labels]
    _column(ax, count, "Pairs", offset=24, align="right")
    texts = [" → ".join(_number(point.loc[(o, t), "estimate"]) for t in dict.fromkeys((first, last)))
             for o in labels]
    _column(ax, texts, "Gap", offset=36)
    handles = [matplotlib.lines.Line2D([], [], markeredgewidth=1, label=plain_text(name),
                                       **{**style, "linestyle": "-"})
               for name, style in zip(waves.values(), SERIES[::-1], strict=False)]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, borderaxespad=0.2)
    alt = "Mean absolute gap between partners, scale points. " + "; ".join(
        f"{label}: " + ", ".join(f"{waves[t]} {_estimate(point.loc[(o, t)])}" for t in waves)
        for o, label in labels.items()) + "."
    return _plate(figure, alt, data[["outcome", "label", "term", "n", "estimate", "low", "high"]],
                  notes=[*_unbounded_note(data), *_masked_note(data, ["estimate", "n"], k)])


def diverging_items(
    counts: pd.DataFrame, labels: Mapping[str, str], *, waves: Mapping[str, str], codes: Mapping[str, str],
    k: int | None = None,
) -> Plate:
    """Answers to each item at each wave as bars that part at the middle of the response set.

    `counts` is read by `item_answers`; `codes` maps every code (as text) of the response set to its
    label in order. A bar with a masked answer is not drawn; an absent code was chosen by nobody.
    """
    rows = item_answers(counts)
    rows = rows[rows["item"].isin(list(labels)) & rows["wave"].isin(list(waves))]
    unknown = rows.loc[~rows["code"].isin(list(codes)), "code"]
    if len(unknown):
        raise Refusal(f"{len(unknown)} answers have a code outside the response set, first "
                      f"'{unknown.iloc[0]}'; add it")
    if rows.duplicated(["item", "wave", "code"]).any():
        raise Refusal("a code is counted twice for one item and wave; keep the rows of one cohort")
    bars = [(item, wave) for item in labels for wave in waves]
    absent = [b for b in bars if not ((rows["item"] == b[0]) & (rows["wave"] == b[1])).any()]
    if absent:
        raise Refusal(f"{len(absent)} bars have no answers, first {', '.join(absent[0])}; drop the label")
    wide = rows.pivot(index=["item", "wave"], columns="code", values="n").astype("Float64")
    known = rows.assign(masked=rows["n"].isna()).groupby(["item", "wave"])["masked"].any()
    wide = wide.reindex(columns=list(codes)).fillna(0).astype(float)
    of = rows.groupby(["item", "wave"])["of"].first()
    figure, ax = _canvas(DOUBLE, len(labels) * 5.2 * len(waves) + 4 + 18)
    fills, hatches = _diverging(len(codes))
    step, drawn, places, widest = 1.0, [], [], 0.0
    for number, (item, wave) in enumerate(bars):
        y = step * number + 0.7 * (number // len(waves))
        places.append(y)
        if known[item, wave]:
            ax.text(0, y, MASK, ha="center", va="center", zorder=4, gid=f"masked:{item}|{wave}",
                    bbox={"boxstyle": "square,pad=0.2", "facecolor": "white", "edgecolor": "none"})
            drawn += [{"item": item, "wave": wave, "code": c, "n": pd.NA, "share": np.nan} for c in codes]
            continue
        values = wide.loc[(item, wave)].to_numpy()
        if values.sum() <= 0 or (pd.notna(of[item, wave]) and values.sum() != of[item, wave]):
            raise Refusal(f"the answers to '{item}' at '{wave}' add up to {values.sum():g}, not "
                          f"{of[item, wave]}; count every code of the response set")
        shares = values / values.sum()
        half = len(codes) // 2
        left = -(shares[:half].sum() + (shares[half] / 2 if len(codes) % 2 else 0))
        widest = max(widest, abs(left), 1 + left)
        for code, share, n, fill, hatch in zip(codes, shares, values, fills, hatches, strict=True):
            drawn.append({"item": item, "wave": wave, "code": code, "n": int(n), "share": share})
            if share > 0:
                ax.add_patch(Rectangle((left, y - 0.42), share, 0.84, facecolor=fill, edgecolor="white",
                                       linewidth=0.4, hatch=hatch, gid=f"bar:{item}|{wave}|{code}"))
                if share >= 0.07:
                    dark = matplotlib.colors.to_rgb(fill)[1] < 0.5
                    ax.text(left + share / 2, y, _number(100 * share, 0), ha="center", va="center",
                            fontsize=SMALLEST,
                            color="white" if dark else INK, zorder=4, gid=f"share:{item}|{wave}|{code}",
                            bbox={"boxstyle": "square,pad=0.1", "facecolor": fill, "edgecolor": "none"})
            left += share
    widest = widest or 1.0
    ax.axvline(0, color=GREY, linewidth=0.7, zorder=3)
    ax.set(xlim=(-widest * 1.01, widest * 1.01), ylim=(places[-1] + 0.6, -0.6), xlabel="Share of answers")
    _percent_axis(ax)
    ax.set_yticks(places, [plain_text(waves[wave]) for _, wave in bars])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    for first, text in zip(places[::len(waves)], labels.values(), strict=True):
        ax.annotate(_wrap(text, 36), (0, first + step * (len(waves) - 1) / 2),
                    xycoords=("axes fraction", "data"),
                    xytext=(-40, 0), textcoords="offset points", ha="right", va="center", fontsize=SMALLEST,
                    annotation_clip=False, gid="item")
    texts = [MASK if known[b] else _whole(wide.loc[b].sum()) for b in bars]
    _column(ax, texts, "n", offset=14, align="right", at=places)
    figure.legend(handles=[Rectangle((0, 0), 1, 1, facecolor=f, hatch=h, edgecolor="white",
                                     label=plain_text(name))
                           for name, f, h in zip(codes.values(), fills, hatches, strict=True)],
                  loc="outside upper left", ncols=len(codes), handlelength=1.6, columnspacing=1.2,
                  fontsize=SMALLEST, borderaxespad=0.2)
    data = pd.DataFrame(drawn).assign(label=lambda d: d["item"].map(labels))
    upper = list(codes)[-(len(codes) // 2):]
    agreed = data[data["code"].isin(upper)].groupby(["item", "wave"])["share"].sum(min_count=1)
    what = " or ".join(codes[c] for c in upper)
    alt = f"Answers to {len(labels)} items; share who answered {what}. " + "; ".join(
        f"{label}: " + ", ".join(f"{name} {_percent(agreed[item, wave])}" for wave, name in waves.items())
        for item, label in labels.items()) + "."
    return _plate(figure, alt, data, notes=["Numbers in bars: % of answers."]
                  + _masked_note(data, ["n"], k))


def _diverging(count: int) -> tuple[list, list]:
    """Fills from orange over grey to blue, hatched on the lower side so that the two sides differ in grey."""
    half = count // 2
    strong = np.linspace(1.0, 0.35, half) if half > 1 else np.array([0.8])

    def blend(color, weight):
        return tuple(1 - weight * (1 - c) for c in matplotlib.colors.to_rgb(color))

    low = [blend(ORANGE, w) for w in strong]
    high = [blend(BLUE, w) for w in strong[::-1]]
    middle = [blend("#000000", 0.14)] if count % 2 else []
    return low + middle + high, ["////"] * half + [""] * (count - half)


def specification_curve(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, level: float, mid: float | None = None,
    k: int | None = None,
) -> Plate:
    """Estimates of one outcome under every listed defensible choice, sorted, over the choices made.

    `estimates` holds the rows of analysis 'multiverse' of one outcome and cohort (see `specifications`);
    the row whose `planned` is "planned" is marked. `labels` maps choice names and options to labels.
    """
    rows = specifications(estimates)
    if rows[["cohort", "outcome"]].drop_duplicates().shape[0] > 1:
        raise Refusal("the specifications belong to more than one outcome or cohort; keep one of each")
    data = rows.sort_values(["estimate", "term"], kind="stable", na_position="last").reset_index(drop=True)
    choices = [c for c in data.columns if c.startswith("choice: ")]
    options = [(c, o) for c in choices for o in dict.fromkeys(rows[c])]
    figure, (top, grid) = _canvas(DOUBLE, 48 + 4.6 * (len(options) + 0.6 * len(choices)), nrows=2,
                                  sharex=True, height_ratios=[42, 4.6 * (len(options) + 0.6 * len(choices))])
    limits = _limits(data[["estimate", "low", "high"]], include=(0,))
    if mid is not None:
        top.axhspan(max(-mid, limits[0]), min(mid, limits[1]), color=PALE, linewidth=0, zorder=0, gid="mid")
    top.axhline(0, color=GREY, linewidth=0.7)
    for x, row in enumerate(data.to_dict("records")):
        primary = row["planned"] == "planned"
        color = ORANGE if primary else INK
        mark = pd.Series(row)
        if pd.isna(mark.estimate):
            top.text(x, limits[0], MASK, ha="center", va="bottom", gid=f"masked:{x}")
        _interval(top, x, mark, limits, str(x), upright=True, color=color, markersize=6 if primary else 3.5,
                  marker="D" if primary else "o", markerfacecolor="white" if primary else INK)
    top.set(ylim=limits, xlim=(-0.8, len(data) - 0.2), ylabel=f"Estimate, points\n({_level(level)})")
    places, y, last = [], 0.0, None
    for choice, option in options:
        if choice != last:
            y += 0.6 * (last is not None)
            grid.annotate(_wrap(_name(labels, choice.removeprefix("choice: ")), 16), (0, y),
                          fontweight="bold",
                          xycoords=("axes fraction", "data"), xytext=(-172, 0), textcoords="offset points",
                          ha="left", va="center_baseline", fontsize=SMALLEST, annotation_clip=False)
            last = choice
        chosen = np.flatnonzero(data[choice] == option)
        grid.plot(chosen, np.full(len(chosen), y), linestyle="none", marker="s", markersize=3, color=INK,
                  gid=f"choice:{choice.removeprefix('choice: ')}={option}")
        places.append(y)
        y += 1
    grid.set_yticks(places, [_wrap(_name(labels, o), 24) for _, o in options])
    grid.set(ylim=(places[-1] + 0.6, -0.6))
    grid.tick_params(length=0, labelbottom=False)
    grid.set_xlabel("Specifications, sorted by estimate")
    for side in ("left", "bottom"):
        grid.spines[side].set_visible(False)
    top.tick_params(axis="x", length=0, labelbottom=False)
    top.spines["bottom"].set_visible(False)
    known = data["estimate"].dropna()
    low, middle, high = (_number(v) for v in (known.min(), known.median(), known.max()))
    planned = "; ".join(_estimate(pd.Series(r))
                        for r in data[data["planned"] == "planned"].to_dict("records"))
    alt = (f"{len(data)} specifications: estimates from {low} to {high}, median {middle}; "
           f"{int((known > 0).sum())} of {len(known)} above zero."
           + (f" Planned analysis: {planned}." if planned else ""))
    notes = ["Diamond: the planned analysis."] if planned else []
    return _plate(figure, alt, data[[*choices, "n", "estimate", "low", "high", "planned"]],
                  notes=[*notes, *_mid_note(mid), *_unbounded_note(data),
                         *_masked_note(data, ["estimate"], k)])


def _name(labels: Mapping[str, str], key: str) -> str:
    if key not in labels:
        raise Refusal(f"'{key}' has no label; add it to the labels")
    return labels[key]


def dose(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, terms: Mapping[str, str], level: float,
    k: int | None = None,
) -> Plate:
    """Association of dose with change per subscale, one panel per term (ESTIMATES, analysis 'dose').

    `terms` maps each term (such as 'Spearman meetings') to the label under its axis.
    """
    data = _pick(_rows(estimates, ESTIMATES, "dose"), {"term": terms, "outcome": labels})
    data = data.assign(label=data["outcome"].map(labels))
    figure, axes = _canvas(DOUBLE, _height(list(labels.values())) + 18, ncols=len(terms), sharey=True,
                           squeeze=False)
    for ax, (term, name) in zip(axes[0], terms.items(), strict=True):
        part = data[data["term"] == term]
        limits = _limits(part[["estimate", "low", "high"]], include=(0,))
        _zero(ax, None)
        for y, row in enumerate(part.itertuples()):
            _interval(ax, y, row, limits, f"{term}|{row.outcome}", color=INK, marker="o", markerfacecolor=INK)
            if pd.isna(row.estimate):
                ax.text(0.5, y, MASK, ha="center", va="center", transform=ax.get_yaxis_transform(),
                        gid=f"masked:{term}|{row.outcome}")
        _row_axis(ax, list(labels.values()), width=26)
        ax.set_xlim(limits)
        ax.set_xlabel(f"{_wrap(name, 120 // (len(terms) + 1))}\n({_level(level)})")
    alt = "Association of dose with change. " + "; ".join(
        f"{terms[r.term]}, {r.label}: {_estimate(r)}" for r in data.itertuples()) + "."
    return _plate(figure, alt, data[["term", "outcome", "label", "n", "estimate", "low", "high"]],
                  notes=["Exploratory.", *_unbounded_note(data), *_masked_note(data, ["estimate"], k)])


# --- interviews -----------------------------------------------------------------------------------

def theme_prevalence(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, level: float, k: int | None = None,
) -> Plate:
    """Share of interviews in which each theme occurs, with its interval (ESTIMATES 'themes', 'prevalence').

    A row without an estimate but with low and high is a band: the share lies somewhere inside it.
    """
    rows = _rows(estimates, ESTIMATES, "themes")
    data = _pick(rows[rows["term"] == "prevalence"], {"outcome": labels})
    band = data["estimate"].isna() & data["low"].notna() & data["high"].notna()
    data = data.assign(label=data["outcome"].map(labels), kind=np.where(band, "band", "share"))
    wrong = data.loc[(data[["estimate", "low", "high"]].lt(0)
                      | data[["estimate", "low", "high"]].gt(1)).any(axis=1)]
    if len(wrong):
        raise Refusal(f"{len(wrong)} shares lie outside 0 to 1, first '{wrong['outcome'].iloc[0]}'; "
                      "give proportions")
    figure, ax = _canvas(ONE_AND_HALF, _height(data["label"]) + 14)
    texts = []
    for y, row in enumerate(data.itertuples()):
        if row.kind == "band":
            ax.add_patch(Rectangle((row.low, y - 0.22), row.high - row.low, 0.44, facecolor=PALE,
                                   edgecolor=GREY, linewidth=0.6, hatch="////", gid=f"band:{row.outcome}"))
            texts.append(f"{_percent(row.low)} to {_percent(row.high)}")
        else:
            _interval(ax, y, row, (0.0, 1.0), row.outcome, color=INK, marker="o", markerfacecolor=INK)
            texts.append(MASK if pd.isna(row.estimate) else _percent(row.estimate))
    _row_axis(ax, list(data["label"]))
    ax.set(xlim=(0, 1), xlabel=f"Share of interviews ({_level(level)})")
    _percent_axis(ax)
    _column(ax, texts, "Share", offset=6)
    alt = "Share of interviews with each theme. " + "; ".join(
        f"{r.label}: {t}" + (f" ({_percent(r.low)} to {_percent(r.high)})" if r.kind == "share"
                             and pd.notna(r.estimate) else "")
        for r, t in zip(data.itertuples(), texts, strict=True)) + "."
    bands = ["Hatched: the share lies inside the band."] if band.any() else []
    return _plate(figure, alt, data[["outcome", "label", "kind", "n", "estimate", "low", "high"]],
                  notes=[*bands, *_masked_note(data[~band], ["estimate"], k)])


def theme_counts(counts: pd.DataFrame, labels: Mapping[str, str], *, unit: str,
    k: int | None = None) -> Plate:
    """How often each theme was found (COUNTS 'themes', category = theme); `unit` names what is counted."""
    data = _pick(_rows(counts, COUNTS, "themes"), {"category": labels})
    data = data.assign(label=data["category"].map(labels))
    figure, ax = _canvas(ONE_AND_HALF, _height(data["label"]) + 14)
    for y, row in enumerate(data.itertuples()):
        if pd.notna(row.n):
            ax.add_patch(Rectangle((0, y - 0.3), row.n, 0.6, facecolor=BLUE, edgecolor=INK, linewidth=0.5,
                                   gid=f"bar:{row.category}"))
    _row_axis(ax, list(data["label"]))
    top = [v for v in (data["n"].max(), data["of"].max()) if pd.notna(v)]
    ax.set(xlim=(0, float(max(top, default=1)) or 1.0), xlabel=plain_text(unit))
    ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, integer=True))
    texts = [_whole(r.n) if pd.isna(r.n) or pd.isna(r.of) else f"{_whole(r.n)} of {_whole(r.of)}"
             for r in data.itertuples()]
    _column(ax, texts, "", offset=6)
    alt = f"{unit} per theme. " + "; ".join(
        f"{label}: {text}" for label, text in zip(data["label"], texts, strict=True)) + "."
    return _plate(figure, alt, data[["category", "label", "n", "of"]], notes=_masked_note(data, ["n"], k))


def saturation(counts: pd.DataFrame, *, saturated_at: int | None = None, k: int | None = None) -> Plate:
    """New themes in each interview and themes so far.

    `counts` holds COUNTS rows of analysis 'saturation': category = number, n = new themes, of = so far.
    `saturated_at` is the interview at which the stopping rule was met, drawn as a dashed line.
    """
    rows = _rows(counts, COUNTS, "saturation")
    if not rows["category"].str.fullmatch(r"\d+").all() or rows["category"].duplicated().any():
        raise Refusal("the categories of 'saturation' are interview numbers, each once; "
                      "keep the rows of one cohort")
    data = rows.assign(interview=rows["category"].astype(int)).sort_values("interview")[["interview", "n",
                                                                                         "of"]]
    data = data.rename(columns={"n": "new", "of": "so_far"}).reset_index(drop=True)
    figure, ax = _canvas(ONE_AND_HALF, 55)
    for row in data.itertuples():
        if pd.isna(row.new):
            ax.text(row.interview, 0, MASK, ha="center", va="bottom", gid=f"masked:{row.interview}")
        elif row.new > 0:
            ax.bar(row.interview, row.new, width=0.6, color=PALE, edgecolor=INK, linewidth=0.6, hatch="////",
                   gid=f"new:{row.interview}")
    ax.plot(data["interview"], data["so_far"].astype("Float64").astype(float), color=BLUE, marker="o",
            gid="so far")
    top = max([int(v) for v in (data["so_far"].max(), data["new"].max()) if pd.notna(v)], default=1)
    ax.set(xlim=(data["interview"].min() - 0.6, data["interview"].max() + 0.6), ylim=(0, top * 1.12 or 1),
           xlabel="Interview", ylabel="Themes")
    ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(12, integer=True))
    ax.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5, integer=True))
    if saturated_at is not None:
        ax.axvline(saturated_at, color=ORANGE, linewidth=0.9, linestyle=(0, (4, 2)), gid="saturated",
                   zorder=0)
    handles = [matplotlib.lines.Line2D([], [], color=BLUE, marker="o", label="Themes so far"),
               Rectangle((0, 0), 1, 1, facecolor=PALE, edgecolor=INK, linewidth=0.6, hatch="////",
                         label="New themes")]
    if saturated_at is not None:
        handles.append(matplotlib.lines.Line2D([], [], color=ORANGE, linewidth=0.9, linestyle=(0, (4, 2)),
                                               label=f"Stopping rule met: interview {saturated_at}"))
    figure.legend(handles=handles, loc="outside upper left", ncols=3, borderaxespad=0.2, columnspacing=1.2)
    last = data.iloc[-1]
    alt = (f"{_whole(last['so_far'])} themes after {len(data)} interviews; new themes per interview: "
           + ", ".join(_whole(n) for n in data["new"]) + "."
           + (f" The stopping rule was met at interview {saturated_at}." if saturated_at is not None else ""))
    return _plate(figure, alt, data, notes=_masked_note(data, ["new", "so_far"], k))


def _joint_share(row) -> str:
    """How many interviews have a theme, or the band in which their share lies."""
    if pd.notna(row.n):
        return f"{_whole(row.n)} of {_whole(row.of)}"
    return f"{_percent(row.share_low)} to {_percent(row.share_high)} of" if pd.notna(row.share_low) else MASK


JOINT = ("theme", "n", "of", "subscale", "estimate", "low", "high", "judgement")


def joint_display(frame: pd.DataFrame, *, level: float, mid: float | None = None,
    k: int | None = None) -> Plate:
    """Each theme beside the change of its subscale and a person's judgement of how the two fit.

    `frame` has the columns theme, n, of (interviews), subscale, estimate, low, high (change, points) and
    judgement ('confirms', 'expands', 'contradicts' or empty); themes and subscales are labels, and a theme
    that no outcome stands beside has an empty subscale. Where `share_low` and `share_high` are given, the
    share of interviews is a band.
    """
    missing = [c for c in JOINT if c not in frame.columns]
    if missing or frame.empty:
        raise Refusal(f"the joint display needs rows with the columns {', '.join(JOINT)}; "
                      f"add what is missing: {', '.join(missing) or 'rows'}")
    bands = [c for c in ("share_low", "share_high") if c in frame.columns]
    data = frame[[*JOINT, *bands]].reset_index(drop=True).reindex(columns=[*JOINT, "share_low", "share_high"])
    data["judgement"] = data["judgement"].astype("object").where(data["judgement"].notna(), "")
    unknown = sorted(set(data["judgement"]) - {"confirms", "expands", "contradicts", ""})
    if unknown:
        raise Refusal(f"'{unknown[0]}' is not a judgement; "
                      "use confirms, expands, contradicts or leave it empty")
    wraps = [max(len(textwrap.wrap(str(r.theme), 28)), len(textwrap.wrap(str(r.subscale), 24)))
             for r in data.itertuples()]
    figure, (left, right) = _canvas(DOUBLE, len(data) * max(7.0, 3.4 * max(wraps) + 2) + 16, ncols=2,
                                    sharey=True, width_ratios=[1, 2])
    limits = _limits(data[["estimate", "low", "high"]], include=(0,) if mid is None else (-mid, mid))
    _zero(right, mid)
    for y, row in enumerate(data.itertuples()):
        if pd.notna(row.n) and pd.notna(row.of):
            left.add_patch(Rectangle((0, y - 0.2), row.n / row.of, 0.4, facecolor=BLUE, edgecolor=INK,
                                     linewidth=0.5, gid=f"bar:{y}"))
        elif pd.notna(row.share_low) and pd.notna(row.share_high):
            left.add_patch(Rectangle((row.share_low, y - 0.2), row.share_high - row.share_low, 0.4, facecolor=PALE,
                                     edgecolor=GREY, linewidth=0.6, hatch="////", gid=f"band:{y}"))
        else:
            left.text(0.5, y, MASK, ha="center", va="center", gid=f"masked:{y}")
        if row.subscale:
            _interval(right, y, row, limits, str(y), color=INK, marker="o", markerfacecolor=INK)
        for ax in (left, right):
            ax.axhline(y + 0.5, color=PALE, linewidth=0.6, zorder=0)
    _row_axis(left, list(data["theme"]), head=0.5)
    left.set(xlim=(0, 1), xlabel="Share of interviews")
    left.xaxis.set_major_locator(matplotlib.ticker.MultipleLocator(0.5))
    left.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: f"{100 * x:.0f}%"))
    for y, text in enumerate(data["subscale"]):
        left.annotate(_wrap(text, 24), (1, y), xycoords=("axes fraction", "data"), xytext=(12, 0),
                      va="center",
                      textcoords="offset points", fontsize=SMALLEST, annotation_clip=False, gid="subscale")
    _column(left, [], "Subscale", offset=12)
    right.spines["left"].set_visible(False)
    right.tick_params(axis="y", length=0, labelleft=False)
    right.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    right.set(xlim=limits, xlabel=f"Mean change per pair, points ({_level(level)})")
    changes = [_estimate(r) if r.subscale else "no outcome" for r in data.itertuples()]
    _column(right, changes, "Change", offset=6)
    _column(right, [j or "not judged" for j in data["judgement"]], "Judgement", offset=96)
    left.annotate("Theme", (0, 1), xycoords="axes fraction", xytext=(-8, 1), textcoords="offset points",
                  ha="right", va="bottom", fontsize=SMALLEST, color=GREY)
    alt = "Themes beside the change of their subscale. " + "; ".join(
        f"{r.theme} ({_joint_share(r)} interviews), {r.subscale or 'beside it'}: {t}, "
        f"{r.judgement or 'not judged'}" for r, t in zip(data.itertuples(), changes, strict=True)) + "."
    banded = data["share_low"].notna()
    masked = (data["n"].isna() & ~banded) | (data["estimate"].isna() & data["subscale"].ne(""))
    notes = [*_mid_note(mid), *(["Hatched: the share lies inside the band."] if banded.any() else [])]
    return _plate(figure, alt, data if bands else data[list(JOINT)],
                  notes=[*notes, *_masked_note(data[masked], ["n", "estimate"], k)])


# --- planning -------------------------------------------------------------------------------------

def planning_curves(
    estimates: pd.DataFrame, labels: Mapping[str, str], *, sizes: Sequence[int], units: str, mid: float,
    level: float, half_width: float, k: int | None = None,
) -> Plate:
    """What the next cohort can be expected to show, by its size: a column per outcome (ESTIMATES 'planning').

    Rows of panels: power of the exact test, expected half-width (t interval; dashed: the inverted sign-flip
    test) with the wanted `half_width` as a line, probability that the interval excludes the MID. Bars are two
    Monte Carlo standard errors to either side. `units` names what is counted, such as 'pairs'.
    """
    terms = {"power": f"Power, exact test\n(level {_number(1 - level)})",
             "half-width": f"Half-width of the\n{_level(level)}, points",
             "half-width, sign-flip": "", "excludes MID": f"Interval excludes\nthe MID ({mid:g} points)"}
    keys = {"outcome": labels, "term": [f"{t}|{n}" for t in terms for n in sizes]}
    data = _pick(_rows(estimates, ESTIMATES, "planning"), keys)
    data[["measure", "size"]] = data["term"].str.split("|", expand=True)
    data = data.assign(label=data["outcome"].map(labels), size=data["size"].astype(int))
    shown = ["power", "half-width", "excludes MID"]
    figure, axes = _canvas(DOUBLE, 30 * len(shown) + 18, nrows=len(shown), ncols=len(labels), sharex=True,
                           sharey="row", squeeze=False)
    for column, outcome in enumerate(labels):
        for row, measure in enumerate(shown):
            ax, part = axes[row, column], data[data["outcome"] == outcome]
            _curve(ax, part[part["measure"] == measure], SERIES[0])
            if measure == "half-width":
                _curve(ax, part[part["measure"] == "half-width, sign-flip"], SERIES[1])
                ax.axhline(half_width, color=GREY, linewidth=0.7, linestyle=":", gid="wanted")
            else:
                ax.set_ylim(0, 1.02)
                ax.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: f"{100 * x:.0f}%"))
            if column == 0:
                ax.set_ylabel(terms[measure])
        axes[0, column].set_title(_wrap(labels[outcome], 88 // len(labels)), fontsize=7.5, fontweight="bold")
        axes[-1, column].set_xlabel(f"{units.capitalize()} that start")
        axes[-1, column].xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, integer=True))
    widths = data.loc[data["measure"] == "half-width", "estimate"]
    axes[1, 0].set_ylim(0, _limits(widths, include=(half_width,))[1])
    _legend(figure, ["as planned (t interval, exact test)", "half-width of the inverted sign-flip test"])
    said = data[data["measure"].isin(shown)]
    alt = f"What the next cohort can be expected to show, by the number of {units} that start. " + "; ".join(
        f"{r.label}, {r.measure}, {r.size}: {_percent(r.estimate) if r.unit == 'share' else _estimate(r)}"
        for r in said.itertuples()) + "."
    notes = ["Simulated from a declared truth, not from the data of any cohort. Bars: two Monte Carlo standard errors.",
             f"Dotted: the wanted half-width ({half_width:g} points)."]
    if data.loc[data["measure"] == "half-width, sign-flip", "estimate"].isna().any():
        notes.append("No dashed point where too few stay for a bounded interval of the exact test.")
    return _plate(figure, alt, data[["outcome", "label", "measure", "size", "n", "estimate", "se", "method"]],
                  notes=[*notes, *_masked_note(data, ["estimate"], k)])


def _curve(ax, part: pd.DataFrame, style: Mapping[str, object]) -> None:
    """One measure over the sizes, with two Monte Carlo standard errors; what is not defined leaves a gap."""
    part = part.sort_values("size")
    key = f"{part['outcome'].iloc[0]}|{part['measure'].iloc[0]}"
    ax.plot(part["size"], part["estimate"], gid=f"curve:{key}", markersize=3.2, markeredgewidth=0.8, zorder=3, **style)
    ax.errorbar(part["size"], part["estimate"], yerr=2 * part["se"], fmt="none", ecolor=style["color"],
                elinewidth=0.8)
