"""The neural recipes that ship: every table is one its world takes. Nothing is loaded or trained."""

from typing import Any

import pytest

pytest.importorskip("torch")

from provenance.config import checked
from provenance.mixing.policy import shipped_files
from provenance.recursion.models.causal_lm import CausalLmSampling, CausalLmSettings
from provenance.recursion.models.diffusion import DiffusionSettings
from provenance.recursion.models.image_world import ImageSampling
from provenance.recursion.models.vae import VaeSettings

TABLES: dict[str, tuple[type[Any], type[Any]]] = {
    "causal_lm": (CausalLmSettings, CausalLmSampling),
    "vae": (VaeSettings, ImageSampling),
    "diffusion": (DiffusionSettings, ImageSampling),
}
RECIPES = {name: tables for name, tables in shipped_files() if tables.get("world") in TABLES}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_its_world_understands(name: str) -> None:
    recipe = RECIPES[name]
    model, sampling = TABLES[recipe["world"]]
    checked(model, recipe.get("model", {}), name)
    checked(sampling, recipe.get("sampling", {}), name)
    assert recipe["name"] == name


def test_the_papers_recipe_has_the_papers_settings() -> None:
    model = checked(CausalLmSettings, RECIPES["opt-wikitext2"]["model"], "opt-wikitext2")
    sampling = checked(CausalLmSampling, RECIPES["opt-wikitext2"]["sampling"], "opt-wikitext2")
    assert (model.base, model.block_tokens, model.training.epochs) == ("facebook/opt-125m", 64, 5)
    assert (sampling.method, sampling.beams, sampling.prompts, sampling.repetition_penalty) == ("beam", 5, "real", 1.0)
    assert len(RECIPES["opt-wikitext2"]["seeds"]) == 5


def test_the_vae_recipe_has_the_notebooks_settings() -> None:
    model = checked(VaeSettings, RECIPES["vae-mnist"]["model"], "vae-mnist")
    training = model.training
    assert (model.channels, model.latent, model.endless) == (64, 20, True)
    assert (training.epochs, training.batch_size, training.learning_rate, training.weight_decay) == (
        30,
        256,
        1e-3,
        1e-5,
    )
    assert (training.optimizer, training.loss_over_batch) == ("adam", "sum")
