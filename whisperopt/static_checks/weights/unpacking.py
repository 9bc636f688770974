"""Whole numbers with scales -> the weights that they stand for, as each operator packs them."""

import numpy as np
import onnx_ir as ir

from whisperopt.graph.canvas import Array, made_by
from whisperopt.runtime.arrays import Floats

PACKED: dict[str, tuple[int, int | None, int]] = {
    "MatMulNBits": (1, 2, 3),
    "GatherBlockQuantized": (0, 2, 3),
    "DynamicQuantizeMatMul": (1, 2, 3),
    "MatMulIntegerToFloat": (1, 3, 5),
    "MatMulInteger": (1, None, 3),
    "QLinearMatMul": (3, 4, 5),
    "Gather": (0, None, 2),
}
"""Where operators take whole numbers, their scales (None: applied later) and zero points."""

_BYTE = 8


def known(node: ir.Node) -> bool:
    """Say whether the numbers of `node` lie in an order that is documented."""
    given = node.attributes
    return (
        given.get_int("bits", _BYTE) in (2, 4, _BYTE)
        and not given.get_int("weight_prepacked", 0)
        and given.get_int("quantize_axis", 1) in (-1, 1)
    )


def unpack(node: ir.Node, numbers: Array, scales: Array, zeros: Array | None) -> Floats:
    """Return (numbers - zeros) * scales of the packed weight of `node`, as float32.

    MatMulNBits gives [out, in], GatherBlockQuantized and Gather the table [rows, width], and the
    others what they hold: [in, out].
    """
    if node.op_type == "MatMulNBits":
        rows, channels = (node.attributes[name].as_int() for name in ("N", "K"))
        flat = _pieces(numbers.reshape(rows, -1), node)
        return _in_blocks(node, flat, scales.reshape(rows, -1), zeros)[:, :channels]
    if node.op_type == "GatherBlockQuantized":
        return _in_blocks(node, _pieces(numbers, node), scales, zeros)
    if node.op_type == "Gather":
        return (np.asarray(numbers, np.float32) * np.asarray(scales, np.float32)).T
    array = np.asarray(numbers, np.float32)
    if zeros is not None and zeros.any():
        array = array - np.asarray(zeros, np.float32)
    return array * np.asarray(scales, np.float32)


def words(node: ir.Node) -> tuple[ir.Node, ir.Value] | None:
    """Return what scales the words that a Gather takes from a table of whole numbers, and scales.

    Mul(Cast(Transpose(Gather(table [width, rows], ids, axis=1))), Unsqueeze(Gather(scales [rows],
    ids))), or nothing.
    """
    if node.op_type != "Gather" or node.attributes.get_int("axis", 0) != 1:
        return None
    made = node
    for op_type in ("Transpose", "Cast", "Mul"):
        uses = list(made.outputs[0].uses())
        if len(uses) != 1 or uses[0].node.op_type != op_type:
            return None
        made = uses[0].node
    for factor in made.inputs:
        spread = made_by(factor, "Unsqueeze")
        taken = made_by(spread.inputs[0], "Gather") if spread else None
        if taken and taken.inputs[1] is node.inputs[1] and (scales := taken.inputs[0]) is not None:
            return made, scales
    return None


def _in_blocks(node: ir.Node, numbers: Array, scales: Array, zeros: Array | None) -> Floats:
    """Scale `numbers` [rows, n], of which every block along n has a scale [rows, blocks]."""
    rows, blocks = scales.shape
    block = node.attributes.get_int("block_size", 128)
    width = numbers.shape[1]
    if block < 1 or -(-width // block) != blocks or len(numbers) != rows:
        raise ValueError(f"{blocks} scales for {width} numbers in blocks of {block}")
    array = np.zeros((rows, blocks * block), np.float32)
    array[:, :width] = numbers
    split = array.reshape(rows, blocks, block)
    if zeros is not None:
        points = _pieces(zeros.reshape(rows, -1), node)[:, :blocks]
        split -= np.asarray(points, np.float32)[..., None]
    elif numbers.dtype == np.uint8:
        split -= np.float32(2 ** (node.attributes.get_int("bits", 4) - 1))
    split *= np.asarray(scales, np.float32)[..., None]
    return array[:, :width]


def _pieces(numbers: Array, node: ir.Node) -> Array:
    """Cut bytes into numbers of few bits along the last axis, the lowest bits first."""
    bits = node.attributes.get_int("bits", 4)
    if bits == _BYTE or numbers.dtype != np.uint8:
        return numbers
    shifts = np.arange(0, _BYTE, bits, dtype=np.uint8)
    cut = np.right_shift(numbers.astype(np.uint8)[..., None], shifts) & np.uint8(2**bits - 1)
    return cut.reshape(*numbers.shape[:-1], -1)
