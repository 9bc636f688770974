"""Tests of `whisperopt/download`."""
