"""Writes `model.safetensors` tensor by tensor, so that the largest model fits in little memory."""

import json
from collections.abc import Callable, Collection
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from whisperopt.runtime.arrays import Floats

_KINDS: dict[str, tuple[str, np.dtype[Any]]] = {
    "float32": ("F32", np.dtype("<f4")),
    "float16": ("F16", np.dtype("<f2")),
}
_ALIGNMENT = 8


def write(
    path: Path,
    shapes: dict[str, tuple[int, ...]],
    tensor: Callable[[str], Floats],
    kind: Literal["float32", "float16"] = "float32",
) -> None:
    """Write the tensors named in `shapes`, each asked for once: header size, header, data."""
    code, dtype = _KINDS[kind]
    header, place = {}, 0
    for name, shape in shapes.items():
        end = place + prod(shape) * dtype.itemsize
        header[name] = {"dtype": code, "shape": list(shape), "data_offsets": [place, end]}
        place = end
    encoded = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little"))
        file.write(encoded)
        for name, shape in shapes.items():
            numbers = np.ascontiguousarray(tensor(name), dtype)
            _check(name, numbers.shape, shape)
            file.write(numbers.data)


def _check(name: str, found: Collection[int], wanted: Collection[int]) -> None:
    if tuple(found) != tuple(wanted):
        raise ValueError(f"{name} has the shape {found}, not {wanted}")
