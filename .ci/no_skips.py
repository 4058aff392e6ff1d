"""Fail when a test was skipped that this machine should have run: everything but what needs a GPU."""

import sys
import xml.etree.ElementTree as ElementTree

ALLOWED = "needs a GPU"

report = ElementTree.parse(sys.argv[1])
cases = list(report.iter("testcase"))
skipped = [
    (f"{case.get('classname')}.{case.get('name')}", mark.get("message", ""))
    for case in cases
    for mark in case.iter("skipped")
    if mark.get("type") != "pytest.xfail" and not mark.get("message", "").startswith(ALLOWED)
]
for name, reason in skipped:
    print(f"skipped: {name}: {reason}")
if not cases:
    sys.exit("no test ran")
if skipped:
    sys.exit(f"{len(skipped)} tests were skipped; only those that need a GPU may be")
print(f"{len(cases)} tests, none skipped that could run here")
