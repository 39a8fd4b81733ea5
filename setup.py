"""What pyproject.toml cannot say: the lessons become data of the package when it is built."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

LESSONS = "[0-9][0-9]_*.ipynb"


class BuildWithLessons(build_py):
    """Copy ``notebooks/`` to ``hbnlab/notebooks/``, but for an editable install, which has both."""

    def run(self) -> None:
        """Build the package, then put the lessons into it."""
        super().run()
        for target, source in self._lessons().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_source_files(self) -> list[str]:
        """Name what a source distribution must hold."""
        return [*super().get_source_files(), *map(str, sorted(Path("notebooks").glob(LESSONS)))]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Name what the build writes."""
        return [*super().get_outputs(include_bytecode), *self._lessons()]

    def get_output_mapping(self) -> dict[str, str]:
        """Tell from which file each of them is written."""
        return super().get_output_mapping() | self._lessons()

    def _lessons(self) -> dict[str, str]:
        if self.editable_mode:
            return {}
        target = Path(self.build_lib, "hbnlab", "notebooks")
        return {str(target / path.name): str(path) for path in Path("notebooks").glob(LESSONS)}


setup(cmdclass={"build_py": BuildWithLessons})
