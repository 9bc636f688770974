"""Run as a script, on whatever CPU it is told that it has: builds a checkpoint, once with proof.

The last line of stdout is an object: the `digests` of all variants, a digest of `products` of random
numbers, which differs by the CPU, and what NumPy takes the CPU to have as `features`.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from numpy._core._multiarray_umath import __cpu_features__ as features

import whisperopt
from tests.pipeline.validate.shop import cpu_only
from whisperopt.release import catalog

PROVEN = ("gqa-dynamic-spans",)
"""What is rounded as calibration says."""
OTHERS = ("gqa-fp32", "gqa-int8", "gqa-mixed", "mha-fp32")


def main() -> None:
    """Build."""
    checkpoint, clips, out = map(Path, sys.argv[1:])
    digests = {}
    for name, recipes in (("proven", PROVEN), ("others", OTHERS)):
        whisperopt.build(
            str(checkpoint),
            out=out / name,
            clips=clips,
            matrix=cpu_only(*recipes),
            proof=name == "proven",
            kv_heads=None if name == "proven" else 1,
        )
        (entry,) = catalog.read(out / name).models.values()
        digests |= {f"{name} {variant.name}": variant.digest for variant in entry.variants}
    random = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    answer = {
        "digests": digests,
        "products": hashlib.sha256((random @ random).tobytes()).hexdigest(),
        "features": [name for name, there in features.items() if there],
    }
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
