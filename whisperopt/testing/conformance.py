"""What every backend must keep to, as a pytest class: the contract, and its numbers where it runs.

Subclass `BackendConformance` under a name that pytest collects and set `backend`:

    class TestMine(BackendConformance):
        backend = BACKEND
"""

import functools
import re
import shutil
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pytest

from whisperopt.artifact import MANIFEST, TOKENIZER, Artifact
from whisperopt.backend import API, Backend, Decoder, LastLogits, Probe, Recipe, Session, Tier
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.evaluate.case import CORE
from whisperopt.graph.core import PARTS, CoreModel
from whisperopt.ort_backend import OrtBackend
from whisperopt.runtime.arrays import Floats, Tokens
from whisperopt.runtime.ort import CPU
from whisperopt.static_checks import structure
from whisperopt.testing.made import TINY, MadeCheckpoint, describe

_NAME = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")
_PROMPT = 4
_LENGTH = 9
_SMALL = 0.05
"""Far above rounding in half precision, far below what a lost token or a mixed-up row costs."""


class Workshop:
    """Makes and opens variants of the made-up checkpoint, each once, beside its core model."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        """Write to `folder`, which is empty or absent."""
        self.backend, self._folder = backend, folder
        self._checkpoint = MadeCheckpoint()
        self._core = CoreModel(self._checkpoint)
        self._artifacts: dict[str, Artifact] = {}
        self._sessions: dict[str, Session | str] = {}

    def artifact(self, recipe: Recipe) -> Artifact:
        """Return the variant of `recipe`, built when it is first asked for."""
        if recipe.name not in self._artifacts:
            out = self._folder / recipe.name
            out.mkdir(parents=True)
            self.backend.build(recipe, self._core, out)
            made = describe(out, self._checkpoint, recipe, self.backend.name)
            self._artifacts[recipe.name] = made
        return self._artifacts[recipe.name]

    def opened(self, recipe: Recipe) -> Session | str:
        """Return the variant of `recipe` opened, or the reason why this host cannot."""
        if recipe.name not in self._sessions:
            made = self.artifact(recipe)
            try:
                self._sessions[recipe.name] = self.backend.open(made, threads=1)
            except WhisperoptError as error:
                self._sessions[recipe.name] = str(error)
        return self._sessions[recipe.name]

    def session(self, recipe: Recipe) -> Session:
        """Return the variant of `recipe` opened, or skip the test."""
        self.skip_unless_ready()
        session = self.opened(recipe)
        if isinstance(session, str):
            pytest.skip(f"{recipe.name} does not open here: {session}")
        return session

    def reference(self, recipe: Recipe) -> Session:
        """Return the core model with as many key/value heads, on ONNX Runtime's CPU provider."""
        heads = recipe.kv_heads
        session = self._on_the_cpu.opened(CORE.but(name=f"core-{heads}", kv_heads=heads))
        if isinstance(session, str):
            pytest.skip(f"ONNX Runtime's CPU provider computes the expected values: {session}")
        return session

    @functools.cached_property
    def _on_the_cpu(self) -> "Workshop":
        cpu = OrtBackend(name="core", runtime="onnxruntime", extra="cpu", ladder=(), provider=CPU)
        return Workshop(cpu, self._folder / cpu.name)

    def skip_unless_ready(self) -> None:
        """Skip the test where the backend cannot run."""
        probe = self.backend.probe()
        if not probe.ready:
            pytest.skip(f"{self.backend.name} cannot run here: {probe.reason}. {probe.remedy}")


class BackendConformance:
    """Tests of one backend; those of a runtime that is not here are skipped with its reason."""

    backend: ClassVar[Backend]
    tolerances: ClassVar[Mapping[str, float]] = {
        "fp32": 0.005,
        "fp16": 0.03,
        "bf16": 0.1,
        "int8": 0.15,
    }
    """Largest relative error of hidden states and logits against the core model, by precision."""

    @pytest.fixture(scope="class")
    @classmethod
    def workshop(cls, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
        """Where variants of a made-up checkpoint are built and opened."""
        return Workshop(cls.backend, tmp_path_factory.mktemp(cls.backend.name))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run what takes a recipe once for each of the ladder."""
        if "recipe" in metafunc.fixturenames:
            ladder = self.backend.recipes()
            metafunc.parametrize("recipe", ladder, ids=[recipe.name for recipe in ladder])

    def test_it_is_written_for_this_contract(self) -> None:
        """The version of the contract and its own names are given."""
        backend = self.backend
        _hold(backend.api == API, f"api is {backend.api}, this whisperopt needs {API}")
        _hold(_NAME.fullmatch(backend.name), f"{backend.name!r} is no plain name")
        _hold(backend.runtime, "runtime must name the distribution that users install")
        _hold(backend.extra, "extra must name what installs the runtime")

    def test_the_ladder_is_in_order(self) -> None:
        """Recipes have plain names of their own, and stand in only for those above them."""
        above: list[str] = []
        _hold(self.backend.recipes(), "the ladder is empty")
        for recipe in self.backend.recipes():
            _hold(_NAME.fullmatch(recipe.name), f"{recipe.name!r} is no plain name")
            _hold(recipe.name not in above, f"two recipes are called {recipe.name}")
            for name in recipe.stands_in_for:
                _hold(name in above, f"{recipe.name} stands in for {name}, which is not above it")
            above.append(recipe.name)

    def test_recipes_say_what_they_are(self, recipe: Recipe) -> None:
        """A summary for people, and a reason where more proof is asked for than usual."""
        _hold(recipe.summary.strip(), f"{recipe.name} has no summary")
        usual = recipe.selectable_from in (Tier.STRUCTURAL, Tier.EMULATED)
        _hold(usual or recipe.caution, f"{recipe.name} asks for more proof without saying why")
        heads = recipe.kv_heads
        _hold(heads is None or heads > 0, f"{recipe.name} has {heads} key/value heads")

    def test_probing_gives_facts_or_one_reason(self) -> None:
        """A probe never raises; what is missing is one sentence."""
        probe = self.backend.probe()
        _hold(isinstance(probe, Probe), f"probe() returned {type(probe).__name__}")
        _hold(probe.ready or _one_line(probe.reason), f"the reason is no sentence: {probe.reason}")
        _hold(probe.runtime, "a probe names its runtime")

    def test_rehearsals_are_well_formed(self) -> None:
        """Each has a name of its own, says what it proves, and can be asked whether it is here."""
        names = [rehearsal.name for rehearsal in self.backend.rehearsals()]
        _hold(len(set(names)) == len(names), f"two rehearsals have one name: {names}")
        for rehearsal in self.backend.rehearsals():
            _hold(_NAME.fullmatch(rehearsal.name), f"{rehearsal.name!r} is no plain name")
            _hold(rehearsal.summary.strip(), f"{rehearsal.name} does not say what it proves")
            _hold(isinstance(rehearsal, Hashable), f"{rehearsal.name} cannot be hashed")
            worth = rehearsal.tier
            _hold(worth is not Tier.MEASURED, f"{rehearsal.name} is no measurement on a device")
            probe = rehearsal.probe()
            _hold(isinstance(probe, Probe), f"{rehearsal.name} returned no probe")
            _hold(probe.ready or _one_line(probe.reason), f"{rehearsal.name} gives no reason")

    def test_the_table_covers_what_is_built(self, recipe: Recipe, workshop: Workshop) -> None:
        """Every node of every variant is one that the capability table accepts."""
        import onnx_ir as ir

        made, table = workshop.artifact(recipe), self.backend.capabilities()
        for part in PARTS:
            _hold(made.graph(part).is_file(), f"build wrote no {part}.onnx for {recipe.name}")
            report = structure.check(ir.load(made.graph(part)), table, part=part)
            _hold(report.accepted, str(report.summary()))

    def test_some_recipe_opens_here(self, workshop: Workshop) -> None:
        """A runtime that is ready opens at least one rung of the ladder."""
        workshop.skip_unless_ready()
        found = [workshop.opened(recipe) for recipe in self.backend.recipes()]
        opened = [session for session in found if not isinstance(session, str)]
        _hold(opened, f"it is ready and opens nothing: {found}")

    @pytest.mark.parametrize("batch", [1, 2])
    def test_numbers_are_the_core_models(
        self, recipe: Recipe, batch: int, workshop: Workshop
    ) -> None:
        """Hidden states, a prefill and steps; a batch is computed or refused."""
        session = workshop.session(recipe)
        given = sample(batch=batch)
        if session.max_batch is not None and batch > session.max_batch:
            with pytest.raises(BadInputError):
                session.encode(given.features)
            return
        core = workshop.reference(recipe).encode(given.features)
        decoder = session.encode(given.features)
        tolerance = self.tolerance(recipe)
        hidden = decoder.hidden_states()
        _close(hidden, core.hidden_states(), tolerance, "the hidden states")
        expected = stepped(core, given.ids, prompt=_PROMPT)
        found = stepped(decoder, given.ids, prompt=_PROMPT)
        _hold(decoder.past == _LENGTH, f"past is {decoder.past} after {_LENGTH} tokens")
        _close(found[:, :_PROMPT], expected[:, :_PROMPT], tolerance, "the prefill")
        for place in range(_PROMPT, _LENGTH):
            what = f"the step behind {place} tokens"
            _close(found[:, place], expected[:, place], tolerance, what)

    def test_a_reset_forgets_the_tokens_only(self, recipe: Recipe, workshop: Workshop) -> None:
        """The same tokens give the same logits again."""
        session = workshop.session(recipe)
        given = sample(batch=1)
        decoder = session.encode(given.features)
        first = stepped(decoder, given.ids, prompt=_PROMPT)
        decoder.reset()
        _hold(decoder.past == 0, f"past is {decoder.past} after a reset")
        _close(stepped(decoder, given.ids, prompt=_PROMPT), first, _SMALL, "what follows a reset")

    def test_the_last_logits_alone_are_those_of_a_step(
        self, recipe: Recipe, workshop: Workshop
    ) -> None:
        """A decoder that has `step_last` says with it what its `step` says, and moves on alike."""
        session = workshop.session(recipe)
        given = sample(batch=1)
        brief, full = session.encode(given.features), session.encode(given.features)
        if not isinstance(brief, LastLogits):
            return
        for ids in np.split(given.ids, [_PROMPT, _PROMPT + 1, _PROMPT + 2], axis=1)[:3]:
            piece = np.ascontiguousarray(ids)
            last = np.array(brief.step_last(piece))
            _close(last, np.array(full.step(piece))[:, -1], _SMALL, "the last position's logits")
            _hold(brief.past == full.past, "a step for the last logits counts other tokens")

    def test_decoders_of_one_session_keep_apart(self, recipe: Recipe, workshop: Workshop) -> None:
        """Two recordings can be decoded in turns."""
        session = workshop.session(recipe)
        given = sample(batch=2)
        alone = [given.rows([row]) for row in (0, 1)]
        expected = [stepped(session.encode(row.features), row.ids, prompt=1) for row in alone]
        decoders = [session.encode(row.features) for row in alone]
        found: list[list[Floats]] = [[], []]
        for place in range(_LENGTH):
            for turn, decoder in enumerate(decoders):
                ids = np.ascontiguousarray(alone[turn].ids[:, place : place + 1])
                found[turn].append(np.array(decoder.step(ids)))
        for turn in (0, 1):
            logits = np.concatenate(found[turn], axis=1)
            _close(logits, expected[turn], _SMALL, "decoding in turns")

    def test_reordered_rows_go_on_as_what_they_name(
        self, recipe: Recipe, workshop: Workshop
    ) -> None:
        """Caches, hidden states and what is heard move; rows that are not there are refused."""
        session = workshop.session(recipe)
        single = session.max_batch is not None and session.max_batch < 3
        given = sample(batch=1 if single else 3)
        order = [0] if single else [2, 0, 0]
        decoder = session.encode(given.features)
        stepped(decoder, given.ids[:, :-1], prompt=_PROMPT)
        decoder.reorder(np.array(order, np.int32))
        meant = given.rows(order)
        last = np.ascontiguousarray(meant.ids[:, -1:])
        found = np.array(decoder.step(last))
        fresh = session.encode(meant.features)
        expected = stepped(fresh, meant.ids, prompt=_PROMPT)[:, -1:]
        _close(found, expected, _SMALL, f"the step behind reorder({order})")
        hidden = decoder.hidden_states()
        _close(hidden, fresh.hidden_states(), _SMALL, f"hidden states behind reorder({order})")
        with pytest.raises(BadInputError):
            decoder.reorder(np.array([len(order)] * len(order), np.int32))

    @pytest.mark.parametrize("batch", [1, 2])
    def test_several_tokens_behind_a_past_are_right_or_refused(
        self, recipe: Recipe, batch: int, workshop: Workshop
    ) -> None:
        """A chunk is computed as the core model would, or is an error, never something else."""
        session = workshop.session(recipe)
        if session.max_batch is not None and batch > session.max_batch:
            pytest.skip(f"{self.backend.name} takes batches of {session.max_batch}")
        given = sample(batch=batch)
        core = workshop.reference(recipe).encode(given.features)
        expected = stepped(core, given.ids, prompt=_PROMPT)[:, _PROMPT:]
        decoder = session.encode(given.features)
        decoder.step(np.ascontiguousarray(given.ids[:, :_PROMPT]))
        try:
            found = decoder.step(np.ascontiguousarray(given.ids[:, _PROMPT:]))
        except WhisperoptError:
            _hold(decoder.past == _PROMPT, "a refused step moved the decoder on")
        else:
            _close(found, expected, self.tolerance(recipe), "several tokens behind a past")

    def test_more_tokens_than_fit_are_refused(self, recipe: Recipe, workshop: Workshop) -> None:
        """The last position can be filled, the next one is an error and harms nothing."""
        session, capacity = workshop.session(recipe), TINY.text_context
        given = sample(batch=1, length=capacity)
        decoder = session.encode(given.features)
        full = stepped(decoder, given.ids, prompt=capacity - 1)
        _hold(np.isfinite(full).all(), "the last position gives no numbers")
        for ids in (np.ascontiguousarray(given.ids[:, :1]), given.ids):
            with pytest.raises(WhisperoptError):
                decoder.step(ids)
        _hold(decoder.past == capacity, "a refused step moved the decoder on")

    def test_a_damaged_artifact_is_refused_with_a_reason(
        self, recipe: Recipe, workshop: Workshop, tmp_path: Path
    ) -> None:
        """Whatever the runtime says to bytes that are no model, `open` says it as its own error."""
        workshop.skip_unless_ready()
        made = workshop.artifact(recipe)
        for path in made.path.iterdir():
            if path.name in (MANIFEST, TOKENIZER):
                shutil.copy(path, tmp_path)
            else:
                (tmp_path / path.name).write_bytes(b"damaged")
        with pytest.raises(WhisperoptError):
            self.backend.open(Artifact(tmp_path, made.manifest), threads=1)

    def tolerance(self, recipe: Recipe) -> float:
        """Return what the least precise part of `recipe` is allowed."""
        return max(self.tolerances[precision] for precision in recipe.precisions)


class MadeInput(NamedTuple):
    """Something to hear, in the range of log-mel features, and something to write down."""

    features: Floats
    """Float32 [B, mels, frames]."""
    ids: Tokens
    """Int32 [B, S]."""

    def rows(self, rows: list[int]) -> "MadeInput":
        """Return only these rows, in this order."""
        return MadeInput(self.features[rows], self.ids[rows])


def sample(*, batch: int, length: int = _LENGTH) -> MadeInput:
    """Return a made-up batch, the same every time."""
    random = np.random.default_rng(7)
    features = random.uniform(-1, 1.5, (batch, TINY.mels, TINY.frames)).astype(np.float32)
    ids = random.integers(0, TINY.vocabulary, (batch, length)).astype(np.int32)
    return MadeInput(features, ids)


def stepped(decoder: Decoder, ids: Tokens, *, prompt: int) -> Floats:
    """Decode the first `prompt` of `ids` [B, S] at once and the rest one by one; logits [B, S, V]."""
    pieces = [ids[:, :prompt], *np.split(ids[:, prompt:], ids.shape[1] - prompt, axis=1)]
    found = [np.array(decoder.step(np.ascontiguousarray(p))) for p in pieces if p.size]
    return np.concatenate(found, axis=1)


def _hold(holds: object, problem: str) -> None:
    if not holds:
        pytest.fail(problem, pytrace=False)


def _one_line(reason: str | None) -> bool:
    return reason is not None and bool(reason.strip()) and "\n" not in reason.strip()


def _close(found: Floats, expected: Floats, tolerance: float, what: str) -> None:
    _hold(found.dtype == np.float32, f"{what}: {found.dtype}, not float32")
    _hold(found.shape == expected.shape, f"{what}: shape {found.shape}, not {expected.shape}")
    _hold(np.isfinite(found).all(), f"{what}: some values are no numbers")
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    _hold(error <= tolerance, f"{what}: off by {error:.2g}, allowed is {tolerance:g}")
