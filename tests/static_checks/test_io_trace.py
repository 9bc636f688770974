"""A trace holds what the CPU computed, call by call, and tells how far another runtime is off."""

from pathlib import Path

import numpy as np
import pytest

from tests.passes import forms
from whisperopt.backend import Recipe
from whisperopt.errors import WhisperoptError
from whisperopt.reasons import because
from whisperopt.static_checks import io_trace
from whisperopt.static_checks.io_trace import Difference, Trace

HALF = forms.form(name="half", encoder_precision="fp16", decoder_precision="fp16")
CONCAT = forms.form(name="concat", self_attention="mha", cache="concat")
RECIPES = [forms.CORE, forms.DECOMPOSED, CONCAT, HALF]


@pytest.fixture(scope="module", params=RECIPES, ids=lambda recipe: recipe.name)
def recorded(request, small_checkpoint, tmp_path_factory) -> tuple[Recipe, Trace, Path]:
    """Return a recipe with a trace of it and the folder that it lies in."""
    folder = tmp_path_factory.mktemp("trace")
    made = forms.write(small_checkpoint, request.param, folder / "artifact")
    return request.param, io_trace.record(made, folder / "trace"), folder / "trace"


@pytest.fixture
def core(small_artifact, tmp_path) -> tuple[Trace, Path, Path]:
    """Return a trace of the core model, its folder, and a copy of what the CPU wrote."""
    made = io_trace.record(small_artifact, tmp_path / "trace", batches=(1,), steps=1)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    for run in made:
        for one in run.outputs:
            (outputs / one.file).write_bytes((tmp_path / "trace" / one.file).read_bytes())
    return made, tmp_path / "trace", outputs


def replay(made: Trace, folder: Path, graphs: Path, outputs: Path) -> None:
    """Do what another runtime does: each call by itself, knowing nothing but the trace."""
    import onnxruntime as ort

    outputs.mkdir()
    for run in made:
        session = ort.InferenceSession(graphs / run.graph, providers=["CPUExecutionProvider"])
        feeds = {one.name: one.read(folder) for one in run.feeds}
        found = session.run([one.name for one in run.outputs], feeds)
        for one, values in zip(run.outputs, found, strict=True):
            values.tofile(outputs / one.file)


def test_a_replay_of_any_cache_form_agrees(recorded, tmp_path) -> None:
    _, made, folder = recorded
    replay(made, folder, folder.parent / "artifact", tmp_path / "outputs")
    differences = io_trace.compare(made, folder, tmp_path / "outputs")
    assert io_trace.within(differences, 1e-6) is None
    assert len(differences) == sum(len(run.outputs) for run in made)


def test_the_calls_are_those_of_a_greedy_decoder(recorded) -> None:
    recipe, made, _ = recorded
    words = ["encoder", "prefill", "step 1", "step 2"]
    assert [run.label for run in made] == [f"{w}, batch {b}" for b in (1, 2) for w in words]
    lengths = [None] * 4 if recipe.cache == "concat" else [None, 4, 5, 6]
    assert [run.valid for run in made] == lengths * 2


def test_the_files_are_those_of_the_trace(recorded) -> None:
    _, made, folder = recorded
    listed = {one.file for run in made for one in (*run.feeds, *run.outputs)}
    assert {path.name for path in folder.iterdir()} == listed


def test_rows_hear_different_sounds(recorded) -> None:
    _, made, folder = recorded
    logits = next(run for run in made if run.label == "prefill, batch 2").outputs[0]
    first, second = logits.read(folder)
    assert np.abs(first - second).max() > 0.01 * np.abs(first).max()


def worst(differences: tuple[Difference, ...]) -> Difference:
    return max(differences, key=lambda one: one.relative_l2)


def test_a_wrong_output_is_named_with_its_error(core) -> None:
    made, folder, outputs = core
    logits = made[1].outputs[0]
    (logits.read(outputs) * np.float32(1.25)).tofile(outputs / logits.file)
    differences = io_trace.compare(made, folder, outputs)
    off = worst(differences)
    assert (off.label, off.output) == ("prefill, batch 1", "logits")
    assert off.relative_l2 == pytest.approx(0.25)
    reason = io_trace.within(differences, 0.1)
    assert reason is not None
    assert (reason.code, reason.place) == ("io_trace.off", "logits (prefill, batch 1)")
    assert io_trace.within(differences, 0.3) is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path, values: path.unlink(), "io_trace.missing"),
        (lambda path, values: values[..., :-1].tofile(path), "io_trace.shape"),
        (lambda path, values: path.write_bytes(b""), "io_trace.shape"),
        (lambda path, values: (values * np.float32("nan")).tofile(path), "io_trace.not-finite"),
        (lambda path, values: (values + np.float32("inf")).tofile(path), "io_trace.not-finite"),
    ],
    ids=["missing", "short", "empty", "not-a-number", "infinite"],
)
def test_what_cannot_be_compared_is_infinitely_off(core, spoil, said) -> None:
    made, folder, outputs = core
    hidden = made[0].outputs[0]
    spoil(outputs / hidden.file, hidden.read(outputs))
    differences = io_trace.compare(made, folder, outputs)
    assert worst(differences).output == "hidden_states"
    assert worst(differences).relative_l2 == float("inf")
    assert io_trace.within(differences, 1e9).code == said


def test_what_no_probability_depends_on_does_not_count(core) -> None:
    made, folder, outputs = core
    logits = made[1].outputs[0]
    values = logits.read(outputs)
    (values + np.float32(values.max())).tofile(outputs / logits.file)
    assert io_trace.within(io_trace.compare(made, folder, outputs), 1e-5) is None


@pytest.mark.parametrize("recipe", [forms.CORE, CONCAT], ids=lambda recipe: recipe.name)
def test_several_tokens_at_once_start_from_scratch(small_checkpoint, tmp_path, recipe) -> None:
    made = forms.write(small_checkpoint, recipe, tmp_path / "artifact")
    traced = io_trace.record(made, tmp_path / "trace", batches=(2,), steps=1, at_once=9)
    last = traced[-1]
    feeds = {one.name: one for one in last.feeds}
    assert last.label == "9 at once, batch 2"
    assert feeds["input_ids"].shape == (2, 9)
    assert np.unique(feeds["input_ids"].read(tmp_path / "trace")).size == 18
    past = feeds["past_key_self_0"].read(tmp_path / "trace")
    assert not past.any()
    assert last.valid == (None if recipe.cache == "concat" else 9)
    replay(traced, tmp_path / "trace", made.path, tmp_path / "outputs")
    differences = io_trace.compare(traced, tmp_path / "trace", tmp_path / "outputs")
    assert io_trace.within(differences, 1e-6) is None


def test_only_slots_that_hold_tokens_count(core) -> None:
    made, folder, outputs = core
    run = made[2]
    present = run.outputs[1]
    values = present.read(outputs)
    values[:, :, run.valid :] = np.nan
    values.tofile(outputs / present.file)
    assert io_trace.within(io_trace.compare(made, folder, outputs), 0.0) is None
    values[:, :, run.valid - 1] = 0
    values.tofile(outputs / present.file)
    assert "present_key_self_0" in str(
        io_trace.within(io_trace.compare(made, folder, outputs), 0.01)
    )


def test_nothing_computed_is_a_reason() -> None:
    assert io_trace.within((), 1.0) == because("io_trace.nothing")


def test_a_graph_that_the_cpu_cannot_open_is_one_sentence(small_checkpoint, tmp_path) -> None:
    made = forms.write(small_checkpoint, forms.CORE, tmp_path / "artifact")
    made.graph("decoder").write_bytes(b"not a graph")
    with pytest.raises(WhisperoptError, match="the CPU cannot open small--cpu-core") as caught:
        io_trace.record(made, tmp_path / "trace")
    assert "\n" not in str(caught.value)
