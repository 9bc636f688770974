"""Tests of the authored graphs."""
