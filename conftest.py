"""Settings for all tests and notebooks that cannot be given as options."""

from typing import Any

import hypothesis
import pytest

# The same examples in every run, even on a busy machine.
hypothesis.settings.register_profile("hbnlab", deadline=None, derandomize=True)
hypothesis.settings.load_profile("hbnlab")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("nbval", False) or config.getoption("nbval_lax", False):
        from nbval.kernel import RunningKernel

        RunningKernel.execute_cell_input = _execute_cell_input


def pytest_collectstart(collector: Any) -> None:
    # Progress bars and warnings on stderr contain times and process ids, which always differ.
    if type(collector).__name__ == "IPyNbFile":
        collector.skip_compare += ("stderr",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Lessons that show real images use glyphs where there are no real images.
    cells: list[Any] = [item for item in items if type(item).__name__ == "IPyNbCell"]
    of_real_images = [
        cell for cell in cells if "fashion-mnist" in cell.cell.metadata.get("tags", [])
    ]
    if of_real_images and not _has_fashion_mnist():
        for cell in of_real_images:
            cell.options["check"] = False


def _has_fashion_mnist() -> bool:
    from hbnlab import data

    try:
        data.load("fashion_mnist")
    except FileNotFoundError:
        return False
    return True


def _execute_cell_input(self: Any, cell_input: str, allow_stdin: bool | None = None) -> str:
    """Run a cell with history, as Jupyter does; otherwise a trailing ``;`` has no effect."""
    return self.kc.execute(
        cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False
    )
