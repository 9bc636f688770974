"""Every form that a pass or a recipe makes computes what the core model computes."""

from functools import cache

import pytest

from tests.passes import forms
from tests.passes.forms import CORE, DECOMPOSED, Run, form
from whisperopt import registry
from whisperopt.backend import Recipe, Session
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.passes.plan import passes_for
from whisperopt.passes.rewrite import run

BACKENDS = ("cpu", "cuda", "directml", "openvino", "tensorrt")


def rewrites() -> list[Recipe]:
    """Return the lossless forms: every form of self-attention, and each other pass alone."""
    return [
        form(name="gqa-separate-buffers", cache="static"),
        form(name="mha-concat", self_attention="mha", cache="concat"),
        form(name="decomposed-static", self_attention="decomposed", cache="static"),
        form(name="decomposed-concat", self_attention="decomposed", cache="concat"),
        form(name="cross-decomposed", cross_attention="decomposed"),
        form(name="encoder-decomposed", encoder_attention="decomposed"),
        form(DECOMPOSED, name="all-decomposed-static"),
        form(DECOMPOSED, name="all-decomposed-concat", cache="concat"),
        form(DECOMPOSED, name="all-decomposed-mha", self_attention="mha", cache="concat"),
    ]


def roundings() -> list[Recipe]:
    """Return the forms of lower precision, over contributed and over standard attention."""
    made = []
    for base in (CORE, DECOMPOSED):
        half = {"encoder_precision": "fp16", "decoder_precision": "fp16"}
        made.append(form(base, name=f"{base.name}-fp16", **half))
        for int8 in ("block", "group", "dynamic"):
            eight = {"encoder_precision": "int8", "decoder_precision": "int8", "int8": int8}
            made.append(form(base, name=f"{base.name}-{int8}", **eight))
    return made


def ladders() -> list[Recipe]:
    """Return every recipe of every backend."""
    found = []
    for backend in BACKENDS:
        recipes = registry.require(backend).recipes()
        found += [form(recipe, name=f"{backend}-{recipe.name}") for recipe in recipes]
    return found


FORMS = [*rewrites(), *roundings(), *ladders()]
NAMES = [recipe.name for recipe in FORMS]


def tolerance(recipe: Recipe) -> float:
    """Return what a form may differ from the core, by the coarsest of its two precisions."""
    precisions = {recipe.encoder_precision, recipe.decoder_precision}
    if "int8" in precisions:
        return 6e-2 if recipe.int8 == "dynamic" else 3e-2
    return 5e-3 if "fp16" in precisions else 1e-5


@cache
def _expected(session: Session, batch: int) -> Run:
    return _run(session, batch)


def _run(session: Session, batch: int) -> Run:
    dims = session.dims  # type: ignore[attr-defined]
    features = forms.speech_like(dims, batch=batch)
    prompt = forms.random_tokens(dims, batch=batch, length=3)
    forced = forms.random_tokens(dims, batch=batch, length=3, seed=2)
    return forms.run(session, features, prompt, forced)


@pytest.mark.parametrize("recipe", FORMS, ids=NAMES)
def test_form_computes_what_the_core_computes(
    recipe: Recipe, small_checkpoint: Checkpoint, small_session: Session, tmp_path
) -> None:
    session = forms.open_session(forms.write(small_checkpoint, recipe, tmp_path))
    for batch in (1, 2):
        error = forms.largest_error(_run(session, batch), _expected(small_session, batch))
        assert error <= tolerance(recipe), f"batch {batch}"


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("recipe", FORMS, ids=NAMES)
def test_passes_applied_twice_change_nothing(
    recipe: Recipe, part: Part, small_core: CoreModel
) -> None:
    model = small_core.part(part)
    for step in passes_for(recipe, part):
        once = forms.serialized(run(model, [step]))
        assert forms.serialized(run(model, [step])) == once, type(step).__name__
