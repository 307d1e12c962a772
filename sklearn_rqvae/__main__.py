"""``python -m sklearn_rqvae`` is the command ``sklearn-rqvae``."""

import sys

from sklearn_rqvae._cli import main

if __name__ == "__main__":
    sys.exit(main())
