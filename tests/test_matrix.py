"""The matrix is read whole, and every mistake in it is one sentence."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperopt import matrix, registry
from whisperopt.errors import BadInputError
from whisperopt.matrix import Matrix, Target

TEXT = """
schema = "1.0"
device_order = ["nvidia", "d3d12", "cpu"]
[gates]
encoder_cosine = 0.9
encoder_relative_error = 2.0
top1_agreement = 0.9
kl_divergence = 0.1
token_match = 0.5
clips_no_worse = 0.9
batch_agreement = 0.9
wer_increase = 0.5
wer_vs_core = 2.0
max_activation = 60000.0
weight_scale = 0.01
weight_error = 0.05
[targets.cpu]
backend = "cpu"
device = "cpu"
os = ["linux"]
arch = ["x86_64"]
[targets.cpu.ci]
runner = "ubuntu-24.04"
required = true
timeout_minutes = 5
"""
SECOND = TEXT[TEXT.index("[targets.cpu]") :]


def refusal(text: str) -> BadInputError:
    with pytest.raises(BadInputError) as caught:
        matrix.parse(text, "mine.toml")
    assert "\n" not in str(caught.value)
    assert "mine.toml" in caught.value.problem
    return caught.value


def test_the_packaged_matrix_has_one_target_per_kind_of_device() -> None:
    targets = {t.name: (t.backend, t.device) for t in matrix.load().targets}
    assert targets == {
        "tensorrt": ("tensorrt", "nvidia"),
        "cuda": ("cuda", "nvidia"),
        "directml": ("directml", "d3d12"),
        "webgpu": ("webgpu", "gpu"),
        "openvino": ("openvino", "cpu"),
        "cpu": ("cpu", "cpu"),
    }


def test_every_packaged_target_has_a_backend_with_its_recipes() -> None:
    for target in matrix.load().targets:
        names = {recipe.name for recipe in registry.require_for(target).recipes()}
        assert names
        assert names >= set(target.recipes)


def test_every_device_of_a_target_is_in_the_order_of_devices() -> None:
    packaged = matrix.load()
    assert {target.device for target in packaged.targets} == set(packaged.device_order)


def test_matrix_survives_json() -> None:
    packaged = matrix.load()
    assert msgspec.json.decode(msgspec.json.encode(packaged), type=Matrix) == packaged


def test_another_matrix_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TEXT, "utf-8")
    (target,) = matrix.load(file).targets
    gates = target.gates_for(["fp32"])
    assert (target.name, target.ci.timeout_minutes, gates.token_match) == ("cpu", 5, 0.5)


def test_missing_matrix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"absent\.toml"):
        matrix.load(tmp_path / "absent.toml")


def test_folder_is_no_matrix(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="Cannot read"):
        matrix.load(tmp_path)


def test_matrix_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "binary.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInputError, match=r"binary\.toml"):
        matrix.load(file)


def test_order_of_tables_is_kept() -> None:
    text = TEXT + SECOND.replace("targets.cpu", "targets.aaa")
    assert [target.name for target in matrix.parse(text, "mine.toml").targets] == ["cpu", "aaa"]


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ('device = "cpu"', 'device = "cpu"\ndevise = "cpu"', "devise"),
        ("required = true", 'required = true\nlabels = ["gpu"]', "labels"),
        ("[gates]", "[gates]\nwer = 1.0", "wer"),
        ("[gates]", "[gates.fp16]\nwer = 1.0\n[gates]", "wer"),
        ('device = "cpu"', 'device = "cpu"\nobjective = {aim = "size"}', "aim"),
        ('schema = "1.0"', 'schema = "1.0"\nauthor = "me"', "author"),
    ],
)
def test_unknown_key_is_refused_by_name(before: str, after: str, key: str) -> None:
    assert f"`{key}`" in refusal(TEXT.replace(before, after, 1)).problem


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('device = "cpu"', 'device = "tpu"', "Invalid enum value 'tpu'"),
        ('os = ["linux"]', 'os = "linux"', "$.os"),
        ("timeout_minutes = 5", 'timeout_minutes = "5"', "$.ci.timeout_minutes"),
        ("kl_divergence = 0.1\n", "", "kl_divergence"),
        ('backend = "cpu"\n', "", "backend"),
        ('device = "cpu"', 'device = "cpu"\nobjective = "size"', "$.objective"),
        ('device = "cpu"', 'device = "cpu"\nobjective = {goal = "speed"}', "'speed'"),
        (
            'device = "cpu"',
            'device = "cpu"\nobjective = {at_most = {wer = 1.0}}',
            "Invalid enum value 'wer'",
        ),
    ],
)
def test_wrong_value_is_refused_with_its_table(before: str, after: str, words: str) -> None:
    problem = refusal(TEXT.replace(before, after, 1)).problem
    assert words in problem
    assert "[targets.cpu]" in problem


def test_another_schema_is_refused() -> None:
    assert "'2.0'" in refusal(TEXT.replace('"1.0"', '"2.0"')).problem


def test_duplicate_target_is_refused() -> None:
    error = refusal(TEXT + SECOND)
    assert "not valid TOML" in error.problem
    assert "name of its own" in error.remedy


@given(st.text(max_size=60))
def test_any_text_is_a_matrix_or_one_sentence(text: str) -> None:
    try:
        matrix.parse(text, "mine.toml")
    except BadInputError as error:
        assert error.problem.startswith("mine.toml")  # noqa: PT017  # both outcomes are right


def test_all_and_single_names_are_chosen_in_matrix_order() -> None:
    packaged = matrix.load()
    assert packaged.choose(["all"]) == packaged.targets
    assert [t.name for t in packaged.choose([" cpu", "cuda", ""])] == ["cuda", "cpu"]
    assert packaged.target("directml").device == "d3d12"


def test_unknown_target_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInputError, match=r"no target 'cudaa'\. Did you mean 'cuda'\?"):
        matrix.load().choose(["cpu", "cudaa"])


def test_target_unlike_any_other_is_refused_with_all_names() -> None:
    with pytest.raises(BadInputError, match=r"Use one of: tensorrt, cuda, .*, all"):
        matrix.load().choose(["zzz"])


def test_no_name_at_all_is_refused() -> None:
    with pytest.raises(BadInputError, match="No target was named"):
        matrix.load().choose([" "])


def test_target_without_an_installed_backend_is_refused_with_the_nearest() -> None:
    (target,) = matrix.parse(TEXT.replace('backend = "cpu"', 'backend = "cpuu"'), "m").targets
    assert isinstance(target, Target)
    with pytest.raises(BadInputError, match=r"'cpu' wants a backend 'cpuu'.*Did you mean 'cpu'"):
        registry.require_for(target)
