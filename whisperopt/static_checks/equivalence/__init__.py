"""Graph equivalence: over the checkpoint's own weights a graph computes what the core model does.

Rounded weights hide small faults of a graph: a product that is 2 % too large, an epsilon, an
attention one token off. So each graph gets a dequantized reference: the same nodes over exact
weights in single precision, which must compute what the core model does, up to the order of sums.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt import isolated
from whisperopt.backend import Recipe
from whisperopt.errors import WhisperoptError
from whisperopt.reasons import Reason, because

if TYPE_CHECKING:
    from whisperopt.graph.core import CoreModel

_CHILD = "whisperopt.static_checks.equivalence.comparison"
_LIMIT = "WHISPEROPT_WIRING_SECONDS"
_SECONDS = 900


class Equivalence(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the comparison."""

    reason: Reason | None = None
    """Why the variant is refused, if it is."""
    not_compared: Reason | None = None
    """Why there was nothing to compare, if so."""
    certain: bool = True
    """False: the comparison crashed or took too long, which another try may not meet."""


def check(core: "CoreModel", folder: Path, recipe: Recipe, scratch: Path) -> Equivalence:
    """Run the artifact in `folder`, with exact weights, beside `core` in a process of its own.

    Graphs about as large as the model in single precision are written into `scratch`; those of
    the core model stay there for the next variant.
    """
    # here, because the process of the comparison starts much sooner without what authors graphs
    from whisperopt.static_checks.equivalence.dequantized import (
        UnknownFormError,
        write_core,
        write_dequantized,
    )

    spans = "" if recipe.audio_tail is None else "-spans"
    own = scratch / f"equivalence-core-{recipe.kv_heads or 'all'}{spans}"
    variant = scratch / "equivalence-variant"
    try:
        if not own.is_dir():
            write_core(core, recipe, own.with_suffix(".partial"))
            own.with_suffix(".partial").rename(own)
        write_dequantized(core, recipe, folder, variant)
    except UnknownFormError as error:
        return Equivalence(not_compared=error.reason)
    except WhisperoptError as error:
        return Equivalence(reason=error.reason)
    except (MemoryError, OSError):  # this machine's trouble, not the graph's
        raise
    except Exception as error:  # noqa: BLE001  # the graphs may be anybody's
        return Equivalence(not_compared=because("equivalence.not-written", why=str(error)))
    try:
        return _compared(core, own, variant)
    finally:
        shutil.rmtree(variant, ignore_errors=True)


def _compared(core: "CoreModel", own: Path, variant: Path) -> Equivalence:
    request = {
        "core": str(own),
        "variant": str(variant),
        "dims": msgspec.to_builtins(core.checkpoint.dims),
        "prompt": core.checkpoint.decoding.prompt(None),
    }
    said = isolated.ask(_CHILD, request, limit=isolated.seconds(_LIMIT, _SECONDS))
    if said is None:
        return Equivalence(not_compared=because("equivalence.no-process"), certain=False)
    if isinstance(said, str):
        return Equivalence(not_compared=because("equivalence.cpu-fails", why=said), certain=False)
    return msgspec.convert(said, Equivalence)
