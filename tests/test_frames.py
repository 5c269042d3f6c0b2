"""Shapes: conformity, types through CSV, whole files only."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plresearch import frames
from plresearch.frames import COUNTS, ESTIMATES, SCORES, SHAPES, Refusal


def test_only_estimates_and_counts_may_leave():
    assert {name for name, shape in SHAPES.items() if shape.may_leave} == {"estimates", "counts"}


def test_missing_and_unknown_columns_are_named_together():
    rows = pd.DataFrame({"cohort": ["a"], "n": [1], "of": [2], "colour": ["red"]})
    with pytest.raises(Refusal, match=r"2 columns missing \(analysis, category\).*1 unknown \(colour\)"):
        frames.conform(rows, COUNTS)


def test_a_number_that_is_none_is_refused_with_its_column():
    with pytest.raises(Refusal, match="column n of the counts table must hold integers"):
        frames.make([{"cohort": "a", "n": "many", "of": 2}], COUNTS)


text = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12)


@given(st.lists(st.fixed_dictionaries({
    "cohort": text, "outcome": text, "n": st.integers(0, 10**6),
    "estimate": st.floats(allow_nan=True, allow_infinity=True, width=32), "method": text}), max_size=6))
def test_csv_gives_back_text_integers_and_ten_digits(rows):
    import tempfile
    from pathlib import Path

    table = frames.make(rows, ESTIMATES)
    with tempfile.TemporaryDirectory() as folder:
        back = frames.from_csv(frames.store(table, Path(folder, "estimates.csv"), ESTIMATES), ESTIMATES)
    assert back[["cohort", "outcome", "method"]].equals(table[["cohort", "outcome", "method"]])
    assert back["n"].tolist() == table["n"].tolist()
    np.testing.assert_allclose(back["estimate"], table["estimate"], rtol=1e-9)


def test_the_word_none_and_na_stay_text(tmp_path):
    table = frames.make([{"cohort": "None", "person": "NA", "subscale": "null", "score": 3.0, "answered": 4, "items": 4}], SCORES)
    back = frames.from_csv(frames.store(table, tmp_path / "scores.csv", SCORES), SCORES)
    assert back.loc[0, ["cohort", "person", "subscale"]].tolist() == ["None", "NA", "null"]


def test_last_bits_do_not_reach_the_file():
    a, b = (frames.to_csv_text(frames.make([{"estimate": x}], ESTIMATES), ESTIMATES) for x in (0.1 + 0.2, 0.3))
    assert a == b


def test_stack_of_nothing_is_an_empty_table_of_the_shape():
    assert list(frames.stack([], SCORES).columns) == list(SCORES.columns)


def test_a_file_that_is_not_there_is_named_with_the_cure(tmp_path):
    with pytest.raises(Refusal, match="cohort-9/scores.csv is not there; run `make all`"):
        frames.from_csv(tmp_path / "cohort-9" / "scores.csv", SCORES)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = frames.write_text(tmp_path / "kept.csv", "old")
    monkeypatch.setattr(frames.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError):
        frames.write_text(path, "new")
    assert path.read_text() == "old"
