"""The layer table of the README, held true: who may import whom, and no circles."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "plresearch"
FLOORS = {  # a module imports only from lower floors, or from those listed before it on its own floor
    "mathematics": ["exact", "effects", "reliability", "agreement", "dyads", "missing", "pooling", "mixed", "robust", "clmm"],
    "ground": ["frames", "study"],
    "data": ["matching", "exports", "workbook", "spss", "read", "answers", "qda", "records", "flags", "rules", "intake",
             "clean", "pseudonyms", "withdrawal", "protocol", "score"],
    "statistics": ["change", "pairs", "items", "attrition", "delivery", "interviews", "combine", "models", "multiverse"],
    "release": ["labels", "disclose", "tables", "figures", "publish", "checklists", "render"],
    "aside": ["synthetic", "planning", "manifest", "run", "check", "dictionary", "proposal", "preview", "readiness", "scaffold", "forget"],
}
ORDER = [module for floor in FLOORS.values() for module in floor]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("plresearch"):
            found |= {node.module.partition(".")[2]} if "." in node.module else {alias.name for alias in node.names}
    return found


def test_every_module_has_a_floor():
    assert {p.stem for p in PACKAGE.glob("*.py")} - {"__init__"} <= set(ORDER)


def test_modules_import_only_what_stands_below_them():
    for path in PACKAGE.glob("*.py"):
        if path.stem == "__init__":
            continue
        above = {m for m in imports(path) if ORDER.index(m) >= ORDER.index(path.stem)}
        assert not above, f"{path.name} imports {above}, which stand above it"


def test_mathematics_knows_no_table_of_ours():
    for module in FLOORS["mathematics"]:
        assert imports(PACKAGE / f"{module}.py") <= set(FLOORS["mathematics"])


def test_only_frames_and_figures_write_files():
    writers = [p.stem for p in PACKAGE.glob("*.py") if "savefig(" in p.read_text(encoding="utf-8")]
    assert set(writers) <= {"figures"}
