"""hbnlab.storage: files that are whole or absent."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hbnlab import storage
from hbnlab.storage import atomic_path, load_tensors, save_tensors, write_json, write_text


def _tensors() -> dict[str, torch.Tensor]:
    return {
        "weight": torch.linspace(-1, 1, 12).reshape(3, 4),
        "half": torch.tensor([1.0, -0.0, float("nan")], dtype=torch.float16),
        "counts": torch.arange(3),
        "flag": torch.tensor(True),
        "none": torch.empty(0, 5),
    }


HEADER = {"seed": 3, "name": "Gran-HBN é", "rate": 0.1, "levels": ["coarse", "fine"], "at": None}


@pytest.fixture
def stored(tmp_path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_tensors(path, _tensors(), HEADER)
    return path


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------------- tensors


def test_tensors_and_header_come_back_to_the_bit(stored):
    named, header = load_tensors(stored)
    assert header == HEADER
    assert named.keys() == _tensors().keys()
    for name, tensor in _tensors().items():
        assert (named[name].dtype, named[name].shape) == (tensor.dtype, tensor.shape)
        assert named[name].numpy().tobytes() == tensor.numpy().tobytes()


def test_equal_content_gives_equal_bytes_whatever_its_order(stored, tmp_path):
    again = tmp_path / "again.safetensors"
    save_tensors(
        again,
        dict(reversed(_tensors().items())),
        dict(reversed(HEADER.items())),
    )
    assert again.read_bytes() == stored.read_bytes()


def test_equal_content_gives_equal_bytes_in_another_process(stored, tmp_path):
    again = tmp_path / "again.safetensors"
    code = (
        "import torch; from hbnlab.storage import load_tensors, save_tensors;"
        f"save_tensors({str(again)!r}, *load_tensors({str(stored)!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert again.read_bytes() == stored.read_bytes()


def test_views_and_gradients_are_stored_as_their_values(tmp_path):
    base = torch.arange(12.0).reshape(3, 4).requires_grad_()
    save_tensors(tmp_path / "v", {"turned": base.T, "row": base[1]}, {})
    named, _ = load_tensors(tmp_path / "v")
    assert torch.equal(named["turned"], base.detach().T)
    assert torch.equal(named["row"], base.detach()[1])


def test_a_header_that_json_cannot_hold_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        save_tensors(tmp_path / "w", _tensors(), {"loss": float("nan")})
    assert _names(tmp_path) == []


# ---------------------------------------------------------------------- damage


def test_every_truncation_is_refused(stored):
    whole = stored.read_bytes()
    for length in range(len(whole)):
        stored.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"weights\.safetensors is"):
            load_tensors(stored)


def test_bytes_after_the_end_are_refused(stored):
    stored.write_bytes(stored.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="not a complete file"):
        load_tensors(stored)


def test_every_flipped_bit_is_refused(stored):
    whole = stored.read_bytes()
    for position in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        stored.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"weights\.safetensors is"):
            load_tensors(stored)


@pytest.mark.parametrize("metadata", [None, {"hbnlab": "[]"}, {"hbnlab": "{}"}, {"hbnlab": "x"}])
def test_a_safetensors_file_of_somebody_else_is_refused(tmp_path, metadata):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(ValueError, match=r"other\.safetensors is not a complete file of hbnlab"):
        load_tensors(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\xff" * 64])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a complete file of hbnlab"):
        load_tensors(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file at .*absent"):
        load_tensors(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="no file at"):
        load_tensors(tmp_path)


# ---------------------------------------------------------------------- whole or absent


def test_a_write_makes_the_folders_it_needs_and_leaves_the_file_alone_in_them(tmp_path):
    path = tmp_path / "runs" / "demo" / "report.json"
    write_json(path, {"b": 1, "a": [0.5, "é"]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": 1, "a": [0.5, "é"]}
    assert path.read_text(encoding="utf-8").endswith("}\n")
    assert _names(path.parent) == ["report.json"]


def test_json_refuses_numbers_that_json_does_not_have(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "report.json", float("inf"))
    assert _names(tmp_path) == []


def _write_half(path: Path, failure: BaseException) -> None:
    with atomic_path(path) as partial:
        partial.write_text("half of the ne")
        raise failure


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "weights"
    write_text(path, "old")
    with pytest.raises(type(failure)):
        _write_half(path, failure)
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["weights"]


def _full_disk(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("method", "write"),
    [
        ("write_text", lambda path: write_text(path, "new")),
        ("write_text", lambda path: write_json(path, [1])),
        ("write_bytes", lambda path: save_tensors(path, _tensors(), HEADER)),
    ],
)
def test_a_full_disk_names_the_file_that_it_failed(tmp_path, monkeypatch, method, write):
    monkeypatch.setattr(Path, method, _full_disk)
    with pytest.raises(OSError, match=r"No space left on device: '.*weights\.json'") as caught:
        write(tmp_path / "weights.json")
    assert caught.value.errno == errno.ENOSPC
    assert _names(tmp_path) == []


def test_a_file_that_may_not_be_written_is_named_and_not_its_temporary_copy(tmp_path, monkeypatch):
    def refuse(self: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(PermissionError, match=rf"denied: '{tmp_path / 'weights'}'"):
        write_text(tmp_path / "weights", "new")


def test_a_failure_to_read_another_file_while_writing_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"), atomic_path(tmp_path / "copy") as copy:
        copy.write_text((tmp_path / "absent").read_text())


def test_a_failed_first_write_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _write_half(tmp_path / "weights", KeyboardInterrupt())
    assert _names(tmp_path) == []


def test_a_disk_that_fails_to_flush_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    write_text(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["weights"]


def test_the_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    events = []
    flush, replace = storage._flush, Path.replace

    def note_flush(path: Path) -> None:
        events.append(("flush", path.is_dir()))
        flush(path)

    def note_replace(self: Path, target: Path) -> Path:
        events.append(("replace", target.name))
        return replace(self, target)

    monkeypatch.setattr(storage, "_flush", note_flush)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_text(tmp_path / "weights", "new")
    assert events == [("flush", False), ("replace", "weights"), ("flush", True)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill outright")
def test_a_killed_write_leaves_the_old_file_and_the_next_write_sweeps(tmp_path):
    path = tmp_path / "weights"
    write_text(path, "old")
    code = (
        "import os, signal; from hbnlab.storage import atomic_path\n"
        f"with atomic_path({str(path)!r}) as partial:\n"
        "    partial.write_text('half of the ne')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(_names(tmp_path)) == 2
    write_text(path, "new")
    assert path.read_text() == "new"
    assert _names(tmp_path) == ["weights"]


@pytest.fixture(scope="module")
def ended() -> int:
    """Number of a process that was and is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_a_write_sweeps_only_what_was_left_under_its_own_name(tmp_path, ended):
    kept = [f".partial-{ended}-gate", f".partial-{ended}-old-weights", "mine"]
    for name in (f".partial-{ended}-weights", *kept):
        (tmp_path / name).write_text("left")
    write_text(tmp_path / "weights", "new")
    assert _names(tmp_path) == [*kept, "weights"]


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell whether a process is running")
def test_a_write_leaves_alone_what_another_process_is_writing(tmp_path):
    path = tmp_path / "weights"
    code = (
        "import sys; from hbnlab.storage import atomic_path\n"
        f"with atomic_path({str(path)!r}) as partial:\n"
        "    partial.write_text('theirs')\n"
        "    print('half way', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:
        other.stdout.readline()
        write_text(path, "ours")
        assert path.read_text() == "ours"
        other.stdin.close()
        assert other.wait() == 0
    assert path.read_text() == "theirs"
    assert _names(tmp_path) == ["weights"]


def test_a_name_with_brackets_is_a_name_like_any_other(tmp_path, ended):
    path = tmp_path / "run[1]*.json"
    (tmp_path / f".partial-{ended}-{path.name}").write_text("left")
    write_text(path, "new")
    assert _names(tmp_path) == [path.name]
