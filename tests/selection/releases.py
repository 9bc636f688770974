"""Makes catalogs for the real matrix, and small releases on disk."""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from tests.download.graphs import padded
from whisperopt import artifact, matrix
from whisperopt.backend import Recipe, Tier
from whisperopt.host import Host, read
from whisperopt.release import catalog as catalogs
from whisperopt.release.catalog import Catalog, EvidenceEntry, File, ModelEntry, Variant
from whisperopt.whisper import Decoding, Dimensions

MODEL = "tiny.en"
MATRIX = matrix.load()
RUNTIMES = {
    "tensorrt": "tensorrt",
    "cuda": "onnxruntime-gpu",
    "directml": "onnxruntime-directml",
    "webgpu": "onnxruntime-webgpu",
    "openvino": "openvino",
    "cpu": "onnxruntime",
}
_HOSTS = Path(__file__).parent.parent / "hosts"


def host(name: str) -> Host:
    """Return a recorded host."""
    return read(_HOSTS / f"{name}.json")


def all_hosts() -> list[str]:
    """Return the names of the recorded hosts."""
    return sorted(path.stem for path in _HOSTS.glob("*.json"))


def composed() -> dict[str, Host]:
    """Return the hosts that were composed from public data, by name."""
    tables = tomllib.loads((_HOSTS / "composed.toml").read_text("utf-8"))
    for table in tables.values():
        assert table.pop("source")
    return {name: msgspec.convert(table, Host) for name, table in tables.items()}


def files(*sizes: int) -> tuple[File, ...]:
    """Return made-up files."""
    return tuple(File(path=f"f{i}.bin", size=n, sha256="0" * 64) for i, n in enumerate(sizes))


def variant(
    name: str, *, size: int = 100, contents: tuple[File, ...] = (), **changes: Any
) -> Variant:
    """Return a variant of the target that `name` starts with, emulated unless said otherwise."""
    row = MATRIX.target(name.partition("-")[0])
    contents = contents or files(size)
    facts: dict[str, Any] = {
        "name": name,
        "target": row.name,
        "backend": row.backend,
        "runtime": RUNTIMES[row.name],
        "extra": row.name,
        "device": row.device,
        "os": row.os,
        "arch": row.arch,
        "requires": {
            k: v for k, v in msgspec.json.decode(msgspec.json.encode(row.requires)).items() if v
        },
        "target_rank": MATRIX.targets.index(row),
        "ladder_rank": 0,
        "tier": Tier.EMULATED,
        "path": f"{MODEL}--{name}",
        "files": contents,
        "size": sum(file.size for file in contents),
        "digest": catalogs.digest(contents),
    }
    return Variant(**(facts | changes))


def evidence(
    machine: Host,
    target: str,
    latency_ms: float | None = None,
    *,
    accepted: bool = True,
    tier: Tier = Tier.MEASURED,
    reason: str = "",
) -> EvidenceEntry:
    """Return what `machine` measured with the runtime of `target`."""
    return EvidenceEntry(
        host_class=machine.host_class(MATRIX.target(target).device, RUNTIMES[target]),
        tier=tier,
        accepted=accepted,
        reason=reason,
        latency_ms_p50=latency_ms,
    )


def catalog(*variants: Variant, model: str = MODEL) -> Catalog:
    """Return a catalog of one model."""
    entry = ModelEntry(version="1", checkpoint="sha256:0", variants=variants)
    order = MATRIX.device_order
    return Catalog(created="2026-01-01T00:00:00Z", device_order=order, models={model: entry})


def every_target() -> tuple[Variant, ...]:
    """Return what a build without any GPU gives: everything emulated, one risky variant held."""
    return (
        variant("tensorrt-decomposed-fp16"),
        variant("cuda-gqa-fp16"),
        variant("cuda-decomposed-fp16", ladder_rank=1),
        variant(
            "directml-gqa-fp16",
            selectable_from=Tier.MEASURED,
            caution="wrong on some drivers",
        ),
        variant("directml-decomposed-fp16", ladder_rank=1),
        variant("openvino-decomposed-fp32"),
        variant("cpu-gqa-fp32"),
        variant("cpu-gqa-int8", ladder_rank=1, size=50),
    )


def write_artifact(
    folder: Path, target: str = "cpu", recipe: str = "gqa-fp32", weights: int = 1
) -> None:
    """Write a folder that has all of an artifact but weights."""
    folder.mkdir(parents=True)
    (folder / "encoder.onnx").write_bytes(padded(7_000 * weights, b"encoder"))
    (folder / "decoder.onnx").write_bytes(padded(14_000 * weights, b"decoder"))
    (folder / "tokenizer.json").write_bytes(b"{}")
    sizes = {**dict.fromkeys(Dimensions.__struct_fields__, 8), "width": 64}
    artifact.write_manifest(
        folder,
        artifact.Manifest(
            model=MODEL,
            target=target,
            backend=target,
            recipe=Recipe(
                name=recipe,
                summary="",
                self_attention="gqa",
                cross_attention="mha",
                encoder_attention="mha",
                cache="shared",
                encoder_precision="fp32",
                decoder_precision="fp32",
            ),
            dims=Dimensions(**sizes),
            decoding=Decoding(
                start_of_transcript=1,
                end_of_text=2,
                no_timestamps=3,
                transcribe=None,
                languages={},
                suppress=[],
                suppress_first=[],
                alignment_heads=[],
            ),
            checkpoint="sha256:0",
        ),
    )


def write_release(release: Path, *names: str) -> Catalog:
    """Write a release that holds the variants called `names` (default: `cpu-gqa-fp32`)."""
    variants = []
    for name in names or ("cpu-gqa-fp32",):
        target, _, recipe = name.partition("-")
        folder = release / f"{MODEL}--{name}"
        write_artifact(folder, target, recipe)
        variants.append(variant(name, contents=catalogs.describe_files(folder)))
    made = catalog(*variants)
    (release / catalogs.NAME).write_bytes(catalogs.encode(made))
    return made


def spread(release: Path, *, schema: str = catalogs.SCHEMA) -> None:
    """Give every variant of a release copies of its own, as in those of schema 1."""
    content = catalogs.read(release)
    for name, entry in content.models.items():
        made = []
        for one in entry.variants:
            for file in one.files:
                if file.at:
                    shutil.copyfile(release / file.at, release / one.own(file))
            files = tuple(msgspec.structs.replace(file, at="") for file in one.files)
            made.append(msgspec.structs.replace(one, files=files))
        content.models[name] = msgspec.structs.replace(entry, variants=tuple(made))
    content = msgspec.structs.replace(content, schema=schema)
    (release / catalogs.NAME).write_bytes(catalogs.encode(content))
