"""Offline tools: turn published annotations into tables, and check tables against each other."""
