"""What all tests share: threads, the project's folder, and a small study to run whole."""

import os
import shutil
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest  # noqa: E402  (threads are read when numpy is first imported)
from hypothesis import settings  # noqa: E402

settings.register_profile("repeatable", derandomize=True)  # a failure seen once is seen by everybody
settings.load_profile("repeatable")

PROJECT = Path(__file__).resolve().parent.parent
REAL = PROJECT.parent / "shared" / "real"


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root."""
    return PROJECT


@pytest.fixture
def study_folder(tmp_path) -> Path:
    """A copy of the shipped study that a test may spoil: configuration and raw data, nothing made."""
    for name in ("study", "data_raw"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    return tmp_path


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real data beside the project; tests that need it skip where it is absent."""
    if not REAL.is_dir():
        pytest.skip("the folder of real data (../shared/real) is not beside the project")
    return REAL
