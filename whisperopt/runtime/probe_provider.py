"""Opens a one-node graph on an execution provider: it may list itself and still not load."""

from whisperopt.errors import WhisperoptError
from whisperopt.runtime.provider import Provider, apply

# Neg(x) for x float32 [1], opset 13, as `onnx.helper` writes it.
_GRAPH = bytes.fromhex(
    "08083a320a0b0a017812017922034e65671201705a0f0a0178120a0a08080112040a020801620f0a0179120a0a08080112040a02080142040a00100d"
)


def why_not(provider: Provider) -> str | None:
    """Return why `provider` does not load in this process, or None if it does."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        return f"ONNX Runtime cannot be imported: {error}"
    if not provider.library and provider.name not in ort.get_available_providers():
        return f"this ONNX Runtime {ort.__version__} was built without {provider.name}"
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        providers = apply(provider, options)
        session = ort.InferenceSession(_GRAPH, options, providers=providers, enable_fallback=0)
    except WhisperoptError as error:
        return error.problem
    except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
        return f"{provider.name} does not load: {str(error).splitlines()[0]}"
    if session.get_providers()[0] != provider.name:
        return f"{provider.name} lists itself but does not load: a library is missing"
    return None
