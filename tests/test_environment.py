"""The locked environment: hashes, no addresses, conda and pip the same, the running python holds it."""

import re
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def lock(project):
    return (project / "requirements.lock").read_text(encoding="utf-8")


def test_every_package_is_pinned_with_hashes(lock):
    blocks = re.split(r"\n(?=[A-Za-z0-9])", lock.strip())
    assert len(blocks) > 100
    assert all(re.match(r"[A-Za-z0-9._-]+==", b) and "--hash=sha256:" in b for b in blocks)


def test_no_address_of_an_index_in_any_set_up_file(project, lock):
    for name in ("requirements.lock", "pyproject.toml", "environment.yml", "Makefile", "environment.py", ".ci/run"):
        text = (project / name).read_text(encoding="utf-8")
        assert "://" not in text and "index-url" not in text and "find-links" not in text, name


def test_the_lock_holds_every_declared_dependency(project, lock):
    import tomllib

    declared = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.match(r"[A-Za-z0-9._-]+", d)[0] for d in declared["dependencies"] + declared["optional-dependencies"]["test"]]
    locked = {re.match(r"[A-Za-z0-9._-]+", b)[0].lower().replace("_", "-") for b in lock.split("\n") if "==" in b}
    assert {n.lower().replace("_", "-") for n in names} <= locked


def test_conda_users_get_the_same_lock(project):
    text = (project / "environment.yml").read_text(encoding="utf-8")
    assert "-r requirements.lock" in text and "--require-hashes" in text
    pip_lines = text.split("- pip:")[1].strip().splitlines()
    assert [line.strip() for line in pip_lines] == ["- --require-hashes", "- -r requirements.lock"]


def test_the_running_python_holds_the_lock(project):
    assert subprocess.run([sys.executable, project / "environment.py", "--holds-lock"]).returncode == 0


def test_another_lock_is_not_held(project, tmp_path):
    (tmp_path / "environment.py").write_text((project / "environment.py").read_text())
    (tmp_path / "requirements.lock").write_text("numpy==0.0.1 \\\n    --hash=sha256:00\n")
    assert subprocess.run([sys.executable, tmp_path / "environment.py", "--holds-lock"]).returncode == 1


def test_an_old_python_is_told_so(project):
    text = (project / "environment.py").read_text()
    assert "plresearch needs Python 3.11 or newer" in text
