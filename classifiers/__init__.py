"""Stages that decide and can be trained; importing this package registers them."""

from classifiers import sorter

__all__ = ["sorter"]
