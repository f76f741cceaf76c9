"""``python -m korfinsts``: the program itself."""

import os
import subprocess
import sys

from ._run import binary

arguments = [binary(), *sys.argv[1:]]
if os.name == "posix":
    os.execv(arguments[0], arguments)
sys.exit(subprocess.call(arguments))
