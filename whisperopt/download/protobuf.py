"""Reads the wire format of Protocol Buffers, as far as a check of files from outside needs it.

It copies no weights, recurses nowhere, and refuses what two readers might understand in two ways.
"""

from collections.abc import Iterator
from typing import TypeAlias

Field: TypeAlias = int | memoryview
"""A varint or fixed number as an unsigned integer; the bytes of text, a message or packed numbers."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10
_SIGN = 1 << 63


class WireError(ValueError):
    """What is no message, or none of the expected kind."""


class Message:
    """The fields of one message, by their numbers."""

    def __init__(self, raw: memoryview) -> None:
        """Read `raw`, one level deep."""
        self._fields: dict[int, list[Field]] = {}
        for number, field in _fields(raw):
            self._fields.setdefault(number, []).append(field)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def each(self, number: int) -> Iterator["Message"]:
        """Yield the messages of a repeated field."""
        for raw in self.raw(number):
            yield Message(raw)

    def raw(self, number: int) -> list[memoryview]:
        """Return the bytes of each message or text of a repeated field."""
        found = self._fields.get(number, [])
        if any(isinstance(field, int) for field in found):
            raise WireError(f"field {number} is a number where bytes are expected")
        return [field for field in found if not isinstance(field, int)]

    def texts(self, number: int) -> list[str]:
        """Return the texts of a repeated field."""
        try:
            return [bytes(raw).decode() for raw in self.raw(number)]
        except UnicodeDecodeError:
            raise WireError(f"field {number} is not UTF-8 text") from None

    def text(self, number: int) -> str:
        """Return one text, empty if it is not there."""
        self._need_one(number)
        return "".join(self.texts(number))

    def numbers(self, number: int) -> list[int]:
        """Return the signed numbers of a repeated field, packed or not."""
        found: list[int] = []
        for field in self._fields.get(number, []):
            found += [_signed(field)] if isinstance(field, int) else _varints(field)
        return found

    def number(self, number: int) -> int:
        """Return one signed number, 0 if it is not there."""
        self._need_one(number)
        return sum(self.numbers(number))

    def count(self, number: int) -> int:
        """Return how often the field is there."""
        return len(self._fields.get(number, []))

    def size(self, number: int) -> int:
        """Return about how many bytes the field takes."""
        found = self._fields.get(number, [])
        return sum(8 if isinstance(field, int) else len(field) for field in found)

    def _need_one(self, number: int) -> None:
        if (count := self.count(number)) > 1:  # the last counts, or all are merged
            raise WireError(f"field {number} is there {count} times")


def _fields(message: memoryview) -> Iterator[tuple[int, Field]]:
    """Yield number and content of each field, in the order of the bytes."""
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise WireError(f"a field has the number {number}")
        field: Field
        if wire == _VARINT:
            field, place = _varint(message, place)
        elif wire == _BYTES:
            size, place = _varint(message, place)
            field, place = message[place : place + size], place + size
        elif wire in _WIDTHS:
            raw, place = message[place : place + _WIDTHS[wire]], place + _WIDTHS[wire]
            field = int.from_bytes(raw, "little")
        else:
            raise WireError(f"field {number} has the wire type {wire}")
        if place > end:
            raise WireError("it was cut short")
        yield number, field


def _varints(packed: memoryview) -> list[int]:
    place, found = 0, []
    while place < len(packed):
        number, place = _varint(packed, place)
        found.append(_signed(number))
    return found


def _signed(number: int) -> int:
    """Return an unsigned 64-bit number as what a field of the type int64 says."""
    return number - 2 * _SIGN if number >= _SIGN else number


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return the number that begins at `place`, and where it ends."""
    number = 0
    for index, byte in enumerate(message[place : place + _LONGEST_VARINT]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if number >= 2 * _SIGN:
                break
            return number, place + index + 1
    raise WireError("a number is too long, or was cut short")
