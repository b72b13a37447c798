"""Bug clinics: models with one mistake each, which the reader diagnoses. To read on is to read the answers."""

from course_lib.clinic.clinic import Clinic, Patient, train_on_world
from course_lib.clinic.evaluation import evaluation_clinic
from course_lib.clinic.gan import gan_clinic
from course_lib.clinic.likelihood import likelihood_clinic
from course_lib.clinic.made import made_clinic
from course_lib.clinic.nade import nade_clinic
from course_lib.clinic.pixelcnn import pixelcnn_clinic
from course_lib.clinic.pixelrnn import pixelrnn_clinic
from course_lib.clinic.vae import vae_clinic
from course_lib.clinic.vqvae import vqvae_clinic
from course_lib.clinic.wavenet import wavenet_clinic

__all__ = [
    "Clinic",
    "Patient",
    "evaluation_clinic",
    "gan_clinic",
    "likelihood_clinic",
    "made_clinic",
    "nade_clinic",
    "pixelcnn_clinic",
    "pixelrnn_clinic",
    "train_on_world",
    "vae_clinic",
    "vqvae_clinic",
    "wavenet_clinic",
]
