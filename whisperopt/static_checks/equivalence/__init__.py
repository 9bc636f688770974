"""Graph equivalence: over the checkpoint's own weights a graph computes what the core model does.

Rounded weights hide small faults of a graph: a product that is 2 % too large, an epsilon, an
attention one token off. So each graph gets a dequantized reference: the same nodes over exact
weights in single precision, which must compute what the core model does, up to the order of sums.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from whisperopt import process
from whisperopt.backend import Recipe
from whisperopt.errors import WhisperoptError
from whisperopt.process import Failure
from whisperopt.reasons import because
from whisperopt.static_checks.equivalence.comparison import (
    Equivalence,
    Graphs,
    compare,
    record,
)

if TYPE_CHECKING:
    from whisperopt.graph.core import CoreModel

_LIMIT = "WHISPEROPT_WIRING_SECONDS"
_SECONDS = 900


def check(core: "CoreModel", folder: Path, recipe: Recipe, scratch: Path) -> Equivalence:
    """Run the artifact in `folder`, with exact weights, in a process of its own.

    Graphs about as large as the model in single precision are written into `scratch`, the core
    model's and then the variant's; what the core model's gave stays there for the next variant.
    """
    # here, because the process of the comparison starts much sooner without what authors graphs
    from whisperopt.static_checks.equivalence.dequantized import (
        UnknownFormError,
        write_core,
        write_dequantized,
    )

    spans = "" if recipe.audio_tail is None else "-spans"
    answers = scratch / f"equivalence-core-{recipe.kv_heads or 'all'}{spans}.npz"
    dims, prompt = core.checkpoint.dims, core.checkpoint.decoding.prompt(None)
    graphs = Graphs(folder=scratch / "equivalence", answers=answers, dims=dims, prompt=prompt)
    try:
        found = Equivalence()
        if not answers.is_file():
            write_core(core, recipe, graphs.folder)
            found = _asked(record, graphs)
        if answers.is_file():
            write_dequantized(core, recipe, folder, graphs.folder)
            found = _asked(compare, graphs)
    except UnknownFormError as error:
        return Equivalence(not_compared=error.reason)
    except WhisperoptError as error:
        return Equivalence(reason=error.reason)
    except (MemoryError, OSError):  # this machine's trouble, not the graph's
        raise
    except Exception as error:  # noqa: BLE001  # the graphs may be anybody's
        return Equivalence(not_compared=because("equivalence.not-written", why=str(error)))
    finally:
        shutil.rmtree(graphs.folder, ignore_errors=True)
    return found


def _asked(handler: Callable[[Graphs], Equivalence], graphs: Graphs) -> Equivalence:
    found = process.ask(handler, graphs, limit=process.bound(_LIMIT, _SECONDS))
    if found == process.IMPOSSIBLE:
        return Equivalence(not_compared=found.reason, certain=False)
    if isinstance(found, Failure):
        why = because("equivalence.cpu-fails", why=str(found))
        return Equivalence(not_compared=why, certain=False)
    return found
