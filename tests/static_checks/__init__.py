"""Tests of `whisperopt/static_checks`."""
