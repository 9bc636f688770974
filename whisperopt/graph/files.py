"""Writes graphs to disk, tensor by tensor."""

from pathlib import Path

import onnx_ir as ir

_IN_FLIGHT_BYTES = 256 * 2**20
_INLINE_BYTES = 1024


def write(model: ir.Model, path: Path) -> None:
    """Write `model` to `path` and its weights to `path` + `.data` beside it.

    Weights are always external: runtimes map them instead of copying them out of one big message,
    and the same code serves models above protobuf's limit of 2 GB. At most one large tensor and
    256 MB of small ones are in memory at a time.
    """
    ir.save(
        model,
        path,
        external_data=f"{path.name}.data",
        size_threshold_bytes=_INLINE_BYTES,
        max_workers=1,
        max_in_flight_bytes=_IN_FLIGHT_BYTES,
    )
