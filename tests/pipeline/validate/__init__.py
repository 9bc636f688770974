"""Tests of `whisperopt validate`."""
