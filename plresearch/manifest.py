"""What was run, on which bytes, with which versions: `outputs/manifest.json`.

    python -m plresearch.manifest
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from importlib import metadata
from pathlib import Path

from .frames import Refusal, write_text
from .study import Study, load

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("jupyterlab", "matplotlib", "nbval", "numpy", "pandas", "papermill", "pypandoc_binary", "scipy", "seaborn",
            "statsmodels", "typst")
NOT_OUTPUTS = ("manifest.json",)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal text."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _hashes(root: Path, patterns: tuple[str, ...], base: Path) -> dict[str, str]:
    files = {f for p in patterns for f in root.glob(p) if f.is_file() and not f.name.startswith(".")}
    kept = [f for f in files if ".failed." not in f.name and f.name not in NOT_OUTPUTS]
    return {f.relative_to(base).as_posix(): sha256(f) for f in sorted(kept)}


def manifest(study: Study) -> dict:
    """Hashes of every input, of the code and of every output, with versions and seed."""
    return {
        "title": study.title,
        "synthetic": study.synthetic,
        "release": study.release,
        "seed": study.seed,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "processor": platform.machine(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "code": _hashes(PROJECT, ("plresearch/*.py", "notebooks/*.ipynb", "paper/*", "requirements.lock"), PROJECT),
        "inputs": _hashes(study.root, ("study/**/*", "data_raw/**/*"), study.root),
        "outputs": _hashes(study.root, ("outputs/**/*",), study.root),
    }


def main() -> int:
    """Write the manifest; returns the exit status."""
    try:
        study = load()
        made = manifest(study)
    except Refusal as refusal:
        print(f"\nSTOPPED  {refusal}\n", file=sys.stderr)
        return 1
    path = write_text(study.root / "outputs" / "manifest.json", json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    print(f"  manifest     {len(made['inputs'])} inputs and {len(made['outputs'])} outputs in {path.relative_to(study.root)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
