"""The machine that made the report, the versions on it, and what it did while it measured."""

from collections.abc import Iterable, Sequence

from whisperopt.evaluate.evidence import Evidence, Machine
from whisperopt.host import Host
from whisperopt.release.report import Report, TargetReport
from whisperopt.report.entries import Entry
from whisperopt.report.markup import Content, Html, named, tag
from whisperopt.report.numbers import NONE, counted, number, span
from whisperopt.report.tables import LONGEST, Column, table


def machines(report: Report, entries: Sequence[Entry]) -> Html:
    """Return the section."""
    runs = [e.evidence for e in entries if e.evidence is not None and e.measured]
    return tag(
        "section",
        tag("h2", "Machine and versions"),
        tag("div", _machine(report.host), _versions(report), class_="pair"),
        _meanwhile(runs) if runs else None,
        _features(report),
    )


def _machine(host: Host) -> Html:
    gpus = [
        " ".join(
            filter(
                None,
                [
                    gpu.name,
                    f"({gpu.memory_mb:,} MB)" if gpu.memory_mb else "",
                    f"driver {gpu.driver}" if gpu.driver else "",
                    f"compute {gpu.compute_capability}" if gpu.compute_capability else "",
                ],
            )
        )
        for gpu in host.gpus
    ]
    rows: list[Sequence[Content]] = [
        ["system", f"{host.os} {host.arch}"],
        ["processor", f"{host.cpu_vendor}, {host.isa}"],
        ["cores in use", str(host.cores)],
        ["graphics", "; ".join(gpus) or "none"],
    ]
    rows += [[("broken: ", named(name)), why] for name, why in sorted(host.broken.items())]
    return table("The machine that made this report", [Column("fact"), Column("value")], rows)


def _versions(report: Report) -> Html:
    found = [(name, version) for name, version in sorted(report.host.runtimes.items())]
    rows: list[Sequence[Content]] = [[named("whisperopt"), report.whisperopt]]
    rows += [[named(name, LONGEST), version] for name, version in found]
    rows += [[("backend ", named(t.backend)), t.runtime] for t in _one_for_each(report.targets)]
    caption = "Runtimes, as they were found"
    return table(caption, [Column("what"), Column("version, or what is missing")], rows)


def _meanwhile(runs: Sequence[Evidence]) -> Html:
    """Tabulate what the machines did while they measured, one row for each kind of host."""
    columns = [
        *(Column("kind of host"), Column("variants", figures=True)),
        *(Column("rounds", figures=True), Column("threads", figures=True)),
        *(Column("clock, MHz", figures=True), Column("load", figures=True)),
        *(Column("governor"), Column("energy, J", figures=True)),
    ]
    kinds = dict.fromkeys(run.host_class for run in runs)
    rows = [_row(kind, [run for run in runs if run.host_class == kind]) for kind in kinds]
    caption = "Meanwhile: what the machines did while they measured, least … most of all runs"
    return table(caption, columns, rows, class_="stacked")


def _row(kind: str, runs: Sequence[Evidence]) -> list[Content]:
    did: list[Machine] = [run.machine for run in runs]
    joules = [one.joules for one in did if one.joules is not None]
    governors = sorted({one.governor for one in did if one.governor is not None})
    rounds = [len({lap.round for lap in run.race.laps if lap.round}) for run in runs if run.race]
    return [
        named(kind, 2 * LONGEST),
        str(len(runs)),
        _reach(rounds),
        _reach([run.threads for run in runs]),
        _reach([value for one in did for value in one.clock_mhz or ()]),
        _reach([value for one in did for value in one.load or ()], ".1f"),
        ", ".join(governors) or NONE,
        _reach(joules),
    ]


def _reach(values: Iterable[float], form: str = ",.0f") -> str:
    found = [*values]
    return span((min(found), max(found)), form) if found else number(None)


def _features(report: Report) -> Html | None:
    features = " ".join(report.host.cpu_features)
    if not features:
        return None
    summary = tag("summary", counted(len(report.host.cpu_features), "processor feature"))
    return tag("details", summary, tag("p", features, class_="facts"))


def _one_for_each(targets: Sequence[TargetReport]) -> list[TargetReport]:
    return list({target.backend: target for target in targets}.values())
