"""Scripts that measure whisperopt; nothing of them is in the wheel."""
