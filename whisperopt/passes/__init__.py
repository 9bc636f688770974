"""Rewrites of graphs: one pass, one file, one contract, one test."""
