"""Run as `python -m`: opens a one-node graph on the provider named by the argument."""

import sys

# Neg(x) for x float32 [1], opset 13, as `onnx.helper` writes it.
_GRAPH = bytes.fromhex(
    "08083a320a0b0a017812017922034e65671201705a0f0a0178120a0a08080112040a020801620f0a0179120a0a08080112040a02080142040a00100d"
)


def main(provider: str) -> int:
    """Print the reason and return 1 if `provider` does not load."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        sys.stdout.write(f"ONNX Runtime cannot be imported: {error}\n")
        return 1
    if provider not in ort.get_available_providers():
        sys.stdout.write(f"this ONNX Runtime {ort.__version__} was built without {provider}\n")
        return 1
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(_GRAPH, options, providers=[provider], enable_fallback=0)
    except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
        sys.stdout.write(f"{provider} does not load: {str(error).splitlines()[0]}\n")
        return 1
    if session.get_providers()[0] != provider:
        sys.stdout.write(f"{provider} lists itself but does not load: a library is missing\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
