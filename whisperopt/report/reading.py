"""How to read the page: tiers, fates and words."""

from whisperopt.report.fates import TIERS, Fate
from whisperopt.report.marks import badge, front, tier
from whisperopt.report.markup import Content, Html, tag
from whisperopt.selection.contest import TOO_CLOSE

_FRONT = "Nothing accepted for the same target is both faster and more accurate."


def reading() -> Html:
    """Return the section."""
    tiers = [tag("div", tag("dt", tier(one)), tag("dd", text)) for one, text in TIERS.items()]
    fates = [tag("div", tag("dt", badge(fate)), tag("dd", fate.meaning)) for fate in Fate]
    terms: dict[str, Content] = {
        "WER": "Word error rate, after Whisper's own text normalisation. The change is in percent"
        " points against the fp32 core model on the same clips, so a clip that both get wrong"
        " counts for neither.",
        "CER": "The same in characters, for languages that put no spaces between words.",
        "interval": "Clips are drawn again in pairs, a thousand times; 95 % of the changes lie"
        " inside. It speaks of clips like these, not of other voices or languages.",
        "time for a clip": "Variants run in turns, round after round, one at a time. The number is"
        " the median, the small digits are the range of the rounds. One beats another only where"
        f" the ranges do not meet and more than {100 * TOO_CLOSE:.0f} % lie between them; else it"
        " is too close to call and the smaller one wins.",
        "many at once": "Seconds of audio in a second, with as many clips in a batch as the runtime"
        " takes; speed is the same with one clip at a time.",
        "kind of host": "What decides speed and numbers: the system, the processor's instructions"
        " or the GPU, and the runtime's version. A proof on one says nothing about another.",
        "marks in texts": [
            tag("ins", "underlined"),
            " was heard and not said, ",
            tag("del", "struck out"),
            " was said and not heard. Texts are normalised.",
        ],
    }
    words = [tag("div", tag("dt", key), tag("dd", text)) for key, text in terms.items()]
    stairs = tag("div", tag("dt", front()), tag("dd", _FRONT))
    return tag(
        "section",
        tag("h2", "How to read this"),
        tag("dl", tiers, fates, stairs, words, class_="reading"),
        class_="how",
    )
