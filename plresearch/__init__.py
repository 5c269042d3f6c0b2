"""Evaluate a Paired Learning programme and regenerate the paper about it."""
