"""Run as a script: whether OpenVINO converts a graph, and which nodes its CPU plugin takes.

stdin: `{"graph": FILE}`. The last line of stdout is an object: `version`, and either `refused`, why
OpenVINO cannot read the graph, or `taken`, the number of nodes that the plugin takes, and `left`, the
others as [operator, name]. The graph is converted, but neither compiled nor run.
"""

import json
import sys
from typing import Any


def main() -> None:
    """Answer one request."""
    import openvino as ov

    try:
        found = query(json.load(sys.stdin)["graph"])
    except RuntimeError as error:
        found = {"refused": str(error)}
    sys.stdout.write(json.dumps({"version": ov.__version__.partition("-")[0], **found}) + "\n")


def query(graph: str) -> dict[str, Any]:
    """Convert `graph` and ask the plugin for every node."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(graph)
    taken = core.query_model(model, "CPU")
    nodes = [(node.get_type_name(), node.get_friendly_name()) for node in model.get_ops()]
    left = [[kind, name] for kind, name in nodes if name not in taken]
    return {"taken": len(nodes) - len(left), "left": left}


if __name__ == "__main__":
    main()
