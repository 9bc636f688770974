"""Which of several graphics adapters a variant gets, and how its decision names it."""

from collections.abc import Iterable, Sequence

import msgspec

from whisperopt import host as hosts
from whisperopt import matrix
from whisperopt.artifact import Artifact
from whisperopt.errors import BadInputError, NothingFitsError
from whisperopt.host import Gpu, Host, device
from whisperopt.matrix import Objective
from whisperopt.reasons import Reason, because
from whisperopt.results.variant import VariantResult
from whisperopt.selection.checks import Case, first_refusal


class Adapter(msgspec.Struct, frozen=True):
    """One that serves a device."""

    gpu: Gpu
    host: Host
    """The host as if it had no other."""
    cost: float | None
    """What the best variant took on such a one, by the objective; None: nobody measured."""
    nameable: bool
    """Whether a runtime can be told to take it."""


class Placed(msgspec.Struct, frozen=True):
    """A variant before the adapter that it gets, or the best one of those that refuse it."""

    case: Case
    refusal: Reason | None = None
    gpu: Gpu | None = None
    """The adapter, where there is a choice."""
    others: tuple[str, ...] = ()
    """What else there is, and why it is not taken."""

    def named(self, why: Reason) -> Reason:
        """Return `why` with the adapter, where there is a choice."""
        if self.gpu is None:
            return why
        code = "here.on" if self.others else "here.on-asked"
        code = code if self.case.nameable else "here.on-unnamed"
        return because(code, self.gpu, why=str(why), others=", ".join(self.others))


def adapters(
    kind: str, results: Iterable[VariantResult], host: Host, left: Sequence[Gpu], aim: Objective
) -> tuple[Adapter, ...]:
    """Return what serves the device `kind` and is `left` for it, best first.

    Those that were measured are in the order of their times by `aim`, in the places that the host
    gives them; what nobody measured keeps its own.
    """
    own = [result for result in results if result.variant.device == kind]
    found = []
    for gpu in (gpu for gpu in host.gpus_for(kind) if gpu in left):
        alone = msgspec.structs.replace(host, gpus=(gpu,))
        standings = [r.standing(alone.host_class(kind, r.variant.runtime)) for r in own]
        costs = [s.scores.cost(aim) for s in standings if s.measured and s.accepted]
        cost = min((cost.value for cost in costs if cost.known), default=None)
        found.append(Adapter(gpu, alone, cost, device.is_nameable(host, kind, gpu)))
    by_cost = iter(sorted((a for a in found if a.cost), key=lambda a: a.cost or 0))
    return tuple(next(by_cost) if adapter.cost else adapter for adapter in found)


def placed(
    result: VariantResult,
    host: Host,
    served_by: Sequence[Adapter],
    *,
    target: str | None,
    asked: str | None,
) -> Placed:
    """Return `result` on the first of the adapters that it fits."""
    bare = Case(result, msgspec.structs.replace(host, gpus=()), target, asked)
    several = len(host.gpus_for(result.variant.device)) > 1
    others: list[str] = []
    refused: Placed | None = None
    for place, adapter in enumerate(served_by):
        case = Case(result, adapter.host, target, asked, adapter.nameable, place)
        refusal = first_refusal(case)
        if refusal is None:
            others.extend(
                str(because("here.slower", other.gpu) if other.cost else other.gpu)
                for other in served_by[place + 1 :]
            )
            return Placed(case, gpu=adapter.gpu if several else None, others=tuple(others))
        others.append(str(because("here.refused", adapter.gpu, why=str(refusal))))
        refused = refused or Placed(case, refusal)
    return refused or Placed(bare, first_refusal(bare))


def asked_for(host: Host, asked: str | None) -> tuple[Gpu, ...]:
    """Return the adapters that `asked` leaves: see `host.device`.

    Raises `BadInputError` for what is not here, and `NothingFitsError` for `gpu` without a GPU.
    """
    left = device.adapters(host, asked)
    if isinstance(left, Reason):
        raise (NothingFitsError if left.code == "device.no-gpu" else BadInputError)(left)
    return left


def kind_of(artifact: Artifact) -> str:
    """Return the kind of device that an artifact outside a release is for."""
    target = artifact.manifest.target
    return next((t.device for t in matrix.load().targets if t.name == target), target)


def on_device(artifact: Artifact, asked: str | None) -> Artifact:
    """Return an artifact outside a release with the adapter that is `asked` for.

    Raises as `asked_for` does, and `NothingFitsError` if it does not run there.
    """
    if asked is None:
        return artifact
    host, kind = hosts.detect(), kind_of(artifact)
    left = asked_for(host, asked)
    gpu = next((gpu for gpu in host.gpus_for(kind) if gpu in left), None)
    if not device.serves(kind, asked) or (kind != device.CPU and not gpu):
        raise NothingFitsError(because("device.another", artifact.path, asked=asked))
    told = gpu if gpu and device.is_nameable(host, kind, gpu) else None
    if device.is_one(asked) and not told:
        raise NothingFitsError(because("device.not-nameable", artifact.path, gpu=str(gpu)))
    return msgspec.structs.replace(artifact, adapter=told)
