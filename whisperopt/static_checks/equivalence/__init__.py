"""The proof of what a graph does with its weights: given the checkpoint's own, it is the core model.

Rounded weights hide small faults of a graph: a product that is 2 % too large, an epsilon, an
attention one token off. So each graph gets a double: the same nodes over exact weights in single
precision. What the double computes must be what the core model computes, up to the order of sums.
"""

import shutil
from pathlib import Path

import msgspec

from whisperopt import isolated
from whisperopt.backend import Recipe
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import CoreModel
from whisperopt.static_checks.equivalence.double import UnknownFormError, write_core, write_double

_CHILD = "whisperopt.static_checks.equivalence.comparison"
_LIMIT = "WHISPEROPT_WIRING_SECONDS"
_SECONDS = 900


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the comparison."""

    reason: str = ""
    """Why the variant is refused; empty if it is not."""
    not_compared: str = ""
    """Why there was nothing to compare, if so."""
    certain: bool = True
    """False: the comparison crashed or took too long, which another try may not meet."""


def check(core: CoreModel, folder: Path, recipe: Recipe, scratch: Path) -> Wiring:
    """Run the double of the artifact in `folder` beside `core`, in a process of its own.

    Doubles are written into `scratch`, about as large as the model in single precision; that of
    the core model stays there for the next variant.
    """
    spans = "" if recipe.audio_tail is None else "-spans"
    own = scratch / f"wiring-core-{recipe.kv_heads or 'all'}{spans}"
    double = scratch / "wiring-double"
    try:
        if not own.is_dir():
            write_core(core, recipe, own.with_suffix(".partial"))
            own.with_suffix(".partial").rename(own)
        write_double(core, recipe, folder, double)
    except UnknownFormError as error:
        return Wiring(not_compared=str(error))
    except WhisperoptError as error:
        return Wiring(reason=error.problem)
    except (MemoryError, OSError):  # this machine's trouble, not the graph's
        raise
    except Exception as error:  # noqa: BLE001  # the graphs may be anybody's
        return Wiring(not_compared=f"no double can be written: {error}")
    try:
        return _compared(core, own, double)
    finally:
        shutil.rmtree(double, ignore_errors=True)


def _compared(core: CoreModel, own: Path, double: Path) -> Wiring:
    request = {
        "core": str(own),
        "double": str(double),
        "dims": msgspec.to_builtins(core.checkpoint.dims),
        "prompt": core.checkpoint.decoding.prompt(None),
    }
    said = isolated.ask(_CHILD, request, limit=isolated.seconds(_LIMIT, _SECONDS))
    if said is None:
        return Wiring(
            not_compared="no other Python can be started from this process", certain=False
        )
    if isinstance(said, str):
        return Wiring(not_compared=f"the CPU cannot run it: {said}", certain=False)
    return msgspec.convert(said, Wiring)
