"""`python -m tokenworks`."""

import sys

from tokenworks.cli.main import main

sys.exit(main())
