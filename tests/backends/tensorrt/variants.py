"""The ladder, and what must not pass for a part of it."""

from whisperopt.backends.tensorrt import BACKEND

from tests.passes.forms import form

RUNGS = {recipe.name: recipe for recipe in BACKEND.recipes()}
ODD = {
    "attention-past": form(RUNGS["attention-fp16"], cache="concat"),
    "attention-fp32": form(
        RUNGS["attention-fp16"], encoder_precision="fp32", decoder_precision="fp32"
    ),
    "gqa-fp32": form(RUNGS["gqa-fp16"], decoder_precision="fp32"),
    "gqa-mha": form(RUNGS["gqa-fp16"], cross_attention="mha"),
    "mha-fp16": form(RUNGS["decomposed-fp16"], self_attention="mha", cache="concat"),
    "int8": form(RUNGS["decomposed-fp32"], encoder_precision="int8", decoder_precision="int8"),
}
