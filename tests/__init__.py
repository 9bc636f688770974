"""Tests mirror the tree; `makers` writes small made-up checkpoints."""
