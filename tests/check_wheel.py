"""Check a built wheel: what it requires, what it carries. Usage: python check_wheel.py WHEEL."""

import re
import sys
import zipfile
from email.parser import Parser

CORE = {"torch", "scikit-learn", "numpy", "scipy", "joblib", "threadpoolctl", "skorch"}


def main(path: str) -> None:
    """Exit with a message if the wheel isn't what the documentation promises."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (metadata,) = (n for n in names if n.endswith(".dist-info/METADATA"))
        headers = Parser().parsestr(wheel.read(metadata).decode())
    required = {
        re.match(r"[A-Za-z0-9_.-]+", line).group().lower()
        for line in headers.get_all("Requires-Dist", [])
        if "extra ==" not in line
    }
    problems = []
    if required != CORE:
        problems.append(f"the wheel requires {sorted(required)}, not {sorted(CORE)}")
    if "sklearn_rqvae/py.typed" not in names:
        problems.append("sklearn_rqvae/py.typed is missing")
    if not any(n.endswith("LICENSE") for n in names):
        problems.append("LICENSE is missing")
    strangers = {n.split("/")[0] for n in names} - {"sklearn_rqvae"}
    if any(not s.endswith(".dist-info") for s in strangers):
        problems.append(f"the wheel installs other packages: {sorted(strangers)}")
    if problems:
        sys.exit("; ".join(problems))
    print(f"{path.rsplit('/', 1)[-1]}: requires {', '.join(sorted(required))}")


if __name__ == "__main__":
    main(sys.argv[1])
