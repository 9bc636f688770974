"""Every form that a pass or a recipe makes computes what the core model computes."""

from functools import cache
from itertools import cycle, product
from typing import get_args

import msgspec
import pytest

from tests.makers import SMALL, weights
from tests.passes import forms
from tests.passes.forms import CORE, DECOMPOSED, MadeCheckpoint, Run, form
from whisperopt import registry
from whisperopt.backend import Attention, Recipe, Session
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.passes.plan import passes_for
from whisperopt.passes.rewrite import PassError, run
from whisperopt.recipe import Cache

BIDIRECTIONAL = ("mha", "attention", "decomposed")
FEWER_KEYS = msgspec.structs.replace(SMALL, decoder_kv_heads=2)


def takes(recipe: Recipe) -> bool:
    """Return whether the plan has passes for `recipe`."""
    try:
        passes_for(recipe, "decoder")
    except PassError:
        return False
    return True


def self_forms() -> list[Recipe]:
    """Return every form of self-attention and its cache that the plan takes."""
    asked = product(get_args(Attention), get_args(Cache), ((), ("explicit-mask",)))
    made = [
        form(
            name="-".join((attention, cached, *traits)),
            self_attention=attention,
            cache=cached,
            traits=traits,
        )
        for attention, cached, traits in asked
        if attention == "mha" or not traits
    ]
    return [recipe for recipe in made if takes(recipe)]


def rewrites() -> list[Recipe]:
    """Return every lossless form of the decoder, with the forms of the encoder in turns."""
    pairs = product(self_forms(), BIDIRECTIONAL)
    return [
        form(
            base,
            name=f"{base.name}-{cross}-{encoder}",
            cross_attention=cross,
            encoder_attention=encoder,
        )
        for (base, cross), encoder in zip(
            pairs, cycle((*BIDIRECTIONAL, *BIDIRECTIONAL[::-1], "mha")), strict=False
        )
    ]


def roundings() -> list[Recipe]:
    """Return the forms of lower precision, over contributed and over standard attention."""
    made = []
    for base in (CORE, DECOMPOSED, ATTENTION):
        half = {"encoder_precision": "fp16", "decoder_precision": "fp16"}
        made.append(form(base, name=f"{base.name}-fp16", **half))
        for int8 in ("block", "group", "dynamic"):
            eight = {"encoder_precision": "int8", "decoder_precision": "int8", "int8": int8}
            made.append(form(base, name=f"{base.name}-{int8}", **eight))
    return made


def ladders() -> list[Recipe]:
    """Return every recipe of every backend."""
    found = []
    for backend in registry.names():
        recipes = registry.require(backend).recipes()
        found += [form(recipe, name=f"{backend}-{recipe.name}") for recipe in recipes]
    return found


def graphs() -> list[tuple[Recipe, Part]]:
    """Return every graph of these forms once: most are part of several."""
    found: dict[tuple[object, ...], tuple[Recipe, Part]] = {}
    for recipe, part in product(FORMS, PARTS):
        steps = [(type(step), repr(vars(step))) for step in passes_for(recipe, part)]
        found.setdefault((part, *steps), (recipe, part))
    return list(found.values())


ATTENTION = form(
    name="attention",
    self_attention="attention",
    cross_attention="attention",
    encoder_attention="attention",
    cache="concat",
)
FORMS = [*rewrites(), *roundings(), *ladders()]
NAMES = [recipe.name for recipe in FORMS]
GRAPHS = graphs()
SELF_FORMS = self_forms()
SHARING = [recipe for recipe in SELF_FORMS if recipe.self_attention != "mha"]


def names(recipes: list[Recipe]) -> list[str]:
    """Return what the tests are called."""
    return [recipe.name for recipe in recipes]


def tolerance(recipe: Recipe) -> float:
    """Return what a form may differ from the core, by the coarsest of its two precisions."""
    if "int8" in recipe.precisions:
        return 6e-2 if recipe.int8 == "dynamic" else 3e-2
    return 5e-3 if "fp16" in recipe.precisions else 1e-5


@cache
def _expected(session: Session, batch: int) -> Run:
    return _run(session, batch)


def _run(session: Session, batch: int) -> Run:
    """Prefill three tokens, then take three steps."""
    dims = session.dims  # type: ignore[attr-defined]
    features = forms.speech_like(dims, batch=batch)
    prompt = forms.random_tokens(dims, batch=batch, length=3)
    forced = forms.random_tokens(dims, batch=batch, length=3, seed=2)
    return forms.run(session, features, prompt, forced)


@pytest.mark.parametrize("recipe", FORMS, ids=NAMES)
def test_form_computes_what_the_core_computes(
    recipe: Recipe, small_checkpoint: Checkpoint, small_session: Session, tmp_path
) -> None:
    if "bf16" in recipe.precisions:
        pytest.skip("ONNX Runtime has no bfloat16 on the CPU; test_openvino.py runs what it can")
    if recipe.kv_heads is not None:
        pytest.skip("pooled heads are not lossless: tests/passes/test_group_heads.py")
    session = forms.open_session(forms.write(small_checkpoint, recipe, tmp_path))
    for batch in (1, 2):
        error = forms.largest_error(_run(session, batch), _expected(small_session, batch))
        assert error <= tolerance(recipe), f"batch {batch}"


@pytest.fixture(scope="module")
def sharing_session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The core model of a checkpoint with half as many key/value heads as heads."""
    checkpoint = MadeCheckpoint(FEWER_KEYS, weights(FEWER_KEYS))
    return forms.open_session(forms.write(checkpoint, CORE, tmp_path_factory.mktemp("sharing")))


@pytest.mark.parametrize("recipe", SHARING, ids=names(SHARING))
def test_form_of_fewer_key_heads_computes_what_its_core_computes(
    recipe: Recipe, sharing_session: Session, tmp_path
) -> None:
    checkpoint = MadeCheckpoint(FEWER_KEYS, weights(FEWER_KEYS))
    session = forms.open_session(forms.write(checkpoint, recipe, tmp_path))
    for batch in (1, 2):
        error = forms.largest_error(_run(session, batch), _expected(sharing_session, batch))
        assert error <= tolerance(recipe), f"batch {batch}"


@pytest.mark.parametrize(("recipe", "part"), GRAPHS, ids=[f"{r.name}-{p}" for r, p in GRAPHS])
def test_passes_applied_twice_change_nothing(
    recipe: Recipe, part: Part, small_core: CoreModel
) -> None:
    model = small_core.part(part)
    for step in passes_for(recipe, part):
        once = forms.serialized(run(model, [step]))
        assert forms.serialized(run(model, [step])) == once, type(step).__name__


def test_every_form_of_the_encoder_is_covered() -> None:
    assert {recipe.encoder_attention for recipe in rewrites()} == set(BIDIRECTIONAL)
    for recipe in rewrites():  # which forms of the decoder it goes with does not matter
        alone = form(CORE, encoder_attention=recipe.encoder_attention)
        asked, needed = (passes_for(one, "encoder") for one in (recipe, alone))
        assert [type(step) for step in asked] == [type(step) for step in needed]
