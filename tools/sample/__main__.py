"""``python -m tools.sample [--check]``: write the files of the sample, or compare them with the shipped ones."""

import sys

from tools.sample.build import main

sys.exit(main())
