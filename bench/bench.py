"""Speed side by side: this package, scipy and, where it is installed, R. Ratios within one run.

    make bench

Each task runs in turn with every rival, several times, so that a busy moment of the machine hits all of them; the
medians are compared. Where a rival computes the same number, the numbers must agree before its time counts. The
result is printed and written between two markers of docs/performance.md, with the versions and the number of
processors; nothing in it names the machine.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from scipy import stats

from plresearch import clmm, exact, mixed

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- bench: begin (written by `make bench`) -->", "<!-- bench: end -->"
R_PACKAGES = ("coin", "exactRankTests", "lmerTest", "pbkrtest", "ordinal")
REPEATS = 7


@dataclass(frozen=True)
class Task:
    """One computation and its rivals: name -> function, or the name of a task in bench.R.

    `same` names the rivals that compute the same number, to `tolerance`.
    """

    name: str
    label: str
    ours: Callable[[], float]
    rivals: dict[str, Callable[[], float] | str]
    same: dict[str, float] = field(default_factory=dict)


def inputs(rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Data of every task, with the ties of real scores where the task is about ties."""
    pairs, persons, items = 30, 60, 4
    person = np.repeat(np.arange(2 * pairs), 2)
    frame = pd.DataFrame({
        "cohort": [f"c{p // 2 % 3}" for p in person], "pair": [f"P{p // 2}" for p in person],
        "person": [f"p{p}" for p in person], "role": np.where(person % 2 == 0, "doctor", "manager"),
        "wave": np.tile(["a_pre", "b_post"], 2 * pairs)})  # R takes the first in alphabetical order as reference
    frame["score"] = (3 + rng.normal(0, 0.6, pairs)[person // 2] + rng.normal(0, 0.5, 2 * pairs)[person]
                      + 0.4 * (frame["wave"] == "b_post") + rng.normal(0, 0.5, 4 * pairs))
    who, what = np.repeat(np.arange(persons), 2 * items), np.tile(np.repeat(np.arange(items), 2), persons)
    wave = np.tile([0.0, 1.0], persons * items)
    eta = 0.8 * wave + rng.normal(0, 1.0, persons)[who] + np.linspace(-0.5, 0.5, items)[what]
    answers = pd.DataFrame({"y": np.digitize(eta + rng.logistic(size=len(eta)), [-2, -0.5, 0.8, 2.2]), "wave": wave,
                            "person": who, "item": what})
    ties = rng.integers(-16, 20, 1000) / 8
    steps = rng.integers(-16, 20, 200)
    return {"signed_rank": pd.DataFrame({"d": ties}), "sign_flip": pd.DataFrame({"steps": steps}),
            "hodges_lehmann": pd.DataFrame({"d": np.round(rng.normal(0.3, 1, 200), 2)}).query("d != 0"),
            "mixed": frame, "clmm": answers}


def tasks(data: dict[str, pd.DataFrame]) -> list[Task]:
    """The tasks, on the data of `inputs`."""
    ties, steps = data["signed_rank"]["d"].to_numpy(), data["sign_flip"]["steps"].to_numpy()
    shift, answers = data["hodges_lehmann"]["d"].to_numpy(), data["clmm"]

    def kenward_roger() -> float:
        model = mixed.mixed_model(data["mixed"], waves=("a_pre", "b_post"))
        return float(mixed.changes(model)["p"].iloc[-1])

    def ordinal() -> float:
        return clmm.clmm(answers["y"], answers[["wave"]], answers["person"], answers["item"]).log_likelihood

    def drawn() -> float:
        return stats.permutation_test((steps / 8,), np.mean, permutation_type="samples", vectorized=True,
                                      n_resamples=9_999, rng=1).pvalue

    return [
        Task("signed_rank", "Signed-rank p, 1,000 pairs with ties and zeros", lambda: exact.signed_rank(ties).p,
             {"scipy wilcoxon (normal approximation)": lambda: stats.wilcoxon(ties, zero_method="pratt").pvalue,
              "coin, exact": "coin signed_rank"}, {"coin, exact": 1e-6}),
        Task("sign_flip", "Sign-flip p, 200 pairs", lambda: exact.sign_flip(steps / 8).p,
             {"scipy permutation_test (9,999 draws)": drawn, "exactRankTests, exact": "exactRankTests sign_flip"},
             {"exactRankTests, exact": 1e-6}),
        Task("hodges_lehmann", "Interval of the Hodges-Lehmann estimate, 200 pairs",
             lambda: exact.hodges_lehmann_interval(shift).low,
             {"exactRankTests, exact": "exactRankTests hodges_lehmann"}, {"exactRankTests, exact": 1e-6}),
        Task("mixed", "Mixed model with Kenward-Roger, 30 pairs", kenward_roger, {"lmerTest": "lmerTest mixed"},
             {"lmerTest": 1e-3}),
        Task("clmm", "Ordinal mixed model, 60 people, 4 items, 2 waves", ordinal, {"ordinal": "ordinal clmm"},
             {"ordinal": 1e-4}),
    ]


class R:
    """One R process that runs the tasks of bench.R one at a time, and times them inside R."""

    def __init__(self, folder: str):
        self._process = subprocess.Popen(["Rscript", "--vanilla", str(HERE / "bench.R"), folder], text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.versions = self._line()

    def _line(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("R ended early; its message stands above")
        return line.strip()

    def __call__(self, name: str) -> tuple[float, float]:
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        seconds, value = self._line().split()
        return float(seconds), float(value)

    def __enter__(self) -> R:
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait()


def has_r() -> bool:
    """Whether Rscript and every package of the rivals are installed."""
    if shutil.which("Rscript") is None:
        return False
    wanted = ", ".join(f"'{p}'" for p in R_PACKAGES)
    code = f"quit(status = !all(sapply(c({wanted}), requireNamespace, quietly = TRUE)))"
    return subprocess.run(["Rscript", "--vanilla", "-e", code], capture_output=True).returncode == 0


def timed(run: Callable[[], float]) -> tuple[float, float]:
    """Seconds and number of one run."""
    before = time.perf_counter()
    value = float(run())
    return time.perf_counter() - before, value


def compare(task: Task, r: R | None) -> list[tuple[str, float]]:
    """(name, median seconds) of this package and of each rival, run in turn.

    Raises
    ------
    RuntimeError
        When a rival that should compute the same number does not.
    """
    runs = {"plresearch": task.ours} | {n: f for n, f in task.rivals.items() if r is not None or callable(f)}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(REPEATS + 1):
        values = {}
        for name, run in runs.items():
            took, values[name] = timed(run) if callable(run) else r(run)
            if repeat:  # the first round warms up
                seconds[name].append(took)
    for name, tolerance in task.same.items():
        if name in values and abs(values[name] - values["plresearch"]) > tolerance * max(1.0, abs(values["plresearch"])):
            raise RuntimeError(f"{task.label}: plresearch gives {values['plresearch']:.10g}, {name} {values[name]:.10g}; "
                               "times of different numbers are not compared")
    return [(name, statistics.median(times)) for name, times in seconds.items()]


def table(results: list[tuple[Task, list[tuple[str, float]]]]) -> str:
    """The results as a Markdown table; a ratio is the rival's time over ours."""
    lines = ["| Task | Program | Median, ms | Times ours |", "|---|---|---:|---:|"]
    for task, found in results:
        ours = found[0][1]
        for number, (name, seconds) in enumerate(found):
            ratio = seconds / ours
            printed = f"{ratio:,.0f}" if ratio >= 10 or number == 0 else f"{ratio:.2g}"
            lines.append(f"| {task.label if number == 0 else ''} | {name} | {1000 * seconds:,.2f} | {printed} |")
    return "\n".join(lines)


def machine(r_versions: str) -> str:
    """Processors and versions, without any name of the machine."""
    python = f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    return (f"One run on {os.cpu_count()} processor(s), {platform.system()} {platform.machine()}; {python}; "
            f"{r_versions or 'R or one of its packages is not installed, so its rivals are left out'}. "
            f"Medians of {REPEATS} rounds in which every program runs in turn, one thread each.")


def write(section: str) -> None:
    """Put the section between the markers of docs/performance.md; the rest of the page stays."""
    page = PAGE.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise RuntimeError(f"docs/{PAGE.name} must hold the lines {BEGIN} and {END} once each")
    head, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n\n{section}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def main() -> int:
    warnings.simplefilter("ignore", category=UserWarning)  # scipy says that its p is an approximation; so do we
    data = inputs(np.random.default_rng(20180601))
    with tempfile.TemporaryDirectory(prefix="plr") as folder:
        for name, frame in data.items():
            frame.to_csv(Path(folder) / f"{name}.csv", index=False)
        with (R(folder) if has_r() else nullcontext()) as r:
            results = [(task, compare(task, r)) for task in tasks(data)]
            section = f"{machine(r.versions if r else '')}\n\n{table(results)}"
    write(section)
    print(section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
