"""Grading one submission, from the bytes that were handed in to the judged notebook and its ledger."""
