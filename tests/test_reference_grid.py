"""The R references are all there, complete and versioned, and docs/validation.md says so truthfully."""

import json
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
REFERENCE = PROJECT / "tests" / "reference"

# topic -> the parts of its JSON file and their cases; may grow, cannot shrink
CASES = {
    "agreement": {"cases": 139},
    "clmm": {"sets": 9, "fits": 36, "fixed": 9, "nominal": 32, "marginal": 4},
    "dyads": {"cases": 60},
    "effects": {"change": 112, "groups": 28, "power": 120, "reliable": 10, "hedges": 11},
    "exact": {"paired": 126, "intervals": 42, "groups": 45, "mcnemar": 120, "stuart_maxwell": 41, "spearman": 15,
              "max_t": 12},
    "missing": {"pooling": 48},
    "mixed": {"components": 72, "unstructured": 18},
    "pooling": {"sets": 34, "cases": 340, "bayes": 102},
    "reliability": {"consistency": 108, "omega": 54},
    "robust": {"cr2": 60, "partner": 20},
}
PACKAGES = {
    "agreement": {"psych"}, "clmm": {"ordinal"}, "dyads": {"psych"}, "effects": {"metafor", "effectsize"},
    "exact": {"coin", "exactRankTests"}, "missing": {"mice"}, "mixed": {"lme4", "lmerTest", "pbkrtest", "emmeans", "nlme"},
    "pooling": {"metafor"}, "reliability": {"psych", "lavaan"}, "robust": {"clubSandwich"},
}
INPUTS = {("clmm", "sets"), ("pooling", "sets")}  # data sets that several cases share; not compared themselves


def read(topic):
    return json.loads((REFERENCE / f"{topic}.json").read_text(encoding="utf-8"))


def compared():
    """(topic, part) -> number of compared cases."""
    return {(topic, part): n for topic, parts in CASES.items() for part, n in parts.items() if (topic, part) not in INPUTS}


def documented():
    """(topic, part) -> number of cases, from the tables of docs/validation.md."""
    text = (PROJECT / "docs" / "validation.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([\d,]+) \|", text, re.MULTILINE)
    assert len(rows) == len({(topic, part) for topic, part, _ in rows})
    return {(topic, part): int(n.replace(",", "")) for topic, part, n in rows}


def test_every_topic_has_its_script_its_values_and_no_other():
    for suffix in ("R", "json"):
        assert {f.stem for f in REFERENCE.glob(f"*.{suffix}")} == set(CASES) == set(PACKAGES)


@pytest.mark.parametrize("topic", CASES)
def test_no_case_is_lost(topic):
    found = read(topic)
    lists = {part: len(value) for part, value in found.items() if isinstance(value, list)}
    assert lists == CASES[topic]
    for part in lists:
        distinct = {json.dumps(case, sort_keys=True) for case in found[part]}
        assert len(distinct) == lists[part], f"{topic}, {part}: the same case twice"


@pytest.mark.parametrize("topic", CASES)
def test_versions_of_r_and_packages_are_recorded(topic):
    versions = read(topic)["versions"]
    assert {"R"} | PACKAGES[topic] <= set(versions)
    assert all(re.search(r"\d+\.\d+", text) for text in versions.values())
    script = (REFERENCE / f"{topic}.R").read_text(encoding="utf-8")
    for package in PACKAGES[topic]:
        assert re.search(rf"library\({package}\)", script), f"{topic}.R does not load {package}"


@pytest.mark.parametrize("topic", CASES)
def test_the_module_is_compared_with_its_values(topic):
    """The test file of the module reads the JSON: a reference that nobody reads proves nothing."""
    assert f'"{topic}.json"' in (PROJECT / "tests" / f"test_{topic}.py").read_text(encoding="utf-8")


def test_the_document_counts_what_is_there():
    assert documented() == compared()
    text = (PROJECT / "docs" / "validation.md").read_text(encoding="utf-8")
    total = sum(compared().values())
    assert f"{total:,} cases" in text


def test_the_document_names_the_versions_that_made_the_values():
    text = (PROJECT / "docs" / "validation.md").read_text(encoding="utf-8")
    for topic in CASES:
        for package, version in read(topic)["versions"].items():
            if package in PACKAGES[topic]:
                assert f"{package} {version}" in text, f"{package} {version} ({topic}) is not in docs/validation.md"
