"""Run as `python -m`: proves one artifact in a process of its own, since any runtime may abort it."""

import math
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from whisperopt import __version__, isolated, registry
from whisperopt.artifact import Artifact
from whisperopt.artifact import read as read_artifact
from whisperopt.backend import Decoder, Session, Tier
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate import evidence as evidences
from whisperopt.evaluate import words
from whisperopt.evaluate.answers import References
from whisperopt.evaluate.clips import Clip, ClipSet
from whisperopt.evaluate.evidence import Evidence, Range, Sample
from whisperopt.evaluate.journal import Journal
from whisperopt.evaluate.machine import Watch
from whisperopt.evaluate.ranges import largest_activation
from whisperopt.evaluate.reference import Reference
from whisperopt.evaluate.words import Errors
from whisperopt.host import Host
from whisperopt.processes import peak_rss_bytes
from whisperopt.runtime import context, greedy, self_test
from whisperopt.runtime.arrays import Floats, Spans
from whisperopt.runtime.tokenizer import Tokenizer
from whisperopt.whisper import SAMPLE_RATE

EMULATOR = "cpu"
"""The backend on which other backends' graphs are emulated."""
_RANGE_CLIPS = 3
FAILED, RAISED = 70, 71
"""Exit statuses of a trial whose last line is the reason: its own, or an exception that another
try may not meet. 3 is an abort on Windows."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to prove and how."""

    artifact: Path
    digest: str
    tier: Tier
    host: Host
    host_class: str
    manifest: Path
    references: Path
    """The core model's answers: a file, or the folder that the core model's own trial fills."""
    is_core: bool
    threads: int
    journal: Path
    """Folder where every finished clip is noted, to go on from there."""
    out: Path
    stride: int = 1
    """Use only every so many-th clip of a kind."""
    twin: Path | None = None
    """Folder of the fp32 twin whose activations tell whether half precision overflows."""


def main(path: Path) -> int:
    """Prove what the request file says; progress goes to stdout as `clip N of M`."""
    request = msgspec.json.decode(
        path.read_bytes(), type=Request, dec_hook=lambda kind, value: kind(value)
    )
    isolated.end_with_parent()
    try:
        evidences.write(request.out, _Trial(request).run())
    except WhisperoptError as error:
        sys.stdout.write(f"{error}\n")
        return FAILED
    except Exception as error:  # noqa: BLE001  # a backend's or runtime's own, told by its first line
        traceback.print_exc()
        first_line = (str(error).strip() or "no reason given").splitlines()[0]
        sys.stdout.write(f"{type(error).__name__}: {first_line}\n")
        return RAISED
    return 0


class _Trial:
    def __init__(self, request: Request) -> None:
        self.request = request
        self.artifact: Artifact = read_artifact(request.artifact)
        self.decoding = self.artifact.manifest.decoding
        self.dims = self.artifact.manifest.dims
        self.clip_set: ClipSet = clip_sets.read(request.manifest, checked=True).within(
            self.dims.window, self.decoding.known_languages
        )
        self.clips = self.clip_set.thinned(request.stride)
        self.references = References(request.references)
        self.journal = Journal(request.journal)
        self.tokenizer = Tokenizer(self.artifact.tokenizer, self.decoding.end_of_text)

    def run(self) -> Evidence:
        request, watch = self.request, Watch()
        backend = EMULATOR if request.tier is Tier.EMULATED else self.artifact.manifest.backend
        _say("opening")
        began = datetime.now(UTC).isoformat(timespec="seconds")
        started = time.perf_counter_ns()
        chosen = registry.require(backend)
        opened = chosen.open(self.artifact, threads=request.threads)
        load_ns = time.perf_counter_ns() - started
        _say("testing itself")
        self.test(opened)
        samples = list(self.samples(opened))
        emulated = request.tier is Tier.EMULATED
        return Evidence(
            variant=self.artifact.manifest.variant,
            digest=request.digest,
            tier=request.tier,
            how=f"the {backend} backend"
            + (f" in its place, on {len(self.clips)} clips" if emulated else ""),
            runtime=" ".join(request.host.serving(chosen.runtime) or (chosen.runtime,)),
            host=request.host,
            host_class=request.host_class,
            whisperopt=__version__,
            started=began,
            clip_set=self.clip_set.name,
            clip_digest=self.clip_set.digest,
            threads=request.threads,
            load_ns=load_ns,
            peak_rss_bytes=peak_rss_bytes(),
            placement=opened.placement,
            batch_agreement=self.batch_agreement(opened),
            activations=self.activations(),
            machine=watch.machine(),
            samples=samples,
        )

    def samples(self, session: Session) -> Iterator[Sample]:
        """Warm up, then yield a sample of every clip: those found before, and then the others."""
        before = {sample.clip: sample for sample in self.journal.samples()}
        yield self.sample(session, self.clips[0], warm_up=True)
        for number, clip in enumerate(self.clips, 1):
            _say(f"clip {number} of {len(self.clips)}")
            known = before.get(clip.file)
            if known is None or (self.request.is_core and not self.references.has(clip)):
                known = self.sample(session, clip)
                self.journal.add(known)
            yield known

    def test(self, session: Session) -> None:
        """Record what the core model says to the self-test's sound, or hold a variant to it."""
        if self.request.is_core:
            expected = self_test.record(session, self.dims, self.decoding.prompt(None))
            self_test.write(self.request.out.with_name(self_test.FILE), expected)
        else:
            self_test.check(session, self.artifact)

    def sample(self, session: Session, clip: Clip, *, warm_up: bool = False) -> Sample:
        audio = self.clip_set.samples(clip)
        started = time.perf_counter_ns()
        features, spans = self.heard(audio)
        decoder = context.encode(session, features, spans)
        encoded = time.perf_counter_ns()
        prompt = self.prompt(clip)
        (tokens,) = greedy.decode(decoder, self.decoding, [prompt], self.dims.text_context // 2)
        ended = time.perf_counter_ns()
        reference, logits = self.compare(decoder, clip, prompt, tokens)
        hidden = self.whole(session, audio, decoder, spans)
        cosine, kl_sum = reference.cosine(hidden), reference.kl_sum(logits)
        if not math.isfinite(cosine + kl_sum):
            raise WhisperoptError(f"gave values that are no numbers for {clip.file}")
        text = self.tokenizer.decode(tokens)
        errors = words.count(clip.text, text, clip.language) if clip.text else Errors(0, 0)
        return Sample(
            clip=clip.file,
            seconds=audio.size / SAMPLE_RATE,
            tokens=tokens,
            text=text,
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
        self, decoder: Decoder, clip: Clip, prompt: list[int], said: list[int]
    ) -> tuple[Reference, Floats]:
        """Return the core model's answer and this session's logits [S, V] when forced to it.

        The core model's own answer is what it just `said` to the clip.
        """
        if self.request.is_core:
            logits = _forced(decoder, [[*prompt, *said]])[0]
            self.references.save(clip, Reference.of(decoder.hidden_states()[0], said, logits))
            return self.references.load(clip), logits
        reference = self.references.load(clip)
        return reference, _forced(decoder, [[*prompt, *reference.tokens]])[0]

    def batch_agreement(self, session: Session) -> float | None:
        """Force two clips alone and together; return the share of equal top tokens."""
        spoken = [clip for clip in self.clips if clip.spoken][:2]
        if session.max_batch == 1 or len(spoken) < 2:
            return None
        _say("a batch of two")
        references = [self.references.load(clip) for clip in spoken]
        length = min(len(reference.tokens) for reference in references)
        rows = [
            [*self.prompt(clip), *reference.tokens[:length]]
            for clip, reference in zip(spoken, references, strict=True)
        ]
        audio = [self.clip_set.samples(clip) for clip in spoken]
        together = _stepped(context.encode(session, *self.heard(*audio)), rows)
        alone = [
            _stepped(context.encode(session, *self.heard(one)), [row])
            for one, row in zip(audio, rows, strict=True)
        ]
        return float((together == np.concatenate(alone)).mean())

    def activations(self) -> Range | None:
        """Return the largest activation over the loudest clips, where a twin was written."""
        if self.request.twin is None:
            return None
        _say("activations")
        audio = {clip: self.clip_set.samples(clip) for clip in self.clips}
        loudest = sorted(audio, key=lambda clip: -float(np.abs(audio[clip]).max(initial=0)))
        inputs = [
            (
                self.heard(audio[clip])[0],
                [*self.prompt(clip), *self.references.load(clip).tokens],
            )
            for clip in loudest[:_RANGE_CLIPS]
        ]
        return largest_activation(self.request.twin, inputs)

    def heard(self, *audio: Floats) -> tuple[Floats, Spans | None]:
        return context.prepare(audio, self.dims, self.artifact.manifest.recipe.audio_tail)

    def whole(
        self, session: Session, audio: Floats, decoder: Decoder, spans: Spans | None
    ) -> Floats:
        """Return the encoder's output [L, D] with every position on its own, as the core's is.

        What is lost by spans shows in what the decoder makes of them.
        """
        if spans is not None:
            decoder = session.encode(context.prepare([audio], self.dims, None)[0])
        hidden: Floats = decoder.hidden_states()[0]
        return hidden

    def prompt(self, clip: Clip) -> list[int]:
        return self.decoding.prompt(clip.language)


def _say(doing: str) -> None:
    """Report progress: whoever waits kills a trial that is silent for too long."""
    sys.stdout.write(f"{doing}\n")
    sys.stdout.flush()


def _forced(decoder: Decoder, rows: list[list[int]]) -> Floats:
    """Prefill whole `rows` at once; logits [B, S, V]."""
    decoder.reset()
    return decoder.step(np.array(rows, np.int32))


def _stepped(
    decoder: Decoder, rows: list[list[int]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Prefill the first half of `rows`' tokens and step through the rest; top tokens [B, S]."""
    decoder.reset()
    ids = np.array(rows, np.int32)
    half = max(1, ids.shape[1] // 2)
    chunks = [ids[:, :half], *np.split(ids[:, half:], ids.shape[1] - half, axis=1)]
    return np.concatenate([decoder.step(chunk).argmax(axis=-1) for chunk in chunks], axis=1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
