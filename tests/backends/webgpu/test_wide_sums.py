"""Long sums of half precision are made in single precision, and nothing else changes."""

import onnx_ir as ir
import pytest
from whisperopt.backends.webgpu.wide_sums import WideSums

from tests.passes import forms
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph.core import CoreModel, write
from whisperopt.passes.plan import make
from whisperopt.passes.rewrite import PassError, run

HALF = forms.form(forms.DECOMPOSED, encoder_precision="fp16", decoder_precision="fp16")


def test_values_are_summed_up_in_single_precision(small_core: CoreModel) -> None:
    model = run(make(HALF, small_core, "encoder"), [WideSums()])
    wide = [node for node in model.graph if node.name and node.name.endswith("/wide")]
    assert len(wide) == 2
    for node in wide:
        assert [value.producer().attributes["to"].as_int() for value in node.inputs] == [1, 1]
        (user,) = node.outputs[0].consumers()
        assert (user.op_type, user.attributes["to"].as_int()) == ("Cast", 10)


def test_twice_is_once(small_core: CoreModel) -> None:
    once = run(make(HALF, small_core, "encoder"), [WideSums()])
    before = forms.operators(once)
    assert forms.operators(run(once, [WideSums()])) == before
    assert before["Cast"] == 6


def test_the_model_stays_the_same(small_checkpoint: Checkpoint, tmp_path) -> None:
    plain = forms.write(small_checkpoint, HALF, tmp_path / "plain")
    changed = forms.write(small_checkpoint, HALF, tmp_path / "changed")
    model = run(make(HALF, CoreModel(small_checkpoint), "encoder"), [WideSums()])
    for path in changed.path.glob("encoder.onnx*"):
        path.unlink()
    write(model, changed.graph("encoder"))
    features = forms.speech_like(small_checkpoint.dims, batch=2)
    found, expected = (
        forms.open_session(made).encode(features).hidden_states() for made in (changed, plain)
    )
    assert forms.relative_error(found, expected) < 0.01


def test_fused_attention_is_told(small_core: CoreModel) -> None:
    fused = make(forms.form(HALF, encoder_attention="mha"), small_core, "encoder")
    with pytest.raises(PassError, match="2 MultiHeadAttention nodes hide their sums"):
        run(fused, [WideSums()])


def test_files_say_what_types_their_values_have(small_core: CoreModel) -> None:
    model = run(make(HALF, small_core, "encoder"), [WideSums()])
    model = ir.from_proto(ir.to_proto(model))
    outputs = {value.dtype for value in model.graph.outputs}
    assert outputs == {ir.DataType.FLOAT16}
