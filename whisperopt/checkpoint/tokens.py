"""What steers decoding: the token ids of a tokenizer, and what a checkpoint states itself."""

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from whisperopt import documents
from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.whisper import Decoding, Dimensions

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


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint states itself about decoding, as far as it does."""

    multilingual: bool | None = None
    """None leaves it to the vocabulary.

    English-only ones have language tokens too, which their models never learned.
    """
    no_timestamps: int | None = None
    transcribe: int | None = None
    languages: dict[str, int] | None = None
    """As `<|en|>: id`."""
    suppress: list[int] | None = None
    suppress_first: list[int] | None = None
    alignment_heads: list[tuple[int, int]] | None = None


def decoding(tokenizer: bytes, dims: Dimensions, stated: Stated, *, where: str) -> Decoding:
    """Return what steers decoding: what is `stated` wins over what the `tokenizer.json` says.

    English-only tokenizers stay English-only. All ids must have a row in the embedding.
    """
    ids = _ids(tokenizer, where)
    start = _required(ids, "<|startoftranscript|>", where)
    end = _required(ids, "<|endoftext|>", where)
    task = ids.get("<|transcribe|>")
    named: dict[str, int] = {}
    learned = end != ENGLISH_ONLY_END if stated.multilingual is None else stated.multilingual
    if learned and task is not None:
        named = _languages(ids, start, ids.get("<|translate|>", task))
    if stated.multilingual and not named:
        raise BadInputError(because("tokenizer.languages", where))
    stamps = _required(ids, "<|notimestamps|>", where)
    if stated.no_timestamps is not None:
        stamps = stated.no_timestamps
    if not named:
        task = None
    else:
        task = task if stated.transcribe is None else stated.transcribe
        named = {t.strip("<|>"): id_ for t, id_ in (stated.languages or {}).items()} or named
    highest = max(*ids.values(), stamps, task or 0, *named.values())
    if highest >= dims.vocabulary:
        sizes = {"highest": highest, "rows": dims.vocabulary}
        raise BadInputError(because("checkpoint.ids", where, **sizes))
    return Decoding(
        start_of_transcript=start,
        end_of_text=end,
        no_timestamps=stamps,
        transcribe=task,
        languages=named,
        suppress=_within(stated.suppress, dims.vocabulary),
        suppress_first=_within(stated.suppress_first, dims.vocabulary),
        alignment_heads=_heads(stated.alignment_heads, dims),
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
        for path in files:  # which the library opens itself
            documents.content(path, documents.TOKENIZER)
        vocab, merges = models.BPE.read_file(*map(str, files))
        tokenizer = Tokenizer(models.BPE(vocab, merges))
        own = folder / "added_tokens.json"
        given = own.is_file()
        added = documents.read(own, dict[str, int], documents.TOKENIZER) if given else {}
    except Exception as error:  # noqa: BLE001  # the library raises plain Exception for what it cannot parse
        raise BadInputError(because("tokenizer.unread-in", folder, why=str(error))) from None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    added = {token: id_ for token, id_ in vocab.items() if _MARKED.fullmatch(token)} | added
    for token in sorted(added, key=added.__getitem__):
        special = not _TIMESTAMP.fullmatch(token)
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=special)])
        if tokenizer.token_to_id(token) != added[token]:
            raise BadInputError(because("tokenizer.gap", own, token=token, id=added[token]))
    return tokenizer.to_str().encode()


def _ids(tokenizer: bytes, where: str) -> dict[str, int]:
    try:
        parsed = documents.decoded(tokenizer, _Tokenizer, documents.TOKENIZER)
    except documents.UnfitError as error:
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


def _within(ids: Iterable[int] | None, vocabulary: int) -> list[int]:
    """Keep what can be produced at all: lists of other vocabularies are left in some uploads."""
    return sorted({id_ for id_ in ids or () if 0 <= id_ < vocabulary})


def _heads(given: Iterable[tuple[int, int]] | None, dims: Dimensions) -> list[tuple[int, int]]:
    """Keep the heads that exist; with none, all of the upper half of the layers, as OpenAI does.

    Distilled models have been published with the list of their larger teacher.
    """
    layers, heads = dims.decoder_layers, dims.decoder_heads
    kept = [(i, j) for i, j in given or () if 0 <= i < layers and 0 <= j < heads]
    return kept or [(i, j) for i in range(layers // 2, layers) for j in range(heads)]
