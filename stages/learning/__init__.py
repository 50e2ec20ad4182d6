"""Data, models, training and metrics: torch, no Ray, no store."""
