"""Tests of other people's pipelines over what whisperopt writes."""
