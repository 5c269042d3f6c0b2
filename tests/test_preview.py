"""What a researcher sees of one file before it counts: outcome, columns, reasons, cure; never a traceback."""

import io
import os
import pty
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plresearch import preview


def run(project, *words, **variables):
    return subprocess.run([sys.executable, "-m", "plresearch.preview", *map(str, words)], cwd=project, capture_output=True, text=True,
                          env=os.environ | variables)


def shown(capsys, *words):
    """(exit status, what was printed) of the command in this process."""
    status = preview.main([str(w) for w in words])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.fixture
def answers(project, tmp_path):
    """A copy of an export that no cohort declares."""
    path = tmp_path / "my pre export.csv"
    path.write_bytes((project / "data_raw" / "cohort-2" / "pre_qualtrics.csv").read_bytes())
    return path


def test_a_file_of_the_study_is_read_as_its_cohort_declares(project):
    done = run(project, "data_raw/cohort-1/pre.csv")
    assert done.returncode == 1 and done.stderr == "" and "\x1b" not in done.stdout
    for words in ("pre.csv: QUARANTINE", "csv, utf-8", "15 = 12 used + 2 set aside + 1 exact duplicates",
                  "declared in study/cohorts/cohort-1.toml", "row 4: unknown person: the id 'SYN-D77'", "nearest roster entries: SYN-D06",
                  "prep_1       1. I feel ready", "free text, read by the programme lead only", "SYN-M02: prep_1 5", "_corrections.csv"):
        assert words in done.stdout, words


def test_any_other_file_is_guessed_and_the_guess_is_explained(answers, capsys):
    status, out, _ = shown(capsys, answers)
    assert status == 1
    for words in ("qualtrics, utf-8", "wave      pre (sure: 16 of its 16 items and the file name)", "identifies the person; never an answer",
                  "consent      consent  (a question of consent", "comment  (nobody knows it"):
        assert words in out, words


def test_exit_status_tells_the_outcome(project, answers, tmp_path, capsys):
    assert shown(capsys, project / "data_raw" / "cohort-3" / "pre_forms.xlsx")[0] == 0
    assert shown(capsys, tmp_path / "absent.csv")[0] == 2
    assert shown(capsys, tmp_path)[0] == 2
    status, out, _ = shown(capsys, answers, "--wave", "post")
    assert status == 2 and "4 of 20 items asked at 'post' have no column" in out and "run_1        no column" in out
    status, out, _ = shown(capsys, answers, "--wave", "during")
    assert status == 2 and "its waves are pre, post" in out


def test_a_study_at_fault_is_told_not_thrown(study_folder, answers, monkeypatch, capsys):
    (study_folder / "study" / "study.toml").write_text("title = ")
    monkeypatch.setenv("PLRESEARCH_STUDY", str(study_folder))
    status, _, error = shown(capsys, answers)
    assert status == 2 and "cannot be read as TOML" in error


def test_tables_of_the_programme_are_named_as_such(project, capsys):
    for name, word in (("roster", "its people"), ("events", "events"), ("interviews", "coded interviews")):
        status, out, _ = shown(capsys, project / "data_raw" / "cohort-1" / f"{name}.csv")
        assert status == 0 and word in out and f'{name} = "{name}.csv"' in out


def test_bare_numbers_are_refused_until_their_direction_is_given(project, tmp_path, capsys):
    text = (project / "data_raw" / "cohort-2" / "pre_qualtrics.csv").read_text(encoding="utf-8-sig")
    for code, label in ((1, "Strongly disagree"), (3, "Neither agree nor disagree"), (3, "Neutral"), (2, "Disagree"),
                        (5, "Strongly agree"), (5, "Strongly Agree"), (4, "Agree")):
        text = text.replace(f",{label}", f",{code}")
    path = tmp_path / "pre.csv"
    path.write_text(text, encoding="utf-8")
    status, out, _ = shown(capsys, path)
    assert status == 2 and "nothing says which end of the scale 1 is" in " ".join(out.split())
    status, out, _ = shown(capsys, path, "--codes", "as-instrument")
    turned = shown(capsys, path, "--codes", "reversed")
    assert status == 1 and turned[0] == 1
    assert "SYN-D11: prep_1 3, prep_2 2" in out or "synd11: prep_1 3, prep_2 2" in out, out
    assert "prep_1 3, prep_2 4" in turned[1]


def test_what_stands_in_a_file_cannot_command_the_terminal(tmp_path, answers, capsys):
    bad = answers.read_text(encoding="utf-8-sig").replace("SYN-D11", "\x1b]0;owned\x07\x1b[31mSYN-D11")
    path = tmp_path / "evil.csv"
    path.write_text(bad, encoding="utf-8")
    _, out, _ = shown(capsys, path)
    assert "\x1b" not in out and "\x07" not in out


def in_terminal(project, variables):
    """What the command writes when its output is a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "plresearch.preview", "data_raw/cohort-1/pre.csv"], cwd=project, stdout=theirs,
                               stderr=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm", **variables})
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        written += part
    os.close(ours)
    process.wait()
    return written.decode("utf-8")


def test_colour_in_a_terminal_and_none_where_it_is_not_wanted(project):
    coloured = in_terminal(project, {"NO_COLOR": ""})
    assert "\x1b[33mQUARANTINE\x1b[0m" in coloured
    plain = in_terminal(project, {"NO_COLOR": "1"})
    assert "\x1b" not in plain and "QUARANTINE" in plain
    assert not preview.in_colour(io.StringIO())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_never_a_traceback_whatever_the_bytes(project, tmp_path, capsys, data):
    good = (project / "data_raw" / "cohort-1" / "pre.csv").read_bytes()
    at = data.draw(st.integers(0, len(good)))
    cut = data.draw(st.integers(0, 300))
    content = data.draw(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "ignore")),
                                  st.binary(max_size=12).map(lambda b: good[:at] + b + good[at + cut:])))
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    status, out, error = shown(capsys, path)
    assert status in (0, 1, 2) and "Traceback" not in out + error and "fault of the program" not in out + error
