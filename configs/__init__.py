"""Configs: runnable documentation of every entry point."""
