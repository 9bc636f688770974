"""Run as a script in the rehearsal's environment: makes the calls of a trace with WebGPU.

stdin: `{"graphs": FOLDER, "scratch": FOLDER, "runs": [...], "stepwise": BOOL, "in_place": BOOL}` with
runs of the io trace in `scratch/trace`. Every output gets its name there, in `scratch/outputs`.
`stepwise` gives the tokens of a call one by one, `in_place` then binds one buffer as past and
present. The last line of stdout is an object: `device`, why it does not work or null; `calls` as
[label, seconds, error or null]; and `nodes` as [graph, operator, provider, count], where the runtime
says that it computed them.
"""

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

_PROVIDER = "WebGpuExecutionProvider"
_DEVICE = "webgpu"
_COMPUTED = "_kernel_time"
# Neg(x) for x float32 [1], opset 13
_ANY_GRAPH = bytes.fromhex(
    "08083a320a0b0a017812017922034e65671201705a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a00100d"
)


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    calls: list[list[Any]] = []
    nodes: list[list[Any]] = []
    device = _device()
    folder, outputs = Path(request["graphs"]), Path(request["scratch"]) / "outputs"
    for graph in {} if device else dict.fromkeys(run["graph"] for run in request["runs"]):
        runs = [run for run in request["runs"] if run["graph"] == graph]
        try:
            session = _open(folder / graph, outputs / graph)
        except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
            calls.append([f"opening of {graph}", 0.0, _line(error)])
            continue
        calls += [_timed(session, run, request) for run in runs]
        nodes += [[graph, *placed] for placed in _placed(session)]
    answer = {"device": device, "calls": calls, "nodes": nodes}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what a driver does or prints at the end is not awaited


def _device() -> str | None:
    """Return why nothing at all can be computed, or None."""
    try:
        found = _open(_ANY_GRAPH).run(None, {"x": np.ones(1, np.float32)})[0]
    except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
        return _line(error)
    return None if found[0] == -1 else f"it says that -1 is {found[0]}"


def _open(graph: Path | bytes, profile: Path | None = None) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_profiling = profile is not None
    options.profile_file_prefix = str(profile)
    session = ort.InferenceSession(graph, options, providers=[_PROVIDER], enable_fallback=0)
    if session.get_providers()[0] != _PROVIDER:
        raise RuntimeError("WebGPU did not load and ONNX Runtime fell back to the CPU")
    return session


def _timed(session: Any, run: dict[str, Any], request: dict[str, Any]) -> list[Any]:
    started = time.perf_counter()
    error = None
    try:
        found = _call(session, run, request)
        for array in run["outputs"]:
            found[array["name"]].tofile(Path(request["scratch"], "outputs", array["file"]))
    except Exception as problem:  # noqa: BLE001  # the runtime's exceptions have no common class
        error = _line(problem)
    return [run["label"], round(time.perf_counter() - started, 3), error]


def _call(session: Any, run: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Make one call, or as many as it has tokens; return all outputs as arrays."""
    folder = Path(request["scratch"]) / "trace"
    feeds = {array["name"]: _read(folder, array) for array in run["feeds"]}
    ids = feeds.pop("input_ids", None)
    length = feeds.pop("past_sequence_length", None)
    binding = session.io_binding()
    for name, values in feeds.items():
        binding.bind_cpu_input(name, values)
    names = [array["name"] for array in run["outputs"]]
    if ids is None:
        return _arrays(_bound_run(session, binding, names, {}))
    columns = np.split(ids, ids.shape[1], axis=1) if request["stepwise"] else [ids]
    presents: dict[str, Any] = {}
    logits = []
    for column in columns:
        binding.bind_cpu_input("input_ids", np.ascontiguousarray(column))
        if length is not None:
            binding.bind_cpu_input("past_sequence_length", length)
            length = length + np.int32(column.shape[1])
        for name, value in presents.items():
            binding.bind_ortvalue_input(name.replace("present", "past", 1), value)
        reused = presents if request["in_place"] else {}
        presents = _bound_run(session, binding, names, reused)
        logits.append(presents.pop("logits").numpy())
    return {"logits": np.concatenate(logits, axis=1), **_arrays(presents)}


def _arrays(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value.numpy() for name, value in values.items()}


def _bound_run(
    session: Any, binding: Any, names: list[str], reused: dict[str, Any]
) -> dict[str, Any]:
    """Run with every output in the device's memory, in the buffers of `reused` where given."""
    binding.clear_binding_outputs()
    for name in names:
        if name in reused:
            binding.bind_ortvalue_output(name, reused[name])
        else:
            binding.bind_output(name, _DEVICE, 0)
    session.run_with_iobinding(binding)
    return dict(zip(names, binding.get_outputs(), strict=True))


def _read(folder: Path, array: dict[str, Any]) -> Any:
    return np.fromfile(folder / array["file"], np.dtype(array["dtype"])).reshape(array["shape"])


def _placed(session: Any) -> list[list[Any]]:
    """Return [operator, provider, count] from the runtime's own profile."""
    events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    nodes = {
        (event["name"], event["args"]["op_name"], event["args"]["provider"])
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith(_COMPUTED)
    }
    counts = Counter((op, provider) for _, op, provider in nodes)
    return [[op, provider, count] for (op, provider), count in sorted(counts.items())]


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


if __name__ == "__main__":
    main()
