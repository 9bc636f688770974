"""OpenVINO's own graphs keep their caches to themselves, and lose them when they are told to."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.makers import SMALL, write_ctranslate2
from tests.passes import forms
from whisperopt.backend import Session
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.errors import WhisperoptError
from whisperopt.exporter import openvino_genai
from whisperopt.exporter.openvino_genai import recipe
from whisperopt.graph.core import CoreModel, write

ov = pytest.importorskip("openvino", reason="pip install 'whisperopt[openvino]'")

FEATURES = forms.speech_like(SMALL, batch=2)
PROMPT = forms.random_tokens(SMALL, batch=2, length=3)
NEXT = forms.random_tokens(SMALL, batch=2, length=1, seed=2)
F32 = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


@pytest.fixture(scope="module")
def converted(small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both parts of the small model."""
    return convert(small_checkpoint, tmp_path_factory.mktemp("states"))


def convert(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write both parts of `checkpoint` as OpenVINO's graphs into `folder`."""
    core, made = CoreModel(checkpoint), recipe("fp32", checkpoint.dims)
    for part in ("encoder", "decoder"):
        write(getattr(openvino_genai, part)(core, made), folder / f"{part}.onnx")
        openvino_genai.convert(folder / f"{part}.onnx", folder / f"{part}.xml")
    return folder


@pytest.fixture(scope="module")
def compiled(converted: Path) -> dict[str, Any]:
    """Both parts, compiled for exact computation."""
    core = ov.Core()
    parts = ("encoder", "decoder")
    return {part: core.compile_model(converted / f"{part}.xml", "CPU", F32) for part in parts}


def step(request: Any, ids: Any, *, hidden: Any = None, rows: Any = None) -> Any:
    """Return the logits of one step."""
    if hidden is not None:
        request.set_tensor("encoder_hidden_states", ov.Tensor(np.ascontiguousarray(hidden)))
    rows = np.arange(len(ids), dtype=np.int32) if rows is None else rows
    request.set_tensor("beam_idx", ov.Tensor(rows))
    request.set_tensor("input_ids", ov.Tensor(ids.astype(np.int64)))
    request.infer()
    return request.get_tensor("logits").data.copy()


def test_all_caches_are_states(compiled: dict[str, Any]) -> None:
    inputs = {port.get_any_name() for port in compiled["decoder"].inputs}
    assert inputs == {"input_ids", "encoder_hidden_states", "beam_idx"}
    assert [port.get_any_name() for port in compiled["decoder"].outputs] == ["logits"]
    kept = compiled["decoder"].create_infer_request().query_state()
    assert len(kept) == 4 * SMALL.decoder_layers


@pytest.mark.parametrize("batch", [1, 2])
def test_steps_agree_with_the_core_model(
    batch: int, compiled: dict[str, Any], small_session: Session
) -> None:
    core = small_session.encode(FEATURES[:batch])
    hidden = compiled["encoder"]({"input_features": FEATURES[:batch]})["last_hidden_state"]
    assert forms.relative_error(hidden, core.hidden_states()) < 1e-5
    request = compiled["decoder"].create_infer_request()
    for ids in (PROMPT[:batch], NEXT[:batch], NEXT[:batch]):
        found = step(request, ids, hidden=hidden)
        assert forms.relative_error(found, core.step(ids)) < 1e-5


def test_the_audio_is_heard_once_until_a_reset(
    compiled: dict[str, Any], small_session: Session
) -> None:
    one, two = (small_session.encode(FEATURES[i : i + 1]) for i in range(2))
    request = compiled["decoder"].create_infer_request()
    step(request, PROMPT[:1], hidden=one.hidden_states())
    one.step(PROMPT[:1])
    again = step(request, NEXT[:1], hidden=two.hidden_states())
    assert forms.relative_error(again, one.step(NEXT[:1])) < 1e-5
    request.reset_state()
    assert forms.relative_error(step(request, PROMPT[:1]), two.step(PROMPT[:1])) < 1e-5


def test_a_beam_grows_from_one_row(compiled: dict[str, Any], small_session: Session) -> None:
    core = small_session.encode(FEATURES[:1])
    request = compiled["decoder"].create_infer_request()
    step(request, PROMPT[:1], hidden=core.hidden_states())
    rows, ids = np.array([0, 0], np.int32), NEXT[[0, 0]]
    found = step(request, ids, hidden=core.hidden_states()[[0, 0]], rows=rows)
    core.step(PROMPT[:1])
    expected = core.step(NEXT[:1])[[0, 0]]
    assert forms.relative_error(found, expected) < 1e-5


def test_shared_key_value_heads_stay_shared(tmp_path: Path) -> None:
    dims = msgspec.structs.replace(SMALL, decoder_kv_heads=2)
    write_ctranslate2(tmp_path / "grouped", dims)
    checkpoint = open_checkpoint(tmp_path / "grouped")
    core = forms.open_session(forms.write(checkpoint, forms.CORE, tmp_path / "core"))
    decoder = core.encode(FEATURES)
    path = convert(checkpoint, tmp_path) / "decoder.xml"
    request = ov.Core().compile_model(path, "CPU", F32).create_infer_request()
    for ids in (PROMPT, NEXT):
        found = step(request, ids, hidden=decoder.hidden_states())
        assert forms.relative_error(found, decoder.step(ids)) < 1e-5
    assert {tuple(one.state.shape[1:]) for one in request.query_state()} == {
        (2, PROMPT.shape[1] + 1, dims.head_size),
        (dims.decoder_heads, dims.audio_context, dims.head_size),
    }


def test_caches_keep_half_precision_unless_somebody_asks_otherwise(
    converted: Path, small_session: Session
) -> None:
    decoder = ov.Core().compile_model(converted / "decoder.xml", "CPU", {})
    assert decoder.get_property("KV_CACHE_PRECISION") == ov.Type.f16
    core = small_session.encode(FEATURES[:1])
    request = decoder.create_infer_request()
    step(request, PROMPT[:1], hidden=core.hidden_states())
    core.step(PROMPT[:1])
    # what a CPU computes in unless it is asked may be bfloat16
    assert forms.relative_error(step(request, NEXT[:1]), core.step(NEXT[:1])) < 2e-2


def test_what_openvino_cannot_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "decoder.onnx").write_bytes(b"no graph")
    with pytest.raises(WhisperoptError, match=r"OpenVINO cannot convert decoder\.onnx"):
        openvino_genai.convert(tmp_path / "decoder.onnx", tmp_path / "decoder.xml")
