"""Lists the packages, and packs the matrix from the repository's root beside its reader."""

from pathlib import Path

from setuptools import find_packages, setup
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


backends = ["backends", *(f"backends.{name}" for name in find_packages("backends"))]
setup(
    packages=[
        *find_packages(include=["whisperopt", "whisperopt.*"]),
        *(f"whisperopt.{name}" for name in backends),
    ],
    cmdclass={"build_py": BuildWithMatrix},
)
