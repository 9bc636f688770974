"""Tests of the DirectML backend."""
