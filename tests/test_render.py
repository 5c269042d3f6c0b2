"""Documents: names only, never numbers; an unknown name stops the build; text cannot inject anything."""

import re

import pytest

from plresearch import render, study
from plresearch.frames import COUNTS, ESTIMATES, Refusal, make, store, write_text


@pytest.fixture
def loaded(study_folder):
    s = study.load(study_folder)
    folder = s.outputs("cohort-1")
    rows = [{"cohort": "cohort-1", "analysis": "change", "outcome": o, "term": "pair mean", "n": 6, "estimate": 0.4567, "se": 0.1,
             "low": -0.1234, "high": 1.0, "p": 0.03125, "method": "mean", "unit": "points"} for o in s.outcomes]
    store(make(rows, ESTIMATES), folder / "estimates" / "03_change.csv", ESTIMATES)
    store(make([{"cohort": "cohort-1", "analysis": "flow", "category": "pairs", "n": 6, "of": 6}], COUNTS), folder / "counts" / "01_clean.csv", COUNTS)
    write_text(folder / "tables" / "outcomes.csv", "Outcome,n\nRole,6\nEthos,–\n")
    return s


def visible(text):
    """The text without the markup that tells where a number came from."""
    return re.sub(r"\[([^][]*)\]\{[^}]*\}", r"\1", text)


def test_a_name_becomes_the_formatted_number_and_tells_its_source(loaded):
    text = render.fill(loaded, "{{ r.change.role.pair_mean.signed }} ({{ r.change.role.pair_mean.interval }}), {{ r.change.role.pair_mean.p }}", "cohort-1")
    assert visible(text) == "+0.46 (−0.12 to 1.00), p = .031"
    assert "outputs/cohort-1/03_change.ipynb" in text and "n = 6" in text


def test_names_with_blanks_can_be_written_as_in_the_tables(loaded):
    assert visible(render.fill(loaded, "{{ r.change.role['pair mean'].estimate }}", "cohort-1")) == "0.46"


@pytest.mark.parametrize("token", ["{{ r.change.rule.pair_mean.estimate }}", "{{ r.change.role.pair_median.estimate }}",
                                   "{{ r.change.role.pair_mean.estimat }}", "{{ nothing }}"])
def test_an_unknown_name_stops_the_build(loaded, token):
    import jinja2

    with pytest.raises(jinja2.UndefinedError):
        render.fill(loaded, token, "cohort-1")


def test_an_unknown_name_in_a_document_is_told_without_traceback(loaded, monkeypatch, capsys):
    write_text(loaded.root / "study" / "evaluation.md", "# A\n\n{{ r.change.rule.pair_mean.estimate }}\n")
    monkeypatch.setenv("PLRESEARCH_STUDY", str(loaded.root))
    assert render.main(["evaluation", "cohort-1"]) == 1
    printed = capsys.readouterr().err
    assert "STOPPED" in printed and "rule" in printed and "Traceback" not in printed


def test_tables_are_numbered_in_order_marked_and_explain_masks(loaded):
    text = render.fill(loaded, 'See {{ see("table", "outcomes") }}.\n{{ table("outcomes", "Changes.") }}', "cohort-1")
    assert "See Table\u00a01." in text and "**Table\u00a01.** Changes. *Synthetic data.*" in text
    assert "fewer than 5 contributors" in text


@pytest.mark.parametrize(("template", "words"), [
    ('{{ table("lost", "x") }}', "was not saved"), ('{{ figure("lost", "x") }}', "was not saved"),
    ('{{ see("figure", "change") }}', "refers to 1 exhibits it does not show"),
    ('{{ table("outcomes", "x") }}{{ table("outcomes", "y") }}', "shown twice"),
])
def test_lost_and_doubled_exhibits_stop_the_build(loaded, template, words):
    with pytest.raises(Refusal, match=words):
        render.fill(loaded, template, "cohort-1")


def test_participants_text_cannot_inject_markup(loaded):
    write_text(loaded.outputs("cohort-1") / "tables" / "outcomes.csv", 'Theme,n\n"<script>alert(1)</script> $x$ **b** | [a](http://b)",6\n')
    write_text(loaded.root / "study" / "evaluation.md", '---\ntitle: A\n---\n\n{{ table("outcomes", "c") }}\n')
    written = render.document(loaded, "evaluation", "cohort-1")
    html = next(w for w in written if w.suffix == ".html").read_text()
    body = html[html.index("<main"):]
    assert "<script" not in body and "<math" not in body and "<strong>b</strong>" not in body and 'href="http://b"' not in body
    assert "&lt;script&gt;" in body


def test_a_document_is_html_word_and_pdf_and_says_synthetic_everywhere(loaded):
    import zipfile

    write_text(loaded.root / "study" / "evaluation.md", '---\ntitle: A\n---\n\n# Results\n\n{{ r.change.role.pair_mean.signed }} [@kenny2006]\n')
    made = {w.suffix: w for w in render.document(loaded, "evaluation", "cohort-1")}
    assert made[".html"].read_text().count(render.MARK) == 2
    with zipfile.ZipFile(made[".docx"]) as archive:
        assert any(render.MARK in archive.read(n).decode("utf-8") for n in archive.namelist() if "header" in n)
        for name in archive.namelist():
            assert str(loaded.root).encode() not in archive.read(name) and str(render.PAPER).encode() not in archive.read(name), name
    assert made[".pdf"].read_bytes().startswith(b"%PDF")
    assert "Kenny" in made[".html"].read_text()


def test_an_unknown_citation_stops_the_build(loaded):
    write_text(loaded.root / "study" / "evaluation.md", "---\ntitle: A\n---\n\nSee [@nobody1900].\n")
    with pytest.raises(Refusal, match="nobody1900"):
        render.document(loaded, "evaluation", "cohort-1")


def test_two_renderings_have_the_same_bytes(loaded):
    write_text(loaded.root / "study" / "evaluation.md", "---\ntitle: A\n---\n\n# B\n\ntext\n")
    first, second = ([w.read_bytes() for w in render.document(loaded, "evaluation", "cohort-1")] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", ["paper", "evaluation"])
def test_no_digit_is_typed_in_results_or_abstract(project, name):
    """Outside of names, everything in Results and Abstract that is a number must be computed."""
    text = (project / "paper" / f"{name}.md").read_text(encoding="utf-8")
    bare = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\[@[^]]*\]", "", text, flags=re.DOTALL)
    sections = re.split(r"^# ", bare, flags=re.MULTILINE)
    checked = [s for s in sections if s.startswith(("Results", "Abstract", "In short", "Discussion"))]
    assert checked
    for section in checked:
        assert not re.search(r"\d", section), re.findall(r".*\d.*", section)
