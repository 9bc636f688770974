"""Makes what a build was asked for: author, rewrite, prove, select, write."""

import time
from pathlib import Path

from whisperopt import cache
from whisperopt.graph.core import CoreModel
from whisperopt.graph.graph_cache import GraphCache
from whisperopt.pipeline import build_cache, space
from whisperopt.pipeline.build import Progress
from whisperopt.pipeline.build_cache import BuildCache
from whisperopt.pipeline.line import Line
from whisperopt.pipeline.publish import publish
from whisperopt.pipeline.request import BuildRequest
from whisperopt.pipeline.summary import summarize
from whisperopt.pipeline.timing import raced
from whisperopt.release import store
from whisperopt.release.report import Report
from whisperopt.report import of_release as page
from whisperopt.report.page import FILE


def make(wanted: BuildRequest, out: Path, progress: Progress, started: float) -> Report:
    """Make everything that is `wanted` and not known from before; put it in place in `out`.

    `started` is when the build began, by the monotonic clock.
    """
    proof = wanted.clip_set is not None
    space.check(space.needed(wanted.checkpoint, wanted.recipes, proof=proof), out)
    core = CoreModel(wanted.checkpoint, GraphCache(lasting=True))
    known = BuildCache(wanted.grounds(), fresh=wanted.fresh)
    with store.staging(out) as staging:
        line = Line(core, wanted.host, wanted.clip_set, staging, progress, known)
        lots = tuple(line.run(r.target, r.backend, r.ladder, r.probe) for r in wanted.targets)
        lots = raced(lots, line.case, staging, progress, known)
        report = summarize(line, lots, time.monotonic() - started)
        with store.locked(out):
            report = publish(
                staging,
                out,
                matrix=wanted.matrix,
                lots=lots,
                case=line.case,
                report=report,
                version=wanted.version,
            )
            (staging / FILE).write_text(page.render(staging, report, wanted.matrix), "utf-8")
            store.commit(staging, out)
            store.prune(out)
            left = cache.stamps(out)
        core.cache.moved(staging.resolve(), out.resolve())
    line.forget()
    if all(outcome.certain for lot in lots for outcome in lot.outcomes):
        build_cache.remember(wanted, out, left)
    return report
