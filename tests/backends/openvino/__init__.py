"""Tests of OpenVINO's backend."""
