"""The worst relative difference of a gradient to PyTorch per network, as a table, from what the test prints:

    cargo nextest run -E 'test(gradients_of_every_form)' --no-capture 2>&1 | python tests/reference/kin/gradients.py
"""

import re, sys
from collections import defaultdict

worst = defaultdict(float)
for line in sys.stdin:
    found = re.match(r"\s*\S*/([\w-]+) (?:Left|Right): ([\d.e+-]+)$", line.rstrip())
    if found:
        worst[found[1]] = max(worst[found[1]], float(found[2]))
print("| network | worst relative difference |\n|---|---|")
for name, value in sorted(worst.items()):
    print(f"| {name} | {value:.1e} |")
