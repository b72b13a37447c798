"""Every property, of every latent-variable model."""

import pytest

from tests.course_lib.latent_instances import LATENT_INSTANCES
from tests.course_lib.latent_properties import LATENT_PROPERTIES


@pytest.mark.parametrize("property_name", LATENT_PROPERTIES)
@pytest.mark.parametrize("instance", LATENT_INSTANCES, ids=str)
def test_property(instance, property_name):
    LATENT_PROPERTIES[property_name](instance)
