"""``hbnlab lab`` hands the lessons out, keeps what a person has changed, and opens JupyterLab."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from hbnlab.cli import lessons, main

ROOT = Path(__file__).parents[1]
NAMES = ("00_first.ipynb", "01_second.ipynb")


@pytest.fixture
def opened(monkeypatch) -> list[list[str]]:
    """The commands that would have been started, and none is."""
    commands: list[list[str]] = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(subprocess, "Popen", lambda command: commands.append(command) or Server(0))
    return commands


class Server:
    """A JupyterLab that has been started, is interrupted so many times, and ends with a code."""

    def __init__(self, code: int, interrupts: int = 0) -> None:
        self.code, self.interrupts = code, interrupts

    def wait(self) -> int:
        self.interrupts -= 1
        if self.interrupts >= 0:
            raise KeyboardInterrupt
        return self.code


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """A package that was installed from a wheel, with two lessons, and an empty folder to be in."""
    package = tmp_path / "site-packages" / "hbnlab"
    (package / "notebooks").mkdir(parents=True)
    for name in NAMES:
        (package / "notebooks" / name).write_text(f"the lesson {name}")
    (package / "notebooks" / "note.txt").write_text("no lesson")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(lessons, "PACKAGE", package)
    return package


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_lessons_of_an_installed_package_are_copied_and_opened(installed, opened, capsys):
    assert main(["lab", "mine/lessons"]) == 0
    assert _texts(Path("mine/lessons")) == {name: f"the lesson {name}" for name in NAMES}
    assert opened[0][:4] == [sys.executable, "-m", "jupyterlab", str(Path("mine/lessons"))]
    assert "lessons copied to mine/lessons: 2" in capsys.readouterr().out.replace("\\", "/")


def test_without_a_folder_an_installed_package_makes_one_here(installed, opened):
    assert main(["lab"]) == 0
    assert opened[0][3] == "hbnlab-lessons"
    assert sorted(_texts(Path("hbnlab-lessons"))) == sorted(NAMES)


def test_a_changed_notebook_is_kept_and_a_lost_one_comes_back(installed, opened, capsys):
    main(["lab", "mine"])
    mine = Path("mine")
    (mine / NAMES[0]).write_text("my answers")
    (mine / NAMES[1]).unlink()
    (mine / "notes.ipynb").write_text("my own")
    capsys.readouterr()
    assert main(["lab", "mine"]) == 0
    expected = {NAMES[0]: "my answers", NAMES[1]: f"the lesson {NAMES[1]}", "notes.ipynb": "my own"}
    assert _texts(mine) == expected
    said = capsys.readouterr().out
    assert "lessons copied to mine: 1" in said
    words = "kept, though they differ from this version's lessons"
    assert f"{words}: {NAMES[0]}; delete one to get a fresh copy" in said


def test_a_newer_series_does_not_overwrite_what_was_handed_out(installed, opened):
    main(["lab", "mine"])
    (installed / "notebooks" / NAMES[0]).write_text("the lesson, second edition")
    assert lessons.hand_out(Path("mine")) == ([], [NAMES[0]])
    assert _texts(Path("mine"))[NAMES[0]] == f"the lesson {NAMES[0]}"


def test_in_the_repository_its_own_notebooks_are_opened(opened, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["lab"]) == 0
    assert opened[0][3] == str(ROOT / "notebooks")
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_series_of_the_repository_can_be_handed_out_too(opened, tmp_path):
    assert main(["lab", str(tmp_path / "class")]) == 0
    expected = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(_texts(tmp_path / "class")) == expected


def test_the_notebooks_of_the_repository_are_not_copied_onto_themselves(opened, capsys):
    assert main(["lab", str(ROOT / "notebooks")]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("user", [0, 1000])
def test_only_root_is_allowed_root(opened, user, monkeypatch, tmp_path):
    monkeypatch.setattr("os.geteuid", lambda: user, raising=False)
    main(["lab", str(tmp_path)])
    assert ("--allow-root" in opened[0]) == (user == 0)


def test_the_exit_code_of_jupyterlab_is_handed_on(opened, monkeypatch, tmp_path):
    monkeypatch.setattr(subprocess, "Popen", lambda command: Server(7))
    assert main(["lab", str(tmp_path)]) == 7


def test_jupyterlab_is_waited_for_after_interrupts(opened, monkeypatch, tmp_path):
    server = Server(3, interrupts=2)
    monkeypatch.setattr(subprocess, "Popen", lambda command: server)
    assert main(["lab", str(tmp_path)]) == 3
    assert server.interrupts < 0


def test_what_stands_after_two_dashes_is_handed_on_to_jupyterlab(opened, tmp_path):
    options = ["--no-browser", "--port=9000", "--ServerApp.root_dir=a_b", "--"]
    assert main(["lab", str(tmp_path), "--", *options]) == 0
    assert opened[0][3] == str(tmp_path)
    assert opened[0][-4:] == options
    assert main(["lab", "--", "--no-browser"]) == 0
    assert opened[1][3] == str(ROOT / "notebooks")


def test_a_missing_jupyterlab_is_named_before_anything_is_copied(
    installed, opened, monkeypatch, capsys
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["lab", "mine"]) == 1
    assert "pip install" in capsys.readouterr().err
    assert not Path("mine").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(installed, opened, capsys):
    Path("taken").write_text("a letter")
    assert main(["lab", "taken"]) == 1
    assert "taken" in capsys.readouterr().err
    assert Path("taken").read_text() == "a letter"
    assert opened == []


def test_a_package_without_lessons_says_so(installed, opened, capsys):
    for path in (installed / "notebooks").iterdir():
        path.unlink()
    assert main(["lab"]) == 1
    assert "install hbnlab again" in capsys.readouterr().err
    assert opened == []
