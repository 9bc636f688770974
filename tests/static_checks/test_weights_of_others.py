"""Forms, names and files that are not ours: read where they are known, never guessed at."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest

from tests.evaluate.variants import (
    CORE,
    FC2,
    GATES,
    Made,
    judged,
    made,
    reason,
    recipe_for,
    rewritten,
    times,
)
from tests.static_checks.graphs import graph
from whisperopt import artifact
from whisperopt.graph.core import write
from whisperopt.static_checks.weights import check
from whisperopt.static_checks.weights.stored import StoredWeight, stored_weights

__all__ = ["made"]

RANDOM = np.random.default_rng(3)


def model(signature: str, body: str, weights: dict[str, npt.NDArray[Any]]) -> ir.Model:
    """Return a graph with `weights` by the names that `body` uses."""
    made = graph(signature, body)
    for name, array in weights.items():
        value = next(
            x for node in made.graph for x in node.inputs if x is not None and x.name == name
        )
        value.const_value = ir.Tensor(array, name=name)
        made.graph.register_initializer(value)
    return made


def run(made: ir.Model, folder: Path, **feeds: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    import onnxruntime as ort

    write(made, folder / "g.onnx")
    session = ort.InferenceSession(folder / "g.onnx", providers=["CPUExecutionProvider"])
    (output,) = session.run(None, feeds)
    return np.asarray(output)


def only(made: ir.Model) -> StoredWeight:
    (weight,) = (x for x in stored_weights(made) if x.readable)
    return weight


def eye(size: int) -> npt.NDArray[np.float32]:
    return np.eye(size, dtype=np.float32)[None]


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_blocks_of_few_bits_are_unpacked_as_the_runtime_does(
    bits: int, zeros: bool, tmp_path: Path
) -> None:
    rows, channels, blocks = 6, 80, 3
    weights: dict[str, npt.NDArray[Any]] = {
        "w": RANDOM.integers(0, 256, (rows, blocks, 32 * bits // 8), np.uint8),
        "s": RANDOM.uniform(0.5, 1, (rows, blocks)).astype(np.float32),
    }
    if zeros:
        size = -(-blocks * bits // 8)
        weights["z"] = RANDOM.integers(0, 256, (rows, size), np.uint8)
    attributes = f"K={channels}, N={rows}, bits={bits}, block_size=32"
    body = f"y = com.microsoft.MatMulNBits<{attributes}>(x, {', '.join(weights)})"
    made = model(f"(float[1,S,{channels}] x) => (float[1,S,{rows}] y)", body, weights)
    found = only(made)
    assert found.product
    assert found.scale_count == rows * blocks
    output = run(made, tmp_path, x=eye(channels))
    np.testing.assert_allclose(found.read(), output[0].T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_packed_tables_are_unpacked_as_the_runtime_does(
    bits: int, zeros: bool, tmp_path: Path
) -> None:
    weights: dict[str, npt.NDArray[Any]] = {
        "w": RANDOM.integers(0, 256, (5, 64 * bits // 8), np.uint8),
        "s": RANDOM.uniform(0.5, 1, (5, 2)).astype(np.float32),
    }
    if zeros:
        weights["z"] = RANDOM.integers(0, 256, (5, 2 * bits // 8), np.uint8)
    given = ", ".join(["w", "i", *list(weights)[1:]])
    attributes = f"bits={bits}, block_size=32, quantize_axis=1"
    body = f"y = com.microsoft.GatherBlockQuantized<{attributes}>({given})"
    made = model("(int64[S] i) => (float[S,64] y)", body, weights)
    output = run(made, tmp_path, i=np.arange(5))
    np.testing.assert_allclose(only(made).read(), output, rtol=1e-5, atol=1e-5)


def test_dequantized_weights_are_folded(tmp_path: Path) -> None:
    weights: dict[str, npt.NDArray[Any]] = {
        "w": RANDOM.integers(-128, 128, (8, 4), np.int8),
        "s": RANDOM.uniform(0.5, 1, 4).astype(np.float32),
        "z": RANDOM.integers(-5, 5, 4, np.int8),
    }
    body = "d = DequantizeLinear<axis=1>(w, s, z) y = MatMul(x, d)"
    made = model("(float[1,S,8] x) => (float[1,S,4] y)", body, weights)
    found = only(made)
    assert (found.dtype, found.scale_count) == (ir.DataType.INT8, 4)
    np.testing.assert_allclose(found.read(), run(made, tmp_path, x=eye(8))[0].T, rtol=1e-5)


def test_scales_behind_an_integer_product_are_found() -> None:
    weights: dict[str, npt.NDArray[Any]] = {
        "w": RANDOM.integers(0, 256, (8, 4), np.uint8),
        "z": np.array(128, np.uint8),
        "s": RANDOM.uniform(0.5, 1, 4).astype(np.float32),
    }
    body = (
        "q, qs, qz = DynamicQuantizeLinear(x) p = MatMulInteger(q, w, qz, z)"
        " f = Cast<to=1>(p) t = Mul(qs, s) y = Mul(f, t)"
    )
    made = model("(float[1,S,8] x) => (float[1,S,4] y)", body, weights)
    found = next(x for x in stored_weights(made) if x.product)
    expected = (weights["w"].astype(np.float32) - 128) * weights["s"]
    np.testing.assert_allclose(found.read(), expected.T, rtol=1e-6)


@pytest.mark.parametrize("transposed", [0, 1])
def test_products_read_alike_however_they_lie(transposed: int, tmp_path: Path) -> None:
    shape = (4, 8) if transposed else (8, 4)
    weight = RANDOM.normal(size=shape).astype(np.float32)
    body = f"y = Gemm<transB={transposed}>(x, w)"
    made = model("(float[S,8] x) => (float[S,4] y)", body, {"w": weight})
    output = run(made, tmp_path, x=np.eye(8, dtype=np.float32))
    np.testing.assert_allclose(only(made).read(), output.T, rtol=1e-6)


def test_whole_numbers_without_scales_and_unknown_orders_are_left_alone() -> None:
    numbers: dict[str, npt.NDArray[Any]] = {"w": np.arange(8, dtype=np.int64)}
    made = model("(int64[8] x) => (int64[8] y)", "y = Add(x, w)", numbers)
    assert not any(weight.readable for weight in stored_weights(made))
    packed: dict[str, npt.NDArray[Any]] = {
        "w": np.zeros((16, 1, 32), np.uint8),
        "s": np.ones((16, 1), np.float32),
    }
    attributes = "K=32, N=16, bits=8, block_size=32, weight_prepacked=1"
    body = f"y = com.microsoft.MatMulNBits<{attributes}>(x, w, s)"
    made = model("(float[1,S,32] x) => (float[1,S,16] y)", body, packed)
    assert not any(weight.readable for weight in stored_weights(made))


def rename(made: ir.Model) -> None:
    """Call all initializers something else, as exporters do."""
    for index, value in enumerate(list(made.graph.initializers.values())):
        value.name = f"onnx::MatMul_{index}"


@pytest.mark.parametrize("form", ["fp32", "fp16", "block", "dynamic"])
def test_weights_of_other_names_are_told_by_their_numbers(
    form: str, made: Made, tmp_path: Path
) -> None:
    halfway = rewritten(made(form), tmp_path / "halfway", "encoder", rename)
    other = rewritten(halfway, tmp_path / "other", "decoder", rename)
    found = judged(other)
    assert found.reasons == ()
    assert found.compared == found.of
    scaled = tmp_path / "scaled"

    def scale(graph: ir.Model) -> None:
        value = graph.graph.initializers[FC2 if form in ("fp32", "fp16") else f"{FC2}_scales"]
        assert value.const_value is not None
        changed = times(1.02)(value.const_value.numpy().copy())
        value.const_value = ir.Tensor(changed, name=value.name)
        rename(graph)

    found = judged(rewritten(halfway, scaled, "decoder", scale))
    assert [fault.place for fault in found.reasons] == [repr(FC2)]


def test_what_may_be_inside_a_larger_weight_is_not_compared(made: Made, tmp_path: Path) -> None:
    names = [f"decoder.layers.0.self_attn.{letter}_proj.weight" for letter in "qkv"]

    def fuse(graph: ir.Model) -> None:
        values = [graph.graph.initializers[name] for name in names]
        arrays = [x.const_value.numpy() for x in values if x.const_value is not None]
        joined = ir.Value(
            name="fused", const_value=ir.Tensor(np.concatenate(arrays, axis=1), name="fused")
        )
        graph.graph.register_initializer(joined)
        sizes = ir.Value(name="sizes", const_value=ir.tensor(np.array([96] * 3), name="sizes"))
        graph.graph.register_initializer(sizes)
        (first,) = [use.node for use in values[0].uses()]
        x = first.inputs[0]
        product = ir.Node("", "MatMul", [x, joined])
        split = ir.Node(
            "", "Split", [product.outputs[0], sizes], [ir.AttrInt64("axis", 2)], num_outputs=3
        )
        graph.graph.insert_before(first, [product, split])
        for value, output in zip(values, split.outputs, strict=True):
            (node,) = [use.node for use in value.uses()]
            ir.convenience.replace_all_uses_with(node.outputs[0], output)
            graph.graph.remove(node, safe=True)
            graph.graph.initializers.pop(value.name or "")

    found = judged(rewritten(made("fp32"), tmp_path / "out", "decoder", fuse))
    assert found.reasons == ()
    assert found.not_compared == tuple(f"decoder: {name}" for name in names)
    assert found.compared == found.of - 3


def test_a_graph_of_strange_weights_only_is_refused(made: Made, tmp_path: Path) -> None:
    def randomize(graph: ir.Model) -> None:
        for value in graph.graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and tensor.dtype == ir.DataType.FLOAT:
                array = RANDOM.normal(size=tensor.shape.numpy()).astype(np.float32)
                value.const_value = ir.Tensor(array, name=value.name)
        rename(graph)

    text = reason(rewritten(made("fp32"), tmp_path / "out", "encoder", randomize))
    assert (text.code, text.place) == ("weights.none", "encoder.onnx")


def remanifested(folder: Path, out: Path, **changes: Any) -> Path:
    shutil.copytree(folder, out)
    manifest = artifact.read(folder).manifest
    artifact.write_manifest(out, msgspec.structs.replace(manifest, **changes))
    return out


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"suppress": [1, 300]}, "suppress lacks 2 and adds 300"),
        ({"suppress": [2, 1]}, "suppress has an order or repetitions of its own"),
        ({"suppress_first": []}, "suppress_first lacks 0, 256"),
        ({"no_timestamps": 258}, "no_timestamps is 258, the checkpoint's is 259"),
        ({"transcribe": 12}, "transcribe is 12, the checkpoint's is None"),
        ({"languages": {"de": 3}}, "languages adds ('de', 3)"),
        ({"alignment_heads": [(1, 2)]}, "alignment_heads adds (1, 2)"),
    ],
)
def test_what_steers_decoding_must_be_the_checkpoints(
    changes: dict[str, Any], told: str, made: Made, tmp_path: Path
) -> None:
    decoding = msgspec.structs.replace(CORE.checkpoint.decoding, **changes)
    out = remanifested(made("fp32"), tmp_path / "out", decoding=decoding)
    assert str(reason(out)) == f"artifact.json: {told}"


def test_sizes_must_be_the_checkpoints(made: Made, tmp_path: Path) -> None:
    dims = msgspec.structs.replace(CORE.checkpoint.dims, audio_context=18)
    out = remanifested(made("fp32"), tmp_path / "out", dims=dims)
    assert reason(out).values["name"] == "audio_context"
    assert str(reason(out)).endswith("audio_context is 18, the checkpoint's is 20")


@pytest.mark.parametrize(
    "name",
    [
        *("tokenizer.json", "tokenizer_config.json"),
        *("genai_config.json", "audio_processor_config.json"),
    ],
)
def test_files_beside_the_graphs_must_be_what_they_were(
    name: str, made: Made, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(made("fp32"), out)
    (out / name).write_bytes((out / name).read_bytes().replace(b"e", b"E", 1) + b" ")
    assert reason(out).place == name
    (out / name).unlink()
    assert reason(out).place == name


def test_a_folder_without_a_manifest_is_refused_and_its_weights_still_compared(
    made: Made, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(made("fp32"), out)
    (out / artifact.MANIFEST).unlink()
    found = check(CORE, out, recipe_for("fp32"), GATES({"fp32"}))
    assert found.compared == found.of
    assert list(map(str, found.reasons)) == [f"{out} is not an artifact: it has no artifact.json"]
