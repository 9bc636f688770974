"""Forged evidence: each claim that cannot be true is refused, and the reason says where."""

import json
import os
import sys
from collections.abc import Callable
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.evaluate import forged
from tests.evaluate.forged import NOW, Tree
from tests.selection import releases
from whisperopt import documents
from whisperopt.backend import Tier
from whisperopt.errors import BadInputError
from whisperopt.evaluate import admission, words
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate.clips import FEW, THIRD
from whisperopt.evaluate.evidence import Evidence
from whisperopt.reasons import Reason

Forge = Callable[[Tree], object]


def why(check: Callable[[], object], file: Path = forged.FILE) -> Reason:
    """Return why `check` refuses: its sentence names the file, is printable, and has a remedy."""
    with pytest.raises(BadInputError) as caught:
        check()
    assert str(file) in caught.value.problem
    assert caught.value.remedy
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    return caught.value.reason


def refusal(change: Forge, evidence: Evidence | None = None, **changes: Any) -> Reason:
    """Return why evidence is refused after a `change` of its JSON."""
    tree = forged.tree(evidence or forged.honest())
    change(tree)
    return why(lambda: forged.admit(msgspec.convert(tree, Evidence), **changes))


def put(place: str, value: Any) -> Forge:
    """Return the change that puts `value` at a place such as `samples.2.text`."""

    def change(tree: Tree) -> None:
        inside: Any = tree
        *path, last = place.split(".")
        for step in path:
            inside = inside[int(step) if step.isdigit() else step]
        inside[int(last) if last.isdigit() else last] = value

    return change


def laps(keep: Callable[[Tree], bool]) -> Forge:
    """Return the change that leaves only the laps that `keep` says."""
    return lambda t: t["race"].update(laps=[lap for lap in t["race"]["laps"] if keep(lap)])


def without_round(number: int) -> Forge:
    """Return the change that leaves out a round: it may be the one that went wrong."""
    return laps(lambda lap: bool(lap["round"] != number))


FORGERIES: list[tuple[str, Forge]] = [
    ("other-files", put("digest", "sha256:0")),
    ("other-files", put("variant", "cpu-other")),
    ("other-files", put("digest", forged.VARIANTS[1].digest)),
    ("other-clips", put("clip_digest", "sha256:1")),
    *(("no-time", put("started", text)) for text in ("", "yesterday", "9" * 300)),
    ("no-time", put("race.started", "2026-05-31T12:00:00")),
    *(
        ("future", put(place, (NOW + ahead).isoformat()))
        for place in ("started", "race.started")
        for ahead in (timedelta(minutes=11), timedelta(days=4000))
    ),
    ("future", put("started", "9999-12-31T23:59:59-23:59")),
    ("old", put("started", (NOW - timedelta(days=366)).isoformat())),
    ("old", put("started", "0001-01-01T00:00:00+23:59")),
    ("no-run", put("tier", "structural")),
    # It would take the place of a measurement on the same kind of host.
    ("no-stand-in", put("tier", "emulated")),
    ("host-class", put("host_class", "linux-x86_64-intel-avx512-onnxruntime-1.31.0")),
    ("host-class", put("host_class", "../../catalog")),
    ("host-class", put("host.cpu_vendor", "intel-other")),
    *(("runtime", put("runtime", text)) for text in ("onnxruntime 9.9.9", "onnxruntime", "")),
    ("unknown-clip", put("samples.0.clip", "other.ogg")),
    ("unknown-clip", put("samples.2.clip", "other.ogg")),
    ("clip-twice", lambda t: t["samples"].append(t["samples"][2])),
    ("clips-missing", lambda t: t["samples"].pop(4)),
    ("clips-missing", lambda t: t.update(samples=[])),
    ("seconds", put("samples.2.seconds", 99.0)),
    ("too-fast", lambda t: t["samples"][3].update(total_ns=5, encode_ns=4)),
    ("encode-time", put("samples.3.encode_ns", 10**12)),
    *(("positions", put("samples.2.positions", found)) for found in (0, 9, 10_000)),
    ("agreements", put("samples.2.agreements", 11)),
    *(("kl", put("samples.2.kl_sum", nats)) for nats in (-0.0101, 1e3, 1e308)),
    *(("unknown-token", put("samples.2.tokens", [1, token])) for token in (11, 2**53)),
    ("text", put("samples.2.tokens", [3] * forged.LENGTH)),
    ("errors", put("samples.2.units", 80)),
    ("errors", put("samples.10.edits", 1)),
    ("race-without", put("race.rivals", ["cpu-gqa-int8"])),
    *(("rounds", without_round(number)) for number in range(1, 6)),
    ("rounds", laps(lambda lap: lap["round"] != 3 or len(lap["clips"]) == 1)),
    # One round would have an interval without width, and so beat anybody.
    ("rounds", laps(lambda lap: lap["round"] < 2)),
    ("rounds", laps(lambda _: False)),
    ("no-latency", laps(lambda lap: len(lap["clips"]) > 1)),
    ("unknown-clip", put("race.laps.3.clips", ["x.ogg"])),
    ("seconds", put("race.laps.3.clips", [])),
    ("seconds", put("race.laps.3.seconds", 99.0)),
    ("too-fast", put("race.laps.3.total_ns", 9)),
]


@pytest.mark.parametrize(("code", "change"), FORGERIES)
def test_what_cannot_be_true_is_refused(code: str, change: Forge) -> None:
    assert refusal(change).code == f"admission.{code}"


def test_the_reason_says_where() -> None:
    assert refusal(put("samples.3.encode_ns", 10**12)).values["at"] == "samples[3]"
    assert refusal(put("race.laps.3.clips", ["x.ogg"])).values["at"] == "race.laps[3]"


def test_honest_evidence_is_admitted() -> None:
    forged.admit(forged.honest())
    forged.admit(forged.honest(race=None))
    forged.admit(forged.emulated())
    german = tuple(msgspec.structs.replace(clip, language="de") for clip in forged.clips(4))
    forged.admit(forged.honest(german), answers=(forged.answers(german),))


def test_evidence_of_every_recorded_host_that_has_the_runtime_is_admitted() -> None:
    hosts = [releases.host(name) for name in releases.all_hosts()]
    fit = [host for host in hosts if host.runtime_version("onnxruntime") is not None]
    for host in fit:
        forged.admit(forged.on(host, forged.VARIANTS[0]))
    assert len(fit) > 10


def test_evidence_on_a_gpu_is_admitted() -> None:
    forged.admit(forged.on(releases.host("a100-linux"), forged.VARIANTS[2]))
    plugin = releases.variant("tensorrt-decomposed-fp16")
    forged.admit(forged.on(releases.host("rtx5080-windows-rtx"), plugin), plugin)


def test_what_a_real_machine_may_give_is_borne() -> None:
    def change(tree: Tree) -> None:
        ahead = NOW.astimezone(timezone(timedelta(hours=9))) + timedelta(minutes=9)
        tree["started"] = ahead.isoformat()
        tree["samples"][2]["kl_sum"] = -0.009
        tree["race"]["laps"] += tree["race"]["laps"][:3]

    tree = forged.tree(forged.honest())
    change(tree)
    forged.admit(msgspec.convert(tree, Evidence))


def test_a_device_that_the_host_lacks_cannot_be_measured() -> None:
    cpu, _, cuda = forged.VARIANTS
    a100 = releases.host("a100-linux")
    for variant, host, code in (
        (msgspec.structs.replace(cpu, os=("windows",)), forged.HOST, "host"),
        (msgspec.structs.replace(cpu, arch=("arm64",)), forged.HOST, "host"),
        (cuda, msgspec.structs.replace(a100, gpus=()), "no-device"),
        (cpu, releases.host("rtx4070-windows-bare"), "no-runtime"),
    ):
        evidence = forged.on(host, variant)
        reason = refusal(lambda _: None, evidence, variant=variant)
        assert reason.code == f"admission.{code}"
    hidden = forged.on(a100, cuda, placement={})
    assert refusal(lambda _: None, hidden).code == "admission.no-placement"


def test_a_host_class_that_cannot_be_part_of_a_files_name_is_refused() -> None:
    for facts in (
        {"cpu_vendor": "a/b"},
        {"cpu_vendor": "v" * 90},
        {"cpu_vendor": "\u202eamd"},
        {"os": "../../etc"},
        {"runtimes": {"onnxruntime": "1/2"}},
    ):
        host = msgspec.structs.replace(forged.HOST, **facts)
        evidence = forged.on(host, forged.VARIANTS[0])
        assert refusal(lambda _: None, evidence).code == "admission.host-class-name"


def test_an_emulation_has_its_own_host_class_and_clips_and_no_race() -> None:
    a100, cuda = releases.host("a100-linux"), forged.VARIANTS[2]
    claim = {"host": a100, "host_class": a100.host_class("nvidia", "onnxruntime-gpu")}
    whole = forged.honest(race=None, variant=cuda.name, digest=cuda.digest)
    for code, evidence in (
        ("host-class", msgspec.structs.replace(forged.emulated(), **claim)),
        ("clip-not-played", msgspec.structs.replace(whole, tier=Tier.EMULATED)),
        (
            "race-of-stand-in",
            msgspec.structs.replace(forged.emulated(), race=forged.race(forged.clips())),
        ),
    ):
        assert refusal(lambda _: None, evidence).code == f"admission.{code}"


def test_a_variant_that_was_not_selected_may_have_heard_every_third_clip_and_no_others() -> None:
    whole = forged.honest()
    heard = {clip.file for clip in clip_sets.played(forged.clips(), Tier.MEASURED, THIRD)}
    kept = [sample for sample in whole.samples if sample.warm_up or sample.clip in heard]
    forged.admit(msgspec.structs.replace(whole, samples=kept, stride=THIRD))
    for code, evidence in (
        ("clips-missing", msgspec.structs.replace(whole, samples=kept)),
        ("clip-not-played", msgspec.structs.replace(whole, stride=THIRD)),
        ("clips-missing", msgspec.structs.replace(whole, samples=kept[:-1], stride=THIRD)),
        ("stride", msgspec.structs.replace(whole, samples=kept[:2], stride=FEW)),
    ):
        assert refusal(lambda _: None, evidence).code == f"admission.{code}"


def test_the_answers_to_the_very_clips_are_found() -> None:
    other = forged.answers(forged.clips(3))
    moved = msgspec.structs.replace(other.evidence, clip_digest="sha256:0")
    other = msgspec.structs.replace(other, evidence=moved)
    forged.admit(forged.honest(), answers=(other, forged.answers()))
    assert refusal(lambda _: None, answers=()).code == "admission.other-clips"


def test_errors_that_the_text_does_not_have_are_refused() -> None:
    tokens = [3] * forged.LENGTH
    text = forged.tokenizer(tokens)
    wrong = {"tokens": tokens, "text": text, "edits": 0}
    reason = refusal(lambda tree: tree["samples"][2].update(wrong))
    assert reason.code == "admission.errors"
    errors = words.count(forged.clips()[1].text, text, "en").edits
    assert reason.values["right_edits"] == errors
    tree = forged.tree(forged.honest())
    tree["samples"][2] |= wrong | {"edits": errors}
    forged.admit(msgspec.convert(tree, Evidence))


@pytest.mark.parametrize("index", [2, 10, 11])
def test_numbers_without_end_are_refused(index: int) -> None:
    """Whisper's normalizer gives up on them, and so would whoever judges the evidence."""
    digits = "9" * 5000
    wrong = {"text": digits, "tokens": [10]}
    reason = refusal(
        lambda tree: tree["samples"][index].update(wrong),
        tokenizer=lambda tokens: digits if list(tokens) == [10] else forged.tokenizer(tokens),
    )
    assert reason.code == "admission.uncountable"


# The document


@pytest.fixture
def wrong(tmp_path: Path) -> Callable[[bytes | str | Tree], Reason]:
    """Write something and return why it is refused."""

    def write(content: bytes | str | Tree) -> Reason:
        path = tmp_path / "e.json"
        text = json.dumps(content) if isinstance(content, dict) else content
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return why(lambda: admission.parse(path), path)

    return write


Wrong = Callable[[bytes | str | Tree], Reason]


def changed(place: str, value: Any) -> Tree:
    """Return the JSON of honest evidence with `value` at `place`."""
    tree = forged.tree(forged.honest())
    put(place, value)(tree)
    return tree


def test_honest_evidence_is_read_whole(tmp_path: Path) -> None:
    for made in (forged.honest(), forged.emulated()):
        (tmp_path / "e.json").write_bytes(msgspec.json.encode(made))
        assert admission.parse(tmp_path / "e.json") == made


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    found = {"absent.json": "unread", "": "folder", "pipe": "no-file"}
    if sys.platform == "win32":
        del found["pipe"]
    else:
        os.mkfifo(tmp_path / "pipe")
    for name, code in found.items():
        path = tmp_path / name
        assert why(lambda path=path: admission.parse(path), path).code == f"admission.{code}"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_a_device_that_never_ends_is_not_read() -> None:
    zero = Path("/dev/zero")
    assert why(lambda: admission.parse(zero), zero).code == "admission.no-file"


def test_another_schema_is_refused_by_both_names(wrong: Wrong) -> None:
    for schema in ("1.0", "1.5", "2.0", "\x1b[2J"):
        reason = wrong(changed("schema", schema))
        assert (reason.code, reason.values["found"]) == ("admission.schema", repr(schema))


TEXT = json.dumps(forged.tree(forged.honest()))


@pytest.mark.parametrize(
    "content",
    [
        *("", "hello", "{", '{"schema": "1.1"', TEXT + "x", "\ufeff{}", "null", "[]", "7"),
        "[" + "{}," * 3_000_000 + "{}]",
        *(start + "[" * 1_000_000 for start in ("", '{"schema": ', '{"schema": "1.1", "x": ')),
        TEXT[:-1] + ', "threads": 1}',
        TEXT.replace('"cosine"', '"clip": "s1.ogg", "cosine"', 1),
        *(TEXT.replace("1e-05", n, 1) for n in ("NaN", "Infinity", "-Infinity", "1e999")),
        TEXT.replace('"threads": 2', '"threads": ' + "9" * 100_000),
        *(TEXT.replace("the cpu backend", half) for half in (r"\ud800", r"\udc00\ud800")),
    ],
)
def test_what_is_not_evidence_is_refused(wrong: Wrong, content: str) -> None:
    assert content != TEXT
    assert wrong(content).code == "admission.not-evidence"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("surprise", 1),
        ("samples.2.surprise", 1),
        ("threads", "2"),
        ("samples.2.tokens", [1.5]),
        ("samples.2.tokens", [1] * 1025),
        ("samples.2.text", "a" * 20_001),
        ("placement", {"CPUExecutionProvider": -1}),
        ("tier", "proven"),
        *((f"samples.2.{k}_ns", v) for k in ("total", "encode") for v in (-1, 0, 10**16, 10**40)),
        ("race.laps.4.total_ns", -5),
        *(("host.cores", cores) for cores in (0, -(10**30), 10**30)),
        ("host.gpus", [{"vendor": "nvidia", "name": "x", "compute_capability": "²"}]),
        ("host.gpus", [{"vendor": "nvidia", "name": "x", "compute_capability": "9" * 5000}]),
        ("host.gpus", [{"vendor": "nvidia", "name": "x", "memory_mb": -1}]),
    ],
)
def test_what_no_run_gives_is_refused_by_place(wrong: Wrong, place: str, value: Any) -> None:
    reason = wrong(changed(place, value))
    assert reason.code == "admission.not-evidence"
    assert place.rsplit(".", maxsplit=1)[-1] in str(reason.values["why"])


def test_a_missing_key_is_refused_by_name(wrong: Wrong) -> None:
    tree = forged.tree(forged.honest())
    del tree["samples"][3]["tokens"]
    assert "tokens" in str(wrong(tree).values["why"])


def test_what_is_too_large_or_not_utf_8_is_refused(wrong: Wrong) -> None:
    assert wrong(b" " * (documents.EVIDENCE.size + 1)).code == "admission.too-large"
    assert wrong(b'{"schema": "\xff"}').values["byte"] == 12
    assert wrong(TEXT.encode("utf-16")).code == "admission.not-utf-8"


@pytest.mark.parametrize("character", ["\x1b", "\n", "\x7f", "\x9b", "\x00"])
def test_what_would_steer_a_terminal_is_refused(wrong: Wrong, character: str) -> None:
    hostile = f"a{character}[2Jb"
    for place, value in (("how", hostile), ("samples.2.text", hostile)):
        assert wrong(changed(place, value)).code == "admission.control-character"
    reason = wrong(changed("placement", {hostile: 1}))
    assert reason.values["at"] == "a key of placement"
    wrong(changed(hostile, 1))
