"""The one telling line of OpenVINO's errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("openvino", reason="pip install 'whisperopt[openvino]'")
from whisperopt.backends.openvino.session import reason

STATIC_BATCH = """Exception from src/inference/src/cpp/core.cpp:84:
Check 'false' failed at src/frontends/common_translators/src/unconverted_ops_report.cpp:151:
FrontEnd API failed with OpConversionFailure:
Model wasn't fully converted. Failed operations detailed log:
-- com.microsoft.GroupQueryAttention with a message:
While validating ONNX node '<Node(GroupQueryAttention): y>': Check 'length == 1' failed at x.cpp:2:
While validating node 'extension::GroupQueryAttention' with friendly_name 'G':
GroupQueryAttention is only supported for batch_size == 1, got batch_size = 2.

Summary:
-- Conversion is failed for: com.microsoft.GroupQueryAttention

"""
UNKNOWN = """Exception from src/inference/src/cpp/core.cpp:84:
Model wasn't fully converted.
Summary:
-- No conversion rule found for operations: TensorScatter-24
"""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            STATIC_BATCH,
            "GroupQueryAttention is only supported for batch_size == 1, got batch_size = 2",
        ),
        (UNKNOWN, "No conversion rule found for operations: TensorScatter-24"),
        ("Exception from src/x.cpp:1:\n\n", "Exception from src/x.cpp:1:"),
        ("", "no reason is given"),
    ],
)
def test_the_telling_line_is_found(error: str, told: str) -> None:
    assert reason(RuntimeError(error)) == told


@given(st.text())
def test_any_error_gives_one_line(error: str) -> None:
    found = reason(error)
    assert found
    assert len(found.splitlines()) == 1
