"""A backend for whisperopt: standard operators only, on ONNX Runtime's CPU provider."""

from whisperopt.backend import Recipe
from whisperopt.ort_backend import OrtBackend
from whisperopt.runtime.provider import Provider
from whisperopt.static_checks.capability import CapabilityTable, Operator

LOSSLESS = Recipe(
    name="plain-fp32",
    summary="Standard operators over a static cache; lossless",
    self_attention="decomposed",
    cross_attention="decomposed",
    encoder_attention="decomposed",
    cache="static",
    encoder_precision="fp32",
    decoder_precision="fp32",
)
SMALLER = Recipe(
    name="plain-int8",
    summary="Standard operators over a static cache; 8-bit weights in the decoder",
    self_attention="decomposed",
    cross_attention="decomposed",
    encoder_attention="decomposed",
    cache="static",
    encoder_precision="fp32",
    decoder_precision="int8",
    int8="group",
)

ARITHMETIC = ("Add", "Conv", "Gelu", "LayerNormalization", "MatMul", "Mul", "Softmax", "Sub")
CHOICES = ("GreaterOrEqual", "LessOrEqual", "Max", "Min", "Where")
LENGTHS = ("Cast", "Range", "Shape", "Slice", "Squeeze", "Unsqueeze")
MOVES = ("Gather", "Reshape", "Transpose")
TYPES = ("float32", "int64", "int32", "int8", "bool")


class ExampleBackend(OrtBackend, frozen=True, kw_only=True):
    """What all of ONNX Runtime's providers share, with a table of its own."""

    def capabilities(self) -> CapabilityTable:
        """Return what the runtime executes; a variant with anything else is refused unseen."""
        names = (*ARITHMETIC, *CHOICES, *LENGTHS, *MOVES)
        return CapabilityTable(
            runtime="Example",
            version="1.0",
            max_opset=20,
            missing="the example has no kernel for {op}",
            source="an excerpt of ONNX Runtime's kernel registry",
            ops={name: Operator(dtypes=TYPES) for name in names},
        )


BACKEND = ExampleBackend(
    name="example",
    runtime="onnxruntime",
    extra="cpu",
    provider=Provider(name="CPUExecutionProvider", device="cpu"),
    ladder=(LOSSLESS, SMALLER),
)
