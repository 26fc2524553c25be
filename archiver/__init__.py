"""Archives a database at rest, and makes it anew: what runs in a pod, once, and ends.

    python -m archiver pack      the data directory to a file, the packed folder
    python -m archiver store     seal the packed folder and store it
    python -m archiver fetch     fetch it and open it
    python -m archiver unpack    the packed folder to the data directory

Its settings are in `settings`, the formats in `packed` and `sealed`. It runs on Python 3.11 and later and imports
nothing of the control plane. Memory stays the same whatever the size.
"""
