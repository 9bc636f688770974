"""A backend that keeps the contract passes, and one that breaks it is told what it broke."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from whisperopt.artifact import Artifact
from whisperopt.backend import API, Probe, Recipe, Tier
from whisperopt.errors import WhisperoptError
from whisperopt.testing import BackendConformance, FakeBackend
from whisperopt.testing.conformance import Workshop
from whisperopt.testing.fake import PLAIN, FakeDecoder, FakeSession


class TestFake(BackendConformance):
    backend = FakeBackend()


class TestFakeOfBatchOne(BackendConformance):
    backend = FakeBackend(max_batch=1)


class Wrong(FakeBackend, kw_only=True):
    """A backend whose decoders do something else."""

    decoder: type[FakeDecoder]

    def open(self, artifact: Artifact, *, threads: int | None = None) -> FakeSession:
        decoder = self.decoder

        class Session(FakeSession):
            def encode(self, features):
                return decoder(self, *self.heard(features))

        return Session(artifact)


class IgnoresThePast(FakeDecoder):
    """As GroupQueryAttention on DirectML does when past and present are two buffers."""

    def step(self, ids):
        self.seen = [np.zeros_like(values) for values in self.seen]
        return super().step(ids)


class TakesChunksForPrompts(FakeDecoder):
    """As GroupQueryAttention on DirectML does with several tokens."""

    def step(self, ids):
        if ids.shape[1] == 1:
            return super().step(ids)
        past, self.past = self.past, 0
        self.seen = []
        logits = super().step(ids)
        self.past += past
        return logits


class LosesBatches(FakeDecoder):
    """As GroupQueryAttention on OpenVINO does with two rows."""

    def step(self, ids):
        logits = super().step(ids)
        return logits if len(ids) == 1 else logits[:0, :0]


class NeverReorders(FakeDecoder):
    def reorder(self, rows):
        if (rows >= len(self.hidden)).any():
            super().reorder(rows)


class ReordersTheSeenOnly(FakeDecoder):
    def reorder(self, rows):
        heard = self.heard
        super().reorder(rows)
        self.heard = heard


class ReordersAnything(FakeDecoder):
    def reorder(self, rows):
        super().reorder(np.minimum(rows, len(self.hidden) - 1))


class NeverForgets(FakeDecoder):
    def reset(self):
        if not self.past:
            super().reset()
        self.past = 0


class HoldsAnyNumber(FakeDecoder):
    def step(self, ids):
        self.past = min(self.past, self.session.dims.text_context - ids.shape[1])
        self.seen = [values[:, :, -20:] for values in self.seen]
        return super().step(ids)


class Overflows(FakeDecoder):
    def step(self, ids):
        return super().step(ids) + (np.float32("inf") if self.past else np.float32(0))


class IsTooPrecise(FakeDecoder):
    def hidden_states(self):
        return super().hidden_states().astype(np.float64)


class SharesItsCache(FakeDecoder):
    latest: FakeDecoder | None = None

    def step(self, ids):
        latest, type(self).latest = type(self).latest, self
        if latest is not None and latest.past == self.past + 1 and len(ids) == 1:
            self.seen = [values[:, :, : self.past] for values in latest.seen]
        return super().step(ids)


def check(backend: FakeBackend, name: str, folder: Path, **given: Any) -> None:
    """Run one test of the conformance class against `backend`."""
    tests = type("Tests", (BackendConformance,), {"backend": backend})()
    method: Callable[..., None] = getattr(tests, f"test_{name}")
    wanted = method.__code__.co_varnames[: method.__code__.co_argcount]
    offered = {"recipe": PLAIN, "workshop": Workshop(backend, folder), "tmp_path": folder} | given
    method(**{name: value for name, value in offered.items() if name in wanted})


@pytest.mark.parametrize(
    ("decoder", "test", "batch", "problem"),
    [
        (IgnoresThePast, "numbers_are_the_core_models", 1, "the step behind 4 tokens: off by"),
        (LosesBatches, "numbers_are_the_core_models", 2, r"the prefill: shape \(0, 0, 320\)"),
        (Overflows, "numbers_are_the_core_models", 1, "no numbers"),
        (IsTooPrecise, "numbers_are_the_core_models", 1, "the hidden states: float64"),
        (
            TakesChunksForPrompts,
            "several_tokens_behind_a_past_are_right_or_refused",
            1,
            "several tokens behind a past: off by",
        ),
        (
            NeverReorders,
            "reordered_rows_go_on_as_what_they_name",
            3,
            r"the step behind reorder\(\[2, 0, 0\]\): off by",
        ),
        (ReordersTheSeenOnly, "reordered_rows_go_on_as_what_they_name", 3, "off by"),
        (ReordersAnything, "reordered_rows_go_on_as_what_they_name", 3, "DID NOT RAISE"),
        (NeverForgets, "a_reset_forgets_the_tokens_only", 1, "what follows a reset: off by"),
        (SharesItsCache, "decoders_of_one_session_keep_apart", 1, "decoding in turns: off by"),
        (HoldsAnyNumber, "more_tokens_than_fit_are_refused", 1, "DID NOT RAISE"),
    ],
)
def test_what_a_runtime_does_in_silence_is_said(
    decoder: type[FakeDecoder], test: str, batch: int, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(pytest.fail.Exception, match=problem):
        check(Wrong(decoder=decoder), test, tmp_path, batch=batch)


def recipe(**changes: Any) -> Recipe:
    return msgspec.structs.replace(PLAIN, **changes)


@pytest.mark.parametrize(
    ("ladder", "problem"),
    [
        ((), "the ladder is empty"),
        ((PLAIN, PLAIN), "two recipes are called plain-fp32"),
        ((recipe(name="Not Plain"),), "'Not Plain' is no plain name"),
        (
            (recipe(stands_in_for=("better",)), recipe(name="better")),
            "plain-fp32 stands in for better, which is not above it",
        ),
        ((recipe(stands_in_for=("plain-fp32",)),), "stands in for plain-fp32"),
    ],
)
def test_a_ladder_out_of_order_is_said(
    ladder: tuple[Recipe, ...], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(pytest.fail.Exception, match=problem):
        check(FakeBackend(ladder=ladder), "the_ladder_is_in_order", tmp_path)


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (recipe(summary=" "), "plain-fp32 has no summary"),
        (recipe(selectable_from=Tier.MEASURED), "asks for more proof without saying why"),
        (recipe(kv_heads=0), "has 0 key/value heads"),
    ],
)
def test_a_recipe_that_says_too_little_is_said(one: Recipe, problem: str, tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=problem):
        check(FakeBackend(ladder=(one,)), "recipes_say_what_they_are", tmp_path, recipe=one)


def test_another_contract_is_said(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"api is {API + 1}"):
        check(FakeBackend(api=API + 1), "it_is_written_for_this_contract", tmp_path)


def test_a_probe_without_one_sentence_is_said(tmp_path: Path) -> None:
    backend = FakeBackend(unavailable="Traceback:\n  line 3")
    with pytest.raises(pytest.fail.Exception, match="the reason is no sentence"):
        check(backend, "probing_gives_facts_or_one_reason", tmp_path)


def test_an_operator_that_the_table_lacks_is_said(tmp_path: Path) -> None:
    mha = recipe(name="mha", self_attention="mha")
    with pytest.raises(pytest.fail.Exception, match=r"computes no com\.microsoft\.MultiHead"):
        check(FakeBackend(), "the_table_covers_what_is_built", tmp_path, recipe=mha)


def test_a_build_without_graphs_is_said(tmp_path: Path) -> None:
    class Lazy(FakeBackend):
        def build(self, recipe, core, out):
            del recipe, core, out

    with pytest.raises(pytest.fail.Exception, match=r"build wrote no encoder\.onnx"):
        check(Lazy(), "the_table_covers_what_is_built", tmp_path)


def test_a_ready_runtime_that_opens_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"it is ready and opens nothing: .*on fire"):
        check(FakeBackend(refusal="It is on fire"), "some_recipe_opens_here", tmp_path)


def test_an_error_that_is_not_whisperopts_is_not_swallowed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    class Raw(FakeBackend):
        def open(self, artifact, *, threads=None):
            try:
                return super().open(artifact)
            except WhisperoptError:
                raise ValueError("bad magic number") from None

    with pytest.raises(ValueError, match="bad magic number"):
        check(Raw(), "a_damaged_artifact_is_refused_with_a_reason", tmp_path, tmp_path=elsewhere)


@pytest.mark.parametrize("test", ["numbers_are_the_core_models", "some_recipe_opens_here"])
def test_a_runtime_that_is_not_here_is_skipped_with_its_reason(test: str, tmp_path: Path) -> None:
    backend = FakeBackend(unavailable="There is no device")
    with pytest.raises(pytest.skip.Exception, match="fake cannot run here: There is no device"):
        check(backend, test, tmp_path, batch=1)


def test_a_recipe_that_does_not_open_is_skipped_with_its_reason(tmp_path: Path) -> None:
    backend = FakeBackend(refusal="This CPU computes no bfloat16")
    reason = "plain-fp32 does not open here: This CPU computes no bfloat16"
    with pytest.raises(pytest.skip.Exception, match=reason):
        check(backend, "a_reset_forgets_the_tokens_only", tmp_path)


class Rehearsal:
    name, summary, tier = "stage", "that it compiles", Tier.STRUCTURAL

    def probe(self) -> Probe:
        return Probe(runtime="stage", reason="The tool is not installed")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "Stage 1"}, "'Stage 1' is no plain name"),
        ({"summary": ""}, "stage does not say what it proves"),
        ({"tier": Tier.MEASURED}, "stage is no measurement on a device"),
        ({"probe": lambda: None}, "stage returned no probe"),
        ({"probe": lambda: Probe(runtime="stage", reason=" ")}, "stage gives no reason"),
    ],
)
def test_an_ill_formed_rehearsal_is_said(
    changes: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    rehearsal = Rehearsal()
    backend = FakeBackend(stages=(rehearsal,))
    check(backend, "rehearsals_are_well_formed", tmp_path / "well")
    vars(rehearsal).update(changes)
    with pytest.raises(pytest.fail.Exception, match=problem):
        check(backend, "rehearsals_are_well_formed", tmp_path)


def test_two_rehearsals_of_one_name_are_said(tmp_path: Path) -> None:
    backend = FakeBackend(stages=(Rehearsal(), Rehearsal()))
    with pytest.raises(pytest.fail.Exception, match="two rehearsals have one name"):
        check(backend, "rehearsals_are_well_formed", tmp_path)
