import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report import made
from tests.report import travelled as travels
from whisperopt.evaluate import words
from whisperopt.release.markdown import clean
from whisperopt.report.page import render
from whisperopt.report.view import FATES
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


@pytest.fixture(scope="module", params=[plain, worst, hostile_words, travelled])
def page(request):
    return Page(request.param())


@pytest.fixture(scope="module")
def travelled_page():
    return Page(travelled())


def test_the_page_is_well_formed_and_has_nothing_but_plain_elements(page):
    assert set(page.names) <= set(PLAIN.split())
    assert page.names.count("h1") == page.names.count("main") == 1
    ids = [value for _, key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for _, key, value in page.attributes if key == "href"} <= set(ids)


def test_nothing_runs_and_nothing_is_asked_of_any_network(page):
    addressed = {"href", "src", "xlink:href", "srcset"}
    addresses = [value for _, key, value in page.attributes if key in addressed]
    assert all(re.fullmatch(r"#[a-z0-9-]+", address) for address in addresses)
    assert not re.search(r"url\(|@import", page.all_of("style"))
    assert not any(key.startswith("on") or key == "style" for _, key, _ in page.attributes)
    policy = next(value for _, key, value in page.attributes if value.startswith("default-src"))
    assert "default-src 'none'" in policy
    assert not re.search("script-src|unsafe", policy)


def test_tables_have_captions_and_pictures_are_told_in_words(page):
    assert page.names.count("caption") == page.names.count("table") > 0
    assert all(key != "scope" or value in {"row", "col"} for _, key, value in page.attributes)
    told = [key for tag, key, _ in page.attributes if tag == "svg" and key.startswith("aria-")]
    assert len(told) == page.names.count("svg")


@given(st.text(st.characters(exclude_categories=())) | st.just(made.HOSTILE))
def test_any_text_stays_text(text):
    text = f"x{text}"
    shown = made.candidate("cpu-a", reason=text, rehearsals=(), how=text)
    page = Page(render(made.report(made.target(text, shown), model=text, source=text), {}))
    assert set(page.names) <= set(PLAIN.split())
    assert " ".join(clean(text).split()) in page.texts["p"]


def test_every_candidate_stands_on_its_ladder_with_its_fate_and_reason():
    report, _ = made.plain()
    page = Page(plain())
    for target in report.targets:
        for candidate in target.candidates:
            assert page.all_of("bdi").count(candidate.name) >= 1
            assert candidate.reason in page.all_of("p")
    for badge in FATES.values():
        assert badge.word in page.all_of("span")


def test_the_worst_still_names_every_candidate():
    report, _ = made.worst()
    names = Page(worst()).texts["bdi"]
    assert {c.name for c in report.targets[0].candidates} <= set(names)


def test_changed_clips_placement_and_rehearsals_are_told():
    page = Page(plain())
    assert page.texts["del"][:1] == ["quick brown"]
    assert page.texts["ins"][:1] == ["quiet brawn"]
    assert "Clip by clip: 1 worse, 0 better, 3 with as many errors" in page.all_of("summary")
    assert "CPUExecutionProvider" in page.all_of("bdi")
    assert "240 of 245, 98 %" in page.all_of("p")
    assert "rehearsal passed" in page.all_of("li")


def test_the_speed_of_a_stand_in_is_nowhere():
    slow = {"latency_ms_p50": 98765.0, "rtfx": 0.12345}
    stand_in = made.candidate("cuda-gqa", made.Tier.EMULATED, numbers=slow)
    text = render(made.report(made.target("cuda", stand_in)), {})
    assert not re.search("98,?765", text)
    assert "no time to show" in text


def test_a_build_without_proof_is_a_page_too():
    bare = made.candidate("cpu-a", made.Tier.STRUCTURAL, metrics=made.CandidateMetrics())
    text = render(made.report(made.target("cpu", bare), core_wer=None, clip_set=None), {})
    assert "No variant was heard" in text
    assert "None" not in Page(text).all_of("td")


@pytest.mark.parametrize("created", ["0001-01-01T00:00:00+14:00", "yesterday", "2026-01-01"])
def test_no_target_and_any_date_is_a_page_too(created):
    text = render(made.report(created=created), {})
    assert created[:10] in Page(text).all_of("dd")


def test_what_the_page_says_of_the_statistics_is_so():
    said = Page(plain()).all_of("dd")
    assert f"within {100 * TOO_CLOSE:.0f} % of the best" in said
    assert "a thousand times" in said
    assert words._RESAMPLES == 1000


@pytest.mark.parametrize(
    ("element", "told"),
    [
        ("dd", "the least time for a clip"),
        ("dd", "latency with wer_delta <= 0.5 and size_bytes <= 1e+08"),
        *((element, host) for element in ("dd", "small") for host in travels.HOSTS),
        *(("bdi", language) for language in ("en", "de", "ja")),
        ("td", "180 characters"),
        ("td", "CER 11.44 %"),
        ("td", "288 words"),
        ("li", f": {travels.NOTE}."),
        ("p", f"W{travels.NOTE[1:]}."),
        ("summary", "Proven on 2 kinds of host, refused on 1"),
        ("bdi", travels.RTX),
        ("small", "brought from another machine"),
        ("span", ": encoder: cosine 0.91 is below 0.9995"),
        ("td", "2,391 … 2,445"),
        ("td", "0.4 … 2.1"),
        ("td", "performance"),
        ("small", "318 … 346 in 6 rounds"),
        ("small", "20.9 … 22.1"),
        ("b", "21.2×"),
        ("b", "350 MB"),
        ("h4", "3 stand-ins"),
        ("bdi", "cpu-attention-fp32"),
        ("span", "not needed: it stands in for gqa-mixed, which is accepted"),
    ],
)
def test_what_is_known_of_machines_languages_and_proofs_is_told(travelled_page, element, told):
    assert told in travelled_page.all_of(element)


def test_each_measured_target_has_a_chart(travelled_page):
    assert travelled_page.names.count("figure") == travelled_page.names.count("figcaption") == 3
    assert travelled_page.all_of("span").count("Pareto front") >= 4


def test_what_tells_nothing_has_no_table():
    own = made.candidate("cpu-a", proofs=(made.proof("linux"),))
    text = render(made.report(made.target("cpu", own)), {})
    assert "Where it was proven" not in text
    assert "Errors by language" not in text


def test_a_time_outside_the_race_is_marked_as_such(travelled_page):
    raced = made.candidate("cpu-a", numbers={"latency_ms_interval": (390.0, 410.0)})
    alone = made.candidate("cpu-b", accepted=False, reason="encoder: cosine")
    page = Page(render(made.report(made.target("cpu", raced, alone)), {}))
    assert page.texts["small"].count("outside the race") == 1
    assert "timed outside the race: compare with care" in page.all_of("p")
    assert "compare with care" not in travelled_page.all_of("p")
