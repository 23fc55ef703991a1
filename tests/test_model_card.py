from smidgen.data.origin import Corrupted, Origin, Step
from smidgen.model.card import write_card
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
from smidgen.network.spec import PyramidSpec
from tests.conftest import TINY


def test_card_of_a_model_that_ships():
    """The card says what the model is for, how good it is and on what, where it fails, and whose images it saw."""
    info = Runtime(find_model("digits-on-garments")).info
    card = write_card("digits-on-garments", info)
    for part in (
        "Intended use",
        "Scores",
        "Limits",
        "legible",
        "10,000 pairs",
        "CC BY-SA",
        f"{info.spec.num_parameters:,}",
    ):
        assert part in card


def test_card_says_which_noise_is_left():
    """A model of white noise says that it leaves smeared noise and cannot invert; one of a camera's says neither."""
    card = write_card("photographs", Runtime(find_model("photographs")).info)
    assert "smeared over neighbours" in card
    assert "inverted" not in card
    smeared = Corrupted((Step("camera-noise", (0.0, 0.06)), Step("jpeg", (5.0, 30.0))), 0)
    info = ModelInfo(
        spec=PyramidSpec(width=2, hidden=2, output="residual"), budget=999, origin=Origin(corrupted=smeared)
    )
    assert "smeared over neighbours" not in write_card("camera", info)


def test_card_of_a_model_without_a_past():
    """A model that records nothing gets a card that says so."""
    card = write_card("mine", ModelInfo(spec=TINY, budget=99))
    assert "None recorded" in card
    assert "that of your pairs" in card
