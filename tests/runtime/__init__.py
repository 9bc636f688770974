"""Tests of what turns audio into tokens."""
