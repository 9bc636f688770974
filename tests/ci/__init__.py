"""Tests of what the CI matrix runs."""
