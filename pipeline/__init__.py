"""Orchestration: what runs, where, and what is kept. No maths, no model, no data set."""
