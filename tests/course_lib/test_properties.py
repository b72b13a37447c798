"""Every property, of every model."""

import pytest

from tests.course_lib.instances import INSTANCES
from tests.course_lib.properties import PROPERTIES


@pytest.mark.parametrize("property_name", PROPERTIES)
@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_property(instance, property_name):
    PROPERTIES[property_name](instance)
