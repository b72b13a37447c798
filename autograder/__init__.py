"""All that judges: the property checks, the build of the notebooks, and the grading of a class."""

import sys

# To read notebooks, nbformat imports jsonschema, which builds a parser for every kind of internet address, 1.4 seconds
# of each command; no format of a notebook asks for one. jsonschema goes on where the module is not there.
sys.modules.setdefault("rfc3987_syntax", None)
