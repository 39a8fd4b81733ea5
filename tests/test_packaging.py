"""One place for versions, one name for each thing, and a package that holds all it needs."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import hbnlab

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def _ranges(lines: list[str]) -> dict[str, SpecifierSet]:
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): r.specifier for r in requirements}


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# ---------------------------------------------------------------------- versions


def test_each_requirement_stands_once():
    extras = [line for name, lines in EXTRAS.items() if name != "all" for line in lines]
    lines = [*PROJECT["dependencies"], *extras]
    assert len(_ranges(lines)) == len(lines)


def test_all_means_all_extras():
    (requirement,) = (Requirement(line) for line in EXTRAS["all"])
    assert requirement.name == "hbnlab"
    assert requirement.extras == EXTRAS.keys() - {"all"}


def test_torch_and_torchvision_are_installed_in_one_step():
    assert {"torch", "torchvision"} <= _ranges(PROJECT["dependencies"]).keys()


def test_the_conda_environment_asks_for_what_pyproject_asks_for():
    lines = re.findall(
        r"^  - ([a-z][a-z0-9.-]*[<>=][^ ]*)$", _read("environment.yml"), re.MULTILINE
    )
    environment = _ranges(lines)
    wanted = _ranges([*PROJECT["dependencies"], *EXTRAS["notebooks"], *EXTRAS["test"]])
    python = environment.pop("python")
    assert environment == {CONDA_NAMES.get(name, name): wanted[name] for name in wanted}
    assert python & SpecifierSet(PROJECT["requires-python"]) == python
    assert "- -e .[notebooks,test]" in _read("environment.yml")


def test_every_requirement_has_one_tested_version_inside_its_range():
    lines = [line for line in _read("constraints.txt").splitlines() if not line.startswith("#")]
    pins = {}
    for line in lines:
        name, pinned = re.fullmatch(r"([A-Za-z0-9_.-]+)==([0-9.]+)", line).groups()
        assert canonicalize_name(name) not in pins
        pins[canonicalize_name(name)] = Version(pinned)
    wanted = _ranges([*PROJECT["dependencies"], *EXTRAS["notebooks"], *EXTRAS["test"]])
    wanted |= _ranges([*EXTRAS["book"], *EXTRAS["dev"]])
    for name, specifier in wanted.items():
        assert name in pins, f"constraints.txt has no {name}"
        assert pins[name] in specifier


def test_the_version_is_the_same_wherever_it_stands():
    assert hbnlab.__version__ == version("hbnlab") == PROJECT["version"]
    newest = re.search(r"^## ([0-9.]+)", _read("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == PROJECT["version"]


# ---------------------------------------------------------------------- the package


def test_the_command_is_there():
    (command,) = entry_points(group="console_scripts", name="hbnlab")
    assert callable(command.load())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """Names of the files in a wheel built as pip builds it, without the network."""
    pytest.importorskip("setuptools", minversion="77", reason="the wheel is built with setuptools")
    source = tmp_path_factory.mktemp("source")
    for name in (
        _package_files() | _lessons() | {"pyproject.toml", "setup.py", "README.md", "LICENSE"}
    ):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    built = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"),
            *("--no-index", "--quiet", "--wheel-dir", str(source), str(source)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (path,) = source.glob("*.whl")
    return set(zipfile.ZipFile(path).namelist())


def _package_files() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "hbnlab").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _lessons() -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_the_wheel_holds_every_file_of_the_package_the_lessons_and_nothing_else(wheel):
    packed = {name for name in wheel if ".dist-info/" not in name}
    assert packed == _package_files() | {f"hbnlab/{name}" for name in _lessons()}


def test_the_wheel_holds_the_licence(wheel):
    assert f"hbnlab-{PROJECT['version']}.dist-info/licenses/LICENSE" in wheel
