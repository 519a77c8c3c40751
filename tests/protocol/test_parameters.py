"""Parameters: what JSON may say, and how updates merge."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from slipstream_protocol.parameters import Parameters, Prompt, Transition


def parse(text: str) -> Parameters:
    return msgspec.json.decode(text, type=Parameters)


def test_a_plain_update_names_only_what_it_changes() -> None:
    """absent keys stay absent, on the way in and on the way out."""
    parameters = parse('{"prompt": "neon", "rev": 3}')
    assert parameters.target == (Prompt("neon"),)
    assert parameters.seed is UNSET
    assert msgspec.json.decode(msgspec.json.encode(parameters)) == {"prompt": "neon", "rev": 3}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"colour": 1}', "unknown field `colour`"),
        ('{"noise_scale": 1.5}', "<= 1.0"),
        ('{"noise_scale": "high"}', "Expected `float`"),
        ('{"denoising_step_list": []}', "length >= 1"),
        ('{"denoising_step_list": [900, 800, 700, 600, 500]}', "length <= 4"),
        ('{"denoising_step_list": [500, 700]}', "it must fall at every step"),
        ('{"denoising_step_list": [500, 500]}', "it must fall at every step"),
        ('{"denoising_step_list": [0]}', ">= 1"),
        ('{"prompt": "a", "prompts": [{"text": "b"}]}', "send one of them"),
        ('{"transition": {"target_prompts": []}}', "length >= 1"),
        ('{"prompt": "a", "transition": {"target_prompts": [{"text": "b"}]}}', "names its own"),
        ('{"prompts": [{"text": "b", "weight": -1}]}', ">= 0"),
        ('{"seed": -1}', ">= 0"),
        ('{"prompt": ' + '"' + "x" * 2001 + '"}', "length <= 2000"),
    ],
)
def test_a_bad_value_is_answered_with_the_rule(text: str, reason: str) -> None:
    """whoever sent it can mend it from the text alone."""
    with pytest.raises(msgspec.ValidationError) as error:
        parse(text)
    assert reason in str(error.value)


def test_prompts_are_one_key_in_three_forms() -> None:
    """a newer prompt replaces an older one whatever form either has."""
    transition = Transition(target_prompts=(Prompt("b"),), num_steps=2)
    merged = Parameters(prompt="a", seed=1).merged(Parameters(transition=transition))
    assert merged == Parameters(transition=transition, seed=1)
    assert merged.merged(Parameters(prompt="c")).target == (Prompt("c"),)


updates = st.builds(
    Parameters,
    prompt=st.sampled_from([UNSET, "a", "b"]),
    noise_scale=st.one_of(st.just(UNSET), st.floats(0, 1)),
    seed=st.one_of(st.just(UNSET), st.integers(0, 9)),
    paused=st.sampled_from([UNSET, True, False]),
    rev=st.one_of(st.just(UNSET), st.integers(0, 9)),
)


@given(updates, updates, updates)
def test_merging_is_associative(a: Parameters, b: Parameters, c: Parameters) -> None:
    """updates may be coalesced in any grouping: the last value of each key wins."""
    assert a.merged(b).merged(c) == a.merged(b.merged(c))


@given(updates)
def test_an_update_survives_the_wire(update: Parameters) -> None:
    """MessagePack and JSON keep every value."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(update), type=Parameters) == update
    assert msgspec.json.decode(msgspec.json.encode(update), type=Parameters) == update
