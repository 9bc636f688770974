"""Turns the ONNX graphs into OpenVINO's own, with caches that stay inside the runtime."""

from pathlib import Path
from typing import TYPE_CHECKING

from whisperopt.errors import WhisperoptError
from whisperopt.exporter.graphs import HIDDEN
from whisperopt.reasons import because

if TYPE_CHECKING:
    import openvino as ov


def convert(source: Path, target: Path) -> None:
    """Write the ONNX graph `source` as `target` (.xml) and the .bin beside it.

    A decoder's caches become states: those of self-attention start empty and grow, those of
    cross-attention are computed from the audio by the first step and kept.
    """
    import openvino as ov

    try:
        model = ov.Core().read_model(source)
        if any(HIDDEN in port.get_names() for port in model.inputs):
            _keep_self_attention(model)
            model = _keep_cross_attention(model)
            # the CPU plugin's own choice, 8 bits, puts logits off by a tenth of a percent
            model.set_rt_info("f16", ["runtime_options", "KV_CACHE_PRECISION"])
        ov.save_model(model, target, compress_to_fp16=False)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise WhisperoptError(because("export.refused", source.name, why=reason)) from None


def _keep_self_attention(model: "ov.Model") -> None:
    import numpy as np
    from openvino import opset15 as ops
    from openvino._offline_transformations import apply_make_stateful_transformation

    names = [port.get_any_name() for port in model.inputs]
    pairs = {name: name.replace("past", "present", 1) for name in names if "_self_" in name}
    apply_make_stateful_transformation(model, pairs)
    shape = ops.shape_of(model.input("input_ids"), output_type="i64")
    zero = ops.constant(np.array(0, np.int64))
    batch = ops.gather(shape, ops.constant(np.array([0], np.int64)), zero)
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            _, heads, _, size = node.get_output_partial_shape(0)
            rest = np.array([heads.get_length(), 0, size.get_length()], np.int64)
            empty = ops.concat([batch, ops.constant(rest)], axis=0)
            number = ops.constant(np.array(0, np.float32))
            node.set_arguments([ops.broadcast(number, empty).output(0)])


def _keep_cross_attention(model: "ov.Model") -> "ov.Model":
    import openvino as ov
    from openvino import opset15 as ops

    sinks = model.get_sinks()
    outputs = [port for node in model.get_ordered_ops() for port in node.outputs()]
    for port in outputs:
        names = sorted(name for name in port.get_names() if "_cross_" in name)
        if names:
            readers = port.get_target_inputs()
            kept = ops.read_value(port, names[0])
            for reader in readers:
                reader.replace_source_output(kept.output(0))
            sinks.append(ops.assign(kept, names[0]))
    return ov.Model(model.get_results(), sinks, model.get_parameters(), "decoder")
