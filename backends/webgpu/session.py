"""A session that takes several tokens as so many steps, for kernels that know only one at a time."""

import numpy as np

from whisperopt.backend import Decoder, Session
from whisperopt.runtime import mel
from whisperopt.runtime.arrays import Floats, Spans, Tokens


class SteppingSession:
    """Passes everything on to `session` but several tokens at once."""

    def __init__(self, session: Session) -> None:
        """Stand before an opened artifact."""
        self._session = session
        self.max_batch = session.max_batch

    @property
    def placement(self) -> dict[str, int]:
        """Number of nodes by where they run, as the runtime itself reports."""
        return self._session.placement

    def encode(self, features: Floats, spans: Spans | None = None) -> "SteppingDecoder":
        """Encode log-mel `features` float32 [B, mels, 2 L]."""
        return SteppingDecoder(mel.encode(self._session, features, spans))


class SteppingDecoder:
    """One encoded batch; each of its rows grows by one token per run."""

    def __init__(self, decoder: Decoder) -> None:
        """Stand before the decoder of a session."""
        self._decoder = decoder
        self.past = decoder.past

    def reset(self) -> None:
        """Forget all tokens; the encoded audio stays."""
        self._decoder.reset()
        self.past = self._decoder.past

    def hidden_states(self) -> Floats:
        """Return the encoder output float32 [B, frames / 2, D]."""
        return self._decoder.hidden_states()

    def step(self, ids: Tokens) -> Floats:
        """Append `ids` int32 [B, S] one by one; return logits float32 [B, S, V]."""
        several = (
            ids.ndim == 2 and ids.shape[1] > 1
        )  # what is wrong with others the inner one says
        columns = np.split(ids, ids.shape[1], axis=1) if several else [ids]
        try:
            # each step may write where the last one's logits lie
            logits = [self._decoder.step(column).copy() for column in columns]
        finally:
            self.past = self._decoder.past
        return np.concatenate(logits, axis=1)

    def reorder(self, rows: Tokens) -> None:
        """Let row i of the batch go on from what row `rows[i]`, int32 [B], has seen and heard."""
        self._decoder.reorder(rows)
