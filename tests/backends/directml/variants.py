"""The ladder, and what must not pass for a part of it."""

from whisperopt.backends.directml import BACKEND

from tests.passes.forms import form

RUNGS = {recipe.name: recipe for recipe in BACKEND.recipes()}
ODD = {
    "mha-cross": form(RUNGS["gqa-fp16"], cross_attention="mha"),
    "mha-unmasked": form(RUNGS["mha-fp16"], traits=("contributed-gelu",)),
    "attention": form(RUNGS["mha-fp16"], self_attention="attention", traits=()),
    "standard-gelu-fp32": form(RUNGS["decomposed-fp32"], traits=()),
    "bf16": form(RUNGS["gqa-fp16"], decoder_precision="bf16"),
}
