"""`whisperopt.lock`: which variant each class of hosts gets, today and tomorrow."""

import uuid
from pathlib import Path

import msgspec

from whisperopt import documents
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.host import Host
from whisperopt.reasons import because
from whisperopt.release.catalog import ModelEntry, Variant

SCHEMA = "1.0"


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """The variant that a class of hosts gets."""

    version: str
    variant: str
    digest: str


class LockFile(msgspec.Struct, frozen=True, kw_only=True):
    """The pins by model and class of hosts."""

    schema: str = SCHEMA
    models: dict[str, dict[str, Pin]] = {}


def read(path: Path) -> LockFile:
    """Read a lock file; one that is not there pins nothing."""
    try:
        if not path.exists():
            return LockFile()
        found = documents.read(path, LockFile, documents.LOCK)
    except OSError as error:
        raise BadInputError(because("lock.none", path, why=f"{error.strerror}")) from None
    except documents.UnfitError as error:
        raise BadInputError(because("lock.none", path, why=str(error))) from None
    if found.schema.partition(".")[0] != SCHEMA.partition(".")[0]:
        raise BadInputError(because("lock.schema", path, found=found.schema, known=SCHEMA))
    return found


def host_class(host: Host) -> str:
    """Name what of a host decides which variant fits best, whatever is installed there."""
    gpu = host.gpu_for("nvidia") or host.gpu_for("gpu")
    parts = [host.os, host.arch, host.cpu_vendor, host.isa]
    if gpu:
        capability = (gpu.compute_capability or "").replace(".", "")
        parts += [gpu.vendor, f"sm{capability}" if capability else "gpu"]
    return "-".join(parts)


def pinned(path: Path, model: str, host: Host, entry: ModelEntry) -> Variant | None:
    """Return the variant of `entry` that is pinned for `host`, if one is.

    Raises `IntegrityError` where the release no longer has it as it was.
    """
    pin = read(path).models.get(model, {}).get(host_class(host))
    if pin is None:
        return None
    named = {variant.name: variant for variant in entry.variants}
    found = named.get(pin.variant)
    if entry.version != pin.version:
        values = {"model": model, "wanted": pin.version, "found": entry.version}
        raise IntegrityError(because("lock.version", path, **values))
    if found is None or found.digest != pin.digest:
        held = found.digest if found else "none of that name"
        values = {"variant": pin.variant, "wanted": pin.digest, "found": held}
        raise IntegrityError(because("lock.digest", path, **values))
    return found


def pin(path: Path, model: str, host: Host, entry: ModelEntry, variant: Variant) -> None:
    """Write down that `host` and its like get `variant`; the file is old or new, never half."""
    lock = read(path)
    made = Pin(version=entry.version, variant=variant.name, digest=variant.digest)
    pins = {**lock.models.get(model, {}), host_class(host): made}
    if lock.models.get(model) == pins:
        return
    models = {**lock.models, model: dict(sorted(pins.items()))}
    text = msgspec.json.encode(LockFile(models=dict(sorted(models.items()))))
    new = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        new.write_bytes(msgspec.json.format(text, indent=1) + b"\n")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
