"""Measuring a recognizer: rates by slice, and a report for people."""
