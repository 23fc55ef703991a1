from smidgen.model.card import write_card
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
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


def test_card_of_a_model_without_a_past():
    """A model that records nothing gets a card that says so."""
    card = write_card("mine", ModelInfo(spec=TINY, budget=99))
    assert "None recorded" in card
    assert "that of your pairs" in card
