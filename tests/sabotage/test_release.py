"""A finished release that somebody altered: in silence, or with new hashes in the catalog."""

import json
import re
from pathlib import Path

import pytest

import whisperopt
from tests.sabotage import side_files
from tests.sabotage.saboteurs import sabotages
from whisperopt.cli import main
from whisperopt.errors import IntegrityError, NothingFitsError
from whisperopt.pipeline import validate as validator
from whisperopt.release import catalog
from whisperopt.results.validation import Origin, Row

WAYS = sabotages(words=(65, 66), end_of_text=256)
FP32, MIXED = "cpu-gqa-fp32", "cpu-gqa-mixed"


def folder_of(release: Path, variant: str) -> Path:
    return release / f"small--{variant}"


def validated(release: Path, manifest: Path, variant: str, model: Path | None = None) -> Row:
    """Return what a validation says of one variant alone, with a checkpoint if `model` is one."""
    path = release / catalog.NAME
    content = json.loads(path.read_bytes())
    entry = content["models"]["small"]
    entry["variants"] = [one for one in entry["variants"] if one["name"] == variant]
    path.write_text(json.dumps(content), "utf-8")
    found = validator.validate(release, clips=manifest, checkpoint=str(model) if model else None)
    (row,) = found.rows
    return row


def test_an_honest_release_stays_what_it_is(release: Path, manifest: Path, model: Path) -> None:
    found = validator.validate(release, clips=manifest, checkpoint=str(model))
    assert [(row.source, row.accepted) for row in found.rows] == [(Origin.HERE, True)] * 2
    assert [one for one in found.changes if not one.what.startswith("selected for")] == []


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("decoder weight x 1.02", "decoder.onnx.data"),
        ("positions one later", "decoder.onnx"),
        ("suppress list lacks an id", "artifact.json"),
    ],
)
def test_an_altered_file_is_named_and_exits_with_4(
    name: str, file: str, release: Path, manifest: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    WAYS[name].apply(folder_of(release, FP32))
    with pytest.raises(SystemExit) as end:
        main.main(["validate", str(release), "--clips", str(manifest)], prog_name="whisperopt")
    assert end.value.code == 4
    said = capfd.readouterr()
    assert f"The files of {FP32} are not those of the catalog" in said.err
    assert f"{file} has other content" in re.sub(r"\s+", " ", said.err + said.out)


def test_a_damaged_variant_is_not_run_and_the_other_one_is(release: Path, manifest: Path) -> None:
    WAYS["decoder weight x 1.1"].apply(folder_of(release, FP32))
    found = validator.validate(release, clips=manifest)
    assert found.damaged == [FP32]
    assert [row.variant for row in found.rows if row.accepted] == [MIXED]


def test_an_altered_file_is_not_delivered(release: Path, tmp_path: Path) -> None:
    for variant in (FP32, MIXED):
        WAYS["decoder weight x 1.1"].apply(folder_of(release, variant))
    with pytest.raises(IntegrityError, match="is not what the catalog says"):
        whisperopt.fetch("small", repo=release, to=tmp_path / "here")
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("encoder bias zeroed", "the self-test's encoder is off by"),
        ("decoder positions shifted", "the self-test's prefill is off by .* its encoder agrees"),
        ("cache written one slot late", "the self-test's decode is off by .* its prefill agrees"),
    ],
)
def test_an_altered_variant_of_a_local_folder_does_not_open(
    name: str, reason: str, release: Path
) -> None:
    """First by its digests; and where those were altered, too, by what it computes."""
    WAYS[name].apply(folder_of(release, FP32))
    with pytest.raises(IntegrityError, match="is damaged: "):
        whisperopt.load(folder_of(release, FP32))
    side_files.rehash(release, FP32)
    with pytest.raises(NothingFitsError, match=reason):
        whisperopt.load(folder_of(release, FP32))


def test_the_next_variant_takes_the_place_of_an_altered_one(release: Path) -> None:
    first = whisperopt.load(release).artifact.manifest.variant
    WAYS["encoder bias zeroed"].apply(folder_of(release, first))
    for altered, why in ((False, "is damaged: encoder"), (True, "self-test's encoder is off")):
        if altered:
            side_files.rehash(release, first)
        opened = whisperopt.load(release)
        assert opened.artifact.manifest.variant != first
        assert any(said.startswith(f"{first}: ") and why in said for said in opened.decisions)


NAMED = {
    "decoder weight x 1.02": r"'decoder\.layers\.1\.fc2\.weight' differs .* slope 1\.0",
    "decoder int8 scales of a channel x 1.02": r"channel 17 of 'decoder\.layers\.1\.fc2\.weight'",
    "suppress list lacks an id": r"artifact\.json: suppress lacks 1",
    "suppress list has a word": r"artifact\.json: suppress adds 65",
    "prompt without no_timestamps": r"artifact\.json: no_timestamps is 267, the checkpoint's is 266",
    "two words of the tokenizer swapped": r"tokenizer\.json is not the checkpoint's",
    "genai_config with another end": r"genai_config\.json is not what belongs to this model",
}


@pytest.mark.parametrize("name", NAMED)
def test_new_hashes_do_not_help_where_the_checkpoint_is(
    name: str, release: Path, manifest: Path, model: Path
) -> None:
    WAYS[name].apply(folder_of(release, MIXED))
    side_files.rehash(release, MIXED)
    row = validated(release, manifest, MIXED, model)
    assert (row.source, row.accepted) == (Origin.HERE, False)
    assert re.search(NAMED[name], row.reason), row.reason


LARGE = {
    "encoder bias zeroed": "the self-test's encoder is off by",
    "decoder positions shifted": "the self-test's prefill is off by",
    "positions one later": "the self-test's prefill is off by",
    "two self caches swapped": "the self-test's decode is off by",
    "a word's logit + 3": r"decoder \(the encoder agrees\): top-1 agreement",
    "prompt without no_timestamps": r"decoder \(the encoder agrees\)|the self-test's prefill",
}


@pytest.mark.parametrize("name", LARGE)
def test_without_the_checkpoint_what_is_large_is_refused(
    name: str, release: Path, manifest: Path
) -> None:
    WAYS[name].apply(folder_of(release, FP32))
    side_files.rehash(release, FP32)
    row = validated(release, manifest, FP32)
    assert (row.source, row.accepted) == (Origin.HERE, False)
    assert re.search(LARGE[name], row.reason), row.reason


def test_a_word_that_is_suppressed_is_missed_without_the_checkpoint(
    release: Path, manifest: Path
) -> None:
    evidence = next((release / "evidence").glob(f"small--{FP32}--*.json"))
    said = [
        token
        for sample in json.loads(evidence.read_bytes())["samples"]
        for token in sample["tokens"]
    ]
    spoil = side_files.decoding(suppress=lambda right: [*right.suppress, said[0]])
    spoil(folder_of(release, FP32))
    side_files.rehash(release, FP32)
    row = validated(release, manifest, FP32)
    assert row.accepted is False
    assert (
        "look at what differs in single steps (cache, positions) and at the suppressed"
        in row.reason
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("encoder bias zeroed", "encoder: cosine"),
        ("two self caches swapped", "look at what differs in single steps|agreement in a batch"),
    ],
)
def test_the_gates_refuse_it_as_well_where_the_self_test_is_gone(
    name: str, reason: str, release: Path, manifest: Path
) -> None:
    folder = folder_of(release, FP32)
    WAYS[name].apply(folder)
    side_files.without_self_test(folder)
    side_files.rehash(release, FP32)
    row = validated(release, manifest, FP32)
    assert row.accepted is False
    assert re.search(reason, row.reason), row.reason


@pytest.mark.parametrize(
    "name",
    [
        "decoder int8 scales of a channel x 1.02",
        "decoder int8 scale of a block x 1.02",
        "decoder product x 1.02",
        "suppress list lacks an id",
    ],
)
def test_what_is_small_passes_without_the_checkpoint(
    name: str, release: Path, manifest: Path
) -> None:
    """Nothing is left that could tell: the release must come from somebody who is trusted."""
    WAYS[name].apply(folder_of(release, MIXED))
    side_files.rehash(release, MIXED)
    assert validated(release, manifest, MIXED).accepted
