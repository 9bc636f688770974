"""The matrix of targets, read from `targets.toml`, and what the best variant of one is."""

import difflib
import math
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, get_args

import msgspec
from packaging.specifiers import SpecifierSet

from whisperopt import documents
from whisperopt.errors import BadInputError
from whisperopt.reasons import Reason, because
from whisperopt.recipe import Precision

Device = Literal["nvidia", "d3d12", "gpu", "cpu"]
"""`d3d12` is any GPU on Windows, `gpu` any GPU at all."""
Os = Literal["linux", "windows", "macos"]
Arch = Literal["x86_64", "arm64"]

Goal = Literal["latency", "throughput", "size", "memory"]
Limit = Literal["wer_delta", "latency_ms_p50", "size_bytes", "peak_rss_mb"]

_COARSEST_FIRST: tuple[Precision, ...] = ("int8", "bf16", "fp16", "fp32")

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The default is the least time for a clip; `at_most` bounds other numbers of the report.

    `throughput` is audio per time with as many clips at once as the session takes, `size` the
    bytes on disk, `memory` the most that a process with the variant in it used. Increases of the
    WER are in percent points, latencies in milliseconds, memory in MiB.
    """

    goal: Goal = "latency"
    at_most: dict[Limit, float] = {}

    def __str__(self) -> str:
        """Say it in words, e.g. `size with wer_delta <= 0.5`."""
        limits = " and ".join(f"{name} <= {bound:g}" for name, bound in self.at_most.items())
        return f"{self.goal} with {limits}" if limits else self.goal

    @property
    def needs_times(self) -> bool:
        """Whether only a measurement on the device can tell which variant is better."""
        return self.goal != "size"


LATENCY = Objective()


class Gates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bounds that a variant must meet to be selectable; `targets.toml` explains each."""

    encoder_cosine: float
    encoder_relative_error: float
    top1_agreement: float
    kl_divergence: float
    token_match: float
    clips_no_worse: float
    batch_agreement: float
    wer_increase: float
    wer_vs_core: float
    max_activation: float
    weight_scale: float
    weight_error: float


class Requirements(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device must offer beyond being there: PEP 440 specifiers, never expressions."""

    compute_capability: str | None = None
    cpu_features: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    """Where the runtime has a wheel, e.g. `linux-x86_64`; empty: wherever `os` and `arch` say."""


class CiCell(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How CI builds and proves one target."""

    runner: str
    required: bool
    timeout_minutes: int


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of device and how it is served."""

    name: str
    backend: str
    device: Device
    os: tuple[Os, ...]
    arch: tuple[Arch, ...]
    requires: Requirements = Requirements()
    recipes: tuple[str, ...] = ()
    """Names of the backend's recipes to try; empty means all."""
    gates: dict[Precision, Gates]
    """The finer the numbers, the closer to the core model."""
    objective: Objective = Objective()
    ci: CiCell

    def gates_for(self, precisions: Iterable[str]) -> Gates:
        """Return the gates of a variant with such `precisions`: those of the coarsest."""
        found = set(precisions)
        return self.gates[next((p for p in _COARSEST_FIRST if p in found), "fp32")]


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """All targets, in order of preference, and the order of devices."""

    device_order: tuple[Device, ...]
    targets: tuple[Target, ...]

    def choose(self, names: Iterable[str]) -> tuple[Target, ...]:
        """Return the targets called `names` in matrix order; `all` stands for every one."""
        wanted = {name.strip() for name in names if name.strip()}
        known = [target.name for target in self.targets]
        for name in sorted(wanted):
            check_target(name, [*known, "all"], because("target.unknown"))
        if not wanted:
            raise BadInputError(because("matrix.no-target", known=", ".join(known)))
        return tuple(t for t in self.targets if "all" in wanted or t.name in wanted)

    def aiming_at(self, objective: Objective | None) -> Self:
        """Return this matrix with another objective for every target; None changes nothing."""
        if objective is None:
            return self
        aimed = (msgspec.structs.replace(t, objective=objective) for t in self.targets)
        return msgspec.structs.replace(self, targets=tuple(aimed))

    def target(self, name: str) -> Target:
        """Return the one target called `name`."""
        (target,) = self.choose([name])
        return target


def check_target(target: str | None, known: Collection[str], unless: Reason) -> None:
    """Refuse a named `target` that is not `known`: `unless` is why, with the nearest that is."""
    if target is not None and target not in known:
        values = {**unless.values, "target": target, "hint": nearest(target, known)}
        raise BadInputError(msgspec.structs.replace(unless, values=values))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known word, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Use one of: {', '.join(known)}"


def load(path: Path | None = None) -> Matrix:
    """Read `path`, or the matrix that ships with whisperopt."""
    if path is not None:
        try:
            return parse(documents.content(path, documents.MATRIX).decode(), str(path))
        except documents.UnfitError as error:
            raise BadInputError(because("matrix.unread", path, why=str(error))) from None
        except OSError as error:
            why = f"{error.strerror}"
            raise BadInputError(because("matrix.unread", path, why=why)) from None
        except UnicodeDecodeError:
            raise BadInputError(because("matrix.not-utf-8", path)) from None
    return parse(_packaged(), "targets.toml")


def parse(text: str, source: str) -> Matrix:
    """Parse the text of a matrix; every error names `source` and the key."""
    try:
        return _convert(tomllib.loads(text))
    except msgspec.ValidationError as error:
        raise BadInputError(because("matrix.odd", source, why=str(error))) from None
    except (ValueError, RecursionError) as error:  # numbers of absurd length too
        raise BadInputError(because("matrix.not-toml", source, why=str(error))) from None


def _checked(target: Target) -> Target:
    numbers = {
        f"gates.{name} for {precision}": bound
        for precision, gates in target.gates.items()
        for name, bound in msgspec.structs.asdict(gates).items()
    }
    numbers |= {f"objective.at_most.{name}": n for name, n in target.objective.at_most.items()}
    for place, number in numbers.items():
        if not math.isfinite(number):
            raise msgspec.ValidationError(f"{place} is no number")
    wanted = target.requires.compute_capability
    try:
        SpecifierSet(wanted or "")
    except ValueError:
        msg = f"requires.compute_capability {wanted!r} is not like '>=7.5'"
        raise msgspec.ValidationError(msg) from None
    return target


_GateTable = dict[str, float | dict[str, float]]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal["1.0"]
    device_order: tuple[Device, ...]
    targets: dict[str, dict[str, Any]]
    gates: _GateTable = {}
    """Without any, those of the packaged matrix hold."""


def _packaged() -> str:
    source = Path(str(resources.files("whisperopt") / "targets.toml"))
    if not source.is_file():  # an editable install: the one copy lies at the repository's root
        source = source.parent.parent / "targets.toml"
    return source.read_text("utf-8")


def _convert(raw: dict[str, Any]) -> Matrix:
    file = msgspec.convert(raw, _File)
    common = file.gates or tomllib.loads(_packaged())["gates"]
    targets = []
    for name, table in file.targets.items():
        try:
            if not _NAME.fullmatch(name) or name in ("all", "auto", "core"):
                msg = "is no plain name of small letters, digits and dashes, or a reserved one"
                raise msgspec.ValidationError(msg)  # noqa: TRY301  # one place names the table
            gates = _resolved(common, msgspec.convert(table.get("gates", {}), _GateTable))
            whole = {**table, "name": name, "gates": gates}
            targets.append(_checked(msgspec.convert(whole, Target)))
        except msgspec.ValidationError as error:
            raise msgspec.ValidationError(f"[targets.{name}] {error}") from None
    return Matrix(device_order=file.device_order, targets=tuple(targets))


def _resolved(*tables: _GateTable) -> dict[Precision, dict[str, float]]:
    """Let each table override the ones before it, and what is for one precision what is for all."""
    for table in tables:
        for name, value in table.items():
            if isinstance(value, dict) and name not in _COARSEST_FIRST:
                known = ", ".join(_COARSEST_FIRST)
                raise msgspec.ValidationError(f"gates.{name} is no precision: use one of {known}")
    resolved: dict[Precision, dict[str, float]] = {}
    for precision in _COARSEST_FIRST:
        own: dict[str, float] = {}
        for table in tables:
            own |= {name: value for name, value in table.items() if isinstance(value, float)}
            if isinstance(finer := table.get(precision), dict):
                own |= finer
        resolved[precision] = own
    return resolved


def parse_objective(
    goal: str | None, at_most: Mapping[str, float], *, default: Objective
) -> Objective:
    """Return the objective that a user asked for; what is left out is as in `default`."""
    if goal is not None and goal not in get_args(Goal):
        known = ", ".join(get_args(Goal))
        raise BadInputError(because("objective.none", repr(goal), known=known))
    for name, bound in at_most.items():
        if name not in get_args(Limit):
            known = ", ".join(get_args(Limit))
            raise BadInputError(because("objective.no-limit", repr(name), known=known))
        if not math.isfinite(bound):
            raise BadInputError(because("objective.no-number", name))
    limits: dict[str, float] = {**default.at_most, **at_most}  # type: ignore[dict-item]  # mypy 1.x: keys of a Literal
    return msgspec.convert({"goal": goal or default.goal, "at_most": limits}, Objective)
