"""Gelu of ai.onnx becomes that of com.microsoft."""

import onnx_ir as ir
import pytest

from tests.makers import SMALL
from tests.passes import forms
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.passes.contributed_gelu import ContributedGelu
from whisperopt.passes.plan import make
from whisperopt.passes.rewrite import PassError, nodes, run

LAYERS = {"encoder": SMALL.encoder_layers + 2, "decoder": SMALL.decoder_layers}


@pytest.mark.parametrize("part", PARTS)
def test_every_gelu_is_replaced_and_nothing_else(part: Part, small_core: CoreModel) -> None:
    before = forms.operators(small_core.part(part))
    after = forms.operators(run(small_core.part(part), [ContributedGelu()]))
    assert after.pop("com.microsoft.Gelu") == before.pop("Gelu") == LAYERS[part]
    assert after == before


def test_a_graph_that_had_standard_operators_only_imports_the_domain(
    small_core: CoreModel,
) -> None:
    model = small_core.part("encoder")
    model.graph.opset_imports.pop("com.microsoft", None)
    assert run(model, [ContributedGelu()]).graph.opset_imports["com.microsoft"] == 1


def test_a_second_time_changes_nothing(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [ContributedGelu()])
    once = forms.serialized(model)
    assert forms.serialized(run(model, [ContributedGelu()])) == once


def test_an_approximation_is_refused_by_name(small_core: CoreModel) -> None:
    model = small_core.part("encoder")
    nodes(model, "Gelu")[0].attributes.add(ir.AttrString("approximate", "tanh"))
    with pytest.raises(PassError, match=r"encoder\.conv1/Gelu is an approximation, 'tanh'"):
        run(model, [ContributedGelu()])


def test_what_says_that_it_is_exact_is_taken(small_core: CoreModel) -> None:
    model = small_core.part("encoder")
    nodes(model, "Gelu")[0].attributes.add(ir.AttrString("approximate", "none"))
    found = nodes(run(model, [ContributedGelu()]), "Gelu")[0]
    assert "approximate" not in found.attributes


def test_a_recipe_asks_for_it_by_name(small_core: CoreModel) -> None:
    wanted = forms.form(name="wanted", traits=("contributed-gelu",))
    assert "Gelu" not in forms.operators(make(wanted, small_core, "encoder"))


def test_promise_counts_what_is_left(small_core: CoreModel) -> None:
    assert ContributedGelu().ensures(small_core.part("decoder")) == "2 Gelu nodes are left"
