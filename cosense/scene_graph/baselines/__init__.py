"""Registrations to compare scene graphs with, one module each; all of them need a prior."""
