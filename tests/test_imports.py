"""Who may import whom, what an import costs, names of modules and lengths of functions."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("IPython", "ipywidgets", "matplotlib", "pandas", "sklearn", "torchvision")
# These load matplotlib.
DRAWING = ("hbnlab.data.glyphs", "hbnlab.plots", "hbnlab.report.figures", "hbnlab.widgets")
SOURCES = sorted((ROOT / "hbnlab").rglob("*.py"))


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = [_module_name(path) for path in SOURCES]
LIGHT = [name for name in MODULES if not name.startswith(DRAWING)]


# ---------------------------------------------------------------------- what an import loads


@pytest.fixture(scope="module")
def loaded_by() -> dict[str, list[str]]:
    """For each light module, imported one after the other: the heavy packages that it brought."""
    code = (
        "import importlib, json, sys\n"
        "heavy, names = json.loads(sys.argv[1])\n"
        "brought, seen = {}, set()\n"
        "for name in names:\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except Exception as error:\n"
        "        brought[name] = [repr(error)]\n"
        "        continue\n"
        "    now = {package for package in heavy if package in sys.modules}\n"
        "    brought[name], seen = sorted(now - seen), now\n"
        "print(json.dumps(brought))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, json.dumps([HEAVY, LIGHT])],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(finished.stdout)


def test_importing_hbnlab_does_no_work():
    code = "import sys, hbnlab; print(sorted(set(sys.modules) & set(sys.argv[1].split())))"
    names = " ".join(("torch", "numpy", *HEAVY))
    finished = subprocess.run(
        [sys.executable, "-c", code, names], capture_output=True, text=True, check=True
    )
    assert finished.stdout.strip() == "[]"


@pytest.mark.parametrize("name", LIGHT)
def test_importing_a_light_module_loads_nothing_heavy(loaded_by, name):
    assert loaded_by[name] == []


# ---------------------------------------------------------------------- the import contracts

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LAYERS = PYPROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
TOP_LEVEL = re.findall(r"\w+", " ".join(LAYERS))


@pytest.fixture(scope="module")
def empty_package(tmp_path_factory) -> Path:
    """All modules of the design, without content, under the contracts of this repository."""
    folder = tmp_path_factory.mktemp("contracts")
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "hbnlab" / "data").mkdir(parents=True)
    for name in ("__init__", "data/__init__", "data/glyphs", *TOP_LEVEL):
        if name != "data":
            (folder / "hbnlab" / f"{name}.py").touch()
    return folder


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def _lint_with(folder: Path, module: str, line: str) -> subprocess.CompletedProcess[str]:
    path = folder / "hbnlab" / f"{module}.py"
    path.write_text(line + "\n")
    try:
        return _lint(folder)
    finally:
        path.write_text("")


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("records", "import hbnlab.training"),  # the two sides
        ("plots", "import hbnlab.models"),
        ("costs", "import hbnlab.metrics"),
        ("training", "import hbnlab.records"),
        ("records", "import hbnlab.policies"),  # against the direction of a side
        ("data/__init__", "import hbnlab.losses"),
        ("metrics", "import hbnlab.collect"),  # bridges
        ("collect", "import hbnlab.run_folder"),
        ("run_folder", "import hbnlab.report"),
        ("hierarchy", "import hbnlab.storage"),  # the base
        ("entropy", "import numpy"),
        ("metrics", "import matplotlib.pyplot"),  # what only some may use
        ("data/__init__", "from matplotlib import font_manager"),
        ("plots", "from IPython import display"),
        ("report", "from ipywidgets import IntSlider"),
        ("report", "import argparse"),
    ],
)
def test_an_import_against_the_design_is_refused(empty_package, module, line):
    pytest.importorskip("importlinter", reason="the contracts are read by import-linter")
    refused = _lint_with(empty_package, module, line)
    assert "1 broken" in refused.stdout or "2 broken" in refused.stdout, refused.stdout
    assert refused.returncode == 1


def test_a_module_that_no_contract_names_is_refused(empty_package):
    pytest.importorskip("importlinter", reason="the contracts are read by import-linter")
    stranger = empty_package / "hbnlab" / "utils.py"
    stranger.touch()
    refused = _lint(empty_package)
    stranger.unlink()
    assert refused.returncode == 1
    assert "utils" in refused.stdout


def test_the_imports_of_the_design_are_allowed(empty_package):
    pytest.importorskip("importlinter", reason="the contracts are read by import-linter")
    allowed = {
        "cli": "import argparse, hbnlab.bench, hbnlab.report, hbnlab.run_folder, hbnlab.widgets",
        "run_folder": "import hbnlab.collect, hbnlab.inference, hbnlab.metrics, hbnlab.training",
        "report": "import hbnlab.inference, hbnlab.collect, hbnlab.plots, hbnlab.training",
        "collect": "import hbnlab.costs, hbnlab.models, hbnlab.records",
        "training": "import hbnlab.data, hbnlab.losses, hbnlab.progress",
        "widgets": "import ipywidgets, matplotlib.pyplot, hbnlab.plots, hbnlab.policies",
        "plots": "import matplotlib.pyplot, hbnlab.metrics, hbnlab.history",
        "data/glyphs": "import matplotlib.font_manager, hbnlab.trees",
        "models": "import torch, hbnlab.hierarchy, hbnlab.storage",
    }
    for module, line in allowed.items():
        (empty_package / "hbnlab" / f"{module}.py").write_text(line + "\n")
    kept = _lint(empty_package)
    for module in allowed:
        (empty_package / "hbnlab" / f"{module}.py").write_text("")
    assert kept.returncode == 0, kept.stdout


# ---------------------------------------------------------------------- the code itself


def _functions() -> Iterator[tuple[str, int]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                yield name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_function_is_over_60_lines():
    assert {name: lines for name, lines in _functions() if lines > 60} == {}


def test_no_two_modules_have_the_same_name():
    names = [name.rpartition(".")[2] for name in MODULES if not name.endswith("__main__")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


POLICY_CLASSES = {
    node.name
    for path in (ROOT / "hbnlab" / "policies").glob("*.py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef)
} - {"Policy", "ExitView"}


def _type_checks_of_policies(tree: ast.AST) -> list[int]:
    """Lines that ask for the type of a policy: by naming a class, or by naming a policy."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        asked = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        asked += [n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)]
        of_policy = any("policy" in name or name in POLICY_CLASSES for name in asked)
        names_class = any(name in POLICY_CLASSES for name in asked)
        if (node.func.id in ("isinstance", "issubclass") and names_class) or (
            node.func.id == "type" and len(node.args) == 1 and of_policy
        ):
            found.append(node.lineno)
    return found


def test_no_module_outside_policies_branches_on_the_type_of_a_policy():
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in SOURCES
        if path.parent.name != "policies"
        and (lines := _type_checks_of_policies(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("code", "is_one"),
    [
        ("isinstance(rule, FineTolerance)", True),
        ("issubclass(kind, policies.ThresholdPolicy | int)", True),
        ("type(self._policy).__name__", True),
        ("isinstance(policy, Policy)", False),
        ("isinstance(value, float)", False),
        ("FineTolerance([0.5], 0.1)", False),
    ],
)
def test_a_branch_on_the_type_of_a_policy_is_seen(code, is_one):
    assert bool(_type_checks_of_policies(ast.parse(code))) == is_one


def test_only_the_command_line_prints():
    prints = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if not _module_name(path).startswith("hbnlab.cli")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert prints == []


def test_annotations_stay_objects_that_the_checker_can_read():
    postponed = [
        path.name
        for path in SOURCES
        if "from __future__ import annotations" in path.read_text(encoding="utf-8")
    ]
    assert postponed == []
