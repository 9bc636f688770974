"""What a release says of its proofs: raw samples, the verdicts that follow, the rows of reports."""
