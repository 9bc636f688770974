"""Run as a script in the rehearsal's environment: where ONNX Runtime puts the nodes of a graph.

stdin: `{"graph": FILE, "provider": NAME, "scratch": FOLDER}` with an empty folder. The last line of
stdout is an object: either `refused`, why no session was made, or `providers` of the
session, `nodes` as [name, operator, provider] and `copies` as [direction, tensor, type, shape], which
the runtime adds between devices. The graph is never run.
"""

import json
import sys
from pathlib import Path
from typing import Any

_DIRECTIONS = {"MemcpyFromHost": "to the device", "MemcpyToHost": "to the host"}


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    try:
        found = partition(Path(request["graph"]), request["provider"], Path(request["scratch"]))
    except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
        lines = str(error).strip().splitlines() or [type(error).__name__]
        found = {"refused": lines[0]}
    sys.stdout.write(json.dumps(found) + "\n")


def partition(graph: Path, provider: str, scratch: Path) -> dict[str, Any]:
    """Open `graph` on `provider` and return what the runtime made of it."""
    import onnxruntime as ort

    weights, optimized = scratch / "weights", scratch / "optimized.onnx"
    weights.symlink_to("/dev/null")  # up to gigabytes that nobody reads
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(optimized)
    for key, value in {
        "record_ep_graph_assignment_info": "1",
        "optimized_model_external_initializers_file_name": weights.name,
        "optimized_model_external_initializers_min_size_in_bytes": "64",
    }.items():
        options.add_session_config_entry(f"session.{key}", value)
    session = ort.InferenceSession(graph, options, providers=[provider], enable_fallback=0)
    return {
        "providers": session.get_providers(),
        "nodes": [
            [node.name, f"{node.domain}.{node.op_type}".lstrip("."), group.ep_name]
            for group in session.get_provider_graph_assignment_info()
            for node in group.get_nodes()
        ],
        "copies": copies(optimized),
    }


def copies(optimized: Path) -> list[list[Any]]:
    """Return the tensors that move between devices; an unknown type or shape is None."""
    import onnx

    graph = onnx.load(optimized, load_external_data=False).graph
    known = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
    found: list[list[Any]] = []
    for node in graph.node:
        if direction := _DIRECTIONS.get(node.op_type):
            # one side keeps the name that the author gave, the other carries the provider's
            name = min((node.input[0], node.output[0]), key=len)
            found.append([direction, name, *_described(known.get(name))])
    return found


def _described(value: Any) -> tuple[str | None, list[int | str] | None]:
    if value is None:
        return None, None
    import onnx

    tensor = value.type.tensor_type
    sizes = [
        s.dim_value if s.HasField("dim_value") else s.dim_param or "?" for s in tensor.shape.dim
    ]
    name = onnx.TensorProto.DataType.Name(tensor.elem_type)
    return name, sizes if tensor.HasField("shape") else None


if __name__ == "__main__":
    main()
