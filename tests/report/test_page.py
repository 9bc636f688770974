import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report import made
from tests.report import travelled as travels
from whisperopt.evaluate import words
from whisperopt.report.formats import clean
from whisperopt.report.page import render
from whisperopt.selection.compare import TOO_CLOSE

VOID = {"meta", "br"}
PLAIN = """
html head meta title style body header main section footer div p span a h1 h2 h3 h4 dl dt dd ol
ul li table caption thead tbody tr th td details summary figure figcaption bdi b em strong del
ins small svg g path circle rect text
"""


class Page(HTMLParser):
    """Reads a page strictly: every element closed in order, every attribute seen.

    `texts` are those of elements, without what is in others inside, as they are shown.
    """

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
            self.texts.setdefault(self.open[-1], []).append(" ".join(data.split()))

    def all_of(self, tag):
        return "\n".join(self.texts.get(tag, []))


def plain():
    report, evidence = made.plain()
    gates = {c.name: made.GATES for target in report.targets for c in target.candidates}
    return render(report, evidence, made.answers(), gates=gates)


def worst(candidates=40):
    report, evidence = made.worst(candidates)
    gates = {c.name: made.GATES for c in report.targets[0].candidates}
    return render(report, evidence, gates=gates)


def hostile_words():
    return render(*made.hostile_words())


def travelled():
    report, evidence, answers, gates = travels.travelled()
    return render(report, evidence, answers, gates=gates)


@pytest.fixture(params=[plain, worst, hostile_words, travelled])
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


def test_the_style_is_the_one_that_the_policy_allows():
    text = plain()
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in text


@given(st.text(st.characters(exclude_categories=())) | st.just(made.HOSTILE))
def test_any_text_stays_text(text):
    text = f"x{text}"
    shown = made.candidate("cpu-a", reason=text, rehearsals=(), how=text)
    page = Page(render(made.report(made.target(text, shown), model=text, source=text), {}))
    assert set(page.names) <= set(PLAIN.split())
    assert " ".join(clean(text).split()) in page.texts["p"]


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
    assert "rehearsal passed" in page.all_of("li")


def test_the_speed_of_a_stand_in_is_nowhere():
    slow = {"latency_ms_p50": 98765.0, "rtfx": 0.12345}
    report = made.report(
        made.target("cuda", made.candidate("cuda-gqa", made.Tier.EMULATED, numbers=slow))
    )
    text = render(report, {})
    assert "98,765" not in text
    assert "98765" not in text
    assert "no time to show" in text


def test_a_build_without_proof_is_a_page_too():
    bare = made.candidate("cpu-a", made.Tier.STRUCTURAL, metrics=made.CandidateMetrics())
    text = render(made.report(made.target("cpu", bare), core_wer=None, clip_set=None), {})
    assert "No variant was heard" in text
    assert "None" not in Page(text).all_of("td")


def test_no_target_is_a_page_too():
    Page(render(made.report(), {}))


def test_what_the_page_says_of_the_statistics_is_so():
    said = Page(plain()).all_of("dd")
    assert f"more than {100 * TOO_CLOSE:.0f} % lie between them" in said
    assert "a thousand times" in said
    assert words._RESAMPLES == 1000


@pytest.mark.parametrize("created", ["0001-01-01T00:00:00+14:00", "yesterday", "2026-01-01"])
def test_any_date_is_shown(created):
    text = render(made.report(created=created), {})
    assert created[:10] in text


def test_each_target_tells_its_objective_and_the_host_that_decided():
    said = Page(travelled()).all_of("dd")
    assert "the least time for a clip" in said
    assert "latency with wer_delta <= 0.5 and size_bytes <= 1e+08" in said
    for host_class in (travels.CPU, travels.OPENVINO, travels.H200):
        assert host_class in said


def test_each_measured_target_has_a_chart_with_the_kind_of_host():
    page = Page(travelled())
    assert page.names.count("figure") == page.names.count("figcaption") == 3
    assert {travels.CPU, travels.OPENVINO, travels.H200} <= set(page.texts["small"])
    assert page.all_of("span").count("Pareto front") >= 4


def test_languages_are_told_apart_with_their_units():
    page = Page(travelled())
    assert {"en", "de", "ja"} <= set(page.texts["bdi"])
    cells = page.all_of("td")
    assert "180 characters" in cells
    assert "CER 11.44 %" in cells
    assert "288 words" in cells


def test_english_alone_needs_no_table_of_languages():
    assert "Errors by language" not in plain()


def test_what_the_clips_cannot_tell_stands_with_the_numbers():
    page = Page(travelled())
    assert f": {travels.NOTE}." in page.all_of("li")
    assert f"W{travels.NOTE[1:]}." in page.all_of("p")


def test_proofs_on_other_machines_are_told_with_their_verdicts():
    page = Page(travelled())
    assert "Proven on 2 kinds of host, refused on 1" in page.all_of("summary")
    assert travels.RTX in page.all_of("bdi")
    assert "brought from another machine" in page.texts["small"]
    assert ": encoder: cosine 0.91 is below 0.9995" in page.all_of("span")


def test_one_proof_on_the_machine_itself_needs_no_table():
    own = made.candidate("cpu-a", proofs=(made.proof("linux"),))
    assert "Where it was proven" not in render(made.report(made.target("cpu", own)), {})


def test_what_the_machine_did_meanwhile_is_told():
    cells = Page(travelled()).all_of("td")
    assert "2,391 … 2,445" in cells
    assert "0.4 … 2.1" in cells
    assert "performance" in cells


def test_rounds_throughput_and_memory_are_told():
    page = Page(travelled())
    assert "318 … 346 in 6 rounds" in page.texts["small"]
    assert {"318 … 346", "20.9 … 22.1"} <= set(page.texts["small"])
    assert {"21.2×", "350 MB"} <= set(page.texts["b"])


def test_many_stand_ins_share_a_rung_and_are_all_named():
    page = Page(travelled())
    assert "3 stand-ins" in page.texts["h4"]
    assert "cpu-attention-fp32" in page.texts["bdi"]
    assert "not needed: it stands in for gqa-mixed, which is accepted" in page.texts["span"]


def test_a_time_outside_the_race_is_marked_as_such():
    raced = made.candidate("cpu-a", numbers={"latency_ms_interval": (390.0, 410.0)})
    alone = made.candidate("cpu-b", accepted=False, reason="encoder: cosine")
    text = render(made.report(made.target("cpu", raced, alone)), {})
    assert Page(text).texts["small"].count("outside the race") == 1
    assert "timed outside the race: compare with care" in text
    assert "compare with care" not in travelled()
