"""Hugging Face's Whisper in PyTorch, fp32, holding a checkpoint's tensors."""

from typing import Any

import numpy as np
import torch  # noqa: TID253  # imported only where it is installed
from transformers import (  # noqa: TID253
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from tests.passes.forms import Run
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.runtime.arrays import Floats, Tokens


class TorchWhisper:
    """One model; its greedy decoding is written out, so that nothing but the model is theirs."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Put every tensor of `checkpoint` in its place; a missing or odd name is an error."""
        self.decoding = checkpoint.decoding
        with torch.device("meta"):
            self.model: Any = WhisperForConditionalGeneration(_config(checkpoint))
        tensors = {
            name if name == "proj_out.weight" else f"model.{name}": torch.from_numpy(
                np.array(checkpoint.tensor(name), np.float32)
            )
            for name in checkpoint.names()
        }
        tensors.setdefault("proj_out.weight", tensors["model.decoder.embed_tokens.weight"])
        self.model.load_state_dict(tensors, assign=True, strict=True)
        self.model.train(mode=False)
        torch.set_num_threads(1)  # two wait for each other on a busy machine

    @torch.no_grad()
    def encode(self, features: Floats) -> torch.Tensor:
        """Return the encoder output [B, frames / 2, D]."""
        encoded = self.model.model.encoder(torch.from_numpy(features))
        return torch.as_tensor(encoded.last_hidden_state)

    @torch.no_grad()
    def greedy(self, features: Floats, prompt: Tokens, steps: int) -> tuple[Tokens, Run]:
        """Return the likeliest allowed tokens int32 [B, steps] and what led to them.

        Rows are not stopped by end-of-text.
        """
        hidden = self.encode(features)
        logits: list[Floats] = []
        tokens: list[torch.Tensor] = []
        given, past = torch.from_numpy(prompt).long(), None
        for step in range(steps + 1):
            out = self.model(
                encoder_outputs=(hidden,),
                decoder_input_ids=given,
                past_key_values=past,
                use_cache=True,
            )
            logits.append(out.logits.numpy())
            if step == steps:
                break
            given, past = self._best(out.logits[:, -1], step), out.past_key_values
            tokens.append(given)
        return torch.cat(tokens, dim=1).int().numpy(), Run(hidden.numpy(), logits)

    def _best(self, logits: torch.Tensor, step: int) -> torch.Tensor:
        allowed = logits.clone()
        allowed[:, self.decoding.suppress] = -torch.inf
        if step == 0:
            allowed[:, self.decoding.suppress_first] = -torch.inf
        return allowed.argmax(dim=-1, keepdim=True)


def _config(checkpoint: Checkpoint) -> WhisperConfig:
    dims, decoding = checkpoint.dims, checkpoint.decoding
    return WhisperConfig(
        vocab_size=dims.vocabulary,
        num_mel_bins=dims.mels,
        d_model=dims.width,
        encoder_layers=dims.encoder_layers,
        encoder_attention_heads=dims.encoder_heads,
        encoder_ffn_dim=dims.encoder_ffn,
        decoder_layers=dims.decoder_layers,
        decoder_attention_heads=dims.decoder_heads,
        decoder_ffn_dim=dims.decoder_ffn,
        max_source_positions=dims.audio_context,
        max_target_positions=dims.text_context,
        bos_token_id=decoding.end_of_text,
        eos_token_id=decoding.end_of_text,
        pad_token_id=decoding.end_of_text,
        decoder_start_token_id=decoding.start_of_transcript,
    )
