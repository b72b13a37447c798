"""Bug clinics: models with one mistake each, which the reader diagnoses. To read on is to read the answers."""

from course_lib.clinic.clinic import Clinic, Patient
from course_lib.clinic.made import made_clinic
from course_lib.clinic.nade import nade_clinic

__all__ = ["Clinic", "Patient", "made_clinic", "nade_clinic"]
