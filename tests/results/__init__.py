"""Tests of what a release says of its proofs."""
