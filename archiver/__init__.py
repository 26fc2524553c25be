"""Seals a dump and stores it, fetches it and opens it: what runs in a pod, once, and ends.

    python -m archiver store
    python -m archiver fetch

Its settings are in `settings`, the format in `sealed`. It runs on Python 3.11 and later and imports nothing of the
control plane. Memory stays the same whatever the size.
"""
