from tests.evaluate.samples import WORDS, answers, changed, evidence, sample
from tests.report.made import untold
from whisperopt.evaluate.clips import Clip
from whisperopt.report.view import compare, marked


def test_errors_are_counted_above_the_core_models():
    core = changed(evidence(), 0, text=WORDS.replace("fox", "box"))
    worse = changed(core, 2, text=WORDS.replace("brown fox", "brawn"))
    better = changed(worse, 0, text=WORDS)
    found = compare(better, answers(core))
    assert found is not None
    assert [clip.delta for clip in found.clips] == [-1, 0, 2, 0]
    assert [clip.same_text for clip in found.clips] == [False, True, False, True]
    assert found.transcribed


def test_words_are_aligned_as_errors_are_counted():
    pieces = marked("the quick fox jumps", "the quiet fox jumps high")
    changed = (("missing", "quick"), ("extra", "quiet"))
    assert pieces == (("same", "the"), *changed, ("same", "fox jumps"), ("extra", "high"))
    assert marked("", "") == ()
    assert marked("a b", "") == (("missing", "a b"),)
    assert marked("", "a b") == (("extra", "a b"),)


def test_without_transcripts_the_core_model_is_the_truth():
    other = changed(evidence(), 1, text=WORDS + " again")
    found = compare(other, untold())
    assert found is not None
    assert not found.transcribed
    assert [clip.delta for clip in found.clips] == [0, 1, 0, 0]


def test_clips_without_speech_count_for_nothing_where_others_have_transcripts():
    clips = (Clip(file="s0.ogg", text=WORDS), Clip(file="s1.ogg", kind="noise"))
    found = compare(evidence(), answers(None, *clips))
    assert found is not None
    assert [clip.clip for clip in found.clips] == ["s0.ogg"]


def test_what_both_did_not_hear_is_not_compared():
    assert compare(evidence(clip_digest="sha256:1"), answers()) is None
    assert compare(evidence(sample("new.ogg")), untold()) is None


def test_an_endless_loop_is_cut():
    looped = changed(evidence(), 0, text="no " * 5000)
    found = compare(looped, answers())
    assert found is not None
    assert found.clips[0].delta > 4000
    assert max(len(text) for _, text in found.clips[0].variant) < 600


def test_where_no_spaces_are_written_characters_are_compared():
    said, heard = "今日は雨が降る", "今日は雪が降る"
    core = evidence(sample("a.ogg", text=said))
    clip = Clip(file="a.ogg", text=said, language="ja")
    found = compare(evidence(sample("a.ogg", text=heard)), answers(core, clip))
    assert found is not None
    (delta,) = found.clips
    assert (delta.unit, delta.delta, delta.reference) == ("characters", 1, said)
    changed = (("missing", "雨"), ("extra", "雪"))
    assert delta.variant == (("same", "今日は"), *changed, ("same", "が降る"))
