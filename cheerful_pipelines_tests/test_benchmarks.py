"""What benchmarks, drills and scripts import is there, within functions, too: nobody runs them with each change."""

import ast
import importlib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path for folder in ("benchmarks", "infra") for path in (REPOSITORY / folder).glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_import_of_ours_is_there(path: Path) -> None:
    missing = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cheerful_pipelines"):
            module = importlib.import_module(str(node.module))
            for name in node.names:
                if not hasattr(module, name.name):
                    try:
                        importlib.import_module(f"{node.module}.{name.name}")
                    except ModuleNotFoundError:
                        missing.append(f"{node.module}.{name.name}, line {node.lineno}")
    assert missing == []
