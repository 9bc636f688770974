"""The command: makes the models, runs the parts, writes the tables and the raw samples."""

import argparse
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

import whisperopt
from benchmarks.peers import engines, recordings, setting, tables, turns
from benchmarks.peers.engine import JOBS, OURS, Engine, Job, Made, Source
from benchmarks.peers.models import random_weights
from benchmarks.peers.samples import Part, Row
from benchmarks.peers.setting import Setting
from benchmarks.peers.turns import House, Stage, say
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.resolve import resolve
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.host import usable_cores
from whisperopt.release import catalog


class Report(msgspec.Struct, kw_only=True):
    """Everything that is written."""

    setting: Setting
    models: dict[str, Made | str]
    parts: list[Part]
    finished: bool = False


def main() -> int:
    """Run what was asked for; what was measured is written even when it is broken off."""
    given = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(given)
    except WhisperoptError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say(f"broken off; what was measured is in {given.out}.json")
        return 130


def _run(given: argparse.Namespace) -> int:
    source, checkpoint = _source(given)
    chosen = _engines(given)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    house = House(
        model=checkpoint.name,
        threads=given.threads,
        loads=given.loads,
        limit_s=given.limit_s,
        log=given.out.with_name(f"{given.out.name}.log"),
    )
    models: dict[str, Made | str] = {}
    manifest = given.clips or clip_sets.packaged()
    where = setting.describe(
        model=checkpoint.name,
        random=given.random is not None,
        checkpoint=checkpoint.source,
        release=Path(source.release).name,
        threads=given.threads,
        clips=Path(manifest).absolute().parent.name,
        distributions=[name for engine in chosen for name in engine.distributions],
    )
    report = Report(setting=where, models=models, parts=[])
    for engine in chosen:
        say(f"{engine.name}: its model")
        models[engine.name] = turns.make(engine, source, house)
    _parts(report, given, house, chosen, checkpoint)
    sys.stdout.write(_text(report))
    return 0


def _parts(
    report: Report,
    given: argparse.Namespace,
    house: House,
    chosen: list[Engine],
    checkpoint: Checkpoint,
) -> None:
    clip_set = clip_sets.read(given.clips or clip_sets.packaged())
    languages = checkpoint.decoding.known_languages
    if given.languages:
        languages &= set(given.languages.split(","))
    for job in _jobs(given):
        limit = given.long_limit if job == "long" else given.limit
        playlist = recordings.gather(clip_set, job, languages=languages, limit=limit)
        if not playlist.groups:
            raise BadInputError(f"There is nothing to hear for {job}", "Name other clips")
        part = Part(
            job=job,
            rounds=given.rounds,
            recordings=tuple(one for group in playlist.groups for one in group),
            rows=[_row(engine, job) for engine in chosen],
        )
        report.parts.append(part)
        loads = house.loads if job == "clips" else 1
        stage = Stage(part, playlist, msgspec.structs.replace(house, loads=loads))
        try:
            stage.run(report.models, lambda: _save(report, given.out))
        finally:
            _save(report, given.out)
    report.finished = True
    _save(report, given.out)


def _row(engine: Engine, job: Job) -> Row:
    what = engine.jobs.get(job)
    return Row(engine=engine.name, what=what or "", reason=None if what else "not for this")


def _save(report: Report, out: Path) -> None:
    raw = msgspec.json.format(msgspec.json.encode(report), indent=1)
    out.with_name(f"{out.name}.json").write_bytes(raw + b"\n")
    out.with_name(f"{out.name}.md").write_text(_text(report), "utf-8")


def _text(report: Report) -> str:
    known = not report.setting.random
    made = [
        [name, made.how if isinstance(made, Made) else f"**{made}**"]
        for name, made in report.models.items()
    ]
    parts = [tables.render(part, spoken=known) for part in report.parts]
    steps = "\n".join(["## The models", "", *tables.table(["engine", "how it was made"], made)])
    unfinished = [] if report.finished else ["**The run did not come to its end.**\n"]
    return "\n".join([setting.render(report.setting), *unfinished, *parts, f"{steps}\n"])


def _source(given: argparse.Namespace) -> tuple[Source, Checkpoint]:
    """Return what models are made of; weights of chance and their release are made if missing."""
    model = given.model
    if given.random:
        folder = Source(model="", work=str(given.work), release="").made(
            given.random, lambda out: random_weights.write(given.random, out)
        )
        model = str(folder)
    checkpoint = resolve(model)
    work = given.work / f"{checkpoint.name}-{checkpoint.digest().rpartition(':')[2][:8]}"
    release = given.release
    if release is None:
        if not given.random:
            raise BadInputError("No release is named", "Add --release DIR")
        release = work / "release"
        if not (release / "catalog.json").is_file():
            say("building a release of the weights of chance, without proof")
            targets = sorted({target.partition("-")[0] for target in given.targets.split(",")})
            whisperopt.build(model, target=targets, out=release, proof=False)
    catalog.read(release).model(checkpoint.name)  # the error that says what is wrong with it
    source = Source(
        model=model, work=str(work), release=str(release), optimum_cli=given.optimum_cli
    )
    return source, checkpoint


def _engines(given: argparse.Namespace) -> list[Engine]:
    """Return our targets and the peers whose names contain one of those asked for."""
    ours = [engines.named(f"{OURS}{target}") for target in given.targets.split(",")]
    known = [*ours, *map(engines.named, engines.PEERS)]
    if given.engines is None:
        return known
    wanted = [one.strip().lower() for one in given.engines.split(",")]
    if lost := [one for one in wanted if not any(one in e.name.lower() for e in known)]:
        names = ", ".join(engine.name for engine in known)
        raise BadInputError(f"There is no engine {lost[0]!r}", f"Known are {names}")
    return [engine for engine in known if any(one in engine.name.lower() for one in wanted)]


def _jobs(given: argparse.Namespace) -> Iterable[Job]:
    asked = given.parts.split(",") + (["long"] if given.long else [])
    if lost := [one for one in asked if one not in JOBS]:
        raise BadInputError(f"There is no part {lost[0]!r}", f"Known are {', '.join(JOBS)}")
    return [job for job in JOBS if job in asked]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Time whisperopt's variants and its peers side by side.",
    )
    add = parser.add_argument
    add("--model", default="tiny.en", help="the checkpoint, as `whisperopt build` takes it")
    add("--random", choices=random_weights.SIZES, help="weights of chance in these sizes instead")
    add("--release", type=Path, help="a release of that checkpoint")
    add("--targets", default="openvino,cpu", help="targets, or variants by name")
    add("--engines", help="only those whose names contain one of these, with commas")
    add("--clips", type=Path, help="a manifest; default: the packaged clips")
    add("--languages", help="only clips in these, with commas")
    add("--limit", type=int, help="at most so many clips, from all over the manifest")
    add("--long-limit", type=int, default=3, help="at most so many long recordings (3)")
    add("--parts", default="clips", help="clips, many, long: with commas (clips)")
    add("--long", action="store_true", help="the long recordings too")
    add("--threads", type=int, default=usable_cores(), help="for every engine")
    add("--rounds", type=int, default=3)
    add("--loads", type=int, default=3, help="starts behind the time to the first word (3)")
    add("--limit-s", type=float, default=900, help="an answer later than this is none (900)")
    add("--optimum-cli", default=shutil.which("optimum-cli"), help="optimum-intel's program")
    add("--work", type=Path, default=Path("bench-out/models"), help="where models are kept")
    add("--out", type=Path, default=Path("bench-out/peers"), help="path without its ending")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
