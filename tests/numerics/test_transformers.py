"""The core model computes what Hugging Face's Whisper computes in PyTorch, fp32."""

from functools import cache
from importlib.util import find_spec

import msgspec
import pytest

from tests.makers import SMALL, weights, write_huggingface
from tests.numerics import speech
from tests.numerics.conftest import LIVE, Sample
from tests.passes import forms
from tests.passes.forms import MadeCheckpoint
from whisperopt.checkpoint.resolve import open_checkpoint

LACKING = " and ".join(name for name in ("torch", "transformers") if find_spec(name) is None)
"""Looked for, not imported: that takes seconds of every process that collects the tests."""
pytestmark = [
    pytest.mark.skipif(bool(LACKING), reason=f"no {LACKING}: pip install 'whisperopt[reference]'"),
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

PAIRS = speech.pairs()
SHAPES = {
    "as-made": SMALL,
    "128-mels": msgspec.structs.replace(SMALL, mels=128),
    "distilled": msgspec.structs.replace(SMALL, encoder_layers=3, decoder_layers=1),
    "odd-vocabulary": msgspec.structs.replace(SMALL, vocabulary=331),
    "other-heads": msgspec.structs.replace(
        SMALL, encoder_heads=8, decoder_heads=2, decoder_kv_heads=2
    ),
}


@pytest.fixture(scope="session")
def expected(core: Sample):
    """Compute what PyTorch says about a pair of clips, once for all tests."""
    from tests.numerics.torch_whisper import TorchWhisper

    reference = TorchWhisper(core.checkpoint)

    @cache
    def compute(pair: str):
        clips = PAIRS[pair]
        return reference.greedy(core.features(clips), core.prompts(clips), speech.STEPS)

    return compute


@LIVE
@pytest.mark.sample
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("pair", list(PAIRS))
def test_encoder_and_logits_equal_pytorch_on_speech(
    pair: str, batch: int, core: Sample, expected, measured
) -> None:
    clips = PAIRS[pair][:batch]
    tokens, theirs = expected(pair)
    theirs = theirs.first(batch)
    ours = forms.decode(core.decoder(clips), core.prompts(clips), tokens[:batch])
    encoder = forms.relative_error(ours.hidden, theirs.hidden)
    prefill, *steps = map(forms.relative_error, ours.logits, theirs.logits)
    errors = f"encoder {encoder:.1e}, prefill {prefill:.1e}, steps {max(steps):.1e}"
    measured(errors)
    assert len(steps) == speech.STEPS
    assert max(encoder, prefill, *steps) < speech.TOLERANCE


@LIVE
@pytest.mark.sample
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("pair", list(PAIRS))
def test_free_running_greedy_writes_the_same_tokens(
    pair: str, batch: int, core: Sample, expected
) -> None:
    clips = PAIRS[pair][:batch]
    tokens, _ = expected(pair)
    assert core.greedy(clips, speech.STEPS) == core.until_end(tokens[:batch].tolist())


@pytest.mark.parametrize("shape", list(SHAPES))
def test_any_sizes_equal_pytorch(shape: str, tmp_path) -> None:
    from tests.numerics.torch_whisper import TorchWhisper

    dims = SHAPES[shape]
    tied = shape != "odd-vocabulary"
    checkpoint = MadeCheckpoint(dims, weights(dims, seed=5, tied=tied))
    session = forms.open_session(forms.write(checkpoint, forms.CORE, tmp_path))
    features = forms.speech_like(dims, batch=2)
    prompt = forms.random_tokens(dims, batch=2, length=4)
    tokens, theirs = TorchWhisper(checkpoint).greedy(features, prompt, 5)
    ours = forms.run(session, features, prompt, tokens)
    assert forms.largest_error(ours, theirs) < 1e-5


def test_folder_is_read_as_transformers_reads_it(tmp_path) -> None:
    import torch
    from transformers import WhisperForConditionalGeneration

    write_huggingface(tmp_path / "hub", SMALL, seed=9)
    checkpoint = open_checkpoint(tmp_path / "hub")
    session = forms.open_session(forms.write(checkpoint, forms.CORE, tmp_path / "core"))
    model = WhisperForConditionalGeneration.from_pretrained(tmp_path / "hub").eval()
    features = forms.speech_like(SMALL, batch=1)
    ids = forms.random_tokens(SMALL, batch=1, length=6)
    with torch.no_grad():
        theirs = model(torch.from_numpy(features), decoder_input_ids=torch.from_numpy(ids).long())
    ours = session.encode(features).step(ids)
    assert forms.relative_error(ours, theirs.logits.numpy()) < 1e-5
