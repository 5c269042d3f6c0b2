"""Keyed tokens: the same person the same token, another key another token, no raw id in any processed file."""

import csv
import hmac
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plresearch import pseudonyms, study, withdrawal
from plresearch.clean import clean_cohort
from plresearch.frames import Refusal
from plresearch.matching import person_key

KEY = "0123456789abcdef" * 4
IDS = re.compile(r"(?i)syn.?[dm]0*\d")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's configuration folder without a key."""
    monkeypatch.delenv("PLRESEARCH_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def keyed(study_folder):
    """The shipped study with keyed identifiers, as if its answers were real."""
    top = study_folder / "study" / "study.toml"
    top.write_text(top.read_text().replace('identifiers = "pseudonymous"', 'identifiers = "keyed"')
                   .replace("synthetic = true", "synthetic = false"))
    return study_folder


def command(project, folder, *words, **variables):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PLRESEARCH")}
    return subprocess.run([sys.executable, "-m", *words], cwd=project, capture_output=True, text=True,
                          env=kept | {"PLRESEARCH_STUDY": str(folder)} | variables)


def every_text(result):
    frames = [result.responses, result.audit, result.quarantine, result.events, result.codings, result.interviews, result.flags,
              *(frame for frame, _ in result.kept_records.values())]
    frames += [] if result.roster is None else [result.roster]
    return "\n".join(f.to_csv() for f in frames) + "\n".join(result.warnings)


# ------------------------------------------------------------------------------------------ tokens

def test_a_token_is_hmac_sha256_of_domain_and_normalised_id():
    expected = hmac.new(b"k", b"plresearch\x1fd\x1fpl7", "sha256").hexdigest()[:16]
    assert pseudonyms.token("PL-007", secret=b"k", domain="d") == "p" + expected
    assert pseudonyms.token("", secret=b"k", domain="d") == ""


@given(st.text("ABC0123456789-", min_size=1, max_size=8), st.text("ABC0123456789-", min_size=1, max_size=8))
def test_two_ids_share_a_token_exactly_when_they_are_the_same_person(one, two):
    tokens = [pseudonyms.token(i, secret=b"k" * 32, domain="d") for i in (one, two)]
    same = (person_key(one) or one) == (person_key(two) or two)
    assert (tokens[0] == tokens[1]) == same


def test_another_key_study_or_cohort_gives_another_token(monkeypatch):
    s = replace(study.load(), identifiers="keyed")
    monkeypatch.setenv("PLRESEARCH_KEY", KEY)
    tokens = {pseudonyms.marker(x, c)("SYN-D01") for x, c in ((s, "cohort-1"), (s, "cohort-2"), (replace(s, title="Another"), "cohort-1"))}
    monkeypatch.setenv("PLRESEARCH_KEY", KEY[::-1])
    assert len(tokens | {pseudonyms.marker(s, "cohort-1")("SYN-D01")}) == 4


def test_pseudonymous_identifiers_pass_unchanged():
    s = study.load()
    result = clean_cohort(s, "cohort-1")
    assert pseudonyms.apply(result, s, "cohort-1") is result


# ------------------------------------------------------------------------------------------ whole cohorts

@pytest.mark.parametrize("cohort", ["cohort-1", "cohort-2", "cohort-3"])
def test_no_id_is_left_and_nothing_else_changes(cohort):
    s = replace(study.load(), identifiers="keyed")
    raw = clean_cohort(s, cohort)
    result = pseudonyms.apply(raw, s, cohort)
    assert not IDS.search(every_text(result)), IDS.search(every_text(result))
    assert IDS.search(every_text(raw))
    mark = pseudonyms.marker(s, cohort)
    assert list(result.responses["person"]) == [mark(p) for p in raw.responses["person"]]
    assert list(result.roster["person"]) == [mark(p) for p in raw.roster["person"]]
    for table in ("responses", "events"):
        others = [c for c in getattr(raw, table).columns if c != "person"]
        pd.testing.assert_frame_equal(getattr(raw, table)[others], getattr(result, table)[others])
    pd.testing.assert_frame_equal(raw.flow, result.flow)
    answers = raw.audit["rule"].isin(["label", "spelling", "alias", "code", "missing_word"])
    pd.testing.assert_frame_equal(raw.audit[answers], result.audit[answers])
    assert list(raw.quarantine["reason"].str.partition(":")[0]) == list(result.quarantine["reason"].str.partition(":")[0])
    assert result.sources == {}


def test_a_suggestion_names_the_token_of_the_person_it_means():
    s = replace(study.load(), identifiers="keyed")
    result = pseudonyms.apply(clean_cohort(s, "cohort-1"), s, "cohort-1")
    row = result.quarantine[result.quarantine["reason"].str.startswith("unknown person")].iloc[0]
    assert set(row["suggestion"].removeprefix("nearest roster entries: ").split(", ")) <= set(result.roster["person"])
    assert pseudonyms.marker(s, "cohort-1")("SYN-D77") in row["reason"]


def rename(folder, names):
    """Give the people of cohort-1 other ids in every raw file."""
    for path in [*(folder / "data_raw" / "cohort-1").iterdir(), folder / "study" / "cohorts" / "cohort-1_corrections.csv"]:
        text = path.read_text(encoding="utf-8-sig")
        text = re.sub(r"(?i)(?<![\w])syn[- _]?([dm])0*(\d+)", lambda m: names(m[1].upper(), int(m[2])), text)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("what", "names"), [
    ("names", lambda side, n: f"{'Doctor' if side == 'D' else 'Manager'} Surname{'abcdefghij'[n % 10]}{'x' * (n // 10)}"),
    ("numbers", lambda side, n: str(n if side == "D" else n + 40)),
    ("addresses", lambda side, n: f"{side.lower()}{n}@hospital.example"),
])
def test_whatever_people_are_called(keyed, monkeypatch, what, names):
    monkeypatch.setenv("PLRESEARCH_KEY", KEY)
    rename(keyed, names)
    with (keyed / "data_raw" / "cohort-1" / "roster.csv").open(encoding="utf-8", newline="") as handle:
        roster = list(csv.DictReader(handle))
    ids = {r["person"] for r in roster}
    assert len(ids) == 12
    s = study.load(keyed)
    result = pseudonyms.apply(withdrawal.clean_present(s, "cohort-1"), s, "cohort-1")
    text = every_text(result)
    if what != "numbers":
        assert not [i for i in ids if i.casefold() in text.casefold()]
        assert "surname" not in text.casefold() and "hospital" not in text
    else:
        assert set(result.responses["person"]).isdisjoint(ids) and set(result.roster["person"]).isdisjoint(ids)
        unknown = result.quarantine[result.quarantine["reason"].str.startswith("unknown person")]
        assert len(unknown) and not any(re.search(r"'\d+'", r.split(" in column")[0]) for r in unknown["reason"])
    assert set(result.audit.loc[result.audit["rule"] == "label", "new"]) <= {"1", "2", "3", "4", "5"}


def test_labels_of_pairs_and_interviews_that_contain_an_id(keyed, monkeypatch):
    monkeypatch.setenv("PLRESEARCH_KEY", KEY)
    raw = keyed / "data_raw" / "cohort-1"
    for name in ("roster.csv", "events.csv"):
        (raw / name).write_text((raw / name).read_text().replace("P01", "SYN-D01/SYN-M01"))
    (raw / "interviews.csv").write_text((raw / "interviews.csv").read_text().replace("I01", "Talk with SYN-D01"))
    s = study.load(keyed)
    result = pseudonyms.apply(clean_cohort(s, "cohort-1"), s, "cohort-1")
    assert not IDS.search(every_text(result))
    pair = result.roster.loc[result.roster["person"] == pseudonyms.marker(s, "cohort-1")("SYN-D01"), "pair"].iloc[0]
    assert pair.startswith("p") and (result.events["pair"] == pair).any() and (result.responses["pair"] == pair).any()
    assert set(result.codings["interview"]) == set(result.interviews["interview"])


# ------------------------------------------------------------------------------------------ the pipeline

def test_real_answers_without_a_key_are_refused_before_anything_is_read(keyed, home):
    s = study.load(keyed)
    shutil.rmtree(keyed / "data_raw")
    with pytest.raises(Refusal, match="there is no key"):
        withdrawal.clean_present(s, "cohort-1")


@pytest.mark.slow
def test_no_file_of_data_processed_holds_an_id(project, keyed, home):
    refused = command(project, keyed, "plresearch.run", "01_clean", "cohort-2", XDG_CONFIG_HOME=str(home))
    assert refused.returncode == 1 and "there is no key" in refused.stderr and "new-key" in refused.stderr
    assert not list(keyed.glob("data_processed/**/*.csv"))
    done = command(project, keyed, "plresearch.run", "01_clean", "cohort-2", PLRESEARCH_KEY=KEY, XDG_CONFIG_HOME=str(home))
    assert done.returncode == 0, done.stderr
    written = [p for p in (*keyed.glob("data_processed/**/*"), *keyed.glob("outputs/**/*")) if p.is_file() and p.suffix != ".png"]
    assert len([p for p in written if p.suffix == ".csv"]) > 6
    for path in written:
        assert not IDS.search(path.read_text(encoding="utf-8")), path
    people = pd.read_csv(keyed / "data_processed" / "cohort-2" / "people.csv", dtype=str)
    answers = pd.read_csv(keyed / "data_processed" / "cohort-2" / "responses.csv", dtype=str)
    assert set(answers["person"]) <= set(people["person"]) and people["person"].str.fullmatch("p[0-9a-f]{16}").all()


@pytest.mark.slow
def test_a_keyed_study_gives_the_same_published_numbers(project, study_folder, tmp_path):
    top = study_folder / "study" / "study.toml"
    numbers = {}
    for identifiers in ("pseudonymous", "keyed"):
        top.write_text(re.sub(r'identifiers = "\w+"', f'identifiers = "{identifiers}"', top.read_text()))
        for name in ("01_clean", "02_score", "03_change"):
            done = command(project, study_folder, "plresearch.run", name, "cohort-1", PLRESEARCH_KEY=KEY)
            assert done.returncode == 0, done.stderr
        numbers[identifiers] = pd.read_csv(study_folder / "outputs" / "cohort-1" / "estimates" / "02_score.csv")
        shutil.rmtree(study_folder / "outputs")
    pd.testing.assert_frame_equal(numbers["pseudonymous"], numbers["keyed"])


# ------------------------------------------------------------------------------------------ the key

def test_new_key_is_made_once_for_its_owner_alone(project, home, capsys):
    done = command(project, project, "plresearch.pseudonyms", "new-key", XDG_CONFIG_HOME=str(home))
    path = home / "plresearch" / "key"
    assert done.returncode == 0 and str(path) in done.stdout and path.read_text().strip() not in done.stdout
    assert path.stat().st_mode & 0o777 == 0o600 and re.fullmatch(r"[0-9a-f]{64}\n", path.read_text())
    before = path.read_bytes()
    assert pseudonyms.main(["new-key"]) == 1 and path.read_bytes() == before
    assert "keep it" in capsys.readouterr().err
    assert pseudonyms.main([]) == 2


def real_keyed(root=None):
    return replace(study.load(root), identifiers="keyed", synthetic=False)


def test_where_the_key_comes_from(home, monkeypatch):
    with pytest.raises(Refusal, match="there is no key"):
        pseudonyms.key(real_keyed())
    assert pseudonyms.key(replace(real_keyed(), synthetic=True))
    path = home / "plresearch" / "key"
    path.parent.mkdir(parents=True)
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    assert pseudonyms.key(real_keyed()) == KEY.encode()
    monkeypatch.setenv("PLRESEARCH_KEY", KEY[::-1])
    assert pseudonyms.key(real_keyed()) == KEY[::-1].encode()


@pytest.mark.parametrize("short", ["k", "secret", "x" * 31])
def test_a_short_key_is_refused(home, monkeypatch, short):
    monkeypatch.setenv("PLRESEARCH_KEY", short)
    with pytest.raises(Refusal, match="at least 32"):
        pseudonyms.key(real_keyed())


def test_a_key_that_others_can_read_is_refused(home):
    path = home / "plresearch" / "key"
    path.parent.mkdir(parents=True)
    path.write_text(KEY)
    path.chmod(0o640)
    with pytest.raises(Refusal, match="chmod 600"):
        pseudonyms.key(real_keyed())


def test_a_key_beside_the_data_is_refused_even_through_a_link(study_folder, home, monkeypatch, tmp_path_factory):
    inside = study_folder / "settings"
    (inside / "plresearch").mkdir(parents=True)
    (inside / "plresearch" / "key").write_text(KEY)
    (inside / "plresearch" / "key").chmod(0o600)
    outside = tmp_path_factory.mktemp("elsewhere")
    (outside / "config").symlink_to(inside)
    for place in (inside, outside / "config"):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(place))
        with pytest.raises(Refusal, match="beside the data it protects"):
            pseudonyms.key(real_keyed(study_folder))
        with pytest.raises(Refusal, match="beside the data it protects"):
            pseudonyms.new_key(study_folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(pseudonyms.PROJECT / "study"))
    with pytest.raises(Refusal, match="beside the data it protects"):
        pseudonyms.new_key(study_folder)
