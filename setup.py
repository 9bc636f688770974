"""Packs the matrix from the repository's root beside the package that reads it."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MATRIX = "targets.toml"


class BuildWithMatrix(build_py):
    """Adds `targets.toml` to the wheel and, as a source, to the sdist."""

    def run(self) -> None:
        """Build, then copy; an editable install reads the one copy at the root."""
        super().run()
        if not self.editable_mode:
            self.copy_file(MATRIX, self._packed)

    def get_source_files(self) -> list[str]:
        """Name the matrix as a source."""
        return [*super().get_source_files(), MATRIX]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:  # noqa: FBT001, FBT002  # setuptools' signature
        """Name the copy as an output."""
        own = [] if self.editable_mode else [self._packed]
        return [*super().get_outputs(include_bytecode), *own]

    @property
    def _packed(self) -> str:
        return str(Path(self.build_lib) / "whisperopt" / MATRIX)


setup(cmdclass={"build_py": BuildWithMatrix})
