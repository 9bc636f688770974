"""The token ids that steer decoding, found in a tokenizer."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from whisperopt.errors import BadInputError
from whisperopt.reasons import because

ENGLISH_ONLY_END = 50256
"""Id of `<|endoftext|>` in OpenAI's English-only vocabulary, GPT-2's."""


_MARKED = re.compile(r"<\|[^|]+\|>")
_TIMESTAMP = re.compile(r"<\|\d+\.\d\d\|>")


class _AddedToken(msgspec.Struct, frozen=True):
    id: int
    content: str


class _Bpe(msgspec.Struct, frozen=True):
    vocab: dict[str, int]


class _Tokenizer(msgspec.Struct, frozen=True):
    model: _Bpe
    added_tokens: list[_AddedToken] = []


class TokenFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a tokenizer knows about decoding; an English-only one has no languages and no task."""

    start_of_transcript: int
    end_of_text: int
    no_timestamps: int
    transcribe: int | None
    languages: dict[str, int]
    highest: int
    """The largest id of all: the embedding must have more rows than this."""

    def overridden(
        self,
        *,
        no_timestamps: int | None,
        transcribe: int | None,
        languages: Mapping[str, int] | None,
    ) -> "TokenFacts":
        """Return the facts with what a checkpoint states itself, `languages` as `<|en|>: id`.

        What is None stays; an English-only tokenizer stays English-only.
        """
        facts = replace(self, no_timestamps=_first(no_timestamps, self.no_timestamps))
        if self.transcribe is not None:
            named = {token.strip("<|>"): id_ for token, id_ in (languages or {}).items()}
            task = _first(transcribe, self.transcribe)
            facts = replace(facts, transcribe=task, languages=named or self.languages)
        ids = (facts.highest, facts.no_timestamps, facts.transcribe or 0)
        return replace(facts, highest=max(*ids, *facts.languages.values()))


def read(tokenizer: bytes, *, where: str, multilingual: bool | None = None) -> TokenFacts:
    """Find the ids in a `tokenizer.json`; `multilingual` None leaves it to the vocabulary.

    English-only vocabularies have language tokens too, which their models never learned.
    """
    ids = _ids(tokenizer, where)
    start = _required(ids, "<|startoftranscript|>", where)
    end = _required(ids, "<|endoftext|>", where)
    transcribe = ids.get("<|transcribe|>")
    languages: dict[str, int] = {}
    learned = end != ENGLISH_ONLY_END if multilingual is None else multilingual
    if learned and transcribe is not None:
        languages = _languages(ids, start, ids.get("<|translate|>", transcribe))
    if multilingual and not languages:
        raise BadInputError(because("tokenizer.languages", where))
    return TokenFacts(
        start_of_transcript=start,
        end_of_text=end,
        no_timestamps=_required(ids, "<|notimestamps|>", where),
        transcribe=transcribe if languages else None,
        languages=languages,
        highest=max(ids.values()),
    )


def from_vocabulary(folder: Path) -> bytes:
    """Build a `tokenizer.json` from `vocab.json`, `merges.txt` and `added_tokens.json`.

    Byte-level BPE, as GPT-2 and Whisper use it; timestamps are no special tokens.
    """
    try:
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    except ImportError:
        raise BadInputError(because("tokenizer.library", folder)) from None
    try:
        files = folder / "vocab.json", folder / "merges.txt"
        vocab, merges = models.BPE.read_file(*map(str, files))
        tokenizer = Tokenizer(models.BPE(vocab, merges))
        added = _added_tokens(folder / "added_tokens.json")
    except Exception as error:  # noqa: BLE001  # the library raises plain Exception for what it cannot parse
        raise BadInputError(because("tokenizer.unread-in", folder, why=str(error))) from None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    added = {token: id_ for token, id_ in vocab.items() if _MARKED.fullmatch(token)} | added
    for token in sorted(added, key=added.__getitem__):
        special = not _TIMESTAMP.fullmatch(token)
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=special)])
        if tokenizer.token_to_id(token) != added[token]:
            path, id_ = folder / "added_tokens.json", added[token]
            raise BadInputError(because("tokenizer.gap", path, token=token, id=id_))
    return tokenizer.to_str().encode()


def _added_tokens(path: Path) -> dict[str, int]:
    return msgspec.json.decode(path.read_bytes(), type=dict[str, int]) if path.is_file() else {}


def _ids(tokenizer: bytes, where: str) -> dict[str, int]:
    try:
        parsed = msgspec.json.decode(tokenizer, type=_Tokenizer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInputError(because("tokenizer.unread", where, why=str(error))) from None
    return parsed.model.vocab | {token.content: token.id for token in parsed.added_tokens}


def _required(ids: dict[str, int], token: str, where: str) -> int:
    if token not in ids:
        raise BadInputError(because("tokenizer.no-token", where, token=token))
    return ids[token]


def _languages(ids: dict[str, int], start: int, end: int) -> dict[str, int]:
    """Return the marked tokens whose ids lie between `start` and `end`, in the order of ids."""
    codes = {id_: token[2:-2] for token, id_ in ids.items() if _MARKED.fullmatch(token)}
    return {codes[id_]: id_ for id_ in sorted(codes) if start < id_ < end}


def _first(value: int | None, fallback: int) -> int:
    return fallback if value is None else value
