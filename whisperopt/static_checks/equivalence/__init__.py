"""The proof of what a graph does with its weights: given the checkpoint's own, it is the core model.

Rounded weights hide small faults of a graph: a product that is 2 % too large, an epsilon, an
attention one token off. So each graph gets a double: the same nodes over exact weights in single
precision. What the double computes must be what the core model computes, up to the order of sums.
"""

import shutil
from pathlib import Path

from whisperopt import process
from whisperopt.backend import Recipe
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import CoreModel
from whisperopt.process import Failure
from whisperopt.static_checks.equivalence.comparison import Doubles, Wiring, compare
from whisperopt.static_checks.equivalence.double import UnknownFormError, write_core, write_double

_LIMIT = "WHISPEROPT_WIRING_SECONDS"
_SECONDS = 900


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
    request = Doubles(
        core=own,
        double=double,
        dims=core.checkpoint.dims,
        prompt=core.checkpoint.decoding.prompt(None),
    )
    found = process.ask(compare, request, limit=process.seconds(_LIMIT, _SECONDS))
    if found == process.IMPOSSIBLE:
        return Wiring(not_compared=str(found), certain=False)
    if isinstance(found, Failure):
        return Wiring(not_compared=f"the CPU cannot run it: {found}", certain=False)
    return found
