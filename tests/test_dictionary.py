"""The data dictionary says everything that the study declares and every column of every table."""

import csv
import os
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from plresearch import dictionary, study
from plresearch.frames import SHAPES


class Page(HTMLParser):
    """Text of every table cell, and what the page would fetch."""

    def __init__(self):
        super().__init__()
        self.cells, self.fetched, self.inside, self.ids, self.links = [], [], False, set(), set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids.add(given.get("id"))
        if tag in ("td", "th"):
            self.inside = True
            self.cells.append("")
        if tag in ("script", "link", "img", "iframe"):
            self.fetched.append(tag)
        if tag == "a":
            self.links.add(given["href"])

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def written(project, tmp_path_factory):
    """The two files, from the command."""
    import shutil

    folder = tmp_path_factory.mktemp("study")
    for name in ("study", "data_raw"):
        shutil.copytree(project / name, folder / name)
    done = subprocess.run([sys.executable, "-m", "plresearch.dictionary"], cwd=project, capture_output=True, text=True,
                          env=os.environ | {"PLRESEARCH_STUDY": str(folder)})
    assert done.returncode == 0, done.stderr
    return folder / "outputs"


def test_every_column_and_table_is_described():
    assert {c for s in SHAPES.values() for c in s.columns} <= set(dictionary.MEANING)
    assert set(dictionary.ABOUT) == set(SHAPES)
    assert all(dictionary.MEANING.values()) and all(dictionary.ABOUT.values())


def test_csv_has_every_item_subscale_table_and_column(written):
    with (written / "dictionary.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    s = study.load()
    by = {kind: [r for r in rows if r["kind"] == kind] for kind in ("item", "subscale", "table", "column")}
    assert sum(map(len, by.values())) == len(rows)
    assert [r["name"] for r in by["item"]] == list(s.instrument.items)
    assert {r["name"]: r["minimum"] for r in by["subscale"]} == {i: str(x.minimum) for i, x in s.instrument.subscales.items()}
    prep_3 = next(r for r in by["item"] if r["name"] == "prep_3")
    assert prep_3["reversed"] == "yes" and prep_3["text"] == s.instrument.items["prep_3"].text and prep_3["waves"] == "pre, post"
    assert prep_3["answers"].startswith("1 = Strongly disagree; 2 = Disagree") and "-99 = seen_unanswered" in prep_3["missing"]
    assert next(r for r in by["item"] if r["name"] == "run_1")["waves"] == "post"
    assert {r["name"] for r in by["table"] if r["may_leave"] == "yes"} == {"estimates", "counts"}
    assert [(r["of"], r["name"], r["type"]) for r in by["column"]] == [(s.name, c, t) for s in SHAPES.values() for c, t in s.columns.items()]


def test_the_page_needs_no_other_file_and_says_the_same(written):
    page = Page()
    text = (written / "dictionary.html").read_text(encoding="utf-8")
    page.feed(text)
    assert not page.fetched and "url(" not in text and "@import" not in text
    s = study.load()
    cells = {c.strip() for c in page.cells}
    assert {i.text for i in s.instrument.items.values()} <= cells
    assert {c for shape in SHAPES.values() for c in shape.columns} <= cells
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= page.ids
    assert "Synthetic data" in text


def test_the_index_links_it_and_make_builds_it(project):
    assert 'href="dictionary.html"' in (project / "paper" / "index.html").read_text(encoding="utf-8")
    planned = subprocess.run(["make", "-n", "-B", "all"], cwd=project, capture_output=True, text=True).stdout
    assert planned.index("plresearch.dictionary") < planned.index("plresearch.manifest")


def test_an_item_that_a_spreadsheet_would_run_or_a_browser_would_obey_stays_text(study_folder, monkeypatch):
    path = study_folder / "study" / "instruments" / "pl.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("I feel ready to lead a change in my service", "=1+1 <script>x</script>"),
                    encoding="utf-8")
    monkeypatch.setenv("PLRESEARCH_STUDY", str(study_folder))
    assert dictionary.main() == 0
    assert "'=1+1" in (study_folder / "outputs" / "dictionary.csv").read_text(encoding="utf-8")
    assert "<script" not in (study_folder / "outputs" / "dictionary.html").read_text(encoding="utf-8")
