"""`whisperopt transcribe`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import click

from whisperopt.cli import COUNT, PATH, device_option, json_option, print_json, put, report, say
from whisperopt.errors import WhisperoptError
from whisperopt.loader import load
from whisperopt.runtime.transcriber import Transcript

Format = Literal["txt", "json", "srt", "vtt"]


@click.command()
@click.argument("audio", nargs=-1, required=True, type=PATH)
@click.option("--model", default="tiny.en", help="Release, artifact, or name of a fetched model.")
@click.option("--target", default="auto", help="Restrict the choice to one target.")
@device_option
@click.option("--language", help="Language code; default: listen for it.")
@click.option("--threads", type=COUNT, help="CPU threads; default: all cores.")
@click.option(
    "--batch",
    type=COUNT,
    default=8,
    show_default=True,
    help="Clips, or chunks of long ones, that are heard at once.",
)
@click.option(
    "form",
    "--format",
    type=click.Choice(get_args(Format)),
    default="txt",
    help="What to print.",
)
@json_option
def transcribe(
    *,
    audio: tuple[Path, ...],
    model: str,
    target: str,
    device: str | None,
    language: str | None,
    threads: int | None,
    batch: int,
    form: Format,
) -> None:
    """Transcribe AUDIO files with the variant that fits this host best.

    A file that cannot be used is named with the reason; the others are transcribed all the same.
    Long recordings are cut in their pauses.
    """
    transcriber = load(model, target, device=device, threads=threads)
    say(f"Using {transcriber.decisions[0]}")
    for passed_over in transcriber.decisions[1:]:
        say(f"  not {passed_over}")
    as_json = form == "json" or click.get_current_context().meta["as_json"]
    done: list[tuple[str, Transcript]] = []
    worst = 0
    every = transcriber.transcribe_each(audio, language, batch=batch)
    for path, transcript in zip(audio, every, strict=True):
        if isinstance(transcript, WhisperoptError):
            report(transcript)
            worst = max(worst, transcript.exit_code)
            continue
        for note in transcript.notes:
            say(f"Note: {note}.")
        if as_json:
            done.append((str(path), transcript))
        else:
            put(_render(transcript, form, str(path) if len(audio) > 1 else ""))
    if as_json:
        print_json([{"audio": name, "transcript": transcript} for name, transcript in done])
    if worst:
        raise click.exceptions.Exit(worst)


def _render(transcript: Transcript, form: Format, name: str) -> str:
    if form == "txt":
        return f"{name}: {transcript.text}" if name else transcript.text
    spoken = [segment for segment in transcript.segments if segment.text]
    cues: Sequence[str] = [
        f"{number}\n{_clock(s.start, form)} --> {_clock(s.end, form)}\n{_cue(s.text, form)}\n"
        for number, s in enumerate(spoken, 1)
    ]
    head = ["WEBVTT\n"] if form == "vtt" else []
    return "\n".join([*head, *cues])


def _cue(text: str, form: Format) -> str:
    """An empty line would end a cue, and WebVTT reads `&` and `<` as markup."""
    line = " ".join(text.split())
    return line.replace("&", "&amp;").replace("<", "&lt;") if form == "vtt" else line


def _clock(seconds: float, form: Format) -> str:
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    whole, part = divmod(rest, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{',' if form == 'srt' else '.'}{part:03}"
