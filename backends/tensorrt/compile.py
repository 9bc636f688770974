"""Standalone: parses one graph with TensorRT for RTX and builds an engine for each capability.

Runs in the rehearsal's own environment, without a GPU: one JSON request on stdin, one JSON object as
the last line of stdout. It reports facts and judges nothing.
"""

import ctypes
import json
import sys
import time
from pathlib import Path
from typing import Any

import tensorrt_rtx as trt  # type: ignore[import-not-found]  # noqa: TID253  # only run, never imported

_NEEDED = ("libcuda.so.1", "libcudart.so.13")
_PLUGINS = "libtensorrt_plugins.so"


class _Log(trt.ILogger):  # type: ignore[misc]  # the runtime has no types
    """Keeps what TensorRT calls errors."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        """Take one line of TensorRT."""
        if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
            self.errors.append(message.strip()[:500])


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Parse `graph` and, if that works, build it for each of `capabilities`, e.g. `8.6`.

    `axes` maps the name of each dynamic axis to its least, usual and largest length; `plugins` is
    the folder of the provider's plug-ins, or empty.
    """
    log = _Log()
    builder = trt.Builder(log)
    if request["plugins"]:
        _load_plugins(Path(request["plugins"]))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(request["graph"]):
        errors = map(parser.get_error, range(parser.num_errors))
        return {"parsed": False, "errors": [_described(error) for error in errors]}
    engines = [_build(builder, network, request["axes"], c, log) for c in request["capabilities"]]
    return {"parsed": True, "layers": network.num_layers, "engines": engines}


def _load_plugins(folder: Path) -> None:
    for name in _NEEDED:
        ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    register = ctypes.CDLL(str(folder / _PLUGINS)).initLibNvTensorRTRtxPlugins
    register.restype, register.argtypes = ctypes.c_bool, [ctypes.c_void_p, ctypes.c_char_p]
    if not register(None, b""):
        raise SystemExit("the plug-ins cannot be registered")


def _described(error: Any) -> dict[str, Any]:
    return {
        "operator": error.node_operator(),
        "node": error.node_name(),
        "text": error.desc().strip()[:500],
    }


def _build(
    builder: Any, network: Any, axes: dict[str, list[int]], capability: str, log: _Log
) -> dict[str, Any]:
    log.errors.clear()
    config = builder.create_builder_config()
    config.add_optimization_profile(_profile(builder, network, axes))
    config.num_compute_capabilities = 1
    name = "SM" + capability.replace(".", "")
    config.set_compute_capability(getattr(trt.ComputeCapability, name), 0)
    started = time.perf_counter()
    plan = builder.build_serialized_network(network, config)
    return {
        "capability": capability,
        "built": plan is not None,
        "seconds": round(time.perf_counter() - started, 2),
        "bytes": plan.nbytes if plan is not None else 0,
        "errors": [] if plan is not None else log.errors[:3],
    }


def _profile(builder: Any, network: Any, axes: dict[str, list[int]]) -> Any:
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        ranges = [
            axes[tensor.get_dimension_name(at)] if length < 0 else [length] * 3
            for at, length in enumerate(tensor.shape)
        ]
        if tensor.is_shape_tensor:  # its values decide shapes, so they need a range
            profile.set_shape_input(tensor.name, *([value] for value in axes[tensor.name]))
        elif any(length < 0 for length in tensor.shape):
            profile.set_shape(tensor.name, *zip(*ranges, strict=True))
    return profile


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(main(json.load(sys.stdin))) + "\n")
