"""whisperopt's variants and their peers side by side: same clips, threads and decoding, in turns."""
