"""Proves a release on this machine, or takes in what another machine said, and selects anew."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from whisperopt import matrix as matrices
from whisperopt.errors import BadInputError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.matrix import Matrix, Objective
from whisperopt.pipeline.arrivals import arrived
from whisperopt.pipeline.here import Progress, Proof, Wanted
from whisperopt.pipeline.merging import merge
from whisperopt.reasons import because
from whisperopt.release import catalog, store
from whisperopt.release.catalog import Catalog
from whisperopt.results import verdicts
from whisperopt.results.validation import Told, Validation
from whisperopt.results.verdicts import Bench

__all__ = ["validate"]


def validate(  # noqa: PLR0913  # every one a choice of the user's, by name
    release: str | Path,
    *,
    target: str | Iterable[str] = "all",
    model: str | None = None,
    clips: str | Path | None = None,
    checkpoint: str | None = None,
    imports: Sequence[str | Path] = (),
    replay: bool = False,
    objective: Objective | None = None,
    matrix: Matrix | None = None,
    progress: Progress = lambda _name, _doing: None,
) -> Validation:
    """Prove the variants of `release` that this machine can run, and write what came of it.

    With `imports` nothing is run: evidence files of other machines are checked and taken in. With
    `replay` nothing is new at all. In every case all verdicts are recomputed from the raw samples
    in the release, and every target is ranked again, by `objective` where one is given.

    `clips` is another manifest than the packaged one; the core model listens to clips that it has
    not answered yet, for which `checkpoint` (default: the model's name) must be on this machine.
    Where it is, every weight of the variants is compared with it as well.
    """
    folder = Path(release)
    matrix = matrix or matrices.load()
    content = _content(folder)
    names = [model] if model else sorted(content.models)
    wanted = Wanted(
        targets=_targets(target, content, names),
        clips=clip_sets.read(Path(clips)) if clips and not (imports or replay) else None,
        checkpoint=checkpoint,
    )
    benches = _benches(folder, names, matrix)
    with store.staging(folder) as staging:
        told: list[Told] = []
        proofs: list[Proof] = []
        if not imports and not replay:
            proofs = [Proof(folder, bench, wanted, staging, progress) for bench in benches]
            told = [one for proof in proofs for one in proof.run()]
            benches = [proof.bench for proof in proofs]
        with store.locked(folder):
            if imports:
                benches = _benches(folder, names, matrix)
                told = arrived(folder, benches, [Path(path) for path in imports])
            found = merge(folder, staging, benches, told, matrix=matrix, objective=objective)
    for proof in proofs:
        proof.forget()
    return found


def _benches(folder: Path, names: Sequence[str], matrix: Matrix) -> list[Bench]:
    content = catalog.read(folder)
    return [verdicts.bench(folder, name, content.model(name), matrix) for name in names]


def _content(folder: Path) -> Catalog:
    if not store.is_release(folder):
        raise BadInputError(because("release.none", folder))
    store.recover(folder)
    content = catalog.read(folder)
    if _is_newer(content.schema):
        raise BadInputError(
            f"{folder} has a catalog of schema {content.schema}, of which this whisperopt would"
            f" lose what is newer than {catalog.SCHEMA}",
            "Upgrade whisperopt",
        )
    return content


def _is_newer(schema: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(schema) > Version(catalog.SCHEMA)
    except InvalidVersion:
        return True


def _targets(target: str | Iterable[str], content: Catalog, models: Sequence[str]) -> set[str]:
    known = {v.target for name in models for v in content.model(name).variants}
    wanted = {name.strip() for name in (target.split(",") if isinstance(target, str) else target)}
    for name in sorted(wanted):
        matrices.check_target(name, [*sorted(known), "all"], because("target.not-in-release"))
    return known if "all" in wanted else wanted
