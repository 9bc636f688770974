"""Adds up what OpenVINO's own profiler says of every inference of a session."""

from typing import Any

Kinds = dict[str, tuple[int, float]]
"""Kind of node -> how many ran, and milliseconds in all."""


class Counted:
    """Stands in for a compiled model, whose requests it counts."""

    def __init__(self, compiled: Any) -> None:
        """Count what is inferred with `compiled`, which was compiled with PERF_COUNT."""
        self._compiled = compiled
        self.kinds: Kinds = {}

    def create_infer_request(self) -> "CountedRequest":
        """Create one whose inferences are counted."""
        return CountedRequest(self._compiled.create_infer_request(), self.kinds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiled, name)


class CountedRequest:
    """Stands in for a request."""

    def __init__(self, request: Any, kinds: Kinds) -> None:
        """Add to `kinds` what `request` infers."""
        self._request, self._kinds = request, kinds

    def infer(self, *arguments: Any, **named: Any) -> Any:
        """Infer, and add up what was executed."""
        result = self._request.infer(*arguments, **named)
        for node in self._request.get_profiling_info():
            if node.status == node.Status.EXECUTED:
                count, spent = self._kinds.get(node.node_type, (0, 0.0))
                milliseconds = node.real_time.total_seconds() * 1e3
                self._kinds[node.node_type] = count + 1, spent + milliseconds
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)
