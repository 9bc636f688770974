"""What the tree itself says there is: a sixth backend needs no line in these tests."""

from pathlib import Path

from whisperopt import matrix

TARGETS = tuple(target.name for target in matrix.load().targets)
"""In the order of the packaged matrix."""
OWN = sorted(path.parent.name for path in Path(__file__).parents[1].glob("backends/*/recipes.py"))
"""The backends that ship with whisperopt."""
