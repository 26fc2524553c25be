#!/usr/bin/python3
"""start-notebook.py [ARGS]: as in the docker-stacks images, a Jupyter server on all interfaces, port 8888."""

import os
import sys

command = os.environ.get("DOCKER_STACKS_JUPYTER_CMD", "lab")
args = sys.argv[1:]
if args and not args[0].startswith("-"):
    os.execvp(args[0], args)
os.execvp("jupyter", ["jupyter", command, *os.environ.get("NOTEBOOK_ARGS", "").split(), *args])
