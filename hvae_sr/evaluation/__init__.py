"""Scores as the field prints them, tables, and model cards made from them."""
