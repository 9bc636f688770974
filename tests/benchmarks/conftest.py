"""Makes `benchmarks` importable: it is in no wheel, and pytest imports only tests by their path."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
