"""Assigns connections to exchanges; opens, keeps and closes them."""
