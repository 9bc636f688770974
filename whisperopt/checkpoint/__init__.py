"""Reads Whisper checkpoints as somebody published them, without torch."""
