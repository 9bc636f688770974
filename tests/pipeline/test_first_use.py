"""First use settles who is fastest, if asked to, within a budget, and only once."""

from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from tests.evaluate.races import race
from tests.pipeline.test_tune import Track, failed, ready
from tests.pipeline.test_tune import release as release  # noqa: PLC0414  # a fixture
from tests.pipeline.test_tune import track as track  # noqa: PLC0414  # a fixture
from tests.selection import releases
from tests.selection.releases import MODEL
from tests.test_loader import Backend, opened
from whisperopt import download, host, loader, pipeline, process, registry
from whisperopt.errors import BadInputError, NothingFitsError
from whisperopt.evaluate import race as races
from whisperopt.pipeline import first_use
from whisperopt.pipeline import tune as tuner
from whisperopt.release import catalog as catalogs
from whisperopt.runtime import first_open
from whisperopt.selection.decisions import contenders, resolve
from whisperopt.selection.tuned import recall


@pytest.fixture
def backend(track: Track, monkeypatch: pytest.MonkeyPatch) -> Backend:
    made = Backend()
    monkeypatch.setattr(registry, "require", lambda _name: made)
    monkeypatch.setattr(registry, "probe", ready)
    monkeypatch.setattr(process, "possible", lambda: False)
    return made


def test_opening_races_once_where_that_is_asked_for(
    track: Track, backend: Backend, release: Path
) -> None:
    track.times = {"cpu-mha-fp32": 5.0, "openvino-mha-fp32": 9.0}
    loader.load(release)
    assert track.entered == []
    first = loader.load(release, tune=True)
    assert opened(first) == "cpu-mha-fp32"
    assert track.entered
    assert 0 < track.seconds <= first_use.BUDGET
    track.entered = []
    again = loader.load(release, tune=True)
    assert opened(again) == "cpu-mha-fp32"
    assert track.entered == []
    assert any("is remembered" in told for told in again.decisions)


def test_a_budget_that_is_over_too_soon_is_a_reason_and_the_best_by_prediction_is_opened(
    track: Track, backend: Backend, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_warm(entrants, *_, **__):  # type: ignore[no-untyped-def]
        return {name: race() for name, *_ in entrants}

    monkeypatch.setattr(races, "run", only_warm)
    expected = opened(loader.load(release))
    transcriber = loader.load(release, tune=True, budget=1)
    assert opened(transcriber) == expected
    assert any("before anybody was timed" in told for told in transcriber.decisions)
    assert recall(catalogs.read(release), MODEL) is None


@pytest.mark.parametrize("budget", [0, -1, float("nan")])
def test_no_budget_is_a_reason(track: Track, release: Path, tmp_path: Path, budget: float) -> None:
    for use in (
        lambda: tuner.tune(release, budget=budget),
        lambda: loader.load(release, tune=True, budget=budget),
        lambda: first_use.fetch(MODEL, repo=release, budget=budget),
    ):
        with pytest.raises(BadInputError) as caught:
            use()
        assert caught.value.reason.code == "budget.seconds"
    assert not (tmp_path / "cache/artifacts").exists()


def test_within_a_budget_nobody_is_tested_first_and_its_rest_is_for_the_race(
    track: Track, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    monkeypatch.setattr(first_open, "try_out", tried.append)
    clock = SimpleNamespace(monotonic=chain((100.0,), repeat(103.0)).__next__)
    monkeypatch.setattr(pipeline, "time", clock)
    tuner.tune(release, budget=20)
    assert (tried, track.seconds, track.clips) == ([], 17, 1)
    tuner.tune(release)
    assert track.clips == 3
    assert len(tried) == len(track.entered)


def test_who_is_predicted_to_be_far_behind_takes_no_part() -> None:
    names = ("cpu-gqa-int8-spans", "cpu-gqa-dynamic-spans", "cpu-gqa-fp32", "openvino-mha-fp32")
    catalog = releases.catalog(*map(releases.variant, names))
    machine = msgspec.structs.replace(
        releases.host("plain-vm-linux"), runtimes={"onnxruntime": "1.31", "openvino": "2026.4.1"}
    )
    decisions = resolve(catalog, MODEL, machine)
    found = [decision.variant.name for decision in contenders(decisions, 4)]
    assert found[0] == decisions[0].variant.name
    assert set(found) < set(names)
    assert "cpu-gqa-fp32" not in found
    assert len(contenders(decisions, 1)) == 1


def test_one_variant_alone_is_opened_as_it_is_with_a_reason(
    track: Track, backend: Backend, release: Path
) -> None:
    transcriber = loader.load(release / f"{MODEL}--cpu-gqa-fp32", tune=True)
    assert opened(transcriber) == "cpu-gqa-fp32"
    assert "nothing can be raced" in transcriber.decisions[1]
    assert track.entered == []


def test_fetching_races_those_that_may_win_and_keeps_the_winner(
    track: Track, release: Path, tmp_path: Path
) -> None:
    track.times = {"cpu-mha-fp32": 5.0}
    said: list[str] = []
    found, why = first_use.fetch(
        MODEL, repo=release, progress=lambda name, doing: said.append(f"{name}: {doing}")
    )
    assert (found.manifest.variant, why) == ("cpu-mha-fp32", None)
    assert 1 < len(track.entered) <= 3
    assert [path.name for path in (tmp_path / "cache/artifacts").iterdir()] == [found.path.name]
    assert all(name in said[0] for name in track.entered)
    assert "MB" in said[0]
    track.entered = []
    again, why = first_use.fetch(MODEL, repo=release, to=tmp_path / "to")
    assert (again.manifest.variant, track.entered) == ("cpu-mha-fp32", [])
    assert why
    assert why.code == "tuned.already"
    assert download.fetch(MODEL, repo=release).manifest.variant == "cpu-mha-fp32"


def test_if_nobody_wins_the_best_by_prediction_is_fetched_with_the_reason(
    track: Track, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = download.fetch(MODEL, repo=release).manifest.variant

    def fall_out(entrants, *_, **__):  # type: ignore[no-untyped-def]
        return {name: failed("no memory") for name, *_ in entrants}

    monkeypatch.setattr(races, "run", fall_out)
    found, why = first_use.fetch(MODEL, repo=release)
    assert found.manifest.variant == expected
    assert why
    assert why.code == "tuned.nobody-won"


def test_a_device_and_a_target_restrict_the_race(track: Track, release: Path) -> None:
    found, _ = first_use.fetch(MODEL, repo=release, target="openvino", device="cpu")
    assert found.manifest.variant == "openvino-mha-fp32"
    content = catalogs.read(release)
    assert recall(content, MODEL) is None
    assert recall(content, MODEL, "openvino") is None
    assert recall(content, MODEL, "openvino", "CPU")
    with pytest.raises(NothingFitsError, match="no GPU"):
        first_use.fetch(MODEL, repo=release, device="gpu")
    with pytest.raises(NothingFitsError, match="no GPU"):
        loader.load(release, device="gpu", tune=True)


def test_a_recorded_host_is_never_raced(
    track: Track, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(host.RECORDED, "elsewhere.json")
    with pytest.raises(BadInputError, match="only this one can be timed"):
        first_use.fetch(MODEL, repo=release)
    with pytest.raises(BadInputError, match="only this one can be timed"):
        loader.load(release, tune=True)
