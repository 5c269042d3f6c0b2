"""Make the locked environment in .venv, or tell whether the running python already holds it.

Standard library only: this is what runs before anything is installed.

    python3 environment.py --holds-lock   exit 0 when this python has every locked package
    python3 environment.py                make or renew .venv from requirements.lock
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "requirements.lock"
VENV = ROOT / ".venv"
STAMP = VENV / ".locked"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)\s*(?:;\s*(.*?))?\s*\\?$")
OLDEST = (3, 11)


def pins() -> list[tuple[str, str, str]]:
    """(name, version, marker) of every locked package."""
    found = (PIN.match(line) for line in LOCK.read_text(encoding="utf-8").splitlines())
    return [(m[1], m[2], m[3] or "") for m in found if m]


def holds_lock() -> bool:
    """Whether the running python has every locked package whose marker applies to it."""
    from importlib import metadata

    try:
        from packaging.markers import Marker
    except ImportError:
        return False
    for name, version, marker in pins():
        if marker and not Marker(marker).evaluate():
            continue
        try:
            if metadata.version(name) != version:
                return False
        except metadata.PackageNotFoundError:
            return False
    return True


def lock_digest() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def uv_requirement() -> str:
    """The lock's own lines for uv, so that the installer is pinned by hash too."""
    text = LOCK.read_text(encoding="utf-8")
    block = re.search(r"^uv==[^\n]*\n(?:    --hash[^\n]*\n?)+", text, re.MULTILINE)
    return block[0] if block else ""


def install(python: Path) -> None:
    """Install the lock with its hashes: by uv where it can be had, else by pip."""
    request = VENV / "uv.txt"
    request.write_text(uv_requirement(), encoding="utf-8")
    quiet = ["--quiet", "--disable-pip-version-check", "--require-hashes"]
    first = subprocess.run([python, "-m", "pip", "install", *quiet, "-r", request], capture_output=True, text=True)
    if first.returncode == 0:
        print("  installing the locked packages (about half a minute)", flush=True)
        done = subprocess.run(
            [python, "-m", "uv", "pip", "install", "--quiet", "--python", python, "--compile-bytecode",
             "--require-hashes", "-r", LOCK], capture_output=True, text=True,
            env=os.environ | {"UV_SYSTEM_CERTS": "1"},  # networks of hospitals have certificates of their own
        )
        if done.returncode == 0:
            return
        print("  uv could not install them; trying pip\n" + done.stderr.strip()[-400:], flush=True)
    print("  installing the locked packages with pip (a few minutes)", flush=True)
    subprocess.run([python, "-m", "pip", "install", *quiet, "-r", LOCK], check=True)


def make_venv() -> None:
    digest = lock_digest()
    if STAMP.is_file() and STAMP.read_text(encoding="utf-8") == digest:
        STAMP.touch()
        return
    print(f"Environment: making .venv from requirements.lock with Python {sys.version.split()[0]}", flush=True)
    if VENV.exists():
        shutil.rmtree(VENV)
    venv.create(VENV, with_pip=True)
    python = python_of(VENV)
    install(python)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True, capture_output=True, text=True
    ).stdout.strip()
    Path(site, "plresearch.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    STAMP.write_text(digest, encoding="utf-8")
    print("  the environment is ready in .venv", flush=True)


def main() -> int:
    if sys.version_info < OLDEST:
        print(f"plresearch needs Python 3.11 or newer; this is {sys.version.split()[0]}. Install a newer python3 and try again.")
        return 1
    if sys.argv[1:] == ["--holds-lock"]:
        return 0 if holds_lock() else 1
    try:
        make_venv()
    except subprocess.CalledProcessError as error:
        print(f"The environment could not be made: {error.cmd[0]} stopped with code {error.returncode}.\n"
              "Check the network connection and the free disk (about 1 GB), then try again.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
