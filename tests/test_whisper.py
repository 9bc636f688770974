"""What is known about Whisper's languages."""

import pytest

from whisperopt.whisper import LANGUAGES, UNSPACED, joined

SAID = {
    "zh": (("今天天气很好。", "我们走吧"), "今天天气很好。我们走吧"),
    "yue": (("你好", "食咗飯未呀？"), "你好食咗飯未呀？"),
    "ja": (("今日は", "晴れです。"), "今日は晴れです。"),
    "th": (("สวัสดี", "ครับ"), "สวัสดีครับ"),
    "lo": (("ສະບາຍດີ", "ເຈົ້າ"), "ສະບາຍດີເຈົ້າ"),
    "my": (("မင်္ဂလာပါ", "ခင်ဗျာ"), "မင်္ဂလာပါခင်ဗျာ"),
    "km": (("សួស្តី", "បង"), "សួស្តីបង"),
    "en": (("Good morning,", "everybody."), "Good morning, everybody."),
    "fr": (("Bonjour", "à tous !"), "Bonjour à tous !"),
    "ko": (("안녕하세요", "여러분"), "안녕하세요 여러분"),
    "vi": (("xin chào", "các bạn"), "xin chào các bạn"),
}


@pytest.mark.parametrize("language", SAID)
def test_texts_are_put_together_as_the_language_writes(language: str) -> None:
    texts, whole = SAID[language]
    assert joined(texts, language) == whole
    assert joined(["", f" {texts[0]}", " ", *texts[1:], ""], language) == whole
    assert joined(texts[:1], language) == texts[0]


@pytest.mark.parametrize("language", sorted(UNSPACED))
def test_foreign_words_stay_apart(language: str) -> None:
    own = SAID[language][0][0]
    assert joined(["Open", "AI", own, "GPT.", "5", own], language) == f"Open AI{own}GPT. 5{own}"


def test_nothing_said_is_nothing() -> None:
    assert joined([], "ja") == joined(["", " "], "ja") == joined([], "en") == ""


def test_the_languages_are_whispers() -> None:
    assert set(LANGUAGES) > UNSPACED
