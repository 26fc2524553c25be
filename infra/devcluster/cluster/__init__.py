"""The parts of devcluster.py."""
