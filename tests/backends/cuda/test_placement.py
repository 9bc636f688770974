"""What is made of a placement: hand-made answers of the partitioner."""

import onnx_ir as ir
import pytest
from whisperopt.backends.cuda.placement import (
    CPU,
    CUDA,
    TO_DEVICE,
    Copy,
    Outline,
    Placed,
    PlacedNode,
    Value,
    judge,
)

from tests.static_checks.graphs import graph

TO_HOST = "to the host"
LENGTHS = """
    new = Shape<start=1>(ids)
    short = Cast<to=6>(new)
    total = Add(past, short)
    row = Expand(total, one)
    wide = Add(row, ages)
    y = MatMul(x, x)
"""
SIGNATURE = (
    "(int32[B,S] ids, int32[1] past, int64[1] one, int32[448] ages, float[4,4] x)"
    " => (float[4,4] y, int32[448] wide, int32[N] row)"
)


def placed(*nodes: tuple[str, str, str], copies: tuple[Copy, ...] = ()) -> Placed:
    """Return an answer with one MatMul on CUDA and `nodes` as name, operator and provider."""
    given = [PlacedNode(*node) for node in (("y", "MatMul", CUDA), *nodes)]
    return Placed(providers=(CUDA, CPU), nodes=tuple(given), copies=copies)


@pytest.fixture
def outline() -> Outline:
    """What is known of a small graph of lengths; nodes are called after their outputs."""
    model = graph(SIGNATURE, LENGTHS)
    for node in model.graph:
        node.name = node.outputs[0].name
    return Outline.of(model)


def test_a_graph_on_the_gpu_is_right(outline: Outline) -> None:
    assert judge(placed(), outline) == ()


def test_lengths_may_be_computed_on_the_cpu_and_copied_once(outline: Outline) -> None:
    lengths = (("short", "Cast", CPU), ("total", "Add", CPU))
    assert judge(placed(*lengths, copies=(Copy(TO_DEVICE, "total"),)), outline) == ()


def test_arithmetic_that_only_the_optimizer_knows_is_judged_by_its_operator() -> None:
    assert judge(placed(("made", "Squeeze", CPU)), Outline()) == ()
    assert judge(placed(("made", "Range", CPU)), Outline()) == (
        "Range is more than lengths: it lands on the CPU once, with 0 copies in every run",
    )


def test_long_integers_on_the_cpu_are_refused(outline: Outline) -> None:
    (reason,) = judge(placed(("wide", "Add", CPU)), outline)
    assert reason.startswith("Add is more than lengths: it lands on the CPU once")


def test_single_precision_attention_is_named_with_its_copies() -> None:
    names = [f"layers.{index}" for index in range(4)]
    attention = ((name, "com.microsoft.GroupQueryAttention", CPU) for name in names)
    operands = dict.fromkeys(names, ("q", "lengths"))
    known = Outline(operands, {"lengths": Value("INT32"), "q": Value("FLOAT")})
    copies = tuple(Copy(TO_HOST, f"q{index}") for index in range(19))
    (reason,) = judge(placed(*attention, copies=copies), known)
    assert reason == (
        "GroupQueryAttention has no fp32 kernel on CUDA: it lands on the CPU 4 times,"
        " with 19 copies in every run"
    )


def test_light_operators_on_activations_are_not_light(outline: Outline) -> None:
    known = Outline({"sum": ("a",)}, {"a": Value("FLOAT16", (1, 1))})
    (reason,) = judge(placed(("sum", "Add", CPU)), known)
    assert "Add has no fp16 kernel" in reason


def test_every_operator_that_is_misplaced_is_named(outline: Outline) -> None:
    strangers = (("a", "MatMul", CPU), ("b", "Softmax", CPU), ("c", "Softmax", CPU))
    first, second = judge(placed(*strangers), outline)
    assert "Softmax" in first
    assert "2 times" in first
    assert "MatMul" in second


def test_a_big_tensor_that_is_copied_is_refused(outline: Outline) -> None:
    assert judge(placed(copies=(Copy(TO_DEVICE, "wide"),)), outline) == (
        "copied to the device in every run: wide",
    )


def test_a_tensor_of_unknown_size_counts_as_big(outline: Outline) -> None:
    assert judge(placed(copies=(Copy(TO_DEVICE, "fused"),)), outline)
    assert not judge(placed(copies=(Copy(TO_DEVICE, "fused", "INT64", (1,)),)), outline)


def test_copies_to_the_host_are_refused_whatever_their_size(outline: Outline) -> None:
    copies = tuple(Copy(TO_HOST, name) for name in ("past", "a", "b", "c", "d"))
    assert judge(placed(copies=copies), outline) == (
        "copied to the host in every run: past, a, b and 2 more",
    )


def test_lengths_are_copied_at_most_once(outline: Outline) -> None:
    copies = (Copy(TO_DEVICE, "past"), Copy(TO_DEVICE, "total"))
    assert judge(placed(copies=copies), outline) == (
        "2 copies of lengths in every run, one would do: past, total",
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Placed(refused="no such operator"), "refuses it: no such operator"),
        (Placed(providers=(CPU,)), f"silently has only {CPU}: {CUDA} did not load"),
        (Placed(providers=(CUDA, CPU)), "does not say where the nodes are"),
    ],
)
def test_no_session_on_the_gpu_is_a_failure(answer: Placed, reason: str) -> None:
    (found,) = judge(answer, Outline())
    assert reason in found


@pytest.mark.parametrize(
    ("value", "few"),
    [
        (Value("INT32", (1,)), True),
        (Value("INT64", ()), True),
        (Value("BOOL", ("batch", 8)), True),
        (Value("INT32", (9,)), False),
        (Value("INT32", ("sequence",)), False),
        (Value("FLOAT16", (1,)), False),
        (Value("FLOAT"), False),
        (Value("INT32"), None),
        (Value(), None),
    ],
)
def test_few_integers_are_told_from_anything_else(value: Value, few: bool | None) -> None:
    assert value.few_integers() is few


def test_an_outline_keeps_types_and_shapes_that_inference_knows(outline: Outline) -> None:
    assert outline.values["short"] == Value("INT32", (1,))
    assert outline.values["ids"] == Value("INT32", ("B", "S"))
    assert outline.operands["total"] == ("past", "short", "total")


def test_unnamed_dimensions_are_unknown() -> None:
    model = graph("(int32[1] x) => (int32[N] y)", "y = Identity(x)")
    model.graph.inputs[0].shape = ir.Shape([None])
    assert Outline.of(model).values["x"] == Value("INT32", ("?",))


def test_a_summary_counts_nodes_and_copies() -> None:
    copies = (Copy(TO_DEVICE, "a"), Copy(TO_HOST, "b"), Copy(TO_HOST, "c"))
    shown = placed(("a", "Cast", CPU), ("b", "Add", CUDA), copies=copies).summary()
    assert shown == "2 on CUDA, 1 on CPU, 1 copied to the device, 2 copied to the host"
    assert placed().summary() == "1 on CUDA, none copied"
