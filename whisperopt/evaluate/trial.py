"""One trial: an artifact is opened and held, clip by clip, to what the core model made of each.

A handler of `whisperopt.process`, since any runtime may end the process that it works in.
"""

import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from whisperopt import __version__, process, registry
from whisperopt.artifact import read as read_artifact
from whisperopt.backend import Decoder, Tier
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate import words
from whisperopt.evaluate.answers import ReferenceOutput, ReferenceOutputs
from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Evidence, Range, Sample
from whisperopt.evaluate.journal import ResumeLog
from whisperopt.evaluate.machine import MachineWatch
from whisperopt.evaluate.words import Errors
from whisperopt.host import Host
from whisperopt.host.memory import peak_rss_bytes
from whisperopt.process import Failure, say
from whisperopt.reasons import because
from whisperopt.runtime import mel, ort_graph, self_test
from whisperopt.runtime.arrays import Floats
from whisperopt.runtime.recognizer import Recognizer
from whisperopt.whisper import SAMPLE_RATE

if TYPE_CHECKING:
    import onnxruntime as ort

EMULATOR = "cpu"
"""The backend on which other backends' graphs are emulated."""
_RANGE_CLIPS = 3


class TrialRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to prove and how."""

    artifact: Path
    digest: str
    tier: Tier
    host: Host
    host_class: str
    manifest: Path
    references: Path
    """The core model's answers: a file, or the folder that the core model's own trial fills."""
    core: bool = False
    """Whether this is the core model's own trial, which has nobody's answers to be held to."""
    journal: Path
    """Folder where every finished clip is noted, to go on from there."""
    strides: tuple[int, ...] = ()
    """Every how many-th clip is heard, the fewest first; empty: what the `tier` asks for."""
    twin: Path | None = None
    """Folder of the fp32 copy whose activations tell whether half precision overflows."""


def run(request: TrialRequest) -> Evidence:
    """Prove what `request` says; progress is told as `clip N of M`."""
    trial, watch = _Trial(request), MachineWatch()
    emulated = request.tier is Tier.EMULATED
    backend = registry.require(EMULATOR if emulated else trial.artifact.manifest.backend)
    say("opening")
    began = datetime.now(UTC).isoformat(timespec="seconds")
    started = time.perf_counter_ns()
    session = backend.open(trial.artifact, threads=request.host.cores)
    load_ns = time.perf_counter_ns() - started
    say("testing itself")
    self_test.check(session, trial.artifact)
    recognizer = Recognizer(trial.artifact, session)
    samples = list(trial.samples(recognizer))
    return Evidence(
        variant=trial.artifact.manifest.variant,
        digest=request.digest,
        tier=request.tier,
        how=f"the {backend.name} backend"
        + (" in its place" if emulated else "")
        + (f", on {len(trial.clips)} clips" if trial.stride > 1 else ""),
        runtime=" ".join(request.host.serving(backend.runtime) or (backend.runtime,)),
        host=request.host,
        host_class=request.host_class,
        whisperopt=__version__,
        started=began,
        clip_set=trial.clip_set.name,
        clip_digest=trial.clip_set.digest,
        stride=None if trial.stride == clip_sets.whole(request.tier) else trial.stride,
        threads=request.host.cores,
        load_ns=load_ns,
        peak_rss_bytes=peak_rss_bytes(),
        placement=session.placement,
        batch_agreement=trial.batch_agreement(recognizer),
        activations=trial.activations(),
        machine=watch.machine(),
        samples=samples,
    )


class _Trial:
    def __init__(self, request: TrialRequest) -> None:
        self.request = request
        self.artifact = read_artifact(request.artifact)
        self.decoding = self.artifact.manifest.decoding
        self.dims = self.artifact.manifest.dims
        self.clip_set = clip_sets.read(request.manifest, checked=True).within(
            self.dims.window, self.decoding.known_languages
        )
        self.strides = request.strides or (clip_sets.whole(request.tier),)
        self._hear(self.strides[0])
        self.references = ReferenceOutputs(request.references)
        self.journal = ResumeLog(request.journal)

    def _hear(self, stride: int) -> None:
        self.stride = stride
        self.clips = clip_sets.played(self.clip_set.clips, self.request.tier, stride)

    def samples(self, recognizer: Recognizer) -> Iterator[Sample]:
        """Warm up, then yield a sample of every clip, be it found before, until they are enough."""
        before = {sample.clip: sample for sample in self.journal.samples()}
        yield self.sample(recognizer, self.clips[0], warm_up=True)
        heard: dict[Clip, Sample] = {}
        for stride in self.strides:
            self._hear(stride)
            for clip in self.clips:
                if clip in heard:
                    continue
                say(f"clip {len(heard) + 1} of {len(self.clips)}")
                known = before.get(clip.file)
                if known is None or (self.request.core and not self.references.has(clip)):
                    known = self.sample(recognizer, clip)
                    self.journal.add(known)
                heard[clip] = known
                yield known
            if all(self.agrees(*pair) for pair in heard.items()):
                break

    def agrees(self, clip: Clip, sample: Sample) -> bool:
        """Say whether a variant says to `clip` what the core model says, at every position."""
        same = sample.agreements == sample.positions
        return same and sample.tokens == self.references.load(clip).tokens

    def sample(self, recognizer: Recognizer, clip: Clip, *, warm_up: bool = False) -> Sample:
        """Judge the first hypothesis of `clip`: fallback decoding would hide what went wrong."""
        audio = self.clip_set.samples(clip)
        started = time.perf_counter_ns()
        decoder = recognizer.encode([audio], recognizer.tail)
        encoded = time.perf_counter_ns()
        (said,) = recognizer.decode(decoder, [clip.language])
        ended = time.perf_counter_ns()
        tokens = list(said.tokens)
        reference, logits = self.compare(decoder, clip, tokens)
        if recognizer.padded:  # what merged tokens lose shows in what the decoder makes of them
            decoder = recognizer.encode([audio], None)
        hidden = decoder.hidden_states()[0]
        cosine, kl_sum = reference.cosine(hidden), reference.kl_sum(logits)
        if not math.isfinite(cosine + kl_sum):
            raise WhisperoptError(because("evaluate.no-numbers", clip.file))
        errors = words.count(clip.text, said.text, clip.language) if clip.text else Errors(0, 0)
        return Sample(
            clip=clip.file,
            seconds=audio.size / SAMPLE_RATE,
            tokens=tokens,
            text=said.text,
            edits=errors.edits,
            units=errors.units,
            total_ns=ended - started,
            encode_ns=encoded - started,
            warm_up=warm_up,
            cosine=cosine,
            relative_error=reference.relative_error(hidden),
            positions=len(logits),
            agreements=reference.agreements(logits),
            kl_sum=kl_sum,
        )

    def compare(
        self, decoder: Decoder, clip: Clip, said: list[int]
    ) -> tuple[ReferenceOutput, Floats]:
        """Return the core model's answer and this session's logits [S, V] when forced to it.

        The core model's own answer is what it just `said` to the clip.
        """
        prompt = self.decoding.prompt(clip.language)
        if not self.request.core:
            reference = self.references.load(clip)
            return reference, _forced(decoder, [*prompt, *reference.tokens])
        logits = _forced(decoder, [*prompt, *said])
        self.references.save(clip, ReferenceOutput.of(decoder.hidden_states()[0], said, logits))
        return self.references.load(clip), logits

    def batch_agreement(self, recognizer: Recognizer) -> float | None:
        """Force two clips alone and together; return the share of equal top tokens."""
        spoken = [clip for clip in self.clips if clip.spoken][:2]
        if recognizer.session.max_batch == 1 or len(spoken) < 2:
            return None
        say("a batch of two")
        forced = [self.references.load(clip).tokens for clip in spoken]
        length = min(map(len, forced))
        rows = [
            [*self.decoding.prompt(clip.language), *tokens[:length]]
            for clip, tokens in zip(spoken, forced, strict=True)
        ]
        audio = [self.clip_set.samples(clip) for clip in spoken]
        together = _stepped(recognizer.encode(audio, recognizer.tail), rows)
        alone = [
            _stepped(recognizer.encode([samples], recognizer.tail), [row])
            for samples, row in zip(audio, rows, strict=True)
        ]
        return float((together == np.concatenate(alone)).mean())

    def activations(self) -> Range | None:
        """Return the largest activation over the loudest clips, where an fp32 copy was written."""
        if self.request.twin is None:
            return None
        say("activations")
        audio = {clip: self.clip_set.samples(clip) for clip in self.clips}
        loudest = sorted(audio, key=lambda clip: -float(np.abs(audio[clip]).max(initial=0)))
        tail = self.artifact.manifest.recipe.audio_tail
        inputs = [
            (
                mel.prepare([audio[clip]], self.dims, tail)[0],
                [*self.decoding.prompt(clip.language), *self.references.load(clip).tokens],
            )
            for clip in loudest[:_RANGE_CLIPS]
        ]
        return largest_activation(self.request.twin, inputs)


def _forced(decoder: Decoder, tokens: list[int]) -> Floats:
    """Prefill all `tokens` at once; logits [S, V]."""
    decoder.reset()
    logits: Floats = decoder.step(np.array([tokens], np.int32))[0]
    return logits


def _stepped(
    decoder: Decoder, rows: list[list[int]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Prefill the first half of `rows`' tokens and step through the rest; top tokens [B, S]."""
    decoder.reset()
    ids = np.array(rows, np.int32)
    half = max(1, ids.shape[1] // 2)
    chunks = [ids[:, :half], *np.split(ids[:, half:], ids.shape[1] - half, axis=1)]
    return np.concatenate([decoder.step(chunk).argmax(axis=-1) for chunk in chunks], axis=1)


STALL_SECONDS = 900
"""A trial that reports no progress for this long has hung: a GPU's engines are built on opening."""


class NoEvidence(msgspec.Struct, frozen=True):
    """A trial that ended without evidence."""

    reason: str
    certain: bool = False
    """Whether the variant is refused, and did not raise, crash or hang, or lack memory."""
    late: bool = False
    """Whether there was no more time: nothing is known, and what was heard is kept for the next."""


def prove(
    request: TrialRequest, progress: Callable[[str], None], *, ends: float = math.inf
) -> Evidence | NoEvidence:
    """Run one trial and return its evidence, or why there is none when time `ends`."""
    limit = max(0.0, ends - time.monotonic())
    found = process.ask(run, request, limit=limit, stall=STALL_SECONDS, progress=progress)
    if not isinstance(found, Failure):
        return found
    # only a runtime's own words tell that it lacked memory
    short = any(word in str(found).lower() for word in ("memory", "alloc"))
    late = found.reason.code == "process.too-long"
    return NoEvidence(str(found), found.certain and not short, late)


def largest_activation(folder: Path, inputs: list[tuple[Floats, list[int]]]) -> Range:
    """Run a twin on features [1, mels, frames] and tokens; return its largest absolute value.

    The graph that ships cannot tell: ONNX Runtime's CPU provider computes fp16 graphs in fp32.
    """
    encoder, decoder = (
        ort_graph.on_cpu(folder / f"{part}.onnx") for part in ("encoder", "decoder")
    )
    peaks: dict[str, float] = {}
    for features, tokens in inputs:
        for node, peak in _peaks(encoder, decoder, features, tokens).items():
            if not math.isfinite(peak):
                raise WhisperoptError(because("evaluate.range", node))
            peaks[node] = max(peak, peaks.get(node, 0.0))
    node = max(peaks, key=lambda name: peaks[name])
    return Range(value=peaks[node], node=node)


_PEAK = "peak/"
"""What the outputs of a twin are called that tell a peak; `passes.twin` writes it."""


def _peaks(
    encoder: "ort.InferenceSession",
    decoder: "ort.InferenceSession",
    features: Floats,
    tokens: list[int],
) -> dict[str, float]:
    encoded = ort_graph.outputs(encoder, {encoder.get_inputs()[0].name: features})
    cross, empty = ort_graph.pasts(encoded, "_cross_"), ort_graph.empty_caches(decoder)
    feeds = {"input_ids": np.array([tokens], np.int32), **ort_graph.lengths(decoder, 0)}
    return {
        name.removeprefix(_PEAK): float(value)
        for name, value in (encoded | ort_graph.outputs(decoder, feeds | cross | empty)).items()
        if name.startswith(_PEAK)
    }
