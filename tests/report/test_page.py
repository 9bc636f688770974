import re
from html.parser import HTMLParser

import pytest

from tests.report import made
from whisperopt import select
from whisperopt.proof import words
from whisperopt.report.page import render

VOID = {"meta", "br"}
PLAIN = """
html head meta title style body header main section footer div p span a h1 h2 h3 h4 dl dt dd ol
ul li table caption thead tbody tr th td details summary figure figcaption bdi b em strong del
ins svg g path circle rect text
"""


class Page(HTMLParser):
    """Reads a page strictly: every element closed in order, every attribute seen."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.attributes, self.names, self.texts = [], [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all_of(self, tag):
        return "\n".join(self.texts.get(tag, []))


def plain():
    report, evidence = made.plain()
    gates = {target.name: made.GATES for target in report.targets}
    return render(report, evidence, made.CORE, clip_set=made.CLIPS, gates=gates)


def worst(candidates=40):
    report, evidence = made.worst(candidates)
    return render(report, evidence, None, gates={report.targets[0].name: made.GATES})


def hostile_words():
    report, evidence, core = made.hostile_words()
    return render(report, evidence, core, clip_set=made.hostile_clips())


@pytest.fixture(params=[plain, worst, hostile_words])
def text(request):
    return request.param()


def test_the_page_is_well_formed_and_has_nothing_but_plain_elements(text):
    page = Page(text)
    assert set(page.names) <= set(PLAIN.split())
    assert page.names.count("h1") == page.names.count("main") == 1
    ids = [value for _, key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))


def test_nothing_is_asked_of_any_network(text):
    page = Page(text)
    addresses = [
        v for _, key, v in page.attributes if key in {"href", "src", "xlink:href", "srcset"}
    ]
    assert all(re.fullmatch(r"#[a-z0-9-]+", address) for address in addresses)
    assert "url(" not in page.all_of("style")
    assert "@import" not in page.all_of("style")


def test_no_script_can_run(text):
    page = Page(text)
    assert not any(key.startswith("on") or key == "style" for _, key, _ in page.attributes)
    policy = next(value for _, key, value in page.attributes if value.startswith("default-src"))
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy


def test_links_lead_to_what_is_there(text):
    page = Page(text)
    ids = {value for _, key, value in page.attributes if key == "id"}
    assert {value[1:] for _, key, value in page.attributes if key == "href"} <= ids


def test_tables_have_captions_and_headings(text):
    page = Page(text)
    assert page.names.count("caption") == page.names.count("table") > 0
    assert all(key != "scope" or value in {"row", "col"} for _, key, value in page.attributes)


def test_pictures_are_told_in_words(text):
    page = Page(text)
    drawn = page.names.count("svg")
    told = [key for tag, key, _ in page.attributes if tag == "svg" and key.startswith("aria-")]
    assert len(told) == drawn


def test_every_candidate_stands_on_its_ladder_with_its_fate_and_reason():
    report, _ = made.plain()
    page = Page(plain())
    for target in report.targets:
        for candidate in target.candidates:
            assert page.all_of("bdi").count(candidate.name) >= 1
            assert candidate.reason in page.all_of("p")
    said = page.all_of("span")
    for word in ("selected", "accepted", "rejected", "not needed", "waits for a device"):
        assert word in said


def test_the_worst_still_names_every_candidate():
    report, _ = made.worst()
    names = Page(worst()).texts["bdi"]
    assert {c.name for c in report.targets[0].candidates} <= set(names)


def test_changed_clips_show_what_was_said_and_heard():
    page = Page(plain())
    assert page.texts["del"][:1] == ["quick brown"]
    assert page.texts["ins"][:1] == ["quiet brawn"]
    assert "Clip by clip: 1 worse, 0 better, 3 with as many errors" in page.all_of("summary")


def test_placement_and_rehearsals_are_told():
    page = Page(plain())
    assert "CPUExecutionProvider" in page.all_of("bdi")
    assert "240 of 245, 98 %" in page.all_of("p")
    assert " rehearsal passed" in page.all_of("li")


def test_the_speed_of_a_stand_in_is_nowhere():
    slow = {"latency_ms_p50": 98765.0, "rtfx": 0.12345}
    report = made.report(
        made.target("cuda", made.candidate("cuda-gqa", made.Tier.EMULATED, numbers=slow))
    )
    text = render(report, {}, None)
    assert "98,765" not in text
    assert "98765" not in text
    assert "no time to show" in text


def test_a_build_without_proof_is_a_page_too():
    bare = made.candidate("cpu-a", made.Tier.STRUCTURAL, metrics=made.CandidateMetrics())
    text = render(made.report(made.target("cpu", bare), core_wer=None, clip_set=None), {}, None)
    assert "No variant was heard" in text
    assert "None" not in Page(text).all_of("td")


def test_no_target_is_a_page_too():
    Page(render(made.report(), {}, None))


def test_what_the_page_says_of_the_statistics_is_so():
    said = Page(plain()).all_of("dd")
    assert f"less than {100 * select.TOO_CLOSE:.0f} % apart are too close to call" in said
    assert "a thousand times" in said
    assert words._RESAMPLES == 1000


@pytest.mark.parametrize("created", ["0001-01-01T00:00:00+14:00", "yesterday", "2026-01-01"])
def test_any_date_is_shown(created):
    text = render(made.report(created=created), {}, None)
    assert created[:10] in text
