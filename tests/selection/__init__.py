"""Tests of resolving and fetching."""
