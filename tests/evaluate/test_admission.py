"""Forged evidence: each claim that cannot be true is refused by the check that it is named after."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from tests.evaluate import forged
from tests.evaluate.forged import HOST, NOW, Tree
from tests.selection import releases
from whisperopt import evaluate as proof
from whisperopt.errors import BadInputError
from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Evidence

Forge = Callable[[Tree], object]


def refusal(evidence: Evidence, **changes: Any) -> str:
    """Return the sentence with which `evidence` is refused: it names the file and a remedy."""
    with pytest.raises(BadInputError) as caught:
        forged.admit(evidence, source="their.json", **changes)
    sentence = str(caught.value)
    assert sentence.startswith("their.json is refused: ")
    assert caught.value.remedy
    assert sentence.isprintable()
    assert len(sentence) < 500
    return sentence


def forge(change: Forge, evidence: Evidence | None = None) -> Evidence:
    """Return honest evidence after `change` of its JSON."""
    tree = forged.tree(evidence or forged.honest())
    change(tree)
    return msgspec.convert(tree, Evidence)


def put(place: str, value: Any) -> Forge:
    """Return the change that puts `value` at a place such as `samples.2.text`."""

    def change(tree: Tree) -> None:
        inside: Any = tree
        *path, last = place.split(".")
        for step in path:
            inside = inside[int(step) if step.isdigit() else step]
        inside[int(last) if last.isdigit() else last] = value

    return change


def every_sample(**changes: Any) -> Forge:
    """Return the change of the same in all samples."""
    return lambda tree: [sample.update(changes) for sample in tree["samples"]]


def test_honest_evidence_is_admitted() -> None:
    forged.admit(forged.honest())
    forged.admit(forged.honest(race=None))
    forged.admit(forged.emulated())


def test_evidence_of_every_recorded_host_that_has_the_runtime_is_admitted() -> None:
    variant, admitted = forged.VARIANTS[0], []
    for name in releases.all_hosts():
        host = releases.host(name)
        if host.runtime_version("onnxruntime") is not None:
            forged.admit(forged.on(host, variant))
            admitted.append(name)
    assert len(admitted) > 10


def test_evidence_on_a_gpu_is_admitted() -> None:
    forged.admit(forged.on(releases.host("a100-linux"), forged.VARIANTS[2]))
    plugin = releases.variant("tensorrt-decomposed-fp16")
    forged.admit(forged.on(releases.host("rtx5080-windows-rtx"), plugin), variants=(plugin,))


# Which files


def test_an_unknown_digest_is_refused() -> None:
    sentence = refusal(forge(put("digest", "sha256:0")))
    assert "digest 'sha256:0' is not that of the release's 'cpu-gqa-fp32'" in sentence
    assert "neither the variant" in refusal(forge(put("variant", "cpu-other")), variants=())


def test_the_digest_of_another_variant_is_refused() -> None:
    sentence = refusal(forge(put("digest", forged.VARIANTS[1].digest)))
    assert "digest belongs to 'cpu-gqa-int8'" in sentence


# When


@pytest.mark.parametrize("place", ["started", "race.started"])
def test_a_date_in_the_future_is_refused(place: str) -> None:
    for ahead in (timedelta(minutes=11), timedelta(days=4000)):
        sentence = refusal(forge(put(place, (NOW + ahead).isoformat())))
        assert f"{place} is" in sentence
        assert "in the future" in sentence


def test_a_clock_that_is_a_little_ahead_is_borne() -> None:
    ahead = NOW.astimezone(timezone(timedelta(hours=9))) + timedelta(minutes=9)
    forged.admit(forge(put("started", ahead.isoformat())))


def test_evidence_that_is_too_old_is_refused() -> None:
    evidence = forged.honest(race=None, started=(NOW - timedelta(days=366)).isoformat())
    assert "more than 365 days ago" in refusal(evidence)
    forged.admit(evidence, max_age_days=400)
    assert "race.started" in refusal(forge(put("race.started", "1970-01-01T00:00:00+00:00")))


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "1", "9" * 300])
def test_a_date_that_is_none_is_refused(text: str) -> None:
    assert "no time as in ISO 8601" in refusal(forge(put("started", text)))
    assert "race.started" in refusal(forge(put("race.started", text)))


def test_a_date_without_a_zone_is_refused() -> None:
    assert "no time zone" in refusal(forge(put("started", "2026-05-31T12:00:00")))


def test_the_ends_of_time_are_borne() -> None:
    for text in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"):
        refusal(forge(put("started", text)))


def test_a_race_of_another_month_is_refused() -> None:
    late = datetime(2026, 4, 1, tzinfo=UTC).isoformat()
    assert "race.started is more than 7 days away" in refusal(forge(put("race.started", late)))


# By what


@pytest.mark.parametrize("version", ["", "latest", "1..0", "9" * 5000])
def test_a_version_that_is_none_is_refused(version: str) -> None:
    assert "no version" in refusal(forge(put("whisperopt", version)))


def test_evidence_of_a_later_major_version_is_refused() -> None:
    assert "Upgrade whisperopt" in refusal(forge(put("whisperopt", "1000.0")))
    assert "Upgrade whisperopt" in refusal(forge(put("whisperopt", "9!0.1")))
    forged.admit(forge(put("whisperopt", "0.99.dev1")))


# On what


def test_a_structural_proof_is_no_evidence() -> None:
    assert "tier is 'structural'" in refusal(forge(put("tier", "structural")))


def test_a_host_class_that_does_not_follow_from_the_host_is_refused() -> None:
    other = "linux-x86_64-intel-avx512-onnxruntime-1.31.0"
    sentence = refusal(forge(put("host_class", other)))
    assert repr(other) in sentence
    assert HOST.host_class("cpu", "onnxruntime") in sentence
    refusal(forge(put("host.cpu_vendor", "intel-other")))
    refusal(forge(put("host_class", "../../catalog")))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("os", "../../etc"),
        ("arch", ""),
        ("cpu_vendor", "a/b"),
        ("cpu_vendor", "\u202eamd"),
        ("cpu_vendor", "x" * 65),
        ("cpu_features", ["avx", "<script>"]),
        ("runtimes", {"onnxruntime": "1/2"}),
        ("runtimes", {"onnx\\runtime": "1.32.0"}),
        ("cores", 0),
        ("cores", -(10**30)),
        ("cores", 10**30),
        ("gpus", [{"vendor": "a/b", "name": "x"}]),
        ("gpus", [{"vendor": "nvidia", "name": "x", "compute_capability": "²"}]),
        ("gpus", [{"vendor": "nvidia", "name": "x", "compute_capability": "9" * 5000}]),
        ("gpus", [{"vendor": "nvidia", "name": "x", "memory_mb": -1}]),
    ],
)
def test_facts_that_no_host_has_are_refused(place: str, value: Any) -> None:
    assert f"host.{place}" in refusal(forge(put(f"host.{place}", value)))


def test_a_host_class_too_long_for_a_file_is_refused() -> None:
    host = msgspec.structs.replace(
        HOST, cpu_vendor="v" * 60, runtimes={"onnxruntime": f"1.{'3' * 50}"}
    )
    assert "more than 100 characters" in refusal(forged.on(host, forged.VARIANTS[0]))


def test_a_device_that_the_host_lacks_cannot_be_measured() -> None:
    cpu, _, cuda = forged.VARIANTS
    windows_only = msgspec.structs.replace(cpu, os=("windows",))
    sentence = refusal(forged.on(HOST, windows_only), variants=(windows_only,))
    assert "host.os is 'linux'" in sentence
    arm_only = msgspec.structs.replace(cpu, arch=("arm64",))
    sentence = refusal(forged.on(HOST, arm_only), variants=(arm_only,))
    assert "host.arch is 'x86_64'" in sentence
    bare = msgspec.structs.replace(releases.host("a100-linux"), gpus=())
    assert "host.gpus has none" in refusal(forged.on(bare, cuda))


def test_a_runtime_that_the_host_lacks_cannot_be_measured() -> None:
    bare = msgspec.structs.replace(releases.host("rtx4070-windows-bare"))
    assert "host.runtimes has no onnxruntime" in refusal(forged.on(bare, forged.VARIANTS[0]))


def test_a_runtime_that_disagrees_with_the_host_is_refused() -> None:
    for runtime in ("onnxruntime 9.9.9", "openvino 2026.4.1", "onnxruntime", ""):
        assert "runtime is" in refusal(forge(put("runtime", runtime)))


def test_what_runs_on_the_cpu_is_not_emulated_there() -> None:
    """It would take the place of a measurement on the same kind of host."""
    assert "runs on what would stand in" in refusal(forge(put("tier", "emulated")))


def test_an_emulation_is_of_the_cpu_alone() -> None:
    a100 = releases.host("a100-linux")
    claim = a100.host_class("nvidia", "onnxruntime-gpu")
    evidence = msgspec.structs.replace(forged.emulated(), host=a100, host_class=claim)
    assert "host_class is" in refusal(evidence)


@pytest.mark.parametrize("threads", [0, 1025, 2**53])
def test_numbers_of_threads_that_nobody_uses_are_refused(threads: int) -> None:
    assert f"threads is {threads}" in refusal(forge(put("threads", threads)))


@pytest.mark.parametrize("place", ["peak_rss_bytes", "race.peak_rss_bytes"])
def test_a_process_smaller_than_any_is_refused(place: str) -> None:
    assert f"{place} is 4096" in refusal(forge(put(place, 4096)))


@pytest.mark.parametrize("name", ["", "<b>", "CPU\u202eProvider", "x" * 100])
def test_places_that_are_none_are_refused(name: str) -> None:
    assert "placement names" in refusal(forge(put("placement", {name: 1})))


# Of which clips


def test_another_clip_set_is_refused() -> None:
    assert "clip_digest 'sha256:1'" in refusal(forge(put("clip_digest", "sha256:1")))
    assert "it has none" in refusal(forged.honest(), answers=())


def test_the_answers_to_the_very_clips_are_found() -> None:
    other = forged.answers(forged.clips(3))
    moved = msgspec.structs.replace(other.evidence, clip_digest="sha256:0")
    other = msgspec.structs.replace(other, evidence=moved)
    forged.admit(forged.honest(), answers=(other, forged.answers()))


def test_more_samples_than_clips_are_refused() -> None:
    evidence = forge(lambda tree: tree.update(samples=tree["samples"] * 5))
    assert "samples has 60 entries for 11 clips" in refusal(evidence)


def test_more_than_a_few_that_warm_up_are_refused() -> None:
    """Slow clips could hide among them."""
    evidence = forge(lambda tree: tree.update(samples=tree["samples"][:1] * 6 + tree["samples"]))
    assert "samples has 7 that warm up" in refusal(evidence)


@pytest.mark.parametrize("index", [0, 2])
def test_a_clip_that_nobody_played_is_refused(index: int) -> None:
    sentence = refusal(forge(put(f"samples.{index}.clip", "other.ogg")))
    assert f"samples[{index}].clip is 'other.ogg'" in sentence


def test_a_clip_twice_is_refused() -> None:
    evidence = forge(lambda tree: tree["samples"].append(tree["samples"][2]))
    assert "samples has the clip 's1.ogg' 2 times" in refusal(evidence)


def test_a_clip_left_out_is_refused() -> None:
    """It may be the one that went wrong."""
    evidence = forge(lambda tree: tree["samples"].pop(4))
    assert "samples lacks 1 of the 11 clips" in refusal(evidence)
    assert "samples lacks 11 of the 11" in refusal(forge(lambda tree: tree.update(samples=[])))


def test_an_emulation_has_its_own_clips_and_no_others() -> None:
    variant = forged.VARIANTS[0]
    emulated = forged.emulated()
    swapped = {"variant": variant.name, "digest": variant.digest, "tier": "measured"}
    assert "samples lacks" in refusal(forge(lambda tree: tree.update(swapped), emulated))
    cuda = forged.VARIANTS[2]
    swapped = {"variant": cuda.name, "digest": cuda.digest, "tier": "emulated"}
    claim = forge(lambda tree: tree.update(swapped), forged.honest(race=None))
    assert "which no run that is emulated plays" in refusal(claim)


# How fast


def test_a_clip_of_another_length_is_refused() -> None:
    made = forged.honest()
    longer = made.samples[2].seconds + 0.01
    sentence = refusal(forge(put("samples.2.seconds", longer)))
    assert "samples[2].seconds is" in sentence
    assert "'s1.ogg' takes" in sentence


def test_an_encoder_slower_than_the_whole_is_refused() -> None:
    evidence = forge(put("samples.3.encode_ns", 10**12))
    assert "samples[3].encode_ns is 1000000000000, not less than total_ns" in refusal(evidence)


def test_times_beyond_any_hardware_are_refused() -> None:
    evidence = forge(lambda tree: tree["samples"][3].update(total_ns=5, encode_ns=4))
    assert "samples[3].total_ns is 5 ns" in refusal(evidence)
    assert "faster than any hardware" in refusal(evidence)


def test_an_hour_for_a_clip_is_refused() -> None:
    assert "more than an hour" in refusal(forge(put("samples.3.total_ns", 3601 * 10**9)))


def test_times_that_are_all_the_same_are_refused() -> None:
    """Real clocks jitter."""
    evidence = forge(every_sample(total_ns=123_456_789, encode_ns=50_000_001))
    assert "take only 1 values in 11 times" in refusal(evidence)


def test_times_that_are_round_are_refused() -> None:
    def rounded(tree: Tree) -> None:
        for sample in tree["samples"]:
            sample["total_ns"] = round(sample["total_ns"], -6)

    assert "multiples of 1000000 ns" in refusal(forge(rounded))


def test_the_ticks_of_a_real_clock_are_borne() -> None:
    """Windows counts hundreds of nanoseconds."""

    def ticking(tree: Tree) -> None:
        for timed in (*tree["samples"], *tree["race"]["laps"]):
            for name in {"total_ns", "encode_ns"} & set(timed):
                timed[name] = round(timed[name], -2)

    forged.admit(forge(ticking))


# How well


@pytest.mark.parametrize("positions", [0, 9, 11, 10_000])
def test_positions_that_the_core_model_did_not_take_are_refused(positions: int) -> None:
    changes = {"positions": positions, "agreements": positions, "kl_sum": 0.0}
    sentence = refusal(forge(lambda tree: tree["samples"][2].update(changes)))
    assert f"samples[2].positions is {positions}, but the core model's words make 10" in sentence


def test_more_agreements_than_positions_are_refused() -> None:
    assert "agreements is 11, more than the 10" in refusal(forge(put("samples.2.agreements", 11)))


@pytest.mark.parametrize("nats", [-1.0, -0.0101, 1e3, 1e308])
def test_divergences_that_cannot_be_are_refused(nats: float) -> None:
    assert "samples[2].kl_sum is" in refusal(forge(put("samples.2.kl_sum", nats)))


def test_rounding_below_zero_is_borne() -> None:
    forged.admit(forge(put("samples.2.kl_sum", -0.009)))


@pytest.mark.parametrize("key", ["kl_sum", "cosine", "relative_error"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(key: str, value: float) -> None:
    made = forged.honest()
    broken = msgspec.structs.replace(made.samples[2], **{key: value})
    samples = [*made.samples[:2], broken, *made.samples[3:]]
    evidence = msgspec.structs.replace(made, samples=samples)
    assert f"samples[2].{key} is no number" in refusal(evidence)


# What was understood


@pytest.mark.parametrize("token", [11, 2**32, 2**53])
def test_tokens_outside_the_vocabulary_are_refused(token: int) -> None:
    sentence = refusal(forge(put("samples.2.tokens", [1, token])))
    assert f"samples[2].tokens has {token}" in sentence


def test_tokens_without_end_are_refused() -> None:
    assert "tokens has 5,000, more" in refusal(forge(put("samples.2.tokens", [1] * 5000)))


def test_a_text_that_its_tokens_do_not_say_is_refused() -> None:
    transcript = forged.clips()[1].text
    evidence = forge(put("samples.2.tokens", [3] * forged.LENGTH))
    sentence = refusal(evidence)
    assert repr(transcript) in sentence
    assert "its tokens say 'fox fox" in sentence


def test_errors_that_the_text_does_not_have_are_refused() -> None:
    tokens = [3] * forged.LENGTH
    wrong = {"tokens": tokens, "text": forged.tokenizer(tokens), "edits": 0}
    assert "edits and units are 0 and 8" in refusal(
        forge(lambda tree: tree["samples"][2].update(wrong))
    )
    assert "edits and units are 0 and 80" in refusal(forge(put("samples.2.units", 80)))
    errors = proof.words.count(forged.clips()[1].text, forged.tokenizer(tokens), "en").edits
    forged.admit(forge(lambda tree: tree["samples"][2].update(wrong | {"edits": errors})))


def test_numbers_without_end_are_refused() -> None:
    """Whisper's normalizer gives up on them, and so would whoever judges the evidence."""
    digits = "9" * 5000
    for clip in ("s1.ogg", "bare.ogg", "still.ogg"):
        place = next(i for i, s in enumerate(forged.honest().samples) if s.clip == clip)
        tree = forged.tree(forged.honest())
        tree["samples"][place] |= {"text": digits, "tokens": [10]}
        evidence = msgspec.convert(tree, Evidence)

        def endless(tokens: Sequence[int]) -> str:
            return digits if list(tokens) == [10] else forged.tokenizer(tokens)

        sentence = refusal(evidence, tokenizer=endless)
        assert f"samples[{place}].text is '999" in sentence
        assert "errors cannot be counted" in sentence


def test_errors_against_no_transcript_are_refused() -> None:
    bare = next(i for i, s in enumerate(forged.honest().samples) if s.clip == "bare.ogg")
    assert "but the text has 0 errors in 0" in refusal(forge(put(f"samples.{bare}.edits", 1)))


# How fast beside others


def test_a_race_without_the_variant_is_refused() -> None:
    assert "lacks cpu-gqa-fp32 itself" in refusal(forge(put("race.rivals", ["cpu-gqa-int8"])))
    assert "one twice" in refusal(forge(put("race.rivals", ["cpu-gqa-fp32"] * 2)))


def test_a_race_of_stand_ins_is_refused() -> None:
    evidence = msgspec.structs.replace(forged.emulated(), race=forged.race(forged.clips()))
    assert "nobody races with a stand-in" in refusal(evidence)


def laps(keep: Callable[[Tree], bool]) -> Evidence:
    """Return honest evidence with only the laps that `keep` says."""

    def change(tree: Tree) -> None:
        tree["race"]["laps"] = [lap for lap in tree["race"]["laps"] if keep(lap)]

    return forge(change)


def without(number: int) -> Callable[[Tree], bool]:
    """Return what keeps all laps but those of round `number`."""
    return lambda lap: bool(lap["round"] != number)


def test_a_race_with_a_round_left_out_is_refused() -> None:
    """It may be the one that went wrong."""
    for left_out in range(6):
        sentence = refusal(laps(without(left_out)))
        assert "race.laps does not have all of the rounds" in sentence


def test_a_race_with_a_lap_left_out_is_refused() -> None:
    assert "round 3 has other clips" in refusal(
        laps(lambda lap: lap["round"] != 3 or len(lap["clips"]) == 1)
    )


def test_a_race_of_few_rounds_is_refused() -> None:
    """One round would have an interval without width, and so beat anybody."""
    assert "1 rounds that count" in refusal(laps(lambda lap: lap["round"] < 2))
    assert "0 rounds that count" in refusal(laps(lambda _: False))


def test_a_race_without_a_latency_is_refused() -> None:
    assert "no clip alone" in refusal(laps(lambda lap: len(lap["clips"]) > 1))


def test_rounds_that_warm_up_again_are_borne() -> None:
    def twice(tree: Tree) -> None:
        again = [lap | {"total_ns": lap["total_ns"] + 7} for lap in tree["race"]["laps"][:3]]
        tree["race"]["laps"] += again

    forged.admit(forge(twice))


def test_a_lap_of_unknown_clips_is_refused() -> None:
    assert "race.laps[3].clips names 'x.ogg'" in refusal(
        forge(put("race.laps.3.clips", ["x.ogg"]))
    )
    assert "race.laps[3].clips has 0 names" in refusal(forge(put("race.laps.3.clips", [])))


def test_a_lap_of_another_length_is_refused() -> None:
    assert "race.laps[3].seconds is 99" in refusal(forge(put("race.laps.3.seconds", 99.0)))


def test_a_lap_beyond_any_hardware_is_refused() -> None:
    assert "race.laps[3].total_ns is 9 ns" in refusal(forge(put("race.laps.3.total_ns", 9)))
    assert "more than an hour" in refusal(forge(put("race.laps.3.total_ns", 10**13)))


def test_laps_that_all_take_the_same_are_refused() -> None:
    def same(tree: Tree) -> None:
        for lap in tree["race"]["laps"]:
            lap["total_ns"] = 123_456_789

    assert "race.laps: the total_ns take only 1 values" in refusal(forge(same))


def test_a_race_at_another_pace_than_the_samples_is_refused() -> None:
    def hurry(tree: Tree) -> None:
        for lap in tree["race"]["laps"]:
            lap["total_ns"] = lap["total_ns"] // 300 + random.Random(lap["round"]).randrange(99)

    assert "cannot be of the same variant and machine" in refusal(forge(hurry))


def test_every_language_is_counted_in_its_own_units() -> None:
    german = tuple(msgspec.structs.replace(clip, language="de") for clip in forged.clips(4))
    forged.admit(forged.honest(german), answers=(forged.answers(german),))


def test_a_single_clip_is_enough() -> None:
    played = (forged.clips()[0], Clip(file="more.ogg"))
    forged.admit(forged.honest(played), answers=(forged.answers(played),))
