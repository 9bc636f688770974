"""Sabotages of numbers: the graph is right, what it computes with is not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.sabotage import disk
from tests.sabotage.disk import Array, InapplicableError


def scale(name: str, factor: float) -> Callable[[Path], None]:
    """Multiply the whole weight `name`, or the scales that its whole numbers have."""

    def apply(folder: Path) -> None:
        disk.alter(folder, _scalable(folder, name), lambda array: array * np.float32(factor))

    return apply


def scale_int8(name: str, factor: float, *places: int) -> Callable[[Path], None]:
    """Multiply the scales of a weight in whole numbers: all, of one channel, or of one block."""

    def apply(folder: Path) -> None:
        def change(array: Array) -> Array:
            if len(places) > 1 and (array.ndim == 1 or array.size <= len(array)):
                raise InapplicableError(f"{name} has one scale a channel")
            array[places or ...] *= np.float32(factor)
            return array

        disk.alter(folder, f"{name}_scales", change)

    return apply


def scale_channel(name: str, factor: float, channel: int) -> Callable[[Path], None]:
    """Multiply one output channel of a weight that is stored in floating point, [in, out]."""

    def apply(folder: Path) -> None:
        def change(array: Array) -> Array:
            array[:, channel] = array[:, channel].astype(np.float32) * np.float32(factor)
            return array

        disk.alter(folder, name, change)

    return apply


def zero(name: str) -> Callable[[Path], None]:
    """Set the tensor `name` to zero."""

    def apply(folder: Path) -> None:
        disk.alter(folder, name, np.zeros_like)

    return apply


def shift_rows(name: str, rows: int) -> Callable[[Path], None]:
    """Move every row of the table `name` down by `rows`."""

    def apply(folder: Path) -> None:
        disk.alter(folder, name, lambda array: np.roll(array, rows, axis=0))

    return apply


def swap_heads(stem: str) -> Callable[[Path], None]:
    """Swap what the first two heads read: weight and bias of the projection `stem`."""

    def apply(folder: Path) -> None:
        size = disk.head_size(folder)
        weight, packed = f"{stem}.weight", f"{stem}.weight_int8"

        def swap(axis: int) -> Callable[[Array], Array]:
            return lambda array: _swapped(array, axis, size)

        if disk.has(folder, packed):
            # one row a channel in blocks; in the encoder's dynamic form one column a channel
            disk.alter(folder, packed, lambda array: _swapped(array, int(array.ndim == 2), size))
            disk.alter(folder, f"{weight}_scales", swap(0))
        else:
            disk.alter(folder, weight, swap(1))
        if disk.has(folder, f"{stem}.bias"):
            disk.alter(folder, f"{stem}.bias", swap(0))

    return apply


def _scalable(folder: Path, name: str) -> str:
    scales = f"{name}_scales"
    return scales if disk.has(folder, scales) else name


def _swapped(array: Array, axis: int, size: int) -> Array:
    order = np.arange(array.shape[axis])
    order[: 2 * size] = np.roll(order[: 2 * size], size)
    return array.take(order, axis)
