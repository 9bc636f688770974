"""Tests of what whisperopt offers to other people's tests."""
