"""Tests of what opens elsewhere."""
