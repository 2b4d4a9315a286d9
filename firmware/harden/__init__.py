"""Finds what tests of right input do not: static analysis, MISRA rules, random bytes. ``python -m firmware.harden`` runs all."""
