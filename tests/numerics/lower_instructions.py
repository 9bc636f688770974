"""Run as a script, under qemu or with oneDNN held back: holds an artifact to its self-test.

The last line of stdout is an object: what the CPU seems to have as `features`, the kernels that
OpenVINO took as `kernels`, the code of the reason why the artifact was `refused` or null, and by how
much `logits` and `hidden` differ from those in the file that the second argument names.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core._multiarray_umath import __cpu_features__ as features

from whisperopt import artifact, registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Session
from whisperopt.errors import WhisperoptError
from whisperopt.runtime import self_test

SETS = ("SSE42", "AVX2", "AVX512VNNI")


def opened(made: Artifact) -> Session:
    """Open an artifact on one thread."""
    return registry.require(made.manifest.backend).open(made, threads=1)


def computed(made: Artifact, session: Session) -> dict[str, Any]:
    """Return what the encoder and two calls of the decoder say to the self-test's sound."""
    decoder = session.encode(self_test.sound(made.manifest.dims))
    logits = [decoder.step(np.array([ids], np.int32))[:, -1].copy() for ids in ([1, 2, 3], [4])]
    return {"hidden": decoder.hidden_states().copy(), "logits": np.stack(logits)}


def kernels(made: Artifact) -> list[str]:
    """Return the kinds of kernels that OpenVINO runs the encoder with."""
    if made.manifest.backend != "openvino":
        return []
    import openvino

    model = openvino.Core().compile_model(str(made.graph("encoder")), "CPU").get_runtime_model()
    return sorted({str(op.get_rt_info()["primitiveType"].astype(str)) for op in model.get_ops()})


def main() -> None:
    """Answer for one artifact."""
    made = artifact.read(Path(sys.argv[1]))
    answer: dict[str, Any] = {
        "features": [name for name in SETS if features.get(name)],
        "kernels": kernels(made),
        "refused": None,
    }
    try:
        session = opened(made)
        self_test.check(session, made)
        found = computed(made, session)
        with np.load(sys.argv[2]) as expected:
            for name in expected.files:
                off = np.abs(found[name] - expected[name]).max() / np.abs(expected[name]).max()
                answer[name] = float(off)
    except WhisperoptError as error:
        answer["refused"] = error.reason.code
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
