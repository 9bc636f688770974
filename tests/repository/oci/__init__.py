"""Tests of registries: a real one, and scripted ones."""
