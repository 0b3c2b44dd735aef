"""Record every call; refuse all but those that the setup cell may make."""

import json
import os
import shutil
import sys
from pathlib import Path

machine = json.loads(os.environ["PRETEND_COLAB"])
call = " ".join(["pip", *sys.argv[1:]])
with Path(machine["log"]).open("a") as log:
    log.write(f"{call}\n")
if call not in machine["installs"]:
    sys.exit(f"{call}: nothing is installed here.")

# In place of a download: the files that the tests' own environment has of that package.
for path in machine["installs"][call]:
    copy = shutil.copytree if Path(path).is_dir() else shutil.copy
    copy(path, Path(machine["packages"]) / Path(path).name)
