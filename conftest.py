"""Settings for all tests and notebooks that no option can express."""

from typing import Any

import hypothesis
import pytest

# The same examples in every run, however busy the machine is.
hypothesis.settings.register_profile("hbnlab", deadline=None, derandomize=True)
hypothesis.settings.load_profile("hbnlab")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("nbval", False) or config.getoption("nbval_lax", False):
        from nbval.kernel import RunningKernel

        RunningKernel.execute_cell_input = _execute_cell_input


def pytest_collectstart(collector: Any) -> None:
    # Progress bars and warnings on stderr hold times and process ids: no two runs agree.
    if type(collector).__name__ == "IPyNbFile":
        collector.skip_compare += ("stderr",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Lessons that show real images go on with glyphs where these are not at hand.
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
    """Run a cell as Jupyter does, with history: without, a trailing ``;`` silences nothing."""
    return self.kc.execute(
        cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False
    )
