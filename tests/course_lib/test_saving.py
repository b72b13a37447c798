import copy
import inspect
import json
import pickle
from array import array
from types import SimpleNamespace as Namespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from course_lib import checkpoints, models
from course_lib.metrics import nll
from course_lib.models import (
    DCGAN,
    FVBN,
    GAN,
    MADE,
    NADE,
    RNADE,
    VQVAE,
    VQVAE2,
    Autoencoder,
    BiGAN,
    CodeModel,
    EoNADE,
    GatedPixelCNN,
    OrderlessNADE,
    PixelCNN,
    TabularModel,
)
from course_lib.saving import load, load_best, save
from course_lib.training import fit
from tests.course_lib.instances import INSTANCES, Windowed
from tests.course_lib.latent_instances import LATENT_INSTANCES, Labelled
from tests.course_lib.properties import random_model, random_x

PUBLIC = [instance for instance in INSTANCES if type(instance.build()).__name__ in models.__all__]


def same(model: nn.Module, other: nn.Module) -> bool:
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(
        ours[name].dtype == theirs[name].dtype and torch.equal(ours[name], theirs[name]) for name in ours
    )


@pytest.mark.parametrize("instance", PUBLIC, ids=str)
def test_a_model_comes_back_from_its_file_alone(tmp_path, instance):
    for dtype in (torch.float64, torch.bfloat16):
        model = random_model(instance).to(dtype)
        stream = torch.get_rng_state()
        save(model, tmp_path / "model")
        loaded = load(tmp_path / "model")
        assert torch.equal(torch.get_rng_state(), stream)
        assert type(loaded) is type(model) and same(loaded, model) and not loaded.training
        assert repr(loaded).count("\n") == repr(model).count("\n")
        x = random_x(model, 5, torch.Generator().manual_seed(0))
        # Not bit by bit: where a weight lies in memory decides which kernel multiplies it.
        within = 1e-10 if dtype == torch.float64 else 0.05
        torch.testing.assert_close(loaded.log_prob(x), model.log_prob(x), rtol=within, atol=within)
        assert all(parameter.requires_grad for parameter in loaded.parameters())


def latent(instance) -> nn.Module:
    model = instance.build()
    return model.model if isinstance(model, Labelled) else model


@pytest.mark.parametrize("build", [*(lambda i=i: latent(i) for i in LATENT_INSTANCES), lambda: Autoencoder((6,), 2, 3)])
def test_a_model_with_latent_variables_comes_back_from_its_file_alone(tmp_path, build):
    for dtype in (torch.float64, torch.bfloat16):
        model = build().to(dtype)
        save(model, tmp_path / "model")
        loaded = load(tmp_path / "model")
        assert type(loaded) is type(model) and same(loaded, model) and not loaded.training
        assert loaded.arguments.keys() == model.arguments.keys()
        x = random_x(model, 5, torch.Generator().manual_seed(0))
        given = {}
        if getattr(model, "classes", ()):
            given = {"labels": torch.zeros(5, len(model.classes), dtype=torch.long).squeeze(1)}
        assert torch.equal(loaded.reconstruct(x, **given), model.reconstruct(x, **given))


def test_every_class_is_tried():
    tried = {type(instance.build()) for instance in PUBLIC} | {type(latent(i)) for i in LATENT_INSTANCES}
    tried |= {Autoencoder, VQVAE, VQVAE2, CodeModel}  # the last three in test_vqvae.py
    tried |= {GAN, DCGAN, BiGAN}  # in test_gan.py and test_bigan.py
    bases = {"AutoregressiveModel", "GenerativeModel", "LatentVariableModel", "ImageModel", "SequenceModel"}
    bases |= {"ImplicitModel"}
    assert {kind.__name__ for kind in tried} == set(models.__all__) - bases - {"orderings"}


@pytest.mark.parametrize(
    "build",
    [
        lambda: NADE(6, np.int64(3), np.arange(6)[::-1].copy()),
        lambda: NADE(6, 3, torch.arange(6).flip(0)),
        lambda: RNADE(2, 3, 2, span=(-1.0, 2.5)),
        lambda: MADE(6, (9, 8), direct=True, dropout=0.5, connectivity="random", seed=3),
        lambda: MADE(6, [9]).with_order(range(5, -1, -1)),
        lambda: GatedPixelCNN((1, 3, 3), 2, 4, 1, classes=3),
        lambda: EoNADE(OrderlessNADE(5, [8]), [torch.arange(5)]),
        lambda: TabularModel(torch.tensor([0.5, 0.5, 0.0]).log()),
    ],
)
def test_arguments_of_every_kind_are_kept(tmp_path, build):
    model = build()
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert same(loaded, model)
    u = torch.rand(20, np.prod(model.event_shape), dtype=torch.float64)
    given = {"labels": torch.arange(20) % 3} if isinstance(model, GatedPixelCNN) else {}
    assert torch.equal(loaded.sample(20, uniforms=u, **given), model.eval().sample(20, uniforms=u, **given))


def test_the_file_holds_a_state_dict_and_json(tmp_path):
    model = NADE(6, 3, order=[5, 4, 3, 2, 1, 0])
    save(model, tmp_path / "model")
    with safe_open(tmp_path / "model", framework="pt") as file:
        records = {name: json.loads(text) for name, text in file.metadata().items()}
    assert records.pop("checksum") > 0
    assert records == {"model": {"class": "NADE", "arguments": {"D": 6, "hidden": 3, "order": [5, 4, 3, 2, 1, 0]}}}
    other = NADE(6, 3)
    other.load_state_dict(load_file(tmp_path / "model"))
    assert same(other, model)


def test_a_compact_file_has_half_the_size_and_gives_a_model_in_float32(tmp_path):
    torch.manual_seed(0)
    model, x = MADE(40, [30], direct=True, connectivity="random"), torch.randint(2, (200, 40))
    save(model, tmp_path / "full")
    save(model, tmp_path / "compact", compact=True, notes={"epochs": 3, "nll": 27.5})
    loaded = load(tmp_path / "compact")
    assert loaded.output.weight.dtype == torch.float32
    for (name, ours), theirs in zip(loaded.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs.bfloat16().float() if theirs.is_floating_point() else theirs), name
    assert nll(loaded, x).mean == pytest.approx(nll(model, x).mean, rel=1e-3)
    records, tensors = checkpoints.read(tmp_path / "compact")
    assert records["notes"] == {"epochs": 3, "nll": 27.5}
    _, full = checkpoints.read(tmp_path / "full")
    real = {name: tensor for name, tensor in full.items() if tensor.is_floating_point()}
    assert real and all(2 * tensors[name].nbytes == tensor.nbytes for name, tensor in real.items())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model"
    save(NADE(6, 3), path)
    good = path.read_bytes()

    def full_disk(tensors, filename, metadata):
        filename.write_bytes(good[:100])
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with pytest.raises(OSError, match="cannot write the checkpoint .*model"):
        save(NADE(6, 3), path)
    assert path.read_bytes() == good and list(tmp_path.iterdir()) == [path]


def test_a_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "model"
    save(NADE(6, 3), path)
    good = path.read_bytes()
    for position in range(0, len(good), 11):
        damaged = bytearray(good)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="model is damaged"):
            load(path)


def test_files_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "model"
    with pytest.raises(OSError, match="cannot read the checkpoint .*model"):
        load(path)
    save_file({"W": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="not a checkpoint"):
        load(path)
    checkpoints.write(path, {"W": torch.zeros(2)}, {"scores": [1, 2]})
    with pytest.raises(ValueError, match="holds tensors but not a model"):
        load(path)


@pytest.mark.parametrize(
    "record, message",
    [
        ({"class": "Transformer", "arguments": {}}, "no class 'Transformer'"),
        ({"class": "orderings", "arguments": {}}, "no class 'orderings'"),
        ({"class": "base", "arguments": {}}, "no class 'base'"),
        ({"class": ["NADE"], "arguments": {}}, r"no class \['NADE'\]"),
        ({"class": "NADE", "arguments": {"D": 6, "hidden": 3, "depth": 2}}, "'depth'"),
        ({"class": "NADE", "arguments": {"D": 6, "hidden": 0}}, "hidden is 0"),
        ({"class": "NADE", "arguments": {"D": 6, "hidden": 3, "order": {"tensor": "nowhere"}}}, "nowhere"),
        ({"class": "NADE"}, "arguments"),
        ("NADE", "cannot build"),
    ],
)
def test_a_model_that_cannot_be_built_is_refused(tmp_path, record, message):
    checkpoints.write(tmp_path / "model", NADE(6, 3).state_dict(), {"model": record})
    with pytest.raises(ValueError, match=f"model holds a model that this version .*{message}"):
        load(tmp_path / "model")


def test_weights_of_another_shape_are_refused(tmp_path):
    record = {"class": "NADE", "arguments": {"D": 6, "hidden": 4}}
    checkpoints.write(tmp_path / "model", NADE(6, 3).state_dict(), {"model": record})
    with pytest.raises(ValueError, match="another model: .*size mismatch for W"):
        load(tmp_path / "model")


def test_models_of_other_classes_are_refused_with_a_remedy(tmp_path):
    ours = type("NADE", (NADE,), {})(6, 3)
    for model in (Windowed(4), nn.Linear(2, 2), ours, EoNADE(type("Own", (OrderlessNADE,), {})(4, [5]), [range(4)])):
        with pytest.raises(ValueError, match=r"is not a class of course_lib.models.*save_model\(model, path\)"):
            save(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_argument_that_json_cannot_hold_is_named(tmp_path):
    with pytest.raises(ValueError, match="order of NADE is of type array, which JSON cannot hold. Build"):
        save(NADE(2, 3, order=array("q", [1, 0])), tmp_path / "model")


def data(D: int = 6) -> Namespace:
    x = torch.randint(2, (40, D), generator=torch.Generator().manual_seed(0))
    return Namespace(name="coins", train=Namespace(x=x[:30]), valid=Namespace(x=x[30:]))


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_checkpoint_of_fit_gives_the_best_model(tmp_path, average):
    path, model = tmp_path / "run", NADE(6, 3, order=torch.arange(6).flip(0))
    history = fit(model, data(), epochs=8, batch_size=5, lr=0.3, average=average, checkpoint=path)
    assert history.best_epoch < 8  # the last weights are others
    loaded = load(path)
    assert same(loaded, model) and type(loaded) is NADE
    into = NADE(6, 3, order=torch.arange(6).flip(0)).double().train()
    kept = into.W
    assert load_best(into, path) is into and not into.training
    assert into.W is kept and torch.equal(into.W.float(), model.W)  # the optimizer still has its parameters


def test_the_best_weights_of_a_class_of_ones_own_are_loaded_into_it(tmp_path):
    path, model = tmp_path / "run", Windowed(6)
    fit(model, data(), epochs=2, batch_size=5, lr=0.3, checkpoint=path)
    with pytest.raises(ValueError, match=r"a class of your own .*load_best\(model, path\)"):
        load(path)
    assert same(load_best(Windowed(6), path), model)
    with pytest.raises(ValueError, match="run is a checkpoint of another model: .*linear.weight"):
        load_best(NADE(6, 3), path)
    save(NADE(6, 3), tmp_path / "model")
    with pytest.raises(ValueError, match=r"model is not a checkpoint of fit. If save wrote it, call load\(path\)"):
        load_best(NADE(6, 3), tmp_path / "model")


def test_the_arguments_survive_copies_and_the_signature_is_the_constructors():
    model = RNADE(6, hidden=3, components=2)
    for each in (model, copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert each.arguments == {"D": 6, "hidden": 3, "components": 2}
        assert repr(each) == "RNADE(D=6, hidden=3, components=2)"
    ensemble = copy.deepcopy(EoNADE(OrderlessNADE(4, [5]), [range(4)]))
    assert ensemble.arguments["model"] is ensemble.model
    assert list(inspect.signature(PixelCNN).parameters)[:2] == ["event_shape", "levels"]
    assert list(inspect.signature(Windowed).parameters) == ["D"]
    assert "order=tensor of shape (3,)" in repr(FVBN(3, torch.arange(3)))
    with pytest.raises(TypeError, match="hidden"):
        NADE(6)
